"""A Trainer whose processes together do what one does alone: the same steps, on the same blocks, with the same loss."""

from pathlib import Path

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerCallback

from dem import processes
from dem.training_checks import FiniteTrainer
from dem.training_hours import Schedule
from dem.training_states import saving


class TooLittleMemory(torch.OutOfMemoryError):
    """An OutOfMemoryError that all processes raise, because the batch was too large for one of them."""


class SharedTrainer(FiniteTrainer):
    """A FiniteTrainer for any number of processes.

    accelerate deals each effective batch out to the processes, and Trainer divides the sum of all losses by the tokens
    of all processes. What they leave undone: at the end of an epoch accelerate fills the last batch with blocks from
    the epoch's beginning, which here get no labels and so no part in loss and gradient. And with FSDP accelerate has
    no autocast: it rounds every weight, the sum of the gradients and the loss instead.
    """

    def __init__(self, *arguments, schedule: Schedule, **keywords):
        """A trainer whose learning rate follows `schedule`; see Trainer."""
        self._schedule = schedule
        super().__init__(*arguments, **keywords)

    def create_scheduler(self, num_training_steps, optimizer=None):
        """Set up the learning rate's fall; see Trainer."""
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, self._schedule)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def create_accelerator_and_postprocess(self):
        """Set up accelerate; see Trainer."""
        super().create_accelerator_and_postprocess()
        if self.is_fsdp_enabled:
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = None

    def compute_loss_context_manager(self):
        """What a forward pass runs in; see Trainer."""
        contexts = super().compute_loss_context_manager()
        if self.is_fsdp_enabled:
            contexts.enter_context(self.accelerator.autocast())
        return contexts

    def _save_checkpoint(self, model, trial):
        with saving(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"):
            super()._save_checkpoint(model, trial)

    def _run_epoch(self, **keywords):
        # Trainer asks whether it is done only after a step. A state saved at the last one leaves a part of an epoch
        # undone where `num_train_epochs` is no whole number.
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(**keywords)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The batches of one step; see Trainer."""
        blocks, size = len(self.train_dataset), self.args.train_batch_size
        batches = (self._without_repeats(batch, blocks, size) for batch in epoch_iterator)
        return super().get_batch_samples(batches, num_batches, device)

    def evaluate(self, *arguments, **keywords):
        """Measure eval_loss without a trace in the random numbers, so that how often changes nothing; see Trainer."""
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):
            return super().evaluate(*arguments, **keywords)

    def prediction_step(self, model, inputs, *arguments, **keywords):
        """The loss of one batch of an evaluation; see Trainer."""
        inputs = self._without_repeats(inputs, len(self.eval_dataset), self.args.eval_batch_size)
        loss, *others = super().prediction_step(model, inputs, *arguments, **keywords)
        return self.accelerator.reduce(loss, reduction="mean"), *others

    def _without_repeats(self, inputs: dict[str, torch.Tensor], blocks: int, size: int) -> dict[str, torch.Tensor]:
        rest = blocks % (size * processes.count())
        # Where the model divides its loss by its own tokens only, none of them would be a division by zero.
        if rest and self.accelerator.gradient_state.end_of_dataloader and self.model_accepts_loss_kwargs:
            inputs["labels"][max(rest - size * processes.index(), 0) :] = -100
        return inputs

    def rehearse(self) -> None:
        """Take one batch through the model and back, each process on its own, and forget it.

        Raises:
            TooLittleMemory: in all processes, if it did not fit into the memory of one of them.
        """
        inputs = self.data_collator([self.train_dataset[0]] * self.args.train_batch_size)
        self.current_gradient_accumulation_steps = 1
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        fits = True
        with torch.random.fork_rng(devices), self.accelerator.no_sync(self.model_wrapped):
            try:
                Trainer.training_step(self, self.model_wrapped, inputs, torch.tensor(1.0, device=self.args.device))
            except torch.OutOfMemoryError:
                fits = False
        self.model_wrapped.zero_grad()
        if processes.any_process(not fits):
            raise TooLittleMemory


class Rehearsal(TrainerCallback):
    """Finds out before the first step whether the batch fits into the memory of every process.

    During a step it would be too late: a process without memory could not call the others back, which wait for its
    gradients.
    """

    def __init__(self, trainer: SharedTrainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        """Before anything else."""
        self.trainer.rehearse()
