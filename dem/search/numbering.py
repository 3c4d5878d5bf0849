"""Which weight is whose: of each domain's change of a parameter, the number of the weight of each of its columns.

A change that is a product has as many columns as its left factor; one that is set as a whole has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dem.config import TERMS

Key = tuple[str, str]
"""A domain, and the stored name of a parameter that its difference changes."""


@dataclass(frozen=True)
class Numbering:
    """The numbers of the weights."""

    of: dict[Key, torch.Tensor]
    """(columns,), int64: the weight of each column."""
    owners: np.ndarray
    """(weights,): the number of each weight's domain."""


def numbered(domains: list[str], columns: dict[Key, int], groups: dict[str, int] | str) -> Numbering:
    """The numbering of `columns`, which are the domains' changes and how many each has.

    Args:
        groups: of each parameter the number of its group: the weights are (domains, groups), in their flat order. Or
            `modules`: a weight for each change; or `terms`: one for each column.
    """
    place = {domain: number for number, domain in enumerate(domains)}
    if isinstance(groups, dict):
        count = max(groups.values()) + 1
        of = {(d, name): torch.full((n,), place[d] * count + groups[name]) for (d, name), n in columns.items()}
        return Numbering(of, np.repeat(np.arange(len(domains)), count))
    sizes = [n if groups == TERMS else 1 for n in columns.values()]
    firsts = np.cumsum([0, *sizes]).tolist()
    step = int(groups == TERMS)
    of = {key: first + step * torch.arange(n) for (key, n), first in zip(columns.items(), firsts, strict=False)}
    return Numbering(of, np.repeat([place[domain] for domain, _ in columns], sizes))


def group_numbers(names: list[str], group_of: Sequence[int] | None) -> dict[str, int]:
    """The group of each parameter; without `group_of`, all are in group 0."""
    return dict(zip(names, group_of or [0] * len(names), strict=True))
