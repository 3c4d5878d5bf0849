"""How long the last merge and its evaluation took: `results/durations.json`."""

import json
from dataclasses import asdict, dataclass, replace

from dem.atomic import write_text
from dem.common import read_json
from dem.errors import RequestError
from dem.evaluation.answers import provenance_hash
from dem.evaluation.metrics import Metrics
from dem.layout import Layout
from dem.typed import conform


@dataclass(frozen=True)
class Durations:
    """In seconds."""

    merge: float
    """With the check of what was written."""
    evaluation: float | None = None
    """Of all models; None if it was not finished."""


def write_durations(layout: Layout, durations: Durations) -> None:
    """Keep the durations of the merged model that is there now."""
    content = {"format": 1, "merged": provenance_hash(layout.merge_record), **asdict(durations)}
    write_text(layout.durations, json.dumps(content, indent=1) + "\n")


def keep_evaluation(layout: Layout, seconds: float, metrics: Metrics) -> None:
    """Keep the evaluation's duration beside the merge's; of models that were not measured again, what it took then."""
    measured = sum(model.seconds for model in metrics.models.values())
    write_durations(layout, replace(read_durations(layout), evaluation=max(seconds, measured)))


def read_durations(layout: Layout) -> Durations:
    """The durations of the merged model that is there now.

    Raises:
        RequestError: there are none, or they are of another merge.
    """
    if not layout.durations.is_file():
        raise RequestError("no record of how long it took")
    content = read_json(layout.durations)
    if content.get("merged") != provenance_hash(layout.merge_record):
        raise RequestError("the record of how long it took is of another merge")
    try:
        evaluation = conform(content["evaluation"], float | None, "evaluation")
        return Durations(conform(content["merge"], float, "merge"), evaluation)
    except (KeyError, ValueError) as error:
        raise RequestError(f"{layout.durations} is damaged ({error!r})") from None
