"""What was measured of the models, as tables; and any text as Markdown that shows it as it is."""

import csv
import io
import re
from dataclasses import dataclass, field
from typing import Any

from dem.evaluation.perplexity import Score
from dem.evaluation.text_metrics import ROUGE_TYPES

TEXT_METRICS = ("bleu", "chrf", *ROUGE_TYPES)


@dataclass
class ModelResult:
    """What was measured of one model: its score on each domain's test split, its answers, the metrics of those."""

    name: str
    scores: dict[str, Score] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    text_metrics: dict[str, Any] = field(default_factory=dict)
    harness: dict[str, Any] = field(default_factory=dict)
    """By task (see dem/evaluation/harness.py); empty where none was asked for or none can run."""


def metric_table(results: list[ModelResult]) -> str:
    """CSV: a row per model; perplexity on each domain and on all their tokens, then the metrics of texts.

    A field is empty where nothing was measured.
    """
    domains = list(results[0].scores)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", *(f"perplexity_{d}" for d in domains), "perplexity_all", *TEXT_METRICS])
    for result in results:
        scores = [*result.scores.values(), sum(result.scores.values(), Score())]
        figures = [s.perplexity for s in scores] + [result.text_metrics.get(name) for name in TEXT_METRICS]
        writer.writerow([result.name, *("" if f is None else f"{f:.6g}" for f in figures)])
    return text.getvalue()


def perplexity_lines(results: list[ModelResult]) -> list[str]:
    """The perplexities as an aligned table for people; each change against the first model (the base) in percent."""
    domains = list(results[0].scores)
    wide = max(len(r.name) for r in results) + 2
    lines = [" " * wide + "".join(f"{d:>20}" for d in domains)]
    for result in results:
        cells = [_cell(result.scores[d], results[0].scores[d], result is results[0]) for d in domains]
        lines.append(result.name.ljust(wide) + "".join(f"{c:>20}" for c in cells))
    return lines


def _cell(score: Score, base: Score, is_base: bool) -> str:
    if score.perplexity is None:
        return "not measured"
    change = "" if is_base else f" ({score.perplexity / base.perplexity - 1:+.1%})"
    return f"{score.perplexity:.2f}{change}"


_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#+!|~&$@^]|:(?=//|\w)|(?<=www)\.", re.IGNORECASE)


def as_text(text: str) -> str:
    """`text` on one line and shown as it is: what could act as Markdown, HTML or a link stands as HTML entities."""
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    return "<br>".join(_MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", line) for line in lines)
