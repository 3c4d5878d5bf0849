"""What becomes of the saved states of a training: damaged ones, other settings, a full disk."""

import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import datasets.config
import pytest
import torch
from conftest import make_workplace
from peft import PeftModel
from safetensors import SafetensorError
from test_training import adapter_of, log_of, stop_at
from torch.distributed.checkpoint.api import CheckpointException
from transformers import Trainer

from dem import convergence, plots
from dem.common import log
from dem.errors import RequestError, SharedError, WorkError
from dem.training_states import SavedStates, _hash, saving

OPTIONS = ("--training.epochs", "0.15", "--training.save_steps", "2", "--lora.dropout", "0.2")
FILES = {
    "adapter_model.safetensors": b"weights" * 100,
    "optimizer.pt": b"moments" * 100,
    "scheduler.pt": b"rate",
    "scaler.pt": b"scale",
    "trainer_state.json": b'{"global_step": 4}',
    "rng_state_1.pth": b"random",
    "global_step4/shard_0.pt": b"shard" * 10,
}
RUN = {"training": {"learning_rate": 1e-4}, "lora": {"r": 4}, "processes": 1}


@pytest.fixture
def said(caplog, monkeypatch):
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "propagate", False)
    log.setLevel("INFO")
    return lambda: caplog.messages


def write_state(states: SavedStates, step: int) -> Path:
    state = states.folder / f"checkpoint-{step}"
    for name, content in FILES.items():
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_bytes(content)
    states.complete(step)
    return state


@pytest.fixture
def states(tmp_path):
    """Two states, of steps 9 and 10."""
    states = SavedStates(tmp_path / "training_state", RUN)
    write_state(states, 9)
    write_state(states, 10)
    return states


def steps(states) -> list[str]:
    return sorted(path.name for path in states.folder.iterdir())


def flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def in_place_of(path: Path, make) -> None:
    path.unlink()
    make(path)


