"""The plan's criteria, each with what was measured and a verdict: `results/acceptance.md`.

How each is taken stands at the end of that page (`_HOW`). The distribution of a difference is judged by an effect size
and not by a p-value: weights' changes are never quite normal, and with enough elements every test says so. A distance
of NEAR_NORMAL means that nowhere do the shares of elements below a point differ by more than 5% of all elements.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from dem.config import STAGE_3_SECONDS, TRAINING_SECONDS
from dem.evaluation.digits import figure, from_to, in_words
from dem.evaluation.evidence import Evidence, Missing
from dem.evaluation.intervals import LEAST, Change
from dem.evaluation.metrics import ALL, Perplexity
from dem.evaluation.report import as_text

PASS, FAIL, PENDING, NOT_MEASURED = "pass", "fail", "pending", "not measured"

GAIN = (0.03, 0.10)
"""By how much the perplexity is to fall: at least, and as planned at most."""
PROMPTS = (6, 10)
"""So many of so many are to be improved."""
NORM = 1.0
NEAR_NORMAL = 0.05


@dataclass(frozen=True)
class Criterion:
    """One of the plan's criteria; `measured` and `doubt` are Markdown."""

    name: str
    target: str
    measured: str
    verdict: str
    """PASS, FAIL, PENDING or NOT_MEASURED."""
    doubt: str = ""
    """Why the verdict could as well be another; empty if it could not."""


def criteria(evidence: Evidence) -> list[Criterion]:
    """All criteria, in the plan's order."""
    return [_training(evidence), _merge(evidence), _perplexity(evidence), _prompts(evidence), *_differences(evidence)]


def _training(evidence: Evidence) -> Criterion:
    return _of_domains(
        "Training of a domain",
        f"at most {in_words(TRAINING_SECONDS)} each",
        evidence.training_seconds,
        lambda seconds: seconds <= TRAINING_SECONDS,
        lambda seconds: in_words(seconds, TRAINING_SECONDS),
    )


def _merge(evidence: Evidence) -> Criterion:
    name, target = "Merge and evaluation", f"at most {in_words(STAGE_3_SECONDS)} in all"
    parts = evidence.stage_3_seconds
    known = {what: seconds for what, seconds in parts.items() if not isinstance(seconds, Missing)}
    measured = [f"{what} {in_words(seconds)}" for what, seconds in known.items()]
    missing = [f"{what} not measured: {as_text(why)}" for what, why in parts.items() if isinstance(why, Missing)]
    if len(known) == len(parts):
        measured.insert(0, f"**{in_words(sum(known.values()), STAGE_3_SECONDS)}**")
    verdict = PASS if not missing else NOT_MEASURED
    if sum(known.values()) > STAGE_3_SECONDS:
        verdict = FAIL
    return Criterion(name, target, "; ".join(measured + missing), verdict)


def _perplexity(evidence: Evidence) -> Criterion:
    least, most = GAIN
    name, target = "Perplexity against the base", f"{least:.0%} to {most:.0%} lower"
    if isinstance(evidence.metrics, Missing):
        return Criterion(name, target, as_text(evidence.metrics), NOT_MEASURED)
    base, merged = (evidence.metrics.models[model].perplexity.get(ALL) for model in ("base", "merged"))
    if base is None or merged is None:
        return Criterion(name, target, "no test document", NOT_MEASURED)
    if base.perplexity is None:
        return Criterion(name, target, "the base computes no numbers", NOT_MEASURED)
    if merged.change is None:
        return Criterion(name, target, "the merged model computes no numbers", FAIL)
    gain = -merged.change.relative
    measured = f"**{change_in_words(merged)}**, {from_to(base.perplexity, merged.perplexity)}"
    if gain > most:
        measured += f"; more than the planned {most:.0%}, which passes"
    passes = gain >= least
    return Criterion(name, target, measured, PASS if passes else FAIL, _doubt(merged, passes))


def _doubt(merged: Perplexity, passes: bool) -> str:
    least, change = GAIN[0], merged.change
    if change.low is None:
        return _few(merged.documents)
    if passes and -change.high < least:
        return f"the interval reaches below {least:.0%}"
    if not passes and -change.low >= least:
        return f"the interval reaches {least:.0%}"
    return ""


def _few(documents: int) -> str:
    if documents < LEAST:
        return f"no interval, of {documents} test document{'s' * (documents != 1)}, fewer than {LEAST}"
    return "no interval: a few of the test documents decide alone"


