"""Two runs at the same time: one at a time writes an output, the other says so and touches nothing."""

import errno
import fcntl
import os
import random
import re
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Process
from pathlib import Path

import pytest
from conftest import DOMAINS, Workplace, make_adapter, make_workplace, split_off, wait_for

from dem import locks
from dem.atomic import new_file, new_folder
from dem.errors import RequestError
from dem.layout import Output
from dem.locks import one_run

ALONE = ("--evaluation.enabled", "false")
QUICK = ("--training.epochs", "0.05", "--data.tune_fraction", "0")
REFUSAL = r"error: (\S+) is being written by process (\d+) on \S+ since [\d: -]+: wait until it is done, or stop it"


@pytest.fixture(scope="module")
def place(tmp_path_factory, tokenizer) -> Workplace:
    """A root with adapters, differences and a merged model."""
    place = make_workplace(tmp_path_factory.mktemp("place"), tokenizer)
    for i, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=i)
    assert place.diff("all") == 0 and place.merge(*ALONE) == 0
    return place


@dataclass
class Crew:
    """Processes that a test has started; what each says is in a file of its own."""

    folder: Path
    runs: list[Process] = field(default_factory=list)

    def start(self, work: Callable[[], int]) -> Process:
        run = split_off(work, self.folder / f"stderr {len(self.runs)}")
        self.runs.append(run)
        return run

    def hold(self, *outputs: Output, then: Callable[[], object] = lambda: None) -> Process:
        """A process that holds the locks of `outputs` until it is killed, and does `then` first."""
        mark = self.folder / f"holding {len(self.runs)}"

        def work():
            with one_run(outputs):
                then()
                mark.touch()
                time.sleep(600)

        run = self.start(work)
        wait_for(lambda: mark.exists() or not run.is_alive())
        return run

    def join(self) -> list[int]:
        for run in self.runs:
            run.join(200)
        return [run.exitcode for run in self.runs]

    def said(self, run: Process) -> str:
        return (self.folder / f"stderr {self.runs.index(run)}").read_text(encoding="utf-8")

    def assert_refused(self, run: Process, by: Process, path: Path) -> None:
        """That the run ended with one line, which names the process and the output, and said nothing else."""
        assert run.exitcode == 2
        (line,) = self.said(run).splitlines()
        match = re.fullmatch(REFUSAL, line)
        assert match and match[1] == str(path) and match[2] == str(by.pid), line


@pytest.fixture
def crew(tmp_path):
    crew = Crew(tmp_path)
    yield crew
    for run in crew.runs:
        run.kill()
        run.join()


@pytest.fixture
def output(tmp_path) -> Output:
    path = tmp_path / "out" / "model"
    return Output(path, path.with_name(".model.lock"), (path,))


def files_in(root: Path) -> dict[str, tuple[int, int]]:
    """Every file with what a change to it would change."""
    found = {str(p.relative_to(root)): p.stat() for p in sorted(root.rglob("*")) if p.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def leftovers(root: Path) -> set[str]:
    """Locks and partial files that are still there."""
    return {name for name in files_in(root) if re.search(r"\.(partial|old|lock)(/|$)", name)}


def test_the_second_names_the_first_and_what_it_writes(crew, output, tmp_path):
    holder = crew.hold(output)
    with pytest.raises(RequestError) as refusal, one_run([output]):
        pass
    match = re.fullmatch(REFUSAL, f"error: {refusal.value}")
    assert match[1] == str(output.path) and match[2] == str(holder.pid)
    holder.kill()
    holder.join()
    with one_run([output]) as notes:
        assert notes == [] and output.lock.exists()
    assert list(output.path.parent.iterdir()) == []


def test_a_child_of_the_holder_does_not_keep_its_lock(crew, output, tmp_path):
    child = tmp_path / "child"

    def fork():
        if not (number := os.fork()):
            time.sleep(600)
        child.write_text(str(number))

    holder = crew.hold(output, then=fork)
    holder.kill()
    holder.join()
    try:
        with one_run([output]):
            pass
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)


