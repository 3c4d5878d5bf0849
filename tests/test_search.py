"""The search for weights: terms and losses against merged weights, gradients against finite differences."""

import csv
import json
import re
import shutil
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import DOMAINS, make_adapter, make_workplace
from transformers import AutoModelForCausalLM, AutoTokenizer

from dem.changed_modules import factors_of
from dem.checkpoints import Checkpoint
from dem.command_line import parse_request
from dem.corpus import Corpus
from dem.diffs import Difference
from dem.evaluation.documents import Document, encode_documents
from dem.evaluation.durations import read_durations
from dem.evaluation.metrics import read_metrics
from dem.evaluation.perplexity import score, windows
from dem.layout import Layout
from dem.search import find, pictures
from dem.search.losses import Losses
from dem.search.objectives import Objective
from dem.search.optimise import by_gradient, by_grid
from dem.search.quadratic import FLAT, Limits
from dem.search.rivals import rivals_of
from dem.search.terms import Terms


def make_place(workplace, storage="lowrank", **adapter):
    """Differences of two random adapters, and their documents."""
    place = workplace
    for seed, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed, **adapter)
        assert place.diff(domain, "--diff.storage", storage) == 0
    return place


def open_terms(place, model=None, group_of=None):
    checkpoint = Checkpoint(place.base)
    model = model or AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32).eval()
    differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
    factors = {d: factors_of(o, place.layout.adapter(d), checkpoint) for d, o in differences.items()}
    return Terms(model, checkpoint, differences, factors, group_of), differences


def merged_model(place, differences, weights):
    """The base with the weighted differences added to its parameters in float64."""
    model = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32).eval()
    state = model.state_dict()
    for weight, difference in zip(weights, differences.values(), strict=True):
        for parameter in difference.index.parameters:
            state[parameter.name] = state[parameter.name].double() + weight * difference.read(parameter.name).double()
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model


def documents(seed: int, vocabulary: int = 500) -> list[Document]:
    lengths = np.random.default_rng(seed).integers(2, 40, 7)
    random = np.random.default_rng(seed)
    return [Document(random.integers(0, vocabulary, n).astype(np.int32), 10) for n in lengths]


def plain_loss(model, some: list[Document]) -> float:
    """Nats per token, one document at a time through the model's own loss."""
    with torch.no_grad():
        sums = [
            float(model(input_ids=ids[None], labels=ids[None]).loss) * (len(ids) - 1)
            for ids in (torch.tensor(document.ids).long() for document in some)
        ]
    return sum(sums) / sum(len(document.ids) - 1 for document in some)


