import errno
import logging
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import split_off

from dem.atomic import clear_leftovers, new_file, new_folder, require_replaceable, require_writable
from dem.common import log
from dem.errors import RequestError, WorkError


def test_a_file_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError), new_file(path) as partial:
        partial.write_text("half")
        raise ValueError
    assert path.read_text() == "old"
    with new_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_whole_or_the_old_one_and_keeps_its_note(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / ".note").write_text("what lands here")
    (path / "old").touch()
    with pytest.raises(ValueError), new_folder(path) as partial:
        (partial / "half").touch()
        raise ValueError
    assert sorted(p.name for p in path.iterdir()) == [".note", "old"]
    with new_folder(path) as partial:
        (partial / "new").touch()
    assert sorted(p.name for p in path.iterdir()) == [".note", "new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def kept_by_a_killed_run(path, folder=True):
    """The names that a run had for what it was writing when it was killed."""
    heard = path.parent / "names"

    def work():
        with (new_folder if folder else new_file)(path) as partial:
            (partial / "half" if folder else partial).write_text("half")
            heard.write_text(partial.name)
            os.kill(os.getpid(), signal.SIGKILL)

    split_off(work, path.parent / "stderr").join()
    name = heard.read_text()
    heard.unlink()
    (path.parent / "stderr").unlink()
    return name


def test_what_a_killed_run_left_is_mended(tmp_path):
    """Also what earlier versions left, who gave fixed names."""
    aside, partial = tmp_path / ".out.old", tmp_path / ".out.partial"
    aside.mkdir()
    (aside / "old").touch()
    partial.mkdir()
    (partial / "half").touch()
    (tmp_path / ".output.partial").touch()  # another output's
    names = {kept_by_a_killed_run(tmp_path / "out"), kept_by_a_killed_run(tmp_path / "out", folder=False)}
    assert len(names) == 2 and names < {p.name for p in tmp_path.iterdir()}
    with pytest.raises(ValueError), new_folder(tmp_path / "out"):
        raise ValueError
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["old"]
    (tmp_path / "out" / "within").mkdir()
    (tmp_path / "out" / "within" / ".a.json.1-00000000.partial").touch()
    said = clear_leftovers(tmp_path / "out")
    assert {p.name for p in tmp_path.rglob("*")} == {"out", "old", "within", ".output.partial"}
    assert len(said) == 4 and all("had left" in line for line in said)
    assert clear_leftovers(tmp_path / "nothing" / "there") == []


def test_two_at_once_do_not_touch_what_the_other_is_writing(tmp_path):
    """As it happens where a file system has no locks."""
    with new_folder(tmp_path / "out") as first, new_file(tmp_path / "a.txt") as mine:
        (first / "whole").touch()
        mine.write_text("whole")
        with new_folder(tmp_path / "out") as second, new_file(tmp_path / "a.txt") as other:
            (second / "other").touch()
            other.write_text("other")
        assert [p.name for p in first.iterdir()] == ["whole"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.txt", "out", "whole"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_an_old_folder_is_not_lost_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").touch()
    rename = Path.rename

    def refused(self, target):
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(WorkError, match="could not be replaced .Input/output error."), new_folder(path) as partial:
        (partial / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old"]


def test_of_two_folders_set_aside_the_later_is_put_back(tmp_path):
    for name in ("1-00000000", "2-00000000"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / name).touch()
        (tmp_path / "out").rename(tmp_path / f".out.{name}.old")
        time.sleep(0.02)
    require_replaceable(tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["2-00000000"]


def test_clearing_up_says_when_it_fails(tmp_path, monkeypatch):
    """With few file descriptors a folder can be renamed and not be removed."""

    def few(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    (tmp_path / "out" / "old").mkdir(parents=True)

    def work():
        log.handlers = [logging.StreamHandler(sys.stderr)]
        with new_folder(tmp_path / "out") as partial:
            (partial / "new").touch()
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
            with suppress(OSError):
                while True:
                    os.dup(2)

    heard = tmp_path / "stderr"
    run = split_off(work, heard)
    run.join()
    assert run.exitcode == 0 and [p.name for p in (tmp_path / "out").iterdir()] == ["new"]
    (old,) = tmp_path.glob(".out.*.old")
    (line,) = heard.read_text().splitlines()
    assert f"WARNING: {old} could not be removed (Too many open files)" in line and "by hand" in line
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", few)
        patch.setattr(os, "listdir", few)
        (line,) = clear_leftovers(tmp_path / "out")
    assert line.startswith("WARNING") and "cannot be found (Too many open files)" in line
    assert clear_leftovers(tmp_path / "out") == [f"removed {old}, which a run that was cut off had left"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EROFS])
def test_what_the_system_lacks_is_said_in_one_line(tmp_path, number):
    for new, name in ((new_file, "a.txt"), (new_folder, "out")):
        said = f"{name} could not be written: {os.strerror(number)}"
        with pytest.raises(WorkError, match=said), new(tmp_path / name):
            raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "large disk" / "model").mkdir(parents=True)
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "large disk" / "model")
    for name in ("first", "second"):
        require_replaceable(link)
        with new_folder(link) as partial:
            (partial / name).touch()
        assert link.is_symlink() and [p.name for p in link.iterdir()] == [name]
    assert [p.name for p in (tmp_path / "large disk").iterdir()] == ["model"]


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for check in (require_writable, require_replaceable):
        with pytest.raises(RequestError, match="cannot be written"):
            check(tmp_path / "file")
        with pytest.raises(RequestError, match="cannot be written"):
            check(tmp_path / "file" / "below")
    with pytest.raises(RequestError, match="mount point"):
        require_replaceable(tmp_path.__class__("/proc"))


def test_what_was_set_aside_is_put_back_before_any_work(tmp_path):
    """A process killed between the two renames of `new_folder` leaves this."""
    (tmp_path / ".lora.old").mkdir()
    (tmp_path / ".lora.old" / "state").touch()
    require_replaceable(tmp_path / "lora")
    assert (tmp_path / "lora" / "state").exists() and not (tmp_path / ".lora.old").exists()
