"""Every way to combine differences against a plain float64 computation written from its paper, and what must hold."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from dem.config import METHOD_FIELDS, MergeConfig, ParameterWeights
from dem.errors import RequestError
from dem.methods import METHODS, check_weights, combiner, generators, normalised_weights, parameter_weights

DOMAINS = ["main_data", "web", "social"]
WEIGHTS = [0.5, 0.3, 0.4]
PARAMETER = "backbone.layers.0.mixer.in_proj.weight"
SHAPES = [(40, 33), (257,), (12, 1, 4)]
LINEAR = ["weighted_sum", "dare_linear", "della_linear", "breadcrumbs"]
ELECTING = ["ties", "dare_ties", "della", "breadcrumbs_ties"]
RANDOM = ["dare_linear", "dare_ties", "della", "della_linear"]


def random_differences(shape=SHAPES[0], n=3, seed=0) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)) * 1e-2


def config(method: str, **fields) -> MergeConfig:
    weights = WEIGHTS if "weights" in METHOD_FIELDS[method] else [1.0] * len(WEIGHTS)
    return MergeConfig(method=method, **{"weights": dict(zip(DOMAINS, weights, strict=True)), **fields})


def merge(differences: torch.Tensor, method: str, domains=DOMAINS, parameter=PARAMETER, **fields) -> np.ndarray:
    result = combiner(config(method, **fields), parameter, domains)(differences.clone())
    assert result.dtype == differences.dtype and result.shape == differences.shape[1:]
    return result.numpy()


def uniform(differences: torch.Tensor, seed: int, domains=DOMAINS) -> list[np.ndarray]:
    sources = generators(seed, domains, PARAMETER)
    return [torch.rand(differences.shape[1:], generator=g).numpy() for g in sources]


# The papers' steps, one element or one row at a time.


def np_trim(d: np.ndarray, density: float) -> np.ndarray:
    order = sorted(range(d.size), key=lambda i: (-abs(d.flat[i]), i))
    out = np.zeros_like(d)
    for i in order[: max(1, int(density * d.size))]:
        out.flat[i] = d.flat[i]
    return out


def np_breadcrumbs(d: np.ndarray, density: float, gamma: float) -> np.ndarray:
    order = np.argsort(-abs(d.ravel()), kind="stable")
    outliers = min(int(gamma * d.size), d.size - int(density * d.size))
    out = np.zeros_like(d)
    for i in order[outliers : outliers + int(density * d.size)]:
        out.flat[i] = d.flat[i]
    return out


def np_staying(d: np.ndarray, density: float, epsilon: float) -> np.ndarray:
    rows = d.reshape(len(d) if d.ndim > 1 else 1, -1)
    out = np.empty_like(rows)
    for i, row in enumerate(rows):
        for rank, j in enumerate(np.argsort(abs(row), kind="stable")):
            out[i, j] = density - epsilon + 2 * epsilon * rank / (len(row) - 1)
    return out.reshape(d.shape)


def np_rescale(d: np.ndarray, kept: np.ndarray, probability, rescale: str) -> np.ndarray:
    left = d * kept
    return {"none": left, "probability": left / probability, "l1": left * (abs(d).sum() / abs(left).sum())}[rescale]


def np_linear(ds: list[np.ndarray], weights, normalize: bool) -> np.ndarray:
    return sum(w * d for w, d in zip(weights, ds, strict=True)) / (sum(weights) if normalize else 1)


def np_elect(ds: list[np.ndarray], weights, normalize: bool) -> np.ndarray:
    out = np.zeros_like(ds[0])
    for i in np.ndindex(out.shape):
        sign = 1 if sum(w * d[i] for w, d in zip(weights, ds, strict=True)) >= 0 else -1
        agreeing = [(w, w * d[i]) for w, d in zip(weights, ds, strict=True) if np.sign(w * d[i]) == sign]
        if agreeing:
            out[i] = sum(v for _, v in agreeing) / (sum(w for w, _ in agreeing) if normalize else 1)
    return out


def np_sce(ds: list[np.ndarray], select_topk: float) -> np.ndarray:
    variance = np.var(ds, axis=0)
    order = np.argsort(-variance.ravel(), kind="stable")[: int(select_topk * np.count_nonzero(variance))]
    chosen = np.zeros(variance.size)
    chosen[order] = 1
    ds = [d * chosen.reshape(d.shape) for d in ds] if select_topk < 1 else ds
    weights = np.array([np.square(d).sum() for d in ds]) / np.square(ds).sum()
    out = np.zeros_like(ds[0])
    for i in np.ndindex(out.shape):
        sign = 1 if sum(d[i] for d in ds) >= 0 else -1
        agreeing = [(w, d[i]) for w, d in zip(weights, ds, strict=True) if np.sign(d[i]) == sign]
        if agreeing:
            out[i] = sum(w * v for w, v in agreeing) / sum(w for w, _ in agreeing)
    return out


def np_model_stock(ds: list[np.ndarray]) -> np.ndarray:
    n = len(ds)
    cosines = [(a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)) for i, a in enumerate(ds) for b in ds[i + 1 :]]
    cosine = sum(cosines) / len(cosines)
    return n * cosine / (1 + (n - 1) * cosine) * sum(ds) / n


def assert_equal(result: np.ndarray, expected: np.ndarray) -> None:
    exactness = {"rtol": 2e-6, "atol": 2e-8} if result.dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-15}
    np.testing.assert_allclose(result, expected, **exactness)


@pytest.fixture(params=[(shape, torch.float32) for shape in SHAPES] + [(SHAPES[0], torch.float64)], ids=str)
def differences(request):
    shape, dtype = request.param
    return random_differences(shape).to(dtype)


@pytest.fixture
def exact(differences):
    return list(differences.double().numpy())


@pytest.mark.parametrize("normalize", [True, False])
class TestAgainstThePapers:
    def test_weighted_sum(self, differences, exact, normalize):
        assert_equal(merge(differences, "weighted_sum", normalize=normalize), np_linear(exact, WEIGHTS, normalize))

    @pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
    def test_ties(self, differences, exact, normalize, density):
        expected = np_elect([np_trim(d, density) for d in exact], WEIGHTS, normalize)
        assert_equal(merge(differences, "ties", normalize=normalize, density=density), expected)

    @pytest.mark.parametrize("rescale", ["probability", "l1", "none"])
    @pytest.mark.parametrize(("method", "np_merge"), [("dare_linear", np_linear), ("dare_ties", np_elect)])
    def test_dare(self, differences, exact, normalize, method, np_merge, rescale):
        kept = [u < 0.3 for u in uniform(differences, 5)]
        thinned = [np_rescale(d, k, 0.3, rescale) for d, k in zip(exact, kept, strict=True)]
        result = merge(differences, method, normalize=normalize, density=0.3, rescale=rescale, seed=5)
        assert_equal(result, np_merge(thinned, WEIGHTS, normalize))

    @pytest.mark.parametrize("rescale", ["probability", "l1", "none"])
    @pytest.mark.parametrize(("method", "np_merge"), [("della_linear", np_linear), ("della", np_elect)])
    def test_della(self, differences, exact, normalize, method, np_merge, rescale):
        staying = [np_staying(d, 0.4, 0.2) for d in exact]
        kept = [u < p for u, p in zip(uniform(differences, 5), staying, strict=True)]
        thinned = [np_rescale(*dkp, rescale) for dkp in zip(exact, kept, staying, strict=True)]
        options = {"normalize": normalize, "density": 0.4, "epsilon": 0.2, "rescale": rescale, "seed": 5}
        assert_equal(merge(differences, method, **options), np_merge(thinned, WEIGHTS, normalize))

    @pytest.mark.parametrize(("density", "gamma"), [(0.5, 0.1), (0.9, 0.1), (0.9, 0.0)])
    @pytest.mark.parametrize(("method", "np_merge"), [("breadcrumbs", np_linear), ("breadcrumbs_ties", np_elect)])
    def test_breadcrumbs(self, differences, exact, normalize, method, np_merge, density, gamma):
        masked = [np_breadcrumbs(d, density, gamma) for d in exact]
        result = merge(differences, method, normalize=normalize, density=density, gamma=gamma)
        assert_equal(result, np_merge(masked, WEIGHTS, normalize))


@pytest.mark.parametrize("select_topk", [0.1, 0.7, 1.0])
def test_sce(differences, exact, select_topk):
    assert_equal(merge(differences, "sce", select_topk=select_topk), np_sce(exact, select_topk))


def test_sce_selects_among_the_elements_that_vary():
    differences = torch.full((3, 10), 0.1)
    differences[:, 6:] += torch.tensor([[0.01, 0.02, 0.03, 0.04]]) * torch.tensor([[1], [2], [4]])
    assert np.flatnonzero(merge(differences, "sce", select_topk=0.5)).tolist() == [8, 9]


def test_model_stock(differences, exact):
    shared = random_differences(differences.shape[1:], n=1, seed=9)  # without it the cosines are about 0
    exact = [d + shared[0].double().numpy() for d in exact]
    assert_equal(merge(torch.tensor(np.stack(exact), dtype=torch.float32), "model_stock"), np_model_stock(exact))


def test_model_stock_of_equal_differences_is_their_mean_and_of_opposed_ones_nothing():
    d = random_differences(n=1)[0]
    assert_equal(merge(torch.stack([d, d, d]), "model_stock"), d.numpy())
    assert not merge(torch.stack([d, -d]), "model_stock", domains=DOMAINS[:2]).any()
    assert not merge(torch.stack([d, 0 * d]), "model_stock", domains=DOMAINS[:2]).any()


@pytest.mark.parametrize("method", METHODS)
def test_the_table_and_the_config_name_the_same(method):
    assert list(METHODS) == list(METHOD_FIELDS) == list(get_args(MergeConfig.__annotations__["method"]))
    assert METHODS[method].function.__name__ == ("weighted_sum" if method == "regmean" else method)
    assert METHODS[method].random == (method in RANDOM)
    assert METHODS[method].elementwise == METHODS[method].is_sum == (method in ("weighted_sum", "regmean"))


def test_an_elementwise_method_may_be_called_on_tiles():
    differences = random_differences()
    whole = merge(differences, "weighted_sum", scale=1.7)
    tiles = [merge(differences[:, i : i + 7], "weighted_sum", scale=1.7) for i in range(0, 40, 7)]
    assert np.array_equal(np.concatenate(tiles), whole)
    assert np.array_equal(differences, random_differences())


@pytest.mark.parametrize("method", METHODS)
def test_scaling_the_differences_scales_the_result(method):
    """No absolute threshold: differences of LoRA adapters are small."""
    differences = random_differences() + random_differences(n=1, seed=9)
    factor = 2.0**-30
    assert_equal(merge(differences * factor, method) / factor, merge(differences, method))
    assert_equal(merge(differences, method, scale=-0.25), -0.25 * merge(differences, method))


@pytest.mark.parametrize("method", [m for m in METHODS if m != "model_stock"])
def test_one_domain(method):
    """Alone a domain has weight 1, whatever its weight; where nothing is left out it is the result."""
    differences = random_differences(n=1)
    whole = {f: 1.0 for f in ("density", "select_topk") if f in METHOD_FIELDS[method]}
    weights = {"weights": {"web": 0.25}}
    assert_equal(merge(differences, method, ["web"], **weights, **whole), differences[0].numpy())


@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize("normalize", [True, False])
def test_density_1_is_the_weighted_sum(method, normalize):
    differences = random_differences()
    density = {"density": 1.0} if method != "weighted_sum" else {}
    expected = merge(differences, "weighted_sum", normalize=normalize)
    assert np.array_equal(merge(differences, method, normalize=normalize, **density), expected)


@pytest.mark.parametrize("method", ELECTING)
def test_density_1_only_elects(method):
    differences = random_differences()
    assert np.array_equal(merge(differences, method, density=1.0), merge(differences, "ties", density=1.0))


@pytest.mark.parametrize("method", [m for m in METHODS if "weights" in METHOD_FIELDS[m]])
def test_a_domain_of_weight_0_takes_no_part(method):
    differences = random_differences()
    weights = {"main_data": 0.5, "web": 0.3, "social": 0.0}
    expected = merge(differences[:2], method, DOMAINS[:2], weights=weights)
    assert_equal(merge(differences, method, weights=weights), expected)


@pytest.mark.parametrize("method", ELECTING)
def test_a_domain_that_left_the_parameter_alone_has_no_vote(method):
    differences = random_differences()
    differences[2] = 0
    assert_equal(merge(differences, method), merge(differences[:2], method, DOMAINS[:2]))


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_domains_does_not_matter(method):
    differences = random_differences()
    turned = merge(differences[[2, 0, 1]], method, [DOMAINS[i] for i in (2, 0, 1)])
    assert_equal(turned, merge(differences, method))


@pytest.mark.parametrize("method", RANDOM)
def test_random_methods_depend_on_seed_and_name_and_on_nothing_else(method):
    differences = random_differences((60, 20_000), n=2)  # more than one chunk
    domains = DOMAINS[:2]
    first = merge(differences, method, domains)
    torch.manual_seed(1)
    torch.rand(3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        merge(differences[:, :5], method, domains, parameter="another.weight")
        assert np.array_equal(merge(differences, method, domains), first)
    finally:
        torch.set_num_threads(threads)
    assert not np.array_equal(merge(differences, method, domains, seed=43), first)
    assert not np.array_equal(merge(differences, method, domains, parameter="another.weight"), first)
    assert not np.array_equal(merge(differences, method, ["web", "main_data"]), first)


@pytest.mark.parametrize("method", ["dare_linear", "della_linear"])
def test_rescaling_keeps_the_expectation(method):
    """Over many seeds the mean of each element is the element, the small ones included."""
    differences = random_differences((6, 5), n=1)
    d = differences[0].double().numpy()
    draws = 4000
    mean = sum(merge(differences, method, ["web"], seed=seed).astype(np.float64) for seed in range(draws)) / draws
    staying = 0.5 - 0.15 * (method == "della_linear")  # the least likely
    deviation = abs(d) * math.sqrt((1 / staying - 1) / draws)
    assert (abs(mean - d) < 5 * deviation).all()


def test_of_equal_magnitudes_the_earlier_stay():
    differences = torch.tensor([[1.0, -2.0, 2.0, 2.0, -2.0, 0.5]])
    options = {"domains": ["web"], "density": 0.5}
    assert merge(differences, "ties", **options).tolist() == [0, -2, 2, 2, 0, 0]
    assert merge(differences, "breadcrumbs", gamma=0.2, **options).tolist() == [0, 0, 2, 2, -2, 0]
    assert merge(torch.ones(1, 6), "ties", **options).tolist() == [1, 1, 1, 0, 0, 0]
    assert merge(torch.zeros(1, 6), "ties", **options).tolist() == [0] * 6


def test_at_least_one_element_survives_the_trimming_of_ties():
    assert merge(torch.tensor([[1.0, -3.0, 2.0]]), "ties", ["web"], density=0.01).tolist() == [0, -3, 0]


def test_a_sum_of_0_elects_plus():
    differences = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    weights = {"main_data": 1.0, "web": 1.0}
    result = merge(differences, "ties", DOMAINS[:2], weights=weights, density=1.0)
    assert result.tolist() == [1, 1]
    result = merge(differences, "ties", DOMAINS[:2], weights=weights, density=1.0, normalize=False)
    assert result.tolist() == [1, 1]


def test_weights_by_parameter():
    own = [
        ParameterWeights(r"layers\.0\.", {"web": 1.0, "social": 3.0}),
        ParameterWeights("in_proj", {"main_data": 2.0}),
    ]
    merge_config = config("weighted_sum", weights_by_parameter=own)
    assert parameter_weights(merge_config, PARAMETER) == {"web": 1.0, "social": 3.0}
    assert parameter_weights(merge_config, "backbone.layers.1.mixer.in_proj.weight") == {"main_data": 2.0}
    assert parameter_weights(merge_config, "lm_head.weight") == dict(zip(DOMAINS, WEIGHTS, strict=True))
    differences = random_differences(n=2)
    result = combiner(merge_config, PARAMETER, ["web", "social"])(differences.clone())
    assert_equal(result.numpy(), (0.25 * differences[0] + 0.75 * differences[1]).numpy())


def test_patterns_without_effect_and_weights_that_cannot_be_normalised_are_refused():
    names = [PARAMETER, "lm_head.weight"]
    own = [
        ParameterWeights("mixer", {"web": 1.0}),
        ParameterWeights("in_proj", {"web": 2.0}),
        ParameterWeights("conv1d", {"web": 2.0}),
        ParameterWeights("lm_head", {"web": 1.0, "social": -1.0}),
    ]
    check_weights(config("weighted_sum", weights_by_parameter=own[:1]), names)
    with pytest.raises(RequestError) as mistake:
        check_weights(config("weighted_sum", weights_by_parameter=own), names)
    assert "weights_by_parameter[0]" not in str(mistake.value)
    for words in ("[1].weights: 'in_proj' matches no", "[2].weights: 'conv1d' matches", "[3].weights add up to 0"):
        assert words in str(mistake.value)
    check_weights(config("weighted_sum", weights_by_parameter=own[3:], normalize=False), names)
    zero = {"web": 1.0, "social": -1.0}
    with pytest.raises(RequestError, match="^merge.weights add up to 0"):
        check_weights(config("weighted_sum", weights=zero), names)
    everywhere = [ParameterWeights("", {"web": 1.0})]
    check_weights(config("weighted_sum", weights=zero, weights_by_parameter=everywhere), names)


def test_normalised_weights():
    assert normalised_weights({"a": 1.5, "b": -0.5}) == {"a": 1.5, "b": -0.5}
    assert normalised_weights({"a": 3.0, "b": 1.0}) == {"a": 0.75, "b": 0.25}
    for weights in ({"a": 1.0, "b": -1.0}, {"a": 0.0}, {}):
        with pytest.raises(RequestError, match="add up to 0"):
            normalised_weights(weights)
