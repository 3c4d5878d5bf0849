"""The kinds of single values in the configuration, and the one table of how large and small each may be.

An upper bound is no advice: it stands where no machine, model or library could follow, so that a slip of the keyboard
is answered at once and not by an overflow hours later.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from dem.given_text import repeated, unusable_character
from dem.local_paths import LONGEST_NAME, local_path, model_source

LONGEST_PATTERN = 10_000
"""Characters of a regular expression."""


class Given(str):
    """A text that somebody gave, with the `folder` that a path in it starts from."""

    folder: str


def given_in(folder: str, value: Any) -> Any:
    """A copy of a tree of plain values in which each text knows that it was given in `folder`."""
    if isinstance(value, dict):
        return {name: given_in(folder, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [given_in(folder, inner) for inner in value]
    if isinstance(value, str):
        value = Given(value)
        value.folder = folder
    return value


def _usable(value: str) -> str:
    if mistake := unusable_character(value):
        raise ValueError(f"holds {mistake}")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(_usable(value))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{repeated(value)} is not a regular expression: {error or 'it is too deep'}") from None
    return value


def _without_point(value: Any) -> Any:
    """1e2, to YAML a number with a point, as the whole number that it is; above 2**53 it may stand for several."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


def _text(longest: int, check: Callable[[str], str], words: str) -> Any:
    field = Field(min_length=1, max_length=longest, json_schema_extra={"words": words})
    return Annotated[str, field, AfterValidator(check)]


def _path(place: Callable[[str, str], str], words: str) -> Any:
    placed = BeforeValidator(lambda value: place(value, value.folder) if isinstance(value, Given) else value)
    return Annotated[str, placed, Field(json_schema_extra={"words": words})]


Flag = Annotated[bool, Field(strict=True)]
Text = _text(LONGEST_NAME, _usable, "a text")
PatternText = _text(LONGEST_PATTERN, _pattern, "a regular expression")
FilePath = _path(local_path, "the path of a file")
"""A file; relative to the YAML file that names it, or on the command line to the current directory."""
ModelSource = _path(model_source, "a model folder or a name on the hub")
"""A model folder (relative like a FilePath) or, where no such folder exists, a name on the Hugging Face hub."""

_BILLION = 1_000_000_000  # "never", for steps and counts


def _whole(low: int, high: int) -> Any:
    return Annotated[int, Field(strict=True, ge=low, le=high), BeforeValidator(_without_point)]


def _number(**bounds: float) -> Any:
    return Annotated[float, Field(strict=True, **bounds)]


PositiveInt = _whole(1, _BILLION)
NonNegativeInt = _whole(0, _BILLION)
PositiveFloat = _number(gt=0, le=1_000_000)
NonNegativeFloat = _number(ge=0, le=1_000_000)
# A merged weight is base + factor * difference: larger ones leave what 16-bit floats hold.
Factor = _number(ge=-1_000_000, le=1_000_000)
Fraction = _number(ge=0, lt=1)
Share = _number(gt=0, le=1)
# What NumPy and scikit-learn take.
Seed = _whole(0, 2**32 - 1)
# Nothing can be predicted in a block of one token; no model reads more than ten million.
BlockLength = _whole(2, 10_000_000)
AnswerLength = _whole(1, 10_000_000)
BatchSize = _whole(1, 1_000_000)
# Beyond the smaller side of any matrix.
Rank = _whole(1, 65_536)
# What float32 holds. Far lower rates are too high already; that shows in the loss, which the training watches.
LearningRate = _number(gt=0, le=3e38)
Epochs = _number(gt=0, le=100_000)
# A century.
Hours = _number(gt=0, le=1_000_000)
# A day; a socket takes no more than 292 years.
Seconds = _number(gt=0, le=86_400)
Retries = _whole(0, 100)
