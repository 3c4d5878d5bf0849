"""Everything that was measured, with counts, intervals, settings and versions: `results/metrics.json`."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import dem
from dem.atomic import write_text
from dem.common import read_json
from dem.errors import RequestError
from dem.evaluation import intervals
from dem.evaluation.intervals import Change, changes, changes_together, marked, sure
from dem.evaluation.records import HarnessTask, TextFigures
from dem.evaluation.report import ModelResult
from dem.evaluation.retention import Retention, retention_of
from dem.evaluation.scores import Scores
from dem.typed import conform

FORMAT = 2
ALL = "all"
"""The name, among the domains, of their test documents taken together."""
PACKAGES = ("torch", "transformers", "tokenizers", "peft", "sacrebleu", "rouge_score", "mecab_ko", "numpy")


@dataclass(frozen=True)
class Perplexity:
    """What a model makes of one domain's test documents, or of all; see Scores."""

    perplexity: float | None
    """None, like the others, where the model computes no numbers."""
    bits_per_byte: float | None
    nll: float | None
    """In nats, of all tokens together."""
    tokens: int
    bytes: int
    documents: int
    change: Change | None
    """Against the base; None of the base itself."""


@dataclass(frozen=True)
class ModelMetrics:
    """What was measured of one model."""

    seconds: float
    """Spent on its test documents and prompts, at the time when that was done; without loading it."""
    perplexity: dict[str, Perplexity | None]
    """By domain, and of ALL; None where there was no test document."""
    texts: TextFigures
    """BLEU, chrF and ROUGE with their signatures and the number of pairs; empty without a reference."""
    harness: dict[str, HarnessTask]
    """Scores by task of lm-evaluation-harness; empty where it did not run."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of the config."""

    shares: dict[str, float]
    """By domain, adding up to 1; empty where they are yet to be found."""
    note: str | None = None
    """Why there is nothing to compare with, and what to do about it; None if there is."""
    seconds: float | None = None
    """Of its training."""
    tokens: int | None = None
    """That it was trained on."""
    found: bool = False
    """Whether its shares are weights that a search found."""


