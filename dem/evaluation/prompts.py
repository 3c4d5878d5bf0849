"""Prompts from a JSON-lines file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dem.errors import RequestError
from dem.reading import is_unicode, json_lines


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
        prompts = [_prompt(entry, f"{path}, line {number}") for number, entry in json_lines(path)]
    except RequestError as mistake:
        raise RequestError(f"evaluation.prompts: {mistake}") from None
    if not prompts:
        raise RequestError(f"evaluation.prompts {path} holds no prompt")
    return prompts


def _prompt(entry: Any, place: str) -> Prompt:
    prompt = entry.get("prompt") if isinstance(entry, dict) else None
    if not isinstance(prompt, str) or not prompt.strip() or not is_unicode(prompt):
        raise RequestError(f"{place} has no text under the key prompt")
    reference = entry.get("reference")
    if reference is not None and not (isinstance(reference, str) and reference.strip()):
        raise RequestError(f"{place}: reference is neither a text nor left out")
    if reference is not None and not is_unicode(reference):
        raise RequestError(f"{place}: reference holds half of a surrogate pair, which is no text")
    return Prompt(prompt, reference)
