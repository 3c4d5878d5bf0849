"""Whether the scan in Triton runs here and is right: tried on a few numbers, against the one without it.

Triton comes with PyTorch's build for CUDA, but a kernel is compiled for the card when it is first called, and a part of
Triton itself with the machine's C compiler and Python's headers.
"""

from collections.abc import Callable

import torch

from dem import mamba, triton_scan
from dem.errors import WorkError

LARGEST_ERROR = 1e-4
"""Of the largest element of a result or gradient; both scans compute in float32."""


def trial(device: str = "cuda", sizes: tuple[int, int, int, int] = (2, 40, 21, 16)) -> Callable:
    """The scan, after it has been seen to run; it takes seconds where the kernels are not in Triton's cache.

    Args:
        sizes: b, d, l and n of what is tried: more than a block of channels, a chunk and a part of one.

    Raises:
        WorkError: it computes something else. Whatever Triton raises where it cannot run comes through.
    """
    given = _drawn(*sizes, device)
    expected = _results(mamba.selective_scan, given)
    for name, ours in _results(triton_scan.selective_scan, given).items():
        error = (ours - expected[name]).abs().max() / expected[name].abs().max()
        if not error <= LARGEST_ERROR:
            raise WorkError(f"{name} is wrong by {error:.1g} of its size")
    return triton_scan.selective_scan


def _drawn(b: int, d: int, length: int, n: int, device: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"hidden_states": (b, d, length), "dt": (b, d, length), "A": (d, n), "B": (b, n, length)}
    shapes |= {"C": (b, n, length), "D": (d,), "z": (b, d, length), "delta_bias": (d,)}
    drawn = {name: torch.randn(*shape, generator=generator, dtype=torch.float32) for name, shape in shapes.items()}
    drawn["A"] = -drawn["A"].exp()
    return {name: x.to(device) for name, x in drawn.items()}


def _results(scan: Callable, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """y, the last state and the gradient of the sum of both by each of `given`."""
    with torch.enable_grad():
        leaves = {name: x.clone().requires_grad_() for name, x in given.items()}
        y, state = scan(**leaves, delta_softplus=True, return_last_state=True)
        gradients = torch.autograd.grad(y.square().sum() + state.sum(), list(leaves.values()))
    named = {f"the gradient of {name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
    return {"y": y.detach(), "the state": state.detach()} | named
