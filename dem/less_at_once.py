"""Half as much at once where memory does not suffice for more, and half of that, with the same result."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from dem.common import log
from dem.errors import WorkError
from dem.gpu_memory import out_of_memory

Result = TypeVar("Result")
Progress = Callable[[int], object]

_HALVINGS: dict[str, int] = {}
"""How often this process had to take half, by the name of the work: what did not fit is not tried again."""


def as_much_as_fits(
    what: str,
    work: Callable[[int, Progress], Result],
    at_once: int,
    least: int,
    progress: Progress = lambda done: None,
    unit: str = "tokens",
) -> Result:
    """What `work` makes of as many units at once as it is told, `at_once` or what fits into memory.

    Args:
        what: names the work, in the log and for the next time.
        work: is told the units and whom to tell its progress; where memory did not suffice it is called again, and
            begins anew.
        least: what it takes at once however few it is told, such as the longest piece.
        progress: is told what is done, and of what is done in vain that it is not (a negative number).

    Raises:
        WorkError: memory does not suffice for `least` at once.
    """
    while True:
        size, done = max(at_once >> _HALVINGS.get(what, 0), 1), []

        def count(some: int, done: list[int] = done) -> None:
            done.append(some)
            progress(some)

        try:
            return work(size, count)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if size <= least:
                raise WorkError(f"{what}: memory does not suffice for {least:,} {unit} at once") from None
        # Only here, where the error no longer holds what was computed until then.
        _HALVINGS[what] = _HALVINGS.get(what, 0) + 1
        log.info(f"{what}: {size:,} {unit} at once do not fit into memory: taking half as many from here on")
        progress(-sum(done))
        gc.collect()
        torch.cuda.empty_cache()
