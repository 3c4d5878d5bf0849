"""The record of a training: a line per logged step in the log and a row in `summary/train_<domain>.csv`."""

import csv
import io
import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from dem.atomic import write_text
from dem.common import log, peak_memory_gib
from dem.config import TRAINING_SECONDS
from dem.training_hours import evaluations_until, last_evaluation
from dem.training_states import saving

COLUMNS = (
    "step",
    "epoch",
    "loss",
    "eval_loss",
    "learning_rate",
    "grad_norm",
    "tokens",
    "tokens_per_second",
    "elapsed_seconds",
)


def blocks_after(steps: int, blocks: int, batch_size: int) -> int:
    """How many blocks were gone through after so many steps; the last of each epoch of `blocks` may have fewer."""
    epochs, rest = divmod(steps, math.ceil(blocks / batch_size))
    return epochs * blocks + min(rest * batch_size, blocks)


class ConvergenceLog(TrainerCallback):
    """Writes what Trainer measures. Loss in nats per token, tokens and seconds since the beginning of the training.

    A resumed training counts on from its saved state; what was lost after that state counts as never done. Tokens per
    second are those of training alone, without evaluation, since this process began.
    """

    def __init__(self, table: Path, blocks: int, batch_size: int, max_length: int, domains: int = 1):
        """`blocks` of `max_length` tokens make an epoch, `batch_size` of them a step; the last may have fewer.

        The plan's time for so many `domains` stands beside that of the training.
        """
        self.table = table
        self.blocks, self.batch_size, self.max_length = blocks, batch_size, max_length
        self._planned = domains * TRAINING_SECONDS
        self.rows: list[dict[str, Any]] = []
        self._began = time.monotonic()
        self._seconds_before = 0.0
        self._first_step = self._last_step = 0
        self._evaluating = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._seconds_before + time.monotonic() - self._began

    def figures(self) -> dict[str, float]:
        """What was done so far: `seconds`, `tokens`, `steps`, and `epochs`, how often the text was gone through."""
        done = blocks_after(self._last_step, self.blocks, self.batch_size)
        tokens = done * self.max_length
        return {"seconds": self.seconds, "tokens": tokens, "steps": self._last_step, "epochs": done / self.blocks}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs):
        """Start the clock, where the saved state of a resumed run left it."""
        self._began, self._first_step, self._last_step = time.monotonic(), state.global_step, state.global_step
        for entry in state.log_history:
            self._note(entry)
        if self.rows:
            self._seconds_before = self.rows[-1]["elapsed_seconds"]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs):
        """Count the step, and log it if it is saved, so that the state knows its time."""
        self._last_step = state.global_step
        if control.should_save:
            control.should_log = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs):
        """Write one logged step."""
        if not state.is_world_process_zero or not {"loss", "eval_loss"} & set(logs or {}):
            return  # Trainer's closing totals
        entry = state.log_history[-1]
        self._evaluating += entry.get("eval_runtime", 0.0)
        trained = self._tokens(state.global_step) - self._tokens(self._first_step)
        seconds = max(time.monotonic() - self._began - self._evaluating, 1e-9)
        entry.update(elapsed_seconds=self.seconds, tokens_per_second=trained / seconds)  # saved with Trainer's state
        row = self._note(entry)
        with saving(self.table):
            write_text(self.table, self._as_csv())
        where = f"step {row['step']}/{state.max_steps}  epoch {row['epoch']:.2f}"
        if "eval_loss" in entry:
            log.info(f"{where}  eval_loss {entry['eval_loss']:.4f}")
            return
        per_step = seconds / (state.global_step - self._first_step)
        watching = evaluations_until(state.max_steps, state.eval_steps, state.global_step) * last_evaluation(state)
        left = per_step * (state.max_steps - state.global_step) + watching
        log.info(
            f"{where}  loss {row['loss']:.4f}  lr {row['learning_rate']:.2e}  grad_norm {row['grad_norm']:.3f}  "
            f"{row['tokens_per_second']:,.0f} tokens/s  memory {peak_memory_gib():.2f} GiB  "
            f"left {_clock(left)} of {_clock(self.seconds + left)}, plan {_clock(self._planned)}"
        )

    def _note(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Add an entry to the row of its step: training loss and eval_loss of one step stand in one row."""
        if not self.rows or self.rows[-1]["step"] != entry["step"]:
            self.rows.append(dict.fromkeys(COLUMNS))
        row = self.rows[-1]
        row.update({k: v for k, v in entry.items() if k in COLUMNS})
        row["tokens"] = self._tokens(row["step"])
        return row

    def _tokens(self, step: int) -> int:
        return blocks_after(step, self.blocks, self.batch_size) * self.max_length

    def _as_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            writer.writerow("" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in row.values())
        return text.getvalue()


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


class ProgressBar(ProgressCallback):
    """Trainer's progress bar, without the figures that ConvergenceLog already writes."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Say nothing, but follow the end, which may have come nearer."""
        if self.training_bar is not None:
            self.training_bar.total = state.max_steps
