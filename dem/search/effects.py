"""What each domain's term does to each domain (see dem/search/leave_one_out.py): as files, and in the report."""

import csv
import io
import json
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from dem.atomic import write_text
from dem.errors import RequestError
from dem.evaluation.acceptance import compared
from dem.evaluation.answers import provenance_hash
from dem.evaluation.intervals import Change, sure
from dem.evaluation.metrics import ALL
from dem.evaluation.report import as_text, captioned, link
from dem.layout import Layout
from dem.typed import read_as

FORMAT = 1


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


def publish_effects(layout: Layout, effects: list[Effect]) -> None:
    """Write them as a table and for programs, and draw them."""
    from dem.search import pictures  # which the report does without

    matrix: dict[str, dict[str, Any]] = {}
    for effect in effects:
        matrix.setdefault(effect.term, {})[effect.on] = effect.change and asdict(effect.change)
    content = {"format": FORMAT, "merged": provenance_hash(layout.merge_record), "effects": matrix}
    write_text(layout.leave_one_out_record, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(layout.leave_one_out, table(effects))
    pictures.leave_one_out(matrix, layout.leave_one_out_picture)


def forget_effects(layout: Layout) -> None:
    """Remove what an earlier merge's terms did."""
    for file in (layout.leave_one_out, layout.leave_one_out_record, layout.leave_one_out_picture):
        file.unlink(missing_ok=True)


def table(effects: list[Effect]) -> str:
    """CSV: a row per term and domain; the effect is a fraction of the perplexity without the term, below 0 it helps."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["term", "on", "perplexity_with", "perplexity_without", "effect", "effect_low", "effect_high"])
    for e in effects:
        change = (e.change.relative, e.change.low, e.change.high) if e.change else (None, None, None)
        figures = (e.with_it, e.without, *change)
        writer.writerow([e.term, e.on, *("" if value is None else f"{value:.6g}" for value in figures)])
    return text.getvalue()


def leave_one_out_section(layout: Layout, found: bool) -> list[str]:
    """The report's: which domain's term helps least and whom it hurts, and the matrix.

    Args:
        found: whether the weights were found on the same documents.
    """
    try:
        matrix = _current(layout)
    except RequestError as damage:
        return ["## What each domain adds", "", f"Not told: {as_text(str(damage))}."]
    if not matrix:
        return []
    lines = ["## What each domain adds", "", _least(matrix), "", _hurting(matrix), ""]
    lines += captioned(
        layout.leave_one_out_picture,
        "What each domain's term does to each domain",
        "A row per term, a column per domain: the change of the perplexity that the term makes, the other weights as "
        "they are. Dark: it helps; light: it hurts; with a question mark it may be chance. A row that is light "
        "everywhere is a domain to drop or to train again.",
    )
    where = "the tune splits, since no choice looks at the test splits"
    where += "; the weights were found on the same text, which flatters them a little" if found else ""
    return [*lines, f"Measured on {where}. All figures: {link(layout.leave_one_out, 'a table')}."]


class _Record(TypedDict):
    merged: str | None
    effects: dict[str, dict[str, Change | None]]


def _current(layout: Layout) -> dict[str, dict[str, Any]] | None:
    """The effects by term and domain, if they are of the merge that is there.

    Raises:
        RequestError: the record is damaged.
    """
    if not layout.leave_one_out_record.is_file():
        return None
    content = read_as(layout.leave_one_out_record, _Record, "evaluate again")
    if content["merged"] != provenance_hash(layout.merge_record):
        return None
    changes = [change for row in content["effects"].values() for change in row.values() if change]
    if any((change.low is None) != (change.high is None) for change in changes):
        raise RequestError(f"{layout.leave_one_out_record} is damaged (an interval has one end): evaluate again")
    return {term: {on: c and asdict(c) for on, c in row.items()} for term, row in content["effects"].items()}


def _least(matrix: dict[str, dict[str, Any]]) -> str:
    known = {term: Change(**row[ALL]) for term, row in matrix.items() if row.get(ALL)}
    if not known:
        return "The models compute no numbers."
    term = max(known, key=lambda term: known[term].relative)
    return (
        f"**{as_text(term)} helps least**: with its term, the perplexity of all tune documents together is "
        f"{compared(known[term])}."
    )


def _hurting(matrix: dict[str, dict[str, Any]]) -> str:
    hurt = [
        f"{as_text(term)}'s term hurts {as_text(on)} ({cell['relative']:+.1%})"
        for term, row in matrix.items()
        for on, cell in row.items()
        if on != ALL and cell and cell["relative"] > 0 and sure(Change(**cell))
    ]
    return f"Beyond chance, {'; '.join(hurt)}." if hurt else "Beyond chance, no domain's term hurts any domain."
