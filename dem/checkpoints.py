"""A model's weights on disk: safetensors in one file or several, or PyTorch's own format, read tensor by tensor.

A native mamba_ssm checkpoint is read by transformers' names. Writing is in `rewrite`.
"""

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xxhash
from transformers.utils.hub import CHAT_TEMPLATE_DIR

from dem import native
from dem.errors import RequestError, WorkError
from dem.reading import parse_json, read_json, require_file
from dem.streams import BLOCK, PIECE, Source, buffers, in_order
from dem.tensor_files import load_pickled, require_safetensors

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""PyTorch's types by the names that safetensors headers use."""

TILE = 1 << 18
"""Elements that are worked on at once: few enough for a core's cache, enough that Python's own time does not count."""

READ_AHEAD = 6
"""Parts of tensors that are read while others are worked on."""

WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.gguf", "*.index.json")


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies: `start` and `end` count bytes from the beginning of its shard's data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    def cuts(self) -> list[tuple[int, int]]:
        """The tensor in parts of whole tiles and about PIECE bytes, as (first byte, end) counted from its beginning."""
        tile = max(1, self.bytes // max(1, matrix_shape(self.shape)[0])) * tile_rows(self.shape)
        step = max(1, PIECE // tile) * tile
        return [(start, min(start + step, self.bytes)) for start in range(0, self.bytes, step)]


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a tensor seen as a matrix: its last dimension is the columns, of a vector it is the rows."""
    return (math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (math.prod(shape), 1)


def tile_rows(shape: tuple[int, ...]) -> int:
    """Rows of a matrix of this shape that make a tile."""
    return max(1, TILE // max(1, matrix_shape(shape)[1]))


class Shard:
    """One safetensors file: 8 bytes with the header's length, the header as JSON, the data."""

    def __init__(self, path: Path):
        """Read the header of `path`.

        Raises:
            RequestError: the file is cut short or not safetensors.
        """
        self.path = path
        self.file_name = path.name
        require_safetensors(path)
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                self.header = file.read(length)
            entries = parse_json(self.header.decode())
        except (OSError, ValueError) as error:
            raise RequestError(f"{path} is not a safetensors file that can be read: {error}") from None
        entries.pop("__metadata__", None)
        self.tensors = [Tensor(n, e["dtype"], tuple(e["shape"]), *e["data_offsets"]) for n, e in entries.items()]
        self.tensors.sort(key=lambda tensor: tensor.start)
        # Copy-on-write: a library that writes into a base weight must hit neither the file nor a fault.
        self._bytes = torch.from_numpy(np.memmap(path, mode="c"))
        self._data_start = 8 + length
        self._source = Source(path)

    def read_part(self, tensor: Tensor, start: int, end: int, buffer: memoryview) -> memoryview:
        """The tensor's bytes from `start` to `end`, in `buffer`, which has to be larger by 2 * BLOCK."""
        try:
            return self._source.read(self._data_start + tensor.start + start, end - start, buffer)
        except (OSError, EOFError) as error:
            raise WorkError(f"{self.path} can no longer be read: {error}") from None

    def read(self, tensor: Tensor) -> torch.Tensor:
        """The tensor, mapped from the file: its pages are read when they are used. Do not write to it."""
        if tensor.dtype not in DTYPES:
            raise RequestError(f"{self.path}: {tensor.name} is of type {tensor.dtype}, which is not supported")
        return self.read_rows(tensor, 0, matrix_shape(tensor.shape)[0]).reshape(tensor.shape)

    def read_rows(self, tensor: Tensor, first: int, last: int) -> torch.Tensor:
        """Some rows of the tensor as a matrix, mapped from the file."""
        width = matrix_shape(tensor.shape)[1]
        if (last - first) * width == 0:
            return torch.empty((last - first, width), dtype=DTYPES[tensor.dtype])
        row = width * DTYPES[tensor.dtype].itemsize
        start = self._data_start + tensor.start
        data = self._bytes[start + first * row : start + last * row]
        if data.storage_offset() % DTYPES[tensor.dtype].itemsize:  # older writers do not align the data
            data = data.clone()
        return data.view(DTYPES[tensor.dtype]).view(-1, width)


class PickledShard:
    """One file of a checkpoint in PyTorch's own format, loaded without running any code it may hold."""

    def __init__(self, path: Path, translate: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = dict):
        """Map `path`; what counts as its content is what `translate` makes of it.

        Raises:
            RequestError: the file cannot be read, or holds more than tensors.
        """
        self.path = path
        self.file_name = path.with_suffix(".safetensors").name.replace("pytorch_model", "model")
        self._loaded = translate(load_pickled(path))
        names = {dtype: name for name, dtype in DTYPES.items()}
        self.tensors, start = [], 0
        for name, value in self._loaded.items():
            end = start + value.numel() * value.element_size()
            dtype = names.get(value.dtype, str(value.dtype).removeprefix("torch."))
            self.tensors.append(Tensor(name, dtype, tuple(value.shape), start, end))
            start = end
        entries = {t.name: {"dtype": t.dtype, "shape": t.shape, "data_offsets": [t.start, t.end]} for t in self.tensors}
        header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
        self.header = header + b" " * (-len(header) % 8)  # data aligned to 8 bytes

    def read_part(self, tensor: Tensor, start: int, end: int, buffer: memoryview) -> memoryview:
        """The tensor's bytes from `start` to `end`, in `buffer`."""
        buffer[: end - start] = as_bytes(self._loaded[tensor.name])[start:end]
        return buffer[: end - start]

    def read(self, tensor: Tensor) -> torch.Tensor:
        """The tensor, mapped from the file."""
        return self._loaded[tensor.name].contiguous()

    def read_rows(self, tensor: Tensor, first: int, last: int) -> torch.Tensor:
        """Some rows of the tensor as a matrix, mapped from the file."""
        return self._loaded[tensor.name].reshape(matrix_shape(tensor.shape))[first:last]


@dataclass(frozen=True)
class Part:
    """Some rows of a tensor, in a buffer that is soon used again."""

    tensor: Tensor
    start: int
    """Bytes of the tensor before it."""
    data: memoryview

    @property
    def first(self) -> int:
        """Number of the first row."""
        return self.start // (matrix_shape(self.tensor.shape)[1] * DTYPES[self.tensor.dtype].itemsize)

    @property
    def is_last(self) -> bool:
        """Whether the tensor ends with it."""
        return self.start + len(self.data) == self.tensor.bytes

    def rows(self) -> torch.Tensor:
        """The rows as a matrix."""
        dtype = DTYPES[self.tensor.dtype]
        flat = torch.frombuffer(self.data, dtype=torch.uint8)
        if flat.data_ptr() % dtype.itemsize:  # older writers of safetensors do not align the data
            flat = flat.clone()
        return flat.view(dtype).view(-1, matrix_shape(self.tensor.shape)[1])


class Hashes:
    """The hash of each tensor's bytes, added part by part."""

    def __init__(self) -> None:
        self._by_name: defaultdict[str, xxhash.xxh3_128] = defaultdict(xxhash.xxh3_128)

    def add(self, part: Part) -> None:
        """Take in the next part of a tensor."""
        self._by_name[part.tensor.name].update(part.data)

    def of(self, checkpoint: "Checkpoint") -> str:
        """The fingerprint of a checkpoint whose parts were all added."""
        whole = xxhash.xxh3_128()
        for name in sorted(checkpoint):
            tensor = checkpoint.tensor(name)
            digest = self._by_name[name].hexdigest()
            whole.update(f"{name} {tensor.dtype} {list(tensor.shape)} {digest}\n".encode())
        return whole.hexdigest()


class Checkpoint:
    """All weights in a model folder."""

    def __init__(self, folder: Path):
        """Read the headers of all shards.

        Raises:
            RequestError: there are no weights, a shard is missing or damaged, a name stands in two shards, or weights
                are of a type that nothing can be added to.
        """
        self.folder = folder
        self.shards, self.index = _open_shards(folder)
        self._places = {tensor.name: (shard, tensor) for shard in self.shards for tensor in shard.tensors}
        refuse_compiled(self._places, folder)
        if len(self._places) < sum(len(shard.tensors) for shard in self.shards):
            raise RequestError(f"{folder} holds a tensor of the same name in two files")
        for shard, tensor in self._places.values():
            if not _can_be_added_to(tensor):
                raise RequestError(
                    f"{shard.path}: {tensor.name} is of type {tensor.dtype}, to which no difference can be added: give "
                    "the model's release in 16 or 32 bits, or save a dequantised one"
                )

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def tensor(self, name: str) -> Tensor:
        """The description of the tensor `name`."""
        return self._places[name][1]

    def shard(self, name: str) -> "Shard | PickledShard":
        """The file that holds the tensor `name`."""
        return self._places[name][0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the tensor `name`."""
        return self._places[name][1].shape

    def read(self, name: str) -> torch.Tensor:
        """The tensor `name`, mapped from its file."""
        shard, tensor = self._places[name]
        return shard.read(tensor)

    def read_rows(self, name: str, first: int, last: int) -> torch.Tensor:
        """The rows from the first up to the second number of the tensor `name` as a matrix, mapped from its file."""
        shard, tensor = self._places[name]
        return shard.read_rows(tensor, first, last)

    def read_ahead(self, names: Iterable[str], kept: int = 1) -> Iterator[Part]:
        """The parts of these tensors, one after the other, read ahead by a thread.

        A part is good until the `kept`-th after it is asked for.
        """

        def read(place: tuple, buffer: memoryview) -> Part:
            shard, tensor, start, end = place
            return Part(tensor, start, shard.read_part(tensor, start, end, buffer))

        places = ((*self._places[name], *cut) for name in names for cut in self._places[name][1].cuts())
        return in_order(read, places, buffers(READ_AHEAD + kept, self.largest_part() + 2 * BLOCK), 1, kept)

    def largest_part(self) -> int:
        """Bytes of the largest part that a tensor is read in; a buffer for it has to be larger by 2 * BLOCK."""
        return max((end - start for _, t in self._places.values() for start, end in t.cuts()), default=1)

    def parameters(self) -> int:
        """Number of elements of all tensors together."""
        return sum(tensor.size for _, tensor in self._places.values())

    def size(self) -> int:
        """Bytes of all tensors together."""
        return sum(tensor.bytes for _, tensor in self._places.values())

    def fingerprint(self, progress: Callable[[int], object] = lambda size: None) -> str:
        """A hash (128 bits, hexadecimal) of all names, types, shapes and values, however they lie in files.

        `progress` is told the bytes of each part read.
        """
        hashes = Hashes()
        for part in self.read_ahead(self):
            hashes.add(part)
            progress(len(part.data))
        return hashes.of(self)

    def write_index(self, folder: Path) -> None:
        """Write into `folder` the list of which tensor is in which of several files, if there is one."""
        if self.index is None:
            return
        target = folder / "model.safetensors.index.json"
        if self.index.name == target.name:
            shutil.copyfile(self.index, target)
            return
        text = read_json(self.index)
        text["weight_map"] = {t.name: s.file_name for s in self.shards for t in s.tensors}
        target.write_text(json.dumps(text, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def copy_other_files(source: Path, target: Path) -> None:
    """Copy what belongs to a model beside its weights (config, tokenizer, licence, code).

    Of folders only the tokenizer's further chat templates: no other one is read when the model or tokenizer is loaded.
    """
    for path in sorted(source.iterdir()):
        is_weight = any(path.match(pattern) for pattern in WEIGHT_FILES)
        if path.is_file() and not is_weight and not path.name.startswith("."):
            shutil.copyfile(path, target / path.name)
    for template in (source / CHAT_TEMPLATE_DIR).glob("*.jinja"):
        (target / CHAT_TEMPLATE_DIR).mkdir(exist_ok=True)
        shutil.copyfile(template, target / CHAT_TEMPLATE_DIR / template.name)


def _can_be_added_to(tensor: Tensor) -> bool:
    """False of quantised weights, which lie in bytes, whether the config says so or not; other bytes are copied."""
    dtype = DTYPES.get(tensor.dtype)
    in_bytes = dtype in (torch.int8, torch.uint8) and tensor.name.endswith(".weight")
    return dtype is not None and not in_bytes


def refuse_compiled(names: Iterable[str], folder: Path) -> None:
    """Refuse names as torch.compile gives them to what it wraps.

    Raises:
        RequestError: says what was saved, and what to save.
    """
    if compiled := [name for name in names if "_orig_mod." in name]:
        raise RequestError(
            f"{folder} holds {compiled[0]}: _orig_mod. is what torch.compile puts before names; "
            "save the model that was compiled (model._orig_mod), or take _orig_mod. out of the names"
        )


def files_fingerprint(files: list[Path]) -> str:
    """A hash (128 bits, hexadecimal) of the content of `files`, one after the other."""
    digest = xxhash.xxh3_128()
    for path in files:
        require_file(path)
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def as_bytes(tensor: torch.Tensor) -> memoryview:
    """The tensor's values as the bytes that stand in a file (little-endian, C order)."""
    return memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def _open_shards(folder: Path) -> tuple[list[Shard] | list[PickledShard], Path | None]:
    """The shards that transformers or mamba_ssm would load, in order of name, and their index file if there is one."""
    if config := native.transformers_config(folder):
        path, tied = folder / native.WEIGHTS, config.tie_word_embeddings
        return [PickledShard(path, lambda weights: native.transformers_weights(weights, tied, path))], None
    for kind, single in ((Shard, "model.safetensors"), (PickledShard, "pytorch_model.bin")):
        if (folder / single).is_file():
            return [kind(folder / single)], None
        if (index := folder / f"{single}.index.json").is_file():
            names = sorted(set(_weight_map(index).values()))
            if missing := [n for n in names if not (folder / n).is_file()]:
                raise RequestError(f"{folder} lacks {', '.join(missing)}, which {index.name} names")
            return [kind(folder / name) for name in names], index
    raise RequestError(f"{folder} holds no weights (model.safetensors, pytorch_model.bin or their shards)")


def _weight_map(index: Path) -> dict[str, str]:
    try:
        names = read_json(index)["weight_map"]
        if any(Path(name).name != name for name in names.values()):
            raise ValueError("it names a file in another folder")
        return names
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{index} is not an index of shards: {error}") from None
