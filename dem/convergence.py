"""The record of a training: a line per logged step in the log and a row in `summary/train_<domain>.csv`."""

import csv
import io
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from dem.atomic import write_text
from dem.common import log, peak_memory_gib

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


class ConvergenceLog(TrainerCallback):
    """Writes what Trainer measures. Loss in nats per token, tokens and times since the beginning of the run."""

    def __init__(self, table: Path, tokens_per_step: int):
        self.table, self.tokens_per_step = table, tokens_per_step
        self.rows: list[dict[str, Any]] = []
        self._began = time.monotonic()
        self._began_at_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs):
        """Start the clock."""
        self._began, self._began_at_step = time.monotonic(), state.global_step
        if state.log_history and not self.rows:  # a resumed run: the rows of its first part
            for entry in state.log_history:
                self._note(entry, elapsed=None)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs):
        """Write one logged step."""
        entry = {"step": state.global_step, "epoch": state.epoch, **(logs or {})}
        if "loss" not in entry and "eval_loss" not in entry:
            return  # Trainer's closing totals
        row = self._note(entry, elapsed=time.monotonic() - self._began)
        write_text(self.table, self._as_csv())
        where = f"step {row['step']}/{state.max_steps}  epoch {row['epoch']:.2f}"
        if "eval_loss" in entry:
            log.info(f"{where}  eval_loss {entry['eval_loss']:.4f}")
            return
        per_step = row["elapsed_seconds"] / max(state.global_step - self._began_at_step, 1)
        left = int(per_step * (state.max_steps - state.global_step))
        log.info(
            f"{where}  loss {row['loss']:.4f}  lr {row['learning_rate']:.2e}  grad_norm {row['grad_norm']:.3f}  "
            f"{row['tokens_per_second']:,.0f} tokens/s  memory {peak_memory_gib():.2f} GiB  "
            f"left {left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
        )

    def _note(self, entry: dict[str, Any], elapsed: float | None) -> dict[str, Any]:
        """Add an entry to the row of its step: training loss and eval_loss of one step stand in one row."""
        if not self.rows or self.rows[-1]["step"] != entry["step"]:
            self.rows.append(dict.fromkeys(COLUMNS))
        row = self.rows[-1]
        row.update({k: v for k, v in entry.items() if k in COLUMNS})
        row["tokens"] = row["step"] * self.tokens_per_step
        if elapsed is not None:
            new_tokens = (row["step"] - self._began_at_step) * self.tokens_per_step
            row.update(elapsed_seconds=elapsed, tokens_per_second=new_tokens / max(elapsed, 1e-9))
        return row

    def _as_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            writer.writerow("" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in row.values())
        return text.getvalue()


class ProgressBar(ProgressCallback):
    """Trainer's progress bar, without the figures that ConvergenceLog already writes."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Say nothing."""
