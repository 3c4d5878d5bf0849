"""The difference vector on disk: its format, and reading it. `diff_writing` writes it.

`diff_<domain>.npy` is one flat array, one changed parameter after the other: of a dense one the elements in C order, of
a low-rank one its two factors, whose product is the change. `diff_<domain>.json` is its index, the `Index` below.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

from dem.checkpoints import files_fingerprint, matrix_shape, tile_rows
from dem.common import read_json
from dem.errors import RequestError
from dem.streams import BLOCK, Scratch, Source
from dem.tensor_files import map_array
from dem.typed import conform

FORMAT_VERSION = 1


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
    base: dict[str, str | None]
    """name and fingerprint of the base model, and what `base_files` says of the rest of it (not in older files)."""
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


def joined(tiles: Iterable[bytes]) -> str:
    """The fingerprint of a parameter, of the hashes of its stored tiles in order."""
    return xxhash.xxh3_128(b"".join(tiles)).hexdigest()


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
        """Fill `out` (float32 or float64) with the tile that begins at row number `first`.

        Raises:
            RequestError: with the last tile, if what was read is not what the index describes.
        """
        if self._factors:
            left, right = self._factors
            torch.mm(left[first : first + len(out)].to(out.dtype), right.to(out.dtype), out=out)
            return
        parameter = self._parameter
        self._hashes[first] = self._difference.read_into(out, parameter.offset + first * out.shape[1])
        if len(self._hashes) == self._unread:
            tiles = (self._hashes[row] for row in sorted(self._hashes))
            if parameter.fingerprint not in (None, joined(tiles)):
                self._difference.read(parameter.name)  # which says what is wrong


class Difference:
    """A difference vector opened for reading, parameter by parameter."""

    def __init__(self, vector: Path, index: Path):
        """Open both files and check that they fit each other.

        Raises:
            RequestError: a file is missing, damaged, of another format version, or the two do not fit.
        """
        self.path = vector
        self.index, self.intact = _read_index(index)
        self._vector = map_array(vector)
        self._source = Source(vector)
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
        """Fill `out` with the vector's elements from number `offset` on; return the stored bytes' hash."""
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
        flat = torch.empty(parameter.stored, dtype=torch.float32)
        tile = parameter.stored
        if parameter.factors is None:
            tile = tile_rows(parameter.shape) * matrix_shape(parameter.shape)[1]
        tiles = [
            self.read_into(flat[start : start + tile], parameter.offset + start) for start in range(0, len(flat), tile)
        ]
        if not is_finite(flat):
            raise RequestError(f"{self.path} holds NaN or Inf in {parameter.name}; make it again (dem/vector_diff.py)")
        if parameter.fingerprint not in (None, joined(tiles)):
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
            values = torch.empty(last - first, dtype=torch.float32)
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


def _read_index(path: Path) -> tuple[Index, bool]:
    """The index, and whether it is what was written: not another that would pass for one."""
    text = read_json(path)
    intact = text.pop(INDEX_FINGERPRINT, None) in (None, text_fingerprint(text))
    if (version := text.get("format_version")) != FORMAT_VERSION:
        raise RequestError(f"{path} is of format version {version}; this version reads {FORMAT_VERSION}")
    try:
        index = conform(text, Index)
        if index.dtype not in ("float32", "float16") or index.normalize not in ("none", "l2"):
            raise ValueError(f"dtype {index.dtype}, normalize {index.normalize}")
        if not {"name", "fingerprint"} <= set(index.base) or not {"kind", "path", "fingerprint"} <= set(index.source):
            raise ValueError("base or source is incomplete")
        for parameter in index.parameters:
            _require_shapes(parameter)
        if len({parameter.name for parameter in index.parameters}) < len(index.parameters):
            raise ValueError("a parameter stands twice")
    except ValueError as error:
        raise RequestError(f"{path} is not the index of a difference vector: {error}; make both again") from None
    offset = 0
    for parameter in index.parameters:
        if parameter.offset != offset:
            raise RequestError(f"{path}: {parameter.name} should begin at element {offset}, not {parameter.offset}")
        offset += parameter.stored
    return index, intact


def _require_shapes(parameter: Parameter) -> None:
    shapes = [parameter.shape, *(parameter.factors or ())]
    if any(size < 1 for shape in shapes for size in shape):
        raise ValueError(f"{parameter.name} is of shape {list(parameter.shape)}")
    if parameter.factors:
        (height, rank), (same_rank, width) = parameter.factors
        if (height, width) != parameter.shape or rank != same_rank:
            raise ValueError(f"the factors of {parameter.name} do not give its shape")


INDEX_FINGERPRINT = "index_fingerprint"
"""Beside the fields of an index in its file, a hash of them; indexes of earlier versions have none."""


def text_fingerprint(text: dict[str, Any]) -> str:
    """A hash (128 bits, hexadecimal) of an index as JSON tells it."""
    return xxhash.xxh3_128(json.dumps(text, sort_keys=True).encode()).hexdigest()


def adapter_fingerprint(adapter: Path) -> str:
    """A hash (128 bits, hexadecimal) of the adapter's weights and configuration."""
    return files_fingerprint(
        sorted(p for p in adapter.glob("adapter_*") if p.suffix in (".bin", ".safetensors", ".json"))
    )
