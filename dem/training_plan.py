"""What a training will take in steps, time, disk and memory, said before it."""

import re
from dataclasses import dataclass, replace

import psutil
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer

from dem.chunked_loss import LOGITS_AT_ONCE
from dem.columns import aligned, in_bytes
from dem.config import Config
from dem.timed_steps import Timing
from dem.training_hours import beside_plan, evaluations_until, in_hours, steps_within
from dem.training_states import KEPT

FLOAT32 = 4
LEARNING_BYTES = 4 * FLOAT32
"""In memory for each parameter that trains: itself, its gradient and the two averages of AdamW."""
ADAPTER_BYTES = FLOAT32
"""On the disk for each of them."""
STATES = KEPT + 1
"""Saved states at once: those that stay, and one that is being written."""
STATE_BYTES = 3 * FLOAT32
"""In each of these for each of them: itself and the two averages."""
TOKEN_BYTES = 4
"""Of a token in the cache."""
LIBRARIES = 512 << 20
"""In memory whatever the model: Python and its libraries or, on a GPU, its context; about."""
CHUNKS_OF_LOGITS = 3
"""Logits, their exponentials and their gradient, of one chunk of the loss."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a training needs, as far as shapes tell.

    Left out are what the allocator keeps for itself, and what a layer computes outside its linear modules.
    """

    weights: int
    adapter: int
    """With gradients and optimizer."""
    per_block: int
    """Activations of one block."""
    loss: int

    def of(self, blocks: int) -> int:
        """With so many blocks going through the model at once."""
        return LIBRARIES + self.weights + self.adapter + blocks * self.per_block + self.loss

    def parts(self) -> str:
        """What it consists of, for people."""
        return (
            f"libraries {in_bytes(LIBRARIES)}, weights {in_bytes(self.weights)}, adapter with gradients and optimizer "
            f"{in_bytes(self.adapter)}, activations {in_bytes(self.per_block)} a block, loss {in_bytes(self.loss)}"
        )


def memory_of(model: PeftModel, config: Config, dtype: torch.dtype, kept_in_float32: tuple[str, ...] = ()) -> Memory:
    """The reckoning for `model`, loaded in `dtype`; it needs no weights, and may be on the meta device.

    With gradient checkpointing the inputs of all layers wait for the backward pass (in float32, as a Mamba's residual
    stream is), and what one layer computes; without it, what all do. Of a layer, what goes into and out of its linear
    modules is counted.

    Args:
        model: with its adapter.
        config: the settings of the training.
        dtype: of the base's weights.
        kept_in_float32: patterns of the names of those that are loaded in float32 all the same.
    """

    def size(name: str) -> int:
        return FLOAT32 if any(re.search(pattern, name) for pattern in kept_in_float32) else dtype.itemsize

    parameters = dict(model.named_parameters())
    weights = sum(p.numel() * size(name) for name, p in parameters.items() if not p.requires_grad)
    text, length = model.config.get_text_config(), config.data.max_length
    between = text.num_hidden_layers * length * text.hidden_size * FLOAT32
    within = length * _linear_width(model) * dtype.itemsize
    if config.training.gradient_checkpointing:
        within //= text.num_hidden_layers
    logits = min(LOGITS_AT_ONCE, length * config.training.batch_size * text.vocab_size)
    return Memory(weights, trained(model) * LEARNING_BYTES, between + within, CHUNKS_OF_LOGITS * FLOAT32 * logits)


def trained(model: PeftModel) -> int:
    """How many parameters train."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _linear_width(model: PeftModel) -> int:
    """Elements that go into and out of all linear modules but the head, per token; an adapter's own included."""
    head = model.get_output_embeddings()
    head = head.get_base_layer() if isinstance(head, LoraLayer) else head
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not head]
    return sum(module.in_features + module.out_features for module in linear)


@dataclass(frozen=True)
class TrainingPlan:
    """The training of one domain or mixture."""

    name: str
    domains: int
    """For how many domains' text it stands: those of a mixture."""
    blocks: int
    """That make an epoch."""
    about: str
    """Before a number that follows from a sample: "about ", or nothing."""
    steps: int
    evaluations: int
    """During the training."""
    tune_blocks: int
    """In each of them."""
    cached: int
    """Blocks that the cache holds of it, those to watch by included."""
    eval_steps: int
    """Steps between two evaluations."""
    max_hours: float | None
    """For each of the domains; None without a limit."""

    @classmethod
    def of(
        cls, name: str, domains: int, blocks: int, about: str, steps: int, tune: int, cached: int, config: Config
    ) -> "TrainingPlan":
        """The plan for `steps` on `blocks` blocks, watched on `tune` blocks."""
        every, hours = config.training.eval_steps, config.training.max_hours
        evaluations = 1 + evaluations_until(steps, every) if tune else 0  # before the first step and after the last
        return cls(name, domains, blocks, about, steps, evaluations, tune, cached, every, hours)

    def limited(self, timing: Timing) -> "TrainingPlan":
        """The plan with the steps that fit into the hours that are asked for."""
        if self.max_hours is None:
            return self
        evaluation = self.tune_blocks * (timing.watching or 0.0)
        allowed = 3600 * self.domains * self.max_hours
        steps = steps_within(allowed, self.steps, timing.step, evaluation, self.eval_steps, spent=evaluation)
        evaluations = 1 + evaluations_until(steps, self.eval_steps) if self.tune_blocks else 0
        return replace(self, steps=steps, evaluations=evaluations)

    def seconds(self, timing: Timing) -> float:
        """How long the steps and the evaluations between them take; loading and tokenizing come to that."""
        return self.steps * timing.step + self.evaluations * self.tune_blocks * (timing.watching or 0.0)

    def verdict(self, timing: Timing) -> str:
        """The time beside the plan's, and what a limit leaves of the steps."""
        limited = self.limited(timing)
        seconds = limited.seconds(timing)
        left = f"; training.max_hours leaves about {limited.steps:,} of the steps" * (limited.steps < self.steps)
        return f"{self.about}{in_hours(seconds)}, {beside_plan(seconds, self.domains)}{left}"


def plan_table(plans: list[TrainingPlan], max_length: int) -> list[str]:
    """Steps and blocks of each training, aligned."""
    rows = [("training", f"blocks of {max_length:,} tokens", "steps", "evaluations", "tune blocks in each")]
    for plan in plans:
        figures = (f"{plan.about}{plan.blocks:,}", f"{plan.about}{plan.steps:,}")
        rows.append((plan.name, *figures, f"{plan.evaluations:,}", f"{plan.tune_blocks:,}"))
    return ["plan:", *(f"  {line}" for line in aligned(rows))]


def time_lines(plans: list[TrainingPlan], timing: Timing) -> list[str]:
    """How long each training and all of them take, beside the plan's time."""
    lines = [f"time: {line}" for line in aligned([(plan.name, plan.verdict(timing)) for plan in plans], left=2)]
    if len(plans) > 1:
        whole = sum(plan.limited(timing).seconds(timing) for plan in plans)
        lines.append(f"time: {in_hours(whole)} for all, one after the other")
    return [*lines, "time: with the evaluations between the steps; without loading the model and tokenizing the text"]


def memory_free() -> int:
    """Bytes that are free where the model trains."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return psutil.virtual_memory().available
