"""Files of tensors, opened without trusting them: PyTorch's format, safetensors, and NumPy's arrays."""

import zipfile
from pathlib import Path

import numpy as np
import safetensors
import torch

from dem.reading import damage_named, require_file


def load_pickled(path: Path) -> dict[str, torch.Tensor]:
    """The tensors by name in a file of PyTorch's format, mapped where the format allows; no code in it is run.

    Raises:
        RequestError: the file is no such file, is damaged, or holds anything but tensors with names.
    """
    require_file(path)
    with damage_named(f"{path} cannot be read"):
        is_zip = zipfile.is_zipfile(path)  # PyTorch's format since 1.6; the older one cannot be mapped
        if is_zip:
            _require_stored(path)
        loaded = torch.load(path, map_location="cpu", mmap=is_zip, weights_only=True)
        if not isinstance(loaded, dict):
            raise ValueError(f"it holds a {type(loaded).__name__}, not tensors by their names")
        for name, value in loaded.items():
            _require_tensor(name, value)
    return dict(loaded)


def _require_stored(path: Path) -> None:
    """Refuse a compressed archive: PyTorch writes none, and what it would unfold to is anyone's guess."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("its content is compressed, which PyTorch does not do")


def _require_tensor(name: object, value: object) -> None:
    if not (isinstance(name, str) and isinstance(value, torch.Tensor)):
        raise ValueError(f"it holds more than tensors: {str(name)[:80]} is a {type(value).__name__}")
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise ValueError(f"{name} is not a plain tensor")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(f"{name} has more elements than the file holds of it")


def require_safetensors(path: Path) -> None:
    """Refuse a file whose header is not that of safetensors or does not fit what follows it.

    Offsets, shapes and types must agree, without gaps and overlaps, to the end of the file.

    Raises:
        RequestError: names the file and the header's mistake.
    """
    require_file(path)
    with (
        damage_named(f"{path} is not a safetensors file that can be read, or cut short or damaged"),
        safetensors.safe_open(path, framework="pt"),
    ):
        pass


def load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a safetensors file by name.

    Raises:
        RequestError: it is no such file, or damaged.
    """
    require_safetensors(path)
    with (
        damage_named(f"{path} cannot be read"),
        safetensors.safe_open(path, framework="pt") as file,
    ):
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)


def map_array(path: Path) -> np.memmap:
    """The array in a .npy file, mapped; an archive of several (.npz) is none, whatever its name.

    Raises:
        RequestError: it is no such file, or damaged.
    """
    require_file(path)
    with damage_named(f"{path} is not a NumPy array that can be read"):
        return np.lib.format.open_memmap(path, mode="r")
