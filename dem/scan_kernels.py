"""Mamba's recurrence (dem/mamba.py has its formula) in Triton: two kernels for a GPU, forwards and backwards.

Shapes use b: batch, l: length in tokens, d: inner width, n: state size, padded to a power of 2. A program takes one
sample and a block of BLOCK channels through all steps, their states in registers. No program waits for another, and
none adds to what another has written: the sums over all channels are left to who calls. What is of channels lies in
memory with d as the last axis, so that a step reads neighbours; what is of states lies by blocks, the last of them
padded. The exponent is taken to base 2, with A times log2 e, as in mamba_ssm's kernel.

A step beyond the end of the text has dt = 0 and no gradient, and so changes nothing.
"""

import triton
import triton.language as tl

CHUNK = 16
"""Steps after which the state is kept; the backward pass computes those between again."""
BLOCK = 32
"""Channels of a program, as many as a warp has threads."""
SPAN = tl.constexpr(4)
"""Steps whose states the backward pass holds in registers at once; a chunk is a multiple of it."""
LN2 = tl.constexpr(0.6931471805599453)
SIZES = ("length", "d", "u_b", "u_t", "dt_b", "dt_t", "z_b", "z_t")
"""No size is worth a compilation of its own: a thread reads one element of a row, however the row is aligned."""


