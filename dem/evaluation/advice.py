"""Which a team should take with the time it has: the merge, which is there, or one training on a mixture.

Only what was measured is weighed: of the perplexities of all test documents together, a difference counts if it is
beyond chance, all of those that are weighed taken together (Holm). What has not been trained is named with the time
that it would take, about that of the domains' trainings together, on as many tokens; how good it would be is not
guessed.
"""

from collections.abc import Callable

from dem.evaluation.acceptance import compared
from dem.evaluation.digits import in_words
from dem.evaluation.evidence import Evidence, Missing
from dem.evaluation.intervals import LEAST, Change, beyond_chance, sure
from dem.evaluation.metrics import ALL, Metrics, Mixture, mixture_pairs
from dem.evaluation.mixture_costs import whole_sum

Name = Callable[[str], str]


def advice(evidence: Evidence, name: Name = str) -> str:
    """One line: what to take, and the figures that say so; `name` writes the names of mixtures."""
    metrics = evidence.metrics
    if isinstance(metrics, Missing):
        return f"What to take cannot be told: {name(metrics)}."
    whole = metrics.models["merged"].perplexity.get(ALL)
    if whole is None or whole.change is None:
        return "What to take cannot be told: there is no perplexity of base and merged model to compare."
    against = {n: _inverse(metrics.against[n]) for n in metrics.mixtures if n in metrics.against}
    between = {what: pair for what, pair in mixture_pairs(metrics.mixtures).items() if what in metrics.between}
    told = beyond_chance([*against.values(), *(metrics.between[what] for what in between)])
    surely = dict(zip([*against, *between], told, strict=True))
    choice = _choice(whole.change, against, surely, metrics, name)
    figures = [f"the merge's perplexity is {compared(whole.change)} than the base's{_chance(sure(whole.change))}"]
    for n, change in against.items():
        whose = f"{name(n)}'s ({_kind(metrics.mixtures[n])})"
        figures.append(f"{whose} {compared(change)} than the merge's{_chance(surely[n])}")
    for what, (one, other) in between.items():
        change = compared(metrics.between[what])
        figures.append(f"{name(one)}'s {change} than {name(other)}'s{_chance(surely[what])}")
    return f"{choice}: {'; '.join(figures)}.{_not_trained(evidence, metrics, against, name)}"


def _choice(merged: Change, against: dict[str, Change], surely: dict[str, bool], metrics: Metrics, name: Name) -> str:
    """The beginning of the line, given what the mixtures' perplexities are against the merge's."""
    if merged.low is None:
        return f"What to take cannot be told without intervals, which so few test documents (below {LEAST}) do not have"
    gains = sure(merged) and merged.relative < 0
    there = "the merge, which is there" if gains else "the base, than which the merge is not shown to be better"
    better = {n: change.relative for n, change in against.items() if surely[n] and change.relative < 0}
    if not better:
        return f"What to take: {there}"
    best = min(better, key=better.get)
    mixture = metrics.mixtures[best]
    time = "the time of a training" if mixture.seconds is None else in_words(mixture.seconds)
    training = f"one training on the mixture {name(best)} ({_kind(mixture)})"
    return f"What to take: with {time} to spare, {training}; without, {there}"


def _inverse(change: Change) -> Change:
    """The change the other way round."""
    if change.low is None:
        return Change(1 / (1 + change.relative) - 1, None, None)
    relative, low, high = (1 / (1 + figure) - 1 for figure in (change.relative, change.high, change.low))
    return Change(relative, low, high, change.p)


def _kind(mixture: Mixture) -> str:
    return "found weights" if mixture.found else "given shares"


def _chance(surely: bool) -> str:
    return "" if surely else ", which may be chance"


def _not_trained(evidence: Evidence, metrics: Metrics, against: dict[str, Change], name: Name) -> str:
    """What there is no measurement of, with the time that it would take."""
    names = [f"{name(n)} ({_kind(m)})" for n, m in metrics.mixtures.items() if n not in against]
    if not any(mixture.found for mixture in metrics.mixtures.values()):
        names.append("a mixture of the found weights (data.mixtures: {best: found})")
    if not names:
        return ""
    seconds = whole_sum(evidence.training_seconds)
    time = "which is not recorded" if seconds is None else f"about {in_words(seconds)}"
    takes = f"that takes as long as the domains' trainings together, {time}"
    return f" Not trained and measured: {', '.join(names)}; {takes}."
