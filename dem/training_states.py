"""The saved states of an unfinished training: whole or not there, checked before one is gone on from, two of them kept.

Trainer writes a state as a folder `checkpoint-<step>`. It goes on silently where the optimizer's, the scheduler's or
the random numbers' part is missing, and breaks where one is damaged. So the last file of a state lists all the others
with their hashes, and no state is gone on from that is not what its list says.
"""

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import xxhash
from torch.distributed.checkpoint.api import CheckpointException
from transformers import TrainerCallback

from dem import processes
from dem.atomic import nearest_there, write_text
from dem.checkpoints import files_fingerprint
from dem.common import log
from dem.errors import RequestError, WorkError
from dem.gpu_memory import out_of_memory
from dem.run_record import changes

COMPLETE = "complete"
"""Name of a state's last file: a hash of the rest of it, then its list of files and the record of its training."""

FORMAT_VERSION = 1

KEPT = 2
"""States that stay: if the newest turns out to be damaged, the training goes on from the one before it. A LoRA's state
is about three times as large as its adapter."""


class _Unusable(Exception):
    """Why a state cannot be gone on from."""


class SavedStates:
    """The states of one training, `checkpoint-<step>` in one folder; the main process alone writes and decides."""

    def __init__(self, folder: Path, run: dict[str, Any]):
        """In `folder`, of the training that `run` describes: the state of another one is not gone on from."""
        self.folder, self._run = folder, run

    def can_go_on(self, overwrite: bool) -> bool:
        """Whether there is a state of this training, by what the states say of themselves.

        Raises:
            RequestError: there is one of a training that differs, and `overwrite` does not give it up; or something
                other than a folder is in the states' place.
        """
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            raise RequestError(f"{self.folder} is no folder: remove it, the state of the training goes there")
        changed, newest = self._changes(), self.newest()
        if changed and not overwrite:
            raise RequestError(
                f"{self.folder} holds an unfinished training ({newest.name}), and since then there changed "
                f"{'; '.join(changed)}: set that back to go on with it, or give it up with --overwrite"
            )
        return newest is not None and not changed

    def open(self) -> None:
        """Make the folder ready; the log says of each state that is given up what is wrong with it.

        Raises:
            WorkError: what has to go cannot be removed.
        """
        if changed := self._changes():
            log.info(
                f"beginning anew: since the unfinished training in {self.folder} there changed {'; '.join(changed)}"
            )
            _remove(self.folder)
        with saving(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        for saved in self._folders():
            if not _is_marked(saved):  # cut off while it was written
                _remove(saved)
        self._give_up_damaged()

    def _give_up_damaged(self) -> None:
        """Remove states, the newest first, until one is what it should be."""
        _, damaged = self.usable()
        for saved, mistake in damaged:
            _remove(saved)
            before = self.newest()
            then = f"looking at {before.name}, the one before" if before else "the training begins anew"
            log.info(f"WARNING: the saved state {saved} is given up, {mistake}: {then}")

    def usable(self) -> tuple[Path | None, list[tuple[Path, str]]]:
        """The newest state that is what its list says; and each newer one that is not, with what is wrong with it."""
        damaged = []
        for saved in filter(_is_marked, self._folders()):
            try:
                self._check(saved)
                return saved, damaged
            except _Unusable as mistake:
                damaged.append((saved, str(mistake)))
        return None, damaged

    def newest(self) -> Path | None:
        """The newest state; after `open` it is the one to go on from, or None to begin at the first step."""
        return next((saved for saved in self._folders() if _is_marked(saved)), None)

    def complete(self, step: int) -> None:
        """Mark the state of `step` as whole, once all processes have written it; then remove all but the last KEPT."""
        state = self.folder / f"checkpoint-{step}"
        files = {name: [path.stat().st_size, files_fingerprint([path])] for name, path in _files(state).items()}
        text = json.dumps({"format": FORMAT_VERSION, "run": self._run, "files": files}, ensure_ascii=False)
        write_text(state / COMPLETE, f"{_hash(text.encode())}\n{text}")
        for old in [saved for saved in self._folders() if _is_marked(saved)][KEPT:]:
            _remove(old)

    def remove_unfinished(self) -> None:
        """Remove what was cut off while it was written, for the room that it takes."""
        for saved in self._folders():
            if not _is_marked(saved):
                shutil.rmtree(saved, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Of each step what is there by the name of its state, the newest first."""
        found = {path: re.fullmatch(r"checkpoint-([0-9]+)", path.name) for path in self.folder.glob("checkpoint-*")}
        return sorted((path for path in found if found[path]), key=lambda path: int(found[path][1]), reverse=True)

    def _changes(self) -> list[str]:
        """What changed since the newest state that tells what it is of, a phrase each."""
        for saved in self._folders():
            try:
                return changes(_manifest(saved)["run"], self._run)
            except _Unusable:
                continue
        return []

    def _check(self, state: Path) -> None:
        """Raise _Unusable if the state is not what its list says, or is of another training."""
        manifest = _manifest(state)
        if changed := changes(manifest["run"], self._run):
            raise _Unusable(f"it is of another training ({'; '.join(changed)})")
        for name, (size, fingerprint) in manifest["files"].items():
            _check_file(state, name, size, fingerprint)
        if others := sorted(set(_files(state)) - set(manifest["files"])):
            raise _Unusable(f"{others[0]} was put there by something else")


class MarkComplete(TrainerCallback):
    """Marks each saved training state once Trainer has written all of it."""

    def __init__(self, states: SavedStates):
        self._states = states

    def on_save(self, args, state, control, **kwargs):
        """Put the mark, after everything else that any process writes."""
        with saving(self._states.folder / f"checkpoint-{state.global_step}"):
            processes.on_main(self._states.complete, state.global_step)


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """While `path` is written: what fails on the way to the disk is told in one line, with what to do.

    Raises:
        WorkError: in place of what Python, torch, safetensors and tokenizers raise, each something else.
    """
    try:
        yield
    except (RequestError, WorkError):
        raise
    except (Exception, CheckpointException) as error:
        if out_of_memory(error):
            raise
        reason = getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[0]
        free = shutil.disk_usage(nearest_there(path)).free / 2**30
        raise WorkError(
            f"{path} could not be written: {reason} ({free:.2f} GiB are free on its disk); mend that, and the same "
            "command goes on from the last saved state"
        ) from None


def _files(state: Path) -> dict[str, Path]:
    """The state's files by their names below its folder: without the mark, and without hidden ones of the system's."""
    files = [path for path in sorted(state.rglob("*")) if path.is_symlink() or not path.is_dir()]
    names = {str(path.relative_to(state)): path for path in files}
    return {n: p for n, p in names.items() if n != COMPLETE and not any(part.startswith(".") for part in Path(n).parts)}


def _is_marked(state: Path) -> bool:
    return os.path.lexists(state / COMPLETE)


def _manifest(state: Path) -> dict[str, Any]:
    """What the state's mark says: `run`, and `files`, the size and hash of each by name."""
    content = _read(state / COMPLETE)
    given, _, text = content.partition(b"\n")
    if given.decode(errors="replace") != _hash(text):
        raise _Unusable(f"its list of files ({COMPLETE}) is {'damaged' if content else 'empty'}")
    manifest = json.loads(text)
    written_as = manifest.get("format") if isinstance(manifest, dict) else None
    if written_as != FORMAT_VERSION:
        raise _Unusable(f"its list of files is of format {written_as}, this version reads {FORMAT_VERSION}")
    return manifest


def _check_file(state: Path, name: str, size: int, fingerprint: str) -> None:
    path = state / name
    if _require_file(path).st_size != size:
        raise _Unusable(f"{name} has {path.stat().st_size:,} bytes in place of {size:,}")
    try:
        same = files_fingerprint([path]) == fingerprint
    except OSError as error:
        raise _Unusable(f"{name} cannot be read ({error.strerror})") from None
    if not same:
        raise _Unusable(f"{name} is not what was written")


def _read(path: Path) -> bytes:
    _require_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Unusable(f"{path.name} cannot be read ({error.strerror})") from None


def _require_file(path: Path) -> os.stat_result:
    """Raise _Unusable unless `path` is a plain file, which can be read without waiting."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise _Unusable(f"{path.name} is missing") from None
    except OSError as error:
        raise _Unusable(f"{path.name} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        raise _Unusable(f"{path.name} is no plain file")
    return status


def _remove(path: Path) -> None:
    """Remove a state, or the folder of all; without its mark it is no state, whenever the removal is cut off."""
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        with suppress(OSError):  # there is none, or a folder in its place, which goes with the rest
            (path / COMPLETE).unlink()
        shutil.rmtree(path)
    except OSError as error:
        raise WorkError(f"{path} cannot be removed ({error.strerror}): remove it by hand") from None


def _hash(content: bytes) -> str:
    return xxhash.xxh3_128(content).hexdigest()
