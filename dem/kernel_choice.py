"""Which code computes a Mamba's scan and convolution, by the setting `kernels`; the log is told which, and why.

What is installed and cannot be imported is told with its error: without, training is several times slower and nobody
knows why.
"""

import importlib
from collections.abc import Callable
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from inspect import getclosurevars, signature
from types import ModuleType
from typing import Any

import torch

from dem.errors import RequestError
from dem.families import FAMILIES

INSTALLED_KERNELS = (
    "causal_conv1d_fn",
    "causal_conv1d_update",
    "mamba_selective_state_update",
    "mamba2_selective_state_update",
    "mamba2_chunk_scan",
)
"""transformers' names of what it takes from installed packages, with a GPU or without, besides the selective scan."""

HUB_VERSION = 4
"""Of kernels-community/mamba-ssm, which transformers 5.23 takes too; it holds all three kernels."""

HUB_KERNELS = {
    "mamba_selective_scan": "selective_scan_fn",
    "mamba2_chunk_scan": "mamba_chunk_scan_combined",
    "causal_conv1d_fn": "causal_conv1d_fn",
}
"""Name of a kernel on the hub, by transformers' name for what it replaces."""


CHUNK_SCAN = "mamba_chunk_scan_combined is Mamba-2's scan: transformers chooses it, and dem brings none of its own"


def require_kernels(model_type: str, kernels: str) -> None:
    """Refuse kernels that cannot be had here for a model that would take them; the hub is not asked yet.

    Raises:
        RequestError: there is no GPU, or what `kernels` names is not there, or not for this model.
    """
    if model_type not in FAMILIES or kernels in ("auto", "torch"):
        return
    if not torch.cuda.is_available():
        raise RequestError(f"kernels: {kernels} needs a GPU, and there is none here: leave it auto")
    if kernels == "triton":
        if not FAMILIES[model_type].selective_scan:
            raise RequestError(
                f"kernels: triton is a scan for Mamba-1, and this model is a {model_type}: leave it auto"
            )
        _, mistake = _triton_scan()
    elif kernels == "compiled":
        _, mistake = _compiled_scan(model_type)
    else:
        return
    if mistake:
        raise RequestError(f"kernels: {kernels} cannot be had: {mistake}; mend that, or leave it auto")


def take_kernels(code: ModuleType, model_type: str, kernels: str, own_scan: Callable) -> list[str]:
    """Put the kernels that `kernels` asks for into `code`, transformers' code of this type.

    `own_scan` is dem's selective scan for where there is no kernel: compiled on a CPU, in PyTorch on a GPU.

    Returns:
        Lines for the log.

    Raises:
        RequestError: as `require_kernels`; or the hub has not got what it should have.
    """
    require_kernels(model_type, kernels)
    if kernels == "hub":
        return _take_hub_kernels(code)
    if not torch.cuda.is_available():
        kernels, why = "torch", "no GPU here"
    else:
        why = f"kernels: {kernels}"
    if kernels == "torch":
        _leave_installed_kernels(code)
    if FAMILIES[model_type].selective_scan:
        code.mamba_selective_scan, lines = _selective_scan(kernels, why, own_scan)
    else:
        lines = [*_origin("mamba_chunk_scan_combined", "mamba_ssm", kernels, why), CHUNK_SCAN]
    return [*lines, *_origin("causal_conv1d_fn", "causal_conv1d", kernels, why)]


def _selective_scan(kernels: str, why: str, own_scan: Callable) -> tuple[Callable, list[str]]:
    """Mamba-1's scan, and what to say of it."""
    lacking = []
    if kernels in ("auto", "compiled"):
        kernel, mistake = _compiled_scan("mamba")
        if kernel:
            return _with_one_dtype(kernel), [f"selective_scan_fn: the CUDA kernel of {_named('mamba_ssm')} ({why})"]
        lacking.append(mistake)
    if kernels in ("auto", "triton"):
        scan, mistake = _triton_scan()
        if scan:
            line = f"selective_scan_fn: dem's scan in {_named('triton')} ({'; '.join([why, *lacking])})"
            return scan, [line, *_warnings(lacking)]
        lacking.append(mistake)
    way = "in PyTorch" if torch.cuda.is_available() else "compiled for this CPU"
    line = f"selective_scan_fn: dem's scan {way}, linear in length ({'; '.join([why, *lacking])})"
    slow = ["WARNING: without a kernel the scan takes several times as long as all the rest"] if lacking else []
    return own_scan, [line, *slow, *_warnings(lacking)]


