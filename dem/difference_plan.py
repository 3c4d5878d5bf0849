"""The dry run of stage 2: whether each difference could be made, and what would be read, written and needed for it."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from dem.atomic import nearest_there
from dem.checkpoints import Checkpoint
from dem.columns import aligned, in_bytes
from dem.command_line import Request
from dem.common import log
from dem.config import DiffConfig
from dem.diff_statistics import require_meaning, spread
from dem.diff_writing import stored_bytes
from dem.errors import RequestError
from dem.full_model import fitting_pairs, open_model
from dem.layout import Layout
from dem.sources import adapter_deltas, adapter_source
from dem.trained_adapter import log_settings_changed, require_as_trained

FLOAT32 = 4
INTERPRETER = 512 << 20
"""Bytes that Python, its libraries and the tiles that are worked on take, about."""
WHOLE = 3
"""Tensors of a parameter's size that a change needs which PEFT computes whole."""


@dataclass(frozen=True)
class DifferencePlan:
    """One domain's difference, as far as the files' headers and the adapter tell; sizes in bytes."""

    domain: str
    parameters: int
    elements: int
    at_most: bool
    """Of a fully fine-tuned model: not all of them need have changed."""
    read: int
    """Of the adapter or model, and of the base where it is compared with."""
    written: int
    replaced: int
    """Of the vector that is there already; it stays until the new one is whole."""
    memory: int


def rehearse(request: Request, origins: dict[str, Path], checkpoint: Checkpoint, files: dict[str, str | None]) -> None:
    """Say what making the difference of each domain in `origins` (adapter or model by domain) would take.

    `files` are what `base_files` says of the base.

    Raises:
        RequestError: a real run would be refused; whatever else can be said has been said before.
    """
    plans, mistakes = [], []
    fingerprint = cache(checkpoint.fingerprint)
    for domain, origin in origins.items():
        try:
            plans.append(_plan(request, domain, origin, checkpoint, files, fingerprint))
        except RequestError as mistake:
            mistakes.append(str(mistake))
    for line in difference_lines(plans, checkpoint.size(), request.config.diff):
        log.info(line)
    if mistake := _say_room(request.layout, plans):
        mistakes.append(mistake)
    log.info(
        "dry run: nothing was written. Not looked at, as it takes computing all of it: whether every element is finite "
        "where a change is not a plain LoRA's, and how many of a fine-tuned model's parameters have changed"
    )
    if mistakes:
        raise RequestError("; ".join(dict.fromkeys(mistakes)))


def _plan(
    request: Request,
    domain: str,
    origin: Path,
    checkpoint: Checkpoint,
    files: dict[str, str | None],
    fingerprint: Callable[[], str],
) -> DifferencePlan:
    vector = request.layout.diff_vector(domain)
    replaced = vector.stat().st_size if vector.is_file() else 0
    if request.model:
        return _plan_of_model(domain, open_model(origin), checkpoint, request.config.diff, replaced)
    if record := require_as_trained(origin, files):
        log_settings_changed(domain, record, request.config)
    deltas = adapter_deltas(origin, checkpoint.folder, checkpoint)
    plain = {delta.name: spread(delta) for delta in deltas if delta.factors}
    require_meaning(plain, origin, request.config.diff.normalize if len(plain) == len(deltas) else "none")
    if record:
        log.info(f"{domain}: comparing the base with the record of the training")
        adapter_source(origin, fingerprint())
    factors = sum(math.prod(half.shape) for delta in deltas if delta.factors for half in delta.factors)
    whole = [math.prod(delta.shape) for delta in deltas if not delta.factors]
    return DifferencePlan(
        domain=domain,
        parameters=len(deltas),
        elements=sum(math.prod(delta.shape) for delta in deltas),
        at_most=False,
        read=sum(path.stat().st_size for path in origin.glob("adapter_model.*")),
        written=stored_bytes(deltas, request.config.diff.storage, request.config.diff.dtype),
        replaced=replaced,
        memory=INTERPRETER + FLOAT32 * (2 * factors + WHOLE * max(whole, default=0)),
    )


def _plan_of_model(
    domain: str, model: Checkpoint, checkpoint: Checkpoint, settings: DiffConfig, replaced: int
) -> DifferencePlan:
    names = fitting_pairs(model, checkpoint)
    elements = sum(checkpoint.tensor(name).size for name in names)
    width = {"float32": 4, "float16": 2}[settings.dtype]
    read = model.size() + checkpoint.size()
    return DifferencePlan(domain, len(names), elements, True, read, elements * width, replaced, INTERPRETER)


def difference_lines(plans: list[DifferencePlan], base: int, settings: DiffConfig) -> list[str]:
    """The plans for people; `base` is read once, for all of them."""
    if not plans:
        return []
    rows = [("domain", "parameters", "elements", "read", "write", "in place of")]
    for plan in plans:
        most = "at most " if plan.at_most else ""
        figures = (f"{most}{plan.parameters:,}", f"{most}{plan.elements:,}", in_bytes(plan.read))
        rows.append((plan.domain, *figures, most + in_bytes(plan.written), in_bytes(plan.replaced)))
    return [
        f"plan: differences stored {settings.storage}, {settings.dtype}, normalised {settings.normalize}; the base, "
        f"{in_bytes(base)}, is read once",
        *(f"  {line}" for line in aligned(rows)),
    ]


def _say_room(layout: Layout, plans: list[DifferencePlan]) -> str | None:
    """Disk and memory beside what is free of them; what a real run would refuse."""
    if not plans:
        return None
    folder = layout.diff_vector(plans[0].domain).parent
    disk, memory = shutil.disk_usage(nearest_there(folder)).free, psutil.virtual_memory().available
    needed, most = disk_needed(plans), max(plan.memory for plan in plans)
    log.info(
        f"plan: disk {in_bytes(needed)} ({in_bytes(disk)} free), memory up to {in_bytes(most)} ({in_bytes(memory)} "
        "available)"
    )
    if most > memory:
        log.info("plan: WARNING: that is more memory than is available")
    return f"{folder} needs {in_bytes(needed)}, and the disk has {in_bytes(disk)} free" if needed > disk else None


def disk_needed(plans: list[DifferencePlan]) -> int:
    """Most bytes that the differences need beyond those there, made one after the other."""
    kept = most = 0
    for plan in plans:
        most = max(most, kept + plan.written)
        kept += plan.written - plan.replaced
    return most
