"""From parquet to documents to blocks of tokens, and the one split into train, tune and test."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import xxhash
from transformers import PreTrainedTokenizerBase

from dem import parquet_files
from dem.config import DataConfig
from dem.errors import RequestError

Split = Literal["train", "tune", "test"]
SPLITS: tuple[Split, ...] = ("train", "tune", "test")
ROWS_AT_ONCE = 1024
CHARACTERS_AT_ONCE = 1 << 20
"""Text that is tokenized together, so that a shelf of whole books does not fill the memory."""
PIECE = 100_000
"""Characters of one text that are tokenized together, about."""
CONTEXT = 1000
"""Characters on either side of the end of a piece that show whether the text can be cut there."""
SPACE_AFTER_WORD = re.compile(r"(?<=\S)\s")


def split_of(key: str, data: DataConfig) -> Split:
    """The side on which the document or work named `key` falls, by a hash of it alone.

    Stages 1 and 3 both ask this function, so that nothing that is evaluated was trained on. Texts that differ only
    in white space or Unicode form (composed or decomposed Hangul) have the same key and fall on the same side.
    """
    position = int.from_bytes(text_hash(key)[:8], "big") / 2**64  # uniform in [0, 1)
    if position < data.test_fraction:
        return "test"
    return "tune" if position < data.test_fraction + data.tune_fraction else "train"


def text_hash(text: str) -> bytes:
    """16 bytes that are the same for texts which differ only in white space or Unicode form."""
    canonical = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Corpus:
    """The documents of one domain, read from parquet as a stream, a few columns and rows at a time."""

    def __init__(self, files: list[Path], data: DataConfig):
        """Check that `files` are parquet with a string column `text` (and the group column, if one is set).

        Raises:
            RequestError: a file is not parquet or lacks a column, or no row holds text.
        """
        self.files, self.data = files, data
        self._columns = ["text"] + ([data.group_column] if data.group_column else [])
        parquet_files.examine(files, self._columns)
        self._sides: dict[bytes, Split] = {}
        if data.group_column:
            for text, side in self._texts():
                key = text_hash(text)
                self._sides[key] = min(side, self._sides.get(key, side), key=SPLITS.index)
        self.counts = Counter(side for text, side in self._texts() if side == self._side_of_text(text, side))
        if not self.counts:
            raise RequestError(f"{_names(files)}: every text is null or empty")

    def documents(self, split: Split) -> Iterator[str]:
        """The texts on one side of the split, in the order of the files, without null and empty ones.

        With a group column, works on different sides may share a text. It then counts as train, or else as tune,
        and is left out on the other sides.
        """
        return (text for text, side in self.sides() if side == split)

    def sides(self) -> Iterator[tuple[str, Split]]:
        """The documents of all sides, in the order of the files, each with its side."""
        for text, side in self._texts():
            if side == self._side_of_text(text, side):
                yield text, side

    def _side_of_text(self, text: str, side: Split) -> Split:
        if not self.data.group_column:
            return side
        return self._sides[text_hash(text)]

    def rows(self) -> Iterator[tuple[str | None, Split | None]]:
        """Each row's text and, where there is one, the side on which it falls; None for that of a blank text."""
        for path in self.files:
            for row in parquet_files.rows(path, self._columns):
                text, group = row[0], row[-1]  # the text itself where there is no group column
                blank = not text or text.isspace()
                yield text, None if blank else split_of(text if _is_blank(group) else str(group), self.data)

    def _texts(self) -> Iterator[tuple[str, Split]]:
        return ((text, side) for text, side in self.rows() if side)


def _is_blank(group: object) -> bool:
    """Whether a row names no work: null, NaN or an empty string."""
    return group is None or group != group or group == ""