@dataclass(frozen=True)
class Metrics:
    """The content of `results/metrics.json`."""

    models: dict[str, ModelMetrics]
    """Base, the domains, mixtures, other weights, merged."""
    settings: dict[str, Any]
    fingerprints: dict[str, Any]
    harness_note: str | None = None
    """Why the harness did not run although it was asked for."""
    versions: dict[str, str] = field(default_factory=lambda: versions())
    against: dict[str, Change] = field(default_factory=dict)
    """The merged model's perplexity of ALL against that of other models than the base, by their names."""
    mixtures: dict[str, Mixture] = field(default_factory=dict)
    """Of the domains' text, to train on in place of a merge; by name."""
    between: dict[str, Change] = field(default_factory=dict)
    """The perplexity of ALL of one model against another's where merged is neither, by what changes between them."""

    drawn_from: dict[str, int] = field(default_factory=dict)
    """How many test documents there are, of each domain of which not all were drawn (evaluation.tokens)."""
    retention: Retention | None = None
    """What models for all domains keep of the adapters' gains at home; None in metrics of an earlier version."""

    def beyond_chance(self) -> set[tuple[str, str]]:
        """Model and domain where the perplexity differs from the base's, all of them taken together.

        The merged model's on ALL is the question that the evaluation is made for: it is taken by itself.
        """
        grid = {name: {d: p and p.change for d, p in model.perplexity.items()} for name, model in self.models.items()}
        first = grid.get("merged", {}).pop(ALL, None)
        return marked(grid) | ({("merged", ALL)} if first and sure(first) else set())

    def write(self, path: Path) -> None:
        """Write all to `path`, as JSON."""
        content = {"format": FORMAT, **asdict(self)}
        if self.harness_note is None:
            del content["harness_note"]
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def versions() -> dict[str, str]:
    """Of this project, of Python, and of the installed packages that the numbers depend on."""
    found = {"dem": dem.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # mecab_ko is an extra
            continue
    return found


def make_metrics(
    results: list[ModelResult],
    settings: dict[str, Any],
    fingerprints: dict[str, Any],
    harness_note: str | None = None,
    others: Sequence[str] = (),
    mixtures: dict[str, Mixture] | None = None,
    pairs: Mapping[str, tuple[str, str]] | None = None,
    drawn_from: Mapping[str, int] | None = None,
) -> Metrics:
    """The metrics of `results`, whose first is the base; the settings of the bootstrap and the device are added.

    `others` are models, of those measured, that the merged one is compared with as with the base; so are `mixtures`.
    `pairs` name two models each, of which the first is compared with the second. `drawn_from` are Metrics' own.
    """
    mixtures = mixtures or {}
    domains = list(results[0].scores)
    columns = {domain: [result.scores[domain] for result in results] for domain in domains}
    rows = {domain: _column(scores, changes(scores[0], scores[1:])) for domain, scores in columns.items()}
    by_name = {result.name: result.scores for result in results}
    if domains:
        base, *others_scores = by_name.values()
        wholes = [sum(list(scores.values())[1:], scores[domains[0]]) for scores in by_name.values()]
        rows[ALL] = _column(wholes, changes_together(base, others_scores))
    models = {
        result.name: ModelMetrics(
            round(result.seconds, 3),
            {domain: row[number] for domain, row in rows.items()},
            result.text_metrics,
            result.harness,
        )
        for number, result in enumerate(results)
    }
    bootstrap = {
        "resamples": intervals.RESAMPLES,
        "confidence": intervals.CONFIDENCE,
        "seed": intervals.SEED,
        "method": intervals.METHOD,
        "least_documents": intervals.LEAST,
    }
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    compared = [name for name in [*mixtures, *others] if name in by_name]
    found = {name: changes_together(by_name[name], [by_name["merged"]])[0] for name in compared}
    against = {name: change for name, change in found.items() if change}
    pairs = dict(pairs or {}) | mixture_pairs(mixtures)
    steps = {what: pair for what, pair in pairs.items() if set(pair) <= set(by_name)}
    found = {what: changes_together(by_name[second], [by_name[first]])[0] for what, (first, second) in steps.items()}
    between = {what: change for what, change in found.items() if change}
    return Metrics(
        models,
        {**settings, "device": device, "bootstrap": bootstrap},
        fingerprints,
        harness_note,
        against=against,
        mixtures=mixtures,
        between=between,
        drawn_from=dict(drawn_from or {}),
        retention=retention_of(by_name),
    )


def mixture_pairs(mixtures: Mapping[str, Mixture]) -> dict[str, tuple[str, str]]:
    """Which mixtures are compared with each other, by the name of that in Metrics.between.

    Each of found weights is, with each of other shares.
    """
    found = [name for name, mixture in mixtures.items() if mixture.found]
    return {f"{one} against {other}": (one, other) for one in found for other in mixtures if other not in found}


def _column(scores: list[Scores], changed: list[Change | None]) -> list[Perplexity | None]:
    """Of all models on the same documents, given how all but the first have changed."""
    return [_perplexity(s, change) for s, change in zip(scores, [None, *changed], strict=True)]


def _perplexity(scores: Scores, change: Change | None) -> Perplexity | None:
    if not scores.documents:
        return None
    return Perplexity(
        scores.perplexity,
        scores.bits_per_byte,
        math.fsum(scores.nll) if scores.finite else None,
        int(scores.tokens.sum()),
        int(scores.bytes.sum()),
        scores.documents,
        change,
    )


def read_metrics(path: Path) -> Metrics:
    """The metrics in `path`.

    Raises:
        RequestError: there are none, or the file is damaged or of another version of this project.
    """
    if not path.exists():
        raise RequestError(f"{path} does not exist: evaluate first, with python dem/merge_model.py --config CONFIG")
    content = read_json(path)
    if (version := content.pop("format", None)) != FORMAT:
        raise RequestError(f"{path} has format {version!r}, not {FORMAT}: evaluate again")
    try:
        metrics = conform(content, Metrics)
        _require_coherent(metrics)
        return metrics
    except ValueError as mistake:
        raise RequestError(f"{path} is damaged ({mistake}): evaluate again") from None


def _require_coherent(metrics: Metrics) -> None:
    """Refuse figures that no evaluation writes together.


    Raises:
        ValueError: names the model and the domain.
    """
    base = next(iter(metrics.models.values())).perplexity if metrics.models else {}
    for name, model in metrics.models.items():
        if model.perplexity.keys() != base.keys():
            raise ValueError(f"models.{name}.perplexity is of other domains than the first model's")
        for domain, measured in model.perplexity.items():
            found = [p.perplexity for p in (measured, base[domain]) if p]
            if any(perplexity is not None and perplexity <= 0 for perplexity in found):
                raise ValueError(f"models.{name}.perplexity.{domain} is not above 0")
            change = measured and measured.change
            if change and (len(found) < 2 or None in found or (change.low is None) != (change.high is None)):
                raise ValueError(f"models.{name}.perplexity.{domain}.change is of no two figures")
    for domain, count in metrics.drawn_from.items():
        if not base.get(domain) or count < base[domain].documents:
            raise ValueError(f"drawn_from.{domain} is fewer documents than were measured")
    if metrics.retention:
        _require_coherent_retention(metrics.retention, metrics.models)


def _require_coherent_retention(retention: Retention, models: Mapping[str, ModelMetrics]) -> None:
    """Refuse a retention of models or domains that were not measured, or half of an interval.

    Raises:
        ValueError: names it.
    """
    if unknown := [name for name in [*retention.domains, *retention.models] if name not in models]:
        raise ValueError(f"retention is of {unknown[0]}, which is no model")
    if retention.note is None and retention.home is None:
        raise ValueError("retention has no gain at home")
    means = [kept.mean for kept in retention.models.values()]
    parts = [kept.retention for kept in retention.models.values()]
    if any(each and (each.low is None) != (each.high is None) for each in [retention.home, *means, *parts]):
        raise ValueError("retention has half of an interval")
