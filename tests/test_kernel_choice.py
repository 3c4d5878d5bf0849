"""Which kernels a Mamba gets, with packages and a GPU that are made up."""

import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import make_base
from test_mamba import inputs, lora_gradients
from transformers.models.mamba import modeling_mamba
from transformers.models.mamba2 import modeling_mamba2

import dem
from dem import kernel_choice, mamba
from dem.errors import RequestError

NAMES = {
    modeling_mamba: ("mamba_inner_fn", "mamba_selective_scan", "causal_conv1d_fn", "causal_conv1d_update"),
    modeling_mamba2: ("mamba2_split_conv1d_scan_combined", "causal_conv1d_fn", "mamba2_chunk_scan"),
}
LIBRARY_SCAN = modeling_mamba.mamba_selective_scan


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """transformers as it came, and none of the packages that may be installed; what a test changes is undone."""
    for code, names in NAMES.items():
        for name in names:
            monkeypatch.setattr(code, name, getattr(code, name))
    for package in ("mamba_ssm", "selective_scan_cuda", "causal_conv1d", "kernels"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def compiled_scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    return u


def triton_scan(*tensors, **others):
    return tensors[0]


def install(monkeypatch, *packages):
    """Modules that stand for these packages."""
    interface = "mamba_ssm.ops.selective_scan_interface"
    parts = {
        "mamba_ssm": {"mamba_ssm": {}, interface: {"selective_scan_fn": compiled_scan}, "selective_scan_cuda": {}},
        "causal_conv1d": {"causal_conv1d": {}},
        "triton": {"dem.triton_trial": {"trial": lambda: triton_scan}},
    }
    for package in packages:
        for name, content in parts[package].items():
            monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))


def without_triton(monkeypatch):
    for module in ("triton_trial", "triton_scan", "scan_kernels"):
        monkeypatch.delitem(sys.modules, f"dem.{module}", raising=False)
        monkeypatch.delattr(dem, module, raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)


class Broken:
    """A package that is installed and cannot be imported, as an entry of sys.meta_path."""

    def find_spec(self, name, path=None, target=None):
        if name in ("mamba_ssm", "causal_conv1d"):
            raise ImportError("libcudart.so.12: cannot open shared object file\nNo such file")
        return None


def break_packages(monkeypatch):
    for package in ("mamba_ssm", "causal_conv1d"):
        monkeypatch.delitem(sys.modules, package)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])


def line_of(name, lines):
    return next(line for line in lines if line.startswith(name))


def test_on_a_gpu_the_compiled_kernel_comes_first_then_triton_then_pytorch(gpu, monkeypatch):
    install(monkeypatch, "triton")
    lines = mamba.prepare("mamba")
    assert modeling_mamba.mamba_selective_scan is triton_scan
    assert line_of("selective_scan_fn: dem's scan in triton", lines).endswith(
        "(kernels: auto; mamba_ssm is not installed)"
    )
    assert "causal_conv1d_fn: transformers' PyTorch code (causal_conv1d is not installed)" in lines
    assert not any("WARNING" in line for line in lines)

    install(monkeypatch, "mamba_ssm", "causal_conv1d")
    lines = mamba.prepare("mamba")
    u = torch.zeros(1, 2, 3)
    assert modeling_mamba.mamba_selective_scan(u, u, u, u, u) is u and mamba.prepare("mamba", "compiled")[0] == lines[0]
    assert "selective_scan_fn: the CUDA kernel of mamba_ssm (kernels: auto)" in lines
    assert "causal_conv1d_fn: the kernel of causal_conv1d" in lines

    assert mamba.prepare("mamba", "triton") and modeling_mamba.mamba_selective_scan is triton_scan
    lines = mamba.prepare("mamba", "torch")
    assert modeling_mamba.mamba_selective_scan is mamba.selective_scan
    assert "selective_scan_fn: dem's scan in PyTorch, linear in length (kernels: torch)" in lines
    assert "causal_conv1d_fn: transformers' PyTorch code (kernels: torch)" in lines


def test_with_neither_the_log_warns(gpu, monkeypatch):
    without_triton(monkeypatch)
    lines = mamba.prepare("jamba")
    assert "(kernels: auto; mamba_ssm is not installed; triton is not installed)" in line_of("selective_scan_fn", lines)
    assert "several times" in line_of("WARNING", lines)


def test_a_triton_that_does_not_run_here_is_told_with_its_error(gpu, monkeypatch):
    def trial():
        raise RuntimeError("Failed to find C compiler.\nSpecify one")

    monkeypatch.setitem(sys.modules, "dem.triton_trial", SimpleNamespace(trial=trial))
    lines = mamba.prepare("mamba")
    assert modeling_mamba.mamba_selective_scan is mamba.selective_scan
    assert line_of("WARNING: triton", lines).endswith("does not run here (RuntimeError: Failed to find C compiler.)")
    with pytest.raises(RequestError, match="kernels: triton cannot be had: triton.*Failed to find C compiler"):
        mamba.prepare("mamba", "triton")


