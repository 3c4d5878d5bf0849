"""The same inputs through mergekit's own functions; the extra `benchmark` installs it.

Imports as little of this project as it can: `pytest --noconftest tests/test_against_mergekit.py` does.
"""

import pytest
import torch

pytest.importorskip("mergekit", reason="needs mergekit: pip install -e '.[benchmark]'")

from mergekit.merge_methods.api import merge_tensors  # noqa: E402

from dem.config import METHOD_FIELDS, MergeConfig  # noqa: E402
from dem.methods import combiner, generators  # noqa: E402

DOMAINS = ["main_data", "textbook", "web"]
WEIGHTS = [0.5, 0.3, 0.4]
PARAMETER = "backbone.layers.0.mixer.in_proj.weight"
OPTIONS = {
    "weighted_sum": [{}],
    "ties": [{"density": 0.2}, {"density": 0.5}, {"density": 1.0}],
    "dare_linear": [{"density": 0.3, "rescale": "l1"}, {"density": 0.3, "rescale": "none"}],
    "dare_ties": [{"density": 0.3, "rescale": "l1"}, {"density": 0.3, "rescale": "none"}],
    "della": [{"density": 0.4, "epsilon": 0.2, "rescale": r} for r in ("l1", "none")],
    "della_linear": [{"density": 0.4, "epsilon": 0.2, "rescale": r} for r in ("l1", "none")],
    "breadcrumbs": [{"density": 0.5, "gamma": 0.1}, {"density": 0.9, "gamma": 0.1}],
    "breadcrumbs_ties": [{"density": 0.5, "gamma": 0.1}, {"density": 0.9, "gamma": 0.1}],
    "sce": [{"select_topk": 0.1}, {"select_topk": 1.0}],
    "model_stock": [{}],
}
CASES = [
    (method, {**options, **normalize})
    for method, cases in OPTIONS.items()
    for options in cases
    for normalize in ([{"normalize": True}, {"normalize": False}] if "normalize" in METHOD_FIELDS[method] else [{}])
]


def by_mergekit(differences: torch.Tensor, merge: MergeConfig) -> torch.Tensor:
    """mergekit's merged weights on a base of zeros, so that what it takes for the differences is exact."""
    options = {f: getattr(merge, f) for f in METHOD_FIELDS[merge.method] if f not in ("weights", "seed")}
    if "weights" in METHOD_FIELDS[merge.method]:
        options |= {"weight": merge.weights, "lambda": merge.scale}
    if "rescale" in options:
        options["rescale"] = merge.rescale == "l1"
    per_domain = {k: dict.fromkeys(DOMAINS, v) for k, v in options.items() if k in ("density", "gamma", "epsilon")}
    return merge_tensors(
        [torch.zeros_like(differences[0]), *differences],
        "task_arithmetic" if merge.method == "weighted_sum" else merge.method,
        parameters=options | per_domain,
        ids=["base", *DOMAINS],
        base_index=0,
        dtype=torch.float32,
    )


@pytest.fixture
def same_masks(monkeypatch):
    """mergekit draws what dem draws, a domain after the other."""
    sources = iter(generators(7, DOMAINS, PARAMETER))
    monkeypatch.setattr(torch, "bernoulli", lambda p: (torch.rand(p.shape, generator=next(sources)) < p).to(p.dtype))


@pytest.mark.parametrize(("method", "options"), CASES, ids=str)
@pytest.mark.parametrize("shape", [(640, 257), (1021,)], ids=str)
def test_same_result(same_masks, method, options, shape):
    used = METHOD_FIELDS[method]
    # Of a size at which mergekit's absolute thresholds play no part; a common share keeps the cosines off 0.
    source = torch.Generator().manual_seed(3)
    differences = torch.randn(3, *shape, generator=source) + 0.5 * torch.randn(shape, generator=source)
    merge = MergeConfig(
        method=method,
        weights=dict(zip(DOMAINS, WEIGHTS if "weights" in used else [1.0] * 3, strict=True)),
        scale=0.7 if "weights" in used else 1.0,  # mergekit's sce and model_stock have no lambda
        seed=7 if "seed" in used else 42,
        **options,
    )
    expected = by_mergekit(differences, merge)
    result = combiner(merge, PARAMETER, DOMAINS)(differences.clone())
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(result, expected, rtol=2e-6, atol=2e-6)
    assert torch.equal(result == 0, expected == 0) or method == "model_stock"  # the same elements were chosen
