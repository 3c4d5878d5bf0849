"""Which way of training the adapters leaves most to a merge of them: one recipe against the next, at equal tokens.

    python tests/benchmarks/adapter_study.py --config study.yaml --root study --work kept --recipes baseline replay
    python tests/benchmarks/adapter_study.py --config study.yaml --root study --work kept --table --recipes baseline

Trains an adapter of every domain as stage 1 does (its split, its blocks, its scan; AdamW, linear decay, gradients cut
at 1), on `--tokens` tokens each whatever the recipe, and merges the five with equal weights at the best sum and by
RegMean (arXiv 2212.09849) in factor form at sum 1 and at the best one. Sums are chosen and moments taken on tune text,
all else is measured on the first window of test documents, which nothing looked at. What is trained and scored stays
in `--work`, by seed and recipe, and is not done again. `RECIPE+mean` takes the mean of the adapter's states over the
last third of the steps of RECIPE, which costs no training of its own.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import peft
import torch
import transformers
from transformers import PreTrainedModel

from dem import mamba, mixtures
from dem.command_line import parse_request
from dem.common import base_folder, load_model, load_tokenizer, start_log
from dem.corpus import Corpus, blocks
from dem.evaluation.documents import Document, encode_documents
from dem.evaluation.intervals import Change, changes_of_mean
from dem.evaluation.perplexity import score
from dem.evaluation.scores import Scores

BATCH = 2
"""Blocks in a step: few, so that a small study takes about as many steps as a training of an hour."""
ALPHA = 0.9
"""What RegMean multiplies the off-diagonal elements of a moment by."""
SUMS = (1.0, 2.0)
"""Of the weights, at which the tune loss is measured; the best is that of the parabola through these and 0."""
LARGEST_SUM = 4.0

Adapter = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Left factor (out, r), scaled, and right factor (r, in) of each module's change."""
ByDomain = dict[str, Scores]


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained."""

    replay: float = 0.0
    """Share of the blocks that are other domains', equal shares of each."""
    start: str = "peft"
    """The first right factors: PEFT's, or directions by the domains' inputs (see `directions`)."""
    targets: tuple[str, ...] = ("in_proj", "out_proj")
    r: int = 16
    alpha: float = 32
    rslora: bool = False
    learning_rate: float = 5e-4
    decay: float = 0.0
    passes: int = 1
    """Over so many times less text."""


RECIPES = {
    "baseline": Recipe(),
    "replay": Recipe(replay=0.1),
    "replay30": Recipe(replay=0.3),
    "osrm": Recipe(start="least"),
    "osrm-ratio": Recipe(start="ratio"),
    "lr2e-4": Recipe(learning_rate=2e-4),
    "lr1e-3": Recipe(learning_rate=1e-3),
    "two-passes": Recipe(learning_rate=2.5e-4, passes=2),
    "more-targets": Recipe(targets=("in_proj", "x_proj", "out_proj"), r=8, alpha=16),
    "r8": Recipe(r=8, alpha=16),
    "rslora": Recipe(rslora=True),
    "decay": Recipe(decay=50.0),
}


@dataclass(frozen=True)
class Material:
    """What every recipe is trained, merged and measured with."""

    base: PreTrainedModel
    train: dict[str, list[list[int]]]
    """Blocks of each domain, in the order in which they are trained on."""
    tune: dict[str, list[Document]]
    test: dict[str, list[Document]]
    moments: dict[str, dict[str, torch.Tensor]]
    """sum x x^T / trace of the base's inputs of each module on each domain's tune text, (in, in), float64."""
    length: int
    seed: int

    def score(self, documents: dict[str, list[Document]]) -> ByDomain:
        """The base's scores, with whatever is added to its weights meanwhile."""
        return {domain: score(self.base, some, self.length) for domain, some in documents.items()}

    @contextmanager
    def changed(self, *adapters: Adapter, factor: float = 1.0) -> Iterator[None]:
        """The base with the sum of the adapters' changes, times `factor`, in its weights."""
        names = {name for adapter in adapters for name in adapter}
        weights = {name: self.base.get_submodule(name).weight for name in names}
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        with torch.no_grad():
            for adapter in adapters:
                for name, (left, right) in adapter.items():
                    weights[name].add_(left @ right, alpha=factor)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(before[name])


