"""The part of gpu.py that measures the scan of one layer, with the gradients that a training of adapters takes."""

import importlib
import statistics
import time
from collections.abc import Callable

import torch
from gpu_place import Place, refused
from transformers.models.mamba import modeling_mamba

from dem import mamba
from dem.training_hours import device_time

INTERPRETER = (3, 7)
"""The first Triton known to interpret with every NumPy."""
LEAVES = ("hidden_states", "dt", "B", "C", "z")
"""What has a gradient where only adapters train."""


def scan(place: Place, kernels: str) -> None:
    """Error, same bits, milliseconds."""
    b, d, length, n = sizes = (1, 3, 5, 2) if place.dry else (8, 5120, 2048, 16)
    what = f"scan, {b} x {length} x {d}, n {n}"
    function = _scan_in_triton(place.dry) if kernels == "triton" else _scan_of(kernels)
    if isinstance(function, str):
        return place.row(what, kernels, function)
    given, weights = _drawn(sizes, "cpu" if place.dry else "cuda")
    first, again = (_results(function, given, weights) for _ in range(2))
    apart = [name for name in first if not torch.equal(first[name], again[name])]
    del again
    own, own_weights = {name: x[:1] if x.dim() == 3 else x for name, x in given.items()}, weights[:1]
    exact = _results(
        mamba.selective_scan, {name: x.cpu().double() for name, x in own.items()}, own_weights.cpu().double()
    )
    off = {name: float((first[name][:1].cpu().double() - x).norm() / x.norm()) for name, x in exact.items()}
    forward, backward = _milliseconds(function, given, weights, 0 if place.dry else 3)
    told = [
        f"forward {forward:.2f} ms, backward {backward:.2f} ms",
        f"64 layers {64 * (2 * forward + backward) / 1e3:.2f} s a step",
        "error " + ", ".join(f"{name} {error:.1e}" for name, error in off.items()),
        f"{', '.join(apart)} differ from run to run" if apart else "same bits twice",
    ]
    place.row(what, kernels, "; ".join(told), milliseconds=2 * forward + backward)
    if not all(error < 0.05 for error in off.values()):
        raise RuntimeError(f"the scan {kernels} is wrong: {off}")


def _scan_of(kernels: str) -> Callable | str:
    """What a Mamba's mixers call with these kernels; or why there is none."""
    if why := refused(kernels):
        return why
    for line in mamba.prepare("mamba", kernels):
        print(line)
    return modeling_mamba.mamba_selective_scan


def _scan_in_triton(interpreted: bool) -> Callable | str:
    """dem's own, untried, so that the log has the whole of what goes wrong; or why there is none."""
    try:
        import triton
    except ImportError as error:
        return str(error)
    if interpreted and tuple(map(int, triton.__version__.split(".")[:2])) < INTERPRETER:
        return f"triton {triton.__version__} does not interpret with every NumPy"
    return importlib.import_module("dem.triton_scan").selective_scan


def _drawn(sizes: tuple[int, int, int, int], device: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What a mixer gives to its scan, in bfloat16, and the gradient that comes back by y."""
    b, d, length, n = sizes
    torch.manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device, dtype=torch.float32).bfloat16()

    steps = torch.logspace(-3, -1, d, device=device, dtype=torch.float32)  # Mamba's, at its beginning
    return {
        "hidden_states": normal(b, d, length),
        "dt": normal(b, length, d).mT,
        "B": normal(b, length, n).mT,
        "C": normal(b, length, n).mT,
        "z": normal(b, length, 2 * d).mT[:, d:],
        "A": -torch.arange(1, n + 1, device=device, dtype=torch.float32).repeat(d, 1),
        "D": torch.ones(d, device=device, dtype=torch.float32),
        "delta_bias": steps.expm1().log(),  # before softplus
    }, normal(b, d, length)


def _forward(function: Callable, given: dict[str, torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    x = {name: t.detach().requires_grad_(name in LEAVES) for name, t in given.items()}
    named = {name: x[name] for name in ("D", "z", "delta_bias")}
    y = function(x["hidden_states"], x["dt"], x["A"], x["B"], x["C"], **named, delta_softplus=True)
    return y, [x[name] for name in LEAVES]


def _results(function: Callable, given: dict[str, torch.Tensor], weights: torch.Tensor) -> dict[str, torch.Tensor]:
    """y and the gradients."""
    y, leaves = _forward(function, given)
    gradients = torch.autograd.grad(y, leaves, weights.to(y.dtype))
    return dict(zip(("y", "du", "ddt", "dB", "dC", "dz"), (y.detach(), *gradients), strict=True))


def _milliseconds(
    function: Callable, given: dict[str, torch.Tensor], weights: torch.Tensor, seconds: float
) -> tuple[float, float]:
    """Forward and backward, the medians of up to nine times in so many seconds."""
    forward, backward, ends = [], [], time.monotonic() + seconds
    while not forward or (len(forward) < 9 and time.monotonic() < ends):
        start = device_time()
        y, leaves = _forward(function, given)
        middle = device_time()
        torch.autograd.grad(y, leaves, weights)
        backward.append(device_time() - middle)
        forward.append(middle - start)
    return statistics.median(forward) * 1e3, statistics.median(backward) * 1e3
