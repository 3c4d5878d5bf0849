import json

import numpy as np
import pytest
import torch
from conftest import make_adapter
from safetensors.numpy import load_file
from scipy import stats

from dem import checkpoints
from dem.diff_statistics import Statistics, normality, spread
from dem.diff_writing import Delta


def close(value, expected):
    return value == pytest.approx(expected, rel=1e-6, abs=1e-12)


def described(values: np.ndarray, cut: int) -> dict:
    """The summary's figures of `values` as one parameter, taken in two tiles."""
    matrix = torch.from_numpy(values)[:, None]
    delta = Delta.of_whole("p", (len(values),), lambda: matrix.clone())
    statistics = Statistics({"p": spread(delta)}, 1.0)
    for tile in (matrix[:cut], matrix[cut:]):
        statistics.add("p", statistics.describe("p", tile.reshape(-1), (float(tile.min()), float(tile.max()))))
    return statistics.whole.summary()


@pytest.mark.parametrize("shift", [0.0, 1e3], ids=["centred", "far from 0"])
def test_moments_of_tiles_equal_those_of_the_whole(monkeypatch, shift):
    monkeypatch.setattr(checkpoints, "TILE", 97)
    values = (np.random.default_rng(0).gamma(2.0, 0.3, 5000) + shift).astype(np.float32)
    summary, exact = described(values, 1234), values.astype(np.float64)
    assert close(summary["mean"], exact.mean()) and close(summary["variance"], exact.var())
    assert summary["skewness"] == pytest.approx(stats.skew(exact), rel=1e-5)
    assert summary["kurtosis"] == pytest.approx(stats.kurtosis(exact), rel=1e-5)
    assert close(summary["l2_norm"], np.linalg.norm(exact))
    assert (summary["count"], summary["min"], summary["max"]) == (5000, values.min(), values.max())


def test_a_tiny_difference_has_its_shape_all_the_same():
    values = np.random.default_rng(0).laplace(0, 1e-13, 5000).astype(np.float32)  # the fourth powers are no float32
    summary = described(values, 1234)
    assert summary["kurtosis"] == pytest.approx(stats.kurtosis(values.astype(np.float64)), rel=1e-5)


def test_spread_of_factors_is_that_of_their_product():
    left, right = torch.randn(70, 3) + 0.5, torch.randn(3, 40) + 0.1
    product = (left.double() @ right.double() * 1.5).numpy()
    of_factors = spread(Delta.of_factors("p", left, right, 1.5))
    assert of_factors.mean == pytest.approx(product.mean(), rel=1e-9)
    assert of_factors.std == pytest.approx(product.std(), rel=1e-9)


def test_a_constant_has_no_skewness():
    summary = described(np.zeros(10, np.float32), 4)
    assert summary["skewness"] is None and summary["kurtosis"] is None and summary["l2_norm"] == 0


def test_normality_tells_normal_from_heavy_tails():
    random = np.random.default_rng(1)
    normal, heavy = (normality(x, 3) for x in (random.normal(size=4000), random.laplace(size=4000)))
    assert normal["p_value"] > 0.01 > heavy["p_value"]
    assert normal["ks_distance"] < 0.02 < heavy["ks_distance"]
    assert normality(np.zeros(100), 3)["p_value"] is None


@pytest.mark.pictures
def test_summary_file_equals_numpy_on_the_vector(workplace):
    make_adapter(workplace.base, workplace.layout.adapter("web"), seed=1)
    assert workplace.diff("web") == 0
    vector = np.load(workplace.layout.diff_vector("web")).astype(np.float64)
    index = json.loads(workplace.layout.diff_index("web").read_text())
    summary = json.loads(workplace.layout.diff_summary("web", ".json").read_text())
    base_parameters = sum(t.size for t in load_file(workplace.base / "model.safetensors").values())
    assert close(summary["share_of_base_parameters"], vector.size / base_parameters)
    parts = [vector[p["offset"] : p["offset"] + int(np.prod(p["shape"]))] for p in index["parameters"]]
    assert [p["name"] for p in summary["parameters"]] == [p["name"] for p in index["parameters"]]
    for figures, values in [(summary, vector), *zip(summary["parameters"], parts, strict=True)]:
        assert figures["count"] == values.size
        for name, expected in {
            "mean": values.mean(),
            "variance": values.var(),
            "std": values.std(),
            "l2_norm": np.linalg.norm(values),
            "min": values.min(),
            "max": values.max(),
            "skewness": stats.skew(values),
            "kurtosis": stats.kurtosis(values),
            "share_beyond_3_sigma": np.mean(np.abs(values - values.mean()) > 3 * values.std()),
        }.items():
            near = 1e-5 if name in ("skewness", "kurtosis") else 1e-7 * values.std()  # sums of a tile are in float32
            assert figures[name] == pytest.approx(expected, rel=1e-6, abs=near), name
    assert summary["normality"]["sample"] == 5000
    assert workplace.layout.diff_summary("web", ".png").read_bytes().startswith(b"\x89PNG")
    again = summary["normality"]
    assert workplace.diff("web") == 0
    assert json.loads(workplace.layout.diff_summary("web", ".json").read_text())["normality"] == again
