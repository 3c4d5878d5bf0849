"""Stage 3: add the weighted differences to the base, and compare base, domain models and merged model.

    python dem/merge_model.py --config configs/yunmin_3b.yaml
    python dem/merge_model.py --config configs/yunmin_3b.yaml --merge.weights.web 0.3 --evaluation.enabled false
    python dem/merge_model.py --config configs/yunmin_3b.yaml --ratings ratings.csv

Reads diff_vectors/ and the base model; writes merged_model/, a complete model. merge.method regmean, and weights that
are found for single terms, read text first and leave the differences that they make below diff_vectors/. The comparison
also reads parquet_ready/, checkpoints/ and the prompts, and writes results/eval_prompt_comparison.md,
results/metric_summary.csv, results/metrics.json, and results/rating_sheet.html, on which people rate the answers;
--ratings puts what they export into the report. results/report.md gathers everything on one page, with pictures and the
plan's criteria (results/acceptance.md), also after a merge without an evaluation. What was measured of a model is kept
in results/evaluated/, and measured again only when model, text, prompts or settings have changed.
"""

import gc
import importlib
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a file: find the package `dem` beside this folder, and let this folder hide no library
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from dem.command_line import Request, parse_request
from dem.config import AUTO
from dem.errors import RequestError, run_script
from dem.gpu_memory import take_memory_in_growing_segments
from dem.gpu_presence import leave_gpus_alone
from dem.locks import one_run
from dem.utf8 import in_utf8

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from dem.diffs import Difference
    from dem.evaluation.comparison import Questions
    from dem.evaluation.documents import Document
    from dem.evaluation.durations import Durations
    from dem.evaluation.harness import Harness
    from dem.evaluation.metrics import Metrics, Mixture
    from dem.evaluation.timing import Timed
    from dem.interference import Interference
    from dem.layout import Layout
    from dem.merge_checks import Inputs
    from dem.search.regmean import Projection
    from dem.search.terms import Terms

    Differences = dict[str, Difference]
    """By domain."""


def main(argv: list[str] | None = None) -> None:
    """Merge, and evaluate unless the config says not to, as the only run that does so."""
    request = parse_request(__doc__, argv, stage=3)
    if request.config.device == "cpu":
        leave_gpus_alone()
    take_memory_in_growing_segments()
    layout = request.layout
    if request.ratings is not None:
        if request.dry_run:
            raise RequestError("--dry-run says what a merge would do, and with --ratings nothing is merged: drop one")
        if not layout.results.exists():  # the root may be mistyped: no folder is made there
            from dem.evaluation.answers import read_answers

            read_answers(layout.answers)
        with one_run([layout.results_output]) as notes:
            rate_answers(request, notes)
        return
    domains = _domains_of(request)

    # Imported only now, so that --help and a wrong request do not wait for torch.
    from dem.common import base_folder

    base = base_folder(request.config.base_model)
    for domain in domains:
        layout.existing_difference(domain)
    if request.dry_run:
        say_what_follows(request, domains, base, check(request, domains, base, []))
        return
    with one_run([layout.merge_output, layout.results_output]) as notes:
        merge_and_evaluate(request, domains, base, notes)


def check(request: Request, domains: list[str], base: Path, notes: list[str]) -> "Inputs":
    """Check every output and input, a dry run without leaving a trace; the log begins with `notes`."""
    from dem.common import log, start_log
    from dem.merge_checks import check_inputs
    from dem.outputs import require_outputs

    layout = request.layout
    outputs = (layout.results, layout.evaluated("base").parent, layout.merge_log.parent)
    files = (layout.merge_log, layout.report, layout.metrics, layout.metric_summary, layout.prompt_comparison)
    require_outputs(*outputs, files=files, replaced=layout.merged_model, dry_run=request.dry_run)
    start_log(None if request.dry_run else layout.merge_log)
    for line in [*notes, *request.notes]:
        log.info(line)
    return check_inputs(request, domains, base)


