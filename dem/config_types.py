"""The kinds of single values in the configuration, and the one table of how large and small each may be.

An upper bound is no advice: it stands where no machine, model or library could follow, so that a slip of the keyboard
is answered at once and not by an overflow hours later.
"""

from dataclasses import dataclass
from typing import Annotated, NewType


@dataclass(frozen=True)
class Bounds:
    """The numbers from `low` to `high`; without `low` itself if `above`, without `high` itself if `below`."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def hold(self, number: float) -> bool:
        """Whether `number` lies within; NaN never does."""
        return self._above_low(number) and self._below_high(number)

    def _above_low(self, number: float) -> bool:
        return self.low < number if self.above else self.low <= number

    def _below_high(self, number: float) -> bool:
        return number < self.high if self.below else number <= self.high

    def broken_by(self, number: float) -> str:
        """The side that `number` lies beyond, in words: of 1 or more. For NaN, both."""
        if self._above_low(number) or self._below_high(number):
            return self._high() if self._above_low(number) else self._low()
        return str(self)

    def _low(self) -> str:
        return f"above {_figure(self.low)}" if self.above else f"of {_figure(self.low)} or more"

    def _high(self) -> str:
        return f"{'below' if self.below else 'of at most'} {_figure(self.high)}"

    def __str__(self) -> str:
        return f"{self._low()} and {self._high().removeprefix('of ')}"


def _figure(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


class Pattern:
    """Marks a text that is a regular expression."""


FilePath = NewType("FilePath", str)
"""A file; relative to the YAML file that names it, or on the command line to the current directory."""

ModelSource = NewType("ModelSource", str)
"""A model folder (relative like a FilePath) or, where no such folder exists, a name on the Hugging Face hub."""

PatternText = Annotated[str, Pattern]

_BILLION = 1_000_000_000  # "never", for steps and counts

PositiveInt = Annotated[int, Bounds(1, _BILLION)]
NonNegativeInt = Annotated[int, Bounds(0, _BILLION)]
PositiveFloat = Annotated[float, Bounds(0, 1_000_000, above=True)]
NonNegativeFloat = Annotated[float, Bounds(0, 1_000_000)]
# A merged weight is base + factor * difference: larger ones leave what 16-bit floats hold.
Factor = Annotated[float, Bounds(-1_000_000, 1_000_000)]
Fraction = Annotated[float, Bounds(0, 1, below=True)]
Share = Annotated[float, Bounds(0, 1, above=True)]
# What NumPy and scikit-learn take.
Seed = Annotated[int, Bounds(0, 2**32 - 1)]
# Nothing can be predicted in a block of one token; no model reads more than ten million.
BlockLength = Annotated[int, Bounds(2, 10_000_000)]
AnswerLength = Annotated[int, Bounds(1, 10_000_000)]
BatchSize = Annotated[int, Bounds(1, 1_000_000)]
# Beyond the smaller side of any matrix.
Rank = Annotated[int, Bounds(1, 65_536)]
# What float32 holds. Far lower rates are too high already; that shows in the loss, which the training watches.
LearningRate = Annotated[float, Bounds(0, 3e38, above=True)]
Epochs = Annotated[float, Bounds(0, 100_000, above=True)]
# A day; a socket takes no more than 292 years.
Seconds = Annotated[float, Bounds(0, 86_400, above=True)]
Retries = Annotated[int, Bounds(0, 100)]
