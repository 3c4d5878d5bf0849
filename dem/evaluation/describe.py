"""What is known of a merge before any evaluation: how its differences agree, and the pictures of how it came about."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dem.atomic import write_text
from dem.common import log
from dem.evaluation import pictures
from dem.evaluation.answers import provenance_hash
from dem.evaluation.evidence import Missing, gather
from dem.interference import Interference
from dem.layout import Layout


def describe_differences(layout: Layout, domains: list[str], compared: Interference | None) -> None:
    """Write how alike the merged differences are, and draw it, their norms, the trainings and the weights.

    A picture that cannot be drawn goes, and the log says why.
    """
    layout.interference.unlink(missing_ok=True)
    figures = None
    if compared:
        figures = {"merged": provenance_hash(layout.merge_record), **compared.as_dict()}
        write_text(layout.interference, json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    evidence = gather(layout)
    summaries = {d: s for d, s in evidence.differences.items() if not isinstance(s, Missing)}
    tables = {d: layout.train_summary(d, ".csv") for d in domains if layout.train_summary(d, ".csv").is_file()}
    _draw(layout.interference_picture, figures, pictures.interference)
    _draw(layout.norm_picture, summaries, pictures.norms)
    _draw(layout.loss_picture, tables, pictures.losses)
    _draw(layout.weight_picture, evidence.record, pictures.weights)


def _draw(picture: Path, content: Any, draw: Callable[[Any, Path], None]) -> None:
    picture.unlink(missing_ok=True)
    if not content or isinstance(content, Missing):
        return
    try:
        draw(content, picture)
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        log.info(f"{picture.name} is not drawn: a record that it shows is damaged ({error!r})")
