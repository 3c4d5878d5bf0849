"""Base, domain models and merged model in turn, through the same texts and prompts."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
import xxhash
from peft import PeftModel
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import dem
from dem import mamba
from dem.common import load_model, log, progress_bar, read_json, reuse_freed_memory
from dem.corpus import tokenizer_fingerprint
from dem.evaluation.documents import Document, fingerprint
from dem.evaluation.evaluated import Evaluated
from dem.evaluation.generation import answer_all
from dem.evaluation.harness import Harness, run_harness
from dem.evaluation.outlook import SCORED, Beside, Outlook
from dem.evaluation.perplexity import score
from dem.evaluation.prompts import Prompt
from dem.evaluation.report import ModelResult
from dem.evaluation.scores import Scores
from dem.evaluation.subjects import Subject
from dem.evaluation.text_metrics import score_texts
from dem.reading import damage_named
from dem.search.terms import Terms

ANSWERS = "answers"
HARNESS = "harness"
"""The parts that are no domain's perplexity."""


def _of(domain: str) -> str:
    return f"{SCORED}{domain}"


@dataclass(frozen=True)
class Questions:
    """What every model is measured on."""

    documents: dict[str, list[Document]]
    """The test documents, by domain."""
    prompts: list[Prompt]
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    """Length of a perplexity window, in tokens."""
    max_new_tokens: int
    harness: Harness | None = None
    """The tasks of lm-evaluation-harness, and the models to do them with."""

    def parts(self, subject: Subject) -> list["Part"]:
        """What is measured of the model, one after the other; of other weights for the merge, no answers."""
        measured = [self._perplexity(domain, documents) for domain, documents in self.documents.items()]
        if subject.coefficients:
            return measured
        asked = self.harness and not self.harness.note and subject.name in self.harness.models
        return [*measured, self._answers(), *([self._harness(self.harness)] if asked else [])]

    def _perplexity(self, domain: str, documents: list[Document]) -> "Part":
        def measure(model: PreTrainedModel, progress: Callable[[int], object]) -> list[float]:
            return score(model, documents, self.max_length, progress).nll.tolist()

        def fits(value: Any) -> bool:
            return isinstance(value, list) and len(value) == len(documents) and all(type(v) is float for v in value)

        key = {"documents": fingerprint(documents), "max_length": self.max_length}
        tokens = sum(max(len(document.ids) - 1, 0) for document in documents)
        return Part(_of(domain), key, tokens, measure, fits)

    def _answers(self) -> "Part":
        texts = [prompt.prompt for prompt in self.prompts]

        def measure(model: PreTrainedModel, progress: Callable[[int], object]) -> list[str]:
            return answer_all(model, self.tokenizer, texts, self.max_new_tokens, progress)

        def fits(value: Any) -> bool:
            return isinstance(value, list) and len(value) == len(texts) and all(type(v) is str for v in value)

        key = {
            "prompts": prompts_fingerprint(self.prompts),
            "tokenizer": tokenizer_fingerprint(self.tokenizer),
            "max_new_tokens": self.max_new_tokens,
        }
        return Part(ANSWERS, key, len(texts) * self.max_new_tokens, measure, fits)

    def _harness(self, harness: Harness) -> "Part":
        def measure(model: PreTrainedModel, progress: Callable[[int], object]) -> dict[str, Any]:
            return run_harness(model, self.tokenizer, harness)

        def fits(value: Any) -> bool:  # what failed is tried again
            return isinstance(value, dict) and not any("failed" in task for task in value.values())

        key = {"tasks": harness.key, "tokenizer": tokenizer_fingerprint(self.tokenizer)}
        return Part(HARNESS, key, 0, measure, fits)

    def pairs(self) -> int:
        """Prompts with a reference."""
        return sum(prompt.reference is not None for prompt in self.prompts)

    def settings(self) -> dict[str, Any]:
        """How every model is measured."""
        return {"max_length": self.max_length, "max_new_tokens": self.max_new_tokens, "decoding": "greedy"}

    def fingerprints(self) -> dict[str, Any]:
        """Hashes of what every model is measured on."""
        tests = {domain: fingerprint(documents) for domain, documents in self.documents.items()}
        prompts, tokenizer = prompts_fingerprint(self.prompts), tokenizer_fingerprint(self.tokenizer)
        return {"test": tests, "prompts": prompts, "tokenizer": tokenizer}

    def result(self, name: str, values: dict[str, Any], seconds: float) -> ModelResult:
        """What was measured of the model `name`, by part."""
        answers = values.get(ANSWERS, [])
        result = ModelResult(name, answers=answers, harness=values.get(HARNESS, {}), seconds=seconds)
        for domain, documents in self.documents.items():
            result.scores[domain] = Scores.of(values[_of(domain)], documents)
        if answers:
            pairs = [(a, p.reference) for a, p in zip(answers, self.prompts, strict=True) if p.reference]
            result.text_metrics = score_texts([a for a, _ in pairs], [r for _, r in pairs])
        return result


