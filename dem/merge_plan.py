"""What a merge will read, write and need, said before any work."""

import math
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from dem.atomic import nearest_there, require_space
from dem.checkpoints import DTYPES, TILE, Checkpoint
from dem.columns import in_bytes
from dem.config import MergeConfig
from dem.diffs import Difference
from dem.methods import METHODS
from dem.rewrite import model_dtype, unrounded_dtype

INTERPRETER = 512 << 20
"""Bytes that Python, its libraries and the buffers of a stream take, about."""
HELD_LAYERS = 2
"""Layers that are in memory for the logits: one computes while the next one is gathered."""
METHOD_ROOM = 3
"""Tensors of a parameter's size that a method needs beside the differences."""


@dataclass(frozen=True)
class MergePlan:
    """Bytes that a merge reads, writes and needs at most, and what is free for it."""

    base: int
    differences: int
    written: int
    memory: int
    free_disk: int
    free_memory: int

    def lines(self) -> list[str]:
        """The plan for people."""
        read = self.base + self.differences
        return [
            f"plan: read {in_bytes(read)} (base {in_bytes(self.base)}, differences {in_bytes(self.differences)}), "
            f"write {in_bytes(self.written)}, then read that to compare logits",
            f"plan: memory up to {in_bytes(self.memory)} ({in_bytes(self.free_memory)} available), "
            f"disk {in_bytes(self.written)} ({in_bytes(self.free_disk)} free)",
        ]


def plan_merge(
    checkpoint: Checkpoint, differences: dict[str, Difference], settings: MergeConfig, target: Path
) -> MergePlan:
    """The plan for writing the merged model beside `target`.

    Raises:
        RequestError: the disk has not got the space. The old merged model is kept until the new one is whole.
    """
    changed = {p.name for d in differences.values() for p in d.index.parameters}
    layers = HELD_LAYERS * model_dtype(checkpoint, changed).itemsize * _largest_layer(checkpoint)
    stored = sum(d.index.stored * np.dtype(d.index.dtype).itemsize for d in differences.values())
    place = target.resolve().parent
    require_space(place, checkpoint.size())
    return MergePlan(
        base=checkpoint.size(),
        differences=stored,
        written=checkpoint.size(),
        memory=INTERPRETER + _method_memory(checkpoint, differences, settings) + layers,
        free_disk=shutil.disk_usage(nearest_there(place)).free,
        free_memory=psutil.virtual_memory().available,
    )


def _method_memory(checkpoint: Checkpoint, differences: dict[str, Difference], settings: MergeConfig) -> int:
    whole = not METHODS[settings.method].elementwise
    largest = max(
        (p.size if whole else TILE) * unrounded_dtype(DTYPES[checkpoint.tensor(p.name).dtype]).itemsize
        for d in differences.values()
        for p in d.index.parameters
    )
    return (len(differences) + METHOD_ROOM * whole) * largest


def _largest_layer(checkpoint: Checkpoint) -> int:
    """Elements of the largest layer, as far as names tell: what stands before the first number is the same."""
    sizes: dict[str, int] = defaultdict(int)
    for name in checkpoint:
        if layer := re.match(r".*?\.\d+\.", name):
            sizes[layer[0]] += math.prod(checkpoint.shape(name))
    return max(sizes.values(), default=0)
