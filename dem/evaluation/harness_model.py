"""lm-evaluation-harness's view of a model that is in memory already. Needs the extra `harness`."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from dem.evaluation.perplexity import LOGITS_AT_ONCE, TOKENS_AT_ONCE, head_is_all, head_of, padded
from dem.less_at_once import Progress, as_much_as_fits
from dem.positions import position_limit

TokenRequest = tuple[tuple[str, str], list[int], list[int]]
"""Context and continuation: as texts, then as token ids."""
Row = tuple[int, ...]
"""Token ids of an input."""


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
        self._positions = max(LOGITS_AT_ONCE[embedding.device.type] // embedding.shape[0], 1)
        self._head_is_all = head_is_all(model)
        self._tokens_at_once = at_once if self._head_is_all else min(self._positions, at_once)
        self.batch_size_per_gpu = max(at_once // self.max_length, 1)  # of what is generated

    def tok_encode(self, string: str, *args: Any, **settings: Any) -> list[int]:
        """Token ids, without the end that some tokenizers put after every text; this one is to go on."""
        ids = super().tok_encode(string, *args, **settings)
        return ids[:-1] if len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id else ids

    def _loglikelihood_tokens(self, requests: list[TokenRequest], **_: Any) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation, and whether it is the most likely one, token by token."""
        self.bar.total = (self.bar.total or 0) + len(requests)
        self.shortened += sum(len(context) + len(more) > self.max_length + 1 for _, context, more in requests)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)

        def measure(tokens: int, tell: Progress) -> None:
            for rows in self._batches(requests, tokens):
                asked = [(row, number) for row, (_, numbers) in enumerate(rows) for number in numbers]
                found = self._scored([ids for ids, _ in rows], [(row, requests[number][2]) for row, number in asked])
                for (_, number), result in zip(asked, found, strict=True):
                    results[number] = result
                tell(len(asked))

        longest = max((len(context) + len(more) - 1 for _, context, more in requests), default=0)
        least = min(longest, self.max_length)
        as_much_as_fits("harness", measure, self._tokens_at_once, least, self.bar.update)
        return results

    @torch.inference_mode()
    def _scored(self, rows: list[Row], asked: list[tuple[int, list[int]]]) -> list[tuple[float, bool]]:
        """For each of `asked`, the number of a row and the tokens that continue it, what `_loglikelihood_tokens` gives.

        A continuation's last token is in no row, so that its first one follows what comes so many tokens before the
        row's end. Only where one is scored are there logits; HFLM makes all of them, and few prompts go together.
        """
        ids, _ = padded(rows)
        starts = [row * ids.shape[1] + len(rows[row]) - len(more) for row, more in asked]
        places = torch.cat([torch.arange(len(more)) + at for at, (_, more) in zip(starts, asked, strict=True)])
        wanted = torch.tensor([token for _, more in asked for token in more], dtype=torch.long)
        ids, places, wanted = (each.to(self.device) for each in (ids, places, wanted))
        if self._head_is_all:
            states, logits_of = self.model.base_model(input_ids=ids, use_cache=False)[0], head_of(self.model)
        else:
            states, logits_of = self.model(input_ids=ids, use_cache=False).logits, torch.Tensor.float
        pieces = zip(states.flatten(0, 1)[places].split(self._positions), wanted.split(self._positions), strict=True)
        each = torch.cat([_told(logits_of(some), tokens) for some, tokens in pieces], 1).cpu()
        by_continuation = each.split([len(more) for _, more in asked], 1)
        return [(float(likelihoods.sum()), bool(best.all())) for likelihoods, best in by_continuation]

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

    def _batches(self, requests: list[TokenRequest], tokens: int) -> Iterator[list[tuple[Row, list[int]]]]:
        """What goes through the model together, at most so many `tokens` and longest first: rows with the numbers of
        the requests that each is for. Equal rows are one, such as those of a question whose letters are scored."""
        rows: dict[Row, list[int]] = {}
        for number, (_, context, more) in enumerate(requests):
            rows.setdefault(tuple([*context, *more][-(self.max_length + 1) : -1]), []).append(number)
        longest_first = sorted(rows.items(), key=lambda row: len(row[0]), reverse=True)
        start = 0
        while start < len(longest_first):
            count = max(tokens // len(longest_first[start][0]), 1)
            yield longest_first[start : start + count]
            start += count


def _told(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Of each row of logits the log-likelihood of the wanted token, and 1 if that is the most likely one; (2, rows)."""
    likelihoods = logits.log_softmax(1).gather(1, wanted[:, None])[:, 0]
    return torch.stack([likelihoods, (logits.argmax(1) == wanted).to(likelihoods.dtype)])