KINDS = {
    "lowrank": {},
    "dense, from the adapter": {"storage": "dense"},
    "with an embedding and a norm": {"modules_to_save": ["norm_f"], "targets": ("in_proj", "embeddings")},
    "DoRA": {"use_dora": True, "targets": ("in_proj",)},
    "read past the module": {"targets": ("dt_proj", "out_proj")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_terms_are_the_merged_weights(workplace, kind):
    place = make_place(workplace, **KINDS[kind])
    terms, differences = open_terms(place)
    assert bool(terms.slow) == (kind not in ("lowrank", "dense, from the adapter"))
    texts = {"web": documents(1), "학교": documents(2)}
    losses = Losses(terms, texts, 1000)
    before = {name: value.clone() for name, value in terms.model.state_dict().items()}
    for weights in ((0.0, 0.0), (0.7, -0.4)):
        found = losses.at(np.array(weights)[:, None], gradient=False)
        merged = merged_model(place, differences, weights)
        assert found.losses == pytest.approx([plain_loss(merged, some) for some in texts.values()], rel=2e-6)
        assert [nll.sum() for nll in found.nll] == pytest.approx(found.losses * list(losses.tokens.values()))
    changed = [n for n, value in terms.model.state_dict().items() if not torch.equal(before[n], value)]
    assert changed == []


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes(workplace, kind):
    place = make_place(workplace, **KINDS[kind])
    terms, _ = open_terms(place)
    terms.model.double()
    losses = Losses(terms, {"web": documents(1), "social": documents(2)}, 1000)
    at = np.array([[0.8], [0.3]])
    found = losses.at(at, gradient=True)
    assert found.losses == pytest.approx(losses.at(at, gradient=False).losses, rel=1e-6)
    step = 0.05
    for i in range(2):
        there, back = (losses.at(at + sign * step * np.eye(2)[:, [i]], gradient=False).losses for sign in (1, -1))
        assert found.jacobian[:, i] == pytest.approx((there - back) / (2 * step), rel=0.02, abs=2e-5)
    assert found.forward_tokens == found.backward_tokens == sum(losses.tokens.values())


def test_a_group_of_parameters_has_weights_of_its_own(workplace):
    place = make_place(workplace)
    _, differences = open_terms(place)
    names = Terms(*_parts(place), differences, {d: {} for d in DOMAINS}).changed
    group_of = [int("layers.1." in name) for name in names]
    terms, _ = open_terms(place, group_of=group_of)
    losses = Losses(terms, {"web": documents(1)}, 1000)
    first = losses.at(np.array([[0.5, 0.0], [0.2, 0.0]]), gradient=True)
    both = losses.at(np.array([[0.5, 0.5], [0.2, 0.2]]), gradient=True)
    assert first.losses != both.losses and first.jacobian.shape == (1, 4)
    plain = open_terms(place)[0]
    same = Losses(plain, {"web": documents(1)}, 1000).at(np.array([[0.5], [0.2]]), gradient=True)
    assert both.losses == pytest.approx(same.losses, rel=1e-6)
    assert both.jacobian.reshape(2, 2).sum(1) == pytest.approx(same.jacobian[0], rel=1e-4)


def _parts(place):
    return AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32).eval(), Checkpoint(place.base)


# The optimisers, on functions whose minimum is known.


def bowl(rng, domains: int, texts: int):
    """Convex quadratic losses of each domain of text; the function of `by_gradient`, and the mean's minimum."""
    roots = rng.normal(size=(texts, domains, domains))
    curved = roots @ roots.transpose(0, 2, 1) + 0.2 * np.eye(domains)
    centres = rng.uniform(0, 0.6, (texts, domains))

    def evaluate(phase, weights):
        step = weights.ravel() - centres
        bent = np.einsum("dij,dj->di", curved, step)
        return 3 + np.einsum("di,di->d", step, bent) / 2, bent

    return evaluate, curved, centres


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("worst", [True, False])
def test_the_search_finds_the_least_of_convex_losses(normalize, worst):
    evaluate, curved, centres = bowl(np.random.default_rng(3), 4, 3)
    limits = Limits(normalize, 2.0)
    objective = Objective(np.full(3, 1 / 3), np.array([2.9, 3.0, 3.1]) if worst else None)
    found, model = by_gradient(evaluate, objective, np.full((4, 1), 0.25), limits, 0.0)
    least = objective.value(evaluate("", found)[0])
    assert (found >= 0).all() and (found.sum() == pytest.approx(1) if normalize else found.sum() <= 2)
    chance = np.random.default_rng(0)
    for _ in range(4000):
        near = limits.of(found + chance.normal(0, chance.choice([0.003, 0.05, 0.5]), found.shape))
        assert objective.value(evaluate("", near)[0]) >= least - 1e-7
    if not (normalize or worst):
        exact = np.linalg.solve(curved.mean(0), np.einsum("dij,dj->i", curved, centres) / 3)
        assert (exact > 0).all() and found.ravel() == pytest.approx(exact, abs=1e-4)
    assert model.at(found.ravel())[0] == pytest.approx(evaluate("", found)[0])


def test_the_flat_reaches_to_a_thousandth_of_a_nat():
    evaluate, _, _ = bowl(np.random.default_rng(3), 4, 3)
    for normalize in (True, False):
        limits, objective = Limits(normalize, 2.0), Objective(np.full(3, 1 / 3))
        found, model = by_gradient(evaluate, objective, np.full((4, 1), 0.25), limits, 0.0)
        least = objective.value(evaluate("", found)[0])
        for i, (low, high) in enumerate(model.flat(objective, limits)):
            for edge in (low, high):
                if 0 < edge < limits.largest:  # the best of the others with this weight at the edge
                    rest = [
                        objective.value(evaluate("", _with_weight(i, edge, found, normalize, seed))[0])
                        for seed in range(3000)
                    ]
                    assert min(rest) - least == pytest.approx(FLAT, rel=0.2)


def _with_weight(number, value, found, normalize, seed):
    """Weights near those found, with one of them given; without the bounds, which the flat does not heed inside."""
    chance = np.random.default_rng(seed)
    weights = found.ravel() + chance.normal(0, 0.03, found.size)
    weights[number] = value
    if normalize:
        others = np.arange(found.size) != number
        weights[others] += (1 - weights.sum()) / others.sum()
    return weights[:, None]


def test_groups_that_pay_for_being_apart_are_nearer():
    evaluate, _, _ = bowl(np.random.default_rng(5), 6, 2)
    objective, limits = Objective(np.full(2, 0.5)), Limits(False, 4.0)
    apart = [
        np.ptp(by_gradient(evaluate, objective, np.full((3, 2), 0.2), limits, penalty)[0], axis=1).sum()
        for penalty in (0.0, 1.0, 100.0)
    ]
    assert apart[0] > apart[1] > apart[2] and apart[2] < 0.02


def test_the_grid_adds_one_domain_after_the_other():
    wanted = np.array([[0.5], [0.2], [0.3]])
    tried = []

    def value(weights):
        tried.append(weights)
        return float(np.square(weights - wanted).sum())

    found = by_grid(value, 3, Limits(False, 3.0))
    assert found.ravel() == pytest.approx([0.5, 0.2, 0.3]) and len(tried) == 33
    tried.clear()
    found = by_grid(value, 3, Limits(True, 3.0))
    assert found.sum() == pytest.approx(1) and len(tried) == 22 and value(found) < 0.03


# Stage 3.


def auto(place, *options) -> int:
    return place.merge("--merge.weights", "auto", "--diff.storage", "lowrank", *options)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory, tokenizer):
    place = make_workplace(tmp_path_factory.mktemp("trained"), tokenizer)
    for domain in DOMAINS:
        assert place.train(domain) == 0
        assert place.diff(domain) == 0
    return place