def merge_and_evaluate(request: Request, domains: list[str], base: Path, notes: list[str]) -> None:
    """Check, merge `domains`, and evaluate unless the config says not to; the log begins with `notes`."""
    from dem.evaluation.durations import Durations

    inputs = check(request, domains, base, notes)
    differences, records = inputs.differences, {}
    projecting = searching = None
    if inputs.projection:
        differences, records["regmean"], projecting = project(request, differences, base, inputs.projection)
    merged = differences
    if inputs.tune_documents:
        request, records["search"], searching, merged = search(request, differences, base, inputs.tune_documents)
    seconds, compared = merge(request, merged, base, inputs, records)
    describe_merge(request, domains, Durations(seconds, searching, regmean=projecting), compared)
    if inputs.evaluation:
        evaluate(request, base, (differences, merged), inputs.evaluating, **vars(inputs.evaluation))


def _domains_of(request: Request) -> list[str]:
    """The domains that take part: those with a weight."""
    config = request.config
    if config.merge.weights == AUTO:
        return config.domains
    if unknown := [domain for domain in config.merge.weights if domain not in config.domains]:
        raise RequestError(
            f"merge.weights names {', '.join(unknown)}, not among the config's domains: {', '.join(config.domains)}"
        )
    if not config.merge.weights:
        raise RequestError("merge.weights is empty: name at least one domain")
    return [domain for domain in config.domains if domain in config.merge.weights]


def say_what_follows(request: Request, domains: list[str], base: Path, inputs: "Inputs") -> None:
    """The last lines of a dry run: what the real one would do, and what has not been looked at."""
    from dem.common import log
    from dem.evaluation.evaluation_plan import plan_evaluation

    lines = _merge_in_words(request, domains, base)
    if inputs.tune_documents:
        found_on = ", ".join(f"{domain} {len(some):,}" for domain, some in inputs.tune_documents.items())
        lines.append("search: the weights would be found first, in three to four passes over the tune documents")
        if request.config.search.fine:
            lines.append(
                f"search: then one for each of the {request.config.search.groups}, in up to "
                f"{request.config.search.steps} steps of Adam on half of them"
            )
        lines.append(f"search: of these documents it looks at {found_on}")
    if inputs.evaluation:
        lines += plan_evaluation(request.config, request.layout, base, domains, inputs.evaluation).lines()
    for line in lines:
        log.info(line)
    log.info(
        "dry run: nothing was written. Not looked at, as it takes reading all of them, and found by the merge: whether "
        "the base is by content the one that the differences were made from, and whether every element of these is "
        "finite and as its index says"
    )


def project(
    request: Request, differences: "Differences", base: Path, projection: "Projection"
) -> "tuple[Differences, dict[str, Any], float]":
    """Let each difference act where its domain lives: the projected ones, the record of how, and the seconds."""
    from dem.evaluation.timing import Timed
    from dem.search.regmean import project_differences

    with Timed() as projecting:
        derived, told = project_differences(request.config, request.layout, base, differences, projection)
    return derived, told, projecting.seconds


def search(
    request: Request, differences: "Differences", base: Path, tune_documents: "dict[str, list[Document]]"
) -> "tuple[Request, dict[str, Any], float, Differences]":
    """Find the weights of `differences`.

    Returns:
        The request with them, the record of how they were found, the seconds, and the differences that they are for:
        others than were given where each of their terms or modules has a weight.
    """
    from dem.common import log
    from dem.evaluation.timing import Timed
    from dem.search import pictures
    from dem.search.stage import search_weights

    layout = request.layout
    with Timed() as searching:
        settings, found, merged = search_weights(request.config, layout, base, differences, tune_documents)
    log.info(f"search: done in {searching.seconds:.1f} s")
    pictures.draw(layout, request.config.search.map)
    return replace(request, config=replace(request.config, merge=settings)), found, searching.seconds, merged


