"""Stage 1 with two processes, which gloo joins on the CPU."""

import csv
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import datasets.config
import pytest
import torch
import transformers
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import DistributedType, PartialState
from accelerate.utils.launch import prepare_multi_gpu_env
from conftest import make_workplace, split_off, wait_for
from test_mamba import fused_kernel_stand_in
from torch.distributed.tensor import DTensor
from transformers.models.mamba import modeling_mamba

from dem import common, errors, mamba, processes
from dem.locks import one_run

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIGS = REPOSITORY / "configs" / "accelerate"
# 121 blocks to train on, 21 to watch by, 4 at a time: for the last one the second process has nothing to do.
OPTIONS = ("--data.max_length", "120", "--training.epochs", "1.5", "--training.save_steps", "8")


def launch(place, *options: str) -> subprocess.Popen:
    environment = {**os.environ, "HF_HOME": str(place.root.parent / "hf"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "ddp.yaml")]
    command += [str(REPOSITORY / "dem" / "train_individual.py"), "--config", str(place.config)]
    command += ["--root", str(place.root), "--domain", "web", *options]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def adapter_of(place) -> dict[str, torch.Tensor]:
    return torch.load(place.layout.adapter("web") / "adapter_model.bin", weights_only=True)


def rows_of(place) -> list[dict[str, str]]:
    return list(csv.DictReader(place.layout.train_summary("web", ".csv").open(encoding="utf-8")))


def log_of(place) -> list[str]:
    lines = place.layout.train_log("web").read_text(encoding="utf-8").splitlines()
    return [line[20:] for line in lines]  # without the time


def files_of(place) -> list[str]:
    return sorted(str(p.relative_to(place.root)) for p in place.root.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def two(tmp_path_factory, tokenizer):
    """A root in which two processes, as `accelerate launch` starts them, trained without a break."""
    place = make_workplace(tmp_path_factory.mktemp("two"), tokenizer)
    with launch(place, *OPTIONS) as run:
        place.output = run.stderr.read()
    assert run.returncode == 0, place.output
    return place


@pytest.fixture(scope="module")
def one(tmp_path_factory, tokenizer):
    """A root in which one process trained the same."""
    place = make_workplace(tmp_path_factory.mktemp("one"), tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", place.root.parent / "datasets")
        assert place.train("web", *OPTIONS) == 0
    return place


def assert_same_adapter(place, other) -> None:
    expected, tensors = adapter_of(other), adapter_of(place)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=2e-5)


def test_two_processes_end_as_one(two, one):
    assert_same_adapter(two, one)
    assert rows_of(one)[-1]["step"] == "47"
    for row, other in zip(rows_of(two), rows_of(one), strict=True):
        assert all(row[column] == other[column] for column in ("step", "epoch", "learning_rate", "tokens"))
        for column in ("loss", "eval_loss", "grad_norm"):
            assert float(row[column] or 0) == pytest.approx(float(other[column] or 0), rel=1e-4)


def test_one_process_writes(two, one):
    assert files_of(two) == files_of(one)
    lines = log_of(two)
    assert "2 processes (DDP), 2 blocks each a step" in lines
    assert len(lines) == len(log_of(one)) + 1 and len(set(lines)) == len(lines)
    assert [line[20:] for line in two.output.splitlines() if line[20:] in lines] == lines  # nothing twice


def test_interrupted_processes_end_as_unbroken_ones(two, workplace):
    state = workplace.layout.training_state("web")
    with launch(workplace, *OPTIONS) as run:
        wait_for(lambda: list(state.glob("checkpoint-*/complete")))
        run.terminate()
        (error,) = errors_in(run.stderr.read())
    assert run.returncode != 0 and "the same command goes on from there" in error
    stopped_at = re.search(r"stopped at step (\d+)", error)[1]
    assert max(int(p.name.removeprefix("checkpoint-")) for p in state.glob("checkpoint-*")) == int(stopped_at)

    runs, _ = start_together(workplace, *OPTIONS)
    wait_for(lambda: [m for m in state.glob("checkpoint-*/complete") if int(m.parent.name[11:]) > int(stopped_at)])
    for run in runs:
        run.kill()
        run.join()
    newest = max(state.glob("checkpoint-*/complete"), key=lambda mark: int(mark.parent.name[11:])).parent
    (newest / "rng_state_1.pth").write_bytes(b"damaged")
    assert not (workplace.layout.adapter("web") / "adapter_model.bin").exists()

    statuses, output = together(workplace, *OPTIONS)
    assert statuses == [0, 0], output
    assert output.count("going on from") == 1 and not state.exists()
    assert output.count(f"{newest} is given up, rng_state_1.pth has 7 bytes") == 1
    expected = adapter_of(two)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in adapter_of(workplace).items())
    rows = {row["step"]: row for row in rows_of(workplace)}
    for row in rows_of(two):
        assert all(rows[row["step"]][c] == row[c] for c in ("eval_loss", "learning_rate", "tokens"))


def errors_in(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("error:")]


