"""One run per output at a time, by a lock that the system releases when its holder ends, however it ends.

The lock is on an open file (flock); the file itself only says whose it is, and goes with the lock. One that a killed
run left behind is locked by nobody, and so hinders nobody.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dem.atomic import clear_leftovers, require_writable
from dem.errors import RequestError
from dem.layout import Output

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

_held: set[int] = set()
"""Descriptors of the files that this process has locked."""


def _forget() -> None:
    """A process that is forked would go on holding the locks after this one has died."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def one_run(outputs: Iterable[Output]) -> Iterator[list[str]]:
    """Be the only run that writes `outputs` while the block lasts; all of them are taken, or none.

    What killed runs left of them is cleared. Where a file system has no locks, the block is entered all the same, and
    nothing is cleared, because somebody may be writing it. Gives the lines that the log is to say of all this.

    Raises:
        RequestError: another run is writing one of the outputs, or its folder cannot be written.
    """
    notes: list[str] = []
    with ExitStack() as locks:
        # In one order, so that of two runs with several outputs in common one gets all.
        for output in sorted(outputs, key=lambda output: output.lock):
            if locks.enter_context(_locked(output)):
                notes += [line for part in output.parts for line in clear_leftovers(part)]
            else:
                notes.append(
                    f"WARNING: {output.lock.parent} is on a file system without locks: a second run that writes "
                    f"{output.path} at the same time would not be noticed, and what killed runs left is not cleared"
                )
        yield notes


@contextmanager
def _locked(output: Output) -> Iterator[bool]:
    """Hold the output's lock; False where the file system has none."""
    require_writable(output.lock.parent)
    try:
        descriptor = _take(output)
    except OSError as error:
        raise RequestError(f"lock {output.lock} cannot be taken ({error.strerror}): remove what is there") from None
    try:
        yield descriptor is not None
    finally:
        if descriptor in _held:  # not in a forked process, to which it does not belong
            with suppress(OSError):  # unlocked it hinders nobody
                output.lock.unlink()
            _held.remove(descriptor)
            os.close(descriptor)


def _take(output: Output) -> int | None:
    """The descriptor of the locked file, or None where the file system has no locks."""
    while True:
        descriptor = os.open(output.lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(descriptor, output.lock):
                _sign(descriptor)
                _held.add(descriptor)
                return descriptor
        except BlockingIOError:
            raise RequestError(
                f"{output.path} is being written by {_holder(descriptor)}: wait until it is done, or stop it"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            if not os.fstat(descriptor).st_size:  # nobody's
                output.lock.unlink(missing_ok=True)
            return None
        finally:
            if descriptor not in _held:
                os.close(descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether `path` is the file that is open: its last holder removes it when it is done."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError):  # on a full disk the lock is good without a name in it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}".encode(), 0)


def _holder(descriptor: int) -> str:
    """Who signed the locked file; one that has only just locked it gets a second to sign."""
    for _ in range(20):
        time.sleep(0.05)
        if signature := os.pread(descriptor, 200, 0).decode("utf-8", "replace"):
            return signature
    return "another process"