def options(n: int) -> dict[str, int | bool | None]:
    """How to launch the kernels for n states, a power of 2.

    A warp takes 16 of them. With 128 registers for a thread, which costs the backward pass some traffic with its cache,
    a multiprocessor of an A10G (sm_86) holds 16 programs, which is all that it takes; reckoned and not measured.
    """
    registers = 128 if n <= 16 else None
    return {"num_warps": max(n // 16, 1), "num_stages": 1, "maxnreg": registers, "enable_fp_fusion": True}


@triton.jit
def _sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _softplus(x):
    # log(w) y / (w - 1) for log(1 + y), where w is 1 + y as rounded: what the rounding did cancels out (Kahan).
    large = x > 20  # where softplus is x to float32's last bit; what is no number is not large, and stays none
    y = tl.exp(tl.where(large, 0.0, x))
    w = 1 + y
    lost = w == 1
    exact = tl.where(lost, y, tl.log(w) * (y / tl.where(lost, 1.0, w - 1)))
    return tl.where(large, x, exact)


@triton.jit
def _inputs(u, dt, bias, there, SOFTPLUS: tl.constexpr):
    """Of one step, each (BLOCK,) in float32: u, dt before softplus, and dt as the recurrence takes it."""
    before = tl.load(dt, mask=there, other=0).to(tl.float32) + bias
    after = before
    if SOFTPLUS:
        after = _softplus(before)
    return tl.load(u, mask=there, other=0).to(tl.float32), before, tl.where(there, after, 0.0)


@triton.jit
def _next_state(h, A, u, dt, B, bias, there, each, SOFTPLUS: tl.constexpr):
    """The state (N, BLOCK) after one step."""
    x, _, step = _inputs(u, dt, bias, there, SOFTPLUS)
    b = tl.load(B, mask=each, other=0)
    return tl.exp2(step[None, :] * A) * h + (step * x)[None, :] * b[:, None]


@triton.jit(do_not_specialize=SIZES)
def forward(
    u,
    dt,
    A,
    B,
    C,
    D,
    z,
    bias,
    y,
    kept,
    last,
    length,
    d,
    u_b,
    u_t,
    dt_b,
    dt_t,
    z_b,
    z_t,
    N: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    GATED: tl.constexpr,
    KEEP: tl.constexpr,
):
    """Write y, the last state and, if KEEP, the state before each chunk.

    Args:
        u, dt, z: (b, l, d), each with its own strides of b and l. A: (blocks, n, BLOCK), times log2 e. B, C: (b, l, n).
        D, bias: (d,). y: (b, l, d). kept: (b, blocks, chunks, n, BLOCK). last: (b, blocks, n, BLOCK).
    """
    block, sample, wide = tl.program_id(0), tl.program_id(1).to(tl.int64), d.to(tl.int64)
    channel, state = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside, states = channel < d, state[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    u, dt, z = u + sample * u_b + channel, dt + sample * dt_b + channel, z + sample * z_b + channel
    u_t, dt_t, z_t = u_t.to(tl.int64), dt_t.to(tl.int64), z_t.to(tl.int64)
    B, C = B + sample * length * N + state, C + sample * length * N + state
    y += sample * length * wide + channel
    chunks, task = tl.cdiv(length, CHUNK), sample * tl.num_programs(0) + block
    kept += task * chunks * (N * BLOCK) + states
    A = tl.load(A + block * (N * BLOCK) + states)
    D, bias = tl.load(D + channel, mask=inside, other=0), tl.load(bias + channel, mask=inside, other=0)
    h = tl.zeros((N, BLOCK), tl.float32)
    for chunk in range(0, chunks):
        if KEEP:
            tl.store(kept + chunk * (N * BLOCK), h)
        for t in range(chunk * CHUNK, tl.minimum(chunk * CHUNK + CHUNK, length)):
            x, _, step = _inputs(u + t * u_t, dt + t * dt_t, bias, inside, SOFTPLUS)
            h = tl.exp2(step[None, :] * A) * h + (step * x)[None, :] * tl.load(B + t * N)[:, None]
            out = tl.sum(h * tl.load(C + t * N)[:, None], 0) + D * x
            if GATED:
                gate = tl.load(z + t * z_t, mask=inside, other=0).to(tl.float32)
                out *= gate * _sigmoid(gate)
            tl.store(y + t * wide, out, mask=inside)
    tl.store(last + task * (N * BLOCK) + states, h)


@triton.jit(do_not_specialize=(*SIZES, "grad_y_b", "grad_y_t"))
def backward(
    u,
    dt,
    A,
    B,
    C,
    D,
    z,
    bias,
    kept,
    grad_y,
    grad_last,
    grad_u,
    grad_dt,
    grad_z,
    grad_A,
    grad_B,
    grad_C,
    grad_D,
    grad_bias,
    length,
    d,
    u_b,
    u_t,
    dt_b,
    dt_t,
    z_b,
    z_t,
    grad_y_b,
    grad_y_t,
    N: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    GATED: tl.constexpr,
    OF_A: tl.constexpr,
):
    """Write the gradients; that of A only if OF_A.

    Args:
        u to bias, kept: as `forward` has them. grad_y: (b, l, d), with its strides. grad_last: as last.
        grad_u, grad_dt, grad_z: (b, l, d). grad_A: (b, blocks, n, BLOCK), by A without log2 e; to be summed over b, as
        grad_D, grad_bias: (b, d). grad_B, grad_C: (blocks, b, l, n), to be summed over the blocks.
    """
    block, sample, wide = tl.program_id(0), tl.program_id(1).to(tl.int64), d.to(tl.int64)
    channel, state = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside, states = channel < d, state[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    u, dt, z = u + sample * u_b + channel, dt + sample * dt_b + channel, z + sample * z_b + channel
    u_t, dt_t, z_t = u_t.to(tl.int64), dt_t.to(tl.int64), z_t.to(tl.int64)
    grad_y, grad_y_t = grad_y + sample * grad_y_b + channel, grad_y_t.to(tl.int64)
    B, C = B + sample * length * N + state, C + sample * length * N + state
    rows = sample * length * wide + channel
    grad_u, grad_dt, grad_z = grad_u + rows, grad_dt + rows, grad_z + rows
    share = (block * tl.num_programs(1) + sample) * length * N + state
    grad_B, grad_C = grad_B + share, grad_C + share
    task = sample * tl.num_programs(0) + block
    kept += task * tl.cdiv(length, CHUNK) * (N * BLOCK) + states
    A = tl.load(A + block * (N * BLOCK) + states)
    D, bias = tl.load(D + channel, mask=inside, other=0), tl.load(bias + channel, mask=inside, other=0)
    g = tl.load(grad_last + task * (N * BLOCK) + states)
    by_A = tl.zeros((N, BLOCK), tl.float32)
    by_D, by_bias = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    spans = tl.cdiv(length, SPAN)
    for span in range(0, spans):
        first = (spans - 1 - span) * SPAN
        chunk = first // CHUNK
        h3 = tl.load(kept + chunk * (N * BLOCK))
        h0, h1, h2 = h3, h3, h3
        for t in range(chunk * CHUNK, first + SPAN - 1):
            there, each = channel < tl.where(t < length, d, 0), state < tl.where(t < length, N, 0)
            after = _next_state(h3, A, u + t * u_t, dt + t * dt_t, B + t * N, bias, there, each, SOFTPLUS)
            h0, h1, h2, h3 = h1, h2, h3, after
        for k in range(0, SPAN):
            t = first + (SPAN - 1 - k)
            there, each = channel < tl.where(t < length, d, 0), state < tl.where(t < length, N, 0)
            x, raw, step = _inputs(u + t * u_t, dt + t * dt_t, bias, there, SOFTPLUS)
            b, c = tl.load(B + t * N, mask=each, other=0)[:, None], tl.load(C + t * N, mask=each, other=0)[:, None]
            decay, inflow = tl.exp2(step[None, :] * A), step * x
            h = decay * h3 + inflow[None, :] * b
            by_y = tl.load(grad_y + t * grad_y_t, mask=there, other=0).to(tl.float32)
            if GATED:
                gate = tl.load(z + t * z_t, mask=there, other=0).to(tl.float32)
                opened = _sigmoid(gate)
                by_gate = by_y * (tl.sum(h * c, 0) + D * x) * opened * (1 + gate * (1 - opened))
                tl.store(grad_z + t * wide, by_gate, mask=there)
                by_y *= gate * opened
            g += by_y[None, :] * c
            tl.store(grad_B + t * N, tl.sum(g * inflow[None, :], 1), mask=each)
            tl.store(grad_C + t * N, tl.sum(by_y[None, :] * h, 1), mask=each)
            by_inflow = tl.sum(g * b, 0)
            g *= decay
            by_exponent = g * h3
            by_step = by_inflow * x + LN2 * tl.sum(by_exponent * A, 0)
            if SOFTPLUS:
                by_step *= _sigmoid(raw)
            if OF_A:
                by_A += by_exponent * step[None, :]
            by_D += by_y * x
            by_bias += tl.where(there, by_step, 0.0)
            tl.store(grad_u + t * wide, by_inflow * step + by_y * D, mask=there)
            tl.store(grad_dt + t * wide, by_step, mask=there)
            h3, h2, h1 = h2, h1, h0
    if OF_A:
        tl.store(grad_A + task * (N * BLOCK) + states, by_A)
    tl.store(grad_D + sample * wide + channel, by_D, mask=inside)
    tl.store(grad_bias + sample * wide + channel, by_bias, mask=inside)
