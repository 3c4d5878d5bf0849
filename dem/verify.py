"""The merged model written and read again: its logits beside those of the base plus the differences before rounding.

Each model runs on a few tokens while its weights pass by, two layers' at a time and the head in parts, so that neither
is ever in memory: the base while the merged model is being written from it, that one when it is read again. Those are
whole in memory whose stored weights transformers puts together when it loads them (the experts of some hybrids). They
run in float32, or in float64 where the changed weights are themselves of float32.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import init_empty_weights
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

from dem.checkpoints import DTYPES, Checkpoint, matrix_shape, tile_rows
from dem.common import model_config, stored_names
from dem.errors import WorkError
from dem.families import FAMILIES
from dem.merging import Merge
from dem.reading import damage_named
from dem.rewrite import Passing, rewrite, unrounded_dtype
from dem.streams import Scratch, buffers, in_order, one_thread_each

TOKENS = 8
"""Tokens that the models read, spread over the vocabulary."""
ROUNDINGS = 16
"""Largest gap that rounding the weights explains, in units of their type's relative precision."""
LEAST_LIMIT = {torch.float32: 1e-3, torch.float64: 1e-5}
"""Largest gap that the models' own arithmetic explains, by the type in which they run. In float64 parts of it stay in
float32: norms, the scan's state."""
TILES_AT_ONCE = 4
"""Tiles of a weight that are widened together."""
EXPERTS = "eager"
"""How transformers computes a mixture of experts: torch's grouped product has no float64."""
ALIGNED = 64
"""Bytes of which a parameter's address is a multiple."""


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


def write_model(
    frame: "Frame", folder: Path, checkpoint: Checkpoint, merge: Merge, progress: Callable[[int], object]
) -> tuple[str, torch.Tensor]:
    """Write the merged weights into `folder`, of whose config `frame` is.

    Returns:
        The fingerprint of the base as it was read, and the exact logits (tokens, vocabulary): those of the base plus
        what the merge adds, without rounding.
    """
    reader = Reader(frame, checkpoint)
    if reader.fits:
        passing = Weights(rewrite(checkpoint, folder, merge.of, progress, reader.order, reader.products(merge)))
        logits = reader.logits(passing, merge)
        return passing.rest(), logits
    fingerprint = Weights(rewrite(checkpoint, folder, merge.of, progress)).rest()
    return fingerprint, _logits_of_whole(frame, folder, checkpoint, merge)


def compare_with_exact(frame: "Frame", folder: Path, exact: torch.Tensor, merge: Merge) -> Gap:
    """Compare the logits of the model in `folder`, of whose config `frame` is, with those of `write_model`.

    Raises:
        WorkError: the gap is larger than rounding explains.
    """
    written = Checkpoint(folder)
    reader = Reader(frame, written)
    if reader.fits:
        parts = written.read_ahead(dict.fromkeys(reader.order))
        with one_thread_each():
            logits = reader.logits(Weights(Passing(part, part.data, None) for part in parts))
    else:
        logits = _logits_of_whole(frame, folder, written)
    exact, gaps = exact.double(), logits.double() - exact.double()
    precision = max(torch.finfo(DTYPES[written.tensor(name).dtype]).eps for name in merge.changed)
    limit = max(LEAST_LIMIT[frame.dtype], ROUNDINGS * precision)
    gap = Gap(float(gaps.norm() / exact.norm()), float(gaps.abs().max()), limit, TOKENS)
    if not gap.relative <= gap.limit:
        raise WorkError(
            f"the merged model, read again, gives other logits than the base plus the differences: they differ by "
            f"{gap.relative:.2g} of their size, and rounding explains {gap.limit:.2g}"
        )
    return gap


