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


def in_words(seconds: float, limit: float = 0.0) -> str:
    """A duration, on its side of the `limit`: seconds below one minute, minutes below one hour."""

    def write(more: int) -> tuple[str, float]:
        if seconds < 60:
            text = f"{seconds:.{1 + more}f}"
            return f"{text} s", float(text)
        if seconds < 3600:
            text = f"{seconds / 60:.{3 + more}g}"
            return f"{text} min", float(text) * 60
        hours, minutes = divmod(round(seconds / 60, more), 60)
        text = f"{minutes:.{more}f}"
        return f"{hours:.0f} h" + f" {text} min" * bool(minutes), hours * 3600 + float(text) * 60

    return telling(write, seconds, [limit])


def in_figures(perplexity: float, more: int = 0) -> str:
    """A perplexity in as few digits as a reader can use, or so many more."""
    if perplexity < 1000:
        return f"{perplexity:.{(2 if perplexity < 100 else 1) + more}f}"
    return f"{perplexity:,.{more}f}" if perplexity < 1e6 else f"{perplexity:.{1 + more}e}"


def from_to(base: float, merged: float) -> str:
    """Two perplexities, as far apart as they are."""

    def write(more: int) -> tuple[str, float]:
        texts = [in_figures(perplexity, more) for perplexity in (base, merged)]
        one, other = (float(text.replace(",", "")) for text in texts)
        return " to ".join(texts), other - one

    return telling(write, merged - base, [0.0])
