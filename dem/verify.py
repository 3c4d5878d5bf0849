"""The written model read again: its logits beside those of the base plus the differences before rounding.

Both models run in float32, a layer's weights at a time and the vocabulary in tiles, so that neither is ever in memory.
Those are whole in it whose stored weights transformers puts together when it loads them (the experts of some hybrids).
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PreTrainedModel

from dem.checkpoints import DTYPES, Checkpoint, matrix_shape
from dem.common import model_config, stored_names
from dem.diffs import one_thread_each, tile_rows
from dem.errors import WorkError
from dem.merging import Merge
from dem.streams import BLOCK, buffers

TOKENS = 8
"""Tokens that the models read, spread over the vocabulary."""
ROUNDINGS = 16
"""Largest gap that rounding the weights explains, in units of their type's relative precision."""
LEAST_LIMIT = 1e-3


@dataclass(frozen=True)
class Gap:
    """How far the written model's logits (before any factor of the model's) are from the exact ones."""

    relative: float
    """Euclidean norm of all gaps over that of the exact logits."""
    largest: float
    """Of a single logit."""
    limit: float
    """Of `relative`."""
    tokens: int

    def as_dict(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


def compare_with_exact(base: Checkpoint, merged: Path, merge: Merge) -> Gap:
    """Compare the model in the folder `merged` with `base` plus what `merge` adds to it.

    Raises:
        WorkError: the gap is larger than rounding explains.
    """
    written = Checkpoint(merged)
    both = (_Weights(base, merge), _Weights(written, None))
    models = [_empty_model(merged) for _ in both]
    names = stored_names(models[0], written)
    if all(name in names for name, _ in models[0].named_parameters()):
        with ThreadPoolExecutor(2) as pool, one_thread_each():
            hidden = list(pool.map(lambda model, weights: _hidden_states(model, names, weights), models, both))
    else:
        hidden = [_hidden_states_of_whole(merged, written, weights) for weights in both]
    head = names[_path_of(models[0], models[0].get_output_embeddings()) + ".weight"]
    exact_squares = squares = largest = 0.0
    for (_, exact_rows), (_, rows) in zip(*(weights.tiles(head) for weights in both), strict=True):
        exact = (hidden[0] @ exact_rows.T).double()
        gaps = (hidden[1] @ rows.T).double() - exact
        exact_squares += float(exact.square().sum())
        squares += float(gaps.square().sum())
        largest = max(largest, float(gaps.abs().max()))
    precision = max(torch.finfo(DTYPES[written.tensor(name).dtype]).eps for name in merge.changed)
    gap = Gap((squares / exact_squares) ** 0.5, largest, max(LEAST_LIMIT, ROUNDINGS * precision), TOKENS)
    if not gap.relative <= gap.limit:
        raise WorkError(
            f"the merged model, read again, gives other logits than the base plus the differences: they differ by "
            f"{gap.relative:.2g} of their size, and rounding explains {gap.limit:.2g}"
        )
    return gap


class _Weights:
    """The weights of a checkpoint, plus what a merge adds to them, in float32."""

    def __init__(self, checkpoint: Checkpoint, merge: Merge | None):
        self._checkpoint = checkpoint
        self._merge = merge
        self._buffer = buffers(1, checkpoint.largest_part() + 2 * BLOCK)[0]
        self._tile = torch.empty(0)

    def tiles(self, name: str, out: torch.Tensor | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """The tensor as a matrix: the first row's number and some rows, in `out` if it is given.

        Without `out`, the rows are good until the next are asked for.
        """
        tensor = self._checkpoint.tensor(name)
        added = self._merge.added(tensor) if self._merge else None
        step, first = tile_rows(tensor.shape), 0
        for part in self._checkpoint.parts(name, self._buffer):
            for rows in part.split(step):
                tile = self._room(rows.shape) if out is None else out[first : first + len(rows)]
                tile.copy_(rows)
                if added:
                    tile.add_(added(len(tile)))
                yield first, tile
                first += len(tile)

    def read(self, name: str, out: torch.Tensor) -> None:
        """Fill `out`, float32 and in the tensor's shape."""
        for _ in self.tiles(name, out.view(matrix_shape(out.shape))):
            pass

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the tensor `name`."""
        return self._checkpoint.shape(name)

    def _room(self, shape: torch.Size) -> torch.Tensor:
        if self._tile.numel() < shape.numel():
            self._tile = torch.empty(shape.numel())
        return self._tile[: shape.numel()].view(shape)


@torch.no_grad()
def _hidden_states(model: PreTrainedModel, names: dict[str, str], weights: _Weights) -> torch.Tensor:
    """What an empty model makes of TOKENS tokens with `weights`, before the head: (TOKENS, hidden size)."""
    embedding = names[_path_of(model, model.get_input_embeddings()) + ".weight"]
    size, width = weights.shape(embedding)
    ids = _tokens(size)
    embedded = torch.empty(TOKENS, width)
    for first, rows in weights.tiles(embedding):
        here = (ids >= first) & (ids < first + len(rows))
        embedded[here] = rows[ids[here] - first]

    layers = next(m for m in model.base_model.modules() if isinstance(m, nn.ModuleList))
    in_layers = {id(m) for layer in layers for m in layer.modules()}
    ends = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    for module in model.modules():
        if id(module) not in in_layers | ends:
            _fill(model, [module], names, weights, None)
    room = torch.empty(max(sum(p.numel() for p in layer.parameters()) for layer in layers))
    for layer in layers:
        layer.register_forward_pre_hook(lambda layer, _: _fill(model, layer.modules(), names, weights, room))
    return model.base_model(inputs_embeds=embedded[None], use_cache=False)[0][0]


@torch.no_grad()
def _hidden_states_of_whole(folder: Path, written: Checkpoint, weights: _Weights) -> torch.Tensor:
    """The same, with all weights in memory: transformers puts some of this model together from several stored ones."""
    stored = {name: torch.empty(written.shape(name)) for name in written}
    for name, value in stored.items():
        weights.read(name, value)
    config = model_config(folder)
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=stored, dtype=torch.float32
    )
    size = model.get_input_embeddings().weight.shape[0]
    return model.eval().base_model(input_ids=_tokens(size)[None], use_cache=False)[0][0]


def _tokens(size: int) -> torch.Tensor:
    return torch.linspace(0, size - 1, TOKENS).long()


def _empty_model(folder: Path) -> PreTrainedModel:
    """The model in `folder` without memory for its weights."""
    with init_empty_weights():
        return AutoModelForCausalLM.from_config(model_config(folder), dtype=torch.float32).eval()


def _path_of(model: nn.Module, wanted: nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is wanted)


def _fill(
    model: nn.Module, modules: Iterable[nn.Module], names: dict[str, str], weights: _Weights, room: torch.Tensor | None
) -> None:
    """Give `modules` their own parameters' values, one after the other in `room` or, without, in fresh memory."""
    paths = {id(module): name for name, module in model.named_modules()}
    used = 0
    for module in modules:
        for name, parameter in module.named_parameters(recurse=False):
            size = parameter.numel()
            value = torch.empty(size) if room is None else room[used : used + size]
            used += size
            value = value.view(parameter.shape)
            weights.read(names[f"{paths[id(module)]}.{name}"], value)
            module._parameters[name] = nn.Parameter(value, requires_grad=False)
