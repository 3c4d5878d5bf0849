"""Many merges of the same LoRA adapters, each measured on the test splits as a change against the base.

    python tests/benchmarks/merging_study.py --config configs/demo.yaml --root demo --out merges.md
    python tests/benchmarks/merging_study.py ... --rows "equal weights" "RegMean" --test-share 0.2

Takes a root in which stage 1 is done (checkpoints/lora_<domain>, and of a mixture what is there) and the domains' text;
nothing is written there. The base is loaded once, and each merge put into its weights and taken out again. Formulas and
their papers stand in merging_formulas.py. Each merge of the table has two rows: at the paper's own scale, and with the
whole change times the factor that is best on --tune-tokens of each domain's tune text (see `best_scale`).

- mean: the change of perplexity that the mean over the domains of the loss per token makes (exp of the mean of the
  domains' log-ratios, less 1), with its 95% interval (paired bootstrap over documents, domains held apart).
- against: the same change against that row.
- kept: the mean gain over that of the adapters at home (second row).
- s: to make the merge, moments of inputs included, without what measures it.

Whole models, such as stage 3 wrote them with weights that it found, get a row each: `--models "terms=kept/terms" ...`.

Moments of inputs are those on --moment-tokens of each domain's tune text. Beside the table, a JSON file of the same
name keeps every document's negative log-likelihood by row; rows that it has of the same adapters and documents are not
measured again.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import merging_formulas as formulas
import numpy as np
import torch
import xxhash
from merging_formulas import Term
from torch import Tensor, nn
from transformers import PreTrainedModel

from dem.changed_modules import places_of
from dem.checkpoints import Checkpoint
from dem.command_line import parse_request
from dem.common import base_folder, load_model, load_tokenizer, log, start_log
from dem.config import MergeConfig
from dem.corpus import Corpus
from dem.diffs import adapter_fingerprint
from dem.evaluation.documents import Document, encode_documents, fingerprint
from dem.evaluation.intervals import changes_of_mean
from dem.evaluation.perplexity import batches, padded, pieces_of, score
from dem.evaluation.scores import Scores
from dem.search.moments import second_moments
from dem.sources import adapter_deltas

AGAINST = ("equal weights, best", "RegMean, best", "one adapter on mixed")
"""Rows that all others are compared with, document by document."""
ALPHA = 0.9
TOKENS_AT_ONCE = 1 << 10
Terms = dict[str, list[Term]]
"""Of each changed parameter, by stored name, the terms whose sum is its change; before a merge one for each domain."""
Moments = dict[str, list[Tensor]]
"""Of each changed parameter the second moment of its module's inputs on each domain's text."""


@dataclass
class Study:
    """A loaded base, what the adapters change of it, and the domains' documents."""

    model: PreTrainedModel
    """None of its parameters takes a gradient."""
    modules: dict[str, nn.Linear]
    """By the stored name of what is changed."""
    terms: Terms
    text: dict[str, list[Document]]
    """By domain, for the moments of inputs."""
    max_length: int
    weights: dict[str, Tensor]
    """The base's own values of what is changed."""

    @contextmanager
    def changed(self, terms: Terms, scale: float = 1.0) -> Iterator[None]:
        """While it lasts, the sum of the terms, times `scale`, is in the model's weights."""
        for name, some in terms.items():
            change = torch.cat([left for left, _ in some], 1) @ torch.cat([right for _, right in some])
            self.modules[name].weight.add_(change, alpha=scale)
        try:
            yield
        finally:
            for name in terms:
                self.modules[name].weight.copy_(self.weights[name])

    def of_domain(self, number: int) -> Terms:
        """The change of one domain's adapter."""
        return {name: [terms[number]] for name, terms in self.terms.items()}

    def merged(self, method: formulas.Method) -> Terms:
        """What a method that needs no data makes of each parameter's terms."""
        return {name: method(terms) for name, terms in self.terms.items()}

    def with_moments(self, moments: Moments, method: Callable[..., list[Term]]) -> Terms:
        """What a method makes of each parameter's terms and moments."""
        return {name: method(terms, moments[name]) for name, terms in self.terms.items()}

    def losses(self, documents: dict[str, list[Document]]) -> dict[str, Scores]:
        """The scores of the model as it is now."""
        return {domain: score(self.model, some, self.max_length) for domain, some in documents.items()}


