"""Python in UTF-8, whatever the locale says: names of files, options and log lines may be Korean.

Under LC_ALL=C (a cron job, a container) Python falls back to UTF-8 by itself, unless PYTHONUTF8=0 forbids it; in a
locale such as en_US.ISO-8859-1 it does not. It then cannot even open a file whose name is Korean.
"""

import os
import sys
from collections.abc import Callable

from dem.errors import RequestError

_TRIED = "DEM_IN_UTF8"
"""The environment variable that keeps a process from starting itself for ever."""


def in_utf8(main: Callable[[], None]) -> Callable[[], None]:
    """`main`, of a process whose encoding has Hangul: one that lacks it starts its program anew, in UTF-8 mode.

    The process keeps its number, its arguments and its files.

    Raises:
        RequestError: when called, that did not help.
    """

    def run() -> None:
        if not _has_hangul():
            _start_anew()
        main()

    return run


def _start_anew() -> None:
    if os.environ.get(_TRIED) or not sys.executable:
        raise RequestError("Python's encoding here has no Korean letters: set PYTHONUTF8=1 or a UTF-8 locale")
    os.environ |= {_TRIED: "1", "PYTHONUTF8": "1"}  # the second for the processes that this one starts
    # -X holds also where -I or -E keep Python from reading the environment.
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _has_hangul() -> bool:
    """Whether Korean can be written in the encoding of file names and in that of stderr."""
    try:
        for encoding in (sys.getfilesystemencoding(), getattr(sys.stderr, "encoding", None) or "utf-8"):
            "한글".encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