def test_a_child_of_the_holder_does_not_end_its_lock(crew, output):
    with one_run([output]):
        child = crew.start(lambda: 0)
        child.join()
        assert output.lock.exists()
        with pytest.raises(RequestError, match=f"process {os.getpid()} "), one_run([output]):
            pass


def test_all_outputs_are_taken_or_none(crew, tmp_path):
    a, b, c = (Output(tmp_path / name, tmp_path / f".{name}.lock", ()) for name in "abc")
    crew.hold(b)
    for wanted in ([a, b, c], [c, b, a]):
        with pytest.raises(RequestError, match=f"{b.path} is being written"), one_run(wanted):
            pass
        with one_run([a, c]):
            pass
    assert sorted(p.name for p in tmp_path.glob(".*")) == [".b.lock"]


def test_never_two_hold_a_lock_that_comes_and_goes(crew, output, tmp_path, monkeypatch):
    """The file goes with its lock, so that a process may lock one that is no longer there."""
    inside = tmp_path / "inside"

    def work(number: int) -> int:
        draw, entered = random.Random(number), 0
        while entered < 30:
            with suppress(RequestError), one_run([output]):
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails, and so the process, if another is inside
                time.sleep(draw.uniform(0, 0.001))
                inside.unlink()
                entered += 1
        return 0

    monkeypatch.setattr(locks, "_holder", lambda descriptor: "another process")  # without waiting for its signature
    for number in range(4):
        crew.start(partial(work, number))
    assert crew.join() == [0] * 4


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_run_says_so_and_goes_on(place, output, number, monkeypatch, capsys):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with one_run([output]), new_folder(output.path) as partial:
        (partial / "half").touch()
        with one_run([output]) as notes:
            assert len(notes) == 1 and "without locks" in notes[0] and str(output.path) in notes[0]
        assert (partial / "half").exists()  # nobody knows that it is not being written
    assert [p.name for p in output.path.parent.iterdir()] == ["model"]
    if number == errno.ENOLCK:
        assert place.merge(*ALONE) == 0
        assert capsys.readouterr().err.count("without locks") == 2  # the merged model and the results
        assert place.layout.merge_log.read_text(encoding="utf-8").count("without locks") == 2


def test_what_cannot_be_locked_is_said(output):
    output.lock.mkdir(parents=True)
    with pytest.raises(RequestError, match=f"lock {output.lock} cannot be taken .*: remove what is"), one_run([output]):
        pass


def runs_of(place: Workplace) -> dict[str, tuple[Callable[[], int], Output]]:
    """What a second run does, and which output it finds held."""
    layout = place.layout
    return {
        "train": (partial(place.train, "web", *QUICK, "--overwrite"), layout.training_output("web")),
        "diff": (partial(place.diff, "web"), layout.difference_output("web")),
        "diff all": (partial(place.diff, "all"), layout.difference_output("social")),
        "merge": (partial(place.merge, *ALONE), layout.merge_output),
        "merge, results held": (partial(place.merge, *ALONE), layout.results_output),
        "rate": (partial(place.merge, "--ratings", "none.csv"), layout.results_output),
    }


@pytest.mark.parametrize("name", ["train", "diff", "diff all", "merge", "merge, results held", "rate"])
def test_the_second_run_leaves_everything_as_it_is(place, crew, name):
    """Also what the first is still writing, and its log."""
    again, output = runs_of(place)[name]

    writing = ExitStack()

    def write():
        for part in output.parts:
            part.parent.mkdir(exist_ok=True)
            partial = writing.enter_context((new_file if part.suffix else new_folder)(part))
            (partial if part.suffix else partial / "half").write_text("half")

    holder = crew.hold(output, then=write)
    before = files_in(place.root)
    half = [name for name in before if name.endswith(("partial", "partial/half"))]
    assert len(half) == len(output.parts)
    second = crew.start(again)
    second.join()
    crew.assert_refused(second, holder, output.path)
    assert files_in(place.root) == before
    holder.kill()
    holder.join()
    with one_run([output]) as notes:
        assert len(notes) == len(half)
    assert not [name for name in files_in(place.root) if "partial" in name or "lock" in name]


