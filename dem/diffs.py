"""The difference vector on disk: its format, writing it and reading it back.

`diff_<domain>.npy` is one flat array, one changed parameter after the other: of a dense one the elements in C order, of
a low-rank one its two factors, whose product is the change. `diff_<domain>.json` is its index, the `Index` below.
"""

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import xxhash

from dem.atomic import write_text
from dem.checkpoints import as_bytes, files_fingerprint, matrix_shape, tile_rows
from dem.common import read_json
from dem.errors import RequestError
from dem.streams import BLOCK, NewFile, Scratch, Source, available_cores, in_order, one_thread_each

FORMAT_VERSION = 1

TILES_AT_ONCE = 8
"""Tiles that a thread works on before it hands them over."""


@dataclass(frozen=True)
class Parameter:
    """One changed parameter; `offset` counts elements from the beginning of the vector."""

    name: str
    shape: tuple[int, ...]
    offset: int
    fingerprint: str | None = None
    """A hash of the hashes of its stored tiles, in order, checked whenever they are read. The tiles are of `tile_rows`
    rows; the factors are one."""
    factors: tuple[tuple[int, int], tuple[int, int]] | None = None
    """Where the change is stored as two factors, their shapes (rows, rank) and (rank, columns)."""

    @property
    def size(self) -> int:
        """Number of elements of the change."""
        return math.prod(self.shape)

    @property
    def stored(self) -> int:
        """Number of elements in the vector."""
        return sum(math.prod(f) for f in self.factors) if self.factors else self.size