@dataclass(frozen=True)
class Part:
    """One thing that is measured of a model."""

    name: str
    key: dict[str, Any]
    """Whatever the result depends on beside the model."""
    tokens: int
    """Its size, for the progress bar."""
    measure: Callable[[PreTrainedModel, Callable[[int], object]], Any]
    fits: Callable[[Any], bool]
    """Whether a value that was kept can be a result."""


def prompts_fingerprint(prompts: list[Prompt]) -> str:
    """A hash (128 bits, hexadecimal) of what the models are asked, in its order."""
    return xxhash.xxh3_128(repr([prompt.prompt for prompt in prompts]).encode()).hexdigest()


def compare(
    base: Path,
    subjects: list[Subject],
    questions: Questions,
    kernels: str,
    record: Callable[[str], Path],
    terms_of: Callable[[PreTrainedModel], Terms] | None = None,
    beside: Beside | None = None,
) -> list[ModelResult]:
    """Measure every subject; what `record` (a file by a model's name) has of the same content is not measured again.

    The base is loaded once, if it is needed, and each adapter put on it; the others are those on disk. A model's parts
    are kept as they are finished. `terms_of` puts the differences on the base, for subjects that have coefficients.
    The log says how long the rest takes and, of what is `beside` it, whether stage 3 stays within the plan's time.

    Returns:
        The results in the order of `subjects`.
    """
    parts, kept, values = measured_before(subjects, questions, kernels, record)
    waiting = {s.name: [p for p in parts[s.name] if values[s.name][p.name] is None] for s in subjects}
    _tell(parts, len(questions.prompts), waiting)
    outlook = Outlook([(p.name, p.tokens) for todo in waiting.values() for p in todo], beside)
    for subject in subjects:
        for part in (p for p in parts[subject.name] if p not in waiting[subject.name]):
            outlook.took(part.name, part.tokens, kept[subject.name].seconds([part.name]), waited=False)
    reuse_freed_memory()
    with progress_bar(sum(p.tokens for todo in waiting.values() for p in todo), "evaluation", " tokens") as bar:
        for subject, model in _models(base, [s for s in subjects if waiting[s.name]], kernels, terms_of):
            for part in waiting[subject.name]:
                values[subject.name][part.name] = _measure(part, model, kept[subject.name], bar)
                outlook.took(part.name, part.tokens, kept[subject.name].seconds([part.name]), waited=True)
                if outlook.measured == 1:
                    log.info(f"evaluation: by {part.name} of {subject.name}: {outlook.left()}")
            log.info("; ".join(filter(None, [f"evaluation: {subject.name} done", outlook.left()])))
            del model  # or it would be in memory beside the next
    return [
        questions.result(s.name, values[s.name], kept[s.name].seconds([part.name for part in parts[s.name]]))
        for s in subjects
    ]


