"""Of more documents than there is time for, whole ones drawn by a seed, once for all models."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from dem.config import EvaluationConfig
from dem.corpus import Corpus
from dem.evaluation.documents import Document, encode_documents
from dem.split_size import FEW_DOCUMENTS


def at_most(documents: list[Document], tokens: int, seed: int) -> list[Document]:
    """As many of the documents, drawn at random, as have `tokens` together, and at least one; in their own order."""
    order = np.random.default_rng(seed).permutation(len(documents))
    sizes = np.cumsum([len(documents[i].ids) for i in order])
    return [documents[i] for i in sorted(order[: max(int(np.searchsorted(sizes, tokens, "right")), 1)])]


@dataclass(frozen=True)
class Tested:
    """The test documents that every model is measured on."""

    documents: dict[str, list[Document]]
    """By domain."""
    there: dict[str, int]
    """How many there are, of each domain of which not all were drawn."""
    settings: dict[str, int]
    """Of the drawing, for the record; empty where nothing limits it."""

    def counted(self, domain: str) -> str:
        """How many of the domain's documents are measured, in words."""
        count = f"{len(self.documents[domain]):,}"
        return f"{count} of {self.there[domain]:,}" if domain in self.there else count

    def notes(self) -> list[str]:
        """What the log says of domains of which not all were drawn, or none is there."""
        notes = [self._note(domain) for domain in self.there]
        if untested := [domain for domain, some in self.documents.items() if not some]:
            notes.append(
                f"perplexity on {', '.join(untested)} is not measured: no test document; "
                "raise data.test_fraction and train again"
            )
        return notes

    def _note(self, domain: str) -> str:
        few = len(self.documents[domain]) < FEW_DOCUMENTS <= self.there[domain]
        warning = f"; WARNING: fewer than {FEW_DOCUMENTS}, on which little can be claimed: raise evaluation.tokens"
        return (
            f"evaluation: {domain}: {self.counted(domain)} test documents, drawn for evaluation.tokens "
            f"{self.settings['test_tokens']:,} with seed {self.settings['test_seed']}{warning * few}"
        )


def test_documents(
    corpora: Mapping[str, Corpus], tokenizer: PreTrainedTokenizerBase, settings: EvaluationConfig
) -> Tested:
    """The test documents of each domain as tokens, at most `settings.tokens` of them."""
    documents = {domain: encode_documents(corpus.documents("test"), tokenizer) for domain, corpus in corpora.items()}
    if settings.tokens is None:
        return Tested(documents, {}, {})
    drawn = {domain: at_most(some, settings.tokens, settings.seed) for domain, some in documents.items()}
    there = {domain: len(some) for domain, some in documents.items() if len(drawn[domain]) < len(some)}
    return Tested(drawn, there, {"test_tokens": settings.tokens, "test_seed": settings.seed})
