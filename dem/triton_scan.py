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
    d, n = A.shape
    D, delta_bias = (A.new_zeros(d, dtype=torch.float32) if x is None else x.float() for x in (D, delta_bias))
    u, dt, z = (None if x is None else _channels_last(x) for x in (hidden_states, dt, z))
    beyond = (0, triton.next_power_of_2(n) - n)
    A, B, C = (F.pad(x.float(), beyond).contiguous() for x in (A, B.mT, C.mT))
    y, state = _Scan.apply(delta_softplus, torch.is_grad_enabled(), u, dt, A, B, C, D, z, delta_bias)
    return (y.mT, state.mT[..., :n]) if return_last_state else y.mT


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    """(b, d, l) as (b, l, d) with d contiguous; often, as it comes out of a projection, that is no copy."""
    return x.mT if x.stride(1) == 1 else x.mT.contiguous()


class _Scan(torch.autograd.Function):
    """u, dt, z (b, l, d), d contiguous; A (d, n); B, C (b, l, n) -> y like u, the last state (b, n, d) in float32."""

    @staticmethod
    def forward(ctx, softplus, with_gradient, u, dt, A, B, C, D, z, bias):
        (b, length, d), n = u.shape, A.shape[1]
        keep = with_gradient and any(ctx.needs_input_grad)
        A = (A.mT * math.log2(math.e)).contiguous()
        y, last = _rows_like(u), A.new_empty(b, n, d)
        kept = A.new_empty(b, -(-length // CHUNK) if keep else 0, n, d)
        given = (u, dt, A, B, C, D, u if z is None else z, bias)
        ctx.flags = {"SOFTPLUS": softplus, "GATED": z is not None}
        _launch(scan_kernels.forward, given, (y, kept, last), (), KEEP=keep, **ctx.flags)
        ctx.save_for_backward(*given, kept)
        return y, last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_y, grad_last):
        *given, kept = ctx.saved_tensors
        u, dt, A, gate = given[0], given[1], given[2], given[6]
        (b, length, d), n = u.shape, A.shape[0]
        gated, of_A = ctx.flags["GATED"], ctx.needs_input_grad[4]
        grad_u, grad_dt = _rows_like(u), _rows_like(dt)
        grad_z = _rows_like(gate) if gated else grad_u  # where there is none, the kernel leaves it alone
        grad_B, grad_C = (A.new_empty(triton.cdiv(d, BLOCK), b, length, n) for _ in range(2))
        grad_A, grad_D, grad_bias = A.new_empty(b if of_A else 0, n, d), A.new_empty(b, d), A.new_empty(b, d)
        grad_y = grad_y if grad_y.stride(2) == 1 else grad_y.contiguous()
        _launch(
            scan_kernels.backward,
            given,
            (kept, grad_y, grad_last.contiguous(), grad_u, grad_dt, grad_z, grad_A, grad_B, grad_C, grad_D, grad_bias),
            (grad_y,),
            OF_A=of_A,
            **ctx.flags,
        )
        grad_A = grad_A.sum(0).mT if of_A else None
        grad_B, grad_C, grad_D, grad_bias = (x.sum(0) for x in (grad_B, grad_C, grad_D, grad_bias))
        return None, None, grad_u, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_z if gated else None, grad_bias


def _rows_like(x: torch.Tensor) -> torch.Tensor:
    """Room for (b, l, d) in this order, whatever the order of x."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _launch(kernel, given: tuple, made: tuple, strided: tuple, **flags: bool) -> None:
    """Run a kernel: what is `given` to both, what else it reads or writes, of which tensors it needs strides besides."""
    u, dt, A, gate = given[0], given[1], given[2], given[6]
    (b, length, d), n = u.shape, A.shape[0]
    strides = [stride for x in (u, dt, gate, *strided) for stride in x.stride()[:2]]
    sizes = {"N": n, "BLOCK": BLOCK, "CHUNK": CHUNK}
    with torch.cuda.device_of(u):
        kernel[(triton.cdiv(d, BLOCK), b)](
            *given, *made, length, d, *strides, **sizes, **flags, num_warps=max(n // 16, 1), num_stages=1
        )