def _prompts(evidence: Evidence) -> Criterion:
    wanted, of = PROMPTS
    name, target = "Answers better than the base's", f"at least {wanted} of {of} prompts"
    if isinstance(evidence.tally, Missing):
        return Criterion(name, target, as_text(evidence.tally), NOT_MEASURED)
    count = evidence.tally.outcomes()
    total, better, unrated = count.total(), count["merged"], count[""]
    need = -(-total * wanted // of)
    if total != of:
        target += f": {need} of {total}"
    measured = f"**better in {better} of {total}**, worse in {count['base']}, a tie in {count['tie']}"
    measured += f", not rated {unrated}" if unrated else ""
    if better >= need:
        return Criterion(name, target, measured, PASS)
    if better + unrated >= need:
        return Criterion(name, target, measured, PENDING)
    return Criterion(name, target, measured + " (which could not change it)" * bool(unrated), FAIL)


def _differences(evidence: Evidence) -> list[Criterion]:
    summaries = evidence.differences
    found = {d: s for d, s in summaries.items() if not isinstance(s, Missing)}
    norms = {d: found[d]["norm_before_normalisation"] if d in found else s for d, s in summaries.items()}
    distances = {d: _distance(found[d]["normality"]) if d in found else s for d, s in summaries.items()}
    norm = _of_domains(
        "Norm of a domain's difference", f"below {NORM} each", norms, lambda n: n < NORM, norm_in_figures
    )
    normal = _of_domains(
        "Distribution of its elements",
        f"near normal: KS distance at most {NEAR_NORMAL} each",
        distances,
        lambda distance: distance <= NEAR_NORMAL,
        distance_in_figures,
    )
    return [norm, replace(normal, doubt=_doubt_of_samples(found, normal.verdict))]


def _distance(normality: dict) -> float | Missing:
    distance = normality["ks_distance"]
    return Missing("its elements are all alike, or fewer than 20") if distance is None else distance


def _doubt_of_samples(summaries: dict[str, dict], verdict: str) -> str:
    """Of a pass, the domains whose whole difference may be beyond the limit; of a fail, whether none surely is."""
    measured = {d: s["normality"] for d, s in summaries.items() if s["normality"]["ks_distance"] is not None}
    beyond = {d: n["ks_distance"] - NEAR_NORMAL for d, n in measured.items()}
    errors = {d: sampling_error(n["sample"], summaries[d].get("count")) for d, n in measured.items()}
    near = [d for d in measured if abs(beyond[d]) < errors[d]]
    surely = verdict == FAIL and any(beyond[d] > 0 and d not in near for d in measured)
    if not near or surely or verdict == NOT_MEASURED:
        return ""
    return f"the sample leaves {', '.join(map(as_text, near))} on either side"


def sampling_error(sample: int, count: int | None = None) -> float:
    """How far a sample's KS distance may be from that of all `count` elements (Massart 1990, with 95% confidence).

    The sample is drawn without replacement, so that what it leaves out is all that can err (Serfling 1974): of a sample
    of all elements it is 0. Without `count` there are many more.
    """
    left_out = 1 - min(sample / count, 1.0) if count else 1.0
    return math.sqrt(left_out * math.log(2 / 0.05) / (2 * sample))


def norm_in_figures(norm: float) -> str:
    """The norm of a difference, on its side of NORM."""
    return figure(norm, ".4g", NORM)


def distance_in_figures(distance: float) -> str:
    """A KS distance, on its side of NEAR_NORMAL."""
    return figure(distance, ".3f", NEAR_NORMAL)


def _of_domains(
    name: str,
    target: str,
    figures: dict[str, float | Missing],
    holds: Callable[[float], bool],
    in_text: Callable[[float], str],
) -> Criterion:
    """A criterion that every domain has to meet, by the figure that is the better the smaller it is."""
    known = {d: f for d, f in figures.items() if not isinstance(f, Missing)}
    missing = [f"{as_text(d)} not measured: {as_text(why)}" for d, why in figures.items() if isinstance(why, Missing)]
    beyond = [d for d, figure in known.items() if not holds(figure)]
    measured = []
    if known:
        largest = max(known, key=known.get)
        measured.append(f"up to **{in_text(known[largest])}** ({as_text(largest)})")
    if beyond:
        measured.append(f"beyond the target: {', '.join(map(as_text, beyond))}")
    verdict = FAIL if beyond else PASS if known and not missing else NOT_MEASURED
    return Criterion(name, target, "; ".join(measured + missing) or "no domain was merged", verdict)


def change_in_words(measured: Perplexity) -> str:
    """The change against the base, with its interval."""
    return compared(measured.change)


def compared(change: Change | None) -> str:
    """A change of perplexity, with its interval; each figure on its side of 0 and of the gain that is wanted."""
    if change is None:
        return "not a number"
    if change.low is None:
        return _signed(change.relative)
    ends = [_signed(end) for end in sorted((change.low, change.high), key=abs)]
    if change.low * change.high > 0:
        ends[0] = ends[0].split()[0]  # "lower" or "higher" once is enough
    return f"{_signed(change.relative)} (95% interval {ends[0]} to {ends[1]})"


def _signed(change: float) -> str:
    if change == 0:
        return "0.0%"
    return f"{figure(abs(change), '.1%', 0, *GAIN)} {'lower' if change < 0 else 'higher'}"


def criteria_table(met: list[Criterion]) -> list[str]:
    """A row of Markdown per criterion."""
    lines = ["| criterion | target | measured | verdict |", "|---|---|---|---|"]
    for c in met:
        verdict = f"**{c.verdict}**" + (f", uncertain: {c.doubt}" if c.doubt else "")
        lines.append(f"| {c.name} | {c.target} | {c.measured} | {verdict} |")
    return lines


def acceptance_page(evidence: Evidence) -> str:
    """Markdown: the plan's table, the figures of each domain, and how they were taken."""
    lines = ["# The plan's criteria", "", *criteria_table(criteria(evidence)), ""]
    lines += ["What was not measured is never a pass; *uncertain* is a verdict that chance could have turned.", ""]
    if evidence.domains:
        lines += ["## Each domain", "", *_domain_table(evidence), ""]
    return "\n".join([*lines, "## How they are taken", "", *_HOW]) + "\n"


def _domain_table(evidence: Evidence) -> list[str]:
    lines = [
        "| domain | training | perplexity of merged against base | test documents | norm | KS distance | normality "
        "test, p | excess kurtosis | beyond 3 sigma |",
        "|---" * 9 + "|",
    ]
    for domain in evidence.domains:
        seconds, summary = evidence.training_seconds[domain], evidence.differences[domain]
        cells = [
            NOT_MEASURED if isinstance(seconds, Missing) else in_words(seconds, TRAINING_SECONDS),
            *_change_on(evidence, domain),
        ]
        if isinstance(summary, Missing):
            cells += [NOT_MEASURED] * 5
        else:
            normality = summary["normality"]
            figures = (
                (summary["norm_before_normalisation"], norm_in_figures),
                (normality["ks_distance"], distance_in_figures),
                (normality.get("p_value"), "{:.2g}".format),
                (summary.get("kurtosis"), "{:+.2f}".format),
                (summary.get("share_beyond_3_sigma"), "{:.2%}".format),
            )
            cells += [NOT_MEASURED if value is None else in_text(value) for value, in_text in figures]
        lines.append(f"| {as_text(domain)} | {' | '.join(cells)} |")
    return lines


def _change_on(evidence: Evidence, domain: str) -> tuple[str, str]:
    """The change of the domain's perplexity, and of how many documents."""
    measured = None
    if not isinstance(evidence.metrics, Missing):
        measured = evidence.metrics.models["merged"].perplexity.get(domain)
    return (NOT_MEASURED, "") if measured is None else (change_in_words(measured), f"{measured.documents:,}")


_HOW = [
    "- **Training**: seconds of stage 1, its evaluations and what came before an interruption (up to the "
    "saved state it went on from) included, loading not.",
    "- **Merge and evaluation**: the search for the weights if there was one, the merge with its check, the evaluation "
    "with reading what it is done on, and what each domain adds (leave-one-out). What was kept from an earlier run "
    "counts with the time that it took then. Loading Python's libraries is not counted, nor drawing, nor rating.",
    "- **Perplexity**: on all domains' test tokens together, so that a domain counts by its text. The interval is of a "
    "paired, studentised bootstrap over documents, in which each domain keeps its number of them; of fewer than "
    f"{LEAST} documents there is none. The verdict is the estimate's, uncertain where the interval reaches across "
    f"{GAIN[0]:.0%}.",
    "- **Answers**: as people or a judge rated them; decided as soon as what nobody rated cannot change it.",
    "- **Norm**: Euclidean, of the whole difference as training made it, before `diff.normalize`.",
    "- **Distribution**: Kolmogorov and Smirnov's distance (the largest gap between the shares of elements below a "
    "point, 0 to 1) from the normal curve of the same mean and deviation, in a sample whose distance is within "
    f"{sampling_error(5000):.3f} of the whole's at 5,000 elements of many (of fewer elements, all are looked at). For "
    "scale: a uniform distribution is at 0.057, "
    "a Laplace one at 0.062. The p-value of D'Agostino and Pearson's test decides nothing: with enough elements it is "
    "always near 0. Excess kurtosis and the share beyond 3 sigma (normal: 0 and 0.27%) tell of the tails, which the "
    "distance hardly sees.",
]
