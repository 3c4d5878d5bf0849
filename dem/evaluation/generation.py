"""The answers of a model to prompts, several at a time."""

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
)

ROWS_AT_ONCE = 32
"""Prompts that are answered together at most."""


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
    text: all begin with as many tokens as the shortest has, and while others end, the longer ones are read on. What
    the model's own generation_config says of penalties and the like does not count. `progress` is told
    `max_new_tokens` for each answer.
    """
    ids = [_prompt_ids(prompt, tokenizer) for prompt in prompts]
    answers = [""] * len(prompts)
    for rows in _batches([len(i) for i in ids], max_new_tokens):
        for row, new in zip(rows, _continue(model, [ids[r] for r in rows], tokenizer, max_new_tokens), strict=True):
            answers[row] = tokenizer.decode(new, skip_special_tokens=True).strip()
        progress(len(rows) * max_new_tokens)
    return answers


def _prompt_ids(prompt: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids = tokenizer(prompt, return_attention_mask=False)["input_ids"]
    # Of a tokenizer that ends every text; this one is to go on.
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids


def _batches(lengths: list[int], max_new_tokens: int) -> Iterator[list[int]]:
    """Numbers of the prompts that are answered together, short ones first.

    The longest of a batch is read on token by token for as long as an answer takes at most: longer, and it would be
    quicker alone.
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == ROWS_AT_ONCE or lengths[number] - lengths[batch[0]] > max_new_tokens):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _continue(
    model: PreTrainedModel, prompts: list[list[int]], tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> list[list[int]]:
    """The new tokens after each prompt (token ids), up to EOS."""
    start = torch.tensor([ids[: len(prompts[0])] for ids in prompts], device=model.device)
    eos = tokenizer.eos_token_id
    longest = max(map(len, prompts))
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=longest - start.shape[1] + max_new_tokens, pad_token_id=eos
    )
    rows = model.generate(
        input_ids=start,
        attention_mask=torch.ones_like(start),
        logits_processor=[_ReadOn(prompts, model.device)],
        stopping_criteria=[_RowEnds(prompts, eos, max_new_tokens, model.device)],
    )
    answers = (row[len(ids) :][:max_new_tokens] for ids, row in zip(prompts, rows.tolist(), strict=True))
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
        known = self._next[:, place]
        rows = (known >= 0).nonzero()[:, 0]
        scores[rows] = -torch.inf
        scores[rows, known[rows]] = 0
        return scores


class _RowEnds(StoppingCriteria):
    """A row is done when its answer has ended, by EOS or by its length; an EOS inside its prompt is text."""

    def __init__(self, prompts: list[list[int]], eos: int, max_new_tokens: int, device: torch.device):
        self._lengths = torch.tensor([len(ids) for ids in prompts], device=device)
        self._eos, self._max_new_tokens = eos, max_new_tokens

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        new = input_ids.shape[1] - self._lengths
        return (new > 0) & ((input_ids[:, -1] == self._eos) | (new >= self._max_new_tokens))
