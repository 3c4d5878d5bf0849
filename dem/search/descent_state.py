"""Where a descent stands, in one file that is whole or absent: a run that was cut off goes on from it, bit for bit."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import xxhash

from dem.atomic import new_file
from dem.common import log
from dem.errors import RequestError
from dem.reading import damage_named
from dem.tensor_files import load_safetensors

NAMES = ("weights", "best", "exp_avg", "exp_avg_sq")
"""The weights now, the best so far, and Adam's two moments; float32 (weights,) each."""
State = tuple[dict[str, torch.Tensor], dict[str, Any]]


class DescentFile:
    """The state of one descent: NAMES, and what else is known of it as plain values."""

    def __init__(self, path: Path, key: dict[str, Any]):
        """At `path`; `key` is all that a descent depends on, and what has another key is not used."""
        self._path, self._key = path, json.dumps(key, sort_keys=True)

    def write(self, tensors: dict[str, torch.Tensor], told: dict[str, Any]) -> None:
        """Replace what there is."""
        text = json.dumps(told)
        metadata = {"key": self._key, "told": text, "hash": _hash(tensors, text)}
        with new_file(self._path) as partial:
            safetensors.torch.save_file(tensors, partial, metadata)

    def read(self, size: int) -> State | None:
        """The state of so many weights; None where there is none of this key. The log says if it is of no use."""
        if not self._path.exists():
            return None
        try:
            tensors = load_safetensors(self._path)
            with damage_named(f"{self._path} cannot be read"), safetensors.safe_open(self._path, "pt") as file:
                metadata = file.metadata() or {}
            if set(tensors) != set(NAMES) or any(t.shape != (size,) for t in tensors.values()):
                raise ValueError("it is of other weights")
            if metadata.get("key") != self._key:
                raise ValueError("it is of another search")
            if metadata["hash"] != _hash(tensors, metadata["told"]):
                raise ValueError("it is not what was written")
        except (RequestError, ValueError, KeyError) as problem:
            log.info(f"search: {self._path} is not used: {problem}")
            return None
        return tensors, json.loads(metadata["told"])


def _hash(tensors: dict[str, torch.Tensor], text: str) -> str:
    digest = xxhash.xxh3_128(text.encode())
    for name in NAMES:
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