DAMAGE = {
    "optimizer.pt is missing": lambda s: (s / "optimizer.pt").unlink(),
    "scheduler.pt is missing": lambda s: (s / "scheduler.pt").unlink(),
    "rng_state_1.pth is missing": lambda s: (s / "rng_state_1.pth").unlink(),
    "shard_0.pt is missing": lambda s: shutil.rmtree(s / "global_step4"),
    "optimizer.pt has 0 bytes": lambda s: (s / "optimizer.pt").write_bytes(b""),
    "trainer_state.json has 9 bytes": lambda s: (s / "trainer_state.json").write_bytes(b'{"global_'),
    "adapter_model.safetensors is not what was written": lambda s: flip(s / "adapter_model.safetensors", 300),
    "shard_0.pt is not what was written": lambda s: flip(s / "global_step4" / "shard_0.pt"),
    "scheduler.pt is no plain file": lambda s: in_place_of(s / "scheduler.pt", Path.mkdir),
    "scaler.pt is no plain file": lambda s: in_place_of(s / "scaler.pt", os.mkfifo),
    "optimizer.pt is no plain file": lambda s: in_place_of(s / "optimizer.pt", lambda p: p.symlink_to("nowhere")),
    "other/adapter_model.bin was put there": lambda s: (
        shutil.copytree(s / "global_step4", s / "other")
        and (s / "other" / "shard_0.pt").rename(s / "other" / "adapter_model.bin")
    ),
    "linked was put there": lambda s: (s / "linked").symlink_to(s.parent / "checkpoint-9"),
    "list of files (complete) is empty": lambda s: (s / "complete").write_bytes(b""),
    "list of files (complete) is damaged": lambda s: flip(s / "complete", -40),
    "(complete) is damaged": lambda s: (s / "complete").write_bytes((s / "complete").read_bytes()[:-9]),
    "complete) is damaged": lambda s: (s / "complete").write_text("[" * 100_000),
    "its list of files is of format None": lambda s: (s / "complete").write_text(f"{_hash(b'[]')}\n[]"),
    "complete is no plain file": lambda s: in_place_of(s / "complete", os.mkfifo),
    "complete is no plain": lambda s: in_place_of(s / "complete", lambda p: (p / "within").mkdir(parents=True)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_state_is_given_up_for_the_one_before_it(states, said, what):
    DAMAGE[what](states.folder / "checkpoint-10")
    assert states.can_go_on(overwrite=False)
    states.open()
    assert states.newest() == states.folder / "checkpoint-9" and steps(states) == ["checkpoint-9"]
    assert len(said()) == 1 and "checkpoint-10 is given up" in said()[0]
    assert what in said()[0] and "looking at checkpoint-9" in said()[0]
    states.open()
    assert len(said()) == 1  # it is said once, and the next try finds nothing wrong

    DAMAGE[what](states.folder / "checkpoint-9")
    states.open()
    assert states.newest() is None and steps(states) == []
    assert len(said()) == 2 and said()[1].endswith("the training begins anew")
    assert not states.can_go_on(overwrite=False)
    write_state(states, 1)
    assert states.can_go_on(overwrite=False)


def test_an_unreadable_file_is_damage(states, said, monkeypatch):
    def fail(files):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("dem.training_states.files_fingerprint", fail)
    states.open()
    assert states.newest() is None and "cannot be read (Input/output error)" in said()[0]


def test_a_list_of_another_format_is_not_read(states, said, monkeypatch):
    monkeypatch.setattr("dem.training_states.FORMAT_VERSION", 2)
    states.open()
    assert states.newest() is None and "is of format 1, this version reads 2" in said()[0]


def test_a_file_of_the_system_is_no_damage(states, said):
    (states.folder / "checkpoint-10" / ".DS_Store").write_bytes(b"x")
    (states.folder / "checkpoint-10" / ".nfs01").mkdir()
    states.open()
    assert states.newest().name == "checkpoint-10" and not said()


def test_the_last_two_states_are_kept_and_what_was_cut_off_goes(states, said):
    assert steps(states) == ["checkpoint-10", "checkpoint-9"]
    write_state(states, 100)
    assert steps(states) == ["checkpoint-10", "checkpoint-100"]
    (states.folder / "checkpoint-200").mkdir()
    (states.folder / "checkpoint-300").write_bytes(b"a file")
    assert states.newest().name == "checkpoint-100"
    states.open()
    assert steps(states) == ["checkpoint-10", "checkpoint-100"] and not said()


@pytest.mark.parametrize("stands", [lambda p: p.write_bytes(b"x"), os.mkfifo, lambda p: p.symlink_to("nowhere")])
def test_something_else_in_place_of_the_states_is_refused(tmp_path, stands):
    stands(tmp_path / "training_state")
    states = SavedStates(tmp_path / "training_state", RUN)
    with pytest.raises(RequestError, match="training_state is no folder: remove it"):
        states.can_go_on(overwrite=True)


CHANGES = {
    "training.learning_rate 0.0001 -> 0.001": {"training": {"learning_rate": 1e-3}},
    "lora.r 4 -> 8": {"lora": {"r": 8}},
    "processes 1 -> 2": {"processes": 2},
    "versions.torch None -> 9": {"versions": {"torch": "9"}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_state_of_other_settings_is_kept_until_it_is_given_up(states, said, what):
    before = {path: path.read_bytes() for path in states.folder.rglob("*") if path.is_file()}
    other = SavedStates(states.folder, RUN | CHANGES[what])
    with pytest.raises(RequestError) as refusal:
        other.can_go_on(overwrite=False)
    for words in (what, "checkpoint-10", "set that back", "--overwrite", str(states.folder)):
        assert words in str(refusal.value)
    assert before == {path: path.read_bytes() for path in states.folder.rglob("*") if path.is_file()}
    assert states.can_go_on(overwrite=False) and states.can_go_on(overwrite=True)

    assert not other.can_go_on(overwrite=True)
    other.open()
    assert steps(other) == [] and "beginning anew" in said()[0] and what in said()[0]


def test_what_does_not_change_the_adapter_is_no_other_setting(states):
    assert SavedStates(states.folder, RUN | {"training": RUN["training"] | {"save_steps": 7}}).can_go_on(False)


def test_a_newest_state_that_tells_nothing_does_not_hide_that_settings_changed(states):
    (states.folder / "checkpoint-10" / "complete").write_bytes(b"")
    with pytest.raises(RequestError, match="lora.r 4 -> 8"):
        SavedStates(states.folder, RUN | {"lora": {"r": 8}}).can_go_on(overwrite=False)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        Exception("No space left on device (os error 28)"),  # tokenizers
        CheckpointException("sharded", {0: (OSError(28, "No space left on device"), None)}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_written_is_told_in_one_line(tmp_path, error):
    with pytest.raises(WorkError) as told, saving(tmp_path / "not" / "there"):
        raise error
    assert f"{tmp_path / 'not' / 'there'} could not be written: " in str(told.value)
    assert "GiB are free on its disk); mend that, and the same command goes on" in str(told.value)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError(), RuntimeError("CUDA error: out of memory"), SharedError("stopped"), WorkError("nan")],
)
def test_what_is_no_mistake_of_the_disk_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)) as told, saving(tmp_path):
        raise error
    assert told.value is error


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory, tokenizer):
    """A root whose training of web failed after step 5 with the states of 2 and 4, and the unbroken one's adapter."""
    place = make_workplace(tmp_path_factory.mktemp("cut_off"), tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", place.root.parent / "datasets")
        assert place.train("web", *OPTIONS) == 0
        place.unbroken = adapter_of(place)
        shutil.rmtree(place.layout.adapter("web"))
        stop_at(patch, step=5)
        assert place.train("web", *OPTIONS) == 1
    state = place.layout.training_state("web")
    assert sorted(path.name for path in state.iterdir()) == ["checkpoint-2", "checkpoint-4"]
    shutil.copytree(place.layout.adapter("web"), place.root.parent / "kept")
    return place


@pytest.fixture
def place(cut_off, monkeypatch):
    """The same root, as it was when the training had failed."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cut_off.root.parent / "datasets")
    shutil.rmtree(cut_off.layout.adapter("web"), ignore_errors=True)
    shutil.copytree(cut_off.root.parent / "kept", cut_off.layout.adapter("web"))
    return cut_off


def assert_as_unbroken(place) -> None:
    adapter = adapter_of(place)
    assert adapter.keys() == place.unbroken.keys()
    assert all(torch.equal(tensor, place.unbroken[name]) for name, tensor in adapter.items())


@pytest.mark.parametrize(
    ("damaged", "gone_on_from"),
    [
        ({"checkpoint-4": "optimizer.pt"}, "checkpoint-2"),
        ({"checkpoint-4": "rng_state.pth", "checkpoint-2": "*"}, None),
    ],
    ids=["the newest", "both"],
)
def test_a_training_with_a_damaged_state_ends_as_an_unbroken_one(place, damaged, gone_on_from, capsys):
    for step, pattern in damaged.items():
        for path in (place.layout.training_state("web") / step).glob(pattern):
            path.unlink() if path.suffix == ".pt" else path.write_bytes(b"")
    assert place.train("web", *OPTIONS) == 0
    heard = capsys.readouterr().err
    assert heard.count("is given up") == len(damaged)
    if gone_on_from:
        assert f"{gone_on_from}\n" in heard[heard.index("going on from") :]
    else:
        assert "the training begins anew" in heard and "going on from" not in heard
    assert "is given up" in log_of(place)
    assert_as_unbroken(place)


def test_a_typo_does_not_cost_the_hours_so_far(place, capsys, refused):
    state = place.layout.training_state("web")
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    log, table = log_of(place), place.layout.train_summary("web", ".csv").read_bytes()
    status = place.train("web", *OPTIONS, "--training.learning_rate", "1e-3")
    refused(status, "unfinished training (checkpoint-4)", "training.learning_rate 0.01 -> 0.001", "--overwrite")
    assert before == {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert log_of(place) == log and place.layout.train_summary("web", ".csv").read_bytes() == table
    assert place.train("web", *OPTIONS, "--training.save_steps", "3") == 0  # which does not change the adapter
    assert "checkpoint-4" in capsys.readouterr().err
    assert_as_unbroken(place)


@contextmanager
def full_disk(size: int):
    """While it lasts, no file of this process can grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_while(monkeypatch, target, name: str, size: int, only=lambda keywords: True) -> None:
    """Let the disk be full whenever `name` of `target` works, with keywords of which `only` holds."""
    work = getattr(target, name)

    def with_full_disk(*arguments, **keywords):
        with full_disk(size if only(keywords) else resource.RLIM_INFINITY):
            return work(*arguments, **keywords)

    monkeypatch.setattr(target, name, with_full_disk)


FULL = [
    ((Trainer, "_save_checkpoint", 1000), "checkpoint-6 could not be written: "),  # as safetensors says it
    ((Trainer, "_save_optimizer_and_scheduler", 1000), "checkpoint-6 could not be written: "),  # as torch says it
    ((SavedStates, "complete", 10), "checkpoint-6/complete could not be written: File too large"),
    ((convergence, "write_text", 10), "train_web.csv could not be written: File too large"),
    ((plots, "convergence", 10), "train_web.png could not be written: File too large"),
    (
        (PeftModel, "save_pretrained", 1000, lambda keywords: keywords.get("safe_serialization") is False),
        "lora_web could not be written: ",
    ),
]


def test_a_full_disk_is_told_in_one_line_and_costs_no_state(place, monkeypatch, capsys):
    state, good = place.layout.training_state("web"), ["checkpoint-2", "checkpoint-4"]
    for where, words in FULL:
        with monkeypatch.context() as patch:
            full_while(patch, *where)
            assert place.train("web", *OPTIONS) == 1
        heard = capsys.readouterr().err
        assert "Traceback" not in heard and "Logging error" not in heard
        error = heard.splitlines()[-1]
        assert heard.count("error: ") == 1 and words in error and "the same command" in error.replace("give t", "t")
        if where[0] in (plots, PeftModel):
            good = ["checkpoint-8", "checkpoint-9"]
        assert sorted(path.name for path in state.iterdir()) == good
        assert not list(place.root.rglob("*partial*")) and not list(place.layout.adapter("web").glob("adapter_*"))
    assert place.train("web", *OPTIONS) == 0
    assert "given up" not in capsys.readouterr().err
    assert_as_unbroken(place)


def test_a_log_that_cannot_be_written_stops_no_training(place, capsys):
    path = place.layout.train_log("web")
    text = path.read_text(encoding="utf-8")
    path.unlink()
    path.symlink_to("/dev/full")
    try:
        assert place.train("web", *OPTIONS) == 0
    finally:
        path.unlink()
        path.write_text(text, encoding="utf-8")
    heard = capsys.readouterr().err
    assert heard.count("train_web.log cannot be written (No space left on device)") == 1
    assert "Traceback" not in heard and "step 9/9" in heard
    assert_as_unbroken(place)
