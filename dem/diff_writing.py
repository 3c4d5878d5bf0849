"""Writing a difference vector, in the format that `diffs` reads, while it is described tile by tile."""

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import xxhash

from dem.atomic import write_text
from dem.checkpoints import as_bytes, matrix_shape, tile_rows
from dem.diffs import INDEX_FINGERPRINT, Index, Parameter, joined, text_fingerprint
from dem.errors import RequestError
from dem.streams import NewFile, Writer, available_cores, in_order, one_thread_each

TILES_AT_ONCE = 4
"""Tiles that are described together: an operation on one is so short that handing over Python's global lock between
threads would take as long."""


@dataclass(frozen=True)
class Delta:
    """One parameter's change, as a matrix (see `matrix_shape`) that is computed when asked for."""

    name: str
    shape: tuple[int, ...]
    factors: tuple[torch.Tensor, torch.Tensor] | None
    """Float32, (rows, rank) and (rank, columns): the change is `scale` times their product. None if there are none."""
    scale: float
    rows: Callable[[int, int, torch.Tensor], object]
    """Write the change's rows from the first up to the second number into the tensor, which is float32."""

    @classmethod
    def of_factors(cls, name: str, left: torch.Tensor, right: torch.Tensor, scale: float) -> "Delta":
        """The change scale * left @ right."""

        def rows(first: int, last: int, out: torch.Tensor) -> None:
            torch.mm(left[first:last], right, out=out)
            if scale != 1:
                out.mul_(scale)

        return cls(name, (left.shape[0], right.shape[1]), (left, right), scale, rows)

    @classmethod
    def of_whole(cls, name: str, shape: tuple[int, ...], compute: Callable[[], torch.Tensor]) -> "Delta":
        """The change that `compute` returns, which is asked for when the first row is, and dropped after the last."""
        lock = Lock()
        whole: list[torch.Tensor] = []
        unread = 0

        def rows(first: int, last: int, out: torch.Tensor) -> None:
            nonlocal unread
            with lock:
                if not whole:
                    whole.append(compute().reshape(matrix_shape(shape)))
                    unread = len(whole[0])
                out.copy_(whole[0][first:last])
                unread -= last - first
                if unread == 0:
                    whole.clear()

        return cls(name, shape, None, 1.0, rows)


@dataclass(frozen=True)
class Block:
    """Some tiles of a change, in buffers that are soon used again, and what was made of them."""

    number: int
    """Which change it is of."""
    stored: tuple[torch.Tensor, ...]
    """What stands in the file of it: its elements, or with the first block of a low-rank change both factors."""
    hashes: list[bytes]
    """Of what stands in the file: of each tile, or of the factors."""
    finite: bool
    described: Any


def write_vector(
    path: Path,
    deltas: list[Delta],
    storage: str,
    dtype: str,
    factor: float,
    describe: Callable[[str, torch.Tensor, tuple[float, float]], Any],
    seen: Callable[[str, Any], object],
) -> tuple[list[Parameter], str]:
    """Write `factor` times each change to `path` as one flat array of `dtype`, tile by tile, in one pass.

    Args:
        path: of the array.
        deltas: the changes, in the order in which they are stored.
        storage: dense or lowrank, see `Index`.
        dtype: float32 or float16.
        factor: what normalisation multiplies a change by.
        describe: called by several threads with a parameter's name, a block of its change (flat, float32; the values
            that a reader of the file will get), and the block's smallest and largest element.
        seen: called in order with the parameter's name and what `describe` returned.

    Returns:
        The index's list of parameters, and a hash of all elements.

    Raises:
        RequestError: an element is not finite, or too large for float16.
    """
    parameters = _placed(deltas, storage)
    hashes: list[list[bytes]] = [[] for _ in deltas]
    with Writer() as writer, NewFile(path, writer) as file, one_thread_each():
        file.write(_header(dtype, sum(p.stored for p in parameters)))
        for block in _blocks(deltas, storage, dtype, factor, describe):
            name = deltas[block.number].name
            if not block.finite:
                raise RequestError(
                    f"the difference of {name} is not finite as {dtype}: it is damaged, or beyond float16"
                )
            hashes[block.number] += block.hashes
            for values in block.stored:
                file.write(as_bytes(values))
            seen(name, block.described)
    parameters = [replace(p, fingerprint=joined(own)) for p, own in zip(parameters, hashes, strict=True)]
    whole = xxhash.xxh3_128("".join(p.fingerprint for p in parameters).encode())
    return parameters, whole.hexdigest()


