"""The answers of an evaluation on disk, so that they can be rated, and reported, without another one."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

from dem.atomic import write_text
from dem.common import read_json
from dem.errors import RequestError
from dem.evaluation.prompts import Prompt
from dem.evaluation.ratings import answer_id
from dem.evaluation.records import TextFigures
from dem.evaluation.report import TEXT_METRICS, ModelResult
from dem.reading import read_bytes
from dem.typed import conform

FORMAT = 1


@dataclass(frozen=True)
class Answers:
    """What each model answered to each prompt, and how the answers came about."""

    prompts: list[Prompt]
    models: list[ModelResult]
    """Base first, merged last; of what was measured, only the metrics of texts are kept on disk."""
    max_new_tokens: int
    provenance: str | None
    """Hash of the merged model's record."""

    def of(self, model: str) -> list[str]:
        """The model's answers, in the order of the prompts."""
        return next(m.answers for m in self.models if m.name == model)

    def distinct(self) -> dict[str, dict[str, str]]:
        """By prompt, each different answer by its id; in the order of the ids, which has nothing to do with models."""
        found: dict[str, dict[str, str]] = {}
        for number, prompt in enumerate(self.prompts):
            texts = {m.answers[number] for m in self.models}
            found.setdefault(prompt.prompt, {}).update({answer_id(prompt.prompt, text): text for text in texts})
        return {prompt: dict(sorted(texts.items())) for prompt, texts in found.items()}

    def pairs(self) -> Iterator[tuple[Prompt, str, str]]:
        """Each prompt with the base's answer and another model's, where they differ; no pair twice."""
        seen = set()
        for number, prompt in enumerate(self.prompts):
            base = self.of("base")[number]
            for model in self.models:
                pair = (prompt.prompt, base, model.answers[number])
                if model.answers[number] != base and pair not in seen:
                    seen.add(pair)
                    yield prompt, base, model.answers[number]

    def write(self, path: Path) -> None:
        """Write all to `path`, as JSON."""
        content = {
            "format": FORMAT,
            "decoding": {"method": "greedy", "max_new_tokens": self.max_new_tokens},
            "merged_provenance_sha256": self.provenance,
            "prompts": [asdict(prompt) for prompt in self.prompts],
            "models": [{"name": m.name, "answers": m.answers, "text_metrics": m.text_metrics} for m in self.models],
        }
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_answers(path: Path) -> Answers:
    """The answers in `path`.

    Raises:
        RequestError: there are none, or the file is damaged or of another version of this project.
    """
    if not path.exists():
        raise RequestError(f"{path} does not exist: evaluate first, with python dem/merge_model.py --config CONFIG")
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise RequestError(f"{path} has format {content.get('format')!r}, not {FORMAT}: evaluate again")
    try:
        stored = conform(content, _Stored)
        prompts = conform(stored["prompts"], list[Prompt], "prompts")
        models = [ModelResult(m["name"], {}, m["answers"], m["text_metrics"]) for m in stored["models"]]
        if any(len(m.answers) != len(prompts) for m in models) or not {"base", "merged"} <= {m.name for m in models}:
            raise ValueError("not every model has an answer to every prompt")
        if any(m.text_metrics and not {*TEXT_METRICS, "bleu_signature"} <= set(m.text_metrics) for m in models):
            raise ValueError("a model lacks some of its metrics")
    except ValueError as mistake:
        raise RequestError(f"{path} is damaged ({mistake}): evaluate again") from None
    return Answers(prompts, models, stored["decoding"]["max_new_tokens"], stored["merged_provenance_sha256"])


class _Model(TypedDict):
    name: str
    answers: list[str]
    text_metrics: TextFigures


class _Decoding(TypedDict):
    max_new_tokens: int


class _Stored(TypedDict):
    decoding: _Decoding
    merged_provenance_sha256: str | None
    prompts: list[dict[str, Any]]
    models: list[_Model]


def provenance_hash(record: Path) -> str | None:
    """Hash of the merged model's record; None without one."""
    return hashlib.sha256(read_bytes(record)).hexdigest() if record.is_file() else None
