"""Reading, computing and writing large files at the same time, with buffers that are used again and again.

Fresh memory and the page cache both cost a fault for each page, which is most of the time of a plain copy. So a file
is read by a thread into a few buffers, and written by another past the page cache where the file system allows it.
"""

import ctypes
import errno
import fcntl
import math
import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

PIECE = 4 << 20
"""Bytes that are read or written at once."""
BLOCK = 4096
"""Bytes of which address, place and length must be multiples in a direct write; no common file system asks for more."""

LEAST_READ_AHEAD = 128 << 10
"""Bytes that Linux reads ahead of a file unless it was told otherwise."""

LIBC = ctypes.CDLL(None)

O_DIRECT = getattr(os, "O_DIRECT", 0)
"""Read or write past the page cache; macOS has no such flag."""

Item, Slot, Result = TypeVar("Item"), TypeVar("Slot"), TypeVar("Result")


class Source:
    """A file that is read once, in large pieces: from the page cache what lies there already, the rest past it."""

    def __init__(self, path: Path):
        """Open `path`, which must not be empty."""
        self._file = path.open("rb", buffering=0)
        self._mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapped))
        self._direct = -1
        if O_DIRECT:
            with suppress(OSError):  # this file system only reads through the page cache
                self._direct = os.open(path, os.O_RDONLY | O_DIRECT)
                weakref.finalize(self, os.close, self._direct)

    def read(self, start: int, size: int, buffer: memoryview) -> memoryview:
        """`size` bytes from byte `start` on, somewhere in `buffer`, which has to be larger by 2 * BLOCK.

        Raises:
            EOFError: the file ends before.
        """
        first = start // BLOCK * BLOCK
        room = buffer[: -(-(start + size - first) // BLOCK) * BLOCK]
        wanted = room[start - first : start - first + size]
        if self._direct < 0 or self._cached(first, len(room)) or not self._read_direct(first, start + size, room):
            read_exactly(self._file.fileno(), wanted, start)
        return wanted

    def prefetch(self) -> None:
        """Have the system read the whole file into the page cache meanwhile, where it takes such advice."""
        if hasattr(os, "posix_fadvise"):
            for start in range(0, len(self._mapped), LEAST_READ_AHEAD):  # it reads no more than that at one advice
                os.posix_fadvise(self._file.fileno(), start, LEAST_READ_AHEAD, os.POSIX_FADV_WILLNEED)

    def _cached(self, start: int, size: int) -> bool:
        """Whether most of these pages lie in the page cache; also where the system does not tell."""
        pages = (ctypes.c_ubyte * -(-size // BLOCK))()
        size = min(size, len(self._mapped) - start)
        try:
            if LIBC.mincore(ctypes.c_void_p(self._address + start), ctypes.c_size_t(size), pages):
                return True
        except AttributeError:
            return True
        return sum(page & 1 for page in bytes(pages)) * 2 > len(pages)

    def _read_direct(self, start: int, end: int, room: memoryview) -> bool:
        done = 0
        while start + done < end:
            try:
                got = os.preadv(self._direct, [room[done:]], start + done)
            except OSError:
                return False
            if got == 0:
                raise EOFError("the file is cut short")
            if got % BLOCK and start + done + got < end:
                return False  # the next read would begin off a block
            done += got
        return True


def read_exactly(file: int, buffer: memoryview, start: int) -> None:
    """Fill `buffer` from the open file, beginning at byte `start`.

    Raises:
        EOFError: the file ends before.
    """
    done = 0
    while done < len(buffer):
        got = os.preadv(file, [buffer[done:]], start + done)
        if got == 0:
            raise EOFError("the file is cut short")
        done += got


def in_order(
    work: Callable[[Item, Slot], Result], items: Iterable[Item], slots: list[Slot], workers: int, kept: int = 1
) -> Iterator[Result]:
    """`work(item, slot)` of each item, in the order of the items, done ahead by threads.

    Each item gets one of `slots` (buffers) in turn; it is the item's own until the `kept`-th result after this one is
    asked for. As many items are under way as there are slots, less the `kept` ones whose results are being used.
    """
    free = cycle(slots)
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item, next(free)))
                if len(waiting) > len(slots) - kept:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """While it lasts, torch computes in the thread that asks: the threads are those of `in_order`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Scratch(threading.local):
    """Memory of each thread's own that is overwritten again and again, and so stays in the thread's cache."""

    def __init__(self) -> None:
        self._kept = torch.empty(0, dtype=torch.uint8)

    def __call__(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """A tensor of any content, at an address that is a multiple of BLOCK; the one before must be done with."""
        size = math.prod(shape) * dtype.itemsize
        if len(self._kept) < size:
            self._kept = torch.frombuffer(buffers(1, size)[0], dtype=torch.uint8)
        return self._kept[:size].view(dtype).view(shape)


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def buffers(count: int, size: int) -> list[memoryview]:
    """`count` buffers of `size` bytes, each at an address that is a multiple of BLOCK.

    They are of huge pages where the system has them: a direct transfer then is of a few large pieces (1.3 times as
    fast here), and the first use of a buffer a few faults.
    """
    made = [mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(count)]
    if hasattr(mmap, "MADV_HUGEPAGE"):
        for memory in made:
            with suppress(OSError):  # the system was built without them
                memory.madvise(mmap.MADV_HUGEPAGE)
    return list(map(memoryview, made))


class Writer:
    """A thread that writes new files, and the memory for it: one buffer is filled while the other is written.

    Files may share it, since one at a time fills a buffer; so the memory does not grow with their number.
    """

    def __init__(self) -> None:
        self._buffers = cycle(buffers(2, PIECE))
        self._thread = ThreadPoolExecutor(1, "writer")
        self._writing: Future | None = None
        self._user: NewFile | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def lend(self, file: "NewFile") -> memoryview:
        """A buffer for `file`; another file that is filling one hands it in first."""
        if self._user:
            self._user.flush()
        self._user = file
        return next(self._buffers)

    def give_back(self) -> None:
        """Lend the other buffer next time: the one lent last is with the thread, or holds nothing any more."""
        self._user = None

    def submit(self, work: Callable[..., object], *arguments: object) -> None:
        """Have the thread do this; it must be free: see `wait`."""
        self._writing = self._thread.submit(work, *arguments)

    def wait(self) -> None:
        """Wait until the thread is free.

        Raises:
            OSError: what it had to write could not be written.
        """
        if self._writing:
            self._writing.result()


class NewFile:
    """A new file, written in runs of bytes that may come in any order; on the disk, not only in memory, when closed."""

    def __init__(self, path: Path, writer: Writer):
        """Create `path`, or empty it."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._writer = writer
        self._set_direct(True)
        self._size = 0
        self._edges: dict[int, bytearray] = {}  # blocks that two runs share, by their place in the file
        self._position = 0
        self._buffer: memoryview | None = None  # while a run is being filled

    def seek(self, position: int) -> None:
        """Let the next bytes stand at `position`."""
        if position != self._position:
            self.flush()
            self._position = position

    def write(self, data: bytes | memoryview) -> None:
        """Write `data`, which is copied before this returns, behind what was written last.

        Raises:
            OSError: an earlier part could not be written, for want of space for instance.
        """
        data = memoryview(data).cast("B")
        while len(data):
            if self._buffer is None:
                self._begin_run()
            filled = self._position - self._place
            part = data[: PIECE - filled]
            # By NumPy, which lets go of Python's lock meanwhile.
            np.copyto(np.frombuffer(self._buffer[filled : filled + len(part)], np.uint8), np.frombuffer(part, np.uint8))
            self._position += len(part)
            data = data[len(part) :]
            if filled + len(part) == PIECE:
                self.flush()

    def flush(self) -> None:
        """Hand the buffer's whole blocks to the writer as soon as it is free, and keep the rest for `close`."""
        if self._buffer is None:
            return
        self._writer.wait()
        filled = self._position - self._place
        whole, end = -(-self._first // BLOCK) * BLOCK, filled // BLOCK * BLOCK
        if whole <= end:
            self._keep_edge(self._first, whole)
            self._keep_edge(end, filled)
            self._writer.submit(self._write_all, self._place + whole, self._buffer[whole:end])
        else:
            self._keep_edge(self._first, filled)
        self._size = max(self._size, self._position)
        self._buffer = None
        self._writer.give_back()

    def close(self) -> None:
        """Write what is left and wait until all of it is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        try:
            self.flush()
            self._writer.wait()
            block = self._writer.lend(self)[:BLOCK]
            self._writer.give_back()
            for place, edge in sorted(self._edges.items()):
                block[:] = edge
                self._write_all(place, block)
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without a care for what is not written yet."""
        if self._file >= 0:
            with suppress(OSError):
                self._writer.wait()
            if self._buffer is not None:
                self._buffer = None
                self._writer.give_back()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "NewFile":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:
            self.abandon()
        else:
            self.close()

    def _begin_run(self) -> None:
        """Borrow a buffer, whose beginning stands at a block's: `_place`. The run's own bytes follow `_first`."""
        self._buffer = self._writer.lend(self)
        self._first = self._position % BLOCK
        self._place = self._position - self._first

    def _keep_edge(self, first: int, last: int) -> None:
        if first < last:
            start = first // BLOCK * BLOCK
            edge = self._edges.setdefault(self._place + start, bytearray(BLOCK))
            edge[first - start : last - start] = self._buffer[first:last]

    def _write_all(self, place: int, data: memoryview) -> None:
        while len(data):
            try:
                done = os.pwrite(self._file, data, place)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._set_direct(False):
                    raise
                continue  # a file system that lets a file be opened for direct writes, and then not written
            place, data = place + done, data[done:]
            if done % BLOCK:
                self._set_direct(False)

    def _set_direct(self, wanted: bool) -> bool:
        """Write past the page cache, or no longer; return whether that changed anything."""
        now = fcntl.fcntl(self._file, fcntl.F_GETFL)
        if bool(now & O_DIRECT) == wanted or not O_DIRECT:
            return False
        try:
            fcntl.fcntl(self._file, fcntl.F_SETFL, now ^ O_DIRECT)
        except OSError:  # this file system only writes through the page cache
            return False
        return True
