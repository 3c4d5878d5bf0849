"""A weight for each term or module: singular form, gradients, the descent, and the written model against its losses."""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import DOMAINS, make_adapter, make_workplace
from safetensors.torch import load_file
from test_search import documents, merged_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from dem import merge_model
from dem.changed_modules import factors_of
from dem.checkpoints import Checkpoint
from dem.command_line import parse_request
from dem.config import SearchConfig
from dem.corpus import Corpus
from dem.diffs import Difference
from dem.errors import RequestError, run_script
from dem.evaluation.documents import encode_documents
from dem.evaluation.metrics import read_metrics
from dem.evaluation.perplexity import score
from dem.evaluation.subjects import weighted
from dem.search.descent import PATIENCE, Descent
from dem.search.descent_state import DescentFile
from dem.search.halves import Minibatches, halves
from dem.search.losses import Losses
from dem.search.objectives import Objective
from dem.search.singular import singular_form, sizes_of
from dem.search.stage import tune_documents
from dem.search.terms import Terms


def test_the_singular_form_is_the_same_product():
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=draw) for shape in ((40, 5), (5, 30)))
    left[:, 4] = left[:, 0] + left[:, 1]  # of rank 4 only
    form = singular_form((left, right))
    exact = torch.linalg.svdvals(left.double() @ right.double())[:4]
    assert form[0].shape == (40, 4) and form[1].shape == (4, 30) and form[0].dtype == torch.float32
    assert sizes_of(form).numpy() == pytest.approx(exact.numpy(), rel=1e-6)
    assert form[0].double() @ form[1].double() == pytest.approx((left.double() @ right.double()).numpy(), abs=2e-6)
    assert form[1] @ form[1].T == pytest.approx(np.eye(4), abs=1e-6)
    assert singular_form((0 * left, right))[0].shape == (40, 1)


def place_with_adapters(workplace, **adapter):
    for seed, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed, **adapter)
        assert workplace.diff(domain, "--diff.storage", "lowrank") == 0
    return workplace


def open_fine(place, groups):
    checkpoint = Checkpoint(place.base)
    model = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32).eval()
    differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
    factors = {
        d: {name: singular_form(f) for name, f in factors_of(o, place.layout.adapter(d), checkpoint).items()}
        for d, o in differences.items()
    }
    terms = Terms(model, checkpoint, differences, factors)
    terms.number(groups)
    return terms


@pytest.mark.parametrize(
    ("groups", "adapter"),
    [
        ("terms", {"targets": ("dt_proj", "out_proj"), "modules_to_save": ["norm_f"]}),
        ("modules", {"targets": ("in_proj", "embeddings"), "modules_to_save": ["norm_f"]}),
    ],
)
def test_gradients_of_flat_weights_are_the_slopes(workplace, groups, adapter):
    terms = open_fine(place_with_adapters(workplace, **adapter), groups)
    terms.model.double()
    numbering = terms.numbering
    count = len(numbering.owners)
    assert sorted({int(i) for own in numbering.of.values() for i in own}) == list(range(count))
    if groups == "modules":
        assert count == len(numbering.of)
    losses = Losses(terms, {"web": documents(1)[:2], "social": documents(2)[:2]}, 1000)
    chance = np.random.default_rng(0)
    at, along = chance.normal(0.5, 0.3, (2, count))
    found = losses.at(at, gradient=True)
    step = 0.02
    for direction in (along, np.eye(count)[-1]):  # the latter, of the slower way where there is
        there, back = (losses.at(at + sign * step * direction, gradient=False).losses for sign in (1, -1))
        assert found.jacobian @ direction == pytest.approx((there - back) / (2 * step), rel=0.02, abs=2e-5)


def test_one_weight_for_all_terms_is_one_for_the_domain(workplace):
    place = place_with_adapters(workplace)
    terms, text = open_fine(place, "terms"), {"web": documents(1)}
    fine = Losses(terms, text, 1000).at(np.array([0.7, -0.4])[terms.numbering.owners], gradient=True)
    terms.number(dict.fromkeys(terms.changed, 0))
    whole = Losses(terms, text, 1000).at(np.array([[0.7], [-0.4]]), gradient=True)
    assert fine.losses == whole.losses
    owners = open_fine(place, "terms").numbering.owners
    assert [fine.jacobian[0, owners == i].sum() for i in range(2)] == pytest.approx(whole.jacobian[0], rel=1e-4)


