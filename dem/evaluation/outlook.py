"""How long an evaluation is going to take, by what was measured first, and whether the plan's time suffices."""

from collections.abc import Iterable
from dataclasses import dataclass

from dem.config import STAGE_3_SECONDS, Config
from dem.corpus import Corpus
from dem.evaluation.digits import in_words
from dem.evaluation.documents import Document
from dem.evaluation.durations import read_durations
from dem.layout import Layout
from dem.methods import METHODS

SCORED = "perplexity "
"""What the names of the parts begin with that are one pass over their tokens."""


@dataclass(frozen=True)
class Beside:
    """What stage 3 takes beside an evaluation."""

    spent: float
    """Seconds before it."""
    later: int
    """Tokens that are scored after it, about."""


def beside_evaluation(
    config: Config, layout: Layout, terms: dict[str, Corpus], documents: dict[str, list[Document]], seconds: float
) -> Beside:
    """What stage 3 takes beside the evaluation of a merge of the domains in `terms`, with their text.

    What leave-one-out scores follows, but for chance, from the test `documents`: a tune document is about as long.
    `seconds` were spent on the evaluation until now.
    """

    def tune_tokens(domain: str) -> int:
        mean = sum(len(document.ids) for document in documents[domain]) / max(len(documents[domain]), 1)
        return min(config.search.tokens, round(mean * terms[domain].counts["tune"]))

    measured = METHODS[config.merge.method].is_sum
    later = (len(terms) + 1) * sum(map(tune_tokens, terms)) if measured else 0
    return Beside(sum(read_durations(layout).parts().values()) + seconds, later)


class Outlook:
    """Reckons what the parts that wait take: as long as the same part of another model, or by its tokens."""

    def __init__(self, waiting: Iterable[tuple[str, int]], beside: Beside | None):
        """Of the parts that wait, by name and tokens; what they are `beside`, if they are stage 3's own."""
        self._waiting, self._beside = list(waiting), beside
        self._seconds: dict[str, float] = {}
        self._rate: float | None = None
        self._whole = beside.spent if beside else 0.0
        self.measured = 0
        """Parts that are done, of those that waited."""

    def took(self, name: str, tokens: int, seconds: float, waited: bool) -> None:
        """Take note of a part; one that has not `waited` was kept from an earlier run, with what it took then."""
        self._whole += seconds
        self._seconds[name] = seconds
        if tokens and name.startswith(SCORED):
            self._rate = seconds / tokens
        if waited:
            self._waiting.remove((name, tokens))
            self.measured += 1

    def left(self) -> str:
        """How long the rest takes, and for stage 3 the whole of it beside the plan's time; empty if nothing is left."""
        later = self._beside.later if self._beside else 0
        if not self._waiting and not later:
            return ""
        each = {(name, tokens): self._expected(name, tokens) for name, tokens in self._waiting}
        seconds = sum(each[part] or 0.0 for part in self._waiting) + (self._rate or 0.0) * later
        unknown = [name for (name, _), expected in each.items() if expected is None]
        text = f"about {in_words(seconds)} left" + f", without {', '.join(unknown)}" * bool(unknown)
        if not self._beside:
            return text
        whole = self._whole + seconds
        plan, all_in_all = in_words(STAGE_3_SECONDS), in_words(whole, STAGE_3_SECONDS)
        if whole <= STAGE_3_SECONDS:
            return f"{text}; stage 3 {all_in_all}, within the plan's {plan}"
        return f"{text}; stage 3 {all_in_all}, WARNING: more than the plan's {plan} (evaluation.tokens takes fewer)"

    def _expected(self, name: str, tokens: int) -> float | None:
        if name in self._seconds:
            return self._seconds[name]
        return self._rate * tokens if self._rate is not None and name.startswith(SCORED) else None
