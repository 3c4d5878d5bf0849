"""How long the parts of stage 3 took, the last time: `results/durations.json`."""

import json
from dataclasses import asdict, dataclass, fields, replace

from dem.atomic import write_text
from dem.common import read_json
from dem.errors import RequestError
from dem.evaluation.answers import provenance_hash
from dem.layout import Layout
from dem.typed import conform


@dataclass(frozen=True)
class Durations:
    """In seconds, results kept from an earlier run with what they took then; None of what was not done to the end."""

    merge: float
    """With the check of what was written."""
    search: float | None = None
    """For the weights, with loading the base."""
    evaluation: float | None = None
    """Of all models on the test documents and prompts, with reading those."""
    leave_one_out: float | None = None
    regmean: float | None = None
    """To project the differences, with loading the base."""

    def parts(self) -> dict[str, float]:
        """What was done, in its order, by its name."""
        order = {"regmean": self.regmean, "search": self.search, "merge": self.merge, "evaluation": self.evaluation}
        order["leave-one-out"] = self.leave_one_out
        return {name: seconds for name, seconds in order.items() if seconds is not None}


def durations_line(durations: Durations) -> str:
    """For the log: what each part took, and all together."""
    parts = durations.parts()
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())
    return f"stage 3: {told}; {sum(parts.values()):.1f} s in all, kept results with what they took then"


def write_durations(layout: Layout, durations: Durations) -> None:
    """Keep the durations of the merged model that is there now."""
    content = {"format": 1, "merged": provenance_hash(layout.merge_record), **asdict(durations)}
    write_text(layout.durations, json.dumps(content, indent=1) + "\n")


def add_durations(layout: Layout, **seconds: float | None) -> Durations:
    """Keep those of further parts beside the ones that are there, by their names in Durations."""
    durations = replace(read_durations(layout), **seconds)
    write_durations(layout, durations)
    return durations


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
        kinds = {f.name: float if f.name == "merge" else float | None for f in fields(Durations)}
        return Durations(**{name: conform(content.get(name), kind, name) for name, kind in kinds.items()})
    except ValueError as error:
        raise RequestError(f"{layout.durations} is damaged ({error!r})") from None
