"""Prompts from a JSON-lines file."""

import json
from dataclasses import dataclass
from pathlib import Path

from dem.errors import RequestError


@dataclass(frozen=True)
class Prompt:
    """A text to continue and, where there is one, a good continuation of it."""

    prompt: str
    reference: str | None


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts in `path`, one JSON object a line with `prompt` and optionally `reference`.

    Raises:
        RequestError: the file is missing or empty, or a line is not such an object; the message has its number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not splitlines: a text may hold U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"evaluation.prompts {path} cannot be read: {error}") from None
    prompts = [_prompt(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise RequestError(f"evaluation.prompts {path} holds no prompt")
    return prompts


def _prompt(line: str, place: str) -> Prompt:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise RequestError(f"{place} is not JSON: {error}") from None
    prompt = entry.get("prompt") if isinstance(entry, dict) else None
    if not isinstance(prompt, str) or not prompt.strip() or not _is_unicode(prompt):
        raise RequestError(f"{place} has no text under the key prompt")
    reference = entry.get("reference")
    if reference is not None and not (isinstance(reference, str) and reference.strip()):
        raise RequestError(f"{place}: reference is neither a text nor left out")
    return Prompt(prompt, reference)


def _is_unicode(text: str) -> bool:
    """Whether the text is free of lone surrogates, which JSON can write and no tokenizer reads."""
    return all(not "\ud800" <= c <= "\udfff" for c in text)
