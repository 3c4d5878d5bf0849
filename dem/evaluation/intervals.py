"""How sure a change of perplexity is: a paired bootstrap over documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dem.evaluation.scores import Scores

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0
DRAWS_AT_ONCE = 1 << 21
"""Documents drawn together, a few megabytes; one resample may exceed it."""


@dataclass(frozen=True)
class Change:
    """perplexity(model) / perplexity(base) - 1, with its interval; no interval of a single document."""

    relative: float
    low: float | None
    high: float | None


def sure(change: Change) -> bool:
    """Whether the whole interval lies on one side of 0."""
    return change.low is not None and (change.low > 0 or change.high < 0)


def changes(base: Scores, models: Sequence[Scores]) -> list[Change | None]:
    """The change of each model's token-weighted perplexity against the base's; None where one of both has none.

    The interval is the percentile interval of CONFIDENCE (Efron & Tibshirani 1993, chapter 13): documents are drawn
    with replacement, RESAMPLES times, each with its score under both models. Every model sees the same draws. Texts
    that share an author or a source vary less than the interval assumes, and of a dozen documents or fewer it is too
    narrow. How training would vary with another seed is not in it.

    scipy.stats.bootstrap draws anew for each statistic, which takes minutes where there are 100,000 documents.

    Raises:
        ValueError: the scores are not of the same tokens.
    """
    if any(not np.array_equal(model.tokens, base.tokens) for model in models):
        raise ValueError("the models were not scored on the same documents")
    kept = base.tokens > 0  # nothing was predicted of the others
    with np.errstate(invalid="ignore"):  # of a model that computes no numbers, which is left out below
        differences = [(model.nll - base.nll)[kept] for model in models]
        sums = resampled_sums(np.array([*differences, base.tokens[kept]])) if base.documents > 1 else None
    return [_change(base, model, None if sums is None else sums[row] / sums[-1]) for row, model in enumerate(models)]


def _change(base: Scores, model: Scores, resampled: np.ndarray | None) -> Change | None:
    """The change, given the mean difference per token in each resample."""
    if base.perplexity is None or model.perplexity is None:
        return None
    relative = float(np.expm1((model.nll - base.nll).sum() / base.tokens.sum()))
    if resampled is None:
        return Change(relative, None, None)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.expm1(np.quantile(resampled, [tail, 1 - tail]))
    return Change(relative, float(low), float(high))


def resampled_sums(values: np.ndarray) -> np.ndarray:
    """Sums of `values` (rows, documents) over documents drawn with replacement: (rows, RESAMPLES), the same each time.

    What is drawn is how often each document occurs, which is all that a sum needs.
    """
    count = values.shape[1]
    generator = np.random.default_rng(SEED)
    at_once = max(DRAWS_AT_ONCE // count, 1)
    sums = np.empty((RESAMPLES, len(values)))
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        drawn = generator.integers(count, size=(rows, count), dtype=np.int32)
        drawn += np.arange(rows, dtype=np.int32)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        sums[start : start + rows] = times @ values.T
    return sums.T