def test_an_installed_kernel_that_cannot_be_imported_is_told_with_its_error(gpu, monkeypatch):
    install(monkeypatch, "triton")
    break_packages(monkeypatch)
    lines = mamba.prepare("falcon_mamba")
    for package in ("mamba_ssm", "causal_conv1d"):
        line = line_of(f"WARNING: {package}", lines)
        assert "is installed and cannot be imported (ImportError: libcudart.so.12: cannot open shared" in line
        assert "No such file" not in line  # one line of it
    assert "dem's scan in triton" in line_of("selective_scan_fn", lines)
    with pytest.raises(RequestError, match="kernels: compiled cannot be had: .*libcudart"):
        mamba.prepare("falcon_mamba", "compiled")


def test_what_is_asked_for_and_not_there_is_refused(monkeypatch):
    for kernels in ("triton", "compiled", "hub"):
        with pytest.raises(RequestError, match=f"kernels: {kernels} needs a GPU.*auto"):
            mamba.prepare("mamba", kernels)
        kernel_choice.require_kernels("llama", kernels)  # it has no such kernels
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    without_triton(monkeypatch)
    with pytest.raises(RequestError, match="kernels: triton cannot be had: triton is not installed"):
        mamba.prepare("mamba", "triton")
    with pytest.raises(RequestError, match="kernels: compiled cannot be had: mamba_ssm is not installed"):
        mamba.prepare("mamba2", "compiled")
    with pytest.raises(RequestError, match="Mamba-1, and this model is a mamba2"):
        mamba.prepare("mamba2", "triton")


def test_a_training_is_refused_before_it_begins(workplace, refused):
    refused(workplace.train("web", "--kernels", "triton", "--dry-run"), "kernels: triton needs a GPU")
    refused(workplace.train("web", "--kernels", "compiled"), "kernels: compiled needs a GPU")
    assert not workplace.layout.train_log("web").exists()


def test_a_compiled_kernel_without_its_compiled_part_is_none(gpu, monkeypatch):
    install(monkeypatch, "mamba_ssm")
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", None)
    with pytest.raises(RequestError, match="mamba_ssm is installed and cannot be imported.*selective_scan_cuda"):
        mamba.prepare("mamba", "compiled")


def test_a_mamba_2_keeps_what_transformers_brings(gpu, monkeypatch):
    chunks = modeling_mamba2.mamba2_chunk_scan
    lines = mamba.prepare("mamba2")
    assert modeling_mamba2.mamba2_chunk_scan is chunks
    assert "mamba_chunk_scan_combined: transformers' PyTorch code (mamba_ssm is not installed)" in lines
    assert kernel_choice.CHUNK_SCAN in lines
    install(monkeypatch, "mamba_ssm")
    assert "mamba_chunk_scan_combined: the kernel of mamba_ssm" in mamba.prepare("mamba2", "compiled")


def test_on_a_cpu_the_scan_is_the_compiled_one(monkeypatch):
    for kernels in ("auto", "torch"):
        lines = mamba.prepare("mamba", kernels)
        assert modeling_mamba.mamba_selective_scan is mamba.selective_scan
        assert "selective_scan_fn: dem's scan compiled for this CPU, linear in length (no GPU here)" in lines


def test_the_scan_kernel_gets_one_dtype():
    """mamba_ssm's kernel refuses others; a Jamba with norms in float32 would give B and C in float32."""
    seen = []

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        seen.extend([u.dtype, delta.dtype, B.dtype, C.dtype, A.dtype])

    tensors, others = inputs(dtype=torch.float32)
    half = [t.bfloat16() for t in tensors[:2]]
    kernel_choice._with_one_dtype(selective_scan_fn)(*half, *tensors[2:], **others, use_mambapy=False)
    assert seen == [torch.bfloat16] * 4 + [torch.float32]


def test_hub_kernels_are_used_when_asked_for(tmp_path, tokenizer, monkeypatch):
    called = []

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        called.append("selective_scan_fn")
        return LIBRARY_SCAN(u, delta, A, B, C, D=D, z=z, delta_bias=delta_bias, delta_softplus=delta_softplus)

    convolution = modeling_mamba.causal_conv1d_fn
    monkeypatch.setattr(modeling_mamba, "causal_conv1d_fn", convolution)

    def get_kernel(repository, *, version):
        assert (repository, version) == ("kernels-community/mamba-ssm", 4)
        return SimpleNamespace(selective_scan_fn=selective_scan_fn, causal_conv1d_fn=convolution)

    with pytest.raises(RequestError, match="kernels: hub needs a GPU"):
        mamba.prepare("mamba", "hub")
    with monkeypatch.context() as machine:
        machine.setattr(torch.cuda, "is_available", lambda: True)
        machine.setitem(sys.modules, "kernels", None)
        with pytest.raises(RequestError, match="pip install kernels"):
            mamba.prepare("mamba", "hub")
        machine.setitem(sys.modules, "kernels", SimpleNamespace(get_kernel=get_kernel))
        lines = mamba.prepare("mamba", "hub")
    assert "selective_scan_fn: kernels-community/mamba-ssm, version 4, on the Hugging Face hub" in lines
    assert len(lines) == 3
    gradients = lora_gradients(make_base(tmp_path / "base", tokenizer), ["x_proj", "out_proj"])
    assert called and all(g.any() for g in gradients.values())
