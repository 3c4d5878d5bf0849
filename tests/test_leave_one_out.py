"""What each domain's term adds and costs: as if the model had been merged without it, written and scored."""

import csv
import json
import math

import numpy as np
import pytest
from conftest import DOMAINS, make_adapter
from merged_place import MergedPlace, change_of, write_json
from test_pictures import drawn, shown  # noqa: F401
from test_scores import plain_scores
from test_team_report import HOSTILE, page_of
from transformers import AutoModelForCausalLM

from dem.changed_modules import changed_names
from dem.checkpoints import Checkpoint
from dem.config import DataConfig, MergeConfig, ParameterWeights, SearchConfig
from dem.corpus import Corpus
from dem.diffs import Difference
from dem.errors import RequestError
from dem.evaluation import comparison
from dem.evaluation.arithmetic import Arithmetic
from dem.evaluation.comparison import Questions
from dem.evaluation.documents import encode_documents
from dem.evaluation.intervals import LEAST
from dem.evaluation.scores import Scores
from dem.search import pictures
from dem.search.effects import publish_effects
from dem.search.leave_one_out import _effects, _least, coefficients, effects_of_terms
from dem.search.stage import groups, open_terms

WEIGHTS = {"web": 0.9, "social": 0.6}


@pytest.fixture
def place(workplace):
    for i, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=i)
        assert workplace.diff(domain) == 0
    merge(workplace, WEIGHTS)
    return workplace


def merge(place, weights, scale=1.0, normalize=False, more=()):
    options = [f"--merge.weights.{domain}={weight}" for domain, weight in weights.items()]
    options += [f"--merge.normalize={str(normalize).lower()}", f"--merge.scale={scale}"]
    assert place.merge(*options, *more, "--evaluation.enabled=false") == 0


@pytest.fixture
def questions(workplace, tokenizer):
    data = DataConfig(max_length=64, tune_fraction=0.1, test_fraction=0.1)
    texts = {d: Corpus(workplace.layout.parquet_files(d), data).documents("tune") for d in DOMAINS}
    documents = {d: encode_documents(some, tokenizer) for d, some in texts.items()}
    return Questions(documents, [], tokenizer, 64, 1, Arithmetic("fp32", "for the test"))


def effects_of(place, questions, settings):
    def terms_of(model):
        differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
        group_of = groups([own.pattern for own in settings.weights_by_parameter], changed_names(differences))
        return open_terms(model, Checkpoint(place.base), place.layout, differences, group_of)

    return effects_of_terms(place.layout, place.base, settings, questions, "auto", terms_of, SearchConfig())


@pytest.fixture
def measured(monkeypatch):
    seen, measure = [], comparison._measure

    def watched(part, model, kept, bar):
        seen.append((kept._path.stem, part.name))
        return measure(part, model, kept, bar)

    monkeypatch.setattr(comparison, "_measure", watched)
    return seen


def test_effects_are_those_of_models_merged_without_the_domain(place, questions):
    settings = MergeConfig(weights=WEIGHTS, normalize=True, scale=1.5)  # acting: 0.9 and 0.6
    effects = {(e.term, e.on): e for e in effects_of(place, questions, settings).cells}
    assert list(effects) == [(t, o) for t in DOMAINS for o in (*DOMAINS, "all")]

    def perplexities():
        model = AutoModelForCausalLM.from_pretrained(place.layout.merged_model).eval()
        sums = {d: sum(plain_scores(model, some, 64)) for d, some in questions.documents.items()}
        counts = {d: sum(len(each.ids) - 1 for each in some) for d, some in questions.documents.items()}
        sums["all"], counts["all"] = sum(sums.values()), sum(counts.values())
        return {d: math.exp(sums[d] / counts[d]) for d in sums}

    whole = perplexities()
    for term in DOMAINS:
        merge(place, WEIGHTS | {term: 0.0})
        for domain, expected in perplexities().items():
            effect = effects[term, domain]
            assert effect.with_it == pytest.approx(whole[domain], rel=1e-5)
            assert effect.without == pytest.approx(expected, rel=1e-5)
            change = effect.change
            assert change.relative == pytest.approx(whole[domain] / expected - 1, abs=1e-5)
            counted = sum(len(questions.documents[d]) for d in (DOMAINS if domain == "all" else [domain]))
            assert (change.low is None) == (counted < LEAST)
            assert change.low is None or change.low <= change.relative <= change.high


