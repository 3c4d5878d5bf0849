"""The loss of a causal language model without all of its logits at once.

8 x 2048 tokens against a vocabulary of 96,000 make 6.3 GB of float32 logits, and as much again for their gradient.
Here the head and the cross entropy run over some positions at a time, and again in the backward pass.
"""

from collections.abc import Callable
from types import MethodType

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from dem.positions import position_limit

LOGITS_AT_ONCE = 1 << 26
"""Elements of logits that exist together: 0.25 GiB in float32."""


def use_chunked_loss(model: PreTrainedModel) -> str:
    """Make `model(input_ids=..., labels=...)` compute its loss in chunks and return no logits; say so for the log.

    Some models do more to their logits than the head and a factor (capping, further losses). So both losses are
    compared on a few tokens first, and a model for which they differ keeps its own.
    """
    plain_forward = model.forward
    embedding = model.get_input_embeddings().weight
    ids = trial_ids(model)
    model.forward = MethodType(_chunked_forward(plain_forward), model)
    half = embedding.dtype != torch.float32
    with torch.no_grad(), torch.autocast(embedding.device.type, embedding.dtype if half else None, enabled=half):
        plain, chunked = (f(input_ids=ids, labels=ids).loss.float() for f in (plain_forward, model.forward))
    if torch.allclose(plain, chunked, rtol=2e-3, equal_nan=True):  # a loss that is no number stops the run later
        return f"loss: in chunks of at most {LOGITS_AT_ONCE:,} logits"
    model.forward = plain_forward
    return "loss: with all logits at once (this model does more to them than its head)"


def trial_ids(model: PreTrainedModel) -> torch.Tensor:
    """A few tokens (1, up to 64) to try the model on, as many as it has positions for."""
    count = min(64, position_limit(model) or 64)
    ids = torch.arange(count, device=model.get_input_embeddings().weight.device)
    return ids.remainder(model.config.get_text_config().vocab_size)[None]


def choose_loss_at_first_batch(model: PreTrainedModel, say: Callable[[str], object]) -> None:
    """Call `use_chunked_loss` when the first batch comes, and `say` its line.

    Before that, a model that is to be sharded cannot compute a loss: it lies in the CPU's memory, where a GPU's
    kernels cannot read it.
    """
    plain_forward = model.forward

    def forward(self, input_ids=None, labels=None, **kwargs):
        model.forward = plain_forward
        say(use_chunked_loss(model))
        return model.forward(input_ids=input_ids, labels=labels, **kwargs)

    model.forward = MethodType(forward, model)


def _chunked_forward(plain_forward):
    def forward(self, input_ids=None, labels=None, num_items_in_batch=None, **kwargs):
        if labels is None:
            return plain_forward(input_ids=input_ids, **kwargs)
        hidden = self.base_model(input_ids=input_ids, **{**kwargs, "use_cache": False})[0]
        total, count = summed_loss(hidden[:, :-1], labels[:, 1:], self.get_output_embeddings(), logit_factor(self))
        # Trainer counts the tokens of the whole effective batch, of which this may be a part.
        return CausalLMOutputWithPast(loss=total / (count if num_items_in_batch is None else num_items_in_batch))

    return forward


def logit_factor(model: PreTrainedModel) -> float:
    """What a Falcon-H1 and a Granite multiply their logits by."""
    return getattr(model.config, "lm_head_multiplier", 1.0) / getattr(model.config, "logits_scaling", 1.0)


def summed_loss(
    hidden: torch.Tensor, targets: torch.Tensor, head: torch.nn.Module, factor: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the cross entropies in float32, and the number of targets that are not -100.

    Args:
        hidden: (batch, tokens, width). targets: (batch, tokens), the id that each position should predict.
        head: from width to vocabulary; called as a module, so that an adapter on it takes part.
        factor: what the model multiplies its logits by.
    """
    hidden, targets = hidden.flatten(0, 1), targets.flatten()
    positions = max(LOGITS_AT_ONCE // head.out_features, 1)
    pieces = zip(hidden.split(positions), targets.split(positions), strict=True)
    total = sum(checkpoint(_piece_loss, h, t, head, factor, use_reentrant=False) for h, t in pieces)
    return total, (targets != -100).sum()


def _piece_loss(hidden: torch.Tensor, targets: torch.Tensor, head: torch.nn.Module, factor: float) -> torch.Tensor:
    logits = head(hidden.to(head.weight.dtype)).float()
    if factor != 1:
        logits = logits * factor
    return F.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
