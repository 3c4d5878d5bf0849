"""lm-evaluation-harness's view of a model that is in memory already. Needs the extra `harness`."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from dem.evaluation.perplexity import LOGITS_AT_ONCE, TOKENS_AT_ONCE
from dem.less_at_once import Progress, as_much_as_fits
from dem.positions import position_limit

TokenRequest = tuple[tuple[str, str], list[int], list[int]]
"""Context and continuation: as texts, then as token ids."""


@contextmanager
def _tied_as_it_is(model: torch.nn.Module) -> Iterator[None]:
    """While it lasts, nobody ties embedding and head, which HFLM does: an adapter may have parted them."""
    model.tie_weights = lambda: None
    try:
        yield
    finally:
        del model.tie_weights


class LoadedModel(HFLM):
    """A causal language model, in batches as large as their length allows."""

    def __init__(self, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, bar: tqdm):
        """Wrap `model`; `bar` is told how many requests there are and how many are done."""
        with _tied_as_it_is(model):
            super().__init__(
                pretrained=model,
                tokenizer=deepcopy(tokenizer),  # it may be given a padding token
                backend="causal",
                softmax_dtype="float32",  # half precision knows too few different probabilities
                max_length=position_limit(model),
            )
        self.bar = bar
        self.shortened = 0
        """Requests so far that were longer than the model's context and lost their beginning."""
        embedding = model.get_input_embeddings().weight
        at_once = TOKENS_AT_ONCE[embedding.device.type]
        self._tokens_at_once = min(LOGITS_AT_ONCE[embedding.device.type] // embedding.shape[0], at_once)
        self.batch_size_per_gpu = max(at_once // self.max_length, 1)  # of what is generated

    def tok_encode(self, string: str, *args: Any, **settings: Any) -> list[int]:
        """Token ids, without the end that some tokenizers put after every text; this one is to go on."""
        ids = super().tok_encode(string, *args, **settings)
        return ids[:-1] if len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id else ids

    def _loglikelihood_tokens(self, requests: list[TokenRequest], **_: Any) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation, and whether it is the most likely one, token by token."""
        self.bar.total = (self.bar.total or 0) + len(requests)
        self.shortened += sum(len(context) + len(more) > self.max_length + 1 for _, context, more in requests)
        of_generation, likelihoods = self.batch_size_per_gpu, super()._loglikelihood_tokens

        def measure(tokens: int, tell: Progress) -> list[tuple[float, bool]]:
            results: dict[int, tuple[float, bool]] = {}
            for numbers, rows in self._batches(requests, tokens):
                self.batch_size_per_gpu = rows
                some = [requests[number] for number in numbers]
                results.update(zip(numbers, likelihoods(some, disable_tqdm=True), strict=True))
                tell(len(some))
            return [results[number] for number in range(len(requests))]

        longest = max((len(context) + len(more) - 1 for _, context, more in requests), default=0)
        try:
            least = min(longest, self.max_length)
            return as_much_as_fits("harness", measure, self._tokens_at_once, least, self.bar.update)
        finally:
            self.batch_size_per_gpu = of_generation

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The continuation of each request, up to where it says; see HFLM."""
        usual, answers = self.batch_size_per_gpu, super().generate_until

        def generate(rows: int, _: Progress) -> list[str]:
            self.batch_size_per_gpu = rows
            return answers(requests, disable_tqdm)

        try:
            return as_much_as_fits("harness: answers", generate, usual, 1, unit="requests")
        finally:
            self.batch_size_per_gpu = usual

    def _batches(self, requests: list[TokenRequest], tokens: int) -> Iterator[tuple[list[int], int]]:
        """Numbers of requests of like length, at most so many `tokens`, and how many rows they are.

        HFLM computes equal inputs once.
        """
        inputs: dict[tuple[int, ...], list[int]] = {}
        for number, (_, context, more) in enumerate(requests):
            inputs.setdefault((*context, *more[:-1]), []).append(number)
        longest_first = sorted(inputs, key=len, reverse=True)
        start = 0
        while start < len(longest_first):
            rows = max(tokens // min(len(longest_first[start]), self.max_length), 1)
            batch = longest_first[start : start + rows]
            yield [number for ids in batch for number in inputs[ids]], rows
            start += rows
