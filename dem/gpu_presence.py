"""A GPU that is in this machine and that PyTorch does not see, and the wish to leave one alone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

DEVICE, DRIVER = Path("/dev/nvidia0"), Path("/proc/driver/nvidia/version")
VISIBLE = "CUDA_VISIBLE_DEVICES"


def leave_gpus_alone() -> None:
    """Let PyTorch see no GPU in this process and those that it starts; call it before PyTorch looks for one."""
    os.environ[VISIBLE] = ""


def unseen_gpu() -> str | None:
    """In words, with the versions of driver and CUDA, that a GPU is here and PyTorch does not see it.

    None if PyTorch sees one, none is here, or somebody wants none to be seen.
    """
    import torch

    if torch.cuda.is_available() or os.environ.get(VISIBLE) in ("", "-1"):
        return None
    if not DEVICE.exists() and not shutil.which("nvidia-smi"):
        return None
    cuda = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
    return (
        f"a GPU is here (NVIDIA driver {_driver_version() or 'of unknown version'}), and PyTorch does not see it "
        f"(torch {torch.__version__} {cuda})"
    )


def _driver_version() -> str | None:
    try:
        told = re.search(r"Module.*?\s(\d+\.[\d.]+)", DRIVER.read_text(encoding="utf-8"))
    except OSError:
        told = None
    return told[1] if told else _asked_of_nvidia_smi()


def _asked_of_nvidia_smi() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # it fails where the driver is not loaded, and hangs on a lost card
        return None
    return next(iter(done.stdout.split()), None)
