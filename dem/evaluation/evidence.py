"""What lies in the files about the merged model, each figure beside the reason where there is none.

A file that tells of something else than the merged model that is there now (an earlier merge, an adapter trained
anew) tells nothing of it: its figures are Missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dem.diffs import adapter_fingerprint
from dem.errors import RequestError
from dem.evaluation.answers import Answers, provenance_hash, read_answers
from dem.evaluation.durations import read_durations
from dem.evaluation.metrics import ALL, Metrics, read_metrics
from dem.evaluation.ratings import read_ratings
from dem.evaluation.records import DifferenceSummary, MergeRecord, TrainingFigures
from dem.evaluation.tally import Tally
from dem.layout import RUN_RECORD, Layout
from dem.typed import read_as

Found = TypeVar("Found")


class Missing(str):
    """Why something is not there, as a phrase."""


@dataclass(frozen=True)
class Evidence:
    """Everything that the criteria and the report speak of."""

    domains: list[str]
    """Those that were merged, in the order of the merge."""
    record: dict[str, Any] | Missing
    """What the merged model was made of (dem_provenance.json)."""
    training_seconds: dict[str, float | Missing]
    """By domain."""
    training_tokens: dict[str, int | Missing]
    """That each domain's adapter was trained on, by domain."""
    training_epochs: dict[str, float | Missing]
    """How often each domain's text was gone through, by domain."""
    differences: dict[str, dict[str, Any] | Missing]
    """The summary of each domain's difference, by domain."""
    stage_3_seconds: dict[str, float | Missing]
    """By part of stage 3, in their order: those that belong to it, and whatever else was done."""
    metrics: Metrics | Missing
    tally: Tally | Missing
    """Of the answers' ratings."""


def gather(layout: Layout) -> Evidence:
    """Read everything; what is missing, damaged or of another model is Missing."""
    record = _or_missing(lambda: _merge_record(layout))
    sources = {} if isinstance(record, Missing) else record["domains"]

    def trainings(figure: str, kind: type) -> dict[str, Any]:
        return {d: _or_missing(lambda d=d: kind(_training(layout, d, sources[d])[figure])) for d in sources}

    merged = provenance_hash(layout.merge_record)
    metrics = _or_missing(lambda: _metrics(layout, merged))
    return Evidence(
        domains=list(sources),
        record=record,
        training_seconds=trainings("seconds", float),
        training_tokens=trainings("tokens", int),
        training_epochs=trainings("epochs", float),
        differences={d: _or_missing(lambda d=d: _difference(layout, d, sources[d])) for d in sources},
        stage_3_seconds=_stage_3_seconds(layout, record),
        metrics=metrics,
        tally=_or_missing(lambda: Tally(_answers(layout, merged), read_ratings(layout.ratings))),
    )


def not_merged(evidence: Evidence) -> list[str]:
    """Domains that have a test split and took no part in the merge."""
    if isinstance(evidence.metrics, Missing):
        return []
    tested = evidence.metrics.models["base"].perplexity
    return [domain for domain in tested if domain != ALL and domain not in evidence.domains]


def _or_missing(read: Callable[[], Found]) -> Found | Missing:
    try:
        return read()
    except RequestError as error:
        return Missing(error)
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        return Missing(f"the record is damaged ({error!r})")


def _merge_record(layout: Layout) -> dict[str, Any]:
    if not layout.merge_record.is_file():
        raise RequestError("there is no merged model")
    return read_as(layout.merge_record, MergeRecord, "merge again")


def _training(layout: Layout, domain: str, merged: dict[str, Any]) -> dict[str, Any]:
    """The record of the training of the adapter that was merged."""
    if merged["source"].get("kind") != "adapter":
        raise RequestError("its difference was not made from an adapter")
    adapter = layout.adapter(domain)
    if not (adapter / RUN_RECORD).is_file():
        raise RequestError("no record of its training")
    if adapter_fingerprint(adapter) != merged["source"]["fingerprint"]:
        raise RequestError("its adapter has changed since the merge")
    return read_as(adapter / RUN_RECORD, TrainingFigures, "train again")


def _difference(layout: Layout, domain: str, merged: dict[str, Any]) -> dict[str, Any]:
    path = layout.diff_summary(domain, ".json")
    if not path.is_file():
        raise RequestError("no summary of its difference")
    summary = read_as(path, DifferenceSummary, "make it again (dem/vector_diff.py)")
    if summary["normality"]["sample"] < 1:
        raise RequestError(f"{path} is damaged (a sample of no elements): make it again (dem/vector_diff.py)")
    if summary.get("vector_fingerprint") != merged.get("made_from", merged["difference_fingerprint"]):
        raise RequestError("the summary is not of the difference that was merged: make it again (dem/vector_diff.py)")
    return summary


def _stage_3_seconds(layout: Layout, record: dict[str, Any] | Missing) -> dict[str, float | Missing]:
    durations = _or_missing(lambda: read_durations(layout))
    searched = not isinstance(record, Missing) and "search" in record
    wanted = [*(["search"] if searched else []), "merge", "evaluation"]
    if isinstance(durations, Missing):
        return dict.fromkeys(wanted, durations)
    done, why = durations.parts(), {"evaluation": Missing("not evaluated, or not to the end")}
    parts = {part: done.get(part, why.get(part, Missing("not recorded"))) for part in wanted}
    return parts | {part: seconds for part, seconds in done.items() if part not in parts}


def _metrics(layout: Layout, merged: str | None) -> Metrics:
    if not layout.metrics.is_file():
        raise RequestError("not evaluated")
    metrics = read_metrics(layout.metrics)
    if metrics.fingerprints.get("merged") != merged:
        raise RequestError("the last evaluation is of a model merged before this one: evaluate again")
    if not {"base", "merged"} <= set(metrics.models):
        raise RequestError("the last evaluation lacks base or merged: evaluate again")
    return metrics


def _answers(layout: Layout, merged: str | None) -> Answers:
    if not layout.answers.is_file():
        raise RequestError("no answers")
    answers = read_answers(layout.answers)
    if answers.provenance != merged:
        raise RequestError("the last answers are of a model merged before this one: evaluate again")
    return answers
