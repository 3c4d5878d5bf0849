"""The loss of base plus weighted differences on each domain's tune documents, and its gradient by the weights."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from dem.chunked_loss import logit_factor, summed_loss
from dem.evaluation.documents import Document
from dem.evaluation.perplexity import TOKENS_AT_ONCE, Piece, batches, head_is_all, longest, padded, pieces_of, score
from dem.less_at_once import Progress, as_much_as_fits
from dem.search.terms import Terms


@dataclass(frozen=True)
class Evaluation:
    """What the model with one set of weights makes of each domain's tune documents."""

    losses: np.ndarray
    """(domains of text,): nats per token, float64."""
    jacobian: np.ndarray | None
    """(domains of text, weights): the losses' derivatives by the weights, flattened; None where not asked for."""
    nll: list[np.ndarray] = field(default_factory=list)
    """Of each domain of text the negative log-likelihood of each document in nats; only without a gradient."""
    forward_tokens: int = 0
    backward_tokens: int = 0
    seconds: float = 0.0


class Losses:
    """The function from weights to an Evaluation, on fixed documents."""

    def __init__(self, terms: Terms, documents: dict[str, list[Document]], max_length: int):
        """Of the model in `terms`, on `documents` by domain, cut into windows of `max_length` tokens."""
        self._terms, self._max_length = terms, max_length
        self._head_is_all = head_is_all(terms.model)
        self._set_documents(documents)

    def _set_documents(self, documents: dict[str, list[Document]]) -> None:
        self._documents = documents
        self.domains = list(documents)
        self.tokens = {d: sum(max(len(o.ids) - 1, 0) for o in some) for d, some in documents.items()}

    def on(self, documents: dict[str, list[Document]]) -> "Losses":
        """The same function on other documents."""
        other = copy.copy(self)
        other._set_documents(documents)
        return other

    def at(
        self, weights: np.ndarray, gradient: bool, progress: Callable[[int], object] = lambda tokens: None
    ) -> Evaluation:
        """Evaluate at `weights` (those of the Terms); `progress` is told the tokens of each batch."""
        began = time.monotonic()
        losses, rows, nll = [], [], []
        with self._terms.applied(weights, gradient):
            for domain, documents in self._documents.items():
                if gradient:
                    losses.append(self._differentiated(documents, progress) / self.tokens[domain])
                    rows.append(self._terms.take_gradient().ravel() / self.tokens[domain])
                else:
                    nll.append(score(self._terms.model, documents, self._max_length, progress).nll)
                    losses.append(nll[-1].sum() / self.tokens[domain])
        tokens = sum(self.tokens.values())
        jacobian = np.array(rows) if gradient else None
        seconds = time.monotonic() - began
        return Evaluation(np.array(losses), jacobian, nll, tokens, tokens * gradient, seconds)

    def _differentiated(self, documents: list[Document], progress: Callable[[int], object]) -> float:
        """The summed negative log-likelihood in nats, after its backward pass."""
        pieces = pieces_of(documents, self._max_length)

        def differentiate(tokens: int, tell: Progress) -> float:
            self._terms.forget_gradient()  # a backward pass that found no memory may have left a part of one
            return self._backward(batches(pieces, tokens), tell)

        at_once = TOKENS_AT_ONCE[next(self._terms.model.parameters()).device.type]
        return as_much_as_fits("gradients", differentiate, at_once, longest(pieces), progress)

    def _backward(self, parts: Iterator[list[Piece]], progress: Progress) -> float:
        """The sum over the parts, each differentiated before the next is computed."""
        model = self._terms.model
        device = next(model.parameters()).device
        total = 0.0
        for batch in parts:
            ids, targets = padded([window for _, window in batch])
            count = int((targets != -100).sum())  # before they are where it would have to be waited for
            ids, targets = ids.to(device), targets.to(device)
            if self._head_is_all:
                hidden = model.base_model(input_ids=ids, use_cache=False)[0]
                loss, _ = summed_loss(hidden, targets, model.get_output_embeddings(), logit_factor(model))
            else:
                logits = model(input_ids=ids, use_cache=False).logits.float()
                loss = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum"
                )
            loss.backward()
            total += float(loss.detach())
            progress(count)
        return total
