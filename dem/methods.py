"""How the differences of one parameter are combined; one function per method, float32 in and out."""

from collections.abc import Sequence

import torch

from dem.errors import RequestError


def weighted_sum(differences: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """sum_i weights_i * differences_i (Ram et al. 2024, arXiv 2406.15570, equation 2), accumulated in float32.

    `differences` are float32 tensors of one shape; the first is overwritten by the result.
    """
    total = differences[0].mul_(weights[0])
    for difference, weight in zip(differences[1:], weights[1:], strict=True):
        total.add_(difference, alpha=weight)
    return total


def normalised_weights(weights: dict[str, float]) -> dict[str, float]:
    """The weights divided by their sum, so that they add up to 1; single ones may be negative.

    Raises:
        RequestError: the sum is too near to 0 to divide by.
    """
    total, size = sum(weights.values()), sum(abs(w) for w in weights.values())
    if abs(total) <= 1e-6 * size or size == 0:
        raise RequestError(
            f"merge.weights add up to {total:g} and cannot be normalised to 1: change them or set merge.normalize false"
        )
    return {domain: weight / total for domain, weight in weights.items()}
