"""Mamba's recurrence (dem/mamba.py has its formula) on a CPU: two loops that Numba compiles, forwards and backwards.

Shapes use b: batch, l: length in tokens, d: inner width, n: state size. The loops see the channels in blocks of BLOCK,
padded with zeros, and go through b * blocks tasks that share nothing: a thread takes some of them, and the result has
the same bits whatever the number of threads. The exponent is taken to base 2, with A times log2 e, as in mamba_ssm's
kernel.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit, types
from numba.extending import overload

BLOCK = 128
"""Channels of a task: a row of the innermost loop, long enough for its start not to count."""
CHUNK = 16
"""Steps after which the state is kept; the backward pass computes those between again, in the cache."""
WORTH_A_THREAD = 1 << 18
"""States (b l d n) below which the start of a thread, 0.1 ms, costs more than it gives."""
LOOSE = {"contract", "reassoc", "nsz"}
"""What the compiler may do to sums, so that it can take them eight at a time; numbers that are none stay so."""


def compiled(function: Callable) -> Callable:
    """The function, compiled when it is first called, in 1 to 3 s, which later processes find in Numba's cache.

    The cache is beside this file, or with the user's other caches where that folder cannot be written.
    """
    loop = njit(nogil=True, fastmath=LOOSE)(function)
    with suppress(RuntimeError):  # neither place can be written: each process compiles for itself
        loop.enable_caching()
    return loop


def exp2(x):
    """2^x inside compiled code, of float32 to 2 units in the last place and in a form that is vectorised.

    Below 2^-126 it is 0, from 2^127.5 on infinite.
    """
    raise NotImplementedError("only compiled code calls it")


@overload(exp2, jit_options={"fastmath": {"contract"}})  # no more: the steps of the rounding must stay as written
def _exp2_by_type(x):
    return _exp2_single if x == types.float32 else _exp2_double


def _exp2_double(x):
    return np.exp2(x)


def _exp2_single(x):
    # The polynomial is that of exp2f in Cephes (Moshier, netlib.org/cephes, single/exp2f.c), for |x| <= 0.5. Added to
    # x, `shift` leaves the nearest whole number in the last bits, with the exponent's bias of 127.
    lowest, highest, shift = np.float32(-127), np.float32(128), np.float32(1.5 * 2**23 + 127)
    x = lowest if x < lowest else x
    x = highest if x > highest else x
    shifted = np.float32(x + shift)
    rest = x - (shifted - shift)
    y = np.float32(1.535336188319500e-4)
    y = y * rest + np.float32(1.339887440266574e-3)
    y = y * rest + np.float32(9.618437357674640e-3)
    y = y * rest + np.float32(5.550332471162809e-2)
    y = y * rest + np.float32(2.402264791363012e-1)
    y = y * rest + np.float32(6.931472028550421e-1)
    y = y * rest + np.float32(1)
    return y * np.int32(shifted.view(np.int32) << np.int32(23)).view(np.float32)


@njit(nogil=True, fastmath=LOOSE)
def _step(dt, u, A, h, y, B, C):
    for i in range(BLOCK):
        state = exp2(dt[i] * A[i]) * h[i] + dt[i] * u[i] * B
        h[i] = state
        y[i] += state * C


@compiled
def _forward(u, dt, A, B, C, h, kept, y, first, last):
    """Tasks `first` to `last`: add to y, bring h from the first state to the last; `kept` as far as it has room."""
    length, n = u.shape[1], A.shape[1]
    for task in range(first, last):
        sample, block = task // len(A), task % len(A)
        for start in range(0, length, CHUNK):
            for j in range(n):
                if start // CHUNK < kept.shape[1]:
                    for i in range(BLOCK):
                        kept[task, start // CHUNK, j, i] = h[task, j, i]
                for t in range(start, min(start + CHUNK, length)):
                    b_t, c_t = B[sample, t, j], C[sample, t, j]
                    _step(dt[task, t], u[task, t], A[block, j], h[task, j], y[task, t], b_t, c_t)


@njit(nogil=True, fastmath=LOOSE)
def _step_again(dt, u, A, before, decay, h, grad_y, B):
    grad_C = dt.dtype.type(0)
    for i in range(BLOCK):
        decay[i] = exp2(dt[i] * A[i])
        h[i] = decay[i] * before[i] + dt[i] * u[i] * B
        grad_C += grad_y[i] * h[i]
    return grad_C


@njit(nogil=True, fastmath=LOOSE)
def _step_back(dt, u, A, before, decay, grad_y, carry, by_inflow, by_exponent, grad_A, B, C):
    grad_B = dt.dtype.type(0)
    for i in range(BLOCK):
        g = grad_y[i] * C + carry[i]
        grad_B += dt[i] * u[i] * g
        by_inflow[i] += g * B
        g *= decay[i]
        carry[i] = g
        g *= before[i]
        by_exponent[i] += g * A[i]
        grad_A[i] += g * dt[i]
    return grad_B


@compiled
def _backward(u, dt, A, B, C, kept, grad_y, carry, by_inflow, by_exponent, grad_A, grad_B, grad_C, first, last):
    """Tasks `first` to `last`: add to by_inflow, by_exponent and grad_A, set grad_B and grad_C; `carry` is used up."""
    length, n = u.shape[1], A.shape[1]
    decay, h = np.empty((CHUNK, BLOCK), u.dtype), np.empty((CHUNK + 1, BLOCK), u.dtype)
    for task in range(first, last):
        sample, block = task // len(A), task % len(A)
        for start in range((length - 1) // CHUNK * CHUNK, -1, -CHUNK):
            steps = min(CHUNK, length - start)
            for j in range(n):
                for i in range(BLOCK):
                    h[0, i] = kept[task, start // CHUNK, j, i]
                for k in range(steps):
                    t = start + k
                    grad_C[task, t, j] = _step_again(
                        dt[task, t], u[task, t], A[block, j], h[k], decay[k], h[k + 1], grad_y[task, t], B[sample, t, j]
                    )
                for k in range(steps - 1, -1, -1):
                    t = start + k
                    grad_B[task, t, j] = _step_back(
                        dt[task, t],
                        u[task, t],
                        A[block, j],
                        h[k],
                        decay[k],
                        grad_y[task, t],
                        carry[task, j],
                        by_inflow[task, t],
                        by_exponent[task, t],
                        grad_A[task, j],
                        B[sample, t, j],
                        C[sample, t, j],
                    )


def _run(loop: Callable, n: int, *tensors: torch.Tensor) -> None:
    """Call a loop for all tasks, split over PyTorch's threads; the pool ends with the call, so that forks are safe."""
    arrays = [x.detach().numpy() for x in tensors]
    tasks = len(arrays[0])
    threads = min(torch.get_num_threads(), tasks, max(arrays[0].size * n // WORTH_A_THREAD, 1))
    if threads == 1:
        return loop(*arrays, 0, tasks)
    bounds = [tasks * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(loop, *arrays, *bound) for bound in zip(bounds, bounds[1:], strict=False)]:
            done.result()


class _Scan(torch.autograd.Function):
    """Blocked u, dt (b blocks, l, BLOCK); A (blocks, n, BLOCK); B, C (b, l, n) -> y like u, the last states."""

    @staticmethod
    def forward(ctx, keep, u, dt, A, B, C):
        (tasks, length, _), n = u.shape, A.shape[1]
        chunks = -(-length // CHUNK) if keep and any(ctx.needs_input_grad) else 0
        h, kept, y = u.new_zeros(tasks, n, BLOCK), u.new_empty(tasks, chunks, n, BLOCK), torch.zeros_like(u)
        _run(_forward, n, u, dt, A, B, C, h, kept, y)
        ctx.save_for_backward(u, dt, A, B, C, kept)
        return y, h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_y, grad_h):
        u, dt, A, B, C, kept = ctx.saved_tensors
        (tasks, length, _), n = u.shape, A.shape[1]
        by_inflow, by_exponent = torch.zeros_like(u), torch.zeros_like(u)
        grad_A, grad_B, grad_C = u.new_zeros(tasks, n, BLOCK), *(u.new_empty(tasks, length, n) for _ in range(2))
        carry = grad_h.clone(memory_format=torch.contiguous_format)
        sums = (by_inflow, by_exponent, grad_A, grad_B, grad_C)
        _run(_backward, n, u, dt, A, B, C, kept, grad_y.contiguous(), carry, *sums)
        grad_dt = by_exponent.mul_(math.log(2)).addcmul_(by_inflow, u)
        grad_A, grad_B, grad_C = (x.view(-1, len(A), *x.shape[1:]) for x in (grad_A, grad_B, grad_C))
        return None, by_inflow.mul_(dt), grad_dt, grad_A.sum(0).mul_(math.log(2)), grad_B.sum(1), grad_C.sum(1)


def scan_on_cpu(
    u: torch.Tensor, dt: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The recurrence over tensors of one type, float32 or float64; all have gradients.

    Args:
        u, dt: (b, d, l). A: (d, n). B, C: (b, n, l).

    Returns:
        y (b, d, l), whose memory is in the order of (b, l, d), and the last state (b, d, n).
    """
    (b, d, length), n = u.shape, A.shape[1]
    blocks = -(-d // BLOCK)
    beyond = blocks * BLOCK - d
    u, dt = (F.pad(x, (0, 0, 0, beyond)).reshape(b * blocks, BLOCK, length).mT.contiguous() for x in (u, dt))
    A = F.pad(A * math.log2(math.e), (0, 0, 0, beyond)).view(blocks, BLOCK, n).mT.contiguous()
    y, h = _Scan.apply(torch.is_grad_enabled(), u, dt, A, B.mT.contiguous(), C.mT.contiguous())
    y = y.view(b, blocks, length, BLOCK).transpose(1, 2).reshape(b, length, blocks * BLOCK)[..., :d].mT
    return y, h.view(b, blocks, n, BLOCK).mT.reshape(b, blocks * BLOCK, n)[:, :d]
