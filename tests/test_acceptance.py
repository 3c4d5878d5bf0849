"""The plan's criteria: each verdict from files written by hand, with the expectation worked out by hand."""

import math

import numpy as np
import pytest
from merged_place import MergedPlace, perplexity, write_json
from scipy import stats

from dem.evaluation.acceptance import acceptance_page, criteria, in_words, sampling_error
from dem.evaluation.evidence import gather
from dem.evaluation.metrics import FORMAT
from dem.layout import RUN_RECORD, Layout

TRAINING, MERGE, PERPLEXITY, PROMPTS, NORM, DISTRIBUTION = range(6)


@pytest.fixture
def place(tmp_path):
    return MergedPlace(tmp_path / "root")


def judged(place, number):
    return criteria(gather(place.layout))[number]


def verdict(place, number):
    found = judged(place, number)
    return found.verdict, bool(found.doubt)


def test_where_everything_is_as_planned_everything_passes(place):
    assert [(c.verdict, c.doubt) for c in criteria(gather(place.layout))] == [("pass", "")] * 6


@pytest.mark.parametrize("seconds, expected", [(7200, "pass"), (7200.5, "fail"), (None, "not measured")])
def test_training(place, seconds, expected):
    place.train("web", seconds)
    assert verdict(place, TRAINING) == (expected, False)
    if expected == "fail":
        assert "beyond the target: web" in judged(place, TRAINING).measured


def test_a_training_without_a_record_or_of_another_adapter_is_not_measured(place):
    (place.layout.adapter("web") / RUN_RECORD).unlink()
    assert "web not measured: no record" in judged(place, TRAINING).measured
    place.train("web", 60)
    write_json(place.layout.adapter("web") / "adapter_config.json", {"r": 99})
    found = judged(place, TRAINING)
    assert found.verdict == "not measured" and "has changed since the merge" in found.measured
    assert "10 min" in found.measured  # of the other domain
    place.train("법률", 99999)
    assert judged(place, TRAINING).verdict == "fail"  # whatever the other one took


def test_a_full_model_has_no_training_time(place):
    place.merge(kind="model")
    assert judged(place, TRAINING).verdict == "not measured"


@pytest.mark.parametrize(
    "merge, evaluation, expected",
    [(200, 1000, "pass"), (201, 1000, "fail"), (200, None, "not measured"), (1201, None, "fail")],
)
def test_merge(place, merge, evaluation, expected):
    place.durations(merge, evaluation)
    assert verdict(place, MERGE) == (expected, False)


@pytest.mark.parametrize(
    "change, expected, words",
    [
        ((-0.05, -0.06, -0.04), ("pass", False), "5.0% lower (95% interval 4.0% to 6.0% lower)"),
        ((-0.03, -0.035, -0.0301), ("pass", False), "3.0% lower"),
        ((-0.03, -0.04, -0.02), ("pass", True), "2.0% to 4.0% lower"),
        ((-0.2, -0.25, -0.15), ("pass", False), "more than the planned 10%, which passes"),
        ((-0.05, None, None), ("pass", True), "5.0% lower**, 20.00 to 19.00"),
        ((-0.029, -0.0299, -0.02), ("fail", False), "2.9% lower"),
        ((-0.029, -0.031, -0.02), ("fail", True), "2.9% lower"),
        ((0.02, -0.01, 0.05), ("fail", False), "2.0% higher (95% interval 1.0% lower to 5.0% higher)"),
    ],
)
def test_perplexity(place, change, expected, words):
    place.metrics(change)
    assert verdict(place, PERPLEXITY) == expected
    assert words in judged(place, PERPLEXITY).measured


def test_perplexity_is_taken_on_all_texts_together(place):
    place.metrics((0.1, 0.1, 0.1), all=perplexity(19.0, (-0.05, -0.06, -0.04)))
    assert verdict(place, PERPLEXITY) == ("pass", False)
    assert "| web | 10 min | 10.0% higher" in acceptance_page(gather(place.layout))


def test_perplexity_without_figures(place):
    place.metrics(None, all=None)
    assert verdict(place, PERPLEXITY) == ("not measured", False)
    place.metrics(None)  # NaN in the merged model
    assert verdict(place, PERPLEXITY) == ("fail", False)
    place.layout.metrics.unlink()
    assert verdict(place, PERPLEXITY) == ("not measured", False)
    place.layout.metrics.write_text("{", encoding="utf-8")
    assert "cannot be read" in judged(place, PERPLEXITY).measured


