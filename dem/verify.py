"""The merged model written and read again: its logits beside those of the base plus the differences before rounding.

Each model runs in float32 on a few tokens while its weights pass by, a layer's at a time and the head in tiles, so that
neither is ever in memory: the base while the merged model is being written from it, that one when it is read again.
Those are whole in memory whose stored weights transformers puts together when it loads them (the experts of some
hybrids).
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import init_empty_weights
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

from dem.checkpoints import DTYPES, Checkpoint, matrix_shape
from dem.common import model_config, stored_names
from dem.errors import WorkError
from dem.families import FAMILIES
from dem.merging import Merge
from dem.rewrite import Passing, rewrite
from dem.streams import Scratch

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


def write_model(
    folder: Path, checkpoint: Checkpoint, merge: Merge, progress: Callable[[int], object]
) -> tuple[str, torch.Tensor]:
    """Write the merged weights into `folder`, which holds their config.

    Returns:
        The fingerprint of the base as it was read, and the exact logits (tokens, vocabulary): those of the base plus
        what the merge adds, without rounding.
    """
    reader = Reader(folder, checkpoint)
    if reader.fits:
        passing = Weights(rewrite(checkpoint, folder, merge.of, progress, reader.order, reader.products(merge)))
        logits = reader.logits(passing, merge)
        return passing.rest(), logits
    fingerprint = Weights(rewrite(checkpoint, folder, merge.of, progress)).rest()
    return fingerprint, _logits_of_whole(folder, checkpoint, merge)


def compare_with_exact(folder: Path, exact: torch.Tensor, merge: Merge) -> Gap:
    """Compare the logits of the model in `folder` with the exact ones, which `write_model` returned.

    Raises:
        WorkError: the gap is larger than rounding explains.
    """
    gc.collect()  # a model refers to itself in circles, and the one before holds a layer's weights
    written = Checkpoint(folder)
    reader = Reader(folder, written)
    if reader.fits:
        parts = written.read_ahead(dict.fromkeys(reader.order))
        logits = reader.logits(Weights(Passing(part, part.data, None) for part in parts))
    else:
        logits = _logits_of_whole(folder, written)
    exact, gaps = exact.double(), logits.double() - exact.double()
    precision = max(torch.finfo(DTYPES[written.tensor(name).dtype]).eps for name in merge.changed)
    limit = max(LEAST_LIMIT, ROUNDINGS * precision)
    gap = Gap(float(gaps.norm() / exact.norm()), float(gaps.abs().max()), limit, TOKENS)
    if not gap.relative <= gap.limit:
        raise WorkError(
            f"the merged model, read again, gives other logits than the base plus the differences: they differ by "
            f"{gap.relative:.2g} of their size, and rounding explains {gap.limit:.2g}"
        )
    return gap


class Weights:
    """A model's weights as they pass by, in float32."""

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