def merge(
    request: Request, differences: "Differences", base: Path, inputs: "Inputs", records: dict[str, dict[str, Any]]
) -> "tuple[float, Interference | None]":
    """Write merged_model/ from the base in the folder `base` and `differences`.

    `records` say how these and the weights were found, for the provenance.

    Returns:
        Seconds that it took, and how alike the domains' own differences are, if there are several.
    """
    from dem.atomic import new_folder
    from dem.checkpoints import Checkpoint
    from dem.common import log, progress_bar
    from dem.compiled import compile_sums
    from dem.interference import measure
    from dem.loading import require_loads
    from dem.merging import Merge, make_provenance, require_base, write_other_files, write_record
    from dem.rewrite import model_dtype
    from dem.streams import one_thread_each

    config, layout = request.config, request.layout
    began = time.monotonic()
    checkpoint = Checkpoint(base)
    for line in _merge_in_words(request, list(differences), base):
        log.info(line)
    merging = Merge(differences, config.merge)
    for difference in differences.values():
        difference.prefetch_factors()  # while transformers is imported
    with ThreadPoolExecutor(1) as beside, one_thread_each():
        beside.submit(compile_sums)  # meanwhile, too
        from dem.verify import Frame, compare_with_exact, write_model  # only now: it takes seconds

        provenance = make_provenance(config.merge, config.base_model, differences, inputs.differences) | records
        with new_folder(layout.merged_model) as folder:
            write_other_files(folder, checkpoint)
            frame = Frame(folder, model_dtype(checkpoint, merging.changed))
            with progress_bar(checkpoint.size(), "merge", "B") as bar:
                fingerprint, exact = write_model(frame, folder, checkpoint, merging, bar.update)
            require_base(inputs.differences, fingerprint)
            log.info(f"merge: written in {time.monotonic() - began:.1f} s; reading it again to compare its logits")
            # While the disk is waited for, what comes next: the differences beside each other, the library that draws.
            comparing = beside.submit(measure, inputs.differences) if len(differences) > 1 else None
            beside.submit(importlib.import_module, "dem.evaluation.describe")
            gap = compare_with_exact(frame, folder, exact, merging)
            write_record(folder, provenance | {"check": gap.as_dict()})
            require_loads(folder, base, inputs.left_out)
    log.info(
        f"merge: logits differ by {gap.relative:.2g} of their size from the unrounded ones (up to {gap.limit:.2g})"
    )
    seconds = time.monotonic() - began
    log.info(f"merge: done in {seconds:.1f} s -> {layout.merged_model}")
    return seconds, comparing.result() if comparing else None


def _merge_in_words(request: Request, domains: list[str], base: Path) -> list[str]:
    merge = request.config.merge
    weights = ", ".join(d if merge.weights == AUTO else f"{d} {merge.weights[d]:g}" for d in domains)
    lines = [f"merge: {merge.method} of {weights} on {base}"]
    if left_out := [d for d in request.config.domains if d not in domains]:
        lines.append(f"merge: {', '.join(left_out)} have no weight and take no part")
    return lines


def describe_merge(
    request: Request, domains: list[str], durations: "Durations", compared: "Interference | None"
) -> None:
    """Write how alike the merged differences are, draw what is known of them, and write the report of it so far."""
    from dem.common import log
    from dem.evaluation.describe import describe_differences
    from dem.evaluation.durations import durations_line, write_durations
    from dem.evaluation.team_report import publish_report

    layout = request.layout
    began = time.monotonic()
    write_durations(layout, durations)
    describe_differences(layout, domains, compared)
    publish_report(layout)
    log.info(f"merge: differences drawn in {time.monotonic() - began:.1f} s; see {layout.report}")
    if not request.config.evaluation.enabled:
        log.info(durations_line(durations))


