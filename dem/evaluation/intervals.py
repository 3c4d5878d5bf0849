"""How sure a change of perplexity is: a paired, studentised bootstrap over documents, within each domain.

The estimate is a ratio of sums over documents (of log-likelihood and of tokens), or a mean of such ratios. An interval
is the wider one of two, on either side: the bootstrap-t interval (Efron & Tibshirani 1993, chapter 12; Hall 1992,
chapter 3), whose standard error in a resample is that of a ratio (Cochran 1977, equation 6.13, within strata 6.44),
and Student's. Their own standard error is the jackknife's, in which a long document that decides alone counts in full.
Percentile intervals are too narrow: with twenty documents, 95% ones cover 76 to 92%, these 93 to 95%, or 89% where long
documents are few and change otherwise than short ones (tests/test_intervals.py simulates some).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from dem.evaluation.scores import Scores
from dem.split_size import FEW_DOCUMENTS

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0
LEAST = FEW_DOCUMENTS
"""Documents below which there is no interval: of fewer, skewed ones, none covers what it says. In a mean of domains, so
many have to count in effect."""
UNITS = 1000
"""That are drawn at most of each domain. Of more documents, as many groups of equal count, put together at random."""
DRAWS_AT_ONCE = 1 << 21
"""Units drawn together, a few megabytes; one resample may exceed it."""
ROUNDING = 1e-12
"""Nats per token below which nothing differs."""
METHOD = "bootstrap-t, Student's t where wider; paired over documents, within domains"


@dataclass(frozen=True)
class Change:
    """perplexity(model) / perplexity(base) - 1, with its interval; no interval of fewer than LEAST documents."""

    relative: float
    low: float | None
    high: float | None
    p: float | None = None
    """The p-value of no change that belongs to the interval: below 1 - CONFIDENCE where the interval excludes 0."""


def sure(change: Change) -> bool:
    """Whether the whole interval lies on one side of 0."""
    return change.low is not None and (change.low > 0 or change.high < 0)


def beyond_chance(family: Sequence[Change | None]) -> list[bool]:
    """Which changes differ from 0 when all are looked at together, so that any false one is as rare as 1 - CONFIDENCE.

    Holm's procedure (1979), which needs no independence. What has no interval is not beyond chance, and is not counted.
    """
    tested = sorted((change.p, i) for i, change in enumerate(family) if change and change.p is not None)
    found = [False] * len(family)
    for rank, (p, i) in enumerate(tested):
        if p > (1 - CONFIDENCE) / (len(tested) - rank):
            break
        found[i] = True
    return found


def marked(grid: Mapping[str, Mapping[str, Change | None]]) -> set[tuple[str, str]]:
    """Row and column of the cells that are beyond chance, all cells of the grid taken together."""
    cells = [(row, column) for row, columns in grid.items() for column in columns]
    return {cell for cell, is_so in zip(cells, beyond_chance([grid[r][c] for r, c in cells]), strict=True) if is_so}


def changes(base: Scores, models: Sequence[Scores]) -> list[Change | None]:
    """The change of each model's token-weighted perplexity against the base's; None where one of both has none.

    Documents are drawn with replacement, RESAMPLES times, each with its score under both models. Every model sees the
    same draws. Texts that share an author or a source vary less than the interval assumes. How training would vary with
    another seed is not in it.

    Raises:
        ValueError: the scores are not of the same tokens.
    """
    return changes_together({"": base}, [{"": model} for model in models])


def changes_together(base: Mapping[str, Scores], models: Sequence[Mapping[str, Scores]]) -> list[Change | None]:
    """The same of all domains' documents, by domain; each domain keeps its number of documents in every resample.

    A single document of a domain is drawn with those of the domain that has the fewest others.
    """
    return _changes(base, models, None)


def changes_of_mean(
    base: Mapping[str, Scores], models: Sequence[Mapping[str, Scores]], shares: Mapping[str, float] | None = None
) -> list[Change | None]:
    """The change that the mean of the domains' losses per token makes: exp(mean difference) - 1.

    Args:
        shares: what each domain counts, adding up to 1; without, all alike. A domain without documents is left out.
    """
    measured = {domain: 1.0 if shares is None else shares[domain] for domain in base if base[domain].documents}
    whole = sum(measured.values())
    return _changes(base, models, {domain: share / whole for domain, share in measured.items() if share})


def _changes(
    base: Mapping[str, Scores], models: Sequence[Mapping[str, Scores]], shares: Mapping[str, float] | None
) -> list[Change | None]:
    if any(not np.array_equal(model[domain].tokens, base[domain].tokens) for model in models for domain in base):
        raise ValueError("the models were not scored on the same documents")
    domains = [domain for domain in (base if shares is None else shares) if base[domain].documents]
    known = [i for i, m in enumerate(models) if all(s.perplexity is not None for d in domains for s in (base[d], m[d]))]
    found: list[Change | None] = [None] * len(models)
    if known and domains:
        strata = [paired(base[d], [models[i][d] for i in known]) for d in domains]
        sample = Sample(strata, None if shares is None else np.array([shares[d] for d in domains]))
        for i, change in zip(known, sample.changes(), strict=True):
            found[i] = change
    return found


def paired(base: Scores, models: Sequence[Scores]) -> np.ndarray:
    """(1 + models, documents): tokens, and each model's differences of log-likelihood; of what has any token."""
    kept = base.tokens > 0
    return np.array([base.tokens[kept], *((model.nll - base.nll)[kept] for model in models)], np.float64)


