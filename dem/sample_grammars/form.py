"""The form of a grammar, as data for `dem.sample_text`.

A `Kind` is one sort of document (a river's article, a product review). It holds the parts of such a document
in order, and each part says how many of its templates are used. How slots are written is told in
`dem.sample_text`. What a slot may hold is a tuple of values, a range of numbers, or a function that works
the value out from other slots.

A `table` is a vocabulary whose columns belong together: a document takes one row, so that a keyboard is
reviewed for its keys and a soup for its taste. A cell with commas is a small vocabulary of its own.

The blocks of text in the grammars hold one entry a line; a backslash continues a line, and '|' stands for a line
break inside an entry. All names, places, laws and facts are invented.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

Part = tuple[int, int, tuple[str, ...]]
Values = tuple | range | Callable
Table = tuple[tuple[str, ...], tuple[tuple[tuple[str, ...], ...], ...]]


@dataclass(frozen=True)
class Kind:
    """One sort of document: its parts in order, and the vocabulary only it uses."""

    parts: tuple[Part, ...]
    tables: tuple[Table, ...] = ()
    slots: dict[str, Values] = field(default_factory=dict)
    joiner: str = " "


@dataclass(frozen=True)
class Grammar:
    """A domain: the vocabulary its documents share, and the kinds of documents it has."""

    slots: dict[str, Values]
    kinds: tuple[Kind, ...]


def words(text: str) -> tuple[str, ...]:
    """The words of a block; an underscore stands for a space inside one entry."""
    return tuple(word.replace("_", " ") for word in text.split())


def lines(text: str) -> tuple[str, ...]:
    """The lines of a block, runs of spaces made one, '|' made a line break."""
    return tuple(" ".join(line.split()).replace("|", "\n") for line in text.splitlines() if line.strip())


def table(names: str, text: str) -> Table:
    """Rows of cells parted by ';', each cell a tuple of the values parted by ', '."""
    columns = tuple(names.split())
    rows = tuple(tuple(tuple(cell.strip().split(", ")) for cell in line.split(";")) for line in lines(text))
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"a row of the table {names!r} does not have {len(columns)} cells")
    return columns, rows


def some(low: int, high: int, text: str) -> Part:
    """A part that uses between low and high of its templates, in random order."""
    return low, high, lines(text)


def one(text: str) -> Part:
    """A part that uses exactly one of its templates."""
    return some(1, 1, text)


def maybe(text: str) -> Part:
    """A part that uses one of its templates or none."""
    return some(0, 1, text)


def total(*names: str) -> Callable:
    """The slot that is the sum of the other slots."""
    return lambda value: sum(value(name) for name in names)


def product(*names: str) -> Callable:
    """The slot that is the product of two other slots."""
    return lambda value: value(names[0]) * value(names[1])


def difference(*names: str) -> Callable:
    """The slot that is the first slot less the second."""
    return lambda value: value(names[0]) - value(names[1])
