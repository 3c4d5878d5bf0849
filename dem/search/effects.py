"""What each domain's term does to each domain (see dem/search/leave_one_out.py): as files, and in the report."""

import csv
import io
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict

from dem.atomic import write_text
from dem.errors import RequestError
from dem.evaluation.acceptance import compared
from dem.evaluation.answers import provenance_hash
from dem.evaluation.digits import figure
from dem.evaluation.intervals import LEAST, Change, marked, sure
from dem.evaluation.metrics import ALL
from dem.evaluation.report import as_text, captioned, link
from dem.layout import Layout
from dem.reading import read_json
from dem.typed import read_as

FORMAT = 2
OF_TOKENS = 1
"""The format before it, which compared the terms by another measure: it is measured again."""


@dataclass(frozen=True)
class Effect:
    """What one domain's term does to the perplexity of one domain's text, or of ALL."""

    term: str
    on: str
    with_it: float | None
    """Perplexity with all terms; None where the model computes no numbers."""
    without: float | None
    """Perplexity with all terms but this one."""
    change: Change | None
    """with_it / without - 1: below 0 the term helps."""
    documents: int
    """That were measured; of ALL, of all domains."""


@dataclass(frozen=True)
class Standing:
    """Which term makes the least of the mean of the domains' losses, and how far the others are from it."""

    objective: str
    """search.objective, whose shares the domains have in the mean; alike, of `worst`."""
    term: str
    change: Change
    """What this term does, as an Effect's."""
    leads: dict[str, Change]
    """By other term: the perplexity without that one against the one without this term. Above 0 that one helps more."""

    @property
    def next(self) -> str:
        """The term that helps least after this one."""
        return min(self.leads, key=lambda term: self.leads[term].relative)

    @property
    def told(self) -> bool:
        """Whether it helps less than every other one beyond chance."""
        return all(sure(lead) and lead.relative > 0 for lead in self.leads.values())


@dataclass(frozen=True)
class Effects:
    """All that was measured of the terms."""

    cells: list[Effect]
    least: Standing | None
    """None of fewer than two terms, and where a model computes no numbers."""


