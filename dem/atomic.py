"""Outputs that appear whole or not at all: written beside their place, then renamed.

What is not yet an output has a name of its own in each run, and no run touches another's. What a killed run left is
cleared by the next one that holds the output's lock (see `locks`), and so knows that nobody is writing it.
"""

import errno
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dem.errors import RequestError, WorkError
from dem.layout import real_place

log = logging.getLogger("dem")

_OWN = r"(\.\d+-[0-9a-f]{8})?"  # earlier versions had none
_PARTIAL, _ASIDE = "partial", "old"

_NOT_FORESEEN = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE),
    *(errno.EISDIR, errno.EACCES, errno.EPERM),  # of what is in the file's place
)


def require_writable(*folders: Path) -> None:
    """Make `folders`, and prove before any work that files can be written there.

    Raises:
        RequestError: a folder cannot be made or written.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise RequestError(f"output folder {folder} cannot be written: {error.strerror}") from None


def require_replaceable(folder: Path) -> None:
    """Prove before any work that `new_folder(folder)` can succeed; makes no `folder`.

    Raises:
        RequestError: something other than a folder is in its place, or the folder around it cannot be written.
    """
    folder = real_place(folder)  # a link stays, and what it leads to is replaced
    require_writable(folder.parent)
    _put_back(folder, _left_of(folder, _ASIDE))
    refuse_what_is_in_the_way(folder)


def refuse_what_is_in_the_way(folder: Path) -> None:
    """Refuse to replace what is no folder, or one that cannot be renamed.

    Raises:
        RequestError: a mount point or something other than a folder is in its place.
    """
    if os.path.ismount(folder):
        raise RequestError(
            f"output folder {folder} is a mount point, which cannot be replaced: mount the folder above it"
        )
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"output folder {folder} cannot be written: a file is in its place")


def require_space(folder: Path, size: int) -> None:
    """Refuse, before any work, to write `size` bytes into `folder` where the disk has not got them.

    Raises:
        RequestError: the disk is too full.
    """
    free = shutil.disk_usage(nearest_there(folder)).free
    if free < size:
        raise RequestError(f"{folder} needs {size / 2**30:.2f} GiB, and the disk has {free / 2**30:.2f} GiB free")


def nearest_there(path: Path) -> Path:
    """The path, or the nearest folder around it that is there: that of the disk on which it would be made."""
    return next(place for place in (path, *path.parents) if place.exists())


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the path of a new file to write; it becomes `path` when the block ends without an error."""
    partial = _beside(path, _PARTIAL)
    try:
        with _full_disk_said(path):
            yield partial
            os.replace(partial, path)
    finally:
        _clear_up(partial)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a new empty folder to fill; it takes the place of `path` when the block ends without an error.

    A reader finds the old folder or the new one. Between the two renames, for an instant, it finds neither; a
    process killed in that instant leaves the old folder under its set-aside name, and the next call of this or of
    `require_replaceable` puts it back.

    Raises:
        WorkError: the new folder cannot take its place; the old one stays.
    """
    path = path.resolve()
    partial, aside = _beside(path, _PARTIAL), _beside(path, _ASIDE)
    _put_back(path, _left_of(path, _ASIDE))
    try:
        with _full_disk_said(path):
            partial.mkdir(parents=True)
            yield partial
        _swap(path, partial, aside)
    finally:
        _clear_up(partial, aside)


def clear_leftovers(path: Path) -> list[str]:
    """Remove what killed runs left of the output `path`, beside it and below it; put back a folder that they set aside.

    Only for the holder of the output's lock: whoever else is writing it would lose what it has written.

    Returns:
        A line for the log on each thing that was there, and on each that cannot be removed.
    """
    real = path.resolve()
    try:
        _put_back(real, _left_of(real, _ASIDE))
        found = {left for place in (path, real) for left in _left_of(place)}
        found |= {left for left in real.rglob(".*") if re.fullmatch(rf".+\.({_PARTIAL}|{_ASIDE})", left.name)}
    except OSError as error:
        return [f"WARNING: what runs that were cut off may have left of {path} cannot be found ({error.strerror})"]
    return [_remove(left) or f"removed {left}, which a run that was cut off had left" for left in sorted(found)]


def _beside(path: Path, kind: str) -> Path:
    """A hidden name beside `path` that no other run and no other call has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def _left_of(path: Path, kind: str = f"{_PARTIAL}|{_ASIDE}") -> list[Path]:
    """What is there of the names that `_beside` gives to any run."""
    if not path.parent.is_dir():
        return []
    name = re.compile(rf"\.{re.escape(path.name)}{_OWN}\.({kind})")
    return [entry for entry in path.parent.iterdir() if name.fullmatch(entry.name)]


def _swap(path: Path, new: Path, aside: Path) -> None:
    """Let the folder `new` take the place of `path`, and set aside what was there."""
    try:
        if path.exists():
            _keep_note(path, new)
            path.rename(aside)
        new.rename(path)
    except OSError as error:
        raise WorkError(f"{path} could not be replaced ({error.strerror}): what was there before stays") from None
    finally:
        _put_back(path, [aside])


def _clear_up(*left: Path) -> None:
    """Remove what is no longer needed. If that fails the output is whole all the same, so it is said and no more."""
    for path in left:
        if problem := _remove(path):
            log.warning(problem)


def _remove(path: Path) -> str | None:
    """Remove a file or folder if it is there; or tell why it stays."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        return (
            f"WARNING: {path} could not be removed ({error.strerror}). Nothing needs it: remove it by hand, or leave "
            "it to the next run"
        )
    return None


@contextmanager
def _full_disk_said(path: Path) -> Iterator[None]:
    """Say in one line what the system is out of: space, or what else writing needs and no request can foresee."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_FORESEEN:
            raise WorkError(
                f"{path} could not be written: {error.strerror}; what was there before stays: mend that, and give the "
                "same command again"
            ) from None
        raise


def _put_back(path: Path, asides: list[Path]) -> None:
    """Where nothing is at `path`, undo the first rename of a `_swap` whose second did not follow."""
    if path.exists():
        return
    try:
        for aside in sorted((a for a in asides if a.exists()), key=lambda a: a.stat().st_ctime)[-1:]:  # the newest
            aside.rename(path)
    except OSError as error:  # another process of the same run was quicker
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise


def _keep_note(old: Path, new: Path) -> None:
    """The repository keeps a line in each output folder that says what lands there; it outlives the contents."""
    note = old / ".note"
    if note.is_file():
        shutil.copy2(note, new)
