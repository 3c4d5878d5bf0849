"""How long a part of the work took, whether it was done now or in an earlier run that kept its results."""

import time

_running: list["Timed"] = []


class Timed:
    """Counts the seconds of its `with` blocks, together; of what is taken up there from a file, those it took then."""

    def __init__(self):
        self.seconds = 0.0

    def __enter__(self) -> "Timed":
        self._began = time.monotonic()
        _running.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _running.remove(self)
        self.seconds += time.monotonic() - self._began


def count_kept(seconds: float) -> None:
    """Count what a result that was taken up from a file once took, for all that is being timed."""
    for timed in _running:
        timed.seconds += seconds
