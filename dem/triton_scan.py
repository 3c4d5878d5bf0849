"""Mamba's selective scan on a GPU, through two Triton kernels (dem/scan_kernels.py): nothing has to be compiled before.

Shapes as in dem/mamba.py. All is computed in float32. Nothing is added up in an order that chance decides: the same
inputs give the same bits, in the result and in the gradients.
"""

import math

import torch
import torch.nn.functional as F
import triton

from dem import scan_kernels
from dem.scan_kernels import BLOCK, CHUNK


def selective_scan(
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **unused,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """`dem.mamba.selective_scan`, computed in float32 whatever comes in.

    Args:
        hidden_states, dt, z: (b, d, l). A: (d, n), negative. B, C: (b, n, l). D, delta_bias: (d,).

    Returns:
        y, (b, d, l) in the dtype of hidden_states; with `return_last_state` also the state (b, d, n), in float32.
    """
    (d, n), wide = A.shape, triton.next_power_of_2(A.shape[1])
    D, delta_bias = (A.new_zeros(d, dtype=torch.float32) if x is None else x.float() for x in (D, delta_bias))
    u, dt, z = (None if x is None else _channels_last(x) for x in (hidden_states, dt, z))
    B, C = (F.pad(x.mT.float(), (0, wide - n)).contiguous() for x in (B, C))
    A = F.pad(A.float(), (0, wide - n, 0, -d % BLOCK)).unflatten(0, (-1, BLOCK)).mT.contiguous()
    y, last = _Scan.apply(delta_softplus, torch.is_grad_enabled(), u, dt, A, B, C, D, z, delta_bias)
    return (y.mT, last.mT.flatten(1, 2)[:, :d, :n]) if return_last_state else y.mT


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    """(b, d, l) as (b, l, d) with d contiguous; often, as it comes out of a projection, that is no copy."""
    return x.mT if x.stride(1) == 1 else x.mT.contiguous()


class _Scan(torch.autograd.Function):
    """u, dt, z (b, l, d), d contiguous; A (blocks, n, BLOCK); B, C (b, l, n); D, bias (d,) -> y, last states.

    z may be None. y is as u; the last states are (b, blocks, n, BLOCK) in float32.
    """

    @staticmethod
    def forward(ctx, softplus, with_gradient, u, dt, A, B, C, D, z, bias):
        (b, length, _), states = u.shape, A.shape
        keep = with_gradient and any(ctx.needs_input_grad)
        y, last = _rows_like(u), A.new_empty(b, *states)
        kept = A.new_empty(b, states[0], triton.cdiv(length, CHUNK) if keep else 0, *states[1:])
        given = (u, dt, A * math.log2(math.e), B, C, D, u if z is None else z, bias)
        ctx.flags = {"SOFTPLUS": softplus, "GATED": z is not None}
        _launch(scan_kernels.forward, given, (y, kept, last), (), KEEP=keep, **ctx.flags)
        ctx.save_for_backward(*given, kept)
        return y, last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_y, grad_last):
        *given, kept = ctx.saved_tensors
        u, dt, A, B, _, D, z, _ = given
        of_A, gated = ctx.needs_input_grad[4], ctx.flags["GATED"]
        grad_u, grad_dt = _rows_like(u), _rows_like(dt)
        grad_z = _rows_like(z) if gated else grad_u  # where there is no z, the kernel leaves it alone
        grad_A, grad_D, grad_bias = (A.new_empty(len(u), *x.shape) for x in (A if of_A else A[:0], D, D))
        grad_B, grad_C = (A.new_empty(len(A), *B.shape) for _ in range(2))
        grads = (grad_u, grad_dt, grad_z, grad_A, grad_B, grad_C, grad_D, grad_bias)
        grad_y = grad_y if grad_y.stride(2) == 1 else grad_y.contiguous()
        made = (kept, grad_y, grad_last.contiguous(), *grads)
        _launch(scan_kernels.backward, given, made, (grad_y,), OF_A=of_A, **ctx.flags)
        grad_A, grad_B, grad_C, grad_D, grad_bias = (x.sum(0) for x in grads[3:])  # in an order that is always the same
        return (
            *(None, None, grad_u, grad_dt, grad_A if of_A else None, grad_B, grad_C, grad_D),
            *(grad_z if gated else None, grad_bias),
        )


def _rows_like(x: torch.Tensor) -> torch.Tensor:
    """Room for (b, l, d) in this order, whatever the strides of x."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _launch(kernel, given: tuple, made: tuple, strided: tuple, **flags: bool) -> None:
    """Run a kernel on what is `given` to both, then what this one reads and writes, some of it with strides too."""
    u, dt, A, z = given[0], given[1], given[2], given[6]
    (b, length, d), (blocks, n, _) = u.shape, A.shape
    strides = [stride for x in (u, dt, z, *strided) for stride in x.stride()[:2]]
    with torch.cuda.device_of(u):
        kernel[(blocks, b)](
            *given,
            *made,
            length,
            d,
            *strides,
            **{"N": n, "BLOCK": BLOCK, "CHUNK": CHUNK},
            **flags,
            **scan_kernels.options(n),
        )
