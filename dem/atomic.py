"""Outputs that appear whole or not at all: written beside their place, then renamed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dem.errors import RequestError, WorkError


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
    folder = folder.resolve()  # a link stays, and what it leads to is replaced
    require_writable(folder.parent)
    _put_back(folder)
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
    free = shutil.disk_usage(folder).free
    if free < size:
        raise RequestError(f"{folder} needs {size / 2**30:.2f} GiB, and the disk has {free / 2**30:.2f} GiB free")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the path of a new file to write; it becomes `path` when the block ends without an error."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _full_disk_said(path):
            yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


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
    """
    path = path.resolve()
    partial, aside = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    _put_back(path)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with _full_disk_said(path):
            yield partial
        if path.exists():
            _keep_note(path, partial)
            path.rename(aside)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _full_disk_said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise WorkError(f"{path} could not be written: {error.strerror}; nothing of it was left behind") from None
        raise


def _put_back(path: Path) -> None:
    aside = path.with_name(f".{path.name}.old")
    if aside.exists() and not path.exists():
        with suppress(FileNotFoundError):  # another process of the same run was quicker
            aside.rename(path)


def _keep_note(old: Path, new: Path) -> None:
    """The repository keeps a line in each output folder that says what lands there; it outlives the contents."""
    note = old / ".note"
    if note.is_file():
        shutil.copy2(note, new)
