"""Cosines and sign conflicts of differences, against plain NumPy on the whole vectors."""

import json

import numpy as np
import pytest
import torch

from dem import interference
from dem.diff_writing import Delta, write_index, write_vector
from dem.diffs import Difference, Index
from dem.interference import measure

SHAPES = {"layers.0.in": (40, 90), "layers.1.in": (70, 30), "head": (25, 60)}


def make_difference(folder, domain, changes, storage, dtype="float32") -> Difference:
    """A difference on disk of `changes`, each a pair of factors or (left alone, None) a whole matrix."""
    folder.mkdir(exist_ok=True)
    deltas = [
        Delta.of_factors(name, left, right, 1.0)
        if right is not None
        else Delta.of_whole(name, tuple(left.shape), lambda left=left: left)
        for name, (left, right) in changes.items()
    ]
    vector, index = folder / f"{domain}.npy", folder / f"{domain}.json"
    nothing = lambda *_: None  # noqa: E731
    parameters, digest = write_vector(vector, deltas, storage, dtype, 1.0, nothing, nothing)
    made_of = {"kind": "adapter", "path": "p", "fingerprint": "f"}
    base = {"name": "b", "fingerprint": "f"}
    write_index(index, Index(domain, base, made_of, storage, dtype, "none", 1.0, digest, parameters))
    return Difference(vector, index)


def changes(seed: int, names, rank=4, dense=(), zeros=0.0):
    torch.manual_seed(seed)
    made = {}
    for name in names:
        height, width = SHAPES[name]
        left, right = torch.randn(height, rank) + 0.1, torch.randn(rank, width) + 0.1
        if name in dense:
            whole = left @ right
            whole[torch.rand(whole.shape) < zeros] = 0
            made[name] = (whole, None)
        else:
            made[name] = (left, right)
    return made


def whole_vector(of) -> np.ndarray:
    """All parameters, also those that do not change, as one float64 vector."""
    parts = []
    for name, shape in SHAPES.items():
        left, right = of.get(name, (torch.zeros(shape), None))
        parts.append((left if right is None else left.double() @ right.double()).double().numpy().ravel())
    return np.concatenate(parts)


def cases():
    every = list(SHAPES)
    return {
        "low-rank": [(changes(1, every), "lowrank"), (changes(2, every), "lowrank"), (changes(3, every), "lowrank")],
        "dense": [(changes(1, every), "dense"), (changes(2, every), "dense")],
        "both, other parameters, zeros": [
            (changes(1, every, dense=("head",), zeros=0.4), "lowrank"),
            (changes(2, every[:2]), "dense"),
            (changes(3, every[1:], dense=("head",), zeros=0.2), "lowrank"),
        ],
        "nothing in common": [(changes(1, every[:1]), "lowrank"), (changes(2, every[1:]), "lowrank")],
    }


@pytest.mark.parametrize("case", cases())
def test_figures_are_those_of_the_whole_vectors(tmp_path, monkeypatch, case):
    monkeypatch.setattr(interference, "PIECE", 77)  # many pieces, and one that ends before the parameter's end
    made = cases()[case]
    vectors = [whole_vector(of) for of, _ in made]
    found = measure({str(i): make_difference(tmp_path, str(i), of, how) for i, (of, how) in enumerate(made)})
    union = {name for of, _ in made for name in of}
    assert found.elements == found.sampled == sum(np.prod(SHAPES[name]) for name in union)
    for i, x in enumerate(vectors):
        assert found.cosine[i][i] is None and found.sign_conflict[i][i] is None
        for j, y in enumerate(vectors):
            if i == j:
                continue
            both = (x != 0) & (y != 0)
            assert found.cosine[i][j] == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-6)
            assert found.cosine_error[i][j] == 0
            if both.any():
                opposite = np.mean(np.sign(x[both]) != np.sign(y[both]))
                assert found.sign_conflict[i][j] == pytest.approx(opposite, abs=1e-3)  # float32 products near 0
                assert found.sign_conflict_error[i][j] == 0
            else:
                assert found.sign_conflict[i][j] is None
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_sample_errs_as_much_as_it_says(tmp_path, monkeypatch):
    """Over many seeds, 95% of the estimates lie within 1.96 standard errors."""
    monkeypatch.setattr(interference, "PIECE", 16)
    monkeypatch.setattr(interference, "PIECES", 100)
    made = [changes(seed, SHAPES, dense=list(SHAPES)) for seed in (1, 2)]
    x, y = (whole_vector(of) for of in made)
    truth = (x @ y / np.linalg.norm(x) / np.linalg.norm(y), np.mean(np.sign(x) != np.sign(y)))
    differences = {str(i): make_difference(tmp_path, str(i), of, "dense") for i, of in enumerate(made)}
    within = np.zeros(2)
    for seed in range(200):
        monkeypatch.setattr(interference, "SEED", seed)
        found = measure(differences)
        assert found.sampled <= 1600
        for k, (values, errors) in enumerate(
            [(found.cosine, found.cosine_error), (found.sign_conflict, found.sign_conflict_error)]
        ):
            assert 0 < errors[0][1] < 0.1
            within[k] += abs(values[0][1] - truth[k]) < 1.96 * errors[0][1]
    assert (within > 0.9 * 200).all() and (within < 200).all()


def test_low_rank_cosines_are_exact_whatever_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(interference, "PIECE", 16)
    monkeypatch.setattr(interference, "PIECES", 3)
    made = [changes(seed, SHAPES) for seed in (1, 2)]
    x, y = (whole_vector(of) for of in made)
    found = measure({str(i): make_difference(tmp_path, str(i), of, "lowrank") for i, of in enumerate(made)})
    assert found.sampled == 48 and found.cosine_error[0][1] == 0 and found.sign_conflict_error[0][1] > 0
    assert found.cosine[0][1] == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-6)


def test_a_difference_of_zero_has_no_direction(tmp_path):
    zero = {"head": (torch.zeros(SHAPES["head"]), None)}
    pair = {"a": make_difference(tmp_path, "a", zero, "dense")}
    pair["b"] = make_difference(tmp_path, "b", changes(1, ["head"]), "dense")
    found = measure(pair)
    assert found.cosine[0][1] is None and found.sign_conflict[0][1] is None


@pytest.mark.parametrize("storage", ["dense", "lowrank"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_model_that_is_loaded_meanwhile_changes_no_figure(tmp_path, storage, dtype):
    """from_pretrained sets PyTorch's default dtype while it builds a model, for all threads: here in stage 3's."""
    pair = {str(s): make_difference(tmp_path, str(s), changes(s, SHAPES), storage, dtype) for s in (1, 2)}
    alone = measure(pair)
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        again = {name: Difference(d.path, d.path.with_suffix(".json")) for name, d in pair.items()}
        assert measure(again) == alone
    finally:
        torch.set_default_dtype(kept)


@pytest.mark.parametrize("storage", ["dense", "lowrank"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_single_elements_are_those_of_the_whole_change(tmp_path, storage, dtype):
    difference = make_difference(tmp_path, "d", changes(1, SHAPES), storage, dtype)
    for name in SHAPES:
        whole, elements = difference.read(name).numpy().ravel(), difference.elements(name, difference.factors(name))
        for first, last in ((0, 1), (29, 31), (85, 95), (0, whole.size), (whole.size - 3, whole.size)):
            assert elements(first, last) == pytest.approx(whole[first:last], rel=1e-5, abs=1e-6)
    assert difference.elements("elsewhere", None)(3, 9).tolist() == [0] * 6