@pytest.fixture
def trained(trained_once, tmp_path):
    """A workplace of its own whose domains are trained and have differences."""
    folder = shutil.copytree(trained_once.config.parent, tmp_path / "place")
    return replace(trained_once, root=folder / "root", base=folder / "base", config=folder / "config.yaml")


@pytest.mark.pictures
def test_stage_3_merges_and_compares_what_it_found(trained):
    assert auto(trained, "--data.mixtures", '{"best": "found"}') == 0
    layout = trained.layout
    summary = json.loads(layout.search_summary.read_text(encoding="utf-8"))
    record = json.loads(layout.merge_record.read_text(encoding="utf-8"))
    found = dict(zip(DOMAINS, (row[0] for row in summary["found"]), strict=True))
    assert {domain: record["domains"][domain]["weight"] for domain in DOMAINS} == found
    assert sum(found.values()) == pytest.approx(1) and record["search"]["tune_tokens"] > 0
    assert record["search"]["value"] <= record["search"]["value_of_start"]
    assert record["search"]["forward_tokens"] <= 4 * record["search"]["tune_tokens"]

    # What the search said of the weights found is what the written model does on the same documents.
    files = {domain: layout.parquet_files(domain) for domain in DOMAINS}
    tokenizer = AutoTokenizer.from_pretrained(trained.base)
    merged = AutoModelForCausalLM.from_pretrained(layout.merged_model, dtype=torch.float32).eval()
    data = parse_request("", ["--config", str(trained.config)], stage=3).config.data
    last = next(step for step in summary["path"] if step["phase"].startswith("found"))
    for domain, said in zip(DOMAINS, last["losses"], strict=True):
        texts = Corpus(files[domain], data).documents("tune")
        some = [d for d in encode_documents(texts, tokenizer) if len(d.ids) > 1]
        scores = score(merged, some, data.max_length)
        assert said == pytest.approx(scores.nll.sum() / scores.tokens.sum(), rel=1e-5)

    rows = {row["model"]: row for row in csv.DictReader(layout.metric_summary.open(encoding="utf-8"))}
    assert list(rows) == ["base", *DOMAINS, "equal", "merged"]  # nobody gave any by hand
    table = list(csv.DictReader(layout.search_table.open(encoding="utf-8")))
    assert [row["phase"] for row in table] == [step["phase"] for step in summary["path"]]

    metrics = read_metrics(layout.metrics)
    best = metrics.mixtures["best"]  # of the weights that this run has found
    assert best.found and best.shares == pytest.approx({d: w for d, w in sorted(found.items()) if w > 0})
    assert best.note.startswith("no adapter in") and best.note.endswith("--domain best")
    logged = layout.merge_log.read_text(encoding="utf-8")
    assert "the merged model keeps " in logged and " What to take cannot be told without intervals" in logged
    whole = {name: metrics.models[name].perplexity["all"].perplexity for name in ("equal", "merged")}
    assert metrics.against["equal"].relative == pytest.approx(whole["merged"] / whole["equal"] - 1, abs=1e-9)
    report = layout.report.read_text(encoding="utf-8")
    assert f"- equal weights, sum 1: {metrics.against['equal'].relative:+.2%}" in report and "by hand" not in report
    assert not metrics.models["equal"].texts and "equal" not in layout.prompt_comparison.read_text(encoding="utf-8")
    for what in ("path", "losses", "map"):
        assert layout.search_picture(what).stat().st_size > 10_000