def test_halves_share_no_document_and_are_alike_in_size():
    texts = {"web": documents(1) + documents(3), "학교": documents(2)}
    fitted, held = halves(texts, 5)
    for domain, own in texts.items():
        assert sorted(map(id, fitted[domain] + held[domain])) == sorted(map(id, own))
        sizes = [sum(len(o.ids) for o in side[domain]) for side in (fitted, held)]
        assert abs(sizes[0] - sizes[1]) <= max(len(o.ids) for o in own)
    assert halves(texts, 5) == (fitted, held) and halves(texts, 6) != (fitted, held)
    with pytest.raises(RequestError, match=r"학교 has 1 tune documents.*search\.tokens"):
        halves(texts | {"학교": documents(2)[:1]}, 5)


def test_minibatches_pass_over_all_windows_before_one_comes_again():
    texts = {"web": documents(1), "social": documents(2) + documents(3)}
    batches = Minibatches(texts, 256, 1)
    for domain, own in texts.items():
        assert [list(window.ids) for window in batches.windows[domain]] == [list(o.ids) for o in own]
        seen = [number for step in range(14) for number in batches.of(step)[domain]]
        assert len(seen) == 28  # two of each domain in a step
        for first in range(0, 28 - len(own), len(own)):
            assert sorted(seen[first : first + len(own)]) == list(range(len(own)))
    assert Minibatches(texts, 256, 1).of(5) == batches.of(5) != Minibatches(texts, 256, 2).of(5)


def descent(place, folder, texts, terms=None, **settings):
    """A descent of the weights of terms from 0.5, on halves of `texts`."""
    terms = terms or open_fine(place, "terms")
    settings = SearchConfig(groups="terms", **{"steps": 60, "learning_rate": 0.1, "penalty": 0.0, **settings})
    kept = DescentFile(folder / "state.safetensors", {"of": str(settings)})
    start = np.full(len(terms.numbering.owners), 0.5)
    objective = Objective(np.full(len(texts), 1 / len(texts)))
    return Descent(terms, halves(texts, 1), objective, settings, 1.0, start, 256, kept), terms


def test_what_is_found_is_best_on_the_held_back_half_and_overfitting_is_seen(workplace, tmp_path, monkeypatch):
    monkeypatch.setattr("dem.search.descent.EVERY", 2)
    place = place_with_adapters(workplace)
    texts = {"web": documents(1), "social": documents(2)}  # random tokens: nothing of one half is true of the other
    made, terms = descent(place, tmp_path, texts, steps=40, learning_rate=0.5)
    found = made.run(tmp_path / "steps.csv")
    rows = found.told["rows"]
    values = [row["value"] for row in rows]
    best = int(np.argmin(values))
    assert found.told["step"] == rows[best]["step"] and len(rows) - 1 - best == PATIENCE
    assert rows[-1]["running"] < rows[1]["running"] and values[-1] > values[best]  # it goes on to learn by heart
    held = Losses(terms, halves(texts, 1)[1], 256).at(found.weights.double().numpy(), gradient=False)
    assert list(found.told["held"]["end"].values()) == held.losses.tolist()
    table = list(csv.DictReader((tmp_path / "steps.csv").open(encoding="utf-8")))
    assert [float(row["loss_held_back"]) for row in table] == pytest.approx(values, abs=1e-6)

    tight, _ = descent(place, tmp_path, texts, terms, steps=4, learning_rate=0.5, penalty=1e3)
    assert tight.run(tmp_path / "steps.csv").told["rows"][-1]["distance"] < rows[2]["distance"] / 2


