"""What is said of memory that does not suffice, and how it is taken; no GPU is needed."""

import os
import subprocess
import sys

import pytest
import torch
import transformers

from dem import common, gpu_memory
from dem.errors import WorkError
from dem.gpu_memory import out_of_memory

SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 6.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
]
OTHER = [
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    RuntimeError("out of resource: shared memory, Required: 131072, Hardware limit: 101376"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    OSError(12, "Cannot allocate memory"),
    ValueError("out of memory"),
]


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_each_library_s_word_for_too_little_memory_is_known(error):
    assert out_of_memory(error)


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_what_fewer_at_once_would_not_mend_is_something_else(error):
    assert not out_of_memory(error)


def test_a_cpu_s_memory_can_be_too_little_as_well():
    with pytest.raises(RuntimeError) as told:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(told.value)


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setattr(gpu_memory.sys, "platform", "linux")
    for name in gpu_memory.ALLOCATOR:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    return monkeypatch


def test_segments_grow_unless_the_user_has_set_the_allocator(environment):
    gpu_memory.take_memory_in_growing_segments()
    assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    for name in gpu_memory.ALLOCATOR:
        for other in gpu_memory.ALLOCATOR:
            environment.delenv(other, raising=False)
        environment.setenv(name, "max_split_size_mb:128")
        gpu_memory.take_memory_in_growing_segments()
        assert {n: os.environ[n] for n in gpu_memory.ALLOCATOR if n in os.environ} == {name: "max_split_size_mb:128"}


def test_only_where_pytorch_can(environment):
    environment.setattr(gpu_memory.sys, "platform", "win32")
    gpu_memory.take_memory_in_growing_segments()
    assert not set(gpu_memory.ALLOCATOR) & set(os.environ)


@pytest.mark.parametrize("script", ["train_individual", "merge_model"])
def test_the_scripts_say_it_before_torch_starts(script, tmp_path):
    """By a config that is refused only after it was said, when torch is still unread."""
    code = f"""
import os, sys
from dem import {script} as script, gpu_memory
def take():
    assert "torch" not in sys.modules
    raise SystemExit(7)
script.take_memory_in_growing_segments = take
script.main()
"""
    config = tmp_path / "c.yaml"
    config.write_text("base_model: nowhere\n", encoding="utf-8")
    command = [sys.executable, "-c", code, "--config", str(config), *["--domain", "web"] * (script[0] == "t")]
    assert subprocess.run(command, check=False).returncode == 7


@pytest.fixture
def card(monkeypatch):
    """A false GPU, older than bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 << 30)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 7 << 29)
    return monkeypatch


def test_a_gpu_that_only_emulates_bfloat16_does_not_have_it(card):
    chosen = common.choose_precision("bf16")
    assert (chosen.name, chosen.dtype) == ("fp16", torch.float16) and "does not have it" in chosen.reason
    assert common.choose_precision("fp16").reason == "as asked"
    card.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert common.choose_precision("bf16").name == "bf16"


@pytest.mark.parametrize("error", SHORT[:2], ids=str)
def test_a_model_that_does_not_fit_is_told_in_one_line(card, workplace, error):
    def from_pretrained(*_, device_map, **__):
        assert device_map == torch.device("cuda")  # it goes there straight
        raise error

    card.setattr(torch.cuda, "mem_get_info", lambda: (1 << 30, 3 << 30))
    card.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(WorkError, match=r"does not fit into the GPU: 1\.0 of its 3\.0 GiB are free"):
        common.load_model(workplace.base, torch.float16, kernels="auto")


@pytest.mark.parametrize("to_train", [False, True])
def test_a_model_goes_where_it_is_told_with_each_weight_in_its_type(workplace, to_train):
    there, here = (
        common.load_model(workplace.base, torch.bfloat16, kernels="auto", to_train=to_train, device=device)
        for device in ("meta", "cpu")
    )
    types = {name: parameter.dtype for name, parameter in here.named_parameters()}
    assert {p.device.type for p in there.parameters()} == {"meta"} and not hasattr(there, "hf_device_map")
    assert {name: p.dtype for name, p in there.named_parameters()} == types


def test_what_was_reserved_is_told_beside_what_was_used(card):
    assert common.peak_memory() == "3.00 GiB (3.50 reserved)"
    card.setattr(torch.cuda, "is_available", lambda: False)
    assert common.peak_memory().endswith(" GiB")