def main() -> None:
    """Train, merge and score the recipes that are asked for, or print the table of those that are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = f"of {', '.join(RECIPES)}; or one of these with +mean"
    parser.add_argument("--recipes", nargs="+", required=True, metavar="RECIPE", help=known)
    parser.add_argument("--work", type=Path, required=True, help="folder of what is kept")
    parser.add_argument("--tokens", type=int, default=20_480, help="to train on, of each domain")
    parser.add_argument("--tested", type=int, default=3_000, help="test tokens of each domain, and as many of tune")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="print what is scored, and do nothing")
    own, rest = parser.parse_known_args()
    start_log(None)
    folder = own.work / f"seed{own.seed}"
    if own.table:
        print_table({name: load_scores(folder / f"{name}.npz") for name in ("base", *own.recipes)})
        return
    material = read_material(rest, own.tokens, own.tested, own.seed)
    if not (folder / "base.npz").is_file():
        save_scores(folder / "base.npz", {"base": material.score(material.test)})
    for name in own.recipes:
        if not (folder / f"{name}.npz").is_file():
            began = time.monotonic()
            adapters = trained(material, name, folder)
            between = time.monotonic()
            save_scores(folder / f"{name}.npz", measured(material, adapters))
            print(
                f"{name}: trained in {between - began:.0f} s, measured in {time.monotonic() - between:.0f} s",
                flush=True,
            )


def read_material(arguments: list[str], tokens: int, tested: int, seed: int) -> Material:
    """Text, base and moments of the request."""
    request = parse_request("", arguments, stage=3)
    config = request.config
    folder, length = base_folder(config.base_model), config.data.max_length
    base, tokenizer = load_model(folder, torch.float32, kernels="auto"), load_tokenizer(folder)
    train, tune, test = {}, {}, {}
    for domain in config.domains:
        corpus = Corpus(request.layout.parquet_files(domain), config.data)
        made = [block["input_ids"] for block in blocks(corpus.documents("train"), tokenizer, length)]
        order = np.random.default_rng(seed).permutation(len(made))[: tokens // length]
        train[domain] = [made[i] for i in order]
        tune[domain], test[domain] = (
            first_windows(encode_documents(corpus.documents(split), tokenizer), length, tested)
            for split in ("tune", "test")
        )
    moments = {domain: moments_of(base, some) for domain, some in tune.items()}
    return Material(base, train, tune, test, moments, length, seed)


def first_windows(documents: list[Document], length: int, tokens: int) -> list[Document]:
    """The first `length` tokens of each document, of as many as have `tokens` together, drawn at random."""
    order = np.random.default_rng(0).permutation(len(documents))
    cut = [Document(documents[i].ids[:length], 0) for i in order]
    return cut[: int(np.searchsorted(np.cumsum([len(document.ids) for document in cut]), tokens)) + 1]


@torch.inference_mode()
def moments_of(base: PreTrainedModel, documents: list[Document]) -> dict[str, torch.Tensor]:
    """Second moments of the inputs of all modules that some recipe adapts, divided by their traces."""
    found: dict[str, torch.Tensor] = {}

    def watch(name: str):
        def hook(module, inputs):
            x = inputs[0].flatten(0, -2).double()
            found[name] = found.get(name, 0) + x.T @ x

        return hook

    with ExitStack() as held:
        for name, module in base.named_modules():
            if name.rpartition(".")[2] in ("in_proj", "x_proj", "out_proj"):
                held.callback(module.register_forward_pre_hook(watch(name)).remove)
        for document in documents:
            base(input_ids=torch.as_tensor(np.asarray(document.ids, np.int64))[None], use_cache=False)
    return {name: moment / moment.trace() for name, moment in found.items()}


def trained(material: Material, name: str, folder: Path) -> dict[str, Adapter]:
    """The adapters of a recipe by domain, trained where they are not kept yet."""
    recipe, _, which = name.partition("+")
    adapters = {}
    for domain in material.train:
        kept = folder / recipe / f"{domain}.pt"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            states, first, last = train(material, domain, RECIPES[recipe])
            torch.save(states, kept)
            seconds = time.monotonic() - began
            print(f"{recipe}: {domain}: {seconds:.0f} s, loss {first:.4f} -> {last:.4f}", flush=True)
        adapters[domain] = torch.load(kept, weights_only=True)[which or "last"]
    return adapters


def train(material: Material, domain: str, recipe: Recipe) -> tuple[dict[str, Adapter], float, float]:
    """Its last state and the mean of those of its last third; the mean loss of its first and of its last ten steps."""
    transformers.set_seed(material.seed)
    settings = peft.LoraConfig(
        r=recipe.r,
        lora_alpha=recipe.alpha,
        use_rslora=recipe.rslora,
        target_modules=list(recipe.targets),
        task_type="CAUSAL_LM",
    )
    with mamba.out_proj_allowed():
        model = peft.get_peft_model(material.base, settings)
    if recipe.start != "peft":
        for name, layer in layers(model).items():
            rows = directions(material, domain, name, recipe)
            layer.lora_A["default"].weight.data.copy_(rows)
    batches = batches_of(material, domain, recipe)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.decay)
    decline = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    losses, summed, counted = [], [torch.zeros_like(p) for p in parameters], 0
    model.train()
    for number, batch in enumerate(batches):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decline.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if number >= len(batches) * 2 / 3:
            counted += 1
            for total, parameter in zip(summed, parameters, strict=True):
                total += parameter.detach()
    states = {"last": factors(model)}
    with torch.no_grad():
        for total, parameter in zip(summed, parameters, strict=True):
            parameter.copy_(total / counted)
    states["mean"] = factors(model)
    model.unload()
    material.base.eval().requires_grad_(False)
    return states, float(np.mean(losses[:10])), float(np.mean(losses[-10:]))


def layers(model: peft.PeftModel) -> dict[str, torch.nn.Module]:
    """The adapted modules, by the base's names of them."""
    named = model.get_base_model().named_modules()
    return {name: module for name, module in named if isinstance(module, peft.tuners.lora.LoraLayer)}


