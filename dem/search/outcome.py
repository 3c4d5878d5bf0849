"""Where a search ended: on a limit, beyond which the best weights may lie, or with what was learned by heart."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dem.search.quadratic import Limits


def ends_of(weights: np.ndarray, domains: list[str], patterns: list[str], limits: Limits) -> list[dict[str, Any]]:
    """Of each group of parameters, whose last one no pattern matches, what `weights` (domains, groups) ended on.

    Returns:
        Of each its `pattern` (None of the last), the `sum` of its weights, the `bound` if the sum ended on that, else
        None, and the domains whose weight is 0.
    """
    ends = []
    for pattern, column in zip([*patterns, None], weights.T, strict=True):
        reached = not limits.normalize and column.sum() >= limits.reached
        zero = [domain for domain, weight in zip(domains, column, strict=True) if weight == 0]
        own = {"sum": round(float(column.sum()), 6), "bound": limits.bound if reached else None, "zero": zero}
        ends.append({"pattern": pattern, **own})
    return ends


def ends_in_words(ends: list[dict[str, Any]], name: Callable[[str], str] = str) -> list[str]:
    """A sentence for each limit that a search ended on; `name` writes the names of domains and patterns."""
    return [sentence for end in ends for sentence in _sentences(end, _where(end, len(ends), name), name)]


def _where(end: dict[str, Any], groups: int, name: Callable[[str], str]) -> str:
    if groups == 1:
        return ""
    return f" in the parameters of {name(end['pattern'])}" if end["pattern"] else " in the other parameters"


def _sentences(end: dict[str, Any], where: str, name: Callable[[str], str]) -> list[str]:
    sentences = []
    if end["bound"] is not None:
        sentences.append(
            f"The sum of the weights{where} ended on search.bound, {end['bound']:g}, the largest that it may be: the "
            "best weights may lie beyond. Raise search.bound and search again"
        )
    if end["zero"]:
        names, several = ", ".join(map(name, end["zero"])), len(end["zero"]) > 1
        sentences.append(
            f"{names} ended at 0{where}, the least that a weight may be: {'their' if several else 'its'} "
            f"difference{'s take' if several else ' takes'} no part{' there' if where else ''}"
        )
    return sentences


def gain(record: dict[str, Any], side: str) -> float:
    """By how many nats per token a descent's objective became better on one `side`, fitted or held.

    Args:
        record: `fine` of a search's record.
    """
    start, end = record[side]["start"], record[side]["end"]
    return sum(share * (start[domain] - end[domain]) for domain, share in record["shares"].items())