@pytest.mark.parametrize(
    "prompts, same, better, worse, expected",
    [
        (10, 0, 6, 0, "pass"),  # decided, although 4 are not rated
        (10, 0, 6, 4, "pass"),
        (10, 0, 5, 5, "fail"),
        (10, 0, 0, 0, "pending"),
        (10, 0, 5, 4, "pending"),  # the last one decides
        (10, 0, 3, 5, "fail"),  # 3 and 2 that nobody rated are 5
        (10, 5, 0, 0, "fail"),  # five answers are the same, and none of them can be better
        (10, 4, 0, 0, "pending"),
        (1, 0, 1, 0, "pass"),
        (1, 0, 0, 1, "fail"),
        (3, 0, 2, 1, "pass"),
        (3, 0, 1, 2, "fail"),  # 60% of 3 is 1.8
        (20, 0, 12, 8, "pass"),
        (20, 0, 11, 9, "fail"),
    ],
)
def test_prompts(place, prompts, same, better, worse, expected):
    place.answers(prompts, same)
    place.rate(better, worse)
    assert verdict(place, PROMPTS) == (expected, False)
    found = judged(place, PROMPTS)
    assert f"better in {better} of {prompts}**, worse in {worse}, a tie in {same}" in found.measured
    if unrated := prompts - same - better - worse:
        assert f"not rated {unrated}" in found.measured


@pytest.mark.parametrize("norm, expected", [(0.999, "pass"), (1.0, "fail"), (3.0, "fail")])
def test_norm(place, norm, expected):
    place.summary("법률", norm=norm)
    assert verdict(place, NORM) == (expected, False)
    assert "(법률)" in judged(place, NORM).measured


@pytest.mark.parametrize(
    "distance, sample, expected",
    [
        (0.02, 5000, ("pass", False)),
        (0.0499, 10**9, ("pass", False)),
        (0.045, 5000, ("pass", True)),
        (0.06, 5000, ("fail", True)),
        (0.08, 5000, ("fail", False)),
        (None, 10, ("not measured", False)),
    ],
)
def test_distribution(place, distance, sample, expected):
    place.summary("web", distance=distance, sample=sample)
    assert verdict(place, DISTRIBUTION) == expected


@pytest.mark.parametrize(
    "distance, sample, count, expected",
    [
        (0.0501, 640, 640, ("fail", False)),  # all elements were looked at
        (0.0499, 640, 640, ("pass", False)),
        (0.05, 5000, 5000, ("pass", False)),
        (0.045, 5000, 5040, ("pass", False)),  # so few are left that they cannot change it
        (0.045, 5000, 10**6, ("pass", True)),
        (0.0501, 5000, None, ("fail", True)),  # a summary that does not say of how many
    ],
)
def test_where_all_elements_were_looked_at_nothing_is_uncertain(place, distance, sample, count, expected):
    place.summary("web", distance=distance, sample=sample, count=count)
    assert verdict(place, DISTRIBUTION) == expected


def test_the_sampling_error_is_that_of_samples_without_replacement():
    generator, size, count = np.random.default_rng(0), 2000, 4000
    whole = np.sort(generator.normal(size=count))
    steps = np.arange(1, count + 1) / count
    gaps = []
    for _ in range(400):
        some = np.sort(generator.choice(whole, size, replace=False))
        gaps.append(np.abs(np.searchsorted(some, whole, side="right") / size - steps).max())
    assert np.mean(np.array(gaps) <= sampling_error(size, count)) == pytest.approx(0.95, abs=0.03)
    assert sampling_error(count, count) == 0


@pytest.mark.parametrize(
    "set_up, number, expected, words",
    [
        (lambda p: p.metrics((-0.0299999, -0.04, -0.02)), PERPLEXITY, "fail", "**2.99999% lower"),
        (lambda p: p.metrics((-0.05, -0.06, -0.0299999)), PERPLEXITY, "pass", "interval 2.99999% to 6.0% lower"),
        (lambda p: p.metrics((-0.1000001, -0.11, -0.09)), PERPLEXITY, "pass", "**10.00001% lower"),
        (lambda p: p.metrics((-0.0000004, -0.01, 0.01)), PERPLEXITY, "fail", "**0.00004% lower"),
        (lambda p: p.summary("web", norm=0.9999999), NORM, "pass", "**0.9999999**"),
        (lambda p: p.summary("web", norm=1.0000001), NORM, "fail", "**1.0000001**"),
        (lambda p: p.summary("web", distance=0.0500001), DISTRIBUTION, "fail", "**0.0500001**"),
        (lambda p: p.summary("web", distance=0.0499999), DISTRIBUTION, "pass", "**0.0499999**"),
        (lambda p: p.train("web", 7200.5), TRAINING, "fail", "**2 h 0.01 min**"),
        (lambda p: p.train("web", 7199.9), TRAINING, "pass", "**1 h 59.998 min**"),
        (lambda p: p.durations(600, 600.02), MERGE, "fail", "**20.0003 min**"),
        (lambda p: p.durations(600, 599.99), MERGE, "pass", "**19.9998 min**"),
    ],
)
def test_a_figure_is_shown_on_its_side_of_the_target(place, set_up, number, expected, words):
    set_up(place)
    assert judged(place, number).verdict == expected and words in judged(place, number).measured
    if number in (NORM, DISTRIBUTION):
        assert f"| {words.strip('*')} |" in acceptance_page(gather(place.layout))


