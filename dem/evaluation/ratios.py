"""What part one mean change of perplexity is of another: a ratio of two means of domains, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dem.evaluation.intervals import ROUNDING, Sample, critical, paired
from dem.evaluation.scores import Scores


@dataclass(frozen=True)
class Ratio:
    """What part of one mean change another is, with its interval; none of too few documents, or if it has no end."""

    value: float
    low: float | None
    high: float | None


def ratios_of_means(
    base: Mapping[str, Scores], models: Sequence[Mapping[str, Scores]], whole: Mapping[str, Scores]
) -> list[Ratio]:
    """What part each model's mean difference of the domains' losses per token is of that of `whole`, all against base.

    The interval is Fieller's (1954), of all ratios r at which (mean of the model) - r * (mean of `whole`) may be 0.
    That is studentised and resampled as a change is, both means of the same documents (Hwang 1995, Statistica Sinica
    5). It has no end where the mean of `whole` is not far enough from 0.

    Args:
        base: as `models` and `whole`, by domain; all are numbers, of the same tokens, and each domain has documents.

    Raises:
        ZeroDivisionError: the mean of `whole` is 0.
    """
    drawn = [paired(base[domain], [whole[domain], *(model[domain] for model in models)]) for domain in base]
    means = [float(np.mean([own[row].sum() / own[0].sum() for own in drawn])) for row in range(1, len(models) + 2)]
    values = [mean / means[0] for mean in means[1:]]
    strata = []
    for tokens, first, *others in drawn:
        rows = [(own, own - first, own - value * first) for own, value in zip(others, values, strict=True)]
        strata.append(np.array([tokens, first, *(row for three in rows for row in three)]))
    sample = Sample(strata, np.full(len(strata), 1 / len(strata)))
    if sample.too_few():
        return [Ratio(value, None, None) for value in values]
    errors, freedom = sample.errors()
    resampled = list(sample.resampled())
    ratios = []
    for number, value in enumerate(values):
        own, apart, pivot = (1 + 3 * number + i for i in range(3))
        if errors[pivot] <= ROUNDING:
            ratios.append(Ratio(value, value, value))
            continue
        both = (errors[0] ** 2 + errors[own] ** 2 - errors[apart] ** 2) / 2
        ends = critical(freedom[pivot], resampled[pivot])
        ratios.append(_fieller(means[1 + number], means[0], errors[own] ** 2, errors[0] ** 2, both, ends))
    return ratios


def _fieller(
    part: float, whole: float, variance: float, variance_of_whole: float, both: float, ends: tuple[float, float]
) -> Ratio:
    """The ratio part / whole of two means with these variances and the covariance `both`.

    `ends` are the least and the largest number of standard errors that part - ratio * whole may lie from 0.
    """
    below, above = ends if whole < 0 else (-ends[1], -ends[0])  # of the ratio, by the way the difference goes with it
    found = []
    for errors, side in ((below, -1), (above, 1)):
        curved = whole**2 - errors**2 * variance_of_whole
        middle = part * whole - errors**2 * both
        root = middle**2 - curved * (part**2 - errors**2 * variance)
        if not (np.isfinite(errors) and curved > 0 and root >= 0):
            return Ratio(part / whole, None, None)
        found.append(float((middle + side * np.sqrt(root)) / curved))
    return Ratio(part / whole, *found)