def test_found_weights_are_compared_at_their_sum_and_at_the_best_sum_of_others(trained):
    hand = {"web": 0.6, "social": 0.2}
    options = ["--merge.normalize", "false", "--merge.scale", "0.5", "--search.hand", json.dumps(hand)]
    assert auto(trained, *options, "--search.bound", "3") == 0
    layout = trained.layout
    record = json.loads(layout.merge_record.read_text(encoding="utf-8"))
    own = {d: s["weight"] for d, s in record["domains"].items()}
    rivals = {rival["name"]: rival for rival in record["search"]["rivals"]}
    assert list(rivals) == [f"{shares}{at}" for shares in ("equal", "hand") for at in ("", "_found_sum", "_best_sum")]
    assert rivals["equal"]["weights"] == {"web": [0.5], "social": [0.5]}
    assert {d: w for d, (w,) in rivals["hand"]["weights"].items()} == pytest.approx(hand)
    for name in ("equal", "hand"):
        assert rivals[f"{name}_found_sum"]["sums"] == pytest.approx([sum(own.values())])
        assert 0 <= rivals[f"{name}_best_sum"]["sums"][0] <= 3
    measured = [name for name, rival in rivals.items() if not rival["same_as"]]
    assert len(measured) >= 3
    metrics = read_metrics(layout.metrics)
    assert list(metrics.models) == ["base", *DOMAINS, *measured, "merged"]
    documents = tune_and_test(trained)

    # Each row is the base plus 0.5 times these weights of the differences, added and scored apart.
    _, differences = open_terms(trained)
    for name in measured:
        weights = [0.5 * rivals[name]["weights"][domain][0] for domain in differences]
        scores = score(merged_model(trained, differences, weights), documents["test"], 64)
        assert metrics.models[name].perplexity["all"].perplexity == pytest.approx(scores.perplexity, rel=1e-5)

    # On the tune documents no other sum of these shares is better by more than the search heeds.
    def loss(factor):
        model = merged_model(trained, differences, [0.5 * factor / 2] * 2)
        parts = [score(model, documents[domain], 64) for domain in DOMAINS]
        return np.mean([part.nll.sum() / part.tokens.sum() for part in parts])

    best = rivals["equal_best_sum"]["sums"][0]
    assert loss(best) <= min(loss(max(best - 0.5, 0)), loss(min(best + 0.5, 3))) + 2e-4

    durations = json.loads(layout.durations.read_text(encoding="utf-8"))
    assert durations["search"] >= record["search"]["seconds"] - 0.1 and durations["leave_one_out"] > 0
    acceptance = layout.acceptance.read_text(encoding="utf-8")
    assert re.search(r"\*\*; search [\d.]+ \w+; merge [\d.]+ .*; evaluation [\d.]+ .*; leave-one-out [\d.]", acceptance)
    logged = layout.merge_log.read_text(encoding="utf-8")
    assert re.search(r"stage 3: search [\d.]+ s, merge [\d.]+ s, evaluation [\d.]+ s, leave-one-out [\d.]+ s; ", logged)


