"""The two ways a script fails, and the one place that turns them into an exit status."""

import sys
from collections.abc import Callable


class RequestError(Exception):
    """The request was wrong (a bad option, a bad config, a missing or unusable input): one line, exit status 2."""


class WorkError(Exception):
    """The request was right and the work failed all the same: one line, exit status 1."""


def run_script(main: Callable[[], None]) -> int:
    """Run `main`; return 0, or print its mistake as one line to stderr and return 2 or 1.

    Anything else that is raised is a defect of this project and keeps its traceback (exit status 1 as well).
    """
    try:
        main()
    except (RequestError, WorkError) as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    except KeyboardInterrupt:
        print("error: interrupted; nothing half-written was left behind", file=sys.stderr)
        return 130
    return 0
