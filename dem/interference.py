"""What interferes with what: how alike the domains' differences point, and how often their signs disagree.

Two figures of each pair of domains, both of the differences as they are stored, before merge.weights:

- the cosine of the angle between the two whole vectors: 1 the same direction, 0 unrelated, -1 opposite;
- the sign conflict: of the elements that both change, the share with opposite signs. Every element counts alike;
  chance gives a half.

A parameter that one of them does not change is zero there.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from dem.diffs import Difference

FORMAT = 1
PIECE = 1 << 12
"""Elements that are read together; within one parameter."""
PIECES = 1 << 12
"""Pieces that are looked at, drawn with SEED; where there are no more, all of them are."""
TOGETHER = 16
"""Pieces of a parameter that are compared at once."""
SEED = 0

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class Interference:
    """A row and a column per domain; None on the diagonal and where a figure does not exist (a difference of 0)."""

    domains: list[str]
    elements: int
    """Of all parameters that one of the domains changes."""
    sampled: int
    """Elements that were looked at."""
    cosine: Matrix
    cosine_error: Matrix
    """Standard error from the sampling; 0 where all elements counted."""
    sign_conflict: Matrix
    sign_conflict_error: Matrix

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {"format": FORMAT, "seed": SEED, **asdict(self)}


@dataclass(frozen=True)
class _Piece:
    """Elements `first` up to `last` of a parameter."""

    name: str
    first: int
    last: int


def measure(differences: dict[str, Difference]) -> Interference:
    """Compare every two of `differences`, by domain, in less than 0.1 GiB beside the factors of one parameter.

    Cosines come from sums over parameters of <x, y>. Where every domain that changes a parameter stores it as two
    factors (B A), the sum is exact without the product: trace((B1^T B2) (A2 A1^T)), in float64. The sums of other
    parameters, and all signs, come from a random sample of pieces (simple, without replacement), since a full pass
    over several dense vectors of 10 GB would take minutes. The errors are those of a ratio estimator in such a
    sample of clusters (Cochran 1977, Sampling Techniques, chapters 6 and 9).

    Raises:
        RequestError: factors are damaged.
    """
    sizes = {p.name: p.size for d in differences.values() for p in d.index.parameters}
    vectors = list(differences.values())
    dense = {p.name for d in vectors for p in d.index.parameters if not p.factors}
    pieces, total = _draw(sizes)
    of_name: dict[str, list[_Piece]] = {name: [] for name in sizes}
    for piece in pieces:
        of_name[piece.name].append(piece)

    exact = np.zeros((len(vectors), len(vectors)))
    # Made at once: small arrays kept one by one lie between large ones that go, and keep memory from being used again.
    grams, both, opposite = figures = np.zeros((3, len(pieces), *exact.shape))
    done = 0
    for name, own in of_name.items():
        exact += _look(vectors, name, own, name in dense, figures[:, done : done + len(own)])
        done += len(own)
    cosine = _cosines(exact, grams, total)
    conflict = _shares(opposite, both, total)
    looked_at = sum(piece.last - piece.first for piece in pieces)
    domains = list(differences)
    return Interference(domains, sum(sizes.values()), looked_at, *map(_plain, (*cosine, *conflict)))


def _draw(sizes: dict[str, int]) -> tuple[list[_Piece], int]:
    """The pieces to look at, in the order in which they lie in the files, and the number of all pieces."""
    counts = {name: -(-size // PIECE) for name, size in sizes.items()}
    ends = np.cumsum(list(counts.values()))
    total = int(ends[-1])
    chosen = np.arange(total)
    if total > PIECES:
        chosen = np.sort(np.random.default_rng(SEED).choice(total, PIECES, replace=False, shuffle=False))
    names = list(counts)
    pieces = []
    for number in chosen:
        owner = int(np.searchsorted(ends, number, side="right"))
        name = names[owner]
        first = int(number - ends[owner] + counts[name]) * PIECE
        pieces.append(_Piece(name, first, min(first + PIECE, sizes[name])))
    return pieces, total


def _look(vectors: list[Difference], name: str, pieces: list[_Piece], dense: bool, figures: np.ndarray) -> np.ndarray:
    """Of one parameter <x, y> of every two vectors, exactly, unless one is dense (then 0).

    `figures`, (3, pieces, n, n), become what the pieces say of every two vectors: <x, y> (0 where the factors tell),
    elements that both change, opposite signs.
    """
    factors = {i: d.factors(name) for i, d in enumerate(vectors) if name in d}
    gram = np.zeros((len(vectors), len(vectors)))
    if not dense:
        gram[np.ix_(list(factors), list(factors))] = _gram(list(factors.values()))
    readers = [d.elements(name, factors.get(i)) for i, d in enumerate(vectors)]
    for first in range(0, len(pieces), TOGETHER):
        some = slice(first, first + TOGETHER)
        values = _values(readers, pieces[some])
        signs = values.sign()
        changed = signs.abs()
        grams, both, opposite = figures[:, some]
        both[:] = changed @ changed.mT
        opposite[:] = (both - (signs @ signs.mT).numpy()) / 2
        if dense:
            grams[:] = values.double() @ values.double().mT
    return gram


def _gram(factors: list[tuple[torch.Tensor, torch.Tensor]]) -> np.ndarray:
    """<x, y> of every two products of factors, (n, n)."""
    lefts = torch.cat([left for left, _ in factors], 1).double()
    rights = torch.cat([right for _, right in factors]).double()
    of_columns = ((lefts.T @ lefts) * (rights @ rights.T)).numpy()
    firsts = np.cumsum([0, *(len(right) for _, right in factors[:-1])])
    return np.add.reduceat(np.add.reduceat(of_columns, firsts, 0), firsts, 1)


def _values(readers: list[Callable[[int, int], np.ndarray]], pieces: list[_Piece]) -> torch.Tensor:
    """The elements of these pieces, (pieces, n, PIECE); zeros behind those of a shorter one."""
    values = torch.zeros(len(pieces), len(readers), PIECE, dtype=torch.float32)
    for piece, rows in zip(pieces, values.numpy(), strict=True):
        for read, row in zip(readers, rows, strict=True):
            row[: piece.last - piece.first] = read(piece.first, piece.last)
    return values


def _cosines(exact: np.ndarray, grams: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and their errors, from exact sums and from those of some of the `total` pieces, (pieces, n, n)."""
    sums = exact + grams.sum(0) * (total / len(grams))
    squares = np.diagonal(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / np.sqrt(np.outer(squares, squares))
        cosines = np.clip(sums * scale, -1, 1)
        own = np.diagonal(grams, axis1=1, axis2=2) / squares
        leads = grams * scale - cosines * (own[:, :, None] + own[:, None, :]) / 2
    return cosines, _error(leads, total)


def _shares(parts: np.ndarray, wholes: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares sum(parts) / sum(wholes) over the pieces, and their errors."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = parts.sum(0) / wholes.sum(0)
        leads = (parts - shares * wholes) / (wholes.sum(0) * (total / len(parts)))
    return shares, _error(leads, total)


def _error(leads: np.ndarray, total: int) -> np.ndarray:
    """Standard error of the estimated sum over all `total` pieces of `leads`, which some pieces have, (pieces, ...)."""
    count = len(leads)
    if count == total:
        return np.where(np.isfinite(leads[0]), 0.0, np.nan)
    return total * np.sqrt((1 - count / total) * leads.var(0, ddof=1) / count)


def _plain(matrix: np.ndarray) -> Matrix:
    return [
        [float(v) if i != j and np.isfinite(v) else None for j, v in enumerate(row)] for i, row in enumerate(matrix)
    ]
