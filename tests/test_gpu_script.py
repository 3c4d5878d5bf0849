"""The script that is run where there is a GPU (tests/benchmarks/gpu.py), so that it is not found broken on that day."""

import importlib
import warnings
from pathlib import Path

import pytest
import torch
from conftest import split_off

BENCHMARKS = Path(__file__).parent / "benchmarks"
DRY = [
    *["versions", "card", "kernels", "three stages", "kill -9 and resume", "scan", "training", "evaluation"],
    "pytest -m gpu",
]


@pytest.fixture
def gpu(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: the script itself is run there")
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("gpu")


def run_dry(gpu, folder: Path) -> tuple[int, str]:
    """The exit status and the summary of the script, run in a process that begins at once and sets what it likes."""
    run = split_off(lambda: gpu.main(["--dry", "--out", str(folder / "out")]), folder / "heard")
    run.join()
    return run.exitcode, (folder / "out" / "summary.md").read_text(encoding="utf-8")


def test_the_whole_script_runs_dry(gpu, tmp_path):
    status, summary = run_dry(gpu, tmp_path)
    assert status == 0, summary
    head, table = summary.split("| what | with | measured |\n|---|---|---|\n")
    parts = [part.name for some in gpu.rounds(dry=True) for part in some]
    assert [line.split(": ok, ")[0] for line in head.split("\n") if line] == parts
    assert all((tmp_path / "out" / f"{name}.log").exists() for name in parts)
    rows = [line.split(" | ") for line in table.splitlines()]
    assert all(any(row[0].startswith(f"| {what}") for row in rows) for what in DRY) and {len(row) for row in rows} == {
        3
    }
    assert (
        "all adapters move" in summary and "the same adapter, bit for bit" in summary and "same bits twice" in summary
    )


def test_a_part_that_fails_or_hangs_is_told_and_the_rest_goes_on(gpu, tmp_path, monkeypatch):
    (tmp_path / "strange_parts.py").write_text(
        "import time\n"
        "def breaks(place):\n    place.row('one', 'two', 'thr|ee', seconds=1.5)\n    raise ValueError('so it is')\n"
        "def hangs(place):\n    place.row('four', '', 'five')\n    time.sleep(60)\n"
        "def works(place, word):\n    place.row('six', word, 'seven')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    works, breaks = gpu.Part("strange_parts", "works", 30, ("well",)), gpu.Part("strange_parts", "breaks", 30)
    monkeypatch.setattr(
        gpu, "rounds", lambda dry: [[works], [breaks, gpu.Part("strange_parts", "hangs", 0.5)], [works]]
    )
    monkeypatch.setattr(gpu, "LEAST", 0.1)
    status, summary = run_dry(gpu, tmp_path)
    assert status == 1 and summary.count("works_well: ok") == 2
    assert "breaks: FAILED with 1: ValueError: so it is" in summary and "hangs: ENDED after 0 s, its limit" in summary
    rows = ["| one | two | thr/ee |", "| four |  | five |", "| six | well | seven |", "| hangs |  | **ENDED after"]
    assert all(row in summary for row in rows)

    monkeypatch.setattr(gpu, "rounds", lambda dry: [[breaks], [works]])  # the first says whether there is a GPU
    status, summary = run_dry(gpu, tmp_path)
    assert status == 1 and "works" not in summary

    monkeypatch.setattr(gpu, "rounds", lambda dry: [[works]])
    monkeypatch.setattr(gpu, "LIMIT", 0)
    status, summary = run_dry(gpu, tmp_path)
    assert status == 1 and "works_well: NOT BEGUN, no time was left" in summary and "seven" not in summary


def test_what_is_to_be_reached_is_said_of_what_was_measured(gpu):
    rows = [
        {"what": "training, 8 x 2048, 2.8B", "how": "plain, compiled", "told": "", "seconds": 15.0},
        {"what": "training, 8 x 2048, 2.8B", "how": "ours, compiled", "told": "", "seconds": 9.0, "parts": 1},
        {"what": "scan", "how": "compiled", "told": "", "milliseconds": 10.0},
        {"what": "scan", "how": "triton", "told": "", "milliseconds": 15.0},
    ]
    assert [row["told"] for row in gpu.aims(rows)] == [
        "1.67 times its tokens/s: reached",
        "1.50 times the compiled one's time: NOT REACHED",
        "not measured",
    ]


def test_waits_are_counted_by_place(gpu):
    gpu_speed = importlib.import_module("gpu_speed")
    with gpu_speed._Waits() as caught:
        for line in (7, 7, 9):
            warnings.warn_explicit("called a synchronizing CUDA operation", UserWarning, "/a/b/trainer.py", line)
        warnings.warn("something else", stacklevel=1)
    assert gpu_speed.by_place(caught) == {"b/trainer.py:7": 2, "b/trainer.py:9": 1}
