"""Proof before any work that a stage's outputs can be written; of a dry run, without leaving a trace."""

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from dem.atomic import refuse_what_is_in_the_way, require_replaceable, require_writable
from dem.errors import RequestError
from dem.layout import real_place


def require_outputs(
    *folders: Path, files: Iterable[Path] = (), replaced: Path | None = None, dry_run: bool = False
) -> None:
    """Prove that `files`, and others into `folders`, can be written, and that the folder `replaced` can be anew.

    With `dry_run` nothing is made: the folders that are there already show whether the others could be.

    Raises:
        RequestError: something cannot be written.
    """
    if not dry_run:
        if replaced:
            require_replaceable(replaced)
        require_writable(*folders)
    else:
        if replaced:
            replaced = real_place(replaced)  # a link stays, and what it leads to is replaced
            _require_creatable(replaced.parent)
            refuse_what_is_in_the_way(replaced)
        for folder in folders:
            _require_creatable(folder)
    for file in files:
        _refuse_another_kind(file)


def _refuse_another_kind(file: Path) -> None:
    """Refuse to write a file over a folder, or into a pipe that nobody may read."""
    if file.exists() and not (file.is_file() or file.is_char_device()):
        kind = "a folder" if file.is_dir() else "something that is no file"
        raise RequestError(f"{file} cannot be written: {kind} is in its place; remove or rename it")


def _require_creatable(folder: Path) -> None:
    """Try it in the nearest folder that is there; the file that is tried has no name."""
    there = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    try:
        if not there.is_dir():
            raise OSError(errno.EEXIST if there == folder else errno.ENOTDIR, "")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = os.strerror(error.errno)
        raise RequestError(f"output folder {folder} cannot be written: {reason}") from None