class Reader:
    """A model that reads a few tokens while its weights pass by, in `order`."""

    def __init__(self, folder: Path, checkpoint: Checkpoint):
        """Of the configuration in `folder`, with the weights of `checkpoint`."""
        with init_empty_weights():
            self._model = AutoModelForCausalLM.from_config(model_config(folder), dtype=torch.float32).eval()
        self._checkpoint = checkpoint
        self._names = stored_names(self._model, checkpoint)
        self._paths = {id(module): path for path, module in self._model.named_modules()}
        ends = (self._model.get_input_embeddings(), self._model.get_output_embeddings())
        self._embedding, self._head = (self._names.get(f"{self._paths[id(end)]}.weight") for end in ends)
        self._layers = next((m for m in self._model.base_model.modules() if isinstance(m, nn.ModuleList)), [])
        apart = {id(module) for layer in [*self._layers, *ends] for module in layer.modules()}
        self._others = [module for module in self._model.modules() if id(module) not in apart]
        self._kept: dict[str, torch.Tensor] = {}  # tensors that several layers share

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
        family = FAMILIES.get(self._model.config.model_type)
        places = self._places(m for layer in self._layers for m in layer.modules() if isinstance(m, nn.Linear))
        return {
            place.stored
            for place in places
            if family
            and place.name == "weight"
            and self._paths[id(place.module)].rpartition(".")[2] not in family.bypassed
            and merge.is_product(place.stored)
        }

    @torch.no_grad()
    def logits(self, weights: Weights, merge: Merge | None = None) -> torch.Tensor:
        """What the model makes of TOKENS tokens: (TOKENS, vocabulary), float32.

        Args:
            weights: in `order`; those of `products(merge)` before what is added to them.
            merge: what is to be added.
        """
        self._fill(self._others, weights, None)
        room = torch.empty(max((self._size(layer) for layer in self._layers), default=0))
        beside = self.products(merge) if merge else set()
        hooks = []
        for layer in self._layers:
            hooks.append(layer.register_forward_pre_hook(lambda layer, _: self._fill(layer.modules(), weights, room)))
            for place in self._places(layer.modules()):
                if place.stored in beside:
                    hooks.append(place.module.register_forward_hook(_adding(merge, place.stored)))
        hidden = self._model.base_model(inputs_embeds=self._embedded(merge)[None], use_cache=False)[0][0]
        for hook in hooks:  # a circle of references would keep the layer's room
            hook.remove()
        logits, tile = torch.empty(TOKENS, self._checkpoint.shape(self._head)[0]), Scratch()
        for first, rows in weights.tiles(self._head):
            logits[:, first : first + len(rows)] = hidden @ tile(*rows.shape).copy_(rows).T
        return logits

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

    def _size(self, layer: nn.Module) -> int:
        return sum(parameter.numel() for parameter in layer.parameters())

    def _fill(self, modules: Iterable[nn.Module], weights: Weights, room: torch.Tensor | None) -> None:
        """Give `modules` their parameters, one after the other in `room` or, without, in fresh memory."""
        used = 0
        for place in self._places(modules):
            size = place.parameter.numel()
            value = torch.empty(size) if room is None else room[used : used + size]
            used += size
            value = value.view(place.parameter.shape)
            if place.stored in self._kept:
                value.copy_(self._kept[place.stored])
            else:
                matrix = value.view(matrix_shape(value.shape))
                for first, rows in weights.tiles(place.stored):
                    matrix[first : first + len(rows)] = rows
                if self._shared[place.stored] > 1:
                    self._kept[place.stored] = value.clone()
            place.module._parameters[place.name] = nn.Parameter(value, requires_grad=False)

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
            return torch.cat(rows).float()
        embedded = torch.empty(TOKENS, width)
        for part in self._checkpoint.read_ahead([self._embedding]):
            rows = part.rows()
            exact = torch.empty(rows.shape)
            change(part.first, rows, torch.empty_like(rows), exact)
            here = (ids >= part.first) & (ids < part.first + len(rows))
            embedded[here] = exact[ids[here] - part.first]
        return embedded


def _adding(merge: Merge, name: str) -> Callable[[nn.Module, tuple, torch.Tensor], torch.Tensor]:
    """A forward hook that adds what the differences of the parameter `name` make of the module's input."""

    def add(_: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        left, right = merge.factors(name)
        return output + F.linear(F.linear(inputs[0], right), left)

    return add


@torch.no_grad()
def _logits_of_whole(folder: Path, checkpoint: Checkpoint, merge: Merge | None = None) -> torch.Tensor:
    """The same, with all weights in memory: transformers puts some of this model together from several stored ones."""
    stored = {name: torch.empty(checkpoint.shape(name)) for name in checkpoint}
    for name, value in stored.items():
        matrix = value.view(matrix_shape(value.shape))
        change = merge.of(checkpoint.tensor(name)) if merge else None
        for part in checkpoint.read_ahead([name]):
            rows = part.rows()
            place = matrix[part.first : part.first + len(rows)]
            if change:
                change(part.first, rows, torch.empty_like(rows), place)
            else:
                place.copy_(rows)
    config = model_config(folder)
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=stored, dtype=torch.float32
    )
    model.eval()
    ids = _tokens(model.get_input_embeddings().weight.shape[0])
    hidden = model.base_model(input_ids=ids[None], use_cache=False)[0][0]
    return hidden @ model.get_output_embeddings().weight.T


def _tokens(size: int) -> torch.Tensor:
    return torch.linspace(0, size - 1, TOKENS).long()