@contextmanager
def summed_moments(modules: dict[str, nn.Linear], real: list[Tensor]) -> Iterator[dict[str, Tensor]]:
    """While it lasts, what each module's inputs x add to sum x x^T (columns, columns), float64, by name.

    Args:
        real: holds, as its last element, which positions (windows, length) of the batch at hand are text.
    """
    sums = {n: torch.zeros(m.in_features, m.in_features, dtype=torch.float64) for n, m in modules.items()}

    def add(name: str, inputs: tuple) -> None:
        rows = inputs[0][real[-1]]
        sums[name] += (rows.T @ rows).double()

    hooks = [m.register_forward_pre_hook(lambda _, inputs, n=n: add(n, inputs)) for n, m in modules.items()]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


def windows_of(documents: list[Document], max_length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the documents: token ids (windows, length), and which positions are text."""
    for batch in batches(pieces_of(documents, max_length), TOKENS_AT_ONCE):
        ids, _ = padded([window for _, window in batch])
        lengths = torch.tensor([len(window) for _, window in batch])
        yield ids, torch.arange(ids.shape[1]) < lengths[:, None]


def moments_of_inputs(study: Study, adapted: bool) -> Moments:
    """Moments of the inputs on each domain's text in the base, or with `adapted` in the domain's own model."""
    modules = {name: [module] for name, module in study.modules.items()}
    found = []
    for number, documents in enumerate(study.text.values()):
        with study.changed(study.of_domain(number) if adapted else {}):
            found.append(second_moments(study.model, modules, documents, study.max_length))
    return {name: [sums[name] for sums in found] for name in study.modules}


def moments_and_gradients(study: Study) -> tuple[Moments, Moments]:
    """Mean moments per token in the base, and those of the loss's gradients by outputs within the terms' left space.

    The loss's tokens are drawn as the base predicts them, so that the gradients' moments are Fisher's.
    """
    spaces = {name: formulas.left_space(terms).float() for name, terms in study.terms.items()}
    generator = torch.Generator().manual_seed(0)
    moments, gradients = [], []
    for documents in study.text.values():
        real: list[Tensor] = []
        tokens = 0
        with summed_moments(study.modules, real) as inputs, summed_gradients(study.modules, spaces, real) as outputs:
            for ids, text in windows_of(documents, study.max_length):
                real[:] = [text]
                tokens += int(text.sum())
                differentiate_drawn(study.model, ids, text, generator)
        moments.append({name: own / tokens for name, own in inputs.items()})
        gradients.append({name: own / tokens for name, own in outputs.items()})
    return tuple({n: [sums[n] for sums in found] for n in study.modules} for found in (moments, gradients))


@contextmanager
def summed_gradients(
    modules: dict[str, nn.Linear], spaces: dict[str, Tensor], real: list[Tensor]
) -> Iterator[dict[str, Tensor]]:
    """While it lasts, sum q q^T, float64, over q = Q^T g for the gradients g by each module's outputs; see above."""
    sums = {n: torch.zeros(q.shape[1], q.shape[1], dtype=torch.float64) for n, q in spaces.items()}

    def add(name: str, gradient: Tensor) -> None:
        rows = gradient[real[-1]] @ spaces[name]
        sums[name] += (rows.T @ rows).double()

    def watch(name: str, output: Tensor) -> None:
        output.register_hook(lambda gradient: add(name, gradient))

    hooks = [m.register_forward_hook(lambda _, __, output, n=n: watch(n, output)) for n, m in modules.items()]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


def differentiate_drawn(model: PreTrainedModel, ids: Tensor, text: Tensor, generator: torch.Generator) -> None:
    """The backward pass of the summed loss of tokens drawn from what the model predicts at each position of text."""
    embedded = model.get_input_embeddings()(ids).requires_grad_()
    logits = model(inputs_embeds=embedded, use_cache=False).logits[text]
    drawn = torch.multinomial(logits.detach().softmax(1), 1, generator=generator)[:, 0]
    nn.functional.cross_entropy(logits, drawn, reduction="sum").backward()


@torch.no_grad()
def regmean_plus_plus(study: Study) -> Terms:
    """RegMean++ (Nguyen et al. 2025, arXiv 2508.03121): layer by layer, behind layers that are merged already.

    A layer's moments are those in each domain's own layer, whose inputs come from the merged layers before it. Of
    models whose layers are called with hidden states alone, as Mamba's are.
    """
    batches_of = {d: list(windows_of(documents, study.max_length)) for d, documents in study.text.items()}
    embed = study.model.get_input_embeddings()
    hidden = {domain: [embed(ids) for ids, _ in some] for domain, some in batches_of.items()}
    merged: Terms = {}
    for layer in next(m for m in study.model.base_model.modules() if isinstance(m, nn.ModuleList)):
        inside = {name: module for name, module in study.modules.items() if module in set(layer.modules())}
        found = []
        for number, domain in enumerate(hidden):
            own, real = {name: [study.terms[name][number]] for name in inside}, []
            with study.changed(own), summed_moments(inside, real) as sums:
                for states, (_, text) in zip(hidden[domain], batches_of[domain], strict=True):
                    real[:] = [text]
                    layer(states)
            found.append(sums)
        new = {n: formulas.regmean(study.terms[n], [sums[n] for sums in found], ALPHA) for n in inside}
        with study.changed(new):
            hidden = {domain: [layer(states) for states in some] for domain, some in hidden.items()}
        merged |= new
    return merged


def kfac_merge(study: Study) -> Terms:
    """Merging by Fisher matrices in Kronecker factors, those of the base."""
    moments, gradients = moments_and_gradients(study)
    return {name: formulas.kfac(own, moments[name], gradients[name], ALPHA) for name, own in study.terms.items()}


def after(*steps: formulas.Method) -> formulas.Method:
    """One method after the other."""

    def all_steps(terms: list[Term]) -> list[Term]:
        for step in steps:
            terms = step(terms)
        return terms

    return all_steps


def pico(terms: list[Term], method: formulas.Method) -> list[Term]:
    """Calibrated, merged, and brought to size."""
    return formulas.rescaled(method(formulas.pico(terms)), terms)


def methods(study: Study) -> dict[str, Callable[[], Terms]]:
    """Every merge, by the name of its row."""
    f, iso_half = formulas, partial(formulas.iso, power=0.5)
    cache: dict[bool, Moments] = {}

    def moments(adapted: bool = False) -> Moments:
        if adapted not in cache:
            cache[adapted] = moments_of_inputs(study, adapted)
        return cache[adapted]

    def regmean(alpha: float = ALPHA, adapted: bool = False, then: formulas.Method = list) -> Terms:
        one = lambda terms, own: then(f.regmean(terms, own, alpha))  # noqa: E731
        return study.with_moments(moments(adapted), one)

    free: dict[str, formulas.Method] = {
        "equal weights": f.mean,
        "the plan's weights": partial(f.weighted, weights=[MergeConfig().weights[domain] for domain in study.text]),
        "Iso-C": f.iso,
        "Iso-C, half way": iso_half,
        "TSV-M": f.tsv_m,
        "TSV-M, a fifth of the rank": partial(f.tsv_m, kept=0.2),
        "TSV-M, then Iso-C (Core Space)": after(f.tsv_m, f.iso),
        "KnOTS, TIES": partial(f.knots, merge=f.ties),
        "Core Space, TIES": partial(f.core_space, merge=f.ties),
        "Core Space, TIES, then Iso-C": after(partial(f.core_space, merge=f.ties), f.iso),
        "WUDI, ridge 0.5": partial(f.wudi, ridge=0.5),
        "WUDI, ridge 0.1": partial(f.wudi, ridge=0.1),
        "WUDI, ridge 0.01": partial(f.wudi, ridge=0.01),
        "Pico": partial(pico, method=f.mean),
        "Pico, TSV-M": partial(pico, method=f.tsv_m),
        "Pico, Iso-C": partial(pico, method=f.iso),
    }
    return {name: partial(study.merged, method) for name, method in free.items()} | {
        "RegMean": regmean,
        "RegMean, the adapters' inputs": partial(regmean, adapted=True),
        "RegMean++": lambda: regmean_plus_plus(study),
        "RegMean, then Iso-C": partial(regmean, then=f.iso),
        "RegMean, then Iso-C half way": partial(regmean, then=iso_half),
        "RegMean, then TSV-M": partial(regmean, then=f.tsv_m),
        "Fisher in Kronecker factors": lambda: kfac_merge(study),
        "RegMean of Pico's": lambda: study.with_moments(
            moments(), lambda terms, own: formulas.regmean(formulas.pico(terms), own, ALPHA)
        ),
    }


def best_scale(study: Study, terms: Terms, documents: dict[str, list[Document]], base: float) -> float:
    """The factor of the change where a parabola through the mean tune losses at three factors has its least value.

    The three are 0 (the loss of the `base`), 1, and 2 or a half, whichever way it goes down; a quarter to 4 come out.
    """

    def loss(factor: float) -> float:
        with study.changed(terms, factor):
            return mean_loss(study.losses(documents))

    one = loss(1.0) - base
    far = 2.0 if one < 0 else 0.5
    other = loss(far) - base
    curve = (other / far - one) / (far - 1)
    slope = one - curve
    best = -slope / (2 * curve) if curve > 0 else (4.0 if slope < 0 else 0.25)
    return float(np.clip(best, 0.25, 4.0))


def mean_loss(scores: dict[str, Scores]) -> float:
    """The mean over the domains of the loss in nats per token."""
    return float(np.mean([own.nll.sum() / own.tokens.sum() for own in scores.values()]))


def at_most(documents: list[Document], tokens: float, seed: int) -> list[Document]:
    """Documents drawn at random that have about so many tokens together, in their order."""
    order = np.random.default_rng(seed).permutation(len(documents))
    before = np.cumsum([0, *(len(documents[i].ids) for i in order)])[:-1]
    return [documents[i] for i in sorted(order[before < tokens])]


class Results:
    """The rows measured so far, in a JSON file."""

    def __init__(self, path: Path, key: dict):
        """Of the file at `path`, whose rows are taken if they are of the same `key`."""
        self._path = path
        old = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        self.rows: dict[str, dict] = old["rows"] if old.get("key") == key else {}
        self._key = key

    def add(self, row: str, scores: dict[str, Scores], **more: float | str) -> None:
        """Keep a row."""
        self.rows[row] = {**more, "nll": {domain: own.nll.tolist() for domain, own in scores.items()}}
        self._path.write_text(json.dumps({"key": self._key, "rows": self.rows}), encoding="utf-8")

    def scores(self, row: str, test: dict[str, list[Document]]) -> dict[str, Scores]:
        """A row's scores by domain."""
        return {domain: Scores.of(nll, test[domain]) for domain, nll in self.rows[row]["nll"].items()}


def table(results: Results, test: dict[str, list[Document]]) -> str:
    """All rows in Markdown."""
    scores = {row: results.scores(row, test) for row in results.rows}
    base, home = scores["base"], scores["each adapter at home"]
    beside = [row for row in AGAINST if row in scores]
    heads = ["merge", "scale", "mean", *(f"against {row}" for row in beside), "kept", *base, "s"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row, kept in results.rows.items():
        own = scores[row]
        cells = [row, f"{kept['scale']:.2f}" if "scale" in kept else "", told(base, own)]
        cells += ["" if row == other else told(scores[other], own) for other in beside]
        cells.append(f"{mean_change(base, own) / mean_change(base, home):.0%}")
        cells += [f"{own[d].perplexity / base[d].perplexity - 1:+.1%}" for d in base]
        lines.append(f"| {' | '.join(cells)} | {kept.get('seconds', 0):.1f} |")
    return "\n".join(lines) + "\n"


def told(one: dict[str, Scores], other: dict[str, Scores]) -> str:
    """The change of the mean that the second makes against the first, with its interval."""
    change = changes_of_mean(one, [other])[0]
    interval = "" if change.low is None else f" ({change.low:+.2%} to {change.high:+.2%})"
    return f"{change.relative:+.2%}{interval}"


def mean_change(base: dict[str, Scores], model: dict[str, Scores]) -> float:
    """The mean over the domains of the change of the loss per token, nats."""
    return mean_loss(model) - mean_loss(base)


def open_study(request, base: Path, domains: Sequence[str], text: dict[str, list[Document]]) -> Study:
    """Load the base and read the adapters."""
    checkpoint = Checkpoint(base)
    model = load_model(base, torch.float32, kernels="auto")
    model.requires_grad_(False)
    places = places_of(model, checkpoint)
    changes = [factors_in(request.layout.existing_adapter(domain), base, checkpoint) for domain in domains]
    terms = {name: [own[name] for own in changes] for name in changes[0]}
    modules = {name: places[name][0][1] for name in terms}
    weights = {name: module.weight.detach().clone() for name, module in modules.items()}
    return Study(model, modules, terms, text, request.config.data.max_length, weights)


def factors_in(adapter: Path, base: Path, checkpoint: Checkpoint) -> dict[str, Term]:
    """By stored name, left times PEFT's scale, and right."""
    return {d.name: (d.factors[0] * d.scale, d.factors[1]) for d in adapter_deltas(adapter, base, checkpoint)}


def main() -> None:
    """Measure what is asked for and not yet measured, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", help="merges by name; all without")
    parser.add_argument("--models", nargs="+", default=[], metavar="ROW=FOLDER", help="models to measure beside them")
    parser.add_argument("--only-best", action="store_true", help="leave out the rows at the papers' own scales")
    parser.add_argument("--test-share", type=float, default=1.0, help="of each domain's test tokens")
    parser.add_argument("--tune-tokens", type=int, default=6000, help="of each domain, to find a merge's scale on")
    parser.add_argument("--moment-tokens", type=int, default=20000, help="of each domain, to take moments on")
    parser.add_argument("--out", type=Path, required=True, help="file for the table")
    own, rest = parser.parse_known_args()
    request = parse_request("", rest, stage=3)
    config, layout = request.config, request.layout
    start_log(None)
    base, domains = base_folder(config.base_model), config.domains
    tokenizer = load_tokenizer(base)
    corpora = {domain: Corpus(layout.parquet_files(domain), config.data) for domain in domains}
    tune, test = (
        {d: encode_documents(c.documents(s), tokenizer) for d, c in corpora.items()} for s in ("tune", "test")
    )
    sizes = {d: own.test_share * sum(len(each.ids) for each in some) for d, some in test.items()}
    test = {d: at_most(some, sizes[d], 0) for d, some in test.items()}
    few = {domain: at_most(some, own.tune_tokens, 1) for domain, some in tune.items()}
    text = {domain: at_most(some, own.moment_tokens, 2) for domain, some in tune.items()}
    study = open_study(request, base, domains, text)
    results = Results(own.out.with_suffix(".json"), key_of(layout, {"test": test, "tune": few, "moments": text}))
    wanted = methods(study)
    measure(study, {row: wanted[row] for row in own.rows or wanted}, test, few, results, own.only_best)
    mixtures = [
        m for m in config.data.mixtures if layout.adapter(m).is_dir() and f"one adapter on {m}" not in results.rows
    ]
    for mixture in mixtures:
        changes = factors_in(layout.adapter(mixture), base, Checkpoint(base))
        with study.changed({name: [term] for name, term in changes.items()}):
            results.add(f"one adapter on {mixture}", study.losses(test))
    measure_models(dict(each.split("=", 1) for each in own.models), test, config.data.max_length, results)
    sizes = [f"{sum(len(d.ids) - 1 for some in side.values() for d in some):,}" for side in (test, few, text)]
    head = (
        f"{len(domains)} domains; {sizes[0]} test tokens; scales on {sizes[1]} tune tokens, moments on {sizes[2]}\n\n"
    )
    own.out.write_text(head + table(results, test), encoding="utf-8")
    print(head + table(results, test))


def key_of(layout, sides: dict[str, dict[str, list[Document]]]) -> dict:
    """What the measured rows depend on: the adapters, and each side's documents."""
    texts = {side: {domain: fingerprint(some) for domain, some in own.items()} for side, own in sides.items()}
    return {"adapters": {domain: adapter_fingerprint(layout.adapter(domain)) for domain in sides["test"]}, **texts}


def measure(
    study: Study, wanted: dict[str, Callable[[], Terms]], test: dict, few: dict, results: Results, only_best: bool
) -> None:
    """Add the base, the adapters at home, and of each wanted merge two rows."""
    if "base" not in results.rows:
        results.add("base", study.losses(test))
    if "each adapter at home" not in results.rows:
        home = {}
        for number, domain in enumerate(test):
            with study.changed(study.of_domain(number)):
                home |= study.losses({domain: test[domain]})
        results.add("each adapter at home", home)
    base = mean_loss(study.losses(few))
    for row, make in wanted.items():
        if f"{row}, best" in results.rows:
            continue
        began = time.monotonic()
        terms = make()
        seconds = time.monotonic() - began
        scale = best_scale(study, terms, few, base)
        factors = {f"{row}, best": scale} if only_best else {row: 1.0, f"{row}, best": scale}
        for name, factor in factors.items():
            with study.changed(terms, factor):
                results.add(name, study.losses(test), scale=factor, seconds=seconds)
            change = mean_change(results.scores("base", test), results.scores(name, test))
            log.info(f"{name}: scale {factor:.2f}, {math.expm1(change):+.2%}")


def measure_models(folders: dict[str, str], test: dict, max_length: int, results: Results) -> None:
    """Add a row for each whole model that has none yet of its weights."""
    for row, folder in folders.items():
        weights = safetensors_hash(Path(folder))
        if results.rows.get(row, {}).get("weights") == weights:
            continue
        model = load_model(Path(folder), torch.float32, kernels="auto")
        results.add(row, {domain: score(model, some, max_length) for domain, some in test.items()}, weights=weights)


def safetensors_hash(folder: Path) -> str:
    """Of a model's weights."""
    sums = xxhash.xxh3_128()
    for file in sorted(folder.glob("*.safetensors")):
        sums.update(file.read_bytes())
    return sums.hexdigest()


if __name__ == "__main__":
    main()
