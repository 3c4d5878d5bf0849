"""What watches a training: that every adapter learns, that the loss is a number, that a signal loses nothing."""

import signal

import torch
from transformers import Trainer, TrainerCallback

from dem.common import log
from dem.errors import WorkError


class WatchAdapters(TrainerCallback):
    """Stops a run in which an adapter gets no gradient, or ends as it began.

    Of LoRA's two factors one begins at zero. It gets a gradient in the first backward pass unless the module is
    bypassed (the other factor gets none while the first is zero).
    """

    def __init__(self, model: torch.nn.Module):
        zero_at_first = ("lora_B", "lora_embedding_A")
        trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.factors = {n: p for n, p in trainable if any(part in n for part in zero_at_first)}
        self.checked = False

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        """After the first backward pass: every gradient is there."""
        if not self.checked:
            self._refuse(
                [n for n, p in self.factors.items() if p.grad is None or not p.grad.any()],
                "gets no gradient",
                "do not target them",
            )
            self.checked = True

    def on_train_end(self, args, state, control, **kwargs):
        """After training: every factor has moved."""
        self._refuse(
            [n for n, p in self.factors.items() if not p.any()], "is still zero after training", "do not target them"
        )
        self._refuse(
            [n for n, p in self.factors.items() if not torch.isfinite(p).all()],
            "holds NaN or Inf",
            "lower training.learning_rate",
        )

    def _refuse(self, names: list[str], what: str, advice: str) -> None:
        if names:
            modules = ", ".join(n.split(".lora_")[0].removeprefix("base_model.model.") for n in names[:5])
            raise WorkError(f"LoRA on {len(names)} of {len(self.factors)} modules {what}: {modules}; {advice}")


class StopOnSignal(TrainerCallback):
    """On SIGTERM or Ctrl-C finishes the step, saves, and leaves; a second signal leaves at once."""

    def __init__(self):
        self.caught: int | None = None
        self._before: dict[int, object] = {}

    def on_train_begin(self, args, state, control, **kwargs):
        """Take over the signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame) -> None:
        self.caught = number
        self._restore()
        log.info(f"{signal.Signals(number).name}: saving after this step")

    def on_step_end(self, args, state, control, **kwargs):
        """Ask Trainer to save and stop."""
        if self.caught:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        """Give the signals back."""
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())


class FiniteTrainer(Trainer):
    """A Trainer that stops at the first loss that is not a number."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One forward and backward pass; see Trainer."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            start = self.processing_class.decode(inputs["input_ids"][0, :20]) if self.processing_class else ""
            raise WorkError(
                f"the loss is {float(loss)} at step {step}, in the batch that begins with {start!r}; lower "
                "training.learning_rate, or take precision bf16 or fp32"
            )
        return loss
