"""Where a part of gpu.py works, and how it tells what it found."""

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the project."""


@dataclass(frozen=True)
class Place:
    """What a part is given; its log is its standard output."""

    work: Path
    """Folder that all parts share, which goes again."""
    rows: Path
    """File of this part's rows, whole ones however the part ends."""
    dry: bool
    """On a CPU, at tiny shapes."""

    @property
    def tiny(self) -> Path:
        """Root of the text and the base that the script makes: parquet_ready/ and base_model/."""
        return self.work / "tiny"

    @property
    def big(self) -> Path:
        """A base of the shapes of 2.8B, with random weights."""
        return self.work / "big"

    @property
    def context(self) -> multiprocessing.context.BaseContext:
        """How processes start: afresh, as CUDA demands; on a CPU with all that this one has imported, at once."""
        return multiprocessing.get_context("fork" if self.dry else "spawn")

    def row(self, what: str, how: str, told: str, **figures: float) -> None:
        """Put a row into the table; `figures` are for what the script reckons of several rows."""
        print(f"=> {what} | {how} | {told}", flush=True)
        with self.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "how": how, "told": told, **figures}, ensure_ascii=False) + "\n")


def require_gpu() -> None:
    """End the process where PyTorch sees no GPU."""
    import torch

    from dem.gpu_presence import unseen_gpu

    if not torch.cuda.is_available():
        raise SystemExit(f"{unseen_gpu() or 'there is no GPU here'}; --dry runs on a CPU")


def refused(kernels: str) -> str | None:
    """Why a Mamba cannot have these `kernels` here; None if it can."""
    from dem.errors import RequestError
    from dem.kernel_choice import require_kernels

    try:
        require_kernels("mamba", kernels)
    except RequestError as error:
        return str(error)
    return None
