"""Stage 2: what a domain's training changed, as one vector.

    python dem/vector_diff.py --config configs/yunmin_3b.yaml --domain web
    python dem/vector_diff.py --config configs/yunmin_3b.yaml --domain web --model path/to/fine_tuned_model
    python dem/vector_diff.py --config configs/yunmin_3b.yaml --domain all

Reads the base model and checkpoints/lora_<domain>/ or, with --model, a fully fine-tuned model; writes
diff_vectors/diff_<domain>.npy with its index .json, and diff_stats/diff_<domain>_summary.json with a histogram .png.
With --domain all it does so for every domain of the config, and reads the base once. No GPU is used; one parameter is
in memory at a time.
"""

import gc
import json
import math
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # run as a file: find the package `dem` beside this folder, and let this folder hide no library
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from dem.command_line import ALL_DOMAINS, Request, parse_request
from dem.errors import RequestError, run_script
from dem.evaluation.named_files import require_named_files
from dem.locks import one_run
from dem.utf8 import in_utf8

if TYPE_CHECKING:
    from dem.checkpoints import Checkpoint
    from dem.diff_statistics import Statistics


def main(argv: list[str] | None = None) -> None:
    """Make the differences that the command line asks for."""
    make_differences(parse_request(__doc__, argv, stage=2))


def make_differences(request: Request) -> None:
    """Make the difference of the request's domain, or of all, as the only run that does so; or rehearse it."""
    config, layout = request.config, request.layout
    if request.domain == ALL_DOMAINS and request.model:
        raise RequestError(f"--model is of one domain: name it in place of --domain {ALL_DOMAINS}")
    domains = config.domains if request.domain == ALL_DOMAINS else [request.domain]
    origins = _origins(request, domains)
    require_named_files(request)
    with nullcontext([]) if request.dry_run else one_run(map(layout.difference_output, domains)) as notes:
        make_alone(request, origins, notes)


def make_alone(request: Request, origins: dict[str, Path], notes: list[str]) -> None:
    """Compute, write and summarise each domain's difference, of what is in its origin; the log gets `notes` too."""
    config, layout = request.config, request.layout

    # Imported only now, so that --help and a wrong request do not wait for torch.
    from dem.checkpoints import Checkpoint
    from dem.common import base_folder, log, start_log
    from dem.outputs import require_outputs
    from dem.trained_adapter import base_files

    for domain in origins:
        files = layout.difference_output(domain).parts
        require_outputs(*{file.parent for file in files}, files=files, dry_run=request.dry_run)
    start_log(None)
    for line in notes:
        log.info(line)
    base = base_folder(config.base_model)
    checkpoint, files = Checkpoint(base), base_files(base)
    if request.dry_run:
        from dem.difference_plan import rehearse

        rehearse(request, origins, checkpoint, files)
        return
    with ThreadPoolExecutor(1) as beside:  # where files are read while the rest computes

        @cache
        def fingerprinting() -> Future[str]:
            return beside.submit(checkpoint.fingerprint)

        reports = [
            make_difference(request, domain, origin, checkpoint, files, fingerprinting, beside)
            for domain, origin in origins.items()
        ]
        for report in reports:
            report.result()


def _origins(request: Request, domains: list[str]) -> dict[str, Path]:
    """The folder of the adapter or model that each domain's difference is made of, by domain."""
    origins, mistakes = {}, []
    for domain in domains:
        try:
            origins[domain] = Path(request.model) if request.model else request.layout.existing_adapter(domain)
        except RequestError as mistake:
            mistakes.append(str(mistake))
    if mistakes:
        raise RequestError("; ".join(mistakes))
    return origins