def measured_before(
    subjects: list[Subject], questions: Questions, kernels: str, record: Callable[[str], Path]
) -> tuple[dict[str, list[Part]], dict[str, Evaluated], dict[str, dict[str, Any]]]:
    """By the subject's name: what is to be measured of it, the file of it, and the value of each part or None."""
    parts = {s.name: questions.parts(s) for s in subjects}
    kept = {s.name: Evaluated(record(s.name), _key(s, kernels)) for s in subjects}
    values = {s.name: {p.name: kept[s.name].get(p.name, p.key, p.fits) for p in parts[s.name]} for s in subjects}
    return parts, kept, values


def _measure(part: Part, model: PreTrainedModel, kept: Evaluated, bar: tqdm) -> Any:
    began = time.monotonic()
    value = part.measure(model, bar.update)
    kept.put(part.name, part.key, value, time.monotonic() - began)
    return value


def _tell(parts: dict[str, list[Part]], prompts: int, waiting: dict[str, list[Part]]) -> None:
    tokens = sum(part.tokens for part in next(iter(parts.values())) if part.name not in (ANSWERS, HARNESS))
    log.info(f"evaluation: {len(waiting)} models x ({tokens:,} tokens and {prompts} prompts)")
    if done := [name for name, todo in waiting.items() if not todo]:
        log.info(f"evaluation: {', '.join(done)} measured before, and nothing has changed since")
    begun = {name: todo for name, todo in waiting.items() if 0 < len(todo) < len(parts[name])}
    if begun:
        shares = ", ".join(f"{n} ({len(parts[n]) - len(todo)} of {len(parts[n])})" for n, todo in begun.items())
        log.info(f"evaluation: measured before in part: {shares}")


def _key(subject: Subject, kernels: str) -> dict[str, Any]:
    """What every number of a model depends on."""
    gpu = torch.cuda.is_available()
    return {
        "model": subject.fingerprint,
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "kernels": kernels,
        "versions": {m.__name__: m.__version__ for m in (dem, torch, transformers, peft)},
    }


def _models(
    base: Path,
    subjects: list[Subject],
    kernels: str,
    terms_of: Callable[[PreTrainedModel], Terms] | None,
) -> Iterator[tuple[Subject, PreTrainedModel]]:
    """Each subject and its model, one at a time: the base has left memory when another model is loaded."""

    def load(folder: Path) -> PreTrainedModel:
        gc.collect()  # PEFT's layers refer to each other in circles
        return load_model(folder, dtype_here(), kernels=kernels)

    on_base = [s for s in subjects if s.is_adapter or s.folder == base]
    yield from _base_and_adapters(lambda: load(base), on_base, terms_of)
    for subject in subjects:
        if subject not in on_base:
            yield subject, load(subject.folder)


def _base_and_adapters(
    load: Callable[[], PreTrainedModel],
    subjects: list[Subject],
    terms_of: Callable[[PreTrainedModel], Terms] | None,
) -> Iterator[tuple[Subject, PreTrainedModel]]:
    model = terms = None
    for subject in subjects:
        model = model or load()
        if subject.coefficients:
            terms = terms or terms_of(model)
            with terms.applied(np.array(subject.coefficients), gradient=False):
                yield subject, model
            continue
        if not subject.is_adapter:
            yield subject, model
            continue
        with _adapter_on(model, subject.folder) as adapted:
            yield subject, adapted
        config = read_json(subject.folder / "adapter_config.json")
        if config.get("modules_to_save") or config.get("bias", "none") != "none":
            model = adapted = terms = None  # PEFT leaves these in the base


def dtype_here() -> torch.dtype | str:
    """A GPU runs the checkpoint's own type, a CPU float32."""
    return "auto" if torch.cuda.is_available() else torch.float32


@contextmanager
def _adapter_on(model: PreTrainedModel, folder: Path) -> Iterator[PreTrainedModel]:
    """The model with the adapter in `folder` on it; without it again afterwards."""
    with damage_named(f"the adapter in {folder} cannot be loaded"), mamba.out_proj_allowed():
        adapted = PeftModel.from_pretrained(model, str(folder), low_cpu_mem_usage=True)
    try:
        yield adapted.eval().get_base_model()
    finally:
        adapted.unload()