def start_together(place, *options: str, first: Callable[[], object] = lambda: None):
    """Two processes that train, split off from this one with all that it has patched, and the file of their stderr.

    Each of them calls `first` before. No launcher ends one process when the other has failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heard = place.root.parent / "stderr"
    heard.unlink(missing_ok=True)

    def work(rank: int) -> int:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
        errors.MAIN_SPEAKS_WITHIN = 0.5
        first()
        return place.train("web", *options)

    return [split_off(partial(work, rank), heard) for rank in (0, 1)], heard


def together(place, *options: str, **settings) -> tuple[list[int], str]:
    """The statuses of such a pair of processes, and all that they say on stderr."""
    runs, heard = start_together(place, *options, **settings)
    for run in runs:
        run.join(120)
        run.kill()
    return [run.exitcode for run in runs], heard.read_text(encoding="utf-8")


def test_what_does_not_fit_into_one_process_goes_in_parts_in_both(one, workplace, monkeypatch):
    step = transformers.Trainer.training_step

    def small_memory(self, model, inputs, *rest):
        if processes.index() == 1 and len(inputs["input_ids"]) > 1:
            raise RuntimeError("Triton Error [CUDA]: out of memory")
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(transformers.Trainer, "training_step", small_memory)
    statuses, output = together(workplace, *OPTIONS)
    assert statuses == [0, 0], output
    assert output.count("2 blocks at once do not fit") == 1
    assert_same_adapter(workplace, one)


def test_a_loss_that_is_no_number_in_one_process_stops_both(workplace, monkeypatch):
    step = transformers.Trainer.training_step

    def broken_once(self, model, inputs, *rest):
        loss = step(self, model, inputs, *rest)
        return loss * float("nan") if processes.index() == 1 and self.state.global_step == 2 else loss

    monkeypatch.setattr(transformers.Trainer, "training_step", broken_once)
    statuses, output = together(workplace, *OPTIONS)
    assert statuses == [1, 1]
    (error,) = errors_in(output)
    assert "the loss is nan at step 3" in error
    assert not (workplace.layout.adapter("web") / "adapter_model.bin").exists()


def test_a_bypassed_adapter_stops_both_by_name(workplace, monkeypatch):
    monkeypatch.setattr(modeling_mamba, "mamba_inner_fn", fused_kernel_stand_in)
    monkeypatch.setattr(mamba, "remove_fused_kernel", lambda model_type: None)
    statuses, output = together(workplace)
    assert statuses == [1, 1]
    (error,) = errors_in(output)
    assert "2 of 4 modules gets no gradient" in error


def test_too_little_memory_during_a_step_is_said_by_the_process_that_lacks_it(workplace, monkeypatch):
    step = transformers.Trainer.training_step

    def full_later(self, model, inputs, *rest):
        if processes.index() == 1 and self.state.global_step == 2:
            raise torch.OutOfMemoryError("no room")
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(transformers.Trainer, "training_step", full_later)
    statuses, output = together(workplace, *OPTIONS)
    assert statuses == [1, 1]
    (error,) = errors_in(output)
    assert "process 1 ran out of memory after step 2" in error and "goes on from the last saved state" in error


def test_what_the_main_process_cannot_do_stops_both(workplace, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", workplace.config / "no" / "folder")
    statuses, output = together(workplace)
    assert statuses == [2, 1], output
    (error,) = errors_in(output)
    assert "token blocks cannot be kept" in error


def test_a_domain_that_another_run_trains_is_refused_by_both(workplace):
    with one_run([workplace.layout.training_output("web")]):
        statuses, output = together(workplace)
    assert statuses == [2, 1], output
    (error,) = errors_in(output)
    assert f"{workplace.layout.adapter('web')} is being written by process {os.getpid()} " in error
    assert not workplace.layout.train_log("web").exists()


def shard_as_if_on_gpus() -> None:
    """What `accelerate launch` does with fsdp.yaml; on a CPU accelerate itself would fall back to DDP."""
    arguments = launch_command_parser().parse_args(["--config_file", str(CONFIGS / "fsdp.yaml"), "script.py"])
    settings = prepare_multi_gpu_env(_validate_launch_command(arguments)[0])
    os.environ.update({k: v for k, v in settings.items() if k.startswith(("FSDP_", "ACCELERATE_"))})
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = lambda *arguments: ("gloo", DistributedType.MULTI_GPU)
    torch.distributed.init_process_group("gloo")


def test_sharded_weights_end_as_whole_ones(one, workplace, monkeypatch):
    gather = processes.whole

    def gather_sharded(parameter):
        assert isinstance(parameter, DTensor)
        return gather(parameter)

    monkeypatch.setattr(processes, "whole", gather_sharded)
    statuses, output = together(workplace, *OPTIONS, first=shard_as_if_on_gpus)
    assert statuses == [0, 0], output
    assert_same_adapter(workplace, one)
    assert "2 processes (FSDP: each holds a part of the weights), 2 blocks each a step" in log_of(workplace)


def test_sharded_weights_are_rounded_no_more_than_whole_ones(workplace, monkeypatch):
    half = common.Precision("bf16", torch.bfloat16, "as on a GPU")
    monkeypatch.setattr(common, "choose_precision", lambda requested: half)
    assert workplace.train("web") == 0
    expected = rows_of(workplace)
    statuses, output = together(workplace, "--overwrite", first=shard_as_if_on_gpus)
    assert statuses == [0, 0], output
    for row, other in zip(rows_of(workplace), expected, strict=True):
        assert float(row["eval_loss"] or 0) == pytest.approx(float(other["eval_loss"] or 0), abs=1e-3)
    assert {tensor.dtype for tensor in adapter_of(workplace).values()} == {torch.float32}


def test_a_batch_that_cannot_be_dealt_out_is_refused(workplace):
    statuses, output = together(workplace, "--training.batch_size", "3")
    (error,) = set(errors_in(output))  # without a launcher, which would end the second process, both say it
    assert 0 not in statuses and "training.batch_size is 3" in error and "multiple of 2" in error
    assert not workplace.layout.train_log("web").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_accelerate_reads_the_example(path):
    settings = load_config_from_file(str(path))
    assert settings.num_machines == 1 and settings.mixed_precision == "no"
    assert f"--config_file configs/accelerate/{path.name} dem/train_individual.py" in path.read_text(encoding="utf-8")
