"""Tasks of lm-evaluation-harness on models that are in memory: local multiple-choice files, and any other by name.

The harness is an extra (`pip install -e ".[harness]"`); only what runs it imports it.
"""

import importlib.util
import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import torch
from transformers import PreTrainedTokenizerBase

from dem.checkpoints import files_fingerprint
from dem.common import log, progress_bar
from dem.config import HarnessConfig, MultipleChoiceConfig
from dem.errors import RequestError
from dem.evaluation.multiple_choice import SubjectQuestions, as_row, choose

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

FEW_SHOT_SEED = 1234
"""Seed of the examples that the harness's own tasks draw; its command line's default."""

BOOTSTRAP_RESAMPLES = 1000
"""For the standard error of what is no mean, such as F1. The harness's own 100,000 take minutes a metric."""


@dataclass
class Work:
    """What one name in the results stands for: the harness's tasks, by subject, and the groups that sum them up."""

    name: str
    tasks: dict[str, "Task"]
    groups: dict[str, "Group"] = field(default_factory=dict)
    limit: int | None = None
    """Questions of each task at most; of a multiple-choice file they are chosen already."""
    pooled: bool = False
    """Whether the metrics of all are taken over the questions of all subjects together."""


@dataclass
class Harness:
    """The work that was asked for, checked and ready to be done for each of `models`."""

    models: list[str]
    work: list[Work] = field(default_factory=list)
    note: str | None = None
    """Why none of it can be done, if it cannot."""
    key: dict[str, Any] = field(default_factory=dict)
    """Whatever the results depend on beside the model and its tokenizer."""


def harness_unavailable() -> str | None:
    """Why the harness cannot run here, and what to do about it; None if it can."""
    if importlib.util.find_spec("lm_eval"):
        return None
    return 'lm-evaluation-harness is not installed: pip install -c constraints.txt -e ".[harness]", and evaluate again'


def prepare_harness(config: HarnessConfig) -> Harness:
    """Read the files and load the tasks; without the extra, only check the files.

    Raises:
        RequestError: a file is unusable, a task unknown or not to be had, such as its data without a network.
    """
    questions = [(each, choose(each, config.limit)) for each in config.multiple_choice]
    if note := harness_unavailable():
        return Harness(config.models, note=note)
    with _without_chatter():
        work = [_multiple_choice(each, subjects) for each, subjects in questions]
    if config.tasks:
        log.info(f"harness: loading {', '.join(config.tasks)}")
        work += _own_tasks(config)
    return Harness(config.models, work, key=_key(config))


def _key(config: HarnessConfig) -> dict[str, Any]:
    files = [file for each in config.multiple_choice for file in (each.file, each.few_shot_file) if file]
    settings = {name: value for name, value in asdict(config).items() if name != "models"}
    contents = files_fingerprint([Path(file) for file in files])
    return {"settings": settings, "files": contents, "lm_eval": version("lm_eval")}


def _multiple_choice(config: MultipleChoiceConfig, subjects: dict[str, SubjectQuestions]) -> Work:
    """One task of the harness per subject, as for MMLU, so that each has examples of its own."""
    from lm_eval.api.task import ConfigurableTask

    names = ("acc",) if config.style == "letters" else ("acc", "acc_norm", "acc_bytes")  # the same for single letters
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]
    tasks = {}
    for subject, questions in subjects.items():
        scored, examples = ([as_row(q, config.style) for q in some] for some in (questions.scored, questions.examples))
        settings = {
            "task": f"{config.name} {subject}".strip(),
            "custom_dataset": _rows_in_memory,
            "dataset_kwargs": {"rows": scored},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "query",
            "doc_to_choice": "scored",
            "doc_to_target": "gold",
            "metric_list": metrics,
            "num_fewshot": config.few_shot,
            "fewshot_config": {"sampler": "first_n", "samples": examples},
        }
        tasks[subject] = ConfigurableTask(config=settings)
    return Work(config.name, tasks, pooled=True)


def _rows_in_memory(rows: list[dict[str, Any]], **_: Any) -> dict[str, datasets.Dataset]:
    return {"test": datasets.Dataset.from_list(rows)}