def tune_and_test(place):
    """The tune documents of each domain, and all domains' test documents together."""
    tokenizer = AutoTokenizer.from_pretrained(place.base)
    data = parse_request("", ["--config", str(place.config)], stage=3).config.data
    corpora = {domain: Corpus(place.layout.parquet_files(domain), data) for domain in DOMAINS}
    tune = {domain: encode_documents(corpus.documents("tune"), tokenizer) for domain, corpus in corpora.items()}
    tests = [encode_documents(corpus.documents("test"), tokenizer) for corpus in corpora.values()]
    return tune | {"test": sum(tests, [])}


def test_no_test_or_training_document_is_looked_at(trained, monkeypatch):
    sides = []
    real = Corpus.documents
    monkeypatch.setattr(Corpus, "documents", lambda self, side: sides.append(side) or real(self, side))
    assert auto(trained, "--evaluation.enabled", "false") == 0
    assert set(sides) == {"tune"}


def test_a_search_that_was_cut_off_goes_on_and_ends_alike(trained, monkeypatch):
    assert auto(trained, "--evaluation.enabled", "false") == 0
    whole = trained.layout.search_summary.read_text(encoding="utf-8")
    trained.layout.search_kept.unlink()
    made, real = [], Losses.at

    def counted(self, *arguments):
        made.append(arguments)
        if len(made) == 4:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(Losses, "at", counted)
    assert auto(trained, "--evaluation.enabled", "false") == 130
    assert auto(trained, "--evaluation.enabled", "false") == 0
    again = json.loads(trained.layout.search_summary.read_text(encoding="utf-8"))
    before = json.loads(whole)
    assert [again[key] for key in ("found", "path", "model")] == [before[key] for key in ("found", "path", "model")]
    assert len(made) == len(before["path"]) + 1  # the one that was cut off
    logged = trained.layout.merge_log.read_text(encoding="utf-8")
    assert logged.count(": mean loss ") == len(before["path"])
    record = trained.layout.merge_record.read_bytes()
    once = json.loads(record)["search"]["seconds"] - 0.1
    assert read_durations(trained.layout).search >= once  # what was kept counts with the time that it took then
    assert auto(trained, "--evaluation.enabled", "false") == 0
    assert trained.layout.merge_record.read_bytes() == record  # or the same model would be evaluated again
    assert read_durations(trained.layout).search >= once


@pytest.mark.parametrize(
    "options",
    [
        ("--merge.normalize", "false"),
        ("--search.objective", "worst"),
        ("--search.objective", "importance", "--search.importance", '{"web": 3, "social": 1}'),
        ("--search.method", "grid"),
        ("--search.groups", '["layers.0"]'),
        ("--search.hand", '{"web": 1}'),
    ],
)
def test_each_way_to_search_is_no_worse_than_the_guess(trained, options):
    assert auto(trained, "--evaluation.enabled", "false", *options) == 0
    record = json.loads(trained.layout.merge_record.read_text(encoding="utf-8"))
    assert record["search"]["value"] <= record["search"]["value_of_start"]
    if "groups" in options[0]:
        assert record["weights_by_parameter"][0]["pattern"] == "layers.0"
    if "normalize" not in options[0]:
        assert sum(d["weight"] for d in record["domains"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--merge.method", "ties"), ["merge.weights auto", "weighted_sum", "ties"]),
        (("--search.hand", '{"elsewhere": 1}'), ["search.hand", "elsewhere"]),
        (("--search.objective", "importance"), ["search.importance is empty"]),
        (("--search.importance", '{"web": -1}'), ["search.importance", "web"]),
        (("--search.groups", '["("]'), ["search.groups[0]", "regular expression"]),
        (("--search.groups", '["nowhere"]'), ["search.groups", "nowhere", "no merged parameter"]),
        (("--merge.scale", "0"), ["merge.scale"]),
        (("--search.map", '["web"]'), ["search.map", "two or three"]),
        (("--search.map", '["web", "nowhere"]'), ["search.map", "nowhere"]),
    ],
)
def test_a_wrong_search_is_refused_by_name(trained, refused, options, words):
    refused(auto(trained, *options), *words)


