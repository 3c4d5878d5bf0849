"""Perplexity of documents: exp of the total negative log-likelihood over the total of tokens."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

LOGITS_AT_ONCE = 1 << 27
"""Elements of logits that one batch may make (0.5 GiB in float32); a single window may exceed it."""
TOKENS_AT_ONCE = 1 << 13
"""Tokens in one batch at most; more only leave a CPU's cache."""
CROSS_ENTROPY_AT_ONCE = 512
"""Positions whose logits are turned to float32 together."""


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood in nats, and the number of tokens it is of."""

    nll: float = 0.0
    tokens: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(self.nll + other.nll, self.tokens + other.tokens)

    @property
    def perplexity(self) -> float | None:
        """exp(nll / tokens), or None where nothing was measured."""
        return math.exp(self.nll / self.tokens) if self.tokens else None


def windows(ids: Sequence[int], max_length: int) -> list[Sequence[int]]:
    """Pieces of at most `max_length` tokens, each beginning with the last token of the one before.

    So every token but the document's first is predicted exactly once, with at least one token before it.
    """
    step = max(max_length - 1, 1)
    return [ids[start : start + max_length] for start in range(0, max(len(ids) - 1, 0), step)]


@torch.inference_mode()
def score(
    model: torch.nn.Module,
    documents: Sequence[Sequence[int]],
    max_length: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> Score:
    """Total score of `documents` (token ids) under a causal language model; each begins without context.

    Windows of like length go through the model together, padded on the right, where no token before them can see the
    padding. `progress` is told the tokens of each batch.
    """
    device = next(model.parameters()).device
    vocabulary = model.get_input_embeddings().weight.shape[0]
    pieces = sorted((w for ids in documents for w in windows(ids, max_length)), key=len, reverse=True)
    total = Score()
    for batch in _batches(pieces, min(LOGITS_AT_ONCE // vocabulary, TOKENS_AT_ONCE)):
        ids = torch.zeros(len(batch), len(batch[0]), dtype=torch.long)
        targets = torch.full_like(ids, -100)
        for row, piece in enumerate(batch):
            ids[row, : len(piece)] = torch.tensor(piece)
            targets[row, : len(piece) - 1] = ids[row, 1 : len(piece)]
        tokens = sum(len(piece) - 1 for piece in batch)
        total += Score(_nll(model(input_ids=ids.to(device), use_cache=False).logits, targets.to(device)), tokens)
        progress(tokens)
    return total


def _batches(pieces: list[Sequence[int]], tokens_at_once: int) -> Iterator[list[Sequence[int]]]:
    """Pieces, longest first, in batches whose padded size is at most `tokens_at_once` (or one piece)."""
    start = 0
    while start < len(pieces):
        rows = max(tokens_at_once // len(pieces[start]), 1)
        yield pieces[start : start + rows]
        start += rows


def _nll(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Sum of the cross entropies, float32 per token and float64 in sum; targets of -100 do not count."""
    logits, targets = logits.flatten(0, 1), targets.flatten()
    total = 0.0
    for some, wanted in zip(logits.split(CROSS_ENTROPY_AT_ONCE), targets.split(CROSS_ENTROPY_AT_ONCE), strict=True):
        each = F.cross_entropy(some.float(), wanted, ignore_index=-100, reduction="none")
        total += float(each.sum(dtype=torch.float64))
    return total
