"""What watches a training: that every adapter learns, that the loss is a number, that a signal loses nothing."""

import math
import signal

import torch
from transformers import Trainer, TrainerCallback

from dem import processes
from dem.common import log
from dem.errors import SharedError


class WatchAdapters(TrainerCallback):
    """Stops a run in which an adapter gets no gradient, or ends as it began.

    Of LoRA's two factors one begins at zero. It gets a gradient in the first backward pass unless the module is
    bypassed (the other factor gets none while the first is zero). Of a sharded factor each process sees its part.
    """

    def __init__(self):
        self.checked = False

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        """After the first backward pass: every gradient is there."""
        if self.checked:
            return
        self.checked = True
        if processes.sharding() == "DeepSpeed":
            log.info("a module whose adapter gets no gradient is found at the end: DeepSpeed shows no gradients")
        else:
            factors = _zero_at_first(model)
            alive = processes.any_of([p.grad is not None and _any(p.grad) for p in factors.values()])
            self._refuse(factors, [not a for a in alive], "gets no gradient", "do not target them")

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """After training: every factor has moved."""
        if state.global_step < state.max_steps:  # a signal ended it, perhaps before the first step that counted
            return
        factors = _zero_at_first(model)
        moved = processes.any_of([_any(p) for p in factors.values()])
        broken = processes.any_of([not torch.isfinite(processes.own_part(p)).all() for p in factors.values()])
        self._refuse(factors, [not m for m in moved], "is still zero after training", "do not target them")
        self._refuse(factors, broken, "holds NaN or Inf", "lower training.learning_rate")

    def _refuse(self, factors: dict[str, torch.Tensor], bad: list[bool], what: str, advice: str) -> None:
        if names := [n for n, is_bad in zip(factors, bad, strict=True) if is_bad]:
            modules = ", ".join(n.split(".lora_")[0].removeprefix("base_model.model.") for n in names[:5])
            raise SharedError(f"LoRA on {len(names)} of {len(factors)} modules {what}: {modules}; {advice}")


def _zero_at_first(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trainable factors that begin at zero. Sharding replaces parameters, so they are looked up when needed."""
    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return {n: p for n, p in trainable if "lora_B" in n or "lora_embedding_A" in n}


def _any(tensor: torch.Tensor) -> bool:
    """Whether an element that this process holds is not zero."""
    return bool(processes.own_part(tensor).any())


class StopOnSignal(TrainerCallback):
    """On SIGTERM or Ctrl-C finishes the step, saves, and leaves; a second signal leaves at once."""

    def __init__(self):
        self.caught: int | None = None
        self.stopped = False
        self._before: dict[int, object] = {}

    def on_train_begin(self, args, state, control, **kwargs):
        """Take over the signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame) -> None:
        self.caught = number
        self.release()
        log.info(f"{signal.Signals(number).name}: saving after this step")

    def on_step_end(self, args, state, control, **kwargs):
        """Ask Trainer to save and stop, in all processes at the same step."""
        if processes.any_process(self.caught is not None):
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        """Learn whether any process was told to stop."""
        self.stopped = processes.any_process(self.caught is not None)

    def release(self) -> None:
        """Give the signals back to whom they were taken from."""
        while self._before:
            signal.signal(*self._before.popitem())


class FiniteTrainer(Trainer):
    """A Trainer that stops before a step one of whose losses is not a number."""

    def __init__(self, *arguments, **keywords):
        """See Trainer."""
        self._unseen: list[tuple[torch.Tensor, torch.Tensor]] = []
        super().__init__(*arguments, **keywords)

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One forward and backward pass; see Trainer."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._unseen.append((loss.detach(), inputs["input_ids"][0, :20]))
        # Only at the last part of a step: to look at a loss is to wait for the device.
        if self.accelerator.sync_gradients and (mistake := processes.first_message(self._mistake())):
            raise SharedError(mistake)
        return loss

    def _mistake(self) -> str | None:
        """What is wrong with the first loss since it was last asked that is no number; None if there is none."""
        (losses, starts), self._unseen = zip(*self._unseen, strict=True), []
        values = torch.stack(losses).tolist()
        bad = next((i for i, value in enumerate(values) if not math.isfinite(value)), None)
        if bad is None:
            return None
        start = self.processing_class.decode(starts[bad]) if self.processing_class else ""
        return (
            f"the loss is {values[bad]} at step {self.state.global_step + 1}, in the batch that begins with {start!r}; "
            "lower training.learning_rate, or take precision bf16 or fp32"
        )
