"""The second moments of the inputs that linear modules are called with, on each domain's text.

Shapes use c for the width of a module's input.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby

import torch
from torch import nn
from transformers import PreTrainedModel

from dem.evaluation.documents import Document
from dem.evaluation.perplexity import TOKENS_AT_ONCE, Piece, longest, pieces_of
from dem.less_at_once import Progress, as_much_as_fits


class _Enough(Exception):
    """Raised inside a model behind the last layer that matters."""


@torch.no_grad()
def second_moments(
    model: PreTrainedModel,
    modules: dict[str, list[nn.Module]],
    documents: Sequence[Document],
    max_length: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> dict[str, torch.Tensor]:
    """Of each name's linear modules together the sum of x x^T over the inputs x they are called with, (c, c), float32.

    Each window of at most `max_length` tokens begins without context; every position that is read counts, the last
    one of a window too. Only windows of one length go through the model together, so that no padding is read. The
    model runs no further than the last layer that holds one of the modules; `progress` is told the tokens of a batch.
    """
    device = next(model.parameters()).device
    sums = {
        name: torch.zeros(own[0].in_features, own[0].in_features, dtype=torch.float32, device=device)
        for name, own in modules.items()
    }
    hooks = [module.register_forward_pre_hook(_adding(sums[name])) for name, own in modules.items() for module in own]
    head = model.get_output_embeddings()
    part = model if any(module is head for own in modules.values() for module in own) else model.base_model
    pieces = pieces_of(documents, max_length)

    def add(tokens: int, tell: Progress) -> None:
        for total in sums.values():
            total.zero_()
        for batch in _of_one_length(pieces, tokens):
            ids = torch.tensor([list(window) for _, window in batch], dtype=torch.long, device=device)
            with suppress(_Enough):
                part(input_ids=ids, use_cache=False)
            tell(ids.numel())

    try:
        with _stopped_behind(model, [module for own in modules.values() for module in own]):
            as_much_as_fits("regmean", add, TOKENS_AT_ONCE[device.type], longest(pieces), progress)
    finally:
        for hook in hooks:
            hook.remove()
    return sums


def _adding(total: torch.Tensor) -> Callable[[nn.Module, tuple], None]:
    def add(_: nn.Module, inputs: tuple) -> None:
        rows = inputs[0].flatten(0, -2).float()
        total.addmm_(rows.T, rows)

    return add


def _of_one_length(pieces: list[Piece], tokens_at_once: int) -> Iterator[list[Piece]]:
    """`pieces`, longest first, in batches of one length and at most `tokens_at_once` tokens (or one piece)."""
    for length, same in groupby(pieces, lambda piece: len(piece[1])):
        alike, rows = list(same), max(tokens_at_once // length, 1)
        for start in range(0, len(alike), rows):
            yield alike[start : start + rows]


@contextmanager
def _stopped_behind(model: PreTrainedModel, modules: list[nn.Module]) -> Iterator[None]:
    """While it lasts, the model raises `_Enough` behind the last layer that holds one of the modules.

    Where one of them is in no layer, the model runs to its end.
    """
    layers = list(next((m for m in model.base_model.modules() if isinstance(m, nn.ModuleList)), []))
    held = [set(layer.modules()) for layer in layers]  # one that several layers share is called by all of them
    if not all(any(module in own for own in held) for module in modules):
        yield
        return
    last = max(i for i, own in enumerate(held) if any(module in own for module in modules))

    def stop(*_: object) -> None:
        raise _Enough

    hook = layers[last].register_forward_hook(stop)
    try:
        yield
    finally:
        hook.remove()
