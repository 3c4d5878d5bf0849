"""Differences made of others: written whole, read like any, taken again only while nothing has changed."""

import json

import pytest
import torch
from test_interference import SHAPES, changes, make_difference

from dem.derived import RECORD, read_derived, write_derived
from dem.errors import RequestError


def made(tmp_path):
    pair = {"a": make_difference(tmp_path, "a", changes(1, SHAPES, dense=("head",)), "lowrank")}
    pair["b"] = make_difference(tmp_path, "b", changes(2, SHAPES), "dense", "float16")
    name = next(iter(SHAPES))
    height, width = SHAPES[name]
    torch.manual_seed(3)
    factors = {d: {name: (torch.randn(height, 2), torch.randn(2, width))} for d in pair}
    return pair, name, factors


def test_named_parameters_have_the_new_factors_and_others_stay(tmp_path):
    pair, name, factors = made(tmp_path)
    derived = write_derived(tmp_path / "kind", pair, factors, {"alpha": 0.9}, {"tokens": 3})
    for domain, difference in derived.items():
        assert [p.name for p in difference.index.parameters] == [p.name for p in pair[domain].index.parameters]
        assert all(torch.equal(*halves) for halves in zip(difference.factors(name), factors[domain][name], strict=True))
        for other in set(SHAPES) - {name}:
            assert torch.equal(difference.read(other), pair[domain].read(other))
        assert difference.index.source["kind"] == "kind" and difference.intact
        assert difference.index.base == pair[domain].index.base


def test_they_are_taken_again_only_of_the_same_content(tmp_path):
    pair, name, factors = made(tmp_path)
    folder = tmp_path / "kind"
    assert read_derived(folder, pair, {"alpha": 0.9}) is None
    write_derived(folder, pair, factors, {"alpha": 0.9, "shape": (1, 2)}, {"tokens": 3})
    found, told = read_derived(folder, pair, {"alpha": 0.9, "shape": (1, 2)})
    assert told == {"tokens": 3} and torch.equal(found["b"].factors(name)[1], factors["b"][name][1])
    assert read_derived(folder, pair, {"alpha": 0.8, "shape": (1, 2)}) is None
    other = {**pair, "b": make_difference(tmp_path / "other", "b", changes(4, SHAPES), "lowrank")}
    assert read_derived(folder, other, {"alpha": 0.9, "shape": (1, 2)}) is None
    assert read_derived(folder, {"a": pair["a"]}, {"alpha": 0.9, "shape": (1, 2)}) is None


@pytest.mark.parametrize("damage", ["record", "index", "vector", "missing", "bits", "another", "altered"])
def test_what_is_damaged_is_not_taken(tmp_path, damage):
    pair, name, factors = made(tmp_path)
    folder = tmp_path / "kind"
    write_derived(folder, pair, factors, {}, {})
    victim = {"record": RECORD, "index": "diff_a.json", "missing": "diff_b.npy"}.get(damage, "diff_a.npy")
    content = (folder / victim).read_bytes()
    if damage == "missing":
        (folder / victim).unlink()
    elif damage == "another":
        for name in ("diff_a.npy", "diff_a.json"):
            (folder / name).write_bytes((tmp_path / name.removeprefix("diff_")).read_bytes())
    elif damage == "altered":
        index = json.loads((folder / "diff_a.json").read_text(encoding="utf-8"))
        (folder / "diff_a.json").write_text(json.dumps(index | {"norm": 7.0}), encoding="utf-8")
    elif damage == "bits":
        (folder / victim).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    else:
        (folder / victim).write_bytes(content[: len(content) // 2])
    assert read_derived(folder, pair, {}) is None


def test_a_factor_that_is_not_finite_leaves_what_was_there(tmp_path):
    pair, name, factors = made(tmp_path)
    write_derived(tmp_path / "kind", pair, factors, {}, {})
    factors["b"][name][0][0, 0] = float("nan")
    with pytest.raises(RequestError, match="not finite"):
        write_derived(tmp_path / "kind", pair, factors, {"other": 1}, {})
    assert read_derived(tmp_path / "kind", pair, {})
