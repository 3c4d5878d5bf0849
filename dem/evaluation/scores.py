"""Perplexity and bits per byte of documents, from a score of each of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dem.evaluation.documents import Document

LARGEST_EXPONENT = 709
"""Its exponential is about the largest number of 64 bits."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model makes of documents, one element each; `+` puts documents together."""

    nll: np.ndarray
    """Negative log-likelihood of the predicted tokens in nats, float64."""
    tokens: np.ndarray
    """Predicted tokens: all but the first."""
    bytes: np.ndarray
    """UTF-8 bytes of the text of those tokens (see Document)."""

    @classmethod
    def of(cls, nll: Sequence[float], documents: "Sequence[Document]") -> "Scores":
        """The scores of `documents` whose negative log-likelihoods are `nll`."""
        tokens = np.array([max(len(document.ids) - 1, 0) for document in documents], np.int64)
        texts = np.array([document.bytes for document in documents], np.int64)
        return cls(np.array(nll, np.float64), tokens, np.where(tokens > 0, texts, 0))

    def __add__(self, other: "Scores") -> "Scores":
        pairs = ((self.nll, other.nll), (self.tokens, other.tokens), (self.bytes, other.bytes))
        return Scores(*map(np.concatenate, pairs))

    @property
    def documents(self) -> int:
        """Documents of which something was predicted."""
        return int(np.count_nonzero(self.tokens))

    @property
    def finite(self) -> bool:
        """Whether the model gave a number for every document."""
        return bool(np.isfinite(self.nll).all())

    @property
    def perplexity(self) -> float | None:
        """exp(nll / tokens), or None where nothing was predicted or the model computes no numbers."""
        if not (self.documents and self.finite):
            return None
        mean = math.fsum(self.nll) / int(self.tokens.sum())
        return math.exp(mean) if mean < LARGEST_EXPONENT else None

    @property
    def bits_per_byte(self) -> float | None:
        """nll / ln 2 / bytes, or None as with the perplexity."""
        size = int(self.bytes.sum())
        return math.fsum(self.nll) / math.log(2) / size if size and self.finite else None