class Weights:
    """A model's weights as they pass by."""

    def __init__(self, passing: Iterator[Passing]):
        """Of a generator, whose value is what `rest` returns."""
        self._passing = passing

    def tiles(self, name: str) -> Iterator[tuple[int, torch.Tensor]]:
        """The tensor `name` as a matrix: the first row's number and some rows, good until the next are asked for.

        It must not have passed by yet.
        """
        for passing in self._passing:
            if passing.part.tensor.name == name:
                yield passing.part.first, passing.rows()
                if passing.part.is_last:
                    return

    def rest(self) -> Any:
        """Let the rest pass by."""
        while True:
            try:
                next(self._passing)
            except StopIteration as end:
                return end.value


@dataclass(frozen=True)
class _Place:
    """Where a stored tensor belongs in the model."""

    stored: str
    module: nn.Module
    name: str

    @property
    def parameter(self) -> nn.Parameter:
        return self.module._parameters[self.name]


@dataclass(frozen=True)
class _Gathered:
    """A parameter that has passed by."""

    place: _Place
    value: torch.Tensor
    is_called: bool
    """See `Reader._is_called`."""


class _Room:
    """Memory for the parameters of one layer, used again for the next."""

    def __init__(self, size: int):
        """Of `size` bytes, each of which takes memory only once it is used."""
        self._bytes, self._used = torch.frombuffer(buffers(1, size)[0], dtype=torch.uint8), 0

    def clear(self) -> None:
        """Begin again: what was taken is no longer needed."""
        self._used = 0

    def take(self, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """A tensor of any content."""
        size = shape.numel() * dtype.itemsize
        start, self._used = self._used, self._used + -(-size // ALIGNED) * ALIGNED
        return self._bytes[start : start + size].view(dtype).view(shape)


class Frame:
    """A model that holds no weights, and the memory for those of the two layers that it holds at a time."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32):
        """Of the configuration in `folder`, to compute in `dtype`."""
        self.dtype = dtype
        with damage_named(f"no model can be built of {folder / 'config.json'}"), init_empty_weights():
            self.model = AutoModelForCausalLM.from_config(
                model_config(folder), dtype=dtype, experts_implementation=EXPERTS
            ).eval()
        lists = (module for module in self.model.base_model.modules() if isinstance(module, nn.ModuleList))
        self.layers: Iterable[nn.Module] = next(lists, [])
        largest = max((self._size(layer) for layer in self.layers), default=0)
        self.rooms = [_Room(largest + ALIGNED) for _ in range(2)]

    def _size(self, layer: nn.Module) -> int:
        """Bytes of the layer's parameters, each at a multiple of ALIGNED."""
        sizes = (parameter.numel() * self.dtype.itemsize for parameter in layer.parameters())
        return sum(-(-size // ALIGNED) * ALIGNED for size in sizes)


class Reader:
    """A model that reads a few tokens while its weights pass by, in `order`."""

    def __init__(self, frame: Frame, checkpoint: Checkpoint):
        """Of the model in `frame`, with the weights of `checkpoint`."""
        self._model, self._layers, self._rooms, self._dtype = frame.model, frame.layers, frame.rooms, frame.dtype
        self._checkpoint = checkpoint
        self._names = stored_names(self._model, checkpoint)
        self._paths = {id(module): path for path, module in self._model.named_modules()}
        ends = (self._model.get_input_embeddings(), self._model.get_output_embeddings())
        self._embedding, self._head = (self._names.get(f"{self._paths[id(end)]}.weight") for end in ends)
        apart = {id(module) for layer in [*self._layers, *ends] for module in layer.modules()}
        self._others = [module for module in self._model.modules() if id(module) not in apart]
        self._kept: dict[str, torch.Tensor] = {}  # tensors that several layers share
        self._family = FAMILIES.get(self._model.config.model_type)
        self._tile = Scratch()

    @property
    def fits(self) -> bool:
        """Whether each of the model's parameters is a tensor of the checkpoint, by itself or tied."""
        return all(name in self._names for name, _ in self._model.named_parameters())

    @property
    def order(self) -> list[str]:
        """The tensors as the model needs them: a layer's together as they lie in the file, and the head at last."""
        groups = [self._others, *(layer.modules() for layer in self._layers)]
        return [place.stored for modules in groups for place in self._places(modules)] + [self._head]

    def products(self, merge: Merge) -> set[str]:
        """The tensors to which `merge` adds products that can be applied beside them: they are called as modules."""
        places = self._places(m for layer in self._layers for m in layer.modules())
        return {place.stored for place in places if self._is_called(place) and merge.is_product(place.stored)}

    @torch.no_grad()
    def logits(self, weights: Weights, merge: Merge | None = None) -> torch.Tensor:
        """What the model makes of TOKENS tokens: (TOKENS, vocabulary).

        Args:
            weights: in `order`; those of `products(merge)` before what is added to them.
            merge: what is to be added.
        """
        self._give(self._gathered(self._others, weights, None))
        beside = self.products(merge) if merge else set()
        hooks = []
        with closing(in_order(partial(self._gathered_layer, weights), self._layers, self._rooms, 1)) as gathered:
            for layer in self._layers:
                hooks.append(layer.register_forward_pre_hook(lambda *_: self._give(next(gathered))))
                for place in self._places(layer.modules()):
                    if place.stored in beside:
                        hooks.append(place.module.register_forward_hook(_adding(merge, place.stored)))
            hidden = self._model.base_model(inputs_embeds=self._embedded(merge)[None], use_cache=False)[0][0]
        for hook in hooks:
            hook.remove()
        parts = [self._times(hidden, rows) for _, rows in weights.tiles(self._head)]
        return torch.cat(parts, 1)

    def _places(self, modules: Iterable[nn.Module]) -> list[_Place]:
        """The parameters of `modules`, as they lie in the checkpoint's files."""
        found = [
            _Place(self._names[f"{self._paths[id(module)]}.{name}"], module, name)
            for module in modules
            for name, _ in module.named_parameters(recurse=False)
        ]
        shards = {shard.path: number for number, shard in enumerate(self._checkpoint.shards)}
        return sorted(
            found,
            key=lambda p: (shards[self._checkpoint.shard(p.stored).path], self._checkpoint.tensor(p.stored).start),
        )

    def _is_called(self, place: _Place) -> bool:
        """Whether the parameter is the weight of a linear module that the model calls, and nothing else reads."""
        if not self._family or type(place.module) is not nn.Linear or place.name != "weight":
            return False
        return self._paths[id(place.module)].rpartition(".")[2] not in self._family.bypassed

    def _gathered_layer(self, weights: Weights, layer: nn.Module, room: _Room) -> list[_Gathered]:
        """The layer's parameters, as soon as they have passed by."""
        room.clear()
        return self._gathered(layer.modules(), weights, room)

    def _gathered(self, modules: Iterable[nn.Module], weights: Weights, room: _Room | None) -> list[_Gathered]:
        """The parameters of `modules` one after the other in `room` or, without, in fresh memory, as they compute.

        Those of a layer's modules that are called are of the type in which they pass by, if it is the narrower one.
        """
        found = []
        for place in self._places(modules):
            is_called = room is not None and self._is_called(place)
            value = self._kept.get(place.stored)
            if value is None:
                for first, rows in weights.tiles(place.stored):
                    if first == 0:
                        shape, dtype = place.parameter.shape, self._dtype
                        if is_called:  # narrow while it waits, and no wider than it computes: the room holds no more
                            dtype = min(rows.dtype, dtype, key=lambda each: each.itemsize)
                        value = room.take(shape, dtype) if room else torch.empty(shape, dtype=dtype)
                        matrix = value.view(matrix_shape(shape))
                    matrix[first : first + len(rows)] = rows
                if self._shared[place.stored] > 1:
                    self._kept[place.stored] = value = value.clone()
            found.append(_Gathered(place, value, is_called))
        return found

    def _give(self, gathered: list[_Gathered]) -> None:
        """Let the modules have their parameters; those of modules that are called are widened then."""
        for one in gathered:
            module, value = one.place.module, one.value
            if one.is_called:
                module.forward = partial(self._linear, module, value)
                # so that no one reads it unnoticed
                value = torch.full((), torch.nan, dtype=self._dtype).expand(value.shape)
            module._parameters[one.place.name] = nn.Parameter(value, requires_grad=False)

    def _linear(self, module: nn.Linear, weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """What the module makes of `inputs` with this weight."""
        output = self._times(inputs.reshape(-1, inputs.shape[-1]), weight).reshape(*inputs.shape[:-1], len(weight))
        return output if module.bias is None else output + module.bias

    def _times(self, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """inputs @ weight.T, (n, columns) and (rows, columns) to (n, rows); a few tiles are widened at a time."""
        dtype, step = inputs.dtype, tile_rows(weight.shape) * TILES_AT_ONCE
        output = torch.empty(len(weight), len(inputs), dtype=dtype)
        for first in range(0, len(weight), step):
            tile = weight[first : first + step]
            torch.mm(self._tile(*tile.shape, dtype=dtype).copy_(tile), inputs.T, out=output[first : first + step])
        return output.T

    @cached_property
    def _shared(self) -> Counter[str]:
        """How many layers a tensor is in."""
        return Counter(place.stored for layer in self._layers for place in self._places(layer.modules()))

    def _embedded(self, merge: Merge | None) -> torch.Tensor:
        """The embeddings of the tokens, read by themselves: a tied one passes by as the head."""
        size, width = self._checkpoint.shape(self._embedding)
        ids = _tokens(size)
        tensor = self._checkpoint.tensor(self._embedding)
        change = merge.of(tensor) if merge else None
        if change is None:
            rows = [self._checkpoint.read_rows(self._embedding, i, i + 1) for i in ids.tolist()]
            return torch.cat(rows).to(self._dtype)
        embedded = torch.empty(TOKENS, width, dtype=self._dtype)
        for part in self._checkpoint.read_ahead([self._embedding]):
            rows = part.rows()
            exact = torch.empty(rows.shape, dtype=unrounded_dtype(rows.dtype))
            change(part.first, rows, torch.empty_like(rows), exact)
            here = (ids >= part.first) & (ids < part.first + len(rows))
            embedded[here] = exact[ids[here] - part.first].to(self._dtype)
        return embedded


def _adding(merge: Merge, name: str) -> Callable[[nn.Module, tuple, torch.Tensor], torch.Tensor]:
    """A forward hook that adds what the differences of the parameter `name` make of the module's input."""

    def add(_: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        left, right = merge.factors(name, inputs[0].dtype)
        return output + F.linear(F.linear(inputs[0], right), left)

    return add


@torch.no_grad()
def _logits_of_whole(frame: Frame, folder: Path, checkpoint: Checkpoint, merge: Merge | None = None) -> torch.Tensor:
    """The same, with all weights in memory: transformers puts some of this model together from several stored ones."""
    stored = {name: torch.empty(checkpoint.shape(name), dtype=frame.dtype) for name in checkpoint}
    for name, value in stored.items():
        matrix = value.view(matrix_shape(value.shape))
        change = merge.of(checkpoint.tensor(name)) if merge else None
        for part in checkpoint.read_ahead([name]):
            rows = part.rows()
            place = matrix[part.first : part.first + len(rows)]
            if change:
                exact = torch.empty(rows.shape, dtype=unrounded_dtype(rows.dtype))
                change(part.first, rows, torch.empty_like(rows), exact)
                place.copy_(exact)
            else:
                place.copy_(rows)
    config = model_config(folder)
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=stored, dtype=frame.dtype, experts_implementation=EXPERTS
    )
    model.eval()
    ids = _tokens(model.get_input_embeddings().weight.shape[0])
    hidden = model.base_model(input_ids=ids[None], use_cache=False)[0][0]
    return hidden @ model.get_output_embeddings().weight.T


def _tokens(size: int) -> torch.Tensor:
    return torch.linspace(0, size - 1, TOKENS).long()