def test_of_too_few_documents_the_verdict_says_how_many(place):
    place.metrics((-0.05, None, None), all=perplexity(19.0, (-0.05, None, None), documents=7))
    assert judged(place, PERPLEXITY).doubt == "no interval, of 7 test documents, fewer than 20"


def test_one_domain_that_surely_fails_leaves_no_doubt(place):
    place.summary("web", distance=0.2)
    place.summary("법률", distance=0.045)
    assert verdict(place, DISTRIBUTION) == ("fail", False)
    place.summary("web", vector="another")
    assert verdict(place, DISTRIBUTION) == ("not measured", False)


def test_the_limit_of_the_distance_lies_between_normal_and_laplace():
    """A t distribution of 5 degrees of freedom is let pass, a Laplace and a uniform one are not."""
    x = np.linspace(-20, 20, 400_001)
    near, laplace, uniform = (
        np.abs(d.cdf(x) - stats.norm(d.mean(), d.std()).cdf(x)).max()
        for d in (stats.t(5), stats.laplace(), stats.uniform(-0.5, 1))
    )
    assert near < 0.05 < min(laplace, uniform)
    assert laplace == pytest.approx(0.062, abs=0.001) and uniform == pytest.approx(0.057, abs=0.001)
    assert sampling_error(5000) == pytest.approx(math.sqrt(math.log(2 / 0.05) / 10_000))


def test_what_is_older_than_the_merged_model_is_not_measured(place):
    place.merge(scale=0.5)
    found = criteria(gather(place.layout))
    assert [c.verdict for c in found] == ["pass", *["not measured"] * 3, "pass", "pass"]
    assert "of another merge" in found[MERGE].measured
    assert all("merged before this one" in c.measured for c in (found[PERPLEXITY], found[PROMPTS]))
    place.summary("web", vector="another")
    found = criteria(gather(place.layout))
    assert [c.verdict for c in found[NORM:]] == ["not measured"] * 2
    assert "not of the difference that was merged" in found[NORM].measured


def test_of_nothing_nothing_is_measured(tmp_path):
    nothing = gather(Layout(tmp_path))
    found = criteria(nothing)
    assert {c.verdict for c in found} == {"not measured"} and len(found) == 6
    assert "no domain was merged" in found[NORM].measured
    assert acceptance_page(nothing).count("| **not measured** |") == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.layout.merge_record.write_text("[]"),
        lambda p: p.layout.merge_record.write_text('{"domains": {"web": {}}}'),
        lambda p: p.layout.durations.write_text('{"merged": 1}'),
        lambda p: write_json(p.layout.durations, {"merged": p.merged, "merge": "x", "evaluation": 1}),
        lambda p: write_json(p.layout.diff_summary("web", ".json"), {"vector_fingerprint": "vector of web"}),
        lambda p: p.layout.answers.write_text("{}"),
        lambda p: p.layout.ratings.write_text("{}"),
        lambda p: write_json(p.layout.metrics, {"format": FORMAT, "models": {"base": {"perplexity": 3}}}),
        lambda p: (p.layout.adapter("web") / RUN_RECORD).write_text('{"seconds": "long"}'),
    ],
)
def test_damaged_files_are_not_measured_and_hide_nothing_else(place, damage):
    damage(place)
    found = criteria(gather(place.layout))
    assert len(found) == 6 and "not measured" in {c.verdict for c in found} <= {"not measured", "pass"}


def test_durations_in_words():
    assert [in_words(s) for s in (5.04, 59.9, 60, 750, 3600, 7260)] == [
        "5.0 s", "59.9 s", "1 min", "12.5 min", "1 h", "2 h 1 min",
    ]  # fmt: skip
