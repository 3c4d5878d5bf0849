"""The two ways a script fails, and the one place that turns them into an exit status."""

import atexit
import gc
import os
import signal
import sys
import time
from collections.abc import Callable

COLLECT_AFTER = 10_000
"""Objects that are made between two looks for circles among the youngest: with Python's 700, importing libraries takes
a tenth longer."""

MAIN_SPEAKS_WITHIN = 10.0
"""Seconds that the other processes leave the main one to say what went wrong."""


class RequestError(Exception):
    """The request was wrong (a bad option, a bad config, a missing or unusable input): one line, exit status 2."""


class WorkError(Exception):
    """The request was right and the work failed all the same: one line, exit status 1."""


class SharedError(WorkError):
    """A WorkError that all processes raise at the same time, so that the main one can speak for all."""


def in_one_line(message: str) -> str:
    """The message on one line, as a terminal cannot misread it: what it would act on is shown by its number."""
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in " ".join(message.split()))


def run_script(main: Callable[[], None]) -> int:
    """Run `main`; return 0, or print its mistake as one line to stderr and return 2 or 1.

    Anything else that is raised is a defect of this project and keeps its traceback (exit status 1 as well).
    """
    gc.set_threshold(COLLECT_AFTER)
    # Else the interpreter looks at the end once more at all that libraries made, for a second.
    atexit.register(gc.freeze)
    try:
        main()
    except (RequestError, WorkError) as error:
        if not _another_speaks(error):
            print(f"error: {in_one_line(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    except KeyboardInterrupt:
        print("error: interrupted; nothing half-written was left behind", file=sys.stderr)
        return 130
    return 0


def _another_speaks(error: Exception) -> bool:
    """Whether the main one of several processes says the same; it gets the time to do so.

    The launcher ends all processes when it sees one fail. So if this one lives on after that time, the main process
    made no such mistake.
    """
    if os.environ.get("RANK", "0") == "0":
        return False
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(MAIN_SPEAKS_WITHIN)
    return isinstance(error, SharedError)
