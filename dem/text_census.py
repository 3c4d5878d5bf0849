"""What a domain's text consists of, counted before a training: documents, blanks, duplicates, sides, tokens."""

from array import array
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from dem.columns import aligned
from dem.config import DataConfig
from dem.corpus import SPLITS, Corpus, encode, handfuls, text_hash

EXACT_CHARACTERS = 10_000_000
"""Characters of a domain up to which all are tokenized to count tokens (half a minute on a core); of more, a sample."""


@dataclass(frozen=True)
class Texts:
    """Which texts a domain holds: 8 bytes of each one's hash, so that 10 million documents take 160 MB."""

    hashes: np.ndarray
    """Sorted and each once, uint64."""
    copies: np.ndarray
    """How many documents have each of them."""

    @property
    def repeated(self) -> int:
        """Documents beyond the first of each text."""
        return int(self.copies.sum()) - len(self.copies)

    def also_in(self, other: "Texts") -> int:
        """Documents whose text the other domain holds too."""
        places = np.searchsorted(other.hashes, self.hashes)
        inside = places < len(other.hashes)
        inside[inside] = other.hashes[places[inside]] == self.hashes[inside]
        return int(self.copies[inside].sum())


@dataclass
class Census:
    """The counts of one domain."""

    domain: str
    corpus: Corpus
    texts: Texts
    rows: int = 0
    nulls: int = 0
    empty: int = 0
    """Texts of white space only among them."""
    characters: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    """By side of the split, with the end-of-sequence token after each document."""
    sample: float = 1.0
    """Share of the characters that was tokenized; the tokens are estimated from it."""

    @property
    def documents(self) -> int:
        """Rows with text."""
        return self.rows - self.nulls - self.empty

    @property
    def on_two_sides(self) -> int:
        """Documents left out of a side because works of another side hold their text."""
        return self.documents - self.corpus.counts.total()


def take_census(domain: str, files: list[Path], data: DataConfig) -> Census:
    """Read through the domain's files once more than a `Corpus` does, and keep of each text a hash only.

    Tokens are counted by `count_tokens`.

    Raises:
        RequestError: a file is not what `Corpus` wants.
    """
    corpus = Corpus(files, replace(data, mixtures={}))
    hashes = array("Q")
    census = Census(domain, corpus, Texts(np.empty(0, np.uint64), np.empty(0, np.int64)))
    for text, side in corpus.rows():
        census.rows += 1
        census.nulls += text is None
        census.empty += text is not None and side is None
        if side:
            census.characters += len(text)
            hashes.append(int.from_bytes(text_hash(text)[:8], "big"))
    census.texts = Texts(*np.unique(np.frombuffer(hashes, np.uint64), return_counts=True))
    return census


def count_tokens(census: Census, tokenizer: PreTrainedTokenizerBase) -> None:
    """Fill in the tokens of each side; of a domain of more than EXACT_CHARACTERS from a sample of its documents.

    A hash chooses the sample, so that it does not depend on how the files are ordered.
    """
    share = min(1.0, EXACT_CHARACTERS / max(census.characters, 1))
    characters, sampled, tokens = Counter(), Counter(), Counter()
    waiting: deque[str] = deque()

    def sample() -> Iterator[str]:
        for text, side in census.corpus.sides():
            characters[side] += len(text)
            if share == 1 or int.from_bytes(text_hash(text)[8:], "big") < share * 2**64:
                sampled[side] += len(text)
                waiting.append(side)
                yield text

    for texts in handfuls(sample()):
        for ids in encode(texts, tokenizer):
            tokens[waiting.popleft()] += _with_end(ids, tokenizer)
    census.tokens = {side: round(tokens[side] * characters[side] / max(sampled[side], 1)) for side in SPLITS}
    census.sample = 1.0 if share == 1 else sampled.total() / characters.total()


def _with_end(ids: np.ndarray, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that a document takes in the blocks, see `corpus.blocks`."""
    return len(ids) + (not ids.size or int(ids[-1]) != tokenizer.eos_token_id)


def census_lines(censuses: list[Census], texts: dict[str, Texts]) -> list[str]:
    """The counts for people, aligned; `texts` are those of all domains that can be read, to find duplicates across."""
    header = ("domain", "documents", "null", "empty", "repeated", "elsewhere", *SPLITS, "characters", "tokens")
    rows, notes = [header], []
    for census in censuses:
        also = {d: census.texts.also_in(other) for d, other in texts.items() if d != census.domain}
        elsewhere = _in_any(census.texts, [other for d, other in texts.items() if d != census.domain])
        counts = (census.documents, census.nulls, census.empty, census.texts.repeated, elsewhere)
        sides = (census.corpus.counts[side] for side in SPLITS)
        tokens = f"{'' if census.sample == 1 else 'about '}{sum(census.tokens.values()):,}"
        rows.append((census.domain, *(f"{n:,}" for n in (*counts, *sides, census.characters)), tokens))
        notes += _notes(census, {domain: count for domain, count in also.items() if count})
    return ["data:", *(f"  {line}" for line in aligned(rows)), *notes]


def _in_any(texts: Texts, others: list[Texts]) -> int:
    """Documents whose text at least one of the others holds."""
    if not others:
        return 0
    together = np.unique(np.concatenate([other.hashes for other in others]))
    return texts.also_in(Texts(together, together))


def _notes(census: Census, also: dict[str, int]) -> list[str]:
    notes = []
    if also:
        where = ", ".join(f"{domain} ({count:,})" for domain, count in also.items())
        notes.append(f"{census.domain}: texts that also stand in {where}")
    if census.on_two_sides:
        notes.append(
            f"{census.domain}: {census.on_two_sides:,} documents take no part: works on another side of the split hold "
            "the same text"
        )
    if census.sample < 1:
        notes.append(f"{census.domain}: tokens are estimated from {census.sample:.1%} of the characters")
    return notes
