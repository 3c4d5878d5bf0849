"""Intervals of a change: that they cover what they say, against plain loops and scipy."""

import math
import time
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from dem.evaluation import intervals
from dem.evaluation.intervals import (
    LEAST,
    Change,
    beyond_chance,
    changes,
    changes_of_mean,
    changes_together,
    marked,
    sure,
)
from dem.evaluation.scores import Scores


def pair(tokens, gains) -> tuple[Scores, Scores]:
    """Scores of a base, and of a model whose loss per token is higher by these gains."""
    tokens = np.array(tokens)
    base = 3.0 * tokens
    return Scores(base, tokens, 3 * tokens), Scores(base + gains * tokens, tokens, 3 * tokens)


def drawn(generator, kind, count, mean=-0.03):
    """Documents whose gains have this mean: normal ones of even lengths, or skewed ones of uneven lengths."""
    if kind == "normal":
        return pair(generator.integers(20, 400, count), generator.normal(mean, 0.08, count))
    tokens = np.ceil(np.exp(generator.normal(5, 0.6, count))).astype(int)
    return pair(tokens, mean + 0.03 * (generator.exponential(1, count) - 1))


@pytest.mark.parametrize("kind", ["normal", "skewed"])
@pytest.mark.parametrize("count", [5, 10, 20, 100])
def test_an_interval_covers_the_truth_as_often_as_it_says_or_there_is_none(kind, count, monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 500)
    generator = np.random.default_rng(7)
    found = [changes(*(lambda b, m: (b, [m]))(*drawn(generator, kind, count)))[0] for _ in range(400)]
    if count < LEAST:
        assert {(change.low, change.high, change.p) for change in found} == {(None, None, None)}
        return
    hits = np.mean([change.low <= math.expm1(-0.03) <= change.high for change in found])
    assert 0.93 <= hits <= 0.98


@pytest.mark.parametrize("of", [changes_together, changes_of_mean])
def test_intervals_of_several_domains_cover_the_truth(of, monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 500)
    generator, hits = np.random.default_rng(3), 0
    means = {"web": -0.08, "법률": 0.0, "social": 0.05}
    for _ in range(300):
        scores = {d: drawn(generator, "normal", 12, mean) for d, mean in means.items()}
        (change,) = of({d: base for d, (base, _) in scores.items()}, [{d: model for d, (_, model) in scores.items()}])
        hits += change.low <= math.expm1(-0.01) <= change.high
    assert 0.92 <= hits / 300 <= 0.985


@pytest.mark.parametrize(
    ("counts", "told"), [((3, 40), False), ((5, 5, 60), False), ((14, 40), True), ((5,) * 4, True)]
)
def test_a_mean_of_domains_in_which_a_few_documents_decide_has_no_interval(counts, told):
    # With three documents of one domain and forty of another, 95% intervals of the mean covered 86 to 90%.
    scores = [drawn(np.random.default_rng(n), "skewed", count) for n, count in enumerate(counts)]
    by_name = [{str(k): pair[side] for k, pair in enumerate(scores)} for side in (0, 1)]
    (change,) = changes_of_mean(by_name[0], by_name[1:])
    assert (change.low is not None) is (change.high is not None) is (change.p is not None) is told
    assert changes_together(by_name[0], by_name[1:])[0].low is not None  # there each document counts by its tokens


def studentised(parts, estimate_of, error_of, generator, count=2500):
    """Quantiles of (estimate - whole's) / error over resamples within each part, by a plain loop."""
    whole, found = estimate_of(parts), []
    for _ in range(count):
        some = [(d[i], t[i]) for d, t in parts for i in [generator.integers(len(d), size=len(d))]]
        found.append((estimate_of(some) - whole) / error_of(some))
    return np.quantile(found, [0.025, 0.975])


def ratio(parts):
    return sum(d.sum() for d, _ in parts) / sum(t.sum() for _, t in parts)


def ratio_error(parts):
    """Cochran 1977, 6.44 (separate strata, one ratio), without the correction for a finite population."""
    r, whole, total = ratio(parts), sum(t.sum() for _, t in parts), 0.0
    for d, t in parts:
        total += len(d) * np.var(d - r * t, ddof=1)
    return math.sqrt(total) / whole


def jackknife(parts):
    """Each document left out in turn, the others of its part counting for it."""
    total = 0.0
    for which, (d, _) in enumerate(parts):
        n, left = len(d), []
        for i in range(n):
            rest = [(np.delete(a, i), np.delete(b, i)) if k == which else (a, b) for k, (a, b) in enumerate(parts)]
            scaled = [(a * n / (n - 1), b * n / (n - 1)) if k == which else (a, b) for k, (a, b) in enumerate(rest)]
            left.append(ratio(scaled))
        total += (n - 1) / n * np.sum((np.array(left) - np.mean(left)) ** 2)
    return math.sqrt(total)


@pytest.mark.parametrize("counts", [(40,), (12, 30)])
def test_intervals_are_those_of_a_plain_resampling(counts):
    generator = np.random.default_rng(1)
    scores = [drawn(generator, "skewed", n, 0.05 * k) for k, n in enumerate(counts)]
    parts = [(model.nll - base.nll, base.tokens.astype(float)) for base, model in scores]
    low, high = studentised(parts, ratio, ratio_error, np.random.default_rng(5))
    error, estimate = jackknife(parts), ratio(parts)
    by_name = [{str(k): pair[side] for k, pair in enumerate(scores)} for side in (0, 1)]
    (change,) = changes_together(by_name[0], by_name[1:])
    student = scipy.stats.t.ppf(0.975, sum(counts))
    expected = [estimate - error * max(high, student), estimate - error * min(low, -student)]
    assert change.relative == pytest.approx(math.expm1(estimate), abs=1e-12)
    assert np.log1p([change.low, change.high]) == pytest.approx(expected, abs=0.06 * (expected[1] - expected[0]))
    assert changes_together(by_name[0], by_name[1:]) == [change]  # the same each time


