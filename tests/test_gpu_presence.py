"""A GPU that is here and that PyTorch does not see, made up of files and a false nvidia-smi."""

import os

import pytest
import torch

from dem import common, gpu_presence, training
from dem.config import Config
from dem.errors import RequestError

CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: 12\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """One without a GPU, and where to put the traces of one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(gpu_presence, "DEVICE", tmp_path / "nvidia0")
    monkeypatch.setattr(gpu_presence, "DRIVER", tmp_path / "version")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def with_card(machine, driver=CLOSED):
    (machine / "nvidia0").touch()
    (machine / "version").write_text(driver, encoding="utf-8")


def with_nvidia_smi(machine, script):
    (machine / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (machine / "nvidia-smi").chmod(0o755)


@pytest.mark.parametrize(("driver", "told"), [(CLOSED, "535.183.01"), (OPEN, "550.54.15"), ("?", "of unknown version")])
def test_it_is_told_with_its_versions(machine, driver, told):
    assert gpu_presence.unseen_gpu() is None
    with_card(machine, driver)
    assert f"NVIDIA driver {told}" in gpu_presence.unseen_gpu() and "CUDA 13.0" in gpu_presence.unseen_gpu()


def test_nvidia_smi_alone_tells_of_it(machine, monkeypatch):
    with_nvidia_smi(machine, "echo 470.82.01")
    assert "NVIDIA driver 470.82.01" in gpu_presence.unseen_gpu()
    with_nvidia_smi(machine, "echo cannot communicate with the driver; exit 9")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "of unknown version" in gpu_presence.unseen_gpu() and "built without CUDA" in gpu_presence.unseen_gpu()


def test_one_that_pytorch_sees_or_nobody_wants_is_none(machine, monkeypatch):
    with_card(machine)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert gpu_presence.unseen_gpu() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert gpu_presence.unseen_gpu() is None


def test_half_precision_then_does_not_train_on_the_cpu_unless_asked_to(machine, workplace, refused, monkeypatch):
    with_card(machine)
    for precision in ("fp16", "bf16"):
        with pytest.raises(RequestError, match=f"training.precision {precision}: a GPU is here.*535.*device: cpu"):
            common.choose_precision(precision)
    assert common.choose_precision("fp32").name == "fp32"
    refused(workplace.train("web", "--dry-run"), "training.precision fp16", "driver 535.183.01", "device: cpu")
    refused(workplace.train("web"), "training.precision fp16", "driver 535.183.01", "device: cpu")
    assert not workplace.layout.adapter("web").exists()

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # which monkeypatch puts back
    assert workplace.train("web", "--device", "cpu", "--training.epochs", "0.01") == 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert "a GPU is here" not in workplace.layout.train_log("web").read_text(encoding="utf-8")


def test_training_in_fp32_warns_of_it(machine):
    with_card(machine)
    common.start_log(None, said=(said := []))
    training.log_surroundings(Config("base"), machine)
    assert any(line.getMessage().startswith("WARNING: a GPU is here (NVIDIA driver 535") for line in said)
