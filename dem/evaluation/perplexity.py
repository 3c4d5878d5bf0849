"""The score of documents by a model: windows, batches, negative log-likelihoods."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from dem.chunked_loss import logit_factor, trial_ids
from dem.evaluation.documents import Document
from dem.evaluation.scores import Scores
from dem.less_at_once import Progress, as_much_as_fits

TOKENS_AT_ONCE = {"cpu": 1 << 10, "cuda": 1 << 13}
"""Tokens in one batch, or a single window: what fills a GPU, and what does not leave a CPU's cache."""
LOGITS_AT_ONCE = {"cpu": 1 << 24, "cuda": 1 << 27}
"""Elements of logits that exist together: 64 MiB in float32, and 0.5 GiB."""


def windows(ids: Sequence[int], max_length: int) -> list[Sequence[int]]:
    """Pieces of at most `max_length` tokens, each beginning with the last token of the one before.

    So every token but the document's first is predicted exactly once, with at least one token before it.
    """
    step = max(max_length - 1, 1)
    return [ids[start : start + max_length] for start in range(0, max(len(ids) - 1, 0), step)]


def drawn(documents: Sequence[Document], max_length: int, tokens: int, seed: int) -> list[Document]:
    """`tokens` of the documents' predicted tokens (all, if there are no more), drawn by windows; the last one is cut.

    As a model reads them by windows anyway, each becomes a document of its own, whose bytes are not told.
    """
    pieces = [window for document in documents for window in windows(document.ids, max_length)]
    chosen: dict[int, Sequence[int]] = {}
    for number in np.random.default_rng(seed).permutation(len(pieces)):
        chosen[number] = pieces[number][: tokens + 1]
        tokens -= len(chosen[number]) - 1
        if not tokens:
            break
    return [Document(chosen[number], 0) for number in sorted(chosen)]


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    documents: Sequence[Document],
    max_length: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> Scores:
    """Scores of `documents` under a causal language model; each begins without context.

    Windows of like length go through the model together, padded on the right, where no token before them can see the
    padding. Logits exist for some positions at a time, in float32; a document's sum is in float64. `progress` is told
    the tokens of each batch.
    """
    device = next(model.parameters()).device
    nll_of = _by_hidden_states if head_is_all(model) else _by_logits
    at_once = TOKENS_AT_ONCE[device.type]
    if nll_of is _by_logits:
        at_once = min(at_once, LOGITS_AT_ONCE[device.type] // model.get_input_embeddings().weight.shape[0])
    pieces = pieces_of(documents, max_length)

    def measure(tokens: int, tell: Progress) -> np.ndarray:
        nll = np.zeros(len(documents))
        for batch in batches(pieces, tokens):
            ids, targets = padded([window for _, window in batch])
            each = nll_of(model, ids.to(device), targets)
            np.add.at(nll, [number for number, _ in batch], each.sum(1, dtype=torch.float64).cpu().numpy())
            tell(sum(len(window) - 1 for _, window in batch))
        return nll

    return Scores.of(as_much_as_fits("perplexity", measure, at_once, longest(pieces), progress), documents)


Piece = tuple[int, Sequence[int]]
"""The number of a document, and the ids of one of its windows."""


def pieces_of(documents: Sequence[Document], max_length: int) -> list[Piece]:
    """All windows of the documents, longest first."""
    pieces = [(number, w) for number, document in enumerate(documents) for w in windows(document.ids, max_length)]
    return sorted(pieces, key=lambda piece: len(piece[1]), reverse=True)


def longest(pieces: list[Piece]) -> int:
    """Tokens of the longest of the pieces, which come first; 0 of none."""
    return len(pieces[0][1]) if pieces else 0


def batches(pieces: list[Piece], tokens_at_once: int) -> Iterator[list[Piece]]:
    """Pieces, longest first, in batches whose padded size is at most `tokens_at_once` (or one piece)."""
    start = 0
    while start < len(pieces):
        rows = max(tokens_at_once // len(pieces[start][1]), 1)
        yield pieces[start : start + rows]
        start += rows


def padded(batch: list[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The ids, and what each position is to predict (-100: nothing); both (windows, length of the first)."""
    ids = torch.zeros(len(batch), len(batch[0]), dtype=torch.long)
    targets = torch.full_like(ids, -100)
    for row, window in enumerate(batch):
        ids[row, : len(window)] = torch.tensor(window)
        targets[row, : len(window) - 1] = ids[row, 1 : len(window)]
    return ids, targets


def _by_hidden_states(model: PreTrainedModel, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each target, float32 in their shape, on the device of `ids`; 0 where there is none.

    The targets are on the CPU: on a GPU, to find those that there are would be to wait for it.
    """
    places, wanted = _wanted(targets, ids.device)
    hidden = model.base_model(input_ids=ids, use_cache=False)[0].flatten(0, 1)[places]
    logits_of = head_of(model)
    positions = max(LOGITS_AT_ONCE[ids.device.type] // model.get_input_embeddings().weight.shape[0], 1)
    pieces = zip(hidden.split(positions), wanted.split(positions), strict=True)
    return _spread(torch.cat([_nll(logits_of(h), t) for h, t in pieces]), places, targets.shape)


def _by_logits(model: PreTrainedModel, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The same, from the logits of all positions."""
    places, wanted = _wanted(targets, ids.device)
    logits = model(input_ids=ids, use_cache=False).logits.flatten(0, 1)[places]
    return _spread(_nll(logits.float(), wanted), places, targets.shape)


def _wanted(targets: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The places of all targets that there are, in flat order, and these targets."""
    places = (targets.flatten() != -100).nonzero()[:, 0]
    return places.to(device), targets.flatten()[places].to(device)


def _spread(values: torch.Tensor, places: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The values in their places; 0 elsewhere."""
    spread = torch.zeros(shape.numel(), dtype=torch.float32, device=values.device)
    return spread.index_copy_(0, places, values).view(shape)


def _nll(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log sum exp(logits) - logit of the target, per row; `logits` (positions, vocabulary), float32, are overwritten.

    In place, because fresh memory of this size costs a CPU more than the sum.
    """
    own = logits.gather(1, targets[:, None])[:, 0]
    largest = logits.amax(1, keepdim=True)
    return logits.sub_(largest).exp_().sum(1).log_() + largest[:, 0] - own


def head_of(model: PreTrainedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function from hidden states to logits in float32, which may be overwritten."""
    head, factor = model.get_output_embeddings(), logit_factor(model)

    def logits(hidden: torch.Tensor) -> torch.Tensor:
        made = head(hidden.to(head.weight.dtype)).float()
        return made if factor == 1 else made.mul_(factor)

    return logits


@torch.inference_mode()
def head_is_all(model: PreTrainedModel) -> bool:
    """Whether the head and a factor make the model's logits of its hidden states; some models cap them, for instance.

    Tried on a few tokens.
    """
    embedding = model.get_input_embeddings().weight
    ids = trial_ids(model)
    plain = model(input_ids=ids, use_cache=False).logits.float()
    ours = head_of(model)(model.base_model(input_ids=ids, use_cache=False)[0])
    close = 1e-4 if embedding.dtype == torch.float32 else 1e-2
    return bool((plain - ours).abs().max() <= close * plain.abs().max())
