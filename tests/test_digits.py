"""Figures for people: few digits, and never on the wrong side of a limit."""

import random

import pytest

from dem.evaluation.digits import figure, from_to, in_figures, in_words
from dem.evaluation.intervals import Change
from dem.evaluation.tables import change_in_percent


@pytest.mark.parametrize(
    "value, form, limits, text",
    [
        (0.0299999, ".1%", (0.03,), "2.99999%"),
        (0.03, ".1%", (0.03,), "3.0%"),
        (0.07, ".1%", (0.07, 0), "7.0%"),
        (0.9999999, ".4g", (1,), "0.9999999"),
        (0.5, ".4g", (1,), "0.5"),
        (-0.0000004, "+.1%", (0,), "-0.00004%"),
        (-4e-12, "+.1%", (0,), "-4e-10%"),
        (0.0, "+.1%", (0,), "+0.0%"),
        (-0.012345, "+.1%", (0,), "-1.2%"),
        (1e-9, ".3f", (0,), "1e-09"),
    ],
)
def test_figures(value, form, limits, text):
    assert figure(value, form, *limits) == text


def side(value, limit):
    return (value > limit) - (value < limit)


@pytest.mark.parametrize("form, limit", [("+.1%", 0.03), (".4g", 1.0), (".3f", 0.05), ("+.1%", 0.0)])
def test_whatever_the_figure_its_text_lies_on_the_same_side(form, limit):
    generator = random.Random(0)
    for _ in range(2000):
        value = limit + generator.choice([-1, 0, 1]) * 10 ** generator.uniform(-15, 1)
        text = figure(value, form, limit)
        read = float(text.rstrip("%")) / (100 if "%" in text else 1)
        assert side(read, limit) == side(value, limit), (value, text)
        assert read == pytest.approx(value, abs=0.06)


@pytest.mark.parametrize("limit", [59.0, 1200.0, 7200.0])
def test_durations_lie_on_the_same_side(limit):
    unit = {"s": 1, "min": 60, "h": 3600}
    generator = random.Random(1)
    for _ in range(500):
        seconds = limit + generator.choice([-1, 0, 1]) * 10 ** generator.uniform(-8, 1)
        words = in_words(seconds, limit).split()
        read = sum(float(number) * unit[name] for number, name in zip(words[::2], words[1::2], strict=True))
        assert side(round(read, 9), limit) == side(round(seconds, 9), limit), words


def test_two_perplexities_are_told_apart():
    assert from_to(20.0, 19.0) == "20.00 to 19.00" and from_to(20.0, 20.0) == "20.00 to 20.00"
    assert from_to(20.004, 20.0035) == "20.004 to 20.003"
    assert [in_figures(v) for v in (1234.5, 3e7)] == ["1,234", "3.0e+07"]


def test_a_change_that_is_nearly_none_is_not_shown_as_none():
    assert change_in_percent(Change(-0.0000004, -0.02, 0.0000003), " ({} to {})") == "-0.00004% (-2.0% to +0.00003%)"
    assert change_in_percent(Change(0.02, None, None), " ({} to {})") == "+2.0%"
