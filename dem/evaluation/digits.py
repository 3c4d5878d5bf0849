"""Figures for people in as few digits as tell which side of a limit they lie on: 2.99999% is not 3.0%."""

from collections.abc import Callable, Sequence

MOST = 17
"""Digits of a float64."""
LONGEST = 6
"""Digits behind the point; a figure nearer to 0 than they can tell is written as a power of ten."""


def telling(write: Callable[[int], tuple[str, float]], value: float, limits: Sequence[float]) -> str:
    """What `write` makes of `value`, given so many digits more than usual, the first time that it tells the side.

    Args:
        write: gives a text, and the number that a reader takes from it.
        value: as measured.
        limits: of each, that number is to be below, at or above it as the value is.
    """
    sides = [_side(value, limit) for limit in limits]
    for more in range(MOST):
        text, read = write(more)
        if [_side(read, limit) for limit in limits] == sides:
            break
    return text


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def figure(value: float, form: str, *limits: float) -> str:
    """`value` in the format `form` (such as `+.1%`, `.3f` or `.4g`), in more digits where these hide the side."""
    lead, rest = form.split(".")
    digits, kind = int(rest[:-1]), rest[-1]
    unit = 100 if kind == "%" else 1

    def write(more: int) -> tuple[str, float]:
        beyond = digits + more - LONGEST
        if kind in "f%" and beyond > 0 and 0 < abs(value) * unit < 10.0**-LONGEST:
            text = f"{value * unit:{lead}.{beyond}g}" + "%" * (kind == "%")
        else:
            text = f"{value:{lead}.{digits + more}{kind}}"
        return text, float(text.rstrip("%")) / unit

    return telling(write, value, limits)