@dataclass(frozen=True)
class Index:
    """What the vector holds and where it came from; names are those in the base checkpoint."""

    domain: str
    base: dict[str, str]
    """name and fingerprint of the base model."""
    source: dict[str, Any]
    """kind, path and fingerprint of what the difference was made from, and the data's fingerprint where known."""
    storage: str
    """dense, or lowrank: then each change that has factors is stored as these."""
    dtype: str
    normalize: str
    norm: float
    """Euclidean norm before normalisation."""
    vector_fingerprint: str
    parameters: list[Parameter]
    format_version: int = FORMAT_VERSION

    @property
    def stored(self) -> int:
        """Number of elements of the vector."""
        return sum(parameter.stored for parameter in self.parameters)


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
class Tile:
    """Some rows of a change, in buffers that are soon used again, and what was made of them."""

    number: int
    """Which change it is of."""
    stored: tuple[torch.Tensor, ...]
    """What stands in the file of it: its elements, or with the first tile of a low-rank change both factors."""
    hash: bytes
    """Of what stands in the file."""
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
        describe: called by several threads with a parameter's name, a tile of its change (flat, float32; the values
            that a reader of the file will get), and the tile's smallest and largest element.
        seen: called in order with the parameter's name and what `describe` returned.

    Returns:
        The index's list of parameters, and a hash of all elements.

    Raises:
        RequestError: an element is not finite, or too large for float16.
    """
    parameters = _placed(deltas, storage)
    hashes: list[list[bytes]] = [[] for _ in deltas]
    with NewFile(path) as file, one_thread_each():
        file.write(_header(dtype, sum(p.stored for p in parameters)))
        for tile in chain.from_iterable(_tiles(deltas, storage, dtype, factor, describe)):
            name = deltas[tile.number].name
            if not tile.finite:
                raise RequestError(
                    f"the difference of {name} is not finite as {dtype}: it is damaged, or beyond float16"
                )
            if tile.stored:
                hashes[tile.number].append(tile.hash)
            for values in tile.stored:
                file.write(as_bytes(values))
            seen(name, tile.described)
    parameters = [replace(p, fingerprint=_joined(own)) for p, own in zip(parameters, hashes, strict=True)]
    whole = xxhash.xxh3_128("".join(p.fingerprint for p in parameters).encode())
    return parameters, whole.hexdigest()


def _hash(stored: Iterable[torch.Tensor]) -> bytes:
    tile = xxhash.xxh3_128()
    for values in stored:
        tile.update(as_bytes(values))
    return tile.digest()


def _joined(tiles: Iterable[bytes]) -> str:
    return xxhash.xxh3_128(b"".join(tiles)).hexdigest()


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
    """Some rows of a change that are to become tiles."""

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


def _tiles(
    deltas: list[Delta],
    storage: str,
    dtype: str,
    factor: float,
    describe: Callable[[str, torch.Tensor, tuple[float, float]], Any],
) -> Iterator[list[Tile]]:
    """`factor` times each change as it is stored, tile by tile, computed ahead by a few threads."""

    def make(rows: _Rows, slot: tuple[torch.Tensor, torch.Tensor]) -> list[Tile]:
        step, used, tiles = tile_rows(rows.change.shape), 0, []
        for first in range(rows.first, rows.last, step):
            shape = min(step, rows.last - first), matrix_shape(rows.change.shape)[1]
            size = math.prod(shape)
            values, half = (memory[used : used + size] for memory in slot)
            rows.change.rows(first, first + shape[0], values.view(shape))
            stored = rows.factors if first == rows.first else ()
            if storage == "dense" or rows.change.factors is None:
                if factor != 1:
                    values.mul_(factor)
                stored = (values,) if dtype == "float32" else (half.copy_(values),)
                values.copy_(stored[0])
                used += size  # the next tile must not overwrite it
            extremes = (float(values.numpy().min()), float(values.numpy().max()))
            described = describe(rows.change.name, values, extremes)
            tiles.append(Tile(rows.number, stored, _hash(stored), all(map(math.isfinite, extremes)), described))
        return tiles

    workers = available_cores()
    largest = max(tile_rows(delta.shape) * matrix_shape(delta.shape)[1] for delta in deltas) * TILES_AT_ONCE
    slots = [(torch.empty(largest), torch.empty(largest, dtype=torch.float16)) for _ in range(workers + 2)]
    return in_order(make, _rows_of(deltas, storage, dtype, factor), slots, workers)


def write_index(path: Path, index: Index) -> None:
    """Write `index` as JSON, its format version first."""
    text = {"format_version": index.format_version, **asdict(index)}
    write_text(path, json.dumps(text, indent=1, ensure_ascii=False) + "\n")


def is_finite(values: torch.Tensor) -> bool:
    """Whether no element is NaN or Inf; thirty times as fast as torch.isfinite on a CPU."""
    elements = values.numpy()
    return elements.size == 0 or bool(np.isfinite(elements.min()) and np.isfinite(elements.max()))


class Rows:
    """One parameter's change as a matrix, read tile by tile, in any order and by any thread."""

    def __init__(self, difference: "Difference", parameter: Parameter):
        """Read the factors of a low-rank one.

        Raises:
            RequestError: they hold NaN or Inf or are not what the index describes.
        """
        self._difference = difference
        self._parameter = parameter
        self._factors = difference.factors(parameter.name)
        self._unread = -(-matrix_shape(parameter.shape)[0] // tile_rows(parameter.shape))
        self._hashes: dict[int, bytes] = {}

    def read(self, first: int, out: torch.Tensor) -> None:
        """Fill `out` (float32) with the tile that begins at row number `first`.

        Raises:
            RequestError: with the last tile, if what was read is not what the index describes.
        """
        if self._factors:
            left, right = self._factors
            torch.mm(left[first : first + len(out)], right, out=out)
            return
        parameter = self._parameter
        self._hashes[first] = self._difference.read_into(out, parameter.offset + first * out.shape[1])
        if len(self._hashes) == self._unread:
            tiles = (self._hashes[row] for row in sorted(self._hashes))
            if parameter.fingerprint not in (None, _joined(tiles)):
                self._difference.read(parameter.name)  # which says what is wrong


class Difference:
    """A difference vector opened for reading, parameter by parameter."""

    def __init__(self, vector: Path, index: Path):
        """Open both files and check that they fit each other.

        Raises:
            RequestError: a file is missing, damaged, of another format version, or the two do not fit.
        """
        self.path = vector
        self.index = _read_index(index)
        try:
            self._vector = np.load(vector, mmap_mode="r", allow_pickle=False)
            self._source = Source(vector)
        except (OSError, ValueError, EOFError) as error:
            raise RequestError(f"{vector} is not a NumPy array that can be read: {error}") from None
        expected = (self.index.stored,)
        if self._vector.shape != expected or self._vector.dtype != np.dtype(self.index.dtype):
            raise RequestError(
                f"{vector} holds {self._vector.dtype} of shape {self._vector.shape}, "
                f"its index {index.name} says {self.index.dtype} of shape {expected}; make both again"
            )
        self._parameters = {p.name: p for p in self.index.parameters}
        self._room = Scratch()

    def __contains__(self, name: str) -> bool:
        return name in self._parameters

    def is_product(self, name: str) -> bool:
        """Whether the parameter's change is stored as two factors."""
        return name in self._parameters and self._parameters[name].factors is not None

    def prefetch_factors(self) -> None:
        """Have the system read the vector meanwhile if it is a low-rank one: small, and read in small pieces."""
        if self.index.storage == "lowrank":
            self._source.prefetch()

    def rows(self, name: str) -> Rows:
        """The parameter's change, to be read tile by tile."""
        return Rows(self, self._parameters[name])

    def read(self, name: str) -> torch.Tensor:
        """The parameter's change, float32, in its shape.

        Raises:
            RequestError: it holds NaN or Inf, or is not what the index describes.
        """
        parameter = self._parameters[name]
        if factors := self.factors(name):
            return factors[0] @ factors[1]
        return self._read_stored(parameter).view(parameter.shape)

    def factors(self, name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The two matrices whose product is the parameter's change, float32; None if it is stored densely.

        Raises:
            RequestError: they hold NaN or Inf, or are not what the index describes.
        """
        parameter = self._parameters[name]
        if parameter.factors is None:
            return None
        flat = self._read_stored(parameter)
        left, right = parameter.factors
        return flat[: math.prod(left)].view(left), flat[math.prod(left) :].view(right)

    def read_into(self, out: torch.Tensor, offset: int) -> bytes:
        """Fill `out` (float32) with the vector's elements from number `offset` on; return the stored bytes' hash."""
        dtype = getattr(torch, self.index.dtype)
        size = out.numel() * dtype.itemsize
        room = memoryview(self._room(size + 2 * BLOCK, dtype=torch.uint8).numpy())
        try:
            data = self._source.read(self._vector.offset + offset * dtype.itemsize, size, room)
        except (OSError, EOFError) as error:
            raise RequestError(f"{self.path} can no longer be read: {error}") from None
        if size:
            out.copy_(torch.frombuffer(data, dtype=dtype).view(out.shape))
        return xxhash.xxh3_128(data).digest()

    def _read_stored(self, parameter: Parameter) -> torch.Tensor:
        flat = torch.empty(parameter.stored)
        tile = parameter.stored
        if parameter.factors is None:
            tile = tile_rows(parameter.shape) * matrix_shape(parameter.shape)[1]
        tiles = [
            self.read_into(flat[start : start + tile], parameter.offset + start) for start in range(0, len(flat), tile)
        ]
        if not is_finite(flat):
            raise RequestError(f"{self.path} holds NaN or Inf in {parameter.name}; make it again (dem/vector_diff.py)")
        if parameter.fingerprint not in (None, _joined(tiles)):
            raise RequestError(
                f"{self.path}: {parameter.name} is not what {self.index.domain}'s index describes; make both again"
            )
        return flat

    def elements(
        self, name: str, factors: tuple[torch.Tensor, torch.Tensor] | None
    ) -> Callable[[int, int], np.ndarray]:
        """The function to a parameter's elements from the first up to the second number (C order), as float32.

        Of a parameter that the difference does not change they are zeros. `factors` are those of `factors(name)`.
        """
        if name not in self:
            return lambda first, last: np.zeros(last - first, np.float32)
        if factors:
            left, right = factors
            width = right.shape[1]

            def of_product(first: int, last: int) -> np.ndarray:
                start = first // width
                rows = left[start : -(-last // width)] @ right
                return rows.view(-1).numpy()[first - start * width : last - start * width]

            return of_product

        def of_vector(first: int, last: int) -> np.ndarray:  # not of the mapped file, whose pages would stay
            values = torch.empty(last - first)
            self.read_into(values, self._parameters[name].offset + first)
            return values.numpy()

        return of_vector

    def sample(self, count: int, seed: int) -> np.ndarray:
        """`count` elements of the changes (all, if there are no more) at places drawn with `seed`, as float64."""
        ends = np.cumsum([p.size for p in self.index.parameters])
        size = int(ends[-1])
        if size > count:
            places = np.sort(np.random.default_rng(seed).choice(size, count, replace=False, shuffle=False))
        else:
            places = np.arange(size)
        owners = np.searchsorted(ends, places, side="right")
        found = [
            self._elements(p, places[owners == i] - (ends[i] - p.size)) for i, p in enumerate(self.index.parameters)
        ]
        return np.concatenate(found)

    def _elements(self, parameter: Parameter, places: np.ndarray) -> np.ndarray:
        """Single elements of one parameter's change, by their places in C order."""
        if parameter.factors is None:
            return self._vector[parameter.offset + places].astype(np.float64)
        left, right = (half.numpy() for half in self.factors(parameter.name))
        rows, columns = np.divmod(places, right.shape[1])
        return np.einsum("ij,ji->i", left[rows].astype(np.float64), right[:, columns].astype(np.float64))


def _read_index(path: Path) -> Index:
    text = read_json(path)
    if (version := text.get("format_version")) != FORMAT_VERSION:
        raise RequestError(f"{path} is of format version {version}; this version reads {FORMAT_VERSION}")
    try:
        text["parameters"] = [_read_parameter(p) for p in text["parameters"]]
        index = Index(**text)
        if index.dtype not in ("float32", "float16") or index.normalize not in ("none", "l2"):
            raise ValueError(f"dtype {index.dtype}, normalize {index.normalize}")
        if not isinstance(index.source, dict) or not {"name", "fingerprint"} <= set(index.base):
            raise ValueError("base or source is incomplete")
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{path} is not the index of a difference vector: {error}") from None
    offset = 0
    for parameter in index.parameters:
        if parameter.offset != offset:
            raise RequestError(f"{path}: {parameter.name} should begin at element {offset}, not {parameter.offset}")
        offset += parameter.stored
    return index


def _read_parameter(entry: dict[str, Any]) -> Parameter:
    parameter = Parameter(**{**entry, "shape": tuple(map(int, entry["shape"]))})
    if parameter.factors is None:
        return parameter
    left, right = (tuple(map(int, half)) for half in parameter.factors)
    (height, rank), (same_rank, width) = left, right
    if (height, width) != parameter.shape or rank != same_rank:
        raise ValueError(f"the factors of {parameter.name} do not give its shape")
    return replace(parameter, factors=(left, right))


def adapter_fingerprint(adapter: Path) -> str:
    """A hash (128 bits, hexadecimal) of the adapter's weights and configuration."""
    return files_fingerprint(
        sorted(p for p in adapter.glob("adapter_*") if p.suffix in (".bin", ".safetensors", ".json"))
    )
