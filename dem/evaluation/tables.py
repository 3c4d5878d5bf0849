"""The metrics as tables: a CSV, and lines for people."""

import csv
import io
from typing import Any

from dem.evaluation.digits import figure
from dem.evaluation.intervals import LEAST, Change
from dem.evaluation.metrics import ALL, Metrics, ModelMetrics, Perplexity
from dem.evaluation.report import TEXT_METRICS


def metric_table(metrics: Metrics) -> str:
    """CSV: a row per model, a column per metric; a field is empty where nothing was measured.

    Perplexity and bits per byte of each domain and of all, the change of the perplexity of all against the base (a
    fraction) with its interval, the metrics of texts, and `<task>_<metric>` of the harness with its standard error.
    """
    rows = {name: _row(model) for name, model in metrics.models.items()}
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", *columns])
    for name, row in rows.items():
        writer.writerow([name, *(_figure(row.get(column)) for column in columns)])
    return text.getvalue()


def _row(model: ModelMetrics) -> dict[str, float | None]:
    measured = model.perplexity.items()
    row: dict[str, float | None] = {f"perplexity_{domain}": p and p.perplexity for domain, p in measured}
    row |= {f"bits_per_byte_{domain}": p and p.bits_per_byte for domain, p in measured}
    whole = model.perplexity.get(ALL)
    change = whole.change if whole else None
    row |= {
        "change_all": change and change.relative,
        "change_all_low": change and change.low,
        "change_all_high": change and change.high,
    }
    return row | {name: model.texts.get(name) for name in TEXT_METRICS} | _harness_row(model.harness)


def _harness_row(harness: dict[str, Any]) -> dict[str, float | None]:
    row = {}
    for task, found in harness.items():
        for metric, measured in found["metrics"].items():
            row[f"{task}_{metric}"] = measured["value"]
            row[f"{task}_{metric}_stderr"] = measured.get("stderr")
    return row


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def perplexity_lines(metrics: Metrics) -> list[str]:
    """The perplexities as an aligned table for people; each change against the base in percent, with its interval.

    The second line counts the documents.
    """
    some = next(iter(metrics.models.values())).perplexity
    header, *rows = [
        ["", *some],
        ["documents", *(f"{p.documents:,}" if p else "0" for p in some.values())],
        *([name, *map(_cell, model.perplexity.values())] for name, model in metrics.models.items()),
    ]
    wide = [max(len(row[i]) for row in [header, *rows]) + 2 for i in range(len(header))]
    return [
        row[0].ljust(wide[0]) + "".join(c.rjust(w) for c, w in zip(row[1:], wide[1:], strict=True))
        for row in [header, *rows]
    ]


def _cell(measured: Perplexity | None) -> str:
    if measured is None:
        return "not measured"
    if measured.perplexity is None:
        return "not a number"
    change, cell = measured.change, f"{measured.perplexity:.2f}"
    if change is None:
        return cell
    return f"{cell} ({change_in_percent(change, ', {} to {}')})"


def change_in_percent(change: Change, interval: str) -> str:
    """A change, followed by its ends as `interval` says, if it has them; each on its side of 0."""
    ends = [] if change.low is None else [figure(end, "+.1%", 0) for end in (change.low, change.high)]
    return figure(change.relative, "+.1%", 0) + (interval.format(*ends) if ends else "")


def without_interval(metrics: Metrics) -> list[str]:
    """The domains, and how many documents they have, whose changes have no interval, since these are too few."""
    some = next(iter(metrics.models.values())).perplexity
    return [f"{d} ({p.documents})" for d, p in some.items() if p and p.documents < LEAST]