def evaluate(
    request: Request,
    base: Path,
    differences: "tuple[Differences, Differences]",
    evaluating: "Timed",
    adapters: dict[str, Path],
    models: dict[str, Path],
    mixtures: "dict[str, Mixture]",
    corpora: dict,
    prompts: list,
    harness: "Harness | None",
) -> None:
    """Compare base, domain models and merged model on the test splits and the prompts; write results/.

    `differences` are those that other weights are of, which the found ones are compared with, and those that were
    merged; `evaluating` has counted the seconds that the reading of what follows took.
    """
    from dem.atomic import write_text
    from dem.common import load_tokenizer, log, read_json
    from dem.evaluation import pictures
    from dem.evaluation.answers import Answers, provenance_hash
    from dem.evaluation.arithmetic import arithmetic
    from dem.evaluation.comparison import Questions, compare
    from dem.evaluation.drawing import test_documents
    from dem.evaluation.durations import add_durations
    from dem.evaluation.inputs import after_the_search
    from dem.evaluation.metrics import make_metrics
    from dem.evaluation.outlook import beside_evaluation
    from dem.evaluation.rate import ask_judge, publish
    from dem.evaluation.subjects import fingerprints_of, subjects_of
    from dem.evaluation.tables import metric_table
    from dem.methods import METHODS
    from dem.search.rivals import measured, sum_steps

    config, layout = request.config, request.layout
    began = time.monotonic()
    gc.collect()  # models refer to themselves in circles, and the merge's holds the memory of two layers
    tokenizer = load_tokenizer(base)
    with evaluating:
        tested = test_documents(corpora, tokenizer, config.evaluation)
    for line in tested.notes():
        log.info(line)
    data, evaluation = config.data, config.evaluation
    own = arithmetic(base, evaluation.precision)
    questions = Questions(
        tested.documents, prompts, tokenizer, data.max_length, evaluation.max_new_tokens, own, harness
    )
    log.info(f"evaluation: precision {own.name}: {own.reason}")
    log.info(
        f"prompts: {questions.pairs()} of {len(prompts)} have a reference, on which BLEU, chrF and ROUGE are taken"
    )
    record = read_json(layout.merge_record)
    mixtures = after_the_search(request, list(record["domains"]), base, mixtures)
    baselines = {name: layout.adapter(name) for name, mixture in mixtures.items() if not mixture.note}
    rivals = record.get("search", {}).get("rivals", [])
    others, steps = measured(rivals), {f"sum of {shares}": pair for shares, pair in sum_steps(rivals).items()}
    patterns = [own.pattern for own in config.merge.weights_by_parameter]
    vectors = [difference.index.vector_fingerprint for difference in differences[0].values()]
    subjects = subjects_of(layout, base, adapters, models, baselines, others, patterns, vectors)
    terms_of = _terms_opener(request, base, differences[0])
    with evaluating:
        terms = {domain: corpora[domain] for domain in record["domains"]}
        beside = beside_evaluation(config, layout, terms, tested.documents, evaluating.seconds)
        results = compare(base, subjects, questions, config.kernels, layout.evaluated, terms_of, beside)
    fingerprints = fingerprints_of(layout, subjects) | questions.fingerprints()
    note = harness.note if harness else None
    settings = questions.settings() | tested.settings
    metrics = make_metrics(results, settings, fingerprints, note, list(others), mixtures, steps, tested.there)
    metrics.write(layout.metrics)
    write_text(layout.metric_summary, metric_table(metrics))
    pictures.perplexity(metrics, layout.perplexity_picture)
    lone_seconds = None
    if METHODS[config.merge.method].is_sum:
        lone_seconds = leave_one_out(request, base, questions, differences[1])
    durations = add_durations(layout, evaluation=evaluating.seconds, leave_one_out=lone_seconds)
    answers = Answers(
        prompts,
        [result for result in results if result.name not in others],
        config.evaluation.max_new_tokens,
        provenance_hash(layout.merge_record),
    )
    publish(answers, layout)
    _say_measured(layout, metrics, durations, time.monotonic() - began)
    if config.evaluation.judge:
        ask_judge(config.evaluation.judge, answers, layout)