def publish_effects(layout: Layout, effects: Effects) -> None:
    """Write them as a table and for programs, and draw them."""
    from dem.search import pictures  # which the report does without

    matrix: dict[str, dict[str, Any]] = {}
    for effect in effects.cells:
        matrix.setdefault(effect.term, {})[effect.on] = effect.change and asdict(effect.change)
    least = effects.least and asdict(effects.least)
    content = {"format": FORMAT, "merged": provenance_hash(layout.merge_record), "effects": matrix, "least": least}
    content["documents"] = {effect.on: effect.documents for effect in effects.cells}
    write_text(layout.leave_one_out_record, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(layout.leave_one_out, table(effects.cells))
    pictures.leave_one_out(matrix, layout.leave_one_out_picture)


def forget_effects(layout: Layout) -> None:
    """Remove what an earlier merge's terms did."""
    for file in (layout.leave_one_out, layout.leave_one_out_record, layout.leave_one_out_picture):
        file.unlink(missing_ok=True)


def table(effects: list[Effect]) -> str:
    """CSV: a row per term and domain; the effect is a fraction of the perplexity without the term, below 0 it helps."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["term", "on", "perplexity_with", "perplexity_without", "effect", "effect_low", "effect_high", "documents"]
    )
    for e in effects:
        change = (e.change.relative, e.change.low, e.change.high) if e.change else (None, None, None)
        figures = (e.with_it, e.without, *change)
        row = ("" if value is None else f"{value:.10g}" for value in figures)
        writer.writerow([e.term, e.on, *row, e.documents])
    return text.getvalue()


def leave_one_out_section(layout: Layout, found: bool) -> list[str]:
    """The report's: which domain's term helps least and whom it hurts, and the matrix.

    Args:
        found: whether the weights were found on the same documents.
    """
    try:
        record = _current(layout)
    except RequestError as damage:
        return ["## What each domain adds", "", f"Not told: {as_text(str(damage))}."]
    if not record:
        return []
    lines = ["## What each domain adds", ""]
    if record["least"]:
        lines += [_least(record["least"]), ""]
    lines += [_hurting(record["effects"], record["documents"]), ""]
    lines += captioned(
        layout.leave_one_out_picture,
        "What each domain's term does to each domain",
        "A row per term, a column per domain: the change of the perplexity that the term makes, the other weights as "
        "they are. Dark: it helps; light: it hurts; with a question mark it may be chance, all cells taken together "
        "(Holm's procedure). A row that is light everywhere is a domain to drop or to train again.",
    )
    where = "the tune splits, since no choice looks at the test splits"
    where += "; the weights were found on the same text, which flatters them a little" if found else ""
    counts = ", ".join(f"{as_text(on)} {count:,}" for on, count in record["documents"].items())
    lines.append(f"Measured on {where}; documents: {counts}. All figures: {link(layout.leave_one_out, 'a table')}.")
    return lines


class _Record(TypedDict):
    format: Literal[2]
    merged: str | None
    effects: dict[str, dict[str, Change | None]]
    least: Standing | None
    documents: dict[str, int]


def _current(layout: Layout) -> _Record | None:
    """The record, if it is of the merge that is there.

    Raises:
        RequestError: it is damaged.
    """
    if not layout.leave_one_out_record.is_file():
        return None
    if read_json(layout.leave_one_out_record).get("format") == OF_TOKENS:
        return None
    record = read_as(layout.leave_one_out_record, _Record, "evaluate again")
    if record["merged"] != provenance_hash(layout.merge_record):
        return None
    changes = [change for row in record["effects"].values() for change in row.values() if change]
    if any((change.low is None) != (change.high is None) for change in changes):
        raise RequestError(f"{layout.leave_one_out_record} is damaged (an interval has one end): evaluate again")
    if record["least"] and not record["least"].leads:
        raise RequestError(f"{layout.leave_one_out_record} is damaged (a term is compared with none): evaluate again")
    return record


COUNTING = {
    "mean": "each domain counting alike",
    "importance": "each domain counting by search.importance",
    "worst": "each domain counting alike (not the worst one alone, as in the search)",
}


def _least(least: Standing) -> str:
    term, other, lead = as_text(least.term), as_text(least.next), least.leads[least.next]
    measure = f"of the mean of the domains' losses, {COUNTING.get(least.objective, as_text(least.objective))}"
    if least.told:
        return (
            f"**{term} helps least**: with its term, the perplexity {measure}, is {compared(least.change)}. Without "
            f"{other}'s instead of it, the perplexity would be {compared(lead)}."
        )
    if lead.low is None:
        why = f"there are too few tune documents (of some domain fewer than {LEAST})"
    else:
        why = f"without {other}'s term instead of {term}'s, it would be {compared(lead)}"
        why += "" if not sure(lead) else ", but of another domain that cannot be told"
    return f"**Which domain helps least cannot be told** by the perplexity {measure}: {why}."


def _hurting(matrix: dict[str, dict[str, Change | None]], documents: dict[str, int]) -> str:
    """Whom a term hurts, where all cells together leave no doubt."""
    hurts: dict[str, list[str]] = {}
    for (term, on), change in _beyond_chance(matrix).items():
        if on != ALL and change.relative > 0:
            hurts.setdefault(term, []).append(f"{as_text(on)} ({figure(change.relative, '+.1%', 0)})")
    hurt = [f"{as_text(term)}'s term hurts {', '.join(domains)}" for term, domains in hurts.items()]
    known = [change for row in matrix.values() for change in row.values() if change]
    if not known:
        return "The models compute no numbers."
    few = [f"{as_text(on)} ({count})" for on, count in documents.items() if on != ALL and count < LEAST]
    if few and len(few) == sum(on != ALL for on in documents):
        return f"Whom a domain's term hurts cannot be told: too few tune documents of {', '.join(few)}."
    text = "; ".join(hurt) or "no domain's term hurts any domain"
    return f"Beyond chance, {text}{'; too few tune documents to tell of ' * bool(few)}{', '.join(few)}."


def _beyond_chance(matrix: dict[str, dict[str, Change | None]]) -> dict[tuple[str, str], Change]:
    told = marked(matrix)
    return {(term, on): change for term, row in matrix.items() for on, change in row.items() if (term, on) in told}
