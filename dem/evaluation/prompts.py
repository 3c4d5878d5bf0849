"""Prompts from a JSON-lines file, and a model's answers to them."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

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


@torch.inference_mode()
def answer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, max_new_tokens: int) -> str:
    """The model's most likely continuation (greedy, so that it is the same every time), without the prompt."""
    ids = tokenizer(prompt, return_tensors="pt", return_attention_mask=False)["input_ids"].to(model.device)
    if (
        ids.shape[1] > 1 and ids[0, -1] == tokenizer.eos_token_id
    ):  # a tokenizer that ends every text; this one is to go on
        ids = ids[:, :-1]
    new = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )[0, ids.shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True).strip()