def _compiled_scan(model_type: str) -> tuple[Any, str | None]:
    """mamba_ssm's scan for models of this type, or None and why not."""
    if not FAMILIES[model_type].selective_scan:
        return _imported("mamba_ssm", "mamba_ssm")
    for name in ("mamba_ssm", "selective_scan_cuda", "mamba_ssm.ops.selective_scan_interface"):
        module, mistake = _imported(name, "mamba_ssm")  # which can be there without its compiled part
        if mistake:
            return None, mistake
    return module.selective_scan_fn, None


def _triton_scan() -> tuple[Callable | None, str | None]:
    """dem's scan in Triton, or None and why not."""
    module, mistake = _imported("dem.triton_trial", "triton")
    if mistake:
        return None, mistake
    try:
        return module.trial(), None
    except Exception as error:  # no C compiler, no headers of Python, a card that this Triton does not know
        return None, f"{_named('triton')} is installed and does not run here ({_in_short(error)})"


NOT_INSTALLED = "is not installed"


def _imported(module: str, package: str) -> tuple[ModuleType | None, str | None]:
    """A module of `package`, or None and why it cannot be imported."""
    try:
        return importlib.import_module(module), None
    except Exception as error:  # built for another torch, CUDA or driver, each fails in its own way
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            return None, f"{package} {NOT_INSTALLED}"
        return None, f"{_named(package)} is installed and cannot be imported ({_in_short(error)})"


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _warnings(lacking: list[str]) -> list[str]:
    """Of the packages that are lacking those that somebody has installed."""
    return [f"WARNING: {mistake}" for mistake in lacking if not mistake.endswith(NOT_INSTALLED)]


def _named(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # it lies beside the scripts, say
        return package


def _origin(name: str, package: str, kernels: str, why: str) -> list[str]:
    """Whose implementation of what transformers chooses runs: the package's if it can be imported, else PyTorch's."""
    if kernels == "torch":
        return [f"{name}: transformers' PyTorch code ({why})"]
    module, mistake = _imported(package, package)
    if module:
        return [f"{name}: the kernel of {_named(package)}"]
    return [f"{name}: transformers' PyTorch code ({mistake})", *_warnings([mistake])]


def _leave_installed_kernels(code: ModuleType) -> None:
    for name in INSTALLED_KERNELS:
        if hasattr(code, name):
            setattr(code, name, _with_its_own_arguments(_torch_code(getattr(code, name))))


def _torch_code(function: Callable) -> Callable:
    """The PyTorch code around which transformers, and around that the package `kernels`, has put its choice."""
    if isinstance(function, torch.nn.Module):
        function = getclosurevars(type(function).forward).nonlocals.get("func", function)
    return getattr(function, "__wrapped__", function)


def _take_hub_kernels(code: ModuleType) -> list[str]:
    """Put the hub's kernels into a model's code; a line for the log for each."""
    repository, lines = "kernels-community/mamba-ssm", []
    for name, kernel_name in HUB_KERNELS.items():
        if hasattr(code, name):
            try:
                hub = importlib.import_module("kernels").get_kernel(repository, version=HUB_VERSION)
                if name == "causal_conv1d_fn" and not hasattr(hub, name):  # the least of the three
                    lines += _origin(name, "causal_conv1d", "hub", "")
                    continue
                kernel = getattr(hub, kernel_name)
            except ImportError:
                raise RequestError("kernels: hub: the package is not installed: pip install kernels") from None
            except Exception as error:  # no network, no build for this torch and CUDA: each fails in its own way
                reason = (str(error) or repr(error)).splitlines()[0]
                raise RequestError(f"kernels: hub: {kernel_name} cannot be had from {repository}: {reason}") from None
            one_dtype = name == "mamba_selective_scan"
            setattr(code, name, _with_one_dtype(kernel) if one_dtype else _with_its_own_arguments(kernel))
            lines.append(f"{kernel_name}: {repository}, version {HUB_VERSION}, on the Hugging Face hub")
    return lines


def _with_one_dtype(kernel: Callable) -> Callable:
    """The selective scan kernel, which demands B and C in the dtype of u, as it is called here.

    A Jamba whose norms are kept in float32 gives them in float32 beside half-precision states.
    """
    call = _with_its_own_arguments(kernel)
    return lambda u, dt, A, B, C, **kwargs: call(u, dt.to(u.dtype), A, B.to(u.dtype), C.to(u.dtype), **kwargs)


def _with_its_own_arguments(kernel: Callable) -> Callable:
    """The kernel, without those of transformers' keyword arguments that only its PyTorch code takes."""
    known = set(signature(kernel).parameters)

    @wraps(kernel)
    def call(*args, **kwargs):
        return kernel(*args, **{name: value for name, value in kwargs.items() if name in known})

    return call
