"""The hours of a training: told from its first steps and, with `training.max_hours`, kept to.

A training with `max_hours` begins as one over all its steps. The first ones, 2% of the hours, tell how many fit; over
these the learning rate then falls to 0. That number is laid once and saved at once, in the state of that step: so a
training that is interrupted later goes on over the same steps, on whatever machine, and ends with the same adapter.
One that is interrupted before counts the time that its saved state knows of, and lays them from what is left.
"""

import time
from bisect import bisect_right
from collections.abc import Callable

import torch
from transformers import TrainerCallback, TrainerState

from dem import processes
from dem.common import log
from dem.config import TRAINING_SECONDS

WARM_UP, TIMED = 1, 3
"""Steps; in the first one kernels are compiled or chosen and memory is asked for. At least so many are timed."""
SHARE = 0.02
"""Of the hours, what is looked at before the steps are laid. The learning rate, that of all steps until then, moves by
about as small a share of its peak."""
SPARE = 0.02
"""Of the hours, what is left for saving states, and for steps that come to take longer."""


class Schedule:
    """A learning rate's linear fall to 0, as a factor on its peak, over steps that may become fewer.

    As the function of a LambdaLR its fields are in every saved state, and from there in the training that goes on.
    """

    def __init__(self, steps: int):
        """Over `steps` optimiser steps."""
        self.steps = steps
        self.laid = False
        """Whether it was found how many steps fit."""

    def __call__(self, step: int) -> float:
        """The factor after so many steps."""
        return max(0.0, (self.steps - step) / max(1, self.steps))


def evaluations_until(steps: int, every: int, done: int = 0) -> int:
    """Evaluations after `done` steps until the training ends after `steps`: every so many, and after the last."""
    return steps // every - done // every + (steps % every > 0)


def last_evaluation(state: TrainerState) -> float:
    """Seconds of the last evaluation, which may be of before an interruption; 0 without one."""
    return next((entry["eval_runtime"] for entry in reversed(state.log_history) if "eval_runtime" in entry), 0.0)


def steps_within(
    seconds: float, steps: int, step: float, evaluation: float, every: int, done: int = 0, spent: float = 0.0
) -> int:
    """How many of `steps` fit into `seconds`, without what is to be spared: at least one more than are done.

    Args:
        seconds: of the whole training.
        steps: that the training would have without a limit.
        step: seconds of one.
        evaluation: seconds of one, of which there is one `every` so many steps and one at the end.
        done: steps that were made.
        spent: seconds that these took, with what came before them.
    """

    def cost(end: int) -> float:
        return spent + (end - done) * step + evaluations_until(end, every, done) * evaluation

    return min(done + max(bisect_right(range(done + 1, steps + 1), (1 - SPARE) * seconds, key=cost), 1), steps)


class Hours(TrainerCallback):
    """Says from the first steps how long the training takes, and lays its steps where they are to fit into hours."""

    def __init__(self, schedule: Schedule, clock: Callable[[], float], domains: int, max_hours: float | None):
        """Of a training over `schedule` on the text of so many domains; `clock` says how many seconds it has lasted."""
        self._schedule, self._clock, self._domains = schedule, clock, domains
        self._limit = None if max_hours is None else 3600 * domains * max_hours
        self._told = False
        self._first, self._began, self._evaluating = 0, 0.0, 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        """Take up what was laid before an interruption."""
        self._first = state.global_step
        if self._schedule.laid:
            self._told, state.max_steps = True, self._schedule.steps
            log.info(f"hours: it ends after step {state.max_steps:,}, as laid before the interruption")

    def on_step_begin(self, args, state, control, **kwargs):
        """Start the clock after the warm-up."""
        if state.global_step == self._first + WARM_UP:
            self._began, self._evaluating = device_time(), 0.0

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        """Take an evaluation off the time of the steps."""
        self._evaluating += metrics["eval_runtime"]

    def on_optimizer_step(self, args, state, control, **kwargs):
        """When enough is known, say how long it takes; where that is too long, end earlier. The schedule steps next."""
        done = state.global_step + 1
        if self._told or done < self._first + WARM_UP + TIMED or done == state.max_steps:
            return
        steps = processes.on_main(self._steps, done, state)  # by the clock of one process
        if steps is None:
            return
        self._told = True
        if self._limit is not None:
            self._schedule.steps = state.max_steps = steps
            self._schedule.laid = control.should_save = True

    def on_train_end(self, args, state, control, **kwargs):
        """Say so if the steps came to take longer than when they were laid."""
        if self._limit is not None and self._clock() > self._limit and state.global_step == state.max_steps:
            log.info(
                f"hours: WARNING: it took {in_hours(self._clock())} in place of {in_hours(self._limit)}: its steps "
                "became slower than the first ones, by which they were laid"
            )

    def _steps(self, done: int, state: TrainerState) -> int | None:
        """After how many steps to end, which the log is told; None if that is not known yet."""
        taken, steps = device_time() - self._began - self._evaluating, state.max_steps
        if self._limit is not None and taken < SHARE * self._limit:
            return None
        step = taken / (done - self._first - WARM_UP)
        evaluation = last_evaluation(state)
        self._say(done, steps, step, evaluation, state.eval_steps)
        if self._limit is None:
            return steps
        spent = self._clock()
        fit = steps_within(self._limit, steps, step, evaluation, state.eval_steps, done, spent)
        self._say_laid(done, fit, steps)
        return fit

    def _say(self, done: int, steps: int, step: float, evaluation: float, every: int) -> None:
        watching = evaluations_until(steps, every, done) * evaluation
        whole = self._clock() + (steps - done) * step + watching
        too_long = self._limit is None and whole > self._domains * TRAINING_SECONDS
        advice = " (training.max_hours would end it in time)" * too_long
        told = f", {in_hours(watching)} more for evaluations" if watching else ""
        log.info(
            f"hours: {step:.3g} s a step{told}: {in_hours(whole)} for all {steps:,} steps, "
            f"{beside_plan(whole, self._domains)}{advice}"
        )

    def _say_laid(self, done: int, fit: int, steps: int) -> None:
        hours = in_hours(self._limit)
        if fit == steps:
            log.info(f"hours: all of them fit into the {hours} of training.max_hours")
            return
        log.info(
            f"hours: training.max_hours leaves {hours}: {fit:,} of the {steps:,} steps, over which the learning rate "
            "falls to 0"
        )
        if fit == done + 1:
            log.info(f"hours: WARNING: {hours} are hardly more than what the first steps took: one more, and no other")


def device_time() -> float:
    """Seconds of a clock, when the device has done all it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def beside_plan(seconds: float, domains: int) -> str:
    """Whether a training of so many seconds is within what the plan gives to so many domains, in words."""
    allowed = domains * TRAINING_SECONDS
    fits = "within" if seconds <= allowed else "WARNING: more than"
    whose = "" if domains == 1 else f" for {domains} domains"
    return f"{fits} the plan's {in_hours(allowed)}{whose}"


def in_hours(seconds: float) -> str:
    """A duration, in seconds below a minute and in minutes below an hour."""
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
