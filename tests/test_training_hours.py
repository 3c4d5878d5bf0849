"""training.max_hours and training.max_steps: the schedule of what fits, told from the first steps and kept to."""

import csv
import json
import re
from types import SimpleNamespace

import pytest
import torch
from test_training import adapter_of, log_of, stop_at

from dem import convergence, plots, training_checks, training_hours
from dem.config import Config, TrainingConfig
from dem.mixtures import steps_of, trained_blocks
from dem.timed_steps import Timing
from dem.training_hours import Schedule, evaluations_until, steps_within
from dem.training_plan import TrainingPlan

OPTIONS = ("--data.max_length", "16", "--training.batch_size", "2", "--training.epochs", "0.033")
OPTIONS += ("--training.logging_steps", "1", "--training.eval_steps", "1000", "--lora.dropout", "0.2")
OPTIONS += ("--data.tune_fraction", "0.01")
PEAK = 1e-2


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr(plots, "convergence", lambda *arguments: None)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only training moves: each step takes `clock.step` seconds."""
    clock = SimpleNamespace(now=0.0, step=36.0)
    train = training_checks.FiniteTrainer.training_step

    def step(self, *arguments):
        clock.now += clock.step
        return train(self, *arguments)

    monkeypatch.setattr(training_checks.FiniteTrainer, "training_step", step)
    for module in (convergence, training_hours):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def rates_of(place) -> list[float]:
    """The learning rate of each step, as a share of the peak."""
    with place.layout.train_summary("web", ".csv").open(encoding="utf-8") as file:
        return [float(row["learning_rate"]) / PEAK for row in csv.DictReader(file) if row["loss"]]


def record_of(place) -> dict:
    return json.loads((place.layout.adapter("web") / "dem_run.json").read_text(encoding="utf-8"))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def falling(steps: int, first: int = 0) -> list[float]:
    """From the peak, which step 0 has, to 0, which comes right after the last step."""
    return [1 - step / steps for step in range(first, steps)]


def test_max_hours_ends_at_zero_and_an_interruption_changes_nothing(workplace, clock, monkeypatch, capsys, refused):
    options = (*OPTIONS, "--training.max_hours", "0.12")  # 432 s, of which 423 are given out: 11 steps of 36
    assert workplace.train("web", *options) == 0
    unbroken, record, rates = adapter_of(workplace), record_of(workplace), rates_of(workplace)
    asked = record["asked_steps"]
    assert record["steps"] == 11 < asked and record["seconds"] == 11 * 36 and record["tokens"] == 11 * 2 * 16
    blocks = int(re.search(r"times the text's ([\d,]+) blocks", log_of(workplace))[1].replace(",", ""))
    assert record["epochs"] == 11 * 2 / blocks
    assert rates == pytest.approx([*falling(asked)[:4], *falling(11, 4)], abs=1e-6)
    assert f"11 of the {asked:,} steps" in log_of(workplace) and "36 s a step" in log_of(workplace)
    assert "of 0:06:36, plan 2:00:00" in log_of(workplace)  # kept up, by what is to come now

    with monkeypatch.context() as first:
        stop_at(first, step=6)
        assert workplace.train("web", *options, "--overwrite") == 1
    capsys.readouterr()
    clock.step = 1000  # another machine
    assert workplace.train("web", *options, "--overwrite") == 0
    said = capsys.readouterr().err
    assert "going on from" in said and "checkpoint-4" in said  # saved at once, whatever training.save_steps says
    assert "ends after step 11, as laid before the interruption" in said
    assert same(adapter_of(workplace), unbroken) and rates_of(workplace) == rates
    assert record_of(workplace)["steps"] == 11
    refused(workplace.train("web", *OPTIONS), "training.max_hours 0.12 -> None", "overwrite")


def test_hours_before_an_interruption_count(workplace, clock, monkeypatch):
    options = (*OPTIONS, "--training.max_hours", "0.2", "--training.save_steps", "1")  # 705 s
    clock.step = 100
    with monkeypatch.context() as first:
        stop_at(first, step=3)
        assert workplace.train("web", *options) == 1  # before any steps are laid
    clock.step = 36
    assert workplace.train("web", *options) == 0
    assert record_of(workplace)["steps"] == 7 + (705 - 3 * 100 - 4 * 36) // 36  # without the first 300 s: 22


def test_where_all_fits_max_hours_changes_nothing(workplace, clock, capsys, refused):
    assert workplace.train("web", *OPTIONS) == 0
    plain, steps = adapter_of(workplace), record_of(workplace)["steps"]
    assert f"for all {steps} steps, within the plan's 2 h" in log_of(workplace)
    enough = ("--training.max_hours", str(steps * 36 / 3600 / 0.97))
    assert workplace.train("web", *OPTIONS, *enough) == 0 and "already trained" in capsys.readouterr().err
    assert workplace.train("web", *OPTIONS, *enough, "--overwrite") == 0
    assert "all of them fit" in log_of(workplace) and same(adapter_of(workplace), plain)
    assert workplace.train("web", *OPTIONS) == 0 and "already trained" in capsys.readouterr().err
    refused(
        workplace.train("web", *OPTIONS, "--training.max_hours", "0.1"), "training.max_hours", "-> 0.1", "overwrite"
    )


def test_hours_that_are_over_end_the_training_at_the_next_step(workplace, clock):
    clock.step = 7200
    assert workplace.train("web", *OPTIONS, "--training.max_hours", "1") == 0
    assert record_of(workplace)["steps"] == 5 and rates_of(workplace)[-1] == pytest.approx(1 / 5)
    assert "WARNING: it took 10 h in place of 1 h" in log_of(workplace)
    assert "WARNING: 1 h are hardly more" in log_of(workplace) and "WARNING: more than the plan's 2 h" in log_of(
        workplace
    )


def test_max_steps_is_exact_and_an_end_of_the_text_comes_first(workplace):
    assert workplace.train("web", *OPTIONS, "--training.max_steps", "3") == 0
    capped = adapter_of(workplace)
    assert rates_of(workplace) == pytest.approx(falling(3), abs=1e-6)
    assert "step 3/3" in log_of(workplace) and record_of(workplace)["steps"] == 3
    fraction = OPTIONS[: OPTIONS.index("0.033")] + (str(2.5 / 454),) + OPTIONS[OPTIONS.index("0.033") + 1 :]
    assert workplace.train("web", *fraction, "--overwrite") == 0 and record_of(workplace)["steps"] == 3
    assert same(adapter_of(workplace), capped)
    assert [steps_of(100, 0.5, 8, most) for most in (3, 7, 9, None)] == [3, 7, 7, 7]
    settings = TrainingConfig(batch_size=8, max_steps=5)
    assert [trained_blocks(count, settings) for count in (100, 21)] == [40, 21]  # which a mixture adds up


def test_a_plan_says_what_max_hours_leave():
    config = Config("base", training=TrainingConfig(max_hours=1, eval_steps=100))
    timing = Timing(3, 20.0, 0.5, 8, 1.0)  # 20 s a step, 50 s an evaluation of 100 blocks
    plan = TrainingPlan.of("web", 1, 8000, "about ", 1000, 100, 8000, config)
    limited = plan.limited(timing)
    assert limited.steps == (3528 - 3 * 50) // 20 and limited.evaluations == 3  # one on the way, after step 100
    assert 3500 < limited.seconds(timing) <= 3528
    assert (
        plan.verdict(timing) == "about 58 min, within the plan's 2 h; training.max_hours leaves about 168 of the steps"
    )
    short = TrainingPlan.of("web", 1, 80, "", 10, 100, 80, config)
    assert short.limited(timing) == short and "leaves" not in short.verdict(timing)
    assert TrainingPlan.of("both", 2, 8000, "", 1000, 0, 8000, config).limited(timing).steps == 7056 // 20


def test_steps_within_seconds():
    assert steps_within(1000, 50, 98, 0, 10) == 10  # 980 s are given out
    assert steps_within(1000, 8, 98, 0, 10) == 8
    assert steps_within(1000, 50, 98, 98, 4, done=2, spent=196) == 8  # evaluations after 4 and 8
    assert steps_within(10, 50, 98, 0, 10, done=4, spent=400) == 5
    for steps in range(1, 30):
        ends = [step for step in range(1, steps + 1) if step % 7 == 0 or step == steps]
        assert all(evaluations_until(steps, 7, done) == sum(e > done for e in ends) for done in range(steps))


def test_a_schedule_is_linear_and_ends_at_zero():
    schedule = Schedule(4)
    assert [schedule(step) for step in range(6)] == [1, 0.75, 0.5, 0.25, 0, 0]