def contents_of(folders: list[Path]) -> dict[Path, bytes]:
    """Of the files that are the same whenever the same is done."""
    suffixes = (".npy", ".safetensors", ".bin", ".json", ".csv")
    found = [p for folder in folders for p in sorted(folder.rglob("*")) if p.suffix in suffixes]
    timed = ("train_web.csv", "durations.json", "dem_run.json")
    return {p: p.read_bytes() for p in found if p.name not in timed}


@pytest.mark.parametrize("name", ["train", "diff", "merge"])
def test_two_runs_that_overlap_at_random_leave_what_one_leaves(place, crew, name):
    again, output = runs_of(place)[name]
    layout = place.layout
    folders = [layout.adapter("web"), layout.diff_vector("web").parent, layout.diff_summary("web", ".json").parent]
    folders += [layout.merged_model, layout.results, layout.train_summary("web", ".csv").parent]
    before = leftovers(place.root)  # of runs that other tests have killed, in whatever order they come
    began = time.monotonic()
    first = crew.start(again)
    assert crew.join() == [0]
    seconds = time.monotonic() - began
    expected, draw = contents_of(folders), random.Random(name)
    for _ in range(2):
        first = crew.start(again)
        time.sleep(draw.uniform(0, seconds))
        second = crew.start(again)
        for run in (first, second):
            run.join(100)
        assert {first.exitcode, second.exitcode} in ({0}, {0, 2}), crew.said(first) + crew.said(second)
        for run, other in ((first, second), (second, first)):
            if run.exitcode:
                crew.assert_refused(run, other, output.path)
        assert contents_of(folders) == expected
    assert leftovers(place.root) <= before
    assert place.diff("web") == 0  # of the adapter that other tests find


def test_different_outputs_are_free_at_the_same_time(place, crew):
    """Two domains in stages 1 and 2, and a merge and a dry run beside all of them."""
    layout = place.layout
    outputs = [layout.training_output("social"), layout.difference_output("social"), layout.merge_output]
    others = [partial(place.train, "web", *QUICK, "--overwrite"), partial(place.diff, "web")]
    crew.hold(*outputs, layout.results_output)
    others += [partial(place.merge, "--dry-run", *ALONE)]
    runs = [crew.start(work) for work in others]
    for run in runs:
        run.join(200)
    assert [run.exitcode for run in runs] == [0, 0, 0], [crew.said(run) for run in runs]
    assert place.diff("web") == 0  # of the adapter that other tests find


def test_merging_beside_a_training_is_free(place, crew):
    crew.hold(place.layout.training_output("web"), place.layout.difference_output("web"))
    run = crew.start(partial(place.merge, *ALONE))
    run.join(200)
    assert run.exitcode == 0, crew.said(run)


def test_one_folder_by_two_names_is_one_output(place, crew, tmp_path):
    """Two roots may link to one folder on a large disk."""
    (tmp_path / "large disk" / "model").mkdir(parents=True)
    layouts = [type(place.layout)(tmp_path / name) for name in ("a", "b")]
    for layout in layouts:
        layout.root.mkdir()
        layout.merged_model.symlink_to(tmp_path / "large disk" / "model")
    crew.hold(layouts[0].merge_output)
    with pytest.raises(RequestError, match="is being written"), one_run([layouts[1].merge_output]):
        pass


@pytest.mark.parametrize("name", ["diff", "merge"])
def test_the_next_run_clears_what_a_killed_one_left(place, crew, name, monkeypatch):
    from dem import streams

    again, output = runs_of(place)[name]

    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(streams.NewFile, "write", die)
        killed = crew.start(again)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL and output.lock.exists()
    (left,) = output.path.parent.glob(".*.partial")
    run = crew.start(again)
    run.join(200)
    assert run.exitcode == 0 and f"removed {left}" in crew.said(run)
    assert not list(output.path.parent.glob(".*.partial")) and not output.lock.exists()
