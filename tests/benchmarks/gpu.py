"""What only a GPU can prove, in at most 8 minutes on one card; the last lines are a table for README.md beside it.

    python tests/benchmarks/gpu.py --out FOLDER          # on one NVIDIA GPU; needs no network and no model
    python tests/benchmarks/gpu.py --out FOLDER --dry    # the same on a CPU at tiny shapes, in less than a minute

Each part is a process of its own with a time limit, the important ones first; what a part prints is in FOLDER, and so
is summary.md. A kernel that cannot be had is a row that says why. A part that fails, or takes too long, is a row too,
and the exit status is then 1; without a GPU nothing is tried. Its temporary folder needs 6 GB (--work: elsewhere than
in the system's own), and the tests' the same.

- three stages: on a tiny Mamba that the script trains, two domains, with each scan in fp16 and bf16, beside each other.
  All adapters must move, and the merged model be better than its base in each domain.
- kill -9 and resume: a killed training goes on and ends with the adapter of an unbroken one, bit for bit.
- scan: of one layer, at the shapes of 2.8B in bf16, with gradients as a training takes them. Error: |ours - exact| /
  |exact| of one sample, exact in float64 on the CPU. `64 layers`: twice forward (checkpointing) and once backward.
- training: `ours` is stage 1's own `run_training`, `plain` transformers' model with PEFT and AdamW as guides show it,
  with whatever kernels transformers finds. Shapes of 2.8B, 8 x 2048 tokens, bf16, gradient checkpointing, under a cap
  of 21.5 GiB, what a 24 GB card leaves. `waits`: how often the host waited for the GPU in a step (PyTorch's sync debug
  mode), by place; the log has all places.
- evaluation: of the same base: perplexity, ten answers at once, a gradient of the search for weights of five domains.
"""

import argparse
import importlib
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gpu_place import Place, require_gpu

from dem.gpu_memory import take_memory_in_growing_segments

LIMIT = 480
"""Seconds of the whole script."""
LEAST = 5
"""Seconds that must be left for a part to begin."""


@dataclass(frozen=True)
class Part:
    """One function of a module beside this one, and the seconds that it may take."""

    module: str
    function: str
    limit: float
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """In words, and of its log."""
        return "_".join([self.function, *self.arguments])


def rounds(dry: bool) -> list[list[Part]]:
    """The parts in their order; those of one round run beside each other."""
    scans = ["triton", "compiled", "torch"]
    precisions = itertools.product(["auto"] if dry else scans, ["bf16"] if dry else ["bf16", "fp16"])
    return [
        [Part("gpu_parts", "versions", 60)],
        [Part("gpu_parts", "tiny_base", 90), Part("gpu_speed", "big_base", 90)],
        [Part("gpu_parts", "three_stages", 120, pair) for pair in precisions],
        [Part("gpu_parts", "resume", 90, ("auto" if dry else "triton",))],
        *([Part("gpu_scan", "scan", 60, (kernels,))] for kernels in scans),
        *([Part("gpu_speed", "train_ours", 100, (kernels,))] for kernels in (["auto"] if dry else scans[:2])),
        [Part("gpu_speed", "train_plainly", 90)],
        [Part("gpu_speed", "evaluate", 60)],
        [Part("gpu_parts", "gpu_tests", 150)],
        *([] if dry else [[Part("gpu_speed", "train_ours", 120, ("torch",))]]),  # the slowest, and nobody's choice
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run all parts, write the summary, print it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the summary and the logs")
    parser.add_argument("--work", type=Path, help="where the temporary folder is made")
    parser.add_argument("--dry", action="store_true", help="on a CPU, at tiny shapes: the figures mean nothing")
    options = parser.parse_args(arguments)
    _surround(options.dry)
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.work, ignore_cleanup_errors=True) as work:
        os.environ["HF_DATASETS_CACHE"] = str(Path(work) / "blocks")
        done = list(run(rounds(options.dry), Path(work), options.out, options.dry))
    lines = summary(done, time.monotonic() - began, options.dry)
    (options.out / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n" + "\n".join(lines))
    return int(any(part.mistake for part in done))


def _surround(dry: bool) -> None:
    """Set what the parts' processes take over, before anything asks for a GPU."""
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    take_memory_in_growing_segments()
    if dry:
        from dem.gpu_presence import leave_gpus_alone

        leave_gpus_alone()
        os.environ.setdefault("TRITON_INTERPRET", "1")
        for part in {part.module for some in rounds(dry) for part in some}:
            importlib.import_module(part)  # once for all


@dataclass(frozen=True)
class Done:
    """What came of a part."""

    name: str
    seconds: float
    mistake: str | None
    rows: list[dict]


def run(parts: list[list[Part]], work: Path, out: Path, dry: bool) -> Iterator[Done]:
    """Run round after round, within LIMIT; of the next one the libraries are imported meanwhile.

    Where the first fails, there is no GPU, and the others are left alone.
    """
    ends = time.monotonic() + LIMIT
    now, begun = [], [Running(part, work, out, dry) for part in parts[0]]
    try:
        for number, following in enumerate([*parts[1:], []]):
            now = begun
            begun = [Running(part, work, out, dry) for part in following]
            for running in now:
                running.go(ends)
            while any([running.goes_on() for running in now]):
                time.sleep(0.02)
            done = [running.done() for running in now]
            for part in done:
                print(f"{part.name}: {part.mistake or 'ok'}, {part.seconds:.0f} s", flush=True)
                yield part
            if number == 0 and done[0].mistake:
                return
    finally:
        for running in [*now, *begun]:
            running.end()


class Running:
    """The process of a part."""

    def __init__(self, part: Part, work: Path, out: Path, dry: bool):
        """Start it; it waits for `go`."""
        self._part, self._log = part, out / f"{part.name}.log"
        self._place = Place(work, work / f"{part.name}.rows", dry)
        self._mistake: str | None = None
        self._seconds: float | None = None
        self._go = self._place.context.Event()
        self._process = self._place.context.Process(target=_work, args=(part, self._place, self._log, self._go))
        self._process.start()

    def go(self, ends: float) -> None:
        """Let it begin, if there is time before all parts have to be done."""
        self._began = time.monotonic()
        self._deadline = min(self._began + self._part.limit, ends)
        if self._deadline < self._began + LEAST:
            self._mistake = "NOT BEGUN, no time was left"
            self.end()
        self._go.set()

    def goes_on(self) -> bool:
        """Whether it still runs; at its limit it is ended."""
        runs, now = self._process.exitcode is None, time.monotonic()
        if runs and now < self._deadline:
            return True
        if runs:
            self._mistake = f"ENDED after {self._deadline - self._began:.0f} s, its limit"
            self.end()
        self._seconds = self._seconds or now - self._began
        return False

    def done(self) -> Done:
        """What came of it, once it has ended."""
        if self._process.exitcode and not self._mistake:
            self._mistake = f"FAILED with {self._process.exitcode}: {_last_line(self._log)}"
        rows = self._place.rows.read_text(encoding="utf-8").splitlines() if self._place.rows.exists() else []
        return Done(self._part.name, self._seconds, self._mistake, [json.loads(row) for row in rows])

    def end(self) -> None:
        """End it and all that it has started."""
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):  # it has not come so far yet as to be a group
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()