def _say_measured(layout: "Layout", metrics: "Metrics", durations: "Durations", seconds: float) -> None:
    """The last lines of the log: the perplexities, where all results are, how long it took, and what to take."""
    from dem.common import log, peak_memory
    from dem.evaluation.advice import advice
    from dem.evaluation.durations import durations_line
    from dem.evaluation.evidence import gather
    from dem.evaluation.intervals import CONFIDENCE, LEAST
    from dem.evaluation.retention_report import retention_sentence
    from dem.evaluation.tables import perplexity_lines, without_interval

    log.info(f"perplexity on the test splits (change against the base, {CONFIDENCE:.0%} interval):")
    for line in perplexity_lines(metrics):
        log.info(line)
    if lone := without_interval(metrics):
        log.info(
            f"no interval for {', '.join(lone)}: fewer than {LEAST} test documents do not say how sure a change is"
        )
    log.info(
        f"evaluation: done in {seconds:.1f} s, peak memory {peak_memory()}; "
        f"see {layout.report}, and {layout.prompt_comparison}, {layout.metric_summary} and {layout.metrics}; "
        f"{layout.rating_sheet} is to rate the answers on"
    )
    log.info(durations_line(durations))
    log.info(retention_sentence(metrics, str))
    log.info(advice(gather(layout)))


def leave_one_out(request: Request, base: Path, questions: "Questions", differences: "Differences") -> float | None:
    """Measure what each merged domain's term adds and costs to each of them on the tune splits, where that can be done.

    `questions` are those of the test splits. Returns the seconds that it took, if it could be done.
    """
    from dem.common import log
    from dem.evaluation.timing import Timed
    from dem.search.effects import forget_effects, publish_effects
    from dem.search.leave_one_out import effects_of_terms
    from dem.search.stage import tune_documents

    config, layout = request.config, request.layout
    began = time.monotonic()
    forget_effects(layout)
    terms_of = _terms_opener(request, base, differences)
    try:
        with Timed() as measuring:
            on_tune = replace(questions, documents=tune_documents(config, layout, base, list(differences)), prompts=[])
            effects = effects_of_terms(layout, base, config.merge, on_tune, config.kernels, terms_of, config.search)
    except RequestError as error:
        log.info(f"leave-one-out is not measured: {error}")
        return None
    publish_effects(layout, effects)
    log.info(f"leave-one-out: done in {time.monotonic() - began:.1f} s; see {layout.leave_one_out}")
    return measuring.seconds


def _terms_opener(request: Request, base: Path, differences: "Differences") -> "Callable[[PreTrainedModel], Terms]":
    """What puts the `differences` on the loaded base, their parameters in the groups of the merge."""
    from dem.changed_modules import changed_names
    from dem.checkpoints import Checkpoint
    from dem.search.stage import groups, open_terms

    patterns = [own.pattern for own in request.config.merge.weights_by_parameter]

    def open_them(model: "PreTrainedModel") -> "Terms":
        group_of = groups(patterns, changed_names(differences))
        return open_terms(model, Checkpoint(base), request.layout, differences, group_of)

    return open_them


def rate_answers(request: Request, notes: list[str]) -> None:
    """Take up ratings of the last evaluation's answers, and write its report anew; the log gets `notes` too."""
    from dem.atomic import require_writable
    from dem.common import log, start_log
    from dem.evaluation.rate import rate

    layout = request.layout
    require_writable(layout.results, layout.merge_log.parent)
    start_log(layout.merge_log, append=True)
    for line in notes:
        log.info(line)
    rate(layout, request.ratings, request.config.evaluation.judge)


if __name__ == "__main__":
    sys.exit(run_script(in_utf8(main)))
