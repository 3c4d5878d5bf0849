"""The answers of a model to prompts, several at a time."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
)

from dem.common import log
from dem.errors import RequestError
from dem.less_at_once import Progress, as_much_as_fits
from dem.names import Names
from dem.positions import position_limit

ROWS_AT_ONCE = 32
"""Prompts that are answered together at most."""


def require_room(base: Path, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], max_new_tokens: int) -> None:
    """Refuse prompts after which the model in the folder `base` has no position left; the log tells of short answers.

    Raises:
        RequestError: names the first such prompt.
    """
    limit = position_limit(Names.of(base).model)
    if limit is None:
        return
    rooms = [limit - len(_prompt_ids(prompt, tokenizer)) for prompt in prompts]
    if full := [number for number, room in enumerate(rooms) if room < 1]:
        prompt, room = prompts[full[0]], rooms[full[0]]
        raise RequestError(
            f"evaluation.prompts: prompt {full[0] + 1} ({prompt[:20]!r}...) is {limit - room:,} tokens long, and the "
            f"base model in {base} has positions for {limit:,}, its answer's included: shorten the prompt"
        )
    if short := sum(room < max_new_tokens for room in rooms):
        log.info(
            f"prompts: {short} of {len(prompts)} answers end before evaluation.max_new_tokens ({max_new_tokens}), "
            f"where the model's {limit:,} positions do"
        )


@torch.inference_mode()
def answer_all(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_new_tokens: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> list[str]:
    """The model's most likely continuation of each prompt (greedy, so that it is the same every time), without it.

    Prompts of unlike length go through the model together without any padding, which a Mamba's state would take for
    text: all begin with as many tokens as the shortest has, and while others end, the longer ones are read on. Where
    the model's positions end, so does an answer. What the model's own generation_config says of penalties and the like
    does not count. `progress` is told `max_new_tokens` for each answer.
    """
    limit = position_limit(model)
    ids = [_prompt_ids(prompt, tokenizer) for prompt in prompts]

    def answer(rows_at_once: int, tell: Progress) -> list[str]:
        answers = [""] * len(prompts)
        for rows in _batches([len(i) for i in ids], max_new_tokens, rows_at_once):
            some = [ids[row] for row in rows]
            ends = [min(len(i) + max_new_tokens, limit or sys.maxsize) for i in some]
            for row, new in zip(rows, _continue(model, some, tokenizer, ends), strict=True):
                answers[row] = tokenizer.decode(new, skip_special_tokens=True).strip()
            tell(len(rows) * max_new_tokens)
        return answers

    return as_much_as_fits("answers", answer, ROWS_AT_ONCE, 1, progress, unit="prompts")


def _prompt_ids(prompt: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids = tokenizer(prompt, return_attention_mask=False)["input_ids"]
    # Of a tokenizer that ends every text; this one is to go on.
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids


def _batches(lengths: list[int], max_new_tokens: int, rows_at_once: int) -> Iterator[list[int]]:
    """Numbers of the prompts that are answered together, short ones first, at most `rows_at_once`.

    The longest of a batch is read on token by token for as long as an answer takes at most: longer, and it would be
    quicker alone.
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == rows_at_once or lengths[number] - lengths[batch[0]] > max_new_tokens):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _continue(
    model: PreTrainedModel, prompts: list[list[int]], tokenizer: PreTrainedTokenizerBase, ends: list[int]
) -> list[list[int]]:
    """The new tokens after each prompt (token ids), up to EOS or until both together are as many as `ends` says."""
    start = torch.tensor([ids[: len(prompts[0])] for ids in prompts], device=model.device)
    eos = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=max(ends) - start.shape[1], pad_token_id=eos
    )
    rows = model.generate(
        input_ids=start,
        attention_mask=torch.ones_like(start),
        logits_processor=[_ReadOn(prompts, model.device)],
        stopping_criteria=[_RowEnds(prompts, eos, ends, model.device)],
    )
    answers = (row[len(ids) : end] for ids, end, row in zip(prompts, ends, rows.tolist(), strict=True))
    return [new[: new.index(eos)] if eos in new else new for new in answers]


class _ReadOn(LogitsProcessor):
    """Where a prompt has not ended yet, its next token is the only one possible."""

    def __init__(self, prompts: list[list[int]], device: torch.device):
        longest = max(map(len, prompts))
        self._next = torch.tensor([ids + [-1] * (longest - len(ids)) for ids in prompts], device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = input_ids.shape[1]
        if place >= self._next.shape[1]:
            return scores
        known = self._next[:, place, None]
        only = torch.full_like(scores, -torch.inf).scatter_(1, known.clamp(min=0), 0.0)
        return torch.where(known >= 0, only, scores)  # without asking the device which rows these are


class _RowEnds(StoppingCriteria):
    """A row is done when its answer has ended, by EOS or where `ends` says; an EOS inside its prompt is text."""

    def __init__(self, prompts: list[list[int]], eos: int, ends: list[int], device: torch.device):
        self._lengths = torch.tensor([len(ids) for ids in prompts], device=device)
        self._eos, self._ends = eos, torch.tensor(ends, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        length = input_ids.shape[1]
        return (length > self._lengths) & ((input_ids[:, -1] == self._eos) | (length >= self._ends))
