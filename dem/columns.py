"""Figures and columns for the log, aligned as a terminal shows it: a Hangul syllable is as wide as two letters."""

import unicodedata
from collections.abc import Iterable, Sequence

UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def in_bytes(size: float) -> str:
    """A number of bytes, in the largest unit of which it is a hundredth."""
    for unit, of in UNITS:
        if size >= of / 100:
            return f"{size / of:,.2f} {unit}"
    return f"{size:.0f} bytes"


def display_width(text: str) -> int:
    """Columns that a terminal takes for `text` (Unicode's annex 11): 2 for wide characters, 0 for combining ones."""
    return sum(_width(character) for character in unicodedata.normalize("NFC", text))


def aligned(rows: Iterable[Sequence[str]], *, left: int = 1) -> list[str]:
    """The rows as lines, two spaces apart; the first `left` columns begin at one place, the others end at one."""
    rows = [list(row) for row in rows]
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(cell, widths[i], i < left) for i, cell in enumerate(row)).rstrip() for row in rows]


def _padded(cell: str, width: int, to_the_left: bool) -> str:
    space = " " * (width - display_width(cell))
    return cell + space if to_the_left else space + cell


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