def test_without_tune_documents_no_weights_are_found(tmp_path, tokenizer, refused):
    place = make_workplace(tmp_path, tokenizer)
    for seed, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed)
        assert place.diff(domain) == 0
    refused(auto(place, "--data.tune_fraction", "0"), "tune document", "data.tune_fraction")


def test_losses_that_are_no_numbers_end_the_search_in_one_line(trained, monkeypatch, capsys):
    measure = Losses.at

    def overflowing(losses, weights, *more):
        found = measure(losses, weights, *more)
        return replace(found, losses=found.losses * (np.nan if weights.sum() > 1.001 else 1))

    monkeypatch.setattr(Losses, "at", overflowing)
    assert auto(trained, "--merge.normalize", "false") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: search: with the weights web ") and "lower search.bound" in last
    assert not trained.layout.merged_model.exists() and not trained.layout.search_summary.exists()


def test_a_dry_run_searches_nothing(trained, capsys):
    assert auto(trained, "--dry-run", "--data.mixtures", '{"best": "found"}') == 0
    said = capsys.readouterr().err
    assert "left out: its shares are the weights that are to be found first" in said
    assert "the weights would be found first" in said and "plan: memory" in said
    assert not trained.layout.search_summary.exists() and not trained.layout.merged_model.exists()


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("chosen", [[], ["web", "학교"], ["web", "학교", "아주_긴_이름의_도메인_하나"]])
@pytest.mark.parametrize("normalize", [True, False])
def test_pictures_show_any_two_or_three_domains_by_their_names(tmp_path, chosen, normalize):
    domains = ["web", "학교", "아주_긴_이름의_도메인_하나"]
    evaluate, _, _ = bowl(np.random.default_rng(1), 3, 3)
    limits, objective = Limits(normalize, 3.0), Objective(np.full(3, 1 / 3))
    start = np.full((3, 1), 1 / 3)
    found, model = by_gradient(evaluate, objective, start, limits, 0.0)
    summary = {
        "domains": domains,
        "found": found.tolist(),
        "rivals": rivals_of({"equal": np.full(3, 1 / 3)}, domains, found, limits, lambda *_: 2.0),
        "limits": {"normalize": normalize, "bound": 3.0},
        "flat": dict(zip(domains, model.flat(objective, limits), strict=True)),
        "path": [{"phase": "start", "weights": start.tolist(), "losses": evaluate("", start)[0].tolist()}] * 2,
        "model": {name: getattr(model, name).tolist() for name in ("centre", "losses", "jacobian", "hessians")},
        "shares": [1 / 3] * 3,
    }
    layout = Layout(tmp_path)
    layout.results.mkdir()
    layout.search_summary.write_text(json.dumps(summary), encoding="utf-8")
    pictures.draw(layout, chosen)
    sizes = {what: plt.imread(layout.search_picture(what)).shape[:2] for what in ("path", "losses", "map")}
    assert all(width == 960 for _, width in sizes.values())
    assert sizes["map"][0] == 840 * (3 if len(chosen) == 3 else 1)


@pytest.mark.parametrize("lengths", [[1500], [40, 700, 3, 900, 2, 1, 300], [2, 2]])
def test_between_start_and_end_a_fifth_of_the_tokens_is_looked_at(lengths):
    generator = np.random.default_rng(0)
    documents = [Document(generator.integers(0, 600, length), 1) for length in lengths]
    tokens = sum(length - 1 for length in lengths)
    chosen = find._some(documents, 256, seed=3)
    assert sum(len(document.ids) - 1 for document in chosen) == max(round(0.2 * tokens), 1)
    seen = [tuple(window) for document in documents for window in windows(document.ids, 256)]
    assert all(any(tuple(c.ids) == window[: len(c.ids)] for window in seen) for c in chosen)
    assert sum(tuple(c.ids) not in seen for c in chosen) <= 1  # the one that is cut