def test_what_does_not_depend_on_a_domain_that_was_trained_again_is_kept(place, questions, measured):
    settings = MergeConfig(weights=WEIGHTS, normalize=False)
    first = effects_of(place, questions, settings)
    everything = [(f, f"perplexity {d}") for f in ("all", *DOMAINS) for d in DOMAINS]
    assert measured == everything

    del measured[:]
    assert effects_of(place, questions, settings) == first and measured == []

    make_adapter(place.base, place.layout.adapter("web"), seed=9)
    assert place.diff("web") == 0
    merge(place, WEIGHTS)
    again = effects_of(place, questions, settings)
    assert measured == [step for step in everything if step[0] != "web"]  # all that web's term is in
    assert [e.without for e in again.cells if e.term == "web"] == [e.without for e in first.cells if e.term == "web"]
    assert again != first


def test_other_tune_documents_are_measured_anew_and_only_these(place, questions, measured):
    settings = MergeConfig(weights=WEIGHTS, normalize=False)
    effects_of(place, questions, settings)
    del measured[:]
    questions.documents["social"].pop()
    effects_of(place, questions, settings)
    assert measured == [(f, "perplexity social") for f in ("all", *DOMAINS)]


@pytest.mark.pictures
def test_table_record_and_picture_are_written(place, questions):
    effects = effects_of(place, questions, MergeConfig(weights=WEIGHTS, normalize=False))
    publish_effects(place.layout, effects)
    rows = list(csv.DictReader(place.layout.leave_one_out.open(encoding="utf-8")))
    assert [(row["term"], row["on"]) for row in rows] == [(e.term, e.on) for e in effects.cells]
    assert int(rows[0]["documents"]) == len(questions.documents[DOMAINS[0]])
    assert float(rows[0]["effect"]) == pytest.approx(effects.cells[0].change.relative, rel=1e-4)
    record = json.loads(place.layout.leave_one_out_record.read_text(encoding="utf-8"))
    assert record["effects"]["web"]["all"]["relative"] == effects.cells[2].change.relative
    assert record["least"]["term"] == effects.least.term and set(record["least"]["leads"]) | {
        effects.least.term
    } == set(DOMAINS)
    assert place.layout.leave_one_out_picture.read_bytes().startswith(b"\x89PNG")


def test_weights_of_single_parameters_lose_the_domain_too(place, questions):
    own = [ParameterWeights("layers.0.*out_proj", {"web": 2.0, "social": 0.5})]
    settings = MergeConfig(weights={"web": 0.0, "social": 0.7}, normalize=False, weights_by_parameter=own)
    effects = {(e.term, e.on): e for e in effects_of(place, questions, settings).cells}
    assert {term for term, _ in effects} == set(DOMAINS)  # web has a weight in some parameters
    text = '[{"pattern": "layers.0.*out_proj", "weights": {"web": 2.0, "social": 0}}]'
    merge(place, {"web": 0.0, "social": 0.0}, more=[f"--merge.weights_by_parameter={text}"])
    model = AutoModelForCausalLM.from_pretrained(place.layout.merged_model).eval()
    expected = sum(plain_scores(model, questions.documents["web"], 64))
    tokens = sum(len(each.ids) - 1 for each in questions.documents["web"])
    assert effects["social", "web"].without == pytest.approx(math.exp(expected / tokens), rel=1e-5)


def test_a_merge_in_which_no_term_acts_has_no_effects(place, questions):
    merge(place, dict.fromkeys(DOMAINS, 1.0), scale=0.0, normalize=True)
    with pytest.raises(RequestError, match="every domain's weight in the merge is 0"):
        effects_of(place, questions, MergeConfig(weights=dict.fromkeys(DOMAINS, 1.0), scale=0.0))