def _task_manager() -> "TaskManager":
    """The index of the harness's own tasks; it takes ten seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _own_tasks(config: HarnessConfig) -> list[Work]:
    manager = _task_manager()
    for name in config.tasks:  # all of them, before the data of the first are fetched
        if name not in manager.all_tasks:
            like = get_close_matches(name, manager.all_tasks, 3)
            raise RequestError(
                f"evaluation.harness.tasks: lm-evaluation-harness has no task {name!r}"
                + (f"; it has {', '.join(like)}" if like else "")
            )
    with _without_chatter():
        return [_own_task(manager, name, config.limit) for name in config.tasks]


def _own_task(manager: "TaskManager", name: str, limit: int | None) -> Work:
    """A task, group or tag of the harness, with its data.

    Raises:
        RequestError: it cannot be loaded, or is of a kind that is not run here.
    """
    try:
        loaded = manager.load([name])
    except Exception as error:  # each task's data comes through code of its own
        raise RequestError(
            f"evaluation.harness.tasks: {name} cannot be loaded: {_first_line(error)} "
            "(most have their data on the Hugging Face hub; questions in a local file go into multiple_choice)"
        ) from None
    for task in loaded["tasks"].values():
        if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
            raise RequestError(f"evaluation.harness.tasks: {name} runs code of a model's or is not of text alone")
        if task.get_config("num_fewshot") is None:
            task.set_config("num_fewshot", 0)
    share = limit and max(limit // len(loaded["tasks"]), 1)
    return Work(name, loaded["tasks"], loaded.get("groups", {}), share)


def run_harness(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, harness: Harness) -> dict[str, Any]:
    """Do all the work with `model`: by name of the task its metrics, rows, few_shot and subjects.

    A metric is {"value", "stderr"} with the standard error of the mean over questions, or None where it has none;
    metrics bear the harness's names, with its filter's name after a comma if that is not `none`. A task that fails has
    the reason under `failed`, and the others go on.
    """
    results = {}
    for work in harness.work:
        try:
            results[work.name] = _run(model, tokenizer, work)
            log.info(f"harness: {work.name}: {_in_words(results[work.name])}")
        except Exception as error:  # the harness, its tasks and torch each raise their own
            reason = _first_line(error)
            log.info(f"harness: {work.name} failed: {reason}")
            results[work.name] = {"failed": reason, "metrics": {}, "rows": 0, "few_shot": None, "subjects": {}}
    return results


def _run(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, work: Work) -> dict[str, Any]:
    from lm_eval.evaluator import evaluate

    from dem.evaluation.harness_model import LoadedModel

    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # lest the bootstrap fork a process that holds a model
    for task in work.tasks.values():
        task.set_fewshot_seed(FEW_SHOT_SEED)  # each time, so that all models see the same examples
    with progress_bar(0, f"harness: {work.name}", " requests") as bar, _without_chatter():
        wrapped = LoadedModel(model, tokenizer, bar)
        loaded = {"tasks": work.tasks, "groups": work.groups}
        found = evaluate(
            wrapped, loaded, limit=work.limit, log_samples=work.pooled, bootstrap_iters=BOOTSTRAP_RESAMPLES
        )
    if wrapped.shortened:
        log.info(
            f"harness: {work.name}: {wrapped.shortened} requests are longer than {wrapped.max_length} tokens; "
            "their beginnings were cut off"
        )
    return _summary(work, found)


def _in_words(result: dict[str, Any]) -> str:
    figures = [
        f"{name} {metric['value']:.4g}" + (f" +/- {metric['stderr']:.2g}" if metric["stderr"] is not None else "")
        for name, metric in result["metrics"].items()
        if metric["value"] is not None
    ]
    return f"{', '.join(figures) or 'done'} ({result['rows']} questions)"


def _summary(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    """The harness's results in the form of `run_harness`."""
    rows = {name: found["n-samples"][name]["effective"] for name in work.tasks}
    metrics = {name: _metrics(found["results"][name]) for name in work.tasks}
    few_shot = {found["n-shot"][name] for name in work.tasks}
    if work.pooled:
        together = _pooled(next(iter(metrics.values())), found["samples"])
    elif work.name in work.tasks:
        together = metrics.pop(work.name)
    else:
        together = _metrics(found["results"].get(work.name, {}))
    return {
        "metrics": together,
        "rows": sum(rows.values()),
        "few_shot": few_shot.pop() if len(few_shot) == 1 else None,
        "subjects": {name: {**metrics[name], "rows": rows[name]} for name in metrics if name},
    }


def _metrics(found: dict[str, Any]) -> dict[str, Any]:
    """{"acc,none": 0.5, "acc_stderr,none": 0.1, ...} as {"acc": {"value": 0.5, "stderr": 0.1}, ...}."""
    metrics = {}
    for key, value in found.items():
        name, comma, chosen_by = key.partition(",")
        if comma and not name.endswith("_stderr"):
            label = name if chosen_by == "none" else key
            stderr = found.get(f"{name}_stderr,{chosen_by}")
            metrics[label] = {"value": _number(value), "stderr": _number(stderr)}
    return metrics


def _number(value: Any) -> float | None:
    """A finite number as Python's own; None for what is none ("N/A" of a standard error)."""
    try:
        return float(value) if math.isfinite(value) else None
    except TypeError:
        return None


def _pooled(names: dict[str, Any], samples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Mean and its standard error over the questions of all subjects, by the harness's own functions."""
    from lm_eval.api.metrics import mean, mean_stderr

    everything = {name: [each[name] for several in samples.values() for each in several] for name in names}
    return {
        name: {"value": mean(values), "stderr": mean_stderr(values) if len(values) > 1 else None}
        for name, values in everything.items()
    }


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def _without_chatter() -> Iterator[None]:
    """While it lasts, no print, progress bar or advice of the harness reaches the screen."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield
