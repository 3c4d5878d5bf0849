"""A few optimiser steps of a training, timed and thrown away."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import datasets
import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, TrainerCallback

from dem import training
from dem.common import log, peak_memory_gib
from dem.config import Config
from dem.training_blocks import TrainingBlocks
from dem.training_hours import TIMED, WARM_UP, device_time
from dem.training_states import SavedStates

LONG = 120
"""Seconds after which no further step is begun."""


TOO_LONG = 600
"""Seconds of a step that is not tried."""
SQUARE = 1024
"""Rows and columns of the matrices by which a processor is judged."""


@dataclass(frozen=True)
class Timing:
    """What a few steps took."""

    steps: int
    """That the time is the mean of."""
    step: float
    """Seconds of a step."""
    watching: float | None
    """Seconds of an evaluation for each of its blocks; None where there are none."""
    at_once: int
    """Blocks that went through the model together."""
    memory_gib: float
    """Most that was in use: of the GPU if there is one, else of the process."""


def time_steps(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: list[dict[str, list[int]]],
    tune: list[dict[str, list[int]]],
    config: Config,
    precision: str,
) -> Timing:
    """Train `model` for a few steps as stage 1 would, in a folder of its own that goes again; the adapter is spoilt.

    Args:
        model: with a new adapter, on its device.
        tokenizer: of the base.
        train: blocks of the real length, which come again if there are too few.
        tune: blocks to watch by, one batch of them; none if there is no tune split.
        config: the settings of the training.
        precision: as `common.choose_precision` names it.

    Raises:
        WorkError: what would end the training as well: an adapter gets no gradient, a loss is no number, memory does
            not suffice for one block.
    """
    settings = replace(config.training, epochs=1, save_steps=10**9, logging_steps=10**9, eval_steps=WARM_UP + 1)
    settings = replace(settings, max_steps=None, max_hours=None)
    # One step more than is made: a training that is stopped before its end is not judged by its adapter.
    enough = (WARM_UP + TIMED + 1) * settings.batch_size
    blocks = TrainingBlocks(_dataset(islice(cycle(train), enough)), _dataset(tune), 1, [], in_order=True)
    watch = Stopwatch(max(len(tune), 1))
    with tempfile.TemporaryDirectory() as folder, _unsaid():
        own, place = replace(config, training=settings), Path(folder)
        states = SavedStates(place, {})  # none is saved in so few steps
        training.run_training(model, tokenizer, blocks, own, precision, states, place / "steps.csv", (watch,))
    return watch.timing()


def least_seconds(model: PeftModel, config: Config) -> float:
    """What the matrix products of a step's linear modules take this machine's processor, if nothing else does.

    They run forward, back to the activations (the weights are frozen), and with gradient checkpointing forward again.
    """
    weights = sum(m.in_features * m.out_features for m in model.modules() if isinstance(m, torch.nn.Linear))
    passes = 3 if config.training.gradient_checkpointing else 2
    products = passes * weights * config.training.batch_size * config.data.max_length / SQUARE**3
    one = torch.ones(SQUARE, SQUARE)
    one @ one  # the first waits for memory
    began = time.monotonic()
    one @ one
    return products * (time.monotonic() - began)


class Stopwatch(TrainerCallback):
    """Times steps, and ends the training when it knows enough."""

    def __init__(self, tune_blocks: int):
        """`tune_blocks` are in an evaluation."""
        self._tune_blocks = tune_blocks
        self._at_once = 0
        self._steps: list[float] = []
        self._watching: float | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        """Begin anew, also where fewer blocks at once are tried."""
        self._at_once = args.per_device_train_batch_size
        self._steps = []
        self._began = time.monotonic()

    def on_step_begin(self, args, state, control, **kwargs):
        """Start the clock."""
        self._step_began = device_time()

    def on_step_end(self, args, state, control, **kwargs):
        """Stop it, and perhaps the training."""
        now = device_time()
        self._steps.append(now - self._step_began)
        if len(self._steps) == WARM_UP + TIMED or now - self._began > LONG:
            control.should_training_stop = True

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        """Note what an evaluation took; the first one is a warm-up."""
        self._watching = metrics["eval_runtime"] / self._tune_blocks

    def timing(self) -> Timing:
        """What was seen."""
        timed = self._steps[WARM_UP:] or self._steps
        return Timing(len(timed), sum(timed) / len(timed), self._watching, self._at_once, peak_memory_gib())


def _dataset(rows) -> datasets.Dataset:
    rows = list(rows)
    return datasets.Dataset.from_list(rows) if rows else datasets.Dataset.from_dict({"input_ids": []})


@contextmanager
def _unsaid() -> Iterator[None]:
    """While it lasts, the log has no lines of steps that lead nowhere."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