def make_difference(
    request: Request,
    domain: str,
    origin: Path,
    checkpoint: "Checkpoint",
    files: dict[str, str | None],
    fingerprinting: Callable[[], Future[str]],
    beside: ThreadPoolExecutor,
) -> Future[None]:
    """Make one domain's difference: of the adapter or model in `origin` to the base, which is `checkpoint`.

    `files` are what `base_files` says of the base.
    `fingerprinting` begins to compute the base's fingerprint, in `beside`, or tells where it was begun.

    Returns:
        The report on it, which is being written in `beside` while the next domain's difference is made.
    """
    from dem.atomic import new_file, require_space
    from dem.columns import in_bytes
    from dem.common import log, progress_bar
    from dem.diff_statistics import Statistics, require_meaning, spread
    from dem.diff_writing import stored_bytes, write_index, write_vector
    from dem.diffs import Index
    from dem.full_model import model_deltas, model_source, open_model
    from dem.sources import adapter_deltas, adapter_source
    from dem.trained_adapter import log_settings_changed, require_as_trained

    gc.collect()  # a model refers to itself in circles, and the domain before's holds its adapter
    if not gc.get_freeze_count():
        gc.freeze()  # what is left, the libraries' objects, need not be looked at for each domain
    base_fingerprint = fingerprinting()  # not before the imports, whose many small files would wait for the disk
    config = request.config
    vector, index_file = request.layout.diff_vector(domain), request.layout.diff_index(domain)
    if request.model:
        model = open_model(origin)
        own_fingerprint = beside.submit(model.fingerprint)
        deltas = model_deltas(model, checkpoint)
        if config.diff.storage == "lowrank":
            log.info(f"{domain}: stored dense, although diff.storage is lowrank: a full model has no factors")
    else:
        if record := require_as_trained(origin, files):
            log_settings_changed(domain, record, config)
        deltas = adapter_deltas(origin, checkpoint.folder, checkpoint)
    elements = sum(math.prod(delta.shape) for delta in deltas)
    size = stored_bytes(deltas, config.diff.storage, config.diff.dtype)
    log.info(f"{domain}: {len(deltas)} parameters changed, {elements:,} elements; {in_bytes(size)} to write")
    require_space(vector.parent, size)
    spreads = {delta.name: spread(delta) for delta in deltas}
    norm = require_meaning(spreads, origin, config.diff.normalize)
    factor = 1 / norm if config.diff.normalize == "l2" else 1.0
    statistics = Statistics(spreads, factor)
    with new_file(vector) as partial:
        with progress_bar(elements, f"difference of {domain}", " elements") as bar:

            def seen(name, figures):
                statistics.add(name, figures)
                bar.update(figures.moments.count)

            parameters, digest = write_vector(
                partial, deltas, config.diff.storage, config.diff.dtype, factor, statistics.describe, seen
            )
        fingerprint = base_fingerprint.result()
        source = (
            model_source(origin, own_fingerprint.result()) if request.model else adapter_source(origin, fingerprint)
        )
        index_file.unlink(missing_ok=True)  # if cut off here, no index stands beside another run's vector
    index = Index(
        domain=domain,
        base={"name": config.base_model, "fingerprint": fingerprint, **files},
        source=source,
        storage=config.diff.storage,
        dtype=config.diff.dtype,
        normalize=config.diff.normalize,
        norm=norm,
        vector_fingerprint=digest,
        parameters=parameters,
    )
    write_index(index_file, index)
    return beside.submit(_report, request, domain, statistics, checkpoint.parameters())


def _report(request: Request, domain: str, statistics: "Statistics", base_parameters: int) -> None:
    """Write the summary and its picture, and say the main figures."""
    from dem import plots
    from dem.atomic import write_text
    from dem.common import log
    from dem.diffs import Difference

    layout = request.layout
    difference = Difference(layout.diff_vector(domain), layout.diff_index(domain))
    summary = statistics.summary(difference, base_parameters, request.config.training.seed)
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(layout.diff_summary(domain, ".json"), text + "\n")
    title = f"Difference of {domain}: norm {summary['l2_norm']:.4g}, {summary['count']:,} elements"
    picture = layout.diff_summary(domain, ".png")
    plots.difference_histogram(*statistics.histogram(), summary["mean"], summary["std"], picture, title)
    if summary["l2_norm"] == 0:
        log.info(f"{domain}: WARNING: the difference is 0 everywhere: nothing was trained")
    log.info(
        f"{domain}: norm {summary['l2_norm']:.4g}, std {summary['std']:.3g}, "
        f"{summary['share_of_base_parameters']:.1%} of the base's parameters -> {layout.diff_vector(domain)}"
    )


if __name__ == "__main__":
    sys.exit(run_script(in_utf8(main)))
