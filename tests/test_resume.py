"""An evaluation that was cut off goes on from the models that are finished, and ends with the same files."""

import json
import os
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DOMAINS, make_adapter, split_off

from dem.common import log
from dem.config import DataConfig
from dem.corpus import Corpus
from dem.evaluation import comparison
from dem.evaluation.documents import Document, encode_documents, fingerprint
from dem.evaluation.drawing import at_most
from dem.evaluation.evaluated import Evaluated
from dem.sample_text import generate

EVERYTHING = ["perplexity web", "perplexity social", "answers"]


@pytest.fixture
def place(workplace):
    for i, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=i)
        assert workplace.diff(domain) == 0
    return workplace


@pytest.fixture
def measured(monkeypatch):
    """What is measured from now on, as (model, part)."""
    seen, measure = [], comparison._measure

    def watched(part, model, kept, bar):
        value = measure(part, model, kept, bar)
        if kept._path.parent.name != "leave_one_out":
            seen.append((kept._path.stem, part.name))
        return value

    monkeypatch.setattr(comparison, "_measure", watched)
    return seen


class Bar:
    """A progress bar as far as it can be wrong: where it ends, and where it should."""

    def __init__(self, total, what, unit):
        Bar.total, Bar.n = total, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, count):
        Bar.n += count


def outputs(place) -> dict[str, object]:
    """The content of results/ without the seconds, and so without what speaks of durations."""
    layout, found = place.layout, {}
    timed = (layout.durations, layout.acceptance, layout.report)
    for path in sorted(layout.results.rglob("*")):
        if path.is_file() and path.suffix != ".png" and path not in timed:
            text = path.read_text(encoding="utf-8")
            found[str(path.relative_to(place.layout.results))] = (
                timeless(json.loads(text)) if path.suffix == ".json" else text
            )
    return found


def timeless(value):
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k != "seconds"}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def test_a_killed_evaluation_goes_on_and_ends_with_the_same_files(place, measured, monkeypatch):
    assert place.merge() == 0
    assert measured == [(m, p) for m in ("base", *DOMAINS, "merged") for p in EVERYTHING]
    unbroken = outputs(place)
    for path in sorted(place.layout.results.rglob("*.*")):
        path.unlink()

    def measure_or_die(part, model, kept, bar):
        if kept._path.stem == "social" and part.name == "perplexity social":
            os.kill(os.getpid(), signal.SIGKILL)
        return measure(part, model, kept, bar)

    with monkeypatch.context() as patch:
        measure = comparison._measure
        patch.setattr(comparison, "_measure", measure_or_die)
        run = split_off(place.merge, place.root.parent / "stderr")
    run.join()
    assert run.exitcode == -signal.SIGKILL
    kept = place.layout.evaluated("base").parent
    assert sorted(path.name for path in kept.glob("*.json")) == ["base.json", "social.json", "web.json"]
    assert not place.layout.metrics.exists() and not place.layout.prompt_comparison.exists()

    del measured[:]
    monkeypatch.setattr(comparison, "progress_bar", Bar)
    assert place.merge() == 0
    assert measured == [("social", "perplexity social"), ("social", "answers")] + [("merged", p) for p in EVERYTHING]
    assert 0 < Bar.n == Bar.total  # of what was left
    assert outputs(place) == unbroken
    log = place.layout.merge_log.read_text(encoding="utf-8")
    assert "base, web measured before, and nothing has changed since" in log and "social (1 of 3)" in log

    del measured[:]
    monkeypatch.setattr(comparison, "load_model", None)  # no model is loaded for nothing
    assert place.merge() == 0
    assert measured == [] and outputs(place) == unbroken


def test_only_what_a_change_touches_is_measured_again(place, measured):
    assert place.merge() == 0
    before = outputs(place)
    assert before["metrics.json"]["drawn_from"] == {} and "test_tokens" not in before["metrics.json"]["settings"]

    def again(*options):
        del measured[:]
        assert place.merge(*options) == 0
        return set(measured)

    every_model = ["base", *DOMAINS, "merged"]
    options = ("--evaluation.max_new_tokens", "3", "--merge.weights.web", "0.7")
    make_adapter(place.base, place.layout.adapter("web"), seed=9)
    assert place.diff("web") == 0
    assert again() == {(m, p) for m in ("web", "merged") for p in EVERYTHING}
    assert outputs(place)["metrics.json"] != before["metrics.json"]
    assert again("--merge.weights.web", "0.7") == {("merged", p) for p in EVERYTHING}
    assert again(*options) == {(m, "answers") for m in every_model}
    path = place.layout.parquet("social")
    pq.write_table(pa.table({"text": generate("social", 60, 2)}), path)
    assert again(*options) == {(m, "perplexity social") for m in every_model}
    assert again(*options, "--data.max_length", "32") == {(m, f"perplexity {d}") for m in every_model for d in DOMAINS}


