"""The script that is run where there is a GPU (tests/benchmarks/gpu.py), so that it is not found broken on that day."""

import os
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
    for name in ("CUDA_VISIBLE_DEVICES", "TRITON_INTERPRET", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that what the script sets goes again
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    return gpu


def test_the_whole_script_runs_dry(gpu, tmp_path):
    run = split_off(lambda: gpu.main(["--dry", "--out", str(tmp_path / "out")]), tmp_path / "heard")
    run.join()
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert run.exitcode == 0, summary
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


def test_a_part_that_fails_or_hangs_is_told_and_the_rest_goes_on(gpu, tmp_path, monkeypatch, capsys):
    (tmp_path / "strange_parts.py").write_text(
        "import time\n"
        "def breaks(place):\n    place.row('one', 'two', 'thr|ee', seconds=1.5)\n    raise ValueError('so it is')\n"
        "def hangs(place):\n    place.row('four', '', 'five')\n    time.sleep(60)\n"
        "def works(place, word):\n    place.row('six', word, 'seven')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    parts = [[gpu.Part("strange_parts", "breaks", 30), gpu.Part("strange_parts", "hangs", 0.5)]]
    parts += [[gpu.Part("strange_parts", "works", 30, ("well",))]]
    monkeypatch.setattr(gpu, "rounds", lambda dry: parts)
    monkeypatch.setattr(gpu, "LEAST", 0.1)
    assert gpu.main(["--dry", "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().out
    assert (
        "breaks: FAILED with 1: ValueError: so it is" in told
        and "hangs: ENDED after" in told
        and "works_well: ok" in told
    )
    for row in ("| one | two | thr/ee |", "| four |  | five |", "| six | well | seven |", "| hangs |  | **ENDED after"):
        assert row in told
    monkeypatch.setattr(gpu, "LIMIT", 0)
    assert gpu.main(["--dry", "--out", str(tmp_path / "out")]) == 1
    assert "works_well: NOT BEGUN, no time was left" in capsys.readouterr().out


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
    import gpu_speed

    with gpu_speed._waits() as caught:
        for line in (7, 7, 9):
            warnings.warn_explicit("called a synchronizing CUDA operation", UserWarning, "/a/b/trainer.py", line)
        warnings.warn("something else", stacklevel=1)
    assert gpu_speed.by_place(caught) == {"b/trainer.py:7": 2, "b/trainer.py:9": 1}
