"""Statistics of a difference vector: of the whole and of each parameter, without ever holding it in memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from dem.checkpoints import matrix_shape, tile_rows
from dem.compiled import power_sums
from dem.diff_writing import Delta
from dem.diffs import Difference
from dem.errors import RequestError

SAMPLE = 5000
"""Elements in the test of normality. With all of them, any departure from normal would be significant."""
HISTOGRAM_SIGMAS = 6
HISTOGRAM_BINS = 120
HISTOGRAM_ALL = 1 << 24
"""Elements up to which the histogram counts all; of more it counts every HISTOGRAM_STRIDE-th."""
HISTOGRAM_STRIDE = 251
"""A prime, so that it meets all columns of a matrix alike."""
LEAST_UNIT = 1e-30
"""Of which a distance from the mean is a multiple, where the standard deviation is less: its inverse is a float32."""


@dataclass
class Moments:
    """Count, mean, extremes and the sums of powers 2 to 4 of the distances from the mean, in float64."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def about(
        cls, centre: float, unit: float, count: int, sums: tuple[float, ...], low: float, high: float
    ) -> "Moments":
        """From the sums of the powers 1 to 4 of (value - centre) / unit; `centre` is near the mean."""
        s1, s2, s3, s4 = (total * unit**power for power, total in enumerate(sums, start=1))
        d = s1 / count
        m2 = s2 - count * d**2
        m3 = s3 - 3 * d * s2 + 2 * count * d**3
        m4 = s4 - 4 * d * s3 + 6 * d**2 * s2 - 3 * count * d**4
        return cls(count, centre + d, m2, m3, m4, low, high)

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets together (Pebay 2008, SAND2008-6212, equations 2.1 and 3.1)."""
        na, nb = self.count, other.count
        n = na + nb
        if na == 0 or nb == 0:
            return other if na == 0 else self
        d = other.mean - self.mean
        m2 = self.m2 + other.m2 + d**2 * na * nb / n
        m3 = self.m3 + other.m3 + d**3 * na * nb * (na - nb) / n**2 + 3 * d * (na * other.m2 - nb * self.m2) / n
        m4 = (
            self.m4
            + other.m4
            + d**4 * na * nb * (na**2 - na * nb + nb**2) / n**3
            + 6 * d**2 * (na**2 * other.m2 + nb**2 * self.m2) / n**2
            + 4 * d * (na * other.m3 - nb * self.m3) / n
        )
        mean = self.mean + d * nb / n
        return Moments(n, mean, m2, m3, m4, min(self.low, other.low), max(self.high, other.high))

    @property
    def std(self) -> float:
        """Standard deviation of the population."""
        return (self.m2 / self.count) ** 0.5

    @property
    def l2_norm(self) -> float:
        """Euclidean norm of the values (not of their distances from the mean)."""
        return (self.m2 + self.count * self.mean**2) ** 0.5

    def summary(self) -> dict[str, Any]:
        """The figures by name; what a constant has no value of (skewness, kurtosis) is None."""
        variance = self.m2 / self.count
        varies = variance > 0
        return {
            "count": self.count,
            "mean": self.mean,
            "variance": variance,
            "std": self.std,
            "l2_norm": self.l2_norm,
            "min": self.low,
            "max": self.high,
            "skewness": self.m3 / self.count / variance**1.5 if varies else None,
            "kurtosis": self.m4 / self.count / variance**2 - 3 if varies else None,
        }


def spread(delta: Delta) -> Moments:
    """Count, mean and m2 of a change, which the other statistics are taken about; the rest is left at its defaults.

    Of two factors they follow without the product: the sum of its elements is the product of the factors' sums over
    rows and columns, and that of their squares is the sum of (left^T left) * (right right^T).
    """
    if delta.factors is None:
        return sum((_spread_of_tile(tile) for tile in _tiles_of(delta)), Moments())
    count = math.prod(delta.shape)
    left, right = (half.double() for half in delta.factors)
    left = left * delta.scale
    mean = float(left.sum(0) @ right.sum(1)) / count
    squares = float(((left.T @ left) * (right @ right.T)).sum())
    return Moments(count, mean, max(0.0, squares - count * mean**2))


def require_meaning(spreads: dict[str, Moments], origin: Path, normalize: str) -> float:
    """Refuse changes of which nothing can be made, by the moments of each parameter's; return the norm of all.

    Raises:
        RequestError: an element is not finite, or all are 0 and are to be scaled to norm 1.
    """
    if broken := [name for name, moments in spreads.items() if not math.isfinite(moments.mean + moments.m2)]:
        raise RequestError(f"the difference of {broken[0]} is not finite: {origin} holds NaN or Inf; make it again")
    norm = sum(spreads.values(), Moments()).l2_norm
    if normalize == "l2" and norm == 0:
        raise RequestError(f"{origin} changes nothing (its difference is 0): diff.normalize l2 has no meaning")
    return norm


def _tiles_of(delta: Delta) -> Iterator[torch.Tensor]:
    height, width = matrix_shape(delta.shape)
    step = tile_rows(delta.shape)
    buffer = torch.empty(step, width)
    for first in range(0, height, step):
        tile = buffer[: min(step, height - first)]
        delta.rows(first, first + len(tile), tile)
        yield tile


def _spread_of_tile(tile: torch.Tensor) -> Moments:
    values = tile.double()
    return Moments(values.numel(), float(values.mean()), float((values - values.mean()).square().sum()))


@dataclass(frozen=True)
class Figures:
    """What is counted in one block of elements."""

    moments: Moments
    beyond: int
    """Elements more than 3 standard deviations of their parameter from its mean."""
    beyond_whole: int
    """The same for the whole difference's mean and deviation."""
    histogram: np.ndarray


