"""In which numbers stage 3 runs its models on a GPU: as the base is stored, or as asked for. A CPU has float32."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from dem.checkpoints import DTYPES, Checkpoint
from dem.common import has_bf16

BITS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INSTEAD = {"tf32": "fp32", "bf16": "fp16"}
"""What an older GPU runs in place of what it does not have."""


@dataclass(frozen=True)
class Arithmetic:
    """What all models are loaded in and computed in."""

    name: str
    """fp32, tf32, bf16 or fp16; the second is float32 whose products on a GPU take the first 10 bits of a fraction."""
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return BITS[self.name]

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """While it lasts, a GPU's products of float32 are what the name says."""
        kinds = (torch.backends.cuda.matmul, torch.backends.cudnn)
        before = [kind.allow_tf32 for kind in kinds]
        try:
            for kind in kinds:
                kind.allow_tf32 = self.name == "tf32"
            yield
        finally:
            for kind, allowed in zip(kinds, before, strict=True):
                kind.allow_tf32 = allowed


FLOAT32 = Arithmetic("fp32", "whatever is asked for")


def arithmetic(base: Path, asked: str) -> Arithmetic:
    """What `evaluation.precision` means here, for the base in this folder; all models are run alike."""
    if not torch.cuda.is_available():
        return Arithmetic("fp32", "a CPU computes in fp32")
    name, reason = _as_stored(base) if asked == "auto" else (asked, "as asked")
    if name in INSTEAD and not has_bf16():  # which came to NVIDIA's cards together with TF32
        return Arithmetic(INSTEAD[name], f"{reason} it would be {name}, which this GPU does not have")
    return Arithmetic(name, reason)


def _as_stored(base: Path) -> tuple[str, str]:
    """The name of the base's own numbers, and why that."""
    stored, half = stored_dtype(base), "bf16" if has_bf16() else "fp16"
    if stored in (torch.float16, torch.bfloat16):
        return {torch.float16: "fp16", torch.bfloat16: "bf16"}[stored], "as the base is stored"
    name = "tf32" if has_bf16() else "fp32"
    return name, f"the base is stored in {stored}; faster and in half the memory: --evaluation.precision {half}"


def stored_dtype(base: Path) -> torch.dtype:
    """The type that most of the base's numbers have."""
    checkpoint = Checkpoint(base)
    sizes: Counter[str] = Counter()
    for name in checkpoint:
        sizes[checkpoint.tensor(name).dtype] += checkpoint.tensor(name).size
    return DTYPES[sizes.most_common(1)[0][0]]