def test_a_descent_that_was_cut_off_ends_in_the_same_bits(workplace, tmp_path, monkeypatch):
    place = place_with_adapters(workplace)
    texts = {"web": documents(1), "social": documents(2)}
    whole, other = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir(), other.mkdir()
    monkeypatch.setattr("dem.search.descent.EVERY", 2)
    made, terms = descent(place, whole, texts, steps=3, learning_rate=0.01)
    expected = made.run(whole / "steps.csv")
    calls, real = [], Losses.at

    def cut(self, *arguments, **named):
        calls.append(None)
        if len(calls) in (4, 8):
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    monkeypatch.setattr(Losses, "at", cut)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            descent(place, other, texts, terms, steps=3, learning_rate=0.01)[0].run(other / "steps.csv")
    again = descent(place, other, texts, terms, steps=3, learning_rate=0.01)[0].run(other / "steps.csv")
    assert torch.equal(again.weights, expected.weights)
    assert again.told["rows"] == expected.told["rows"] and again.told["step"] == expected.told["step"]
    count = len(calls)
    once_more = descent(place, other, texts, terms, steps=3, learning_rate=0.01)[0].run(other / "steps.csv")
    assert len(calls) == count and torch.equal(once_more.weights, expected.weights)
    (other / "state.safetensors").write_bytes((other / "state.safetensors").read_bytes()[:-8])
    descent(place, other, texts, terms, steps=1, learning_rate=0.01)[0].run(other / "steps.csv")
    assert len(calls) > count  # a damaged state is not used


# Stage 3.


def fine(place, *options) -> int:
    return place.merge("--merge.weights", "auto", "--merge.normalize", "false", "--search.groups", "terms", *options)


FEW = ("--search.tokens", "1000")


