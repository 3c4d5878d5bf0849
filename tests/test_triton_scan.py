"""The scan in Triton, run by Triton's interpreter, against the one for a CPU in float64; and compiled, for real cards.

The interpreter takes 40 ms for a step of 32 channels forwards and backwards: the sizes are the least that reach every
branch.
"""

import importlib
import os
import subprocess
import sys

import pytest
import torch
from conftest import make_base
from transformers import AutoModelForCausalLM
from transformers.models.mamba import modeling_mamba

from dem import mamba
from dem.errors import WorkError

INTERPRETER = "3.7"
"""The first Triton known to interpret with NumPy 2.4, with which the loops of 3.3 fail; 3.9 does too."""


@pytest.fixture(scope="module")
def triton_scan():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: tests/test_gpu.py runs it there")
    pytest.importorskip("triton", minversion=INTERPRETER)
    return importlib.import_module("dem.triton_scan")


def draw(b, d, length, n, dtype, device="cpu"):
    """What a mixer gives to its scan, as it lies there: u by channels, dt by time, z a half of a projection."""
    g = torch.Generator().manual_seed(0)

    def normal(*shape, dtype=torch.float32):
        return torch.randn(*shape, generator=g, dtype=torch.float32).to(device, dtype)

    u, dt = normal(b, d, length, dtype=dtype), (2 * normal(b, length, d) - 2).to(dtype).mT
    B, C, z = (normal(b, length, k, dtype=dtype).mT for k in (n, n, 2 * d))
    return {
        **{"hidden_states": u, "dt": dt, "A": -normal(d, n).exp(), "B": B, "C": C},
        **{"D": normal(d), "z": z[:, d:], "delta_bias": normal(d)},
    }


def results(scan, given, dtype=None, **options):
    """y, the last state and all gradients of a weighted sum of both."""
    given = {name: x.detach().to(dtype or x.dtype).requires_grad_() for name, x in given.items()}
    y, state = scan(**given, **options, return_last_state=True)
    weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float32, device=y.device).bfloat16().view_as(y)
    loss = (y * weights.to(y.dtype)).sum(dtype=torch.float64) + state.double().square().sum()
    return {"y": y, "state": state} | dict(zip(given, torch.autograd.grad(loss, list(given.values())), strict=True))


def require_equal_to_rounding(ours, exact, dtype):
    """Each as exact as float32 sums are, and once brought to its type: the interpreter cuts off where a card rounds."""
    for name, x in ours.items():
        small = {torch.float32} if name in ("state", "A", "D", "delta_bias") else {dtype}
        assert {x.dtype} == small, name
        error = (x.double() - exact[name]).abs().max() / exact[name].abs().max().clamp(min=1e-30)
        assert error <= torch.finfo(x.dtype).eps + 3e-6, name


@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [
        ((1, 5, 19, 4), torch.float32),  # a chunk and a part of a span
        ((1, 33, 6, 3), torch.bfloat16),  # a block and a part of one, states that are padded
        ((2, 2, 5, 16), torch.float16),
        ((1, 1, 1, 1), torch.float32),
    ],
)
def test_scan_and_gradients_equal_those_in_float64(triton_scan, sizes, dtype):
    given = draw(*sizes, dtype)
    ours = results(triton_scan.selective_scan, given, delta_softplus=True)
    exact = results(mamba.selective_scan, given, torch.float64, delta_softplus=True)
    require_equal_to_rounding(ours, exact, dtype)


def test_scan_of_the_tensors_alone(triton_scan):
    """Without D, gate, bias and softplus, and without gradients."""
    given = {name: x for name, x in draw(1, 3, 6, 2, torch.float32).items() if name not in ("D", "z", "delta_bias")}
    given["dt"] = given["dt"].abs()
    ours = results(triton_scan.selective_scan, given)
    require_equal_to_rounding(ours, results(mamba.selective_scan, given, torch.float64), torch.float32)
    with torch.no_grad():
        assert torch.equal(triton_scan.selective_scan(**given), ours["y"])


@pytest.mark.parametrize("x", [-40.0, -15.0, -3.0, 0.0, 19.9, 20.1, 90.0])
def test_softplus_is_exact_to_rounding_also_where_it_is_small(triton_scan, x):
    ones = torch.ones(1, 1, 1, dtype=torch.float32)
    y = triton_scan.selective_scan(ones, ones * x, -ones[0], ones, ones, delta_softplus=True)
    exact = torch.nn.functional.softplus(ones.double() * x)
    assert ((y - exact).abs() <= 5e-7 * exact).all()


def test_what_is_no_number_stays_none(triton_scan):
    given = draw(1, 2, 3, 1, torch.float32)
    given["dt"][0, 0, 1] = float("nan")
    y = triton_scan.selective_scan(**given, delta_softplus=True)
    assert y[0, 0].isnan().tolist() == [False, True, True] and y[0, 1].isfinite().all()


def test_the_trial_finds_a_scan_that_is_wrong(triton_scan, monkeypatch):
    trial = importlib.import_module("dem.triton_trial").trial
    scan, tiny = triton_scan.selective_scan, ("cpu", (1, 3, 5, 2))
    assert trial(*tiny) is scan
    monkeypatch.setattr(triton_scan, "selective_scan", lambda z, **given: scan(z=z.detach() + 0 * z, **given))
    with pytest.raises(WorkError, match="the gradient of z is wrong"):
        trial(*tiny)


def test_a_model_takes_it(triton_scan, tmp_path, tokenizer, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer))
    ids = torch.tensor([[5, 9]])
    found = []
    for scan in (mamba.selective_scan, triton_scan.selective_scan):
        monkeypatch.setattr(modeling_mamba, "mamba_selective_scan", scan)
        out = model(input_ids=ids, labels=ids, use_cache=True)
        model.zero_grad()
        out.loss.backward()
        state = out.cache_params.get_recurrent_state(0, state_idx=0)
        found.append([out.logits, state, *(p.grad.clone() for p in model.parameters())])
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


COMPILE = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from dem import scan_kernels as kernels

flags = {"N": 16, "BLOCK": kernels.BLOCK, "CHUNK": kernels.CHUNK, "SOFTPLUS": True, "GATED": True}
rows = ("u", "dt", "z", "y", "grad_y", "grad_u", "grad_dt", "grad_z")
for kernel, own in ((kernels.forward, {"KEEP": True}), (kernels.backward, {"OF_A": True})):
    constants = flags | own
    whole = {name for name in kernel.arg_names if name in kernels.SIZES or name in ("grad_y_b", "grad_y_t")}
    types = {
        name: "constexpr" if name in constants else "i32" if name in whole else "*bf16" if name in rows else "*fp32"
        for name in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=types, constexprs=constants)
    made = compile(source, target=GPUTarget("cuda", 86, 32), options=kernels.options(16))
    words = made.asm["ptx"].split()
    print(len(made.asm["cubin"]) > 1000, sum(word.startswith(("atom.", "red.")) for word in words))
"""


def test_the_kernels_compile_for_a_card_and_add_nothing_up_by_chance(triton_scan, tmp_path):
    """What the interpreter lets pass a compiler may refuse. The card is an A10G, and none is needed for it."""
    surroundings = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["True 0", "True 0"], done.stderr
