"""Statistics of a difference vector: of the whole and of each parameter, without ever holding it in memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from dem.diffs import Difference

PIECE = 1 << 18
"""Elements taken at once; their float64 copies stay in cache."""
SAMPLE = 5000
"""Elements in the test of normality. With all of them, any departure from normal would be significant."""
HISTOGRAM_SIGMAS = 6
HISTOGRAM_BINS = 120


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
    def of(cls, values: np.ndarray) -> "Moments":
        """The moments of a non-empty flat array."""
        return sum((cls._of_piece(values[i : i + PIECE]) for i in range(0, values.size, PIECE)), cls())

    @classmethod
    def _of_piece(cls, values: np.ndarray) -> "Moments":
        values = values.astype(np.float64)
        mean = values.mean()
        d = values - mean
        d2 = d * d
        sums = (d2.sum(), (d2 * d).sum(), (d2 * d2).sum())
        return cls(values.size, float(mean), *map(float, sums), float(values.min()), float(values.max()))

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


def summarise(
    difference: Difference, moments: dict[str, Moments], base_parameters: int, seed: int
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The summary, and the histogram's counts and edges.

    Args:
        difference: the vector as it was stored.
        moments: of each parameter, by name.
        base_parameters: number of elements of the base model.
        seed: of the sample that is tested for normality.
    """
    whole = sum(moments.values(), Moments())
    reach = HISTOGRAM_SIGMAS * whole.std or 1.0
    span = (whole.mean - reach, whole.mean + reach)
    edges = np.histogram_bin_edges([], HISTOGRAM_BINS, span)
    counts = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
    far: dict[str, int] = dict.fromkeys(moments, 0)
    far_from_whole = 0
    for parameter, piece in difference.flat_pieces(PIECE):
        own = moments[parameter.name]
        values = piece.astype(np.float64)
        far[parameter.name] += int(np.count_nonzero(np.abs(values - own.mean) > 3 * own.std))
        far_from_whole += int(np.count_nonzero(np.abs(values - whole.mean) > 3 * whole.std))
        counts += np.histogram(values, HISTOGRAM_BINS, span)[0]
    summary = {
        "domain": difference.index.domain,
        "base": difference.index.base,
        "source": difference.index.source,
        "dtype": difference.index.dtype,
        "normalize": difference.index.normalize,
        "norm_before_normalisation": difference.index.norm,
        "share_of_base_parameters": whole.count / base_parameters,
        **whole.summary(),
        "share_beyond_3_sigma": far_from_whole / whole.count,
        "normality": normality(difference.sample(SAMPLE, seed), seed),
        "parameters": [
            {"name": name, **own.summary(), "share_beyond_3_sigma": far[name] / own.count}
            for name, own in moments.items()
        ],
    }
    return summary, counts, edges


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
