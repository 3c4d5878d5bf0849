"""The tune documents of a descent: a half to step on and a half to watch, and which windows each step sees."""

from typing import Any

import numpy as np

from dem.errors import RequestError
from dem.evaluation.documents import Document, fingerprint
from dem.evaluation.perplexity import windows

STEP_TOKENS = 512
"""Of each domain in a step, at most, but at least one window. With so many, a weight for each of 512 terms of a small
base gained all that it could in 30 steps; more make each step dearer."""

ByDomain = dict[str, list[Document]]


def halves(documents: ByDomain, seed: int) -> tuple[ByDomain, ByDomain]:
    """Each domain's documents in two parts of about as many tokens: to step on, and held back.

    In an order drawn with `seed`, each document goes where there are fewer tokens. By documents, so that no text is on
    both sides; what several documents of one work have in common may be.

    Raises:
        RequestError: a domain has fewer than two documents of two tokens.
    """
    fitted, held = {}, {}
    for number, (domain, own) in enumerate(documents.items()):
        usable = [document for document in own if len(document.ids) > 1]
        if len(usable) < 2:
            raise RequestError(
                f"{domain} has {len(usable)} tune documents to look at; search.groups terms and modules step on one "
                "half and watch the other: raise search.tokens, or data.tune_fraction and train again, or name patterns"
            )
        sides: tuple[list[int], list[int]] = ([], [])
        tokens = [0, 0]
        for i in np.random.default_rng([seed, number]).permutation(len(usable)):
            side = int(tokens[1] < tokens[0])
            sides[side].append(i)
            tokens[side] += len(usable[i].ids)
        fitted[domain], held[domain] = ([usable[i] for i in sorted(side)] for side in sides)
    return fitted, held


class Minibatches:
    """The windows of each step: of each domain as many, in passes over all of its own, each in a new order."""

    def __init__(self, documents: ByDomain, max_length: int, seed: int):
        """Of `documents` by domain; what a step sees depends on nothing but these, `seed` and its number."""
        self.windows: ByDomain = {
            domain: [Document(window, 0) for document in own for window in windows(document.ids, max_length)]
            for domain, own in documents.items()
        }
        """All of them, each as a document whose bytes are not told."""
        self._count, self._seed = max(STEP_TOKENS // max_length, 1), seed

    def of(self, step: int) -> dict[str, list[int]]:
        """By domain the numbers, in `windows`, of those that the step of this number sees."""
        sizes = {domain: len(own) for domain, own in self.windows.items()}
        return {domain: self._places(number, sizes[domain], step) for number, domain in enumerate(sizes)}

    def _places(self, number: int, size: int, step: int) -> list[int]:
        """Consecutive places of the endless sequence of this domain's passes."""
        found = []
        for place in range(step * self._count, (step + 1) * self._count):
            turn, i = divmod(place, size)
            found.append(int(np.random.default_rng([self._seed, number, turn]).permutation(size)[i]))
        return found

    def tokens(self) -> int:
        """Predicted in a step, at most."""
        longest = (max(len(window.ids) for window in own) - 1 for own in self.windows.values())
        return self._count * sum(longest)


def fingerprints(documents: ByDomain) -> dict[str, Any]:
    """By domain, of its documents."""
    return {domain: fingerprint(own) for domain, own in documents.items()}