def _names(files: list[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{files[0].parent}/*.parquet"


def encode(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[np.ndarray]:
    """Token ids of each text, int32, with whatever the tokenizer puts around a text by itself.

    What looks like a special token inside a text ("</s>" in a web page) is text, and ends no document. A text of more
    than PIECE characters is tokenized in pieces, since the tokenizer needs hundreds of bytes for each token meanwhile.
    The ids are those of the whole text unless a tokenizer lets characters act on each other that are further apart
    than CONTEXT and have white space between them.
    """
    short = iter(_ids([text for text in texts if len(text) <= PIECE], tokenizer))
    return [np.array(next(short), np.int32) if len(text) <= PIECE else _encode_long(text, tokenizer) for text in texts]


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash (128 bits, hexadecimal) of how the tokenizer cuts text and which token ends it."""
    cuts = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else sorted(tokenizer.get_vocab().items())
    return xxhash.xxh3_128(repr((cuts, tokenizer.eos_token_id)).encode()).hexdigest()


def _ids(texts: list[str], tokenizer: PreTrainedTokenizerBase, **options: bool) -> list[list[int]]:
    if not texts:
        return []
    options = {"split_special_tokens": True, "return_attention_mask": False, "verbose": False, **options}
    return tokenizer(texts, **options)["input_ids"]


def _encode_long(text: str, tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Token ids of a long text, piece by piece.

    Each piece is tokenized behind the end of the one before, whose tokens are then taken off again: so a tokenizer
    that puts a space before a text puts none before a piece.
    """
    first, last = _around(text, tokenizer)
    parts, start = [first], 0
    while start < len(text):
        end = _end_of_piece(text, start, tokenizer)
        before = text[max(start - CONTEXT, 0) : start]
        known, ids = _ids([before, before + text[start:end]], tokenizer, add_special_tokens=False)
        parts.append(np.array(ids[len(known) if before else 0 :], np.int32))
        start = end
    return np.concatenate([*parts, last])


def _around(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray]:
    """The special tokens that the tokenizer puts before and after a text."""
    options = {"split_special_tokens": True, "return_special_tokens_mask": True, "verbose": False}
    encoded = tokenizer(text.lstrip()[:CONTEXT], **options)
    ids, added = np.array(encoded["input_ids"], np.int32), encoded["special_tokens_mask"]
    return ids[: added.index(0)], ids[len(ids) - added[::-1].index(0) :]


def _end_of_piece(text: str, start: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """A place before white space at which a token ends, whatever follows: PIECE after `start` or a little earlier.

    Where the text has none, it is looked for another PIECE further on.
    """
    for limit in range(start + PIECE, len(text), PIECE):
        for space in reversed(list(SPACE_AFTER_WORD.finditer(text, limit - CONTEXT, limit))):
            end = space.start()
            around = [text[end - CONTEXT : end], text[end - CONTEXT : end + CONTEXT]]
            before, both = _ids(around, tokenizer, add_special_tokens=False)
            if both[: len(before)] == before:
                return end
    return len(text)


def handfuls(documents: Iterator[str]) -> Iterator[list[str]]:
    """The documents in lists to be tokenized together."""
    texts: list[str] = []
    size = 0
    for text in documents:
        texts.append(text)
        size += len(text)
        if len(texts) == ROWS_AT_ONCE or size > CHARACTERS_AT_ONCE:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def blocks(
    documents: Iterator[str], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[dict[str, list[int]]]:
    """Documents end to end, each followed by EOS, cut into blocks {"input_ids": max_length tokens}.

    What is left at the end and fills no block is dropped, so that every block weighs the same in a mean; if nothing
    fills a block, what there is becomes the only one. A model's state runs on from one document into the next.
    """
    eos = np.array([tokenizer.eos_token_id], np.int32)
    waiting = eos[:0]
    complete = 0
    for texts in handfuls(documents):
        for ids in encode(texts, tokenizer):
            waiting = np.concatenate([waiting, ids, eos[:0] if ids.size and ids[-1] == eos[0] else eos])
            full = len(waiting) // max_length
            for i in range(full):
                yield {"input_ids": waiting[i * max_length : (i + 1) * max_length].tolist()}
            waiting = waiting[full * max_length :]
            complete += full
    if not complete and len(waiting) > 1:
        yield {"input_ids": waiting.tolist()}
