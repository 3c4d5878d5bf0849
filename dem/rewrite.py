"""A checkpoint written anew with some of its tensors changed; reading, computing and writing overlap.

The new files repeat the old ones: the same shards, order, header and metadata, and the bytes of every tensor that was
not changed. A source in PyTorch's own format (`.bin`) is written as safetensors, a native one by transformers' names.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from dem.checkpoints import DTYPES, Checkpoint, Hashes, Part, PickledShard, Shard, Tensor, as_bytes
from dem.streams import NewFile, Writer, available_cores, buffers, in_order, one_thread_each

CHANGED_AHEAD = 4
"""Parts that may wait, changed, until they are written."""

Change = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor | None], None]
"""What changes a tensor: called by several threads with the number of the first row, some rows (see `matrix_shape`),
where to write the changed ones in the same dtype, and, if it is not None, where to write them unrounded, in the
`unrounded_dtype`."""


def unrounded_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which numbers of `dtype` and what is added to them are exact enough to be rounded once."""
    return torch.float64 if dtype in (torch.float32, torch.float64) else torch.float32


def model_dtype(checkpoint: Checkpoint, changed: Iterable[str]) -> torch.dtype:
    """The type in which the model has to compute for the rounding of its changed tensors to be seen."""
    exact = {unrounded_dtype(DTYPES[checkpoint.tensor(name).dtype]) for name in changed}
    return torch.float32 if torch.float32 in exact else torch.float64


@dataclass(frozen=True)
class Passing:
    """Some rows of a tensor that pass by, in buffers that are soon used again."""

    part: Part
    """As they were read."""
    written: memoryview
    unrounded: torch.Tensor | None
    """As they were changed, before rounding; None where nothing changed, or only what was read is wanted."""

    def rows(self) -> torch.Tensor:
        """The rows as a matrix, unrounded."""
        return self.part.rows() if self.unrounded is None else self.unrounded


def rewrite(
    checkpoint: Checkpoint,
    folder: Path,
    changing: Callable[[Tensor], Change | None],
    progress: Callable[[int], object],
    order: Iterable[str] = (),
    as_read: Container[str] = (),
) -> Generator[Passing, None, str]:
    """Write `checkpoint` into `folder` in one pass; the value that the generator returns is the fingerprint of it.

    Args:
        folder: an existing one.
        changing: what is to change a tensor, None to copy it; asked once for each, when its turn comes.
        progress: told the bytes of each part when it has been handed to the writer.
        order: the tensors in the order in which they are to pass by; those that it leaves out follow.
        as_read: the changed tensors of which the rows from before the change are to pass by.

    Yields:
        The rows of all tensors, as they are written.
    """
    hashes = Hashes()
    names = [name for name in dict.fromkeys([*order, *checkpoint]) if checkpoint.tensor(name).bytes]
    unwritten = Counter(checkpoint.shard(name).path for name in names)
    files: dict[Path, NewFile] = {}
    with Writer() as writer, ExitStack() as stack, one_thread_each():
        for shard in checkpoint.shards:
            if not unwritten[shard.path]:
                _begin(stack, folder, shard, writer).close()
        for passing in _computed(checkpoint, names, changing, as_read):
            hashes.add(passing.part)
            tensor = passing.part.tensor
            shard = checkpoint.shard(tensor.name)
            if shard.path not in files:
                files[shard.path] = _begin(stack, folder, shard, writer)
            file = files[shard.path]
            file.seek(8 + len(shard.header) + tensor.start + passing.part.start)
            file.write(passing.written)
            progress(len(passing.written))
            yield passing
            if passing.part.is_last:
                unwritten[shard.path] -= 1
                if not unwritten[shard.path]:
                    file.close()
    for shard in checkpoint.shards:
        # safetensors leaves its files with mode 0600; what was readable in the base stays readable.
        shutil.copymode(shard.path, folder / shard.file_name)
    checkpoint.write_index(folder)
    return hashes.of(checkpoint)


def _begin(stack: ExitStack, folder: Path, shard: Shard | PickledShard, writer: Writer) -> NewFile:
    """The new file of a shard, with its header; `stack` lets go of it when the work breaks off."""
    file = NewFile(folder / shard.file_name, writer)
    stack.callback(file.abandon)
    file.write(len(shard.header).to_bytes(8, "little"))
    file.write(shard.header)
    return file


class _Slot:
    """Memory for one part as it is changed."""

    def __init__(self, size: int):
        self.changed = torch.frombuffer(buffers(1, size)[0], dtype=torch.uint8)
        self._unrounded = torch.empty(0)

    def unrounded(self, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """A tensor of any content."""
        if self._unrounded.numel() < shape.numel() or self._unrounded.dtype != dtype:
            self._unrounded = torch.empty(shape.numel(), dtype=dtype)
        return self._unrounded[: shape.numel()].view(shape)


def _computed(
    checkpoint: Checkpoint,
    names: list[str],
    changing: Callable[[Tensor], Change | None],
    as_read: Container[str],
) -> Iterator[Passing]:
    """The parts of all tensors in the order of `names`, read ahead by a thread and changed by a few others."""
    workers = available_cores()
    slots = [_Slot(checkpoint.largest_part()) for _ in range(workers + CHANGED_AHEAD)]

    def read() -> Iterator[tuple[Part, Change | None]]:
        for part in checkpoint.read_ahead(names, kept=len(slots)):
            if part.start == 0:
                change = changing(part.tensor)
            yield part, change

    def do(work: tuple[Part, Change | None], slot: _Slot) -> Passing:
        part, change = work
        if not change:
            return Passing(part, part.data, None)
        rows = part.rows()
        changed = slot.changed[: len(part.data)].view(rows.dtype).view(rows.shape)
        unrounded = None if part.tensor.name in as_read else slot.unrounded(rows.shape, unrounded_dtype(rows.dtype))
        change(part.first, rows, changed, unrounded)
        return Passing(part, as_bytes(changed), unrounded)

    return in_order(do, read(), slots, workers)
