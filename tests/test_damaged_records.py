"""Records that are read again: one of another form is named in one line, and in the report, never left out."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import pytest
import torch
from conftest import DOMAINS, make_adapter
from merged_place import MergedPlace, write_json

from dem.errors import RequestError
from dem.evaluation.answers import read_answers
from dem.evaluation.metrics import read_metrics
from dem.evaluation.team_report import publish_report
from dem.layout import RUN_RECORD
from dem.merging import require_same_split
from dem.typed import conform


@dataclass
class Inner:
    number: float
    name: str = "x"


class Open(TypedDict):
    kind: Literal["a", "b"]


@dataclass
class Outer:
    inner: Inner
    pairs: dict[str, list[int]]
    maybe: Inner | None
    both: tuple[int, str]
    shape: tuple[int, ...] = ()
    open: Open | None = None
    rest: dict[str, Any] = field(default_factory=dict)


WHOLE = {"inner": {"number": 2}, "pairs": {"a": [1, 2]}, "maybe": None, "both": [1, "x"]}


def test_a_value_is_taken_as_what_it_should_be():
    taken = conform({**WHOLE, "shape": [3, 4], "open": {"kind": "a", "more": 1}}, Outer)
    assert taken == Outer(Inner(2.0), {"a": [1, 2]}, None, (1, "x"), (3, 4), {"kind": "a", "more": 1})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inner": {}}, "inner.number is missing"),
        ({"inner": {"number": "2"}}, "inner.number is '2', not a number"),
        ({"inner": {"number": True}}, "inner.number is True"),
        ({"inner": {"number": float("nan")}}, "inner.number is nan"),
        ({"inner": []}, "inner is a list, not an object"),
        ({"inner": {"number": 1, "else": 1}}, "inner.else is unknown"),
        ({"pairs": {"a": [1, 2.5]}}, "pairs.a.1 is 2.5, not a whole number"),
        ({"pairs": {"a": {}}}, "pairs.a is an object, not a list"),
        ({"maybe": 5}, "maybe is 5, not an object"),
        ({"both": [1]}, "both holds 1 values, not 2"),
        ({"open": {"kind": "c"}}, "open.kind is 'c', not one of a, b"),
        ({"open": {"kind": []}}, "open.kind is a list"),
        ({"shape": [True]}, "shape.0 is True"),
    ],
)
def test_what_it_should_not_be_is_named(change, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        conform({**WHOLE, **change}, Outer)


@pytest.fixture
def merged(tmp_path):
    return MergedPlace(tmp_path / "root")


def change(path, *keys, to):
    content = json.loads(path.read_text(encoding="utf-8"))
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    write_json(path, content)


@pytest.mark.parametrize("to", [None, 5, "x", [], [[]], {"a": 1}, True], ids=str)
@pytest.mark.parametrize(
    "keys",
    [
        ("models",),
        ("models", "base"),
        ("models", "merged", "perplexity"),
        ("models", "merged", "perplexity", "all"),
        ("models", "merged", "perplexity", "all", "perplexity"),
        ("models", "merged", "perplexity", "all", "change"),
        ("models", "merged", "texts"),
        ("models", "merged", "harness"),
        ("settings",),
        ("fingerprints",),
        ("versions",),
    ],
    ids=".".join,
)
def test_metrics_of_another_form_are_named_in_the_report(merged, keys, to):
    path = merged.layout.metrics
    change(path, *keys, to=to)
    try:
        read_metrics(path)
    except RequestError as damage:
        assert str(path) in str(damage) and "evaluate again" in str(damage)
        publish_report(merged.layout)
        assert "metrics.json is damaged" in plain(merged.layout.report)
    else:  # it is of the form
        publish_report(merged.layout)


def plain(report):
    return report.read_text(encoding="utf-8").replace("&#95;", "_").replace("&#58;", ":")


@pytest.mark.parametrize("to", [None, 5, "x", [5], {"a": 1}], ids=str)
@pytest.mark.parametrize("keys", [("models",), ("models", 0), ("models", 0, "answers"), ("prompts", 0), ("decoding",)])
def test_answers_of_another_form_are_named(merged, keys, to):
    path = merged.layout.answers
    change(path, *keys, to=to)
    with pytest.raises(RequestError, match="answers.json is damaged"):
        read_answers(path)
    publish_report(merged.layout)
    assert "answers.json is damaged" in plain(merged.layout.report)


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", '{"format": 2, "merged": 5, "effects": {}}', '{"format": 2, "merged": null, "effects": [1]}', "{"],
)
def test_a_damaged_leave_one_out_is_named_not_left_out(merged, content):
    merged.layout.leave_one_out_record.write_text(content)
    publish_report(merged.layout)
    assert "leave_one_out.json" in plain(merged.layout.report)


def test_effects_of_wrong_types_are_named(merged):
    effects = {"web": {"all": {"relative": "x", "low": None, "high": None}}}
    record = {"format": 2, "merged": merged.merged, "effects": effects, "least": None, "documents": {}}
    write_json(merged.layout.leave_one_out_record, record)
    publish_report(merged.layout)
    assert "effects.web.all.relative is 'x'" in plain(merged.layout.report).replace("&#39;", "'")


def test_other_records_of_another_form_are_named(merged):
    change(merged.layout.diff_summary("web", ".json"), "normality", to=5)
    change(merged.layout.adapter("web") / RUN_RECORD, "seconds", to="lang")
    change(merged.layout.durations, "merge", to=[])
    publish_report(merged.layout)
    report = plain(merged.layout.report)
    assert "diff_web_summary.json is damaged" in report and "dem_run.json is damaged" in report
    assert "durations.json is damaged" in report
    change(merged.layout.merge_record, "domains", "web", "weight", to="viel")
    publish_report(merged.layout)
    assert "dem_provenance.json is damaged" in plain(merged.layout.report)


@pytest.mark.parametrize("data", [[], 5, "x", None])
def test_a_training_record_of_another_form_is_refused(tmp_path, data):
    from dem.config import DataConfig

    write_json(tmp_path / RUN_RECORD, {"data": data})
    with pytest.raises(RequestError, match="dem_run.json is damaged"):
        require_same_split(tmp_path, DataConfig(), [])


def set_key(adapter, **settings):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_adapters_of_a_newer_peft_and_of_a_compiled_model(workplace, refused):
    adapter = make_adapter(workplace.base, workplace.layout.adapter("web"), seed=1)
    assert workplace.diff("web") == 0
    vector = workplace.layout.diff_vector("web").read_bytes()
    set_key(adapter, peft_version="0.99.0", later_rule=None, other=False, third={}, fourth=[])
    assert workplace.diff("web") == 0
    assert workplace.layout.diff_vector("web").read_bytes() == vector
    for used in (True, 0, {"a": 1}):
        set_key(adapter, later_rule=used)
        refused(workplace.diff("web"), "lora_web", "PEFT 0.99.0", "later_rule", "pip install")
    set_key(adapter, later_rule=None, to_dict=True)  # the name of something that is no setting
    refused(workplace.diff("web"), "to_dict")
    set_key(adapter, to_dict=None)
    weights = adapter / "adapter_model.bin"
    tensors = torch.load(weights, weights_only=True)
    torch.save({n.replace("model.", "model._orig_mod.", 1): t for n, t in tensors.items()}, weights)
    refused(workplace.diff("web"), "lora_web", "_orig_mod.", "torch.compile")
    torch.save({n: t.int() for n, t in tensors.items()}, weights)
    refused(workplace.diff("web"), "lora_web", "int32")


def test_an_index_that_is_not_what_was_written_is_refused(workplace, refused):
    for number, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=number)
        assert workplace.diff(domain) == 0
    index = workplace.layout.diff_index("web")
    whole = json.loads(index.read_text())
    names = [p["name"] for p in whole["parameters"]]
    alike = [n for n, p in enumerate(whole["parameters"]) if p["shape"] == whole["parameters"][0]["shape"]]
    assert len(alike) > 1
    swapped = {alike[0]: names[alike[1]], alike[1]: names[alike[0]]}
    for damage in (
        {"parameters": [{**p, "name": swapped.get(n, p["name"])} for n, p in enumerate(whole["parameters"])]},
        {"norm": whole["norm"] * 2},
        {"parameters": [{**p, "shape": [True, *p["shape"][1:]]} for p in whole["parameters"]]},
        {"source": {}},
    ):
        index.write_text(json.dumps({**whole, **damage}))
        refused(workplace.merge("--evaluation.enabled", "false"), "diff_web.json", "make both again")
    del whole["index_fingerprint"]  # as earlier versions wrote it
    index.write_text(json.dumps(whole))
    assert workplace.merge("--evaluation.enabled", "false") == 0