def test_of_documents_alike_in_length_no_interval_is_narrower_than_students():
    gains = np.random.default_rng(4).normal(-0.02, 0.05, 25)
    base, model = pair(np.full(25, 100), gains)
    (change,) = changes(base, [model])
    theirs = scipy.stats.ttest_1samp(gains, 0)
    low, high = np.expm1(theirs.confidence_interval())
    assert change.low <= low + 1e-12 and change.high >= high - 1e-12 and change.p >= theirs.pvalue - 1e-12
    assert change.high - change.low < 1.3 * (high - low)


def test_each_domain_keeps_its_number_of_documents():
    """Domains that gain unlike each other, each the same in all its documents: their mixture is what is measured."""
    generator = np.random.default_rng(2)
    base, model = {}, {}
    for domain, gain in (("web", -0.3), ("법률", 0.1)):
        base[domain], model[domain] = pair(np.full(30, 50), generator.normal(gain, 0.001, 30))
    (held,) = changes_together(base, [model])
    (loose,) = changes(base["web"] + base["법률"], [model["web"] + model["법률"]])
    assert held.relative == pytest.approx(loose.relative) and sure(held)
    assert held.high - held.low < 0.01 < 0.08 < loose.high - loose.low


def test_one_document_of_a_domain_is_drawn_with_those_of_another():
    scores = {"web": pair([100] * 40, np.linspace(-0.1, 0, 40)), "social": pair([100], [0.4])}
    base, model = ({d: two[side] for d, two in scores.items()} for side in (0, 1))
    (change,) = changes_together(base, [model])
    assert change == changes(base["social"] + base["web"], [model["social"] + model["web"]])[0] and change.low
    assert changes_of_mean(base, [model])[0].low is None  # nothing tells how half of the mean varies


def test_a_mean_of_domains_counts_them_by_their_shares():
    scores = {"web": pair([1000] * 30, np.full(30, 0.1)), "social": pair([10] * 30, np.full(30, -0.1))}
    base, model = ({d: two[side] for d, two in scores.items()} for side in (0, 1))
    assert changes_of_mean(base, [model])[0].relative == pytest.approx(0, abs=1e-12)
    (change,) = changes_of_mean(base, [model], {"web": 0.25, "social": 0.75})
    assert change.relative == pytest.approx(math.expm1(-0.05)) and sure(change)
    assert changes_together(base, [model])[0].relative > 0.09


def test_documents_are_paired_and_a_model_is_no_different_from_itself():
    """What both models find hard says nothing of the change: a model better by the same in every document is sure."""
    generator = np.random.default_rng(2)
    base, _ = drawn(generator, "normal", 30)
    base = Scores(base.nll * generator.uniform(0.5, 2, 30), base.tokens, base.bytes)
    better = Scores(base.nll - 0.1 * base.tokens, base.tokens, base.bytes)
    change, same = changes(base, [better, base])
    assert [change.low, change.high] == pytest.approx([math.expm1(-0.1)] * 2, abs=1e-9) and change.p < 0.001
    assert same == Change(0.0, 0.0, 0.0, 1.0) and not sure(same)


def test_where_one_document_decides_alone_there_is_no_interval():
    base, model = pair([100] * 40, np.where(np.arange(40) == 7, 0.5, 0.0))
    (change,) = changes(base, [model])
    assert change.relative > 0 and change.low is None and change.p is None


def test_a_model_that_computes_no_numbers_hides_no_other():
    base, model = drawn(np.random.default_rng(2), "normal", 30)
    broken = Scores(np.full(30, np.nan), base.tokens, base.bytes)
    assert changes(base, [broken, model]) == [None, *changes(base, [model])]
    assert changes(broken, [model]) == [None] and changes(Scores(*np.zeros((3, 0))), []) == []


def test_many_documents_are_quick_and_take_little_memory():
    generator = np.random.default_rng(3)
    base, model = drawn(generator, "normal", 100_000)
    tracemalloc.start()
    began = time.process_time()
    (change,) = changes(base, [model])
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    residuals = model.nll - base.nll - math.log1p(change.relative) * base.tokens
    width = 2 * 1.96 * math.sqrt(1e5) * residuals.std() / base.tokens.sum()
    assert change.high - change.low == pytest.approx(width, rel=0.1)
    assert peak < 100e6 and seconds < 5


def test_of_many_cells_taken_together_those_are_named_that_hold_together():
    of = [Change(0.1, 0.01, 0.2, p) for p in (0.04, 0.012, 0.3, 0.0001, 0.02)]
    assert beyond_chance([*of, None, Change(0.1, None, None)]) == [False, True, False, True, False, False, False]
    assert beyond_chance(of[:1]) == [True] and beyond_chance([]) == []
    assert marked({"a": {"x": of[0], "y": of[3]}, "b": {"x": None, "y": of[2]}}) == {("a", "y")}


def test_twenty_cells_without_any_effect_are_rarely_named():
    generator = np.random.default_rng(8)
    grids = [[Change(0.1, 0.0, 0.2, p) for p in generator.uniform(size=20)] for _ in range(2000)]
    assert np.mean([any(beyond_chance(grid)) for grid in grids]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([min(change.p for change in grid) < 0.05 for grid in grids]) > 0.6  # one by one