def test_acting_coefficients_are_normalised_and_scaled_in_each_group():
    own = [ParameterWeights("lm_head", {"web": 3.0})]
    merged = MergeConfig(weights={"web": 1.0, "social": 4.0}, scale=2.0, weights_by_parameter=own)
    np.testing.assert_allclose(coefficients(merged, DOMAINS), [[2.0, 0.4], [0.0, 1.6]])
    merged.normalize = False
    np.testing.assert_allclose(coefficients(merged, DOMAINS), [[6.0, 2.0], [0.0, 8.0]])
    with pytest.raises(RequestError, match="cannot be normalised"):
        coefficients(MergeConfig(weights={"web": 1.0, "social": -1.0}), DOMAINS)


def scores(generator, count, tokens, loss):
    """Of documents of about so many tokens, with about this loss per token."""
    lengths = np.random.default_rng(tokens).integers(tokens, 2 * tokens, count)
    return Scores(lengths * generator.normal(loss, 0.002, count), lengths, 3 * lengths)


def standing(losses, objective=None, count=40, seed=0):
    """Which term helps least, given the losses on short and on long texts: with all terms, and without each."""
    found = []
    for short, long in losses.values():
        generator = np.random.default_rng(seed)  # the same for each: they differ by the losses alone
        found.append({"short": scores(generator, count, 20, short), "long": scores(generator, count, 2000, long)})
    return _least(list(losses)[1:], found[0], found[1:], objective or SearchConfig())


def test_the_term_that_helps_least_is_that_of_the_searchs_objective():
    """By tokens, which the long texts have, web helps more than textbook; the mean of the domains says the contrary."""
    losses = {"all": (3.0, 3.0), "textbook": (3.2, 3.01), "web": (3.01, 3.05)}
    assert (standing(losses).term, standing(losses).next, standing(losses).told) == ("web", "textbook", True)
    assert standing(losses).change.relative == pytest.approx(math.expm1(-0.03), abs=1e-9)
    assert standing(losses).leads["textbook"].relative == pytest.approx(math.expm1(0.105 - 0.03), abs=1e-9)
    by_importance = SearchConfig(objective="importance", importance={"short": 1.0, "long": 20.0})
    assert standing(losses, by_importance).term == "textbook"


def test_no_term_is_named_where_the_interval_to_another_reaches_0():
    generator = np.random.default_rng(3)

    def noisy(loss):
        return {"short": scores(generator, 40, 20, loss), "long": scores(generator, 40, 2000, loss)}

    whole, *others = map(noisy, (3.0, 3.1, 3.0001, 3.0002))
    least = _least(["textbook", "assembly", "web"], whole, others, SearchConfig())
    assert least.term in ("assembly", "web") and not least.told
    assert standing({"all": (3, 3), "a": (3.1, 3.1), "b": (3.2, 3.2)}, count=8).told is False  # too few documents


def test_effects_on_all_hold_each_domains_count():
    generator = np.random.default_rng(5)
    whole = {d: scores(generator, 40, 500, loss) for d, loss in (("web", 3.0), ("social", 4.0))}
    without = {
        d: Scores(s.nll + s.tokens * by, s.tokens, s.bytes)
        for (d, s), by in zip(whole.items(), (0.3, -0.2), strict=True)
    }
    cells = {e.on: e.change for e in _effects(["web"], whole, [without])}
    assert cells["all"].high - cells["all"].low < 0.1
    assert cells["all"].low <= cells["all"].relative <= cells["all"].high


LAW, WEB = "법률", "web"


def record_of(place, lead, change=(-0.004, -0.006, -0.002), cells=None, **more):
    effect = change_of(-0.02, -0.03, -0.01)
    cells = cells or {WEB: {WEB: effect, LAW: effect, "all": effect}, LAW: {WEB: effect, LAW: None, "all": effect}}
    least = {"objective": "mean", "term": LAW, "change": change_of(*change), "leads": {WEB: change_of(*lead)}}
    record = {"format": 2, "merged": place.merged, "effects": cells, "least": least}
    record["documents"] = {WEB: 75, LAW: 30, "all": 105}
    write_json(place.layout.leave_one_out_record, record | more)
    for path in (place.layout.leave_one_out, place.layout.leave_one_out_picture):
        path.write_text("x")


