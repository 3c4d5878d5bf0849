"""The compiled scan against a plain loop in float64, at sizes that are no multiple of its blocks and chunks."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numba import njit

from dem import scan


def draw(b, d, length, n, fastest=1.0):
    g = torch.Generator().manual_seed(0)
    u, B, C = (torch.randn(b, k, length, generator=g, dtype=torch.float32) for k in (d, n, n))
    dt = torch.rand(b, d, length, generator=g, dtype=torch.float32)
    A = -fastest * torch.rand(d, n, generator=g, dtype=torch.float32)
    return [x.requires_grad_() for x in (u, dt, A, B, C)]


def plain(u, dt, A, B, C):
    h, y = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        h = torch.exp(dt[:, :, t, None] * A) * h + (dt[:, :, t] * u[:, :, t])[..., None] * B[:, None, :, t]
        y.append((h * C[:, None, :, t]).sum(-1))
    return torch.stack(y, -1), h


def with_gradients(recurrence, tensors):
    y, h = recurrence(*tensors)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return [y, h, *torch.autograd.grad((y * weight).sum() + h.square().sum(), tensors)]


@pytest.mark.parametrize(
    ("sizes", "fastest"), [((1, 1, 1, 1), 1), ((2, 7, 17, 16), 1), ((1, 131, 33, 1), 1), ((2, 129, 20, 16), 1e4)]
)
def test_scan_and_gradients_equal_a_plain_loop_in_float64(sizes, fastest):
    tensors = draw(*sizes, fastest)
    exact = with_gradients(plain, [x.detach().double().requires_grad_() for x in tensors])
    for ours, theirs in zip(with_gradients(scan.scan_on_cpu, tensors), exact, strict=True):
        assert ours.dtype == torch.float32
        error = (ours - theirs).abs().max()
        assert error <= 2e-5 * theirs.abs().max()


def test_bits_are_the_same_for_any_number_of_threads_and_of_callers(monkeypatch):
    monkeypatch.setattr(scan, "WORTH_A_THREAD", 1)
    tensors, bits = draw(2, 300, 40, 4), []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        bits.append(with_gradients(scan.scan_on_cpu, tensors))
    with ThreadPoolExecutor(2) as callers:
        bits += callers.map(lambda _: with_gradients(scan.scan_on_cpu, tensors), range(4))
    assert all(torch.equal(x, y) for other in bits[1:] for x, y in zip(bits[0], other, strict=True))


def test_exponential():
    @njit
    def each(values, out):
        for i in range(values.size):
            out[i] = scan.exp2(values[i])

    x = np.concatenate([np.linspace(-125.9, 127.4, 200_001), [0, -1, -127, -1e9, -np.inf, np.inf, np.nan]])
    x = x.astype(np.float32)
    out = np.empty_like(x)
    each(x, out)
    exact = np.exp2(x[:-5].astype(np.float64))
    assert (np.abs(out[:-5] - exact) <= 2 * np.spacing(exact.astype(np.float32))).all()
    assert out[-5:-2].tolist() == [0, 0, 0] and out[-2] == np.inf and np.isnan(out[-1])


def test_what_is_no_number_stays_none():
    tensors = [x.detach() for x in draw(1, 2, 5, 3)]
    tensors[1][0, 0, 2] = float("nan")
    y, _ = scan.scan_on_cpu(*tensors)
    assert y[0, 0].isnan().tolist() == [False, False, True, True, True] and y[0, 1].isfinite().all()