def test_fewer_test_tokens_are_the_same_documents_for_every_model(place, measured, tokenizer):
    few = ("--evaluation.tokens", "400")
    perplexities = {(m, f"perplexity {d}") for m in ("base", *DOMAINS, "merged") for d in DOMAINS}
    assert place.merge(*few) == 0
    metrics = json.loads(place.layout.metrics.read_text(encoding="utf-8"))
    assert (metrics["settings"]["test_tokens"], metrics["settings"]["test_seed"]) == (400, 42)
    data = DataConfig(max_length=64, tune_fraction=0.1, test_fraction=0.1)
    for domain in DOMAINS:
        every = encode_documents(Corpus([place.layout.parquet(domain)], data).documents("test"), tokenizer)
        drawn = at_most(every, 400, 42)
        tokens = sum(len(document.ids) - 1 for document in drawn)
        assert 200 < tokens < 400 and metrics["fingerprints"]["test"][domain] == fingerprint(drawn)
        assert metrics["drawn_from"][domain] == len(every) > len(drawn)
        for model in ("base", *DOMAINS, "merged"):
            found = metrics["models"][model]["perplexity"][domain]
            assert (found["documents"], found["tokens"]) == (len(drawn), tokens)
        assert f" {len(drawn)} of {len(every)} " in place.layout.report.read_text(encoding="utf-8")
    assert "at most 400 tokens of test documents were drawn" in place.layout.report.read_text(encoding="utf-8")
    del measured[:]
    assert place.merge(*few) == 0 and measured == []
    assert place.merge(*few, "--evaluation.seed", "7") == 0 and set(measured) == perplexities  # the answers are kept


def test_whole_documents_are_drawn_up_to_so_many_tokens():
    documents = [Document(range(size), size) for size in (5, 40, 7, 9, 3, 20)]
    for seed in range(20):
        drawn = at_most(documents, 30, seed)
        assert sum(len(d.ids) for d in drawn) <= 30 or len(drawn) == 1
        assert drawn == [d for d in documents if d in drawn] and drawn == at_most(documents, 30, seed)
    assert at_most(documents, 84, 0) == documents and at_most([], 5, 0) == []
    assert len({tuple(len(d.ids) for d in at_most(documents, 30, seed)) for seed in range(20)}) > 3


def test_a_damaged_record_is_measured_again(place, measured):
    assert place.merge() == 0
    before, path = outputs(place), place.layout.evaluated("web")
    path.write_text(path.read_text()[:-20])
    del measured[:]
    assert place.merge() == 0
    assert measured == [("web", p) for p in EVERYTHING] and outputs(place) == before
    assert f"{path} is damaged and not used" in place.layout.merge_log.read_text(encoding="utf-8")


KEY, PART = {"model": "a", "versions": {"torch": "1"}}, {"prompts": "p"}


@pytest.fixture
def record(tmp_path, caplog, monkeypatch):
    """A file with one part."""
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "propagate", False)
    log.setLevel("INFO")
    Evaluated(tmp_path / "web.json", KEY).put("answers", PART, ["x"], 1.0)
    return tmp_path / "web.json"


def answers_in(path, key=KEY, part=PART):
    return Evaluated(path, key).get("answers", part, lambda value: value == ["x"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: text.replace('"format": 1', '"format": 0'),
        lambda text: text.replace('"parts": {', '"parts": 3, "p": {'),
        lambda text: text.replace('"seconds"', '"second"'),
        lambda text: text.replace('"seconds": ', '"seconds": "x", "s": '),
        lambda text: text.replace('"value": [', '"value": [1, '),
    ],
    ids=["cut short", "a list", "another format", "no parts", "part not whole", "seconds no number", "too many values"],
)
def test_a_damaged_record_is_not_used_and_that_is_said(record, caplog, damage):
    assert answers_in(record) == ["x"] and not caplog.messages
    record.write_text(damage(record.read_text()))
    assert answers_in(record) is None
    assert len(caplog.messages) == 1 and f"{record} is damaged and not used" in caplog.messages[0]


def test_a_record_of_something_else_is_not_used_and_the_log_says_what_changed(record, caplog):
    assert answers_in(record, part={"prompts": "q"}) is None
    assert answers_in(record, key={**KEY, "versions": {"torch": "2"}}) is None
    assert caplog.messages == [f"evaluation: {record} is not used: since then versions changed"]
    assert Evaluated(record, KEY).seconds(["answers"]) == 1.0