def test_the_report_names_the_domain_that_helps_least_only_if_that_is_sure(tmp_path):
    place = MergedPlace(tmp_path / "root")
    record_of(place, (0.01, 0.004, 0.016))
    page = page_of(place)
    assert "**법률 helps least**: with its term, the perplexity of the mean of the domains' losses, each domain" in page
    assert "is 0.4% lower (95% interval 0.2% to 0.6% lower). Without web's instead of it" in page
    assert "no domain's term hurts any domain." in page and "flatters" not in page
    record_of(place, (0.003, -0.001, 0.007))
    page = page_of(place)
    assert "helps least**:" not in page and "**Which domain helps least cannot be told** by the perplexity" in page
    assert "without web's term instead of 법률's, it would be 0.3% higher (95% interval 0.1% lower to 0.7%" in page
    record_of(place, (0.003, None, None))
    assert "cannot be told** by the perplexity" in page_of(place) and "too few tune documents" in page_of(place)
    record_of(place, (0, 0, 0), least=None)  # of one domain
    assert "helps least" not in page_of(place) and "## What each domain adds" in page_of(place)

    record_of(place, (0.01, 0.004, 0.016))
    place.merge(scale=0.5)
    assert "## What each domain adds" not in page_of(place)  # of the merge before
    record_of(place, (0.01, 0.004, 0.016), format=1)
    assert "## What each domain adds" not in page_of(place)


def test_whom_a_term_hurts_is_told_of_all_cells_together(tmp_path):
    place = MergedPlace(tmp_path / "root")
    helps, hurts = change_of(-0.02, -0.03, -0.01), change_of(0.008, 0.004, 0.012)
    maybe = change_of(0.008, 0.0002, 0.0158)  # sure by itself, not of six
    cells = {WEB: {WEB: helps, LAW: hurts, "all": helps}, LAW: {WEB: maybe, LAW: maybe, "all": helps}}
    record_of(place, (0.01, 0.004, 0.016), cells=cells)
    assert "Beyond chance, web's term hurts 법률 (+0.8%)." in page_of(place)
    three = dict.fromkeys((WEB, LAW, "book"), hurts)
    record_of(place, (0.01, 0.004, 0.016), cells={LAW: three, WEB: {LAW: hurts, "all": helps}})
    assert "법률's term hurts web (+0.8%), 법률 (+0.8%), book (+0.8%); web's term hurts 법률 (+0.8%)." in page_of(place)
    few = change_of(0.01, None, None)
    cells = {WEB: {WEB: few, "all": few}, LAW: {WEB: few, "all": few}}
    record_of(place, (0.01, None, None), cells=cells, documents={WEB: 7, "all": 7})
    assert "hurts cannot be told: too few tune documents of web (7)." in page_of(place)
    record_of(place, (0.01, None, None), cells=cells, documents={WEB: 7, LAW: 30, "all": 37})
    assert "hurts any domain; too few tune documents to tell of web (7)." in page_of(place)
    cells = {WEB: {WEB: few, LAW: hurts, "all": helps}, LAW: {WEB: few, LAW: helps, "all": helps}}
    record_of(place, (0.01, 0.004, 0.016), cells=cells, documents={WEB: 7, LAW: 40, "all": 47})
    assert "web's term hurts 법률 (+0.8%); too few tune documents to tell of web (7)." in page_of(place)
    record_of(place, (0.01, None, None), cells=cells, documents={WEB: 7, "all": 7})
    assert "documents: web 7, all 7." in page_of(place)
    record_of(place, (0.01, 0.004, 0.016), cells={HOSTILE: {HOSTILE: change_of(0.1, 0.09, 0.11)}})
    assert "<script" not in page_of(place) and "`e`" not in page_of(place)


@pytest.mark.pictures
def test_effects_that_may_be_chance_say_so_in_the_picture(tmp_path, drawn):  # noqa: F811
    names = ["국회회의록", "교과서_초등학교_국어_사회_과학_2024년_개정판"]
    effects = {name: {other: change_of(-0.02, -0.03, -0.01) for other in [*names, "all"]} for name in names}
    effects[names[0]]["all"] = effects[names[0]][names[1]] = change_of(0.004, 0.0001, 0.0079)  # not of two
    effects[names[1]]["all"] = change_of(-0.05, None, None)
    effects[names[1]][names[0]] = None
    pictures.leave_one_out(effects, tmp_path / "l.png")
    assert {"-2.0%", "+0.4% ?", "-5.0% ?", "–", "국회회의록"} <= {t.get_text() for t in shown(drawn["l"])}