class Sample:
    """Documents of one or more domains, and the estimates that they give of each model."""

    def __init__(self, strata: list[np.ndarray], shares: np.ndarray | None):
        """Of `strata`, by domain as paired makes them; with `shares` a mean of the domains', else of all tokens."""
        self._shares = shares
        self._documents = sum(stratum.shape[1] for stratum in strata)
        strata = list(map(_grouped, strata if shares is not None else _joined(strata)))
        sums = np.array([stratum.sum(1) for stratum in strata])
        rates, scales = self._parts(sums[:, :1], sums[:, 1:])
        self._estimates = (scales * sums[:, 1:]).sum(0)
        self._tokens = [stratum[0] for stratum in strata]
        # What a document's difference is beyond its tokens' share of the estimate, (models, documents).
        self._residuals = [
            stratum[1:] - rate[:, None] * stratum[0] for stratum, rate in zip(strata, rates, strict=True)
        ]
        self._counts = np.array([tokens.size for tokens in self._tokens])

    def _parts(self, tokens: np.ndarray, differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of sums, (domains, ...), the differences per token, and what each domain's sums count in the estimate."""
        if self._shares is None:
            whole = tokens.sum(0, keepdims=True)
            rate = differences.sum(0, keepdims=True) / whole
            return np.broadcast_to(rate, differences.shape), np.broadcast_to(1 / whole, tokens.shape)
        shares = self._shares.reshape(-1, *[1] * (tokens.ndim - 1))
        return differences / tokens, shares / tokens

    def changes(self) -> list[Change]:
        """Of each model, with its interval where there are documents enough."""
        if self.too_few():
            return [Change(float(np.expm1(estimate)), None, None) for estimate in self._estimates]
        errors, freedom = self.errors()
        resampled = self.resampled()
        return [_change(*one) for one in zip(self._estimates, errors, freedom, resampled, strict=True)]

    def too_few(self) -> bool:
        """Whether the documents are too few for an interval."""
        return bool(self._documents_in_effect() < LEAST or self._counts.min() < 2)

    def _documents_in_effect(self) -> float:
        """All; but of a mean of domains so many as tell no more, since a few of one domain may decide alone.

        They are its degrees of freedom if all documents vary alike (Satterthwaite 1946), counted in documents.
        """
        if self._shares is None:
            return self._documents
        variances = self._shares**2 / self._counts
        return round(variances.sum() ** 2 / (variances**2 / self._counts).sum(), 6)

    def errors(self) -> tuple[np.ndarray, np.ndarray]:
        """The jackknife's standard error of each model's estimate, and its degrees of freedom (Satterthwaite 1946).

        Where a document is left out, the others of its domain stand for it.
        """
        own = np.array([tokens.sum() for tokens in self._tokens])
        wholes, weights = (
            (np.full_like(own, own.sum()), np.ones_like(own)) if self._shares is None else (own, self._shares)
        )
        variances = []
        for tokens, residuals, whole, weight in zip(self._tokens, self._residuals, wholes, weights, strict=True):
            more = tokens.size / (tokens.size - 1)
            rest = whole - more * (tokens - tokens.mean())
            leads = weight * more * (residuals - residuals.mean(1, keepdims=True)) / rest
            variances.append((leads**2).sum(1) / more)
        whole = np.sum(variances, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = whole**2 / (np.square(variances) / (self._counts - 1)[:, None]).sum(0)
        return np.sqrt(whole), np.where(whole > 0, freedom, 1.0)

    def resampled(self) -> Iterator[np.ndarray]:
        """Of each model, how many standard errors each resample's estimate lies above the sample's, (RESAMPLES,)."""
        generator = np.random.default_rng(SEED)
        drawn = []
        for tokens, residuals in zip(self._tokens, self._residuals, strict=True):
            columns = [tokens, tokens**2, *residuals, *residuals**2, *residuals * tokens]
            drawn.append(resampled_sums(np.array(columns), generator))
        tokens, squares, *rest = np.array(drawn).swapaxes(0, 1)
        models = len(self._estimates)
        for model in range(models):
            yield self._studentised(tokens, squares, *rest[model::models])

    def _studentised(
        self, tokens: np.ndarray, squares: np.ndarray, sums: np.ndarray, own: np.ndarray, products: np.ndarray
    ) -> np.ndarray:
        """From each resample's sums of t, t^2, e, e^2 and e t over documents, all (domains, RESAMPLES)."""
        rates, scales = self._parts(tokens, sums)
        counts = self._counts[:, None]
        spread = own - 2 * rates * products + rates**2 * squares - (sums - rates * tokens) ** 2 / counts
        variance = (counts / (counts - 1) * scales**2 * np.maximum(spread, 0)).sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Where all documents drawn are the same one, there is no error to measure by.
            return np.nan_to_num((scales * sums).sum(0) / np.sqrt(variance), nan=0.0, posinf=np.inf, neginf=-np.inf)


def _change(estimate: float, error: float, freedom: float, resampled: np.ndarray) -> Change:
    relative = float(np.expm1(estimate))
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = np.expm1(estimate - error * np.array(critical(freedom, resampled)[::-1]))
    if error <= ROUNDING:
        return Change(relative, relative, relative, float(abs(estimate) <= ROUNDING))
    if not np.isfinite([low, high]).all():
        return Change(relative, None, None)
    there = estimate / error
    beyond = min(np.count_nonzero(resampled >= there), np.count_nonzero(resampled <= there))
    p = max(2 * (beyond + 1) / (resampled.size + 1), 2 * stdtr(freedom, -abs(there)))
    return Change(relative, float(low), float(high), float(min(p, 1.0)))


def critical(freedom: float, resampled: np.ndarray) -> tuple[float, float]:
    """How many standard errors an estimate may lie below and above what it estimates."""
    tail = (1 - CONFIDENCE) / 2
    lowest, highest = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf")
    student = stdtrit(freedom, 1 - tail)
    return min(-student, lowest), max(student, highest)


def _joined(strata: list[np.ndarray]) -> list[np.ndarray]:
    """No stratum of one document, in which nothing varies: it joins the smallest other (Cochran 1977, 5A.12)."""
    strata = sorted(strata, key=lambda stratum: stratum.shape[1])
    while len(strata) > 1 and strata[0].shape[1] < 2:
        first, second, *rest = strata
        strata = sorted([np.concatenate([first, second], 1), *rest], key=lambda stratum: stratum.shape[1])
    return strata


def _grouped(stratum: np.ndarray) -> np.ndarray:
    """(rows, at most UNITS): sums over groups of documents, where there are more."""
    count = stratum.shape[1]
    if count <= UNITS:
        return stratum
    groups = np.random.default_rng(SEED).permutation(count) % UNITS
    return np.array([np.bincount(groups, row, UNITS) for row in stratum])


def resampled_sums(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Sums of `values` (rows, units) over units drawn with replacement: (rows, RESAMPLES).

    What is drawn is how often each unit occurs, which is all that a sum needs.
    """
    count = values.shape[1]
    at_once = max(DRAWS_AT_ONCE // count, 1)
    sums = np.empty((RESAMPLES, len(values)))
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        drawn = generator.integers(count, size=(rows, count), dtype=np.int32)
        drawn += np.arange(rows, dtype=np.int32)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        sums[start : start + rows] = times @ values.T
    return sums.T