def _work(part: Part, place: Place, log: Path, go) -> None:
    """What the process of a part does."""
    os.setsid()
    with log.open("w", encoding="utf-8") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, encoding="utf-8", closefd=False) for n in (1, 2))  # noqa: SIM115
    function = getattr(importlib.import_module(part.module), part.function)
    go.wait()
    if not place.dry:
        require_gpu()
    function(place, *part.arguments)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no word of it")


def summary(done: list[Done], seconds: float, dry: bool) -> list[str]:
    """How each part ended, then the table."""
    lines = [f"{part.name}: {part.mistake or 'ok'}, {part.seconds:.0f} s" for part in done]
    rows = [row for part in done for row in part.rows]
    rows += [] if dry else aims(rows)
    rows += [{"what": part.name, "how": "", "told": f"**{part.mistake}**"} for part in done if part.mistake]
    when = f"{date.today()}, {seconds:.0f} s"
    told = "a dry run on a CPU: the figures mean nothing" if dry else "on a GPU"
    table = ["| what | with | measured |", "|---|---|---|", f"| the script | {told} | {when} |"]
    cells = ((" ".join(str(row[key]).replace("|", "/").split()) for key in ("what", "how", "told")) for row in rows)
    return [*lines, "", *table, *(f"| {' | '.join(row)} |" for row in cells)]


def aims(rows: list[dict]) -> list[dict]:
    """What is to be reached on a card, beside what was."""

    def of(figure: str, what: str, how: str) -> float | None:
        return next((r[figure] for r in rows if figure in r and r["what"].startswith(what) and r["how"] == how), None)

    def ratio(over: float | None, under: float | None) -> float | None:
        return over / under if over and under else None

    plain, parts = of("seconds", "training", "plain, compiled"), of("parts", "training", "ours, triton")
    scans = [of("milliseconds", "scan", kernels) for kernels in ("triton", "compiled")]
    faster, slower = ratio(plain, of("seconds", "training", "ours, compiled")), ratio(*scans)
    return [
        _aim("ours against plain, both compiled", faster, "times its tokens/s", "1.5", faster and faster >= 1.5),
        _aim("the scan in Triton", slower, "times the compiled one's time", "1.3 at most", slower and slower <= 1.3),
        _aim("training under 21.5 GiB", parts, "parts", "1", parts == 1),
    ]


def _aim(how: str, reached: float | None, unit: str, wanted: str, good: object) -> dict:
    verdict = "not measured" if reached is None else f"{reached:.2f} {unit}: {'reached' if good else 'NOT REACHED'}"
    return {"what": "to aim for", "how": f"{how}: {wanted}", "told": verdict}


if __name__ == "__main__":
    sys.exit(main())