class Statistics:
    """The statistics of a difference, gathered from blocks of its elements.

    The sums over a few thousand elements, in units of the standard deviation, are taken in float32, those of these sums
    in float64.
    """

    def __init__(self, spreads: dict[str, Moments], factor: float):
        """Of the changes with these spreads, each multiplied by `factor`."""
        self._near = {name: (float(s.mean * factor), float(s.std * factor)) for name, s in spreads.items()}
        whole = sum(spreads.values(), Moments())
        self._near_whole = (float(whole.mean * factor), float(whole.std * factor))
        self._stride = HISTOGRAM_STRIDE if whole.count > HISTOGRAM_ALL else 1
        reach = HISTOGRAM_SIGMAS * self._near_whole[1] or 1.0
        self._span = (self._near_whole[0] - reach, self._near_whole[0] + reach)
        self._moments = dict.fromkeys(spreads, Moments())
        self._beyond = dict.fromkeys(spreads, 0)
        self._beyond_whole = 0
        self._counts = np.zeros(HISTOGRAM_BINS)

    def describe(self, name: str, values: torch.Tensor, extremes: tuple[float, float]) -> Figures:
        """The figures of a block (flat, float32) of the parameter `name`.

        `extremes` are the block's smallest and largest element.
        """
        mean, std = self._near[name]
        whole_mean, whole_std = self._near_whole
        centre, unit = np.float32(mean), max(std, LEAST_UNIT)
        bounds = (3 * std / unit, whole_mean - 3 * whole_std, whole_mean + 3 * whole_std)
        sums, beyond, beyond_whole = power_sums(values.numpy(), centre, *map(np.float32, (1 / unit, *bounds)))
        return Figures(
            Moments.about(float(centre), unit, values.numel(), sums, *extremes),
            beyond,
            beyond_whole,
            torch.histc(values[:: self._stride], HISTOGRAM_BINS, *self._span).numpy(),
        )

    def add(self, name: str, figures: Figures) -> None:
        """Take in a block of the parameter `name`."""
        self._moments[name] += figures.moments
        self._beyond[name] += figures.beyond
        self._beyond_whole += figures.beyond_whole
        self._counts += figures.histogram

    @property
    def whole(self) -> Moments:
        """The moments of the whole difference."""
        return sum(self._moments.values(), Moments())

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts (estimated from some of the elements, if there are many) and edges of the bins."""
        return self._counts * self._stride, np.histogram_bin_edges([], HISTOGRAM_BINS, self._span)

    def summary(self, difference: Difference, base_parameters: int, seed: int) -> dict[str, Any]:
        """All figures by name.

        Args:
            difference: the vector as it was stored.
            base_parameters: number of elements of the base model.
            seed: of the sample that is tested for normality.
        """
        whole, index = self.whole, difference.index
        return {
            "domain": index.domain,
            "base": index.base,
            "source": index.source,
            "vector_fingerprint": index.vector_fingerprint,
            "storage": index.storage,
            "dtype": index.dtype,
            "normalize": index.normalize,
            "norm_before_normalisation": index.norm,
            "share_of_base_parameters": whole.count / base_parameters,
            **whole.summary(),
            "share_beyond_3_sigma": self._beyond_whole / whole.count,
            "normality": normality(difference.sample(SAMPLE, seed), seed),
            "parameters": [
                {"name": name, **own.summary(), "share_beyond_3_sigma": self._beyond[name] / own.count}
                for name, own in self._moments.items()
            ],
        }


def normality(sample: np.ndarray, seed: int) -> dict[str, Any]:
    """D'Agostino and Pearson's test (scipy.stats.normaltest), and the distance from the fitted normal curve.

    The p-value says whether the sample betrays any departure; `ks_distance` (Kolmogorov and Smirnov's D, the largest
    gap between the two distribution functions, 0 to 1) says how large it is. A reading of either is left to the
    reader: weights' changes have heavier tails than the normal, and with enough elements every test finds it.
    """
    figures: dict[str, Any] = {"test": "D'Agostino-Pearson", "sample": int(sample.size), "seed": seed}
    if sample.size < 20 or sample.std() == 0:
        return figures | {"statistic": None, "p_value": None, "ks_distance": None}
    test = stats.normaltest(sample)
    distance = stats.kstest(sample, "norm", args=(sample.mean(), sample.std())).statistic
    return figures | {
        "statistic": float(test.statistic),
        "p_value": float(test.pvalue),
        "ks_distance": float(distance),
    }