def looked_at(place, options=FEW):
    """The tune documents that a search of these options looks at."""
    config = parse_request("", ["--config", str(place.config), *options], stage=3).config
    return tune_documents(config, place.layout, place.base, DOMAINS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_written_model_has_the_losses_that_were_found(tmp_path, tokenizer, monkeypatch, dtype):
    monkeypatch.setattr("dem.search.descent.EVERY", 2)
    place = make_workplace(tmp_path, tokenizer, dtype=dtype)
    adapter = {"targets": ("in_proj", "dt_proj"), "modules_to_save": ["norm_f"]} if dtype == torch.float16 else {}
    place_with_adapters(place, **adapter)
    options = ("--search.learning_rate", "0.3", "--search.steps", "4", "--search.penalty", "0", "--merge.scale", "0.5")
    assert fine(place, *options, *FEW, "--evaluation.enabled", "false") == 0
    record = json.loads(place.layout.merge_record.read_text(encoding="utf-8"))
    found = record["search"]["fine"]
    assert found["step"] > 0 and record["scale"] == 0.5 and record["normalize"] is False
    assert {domain: own["weight"] for domain, own in record["domains"].items()} == dict.fromkeys(DOMAINS, 1.0)

    merged = AutoModelForCausalLM.from_pretrained(place.layout.merged_model, dtype=torch.float32).eval()
    sides = dict(zip(("fitted", "held"), halves(looked_at(place), 42), strict=True))
    rounding = {torch.float32: 3e-6, torch.float16: 2e-4, torch.bfloat16: 2e-3}[dtype]
    for side, texts in sides.items():
        for domain, own in texts.items():
            scores = score(merged, own, 64)
            assert scores.nll.sum() / scores.tokens.sum() == pytest.approx(found[side]["end"][domain], rel=rounding)

    # Its weights are those of the file times those differences: added up apart, in float64.
    weights = load_file(place.layout.derived("terms") / "weights.safetensors")
    base, state = Checkpoint(place.base), merged.state_dict()
    differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
    for name in {p.name for d in differences.values() for p in d.index.parameters}:
        wanted = base.read(name).double()
        for domain, difference in differences.items():
            own = weights[f"{domain}:{name}"].double()
            if pair := difference.factors(name):
                left, right = (half.double() for half in singular_form(pair))
                wanted += 0.5 * (left * own) @ right
            else:
                wanted += 0.5 * own * difference.read(name).double()
        assert state[name].double() == pytest.approx(wanted.to(dtype).double().numpy(), rel=1e-2, abs=1e-6)
        assert (state[name].double() - wanted).abs().max() <= wanted.abs().max() * torch.finfo(dtype).eps


@pytest.mark.pictures
def test_the_report_tells_the_gains_on_fitted_held_back_and_test_text(workplace, monkeypatch):
    monkeypatch.setattr("dem.search.descent.EVERY", 2)
    place, layout = place_with_adapters(workplace), workplace.layout
    options = ("--search.groups", "modules", "--search.learning_rate", "0.3", "--search.steps", "4")
    assert fine(place, *options) == 0
    record = json.loads(layout.merge_record.read_text(encoding="utf-8"))
    found = record["search"]["fine"]
    assert found["weights"] == 12 and found["groups"] == "modules"
    metrics = read_metrics(layout.metrics)
    assert list(metrics.models)[: len(DOMAINS) + 2] == ["base", *DOMAINS, "scalars"]

    # The weights for whole differences are measured on those that the search began with, and so are equal ones.
    differences = {d: Difference(*layout.existing_difference(d)) for d in DOMAINS}
    tokenizer = AutoTokenizer.from_pretrained(place.base)
    data = parse_request("", ["--config", str(place.config)], stage=3).config.data
    tests = [encode_documents(Corpus(layout.parquet_files(d), data).documents("test"), tokenizer) for d in DOMAINS]
    for name, weights in (("scalars", found["start"].values()), ("equal", [0.5, 0.5])):
        scores = score(merged_model(place, differences, weights), sum(tests, []), 64)
        assert metrics.models[name].perplexity["all"].perplexity == pytest.approx(scores.perplexity, rel=1e-5)
    vectors = [d.index.vector_fingerprint for d in differences.values()]
    equal = weighted(layout, place.base, "equal", [[0.5], [0.5]], vectors=vectors)
    assert metrics.fingerprints["models"]["equal"] == equal.fingerprint
    assert [own["made_from"] for own in record["domains"].values()] == vectors

    # Without a domain's term, the merged model is without that domain's weighted difference.
    made = layout.derived("terms")
    derived = {d: Difference(made / f"diff_{d}.npy", made / f"diff_{d}.json") for d in DOMAINS}
    rows = list(csv.DictReader(layout.leave_one_out.open(encoding="utf-8")))
    (row,) = (row for row in rows if row["term"] == "web" and row["on"] == "social")
    own = score(merged_model(place, derived, [0, 1]), looked_at(place, ())["social"], 64)
    assert own.perplexity == pytest.approx(float(row["perplexity_without"]), rel=1e-5)

    report = layout.report.read_text(encoding="utf-8")
    gains = {
        side: sum(s * (found[side]["end"][d] - found[side]["start"][d]) for d, s in found["shares"].items())
        for side in ("fitted", "held")
    }
    for side, where in (("fitted", "that they were fitted to"), ("held", "held back to stop by")):
        assert f"**{np.expm1(gains[side]):+.2%}** on the half" in report and where in report
    assert f"test documents by {metrics.against['scalars'].relative:+.2%}" in report
    assert "no record of its training" in report and "not of the difference that was merged" not in report
    assert layout.search_picture("steps").stat().st_size > 10_000
    kept = layout.search_kept.read_bytes()
    assert fine(place, "--search.steps", "1", "--evaluation.enabled", "false") == 0  # by terms: another descent
    assert layout.search_kept.read_bytes() == kept  # from the same weights, which are not searched again
    assert fine(place, *options, "--evaluation.enabled", "false") == 0
    before, made = layout.merge_record.read_bytes(), []
    monkeypatch.setattr(Losses, "at", lambda *_, **__: made.append(1))
    assert fine(place, *options, "--evaluation.enabled", "false") == 0
    assert layout.merge_record.read_bytes() == before and made == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--merge.normalize", "true"), ["search.groups terms", "merge.normalize false"]),
        (("--search.objective", "worst"), ["search.groups terms", "search.objective worst"]),
        (("--search.method", "grid"), ["search.groups", "search.method grid"]),
        (("--search.groups", "layers"), ["search.groups", "terms", "modules"]),
    ],
)
def test_what_has_no_meaning_with_a_weight_for_each_term_is_refused(tmp_path, refused, options, words):
    arguments = ["--base_model", "x", "--root", str(tmp_path), "--merge.weights", "auto", "--merge.normalize", "false"]
    refused(run_script(lambda: merge_model.main([*arguments, "--search.groups", "terms", *options])), *words)