def factors(model: peft.PeftModel) -> Adapter:
    """The adapter as it is now."""
    return {
        name: (
            layer.lora_B["default"].weight.detach() * layer.scaling["default"],
            layer.lora_A["default"].weight.detach().clone(),
        )
        for name, layer in layers(model).items()
    }


def directions(material: Material, domain: str, module: str, recipe: Recipe) -> torch.Tensor:
    """r orthonormal rows to start the right factor from, (r, in).

    `least`: the eigenvectors of the smallest eigenvalues of the other domains' moment (OSRM, arXiv 2505.22934).
    `ratio`: those in which the domain's own inputs have most variance per variance of the others'.
    """
    others = [moments[module] for name, moments in material.moments.items() if name != domain]
    theirs = torch.stack(others).mean(0)
    if recipe.start == "least":
        return torch.linalg.eigh(theirs)[1][:, : recipe.r].T.float()
    ridge = 1e-3 * theirs.trace() / len(theirs) * torch.eye(len(theirs), dtype=torch.float64)
    root = torch.linalg.cholesky(theirs + ridge)
    whitened = torch.linalg.solve_triangular(root, material.moments[domain][module], upper=False)
    whitened = torch.linalg.solve_triangular(root, whitened.T, upper=False)
    most = torch.linalg.eigh(whitened)[1][:, -recipe.r :]
    return torch.linalg.qr(torch.linalg.solve_triangular(root.T, most, upper=True))[0].T.float()


def batches_of(material: Material, domain: str, recipe: Recipe) -> list[torch.Tensor]:
    """What a training sees, step by step, (BATCH, length) each; as many tokens whatever the recipe."""
    total = len(material.train[domain]) // recipe.passes
    others = {name: recipe.replay / (len(material.train) - 1) for name in material.train if name != domain}
    wanted = mixtures.blocks_each(total, {domain: 1 - recipe.replay, **others})
    some = [block for name, count in wanted.items() for block in material.train[name][:count]]
    generator = np.random.default_rng(material.seed)
    order = itertools.chain.from_iterable(generator.permutation(len(some)) for _ in range(recipe.passes))
    return list(torch.tensor([some[i] for i in order]).split(BATCH))


def measured(material: Material, adapters: dict[str, Adapter]) -> dict[str, ByDomain]:
    """Test scores: of each adapter by its domain, and of the merges."""
    found = {}
    for domain, adapter in adapters.items():
        with material.changed(adapter):
            found[domain] = material.score({d: of_others(some, d == domain) for d, some in material.test.items()})
    equal, projected = list(adapters.values()), list(regmean(material, adapters).values())
    for name, changes in (("equal", equal), ("regmean", projected)):
        best = best_sum(material, changes)
        print(f"{name}: best sum {best:.2f}", flush=True)
        with material.changed(*changes, factor=best / len(changes)):
            found[f"{name}, best sum"] = material.score(material.test)
    with material.changed(*projected, factor=1 / len(projected)):
        found["regmean, sum 1"] = material.score(material.test)
    return found


