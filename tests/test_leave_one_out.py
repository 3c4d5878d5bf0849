"""What each domain's term adds and costs: as if the model had been merged without it, written and scored."""

import csv
import json
import math

import numpy as np
import pytest
from conftest import DOMAINS, make_adapter
from merged_place import MergedPlace, write_json
from test_pictures import drawn, shown  # noqa: F401
from test_scores import plain_scores
from test_team_report import HOSTILE, page_of
from transformers import AutoModelForCausalLM

from dem.checkpoints import Checkpoint
from dem.config import DataConfig, MergeConfig, ParameterWeights
from dem.corpus import Corpus
from dem.diffs import Difference
from dem.errors import RequestError
from dem.evaluation import comparison
from dem.evaluation.comparison import Questions
from dem.evaluation.documents import encode_documents
from dem.search import pictures
from dem.search.effects import publish_effects
from dem.search.leave_one_out import coefficients, effects_of_terms
from dem.search.stage import groups, open_terms
from dem.search.terms import changed_names

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
    return Questions(documents, [], tokenizer, 64, 1)


def effects_of(place, questions, settings):
    def terms_of(model):
        differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
        group_of = groups([own.pattern for own in settings.weights_by_parameter], changed_names(differences))
        return open_terms(model, Checkpoint(place.base), place.layout, differences, group_of)

    return effects_of_terms(place.layout, place.base, settings, questions, False, terms_of)


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
    effects = {(e.term, e.on): e for e in effects_of(place, questions, settings)}
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
            assert change.low <= change.relative <= change.high and change.high - change.low > 1e-5


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
    assert [e.without for e in again if e.term == "web"] == [e.without for e in first if e.term == "web"]
    assert again != first


def test_other_tune_documents_are_measured_anew_and_only_these(place, questions, measured):
    settings = MergeConfig(weights=WEIGHTS, normalize=False)
    effects_of(place, questions, settings)
    del measured[:]
    questions.documents["social"].pop()
    effects_of(place, questions, settings)
    assert measured == [(f, "perplexity social") for f in ("all", *DOMAINS)]


def test_table_record_and_picture_are_written(place, questions):
    effects = effects_of(place, questions, MergeConfig(weights=WEIGHTS, normalize=False))
    publish_effects(place.layout, effects)
    rows = list(csv.DictReader(place.layout.leave_one_out.open(encoding="utf-8")))
    assert [(row["term"], row["on"]) for row in rows] == [(e.term, e.on) for e in effects]
    assert float(rows[0]["effect"]) == pytest.approx(effects[0].change.relative, rel=1e-4)
    record = json.loads(place.layout.leave_one_out_record.read_text(encoding="utf-8"))
    assert record["effects"]["web"]["all"]["relative"] == effects[2].change.relative
    assert place.layout.leave_one_out_picture.read_bytes().startswith(b"\x89PNG")


def test_weights_of_single_parameters_lose_the_domain_too(place, questions):
    own = [ParameterWeights("layers.0.*out_proj", {"web": 2.0, "social": 0.5})]
    settings = MergeConfig(weights={"web": 0.0, "social": 0.7}, normalize=False, weights_by_parameter=own)
    effects = {(e.term, e.on): e for e in effects_of(place, questions, settings)}
    assert {term for term, _ in effects} == set(DOMAINS)  # web has a weight in some parameters
    text = '[{"pattern": "layers.0.*out_proj", "weights": {"web": 2.0, "social": 0}}]'
    merge(place, {"web": 0.0, "social": 0.0}, more=[f"--merge.weights_by_parameter={text}"])
    model = AutoModelForCausalLM.from_pretrained(place.layout.merged_model).eval()
    expected = sum(plain_scores(model, questions.documents["web"], 64))
    tokens = sum(len(each.ids) - 1 for each in questions.documents["web"])
    assert effects["social", "web"].without == pytest.approx(math.exp(expected / tokens), rel=1e-5)


def test_acting_coefficients_are_normalised_and_scaled_in_each_group():
    own = [ParameterWeights("lm_head", {"web": 3.0})]
    merged = MergeConfig(weights={"web": 1.0, "social": 4.0}, scale=2.0, weights_by_parameter=own)
    np.testing.assert_allclose(coefficients(merged, DOMAINS), [[2.0, 0.4], [0.0, 1.6]])
    merged.normalize = False
    np.testing.assert_allclose(coefficients(merged, DOMAINS), [[6.0, 2.0], [0.0, 8.0]])
    with pytest.raises(RequestError, match="cannot be normalised"):
        coefficients(MergeConfig(weights={"web": 1.0, "social": -1.0}), DOMAINS)


def change(relative, low, high):
    return {"relative": relative, "low": low, "high": high}


def test_the_report_names_the_domain_that_helps_least_and_whom_it_hurts(tmp_path):
    place = MergedPlace(tmp_path / "root")
    web = {"web": change(-0.03, -0.04, -0.02), "법률": change(0.01, -0.01, 0.03), "all": change(-0.02, -0.03, -0.01)}
    law = {"web": change(0.008, 0.002, 0.01), "법률": None, "all": change(-0.004, -0.006, 0.002)}
    record = {"merged": place.merged, "effects": {"web": web, "법률": law}}
    write_json(place.layout.leave_one_out_record, record)
    for path in (place.layout.leave_one_out, place.layout.leave_one_out_picture):
        path.write_text("x")
    page = page_of(place)
    assert "**법률 helps least**: with its term, the perplexity of all tune documents together is 0.4% lower" in page
    assert "Beyond chance, 법률's term hurts web (+0.8%)." in page and "flatters" not in page
    place.merge(scale=0.5)
    assert "## What each domain adds" not in page_of(place)  # of the merge before

    place.merge()
    hostile = {HOSTILE: {HOSTILE: change(0.1, 0.05, 0.2), "all": change(0.1, 0.05, 0.2)}}
    write_json(place.layout.leave_one_out_record, {"merged": place.merged, "effects": hostile})
    assert "<script" not in page_of(place) and "`e`" not in page_of(place)


def test_effects_that_may_be_chance_say_so_in_the_picture(tmp_path, drawn):  # noqa: F811
    names = ["국회회의록", "교과서_초등학교_국어_사회_과학_2024년_개정판"]
    effects = {name: {other: change(-0.02, -0.03, -0.01) for other in [*names, "all"]} for name in names}
    effects[names[0]]["all"] = change(0.004, -0.001, 0.009)
    effects[names[1]]["all"] = change(-0.05, None, None)
    effects[names[1]][names[0]] = None
    pictures.leave_one_out(effects, tmp_path / "l.png")
    assert {"-2.0%", "+0.4% ?", "-5.0% ?", "–", "국회회의록"} <= {t.get_text() for t in shown(drawn["l"])}