def _hash(stored: Iterable[torch.Tensor]) -> bytes:
    tile = xxhash.xxh3_128()
    for values in stored:
        tile.update(as_bytes(values))
    return tile.digest()


def stored_bytes(deltas: list[Delta], storage: str, dtype: str) -> int:
    """Bytes of the vector that `write_vector` makes of `deltas`."""
    return sum(p.stored for p in _placed(deltas, storage)) * np.dtype(dtype).itemsize


def _placed(deltas: list[Delta], storage: str) -> list[Parameter]:
    """Where each change will stand in the vector."""
    parameters, offset = [], 0
    for delta in deltas:
        factors = None
        if storage == "lowrank" and delta.factors:
            factors = tuple(tuple(half.shape) for half in delta.factors)
        parameters.append(Parameter(delta.name, delta.shape, offset, factors=factors))
        offset += parameters[-1].stored
    return parameters


def _header(dtype: str, size: int) -> bytes:
    """The beginning of a .npy file of `size` elements."""
    header = io.BytesIO()
    fields = {"descr": np.dtype(dtype).newbyteorder("<").str, "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def _rounded_factors(delta: Delta, factor: float, dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The two factors as they are stored, the scale and the normalisation in the left one."""
    left, right = delta.factors
    return (left * (delta.scale * factor)).to(getattr(torch, dtype)), right.to(getattr(torch, dtype))


@dataclass(frozen=True)
class _Rows:
    """Some rows of a change that are to become a block."""

    number: int
    change: Delta
    first: int
    last: int
    factors: tuple[torch.Tensor, ...]
    """Of a low-rank change, at its first rows, the factors as they are stored."""


def _rows_of(deltas: list[Delta], storage: str, dtype: str, factor: float) -> Iterator[_Rows]:
    for number, delta in enumerate(deltas):
        factors, change = (), delta
        if storage == "lowrank" and delta.factors:
            factors = _rounded_factors(delta, factor, dtype)
            change = Delta.of_factors(delta.name, *(half.float() for half in factors), 1.0)
        height, step = matrix_shape(delta.shape)[0], tile_rows(delta.shape) * TILES_AT_ONCE
        for first in range(0, height, step):
            yield _Rows(number, change, first, min(first + step, height), factors if first == 0 else ())


def _blocks(
    deltas: list[Delta],
    storage: str,
    dtype: str,
    factor: float,
    describe: Callable[[str, torch.Tensor, tuple[float, float]], Any],
) -> Iterator[Block]:
    """`factor` times each change as it is stored, block by block, computed ahead by a few threads."""

    def make(rows: _Rows, slot: tuple[torch.Tensor, torch.Tensor]) -> Block:
        change, width = rows.change, matrix_shape(rows.change.shape)[1]
        is_dense = storage == "dense" or change.factors is None
        values, half = (memory[: (rows.last - rows.first) * width] for memory in slot)
        stored, tiles = rows.factors, []  # a tile's product and hash do not depend on its block
        for first in range(rows.first, rows.last, tile_rows(change.shape)):
            last = min(first + tile_rows(change.shape), rows.last)
            tiles.append(slice((first - rows.first) * width, (last - rows.first) * width))
            change.rows(first, last, values[tiles[-1]].view(last - first, width))
        if is_dense:
            if factor != 1:
                values.mul_(factor)
            stored = (values,)
            if dtype == "float16":
                stored = (half.copy_(values),)
                values.copy_(half)
            hashes = [_hash([stored[0][tile]]) for tile in tiles]
        else:
            hashes = [_hash(stored)] if stored else []
        extremes = (float(values.numpy().min()), float(values.numpy().max()))
        described = describe(change.name, values, extremes)
        return Block(rows.number, stored, hashes, all(map(math.isfinite, extremes)), described)

    workers = available_cores()
    largest = max(tile_rows(delta.shape) * matrix_shape(delta.shape)[1] for delta in deltas) * TILES_AT_ONCE
    slots = [(torch.empty(largest), torch.empty(largest, dtype=torch.float16)) for _ in range(workers + 2)]
    return in_order(make, _rows_of(deltas, storage, dtype, factor), slots, workers)


def write_index(path: Path, index: Index) -> None:
    """Write `index` as JSON, its format version first."""
    text = {"format_version": index.format_version, **asdict(index)}
    text[INDEX_FINGERPRINT] = text_fingerprint(text)
    write_text(path, json.dumps(text, indent=1, ensure_ascii=False) + "\n")