def of_others(documents: Sequence, own: bool) -> Sequence:
    """What an adapter is measured on: all documents of its own domain, and half of those of another."""
    return documents if own else documents[::2]


def regmean(material: Material, adapters: dict[str, Adapter]) -> dict[str, Adapter]:
    """The adapters with right factors n R_i G_i (sum_j G_j)^-1, so that weights of 1/n give RegMean's merge."""
    result: dict[str, Adapter] = {domain: {} for domain in adapters}
    for name in next(iter(adapters.values())):
        moments = {domain: damped(material.moments[domain][name]) for domain in adapters}
        whole = torch.stack(list(moments.values())).sum(0)
        for domain, adapter in adapters.items():
            left, right = adapter[name]
            rows = torch.linalg.solve(whole, moments[domain] @ right.double().T).T  # both moments are symmetric
            result[domain][name] = (left, (len(adapters) * rows).float())
    return result


def damped(moment: torch.Tensor) -> torch.Tensor:
    """The moment with its off-diagonal elements times ALPHA."""
    return ALPHA * moment + (1 - ALPHA) * torch.diag(moment.diagonal())


def best_sum(material: Material, changes: list[Adapter]) -> float:
    """The sum of equal weights of the least mean loss on half the tune text, by the parabola through 0 and SUMS."""
    documents = {domain: some[::2] for domain, some in material.tune.items()}
    values = []
    for factor in (0.0, *SUMS):
        with material.changed(*changes, factor=factor / len(changes)):
            values.append(loss_of(material.score(documents)))
    parabola = np.polynomial.Polynomial.fit([0.0, *SUMS], values, 2)
    sums = np.linspace(0, LARGEST_SUM, 401)
    return float(sums[np.argmin(parabola(sums))])


def loss_of(scores: ByDomain) -> float:
    """The mean of the domains' losses per token, in nats."""
    return float(np.mean([some.nll.sum() / some.tokens.sum() for some in scores.values()]))


def save_scores(path: Path, models: dict[str, ByDomain]) -> None:
    """Keep the scores of models, by their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"{m}/{d}": np.stack([s.nll, s.tokens]) for m, domains in models.items() for d, s in domains.items()}
    np.savez(path, **arrays)


def load_scores(path: Path) -> dict[str, ByDomain]:
    """What `save_scores` kept."""
    models: dict[str, ByDomain] = {}
    with np.load(path) as arrays:
        for key, (nll, tokens) in arrays.items():
            model, domain = key.split("/")
            models.setdefault(model, {})[domain] = Scores(nll, tokens.astype(np.int64), np.zeros_like(nll, np.int64))
    return models


def print_table(scored: dict[str, dict[str, ByDomain]]) -> None:
    """A row of Markdown per recipe, changes of perplexity against the base; merges also against the first recipe's."""
    base = scored.pop("base")["base"]
    first = next(iter(scored.values()))
    merges = ("equal, best sum", "regmean, sum 1", "regmean, best sum")
    print(f"| recipe | at home | elsewhere | {' | '.join(merges)} |")
    print("|---|---|---|---|---|---|")
    for name, models in scored.items():
        home, away = [], []
        for domain, other in itertools.product(base, base):
            before = Scores(*(of_others(part, other == domain) for part in astuple(base[other])))
            lost = loss_of({"": models[domain][other]}) - loss_of({"": before})
            (home if other == domain else away).append(lost)
        cells = [f"{np.expm1(np.mean(home)):+.2%}", f"{np.expm1(np.mean(away)):+.2%}"]
        for merge in merges:
            cells.append(told(changes_of_mean(base, [models[merge]])[0]))
            if models is not first:
                cells[-1] += f"; {told(changes_of_mean(first[merge], [models[merge]])[0], interval=True)}"
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def told(change: Change, interval: bool = False) -> str:
    """The change in per cent, with its interval."""
    if not interval or change.low is None:
        return f"{change.relative:+.2%}"
    return f"{change.relative:+.2%} ({change.low:+.2%} to {change.high:+.2%})"


if __name__ == "__main__":
    main()
