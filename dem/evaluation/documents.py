"""The test documents as tokens, with the bytes of text by which a model is measured on them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from transformers import PreTrainedTokenizerBase

from dem.corpus import encode, handfuls

HEAD = 1000
"""Characters of a document among which its first two tokens lie."""


@dataclass(frozen=True)
class Document:
    """One text as a model reads it."""

    ids: Sequence[int]
    """Its token ids, with whatever the tokenizer puts around a text."""
    bytes: int
    """UTF-8 bytes of its text without those of its first token, which nothing predicts.

    A token may be a part of a character and then counts with its own bytes. So bits per byte are of the same text
    whatever the tokenizer, but for where that first token ends.
    """


def encode_documents(texts: Iterator[str], tokenizer: PreTrainedTokenizerBase) -> list[Document]:
    """Each text as a Document whose ids are a compact int32 array."""
    documents = []
    for some in handfuls(texts):
        all_ids = encode(some, tokenizer)
        first = _first_token_bytes(some, all_ids, tokenizer)
        for text, ids, unpredicted in zip(some, all_ids, first, strict=True):
            documents.append(Document(ids, len(text.encode()) - unpredicted))
    return documents


def fingerprint(documents: list[Document]) -> str:
    """A hash (128 bits, hexadecimal) of the documents, in their order."""
    digest = xxhash.xxh3_128()
    for document in documents:
        digest.update(f"{len(document.ids)} {document.bytes} ".encode())
        digest.update(np.asarray(document.ids, np.int32).tobytes())
    return digest.hexdigest()


def _first_token_bytes(
    texts: list[str], all_ids: list[np.ndarray], tokenizer: PreTrainedTokenizerBase
) -> Iterator[int]:
    """How many bytes of each text its first token stands for; 0 for a token that the tokenizer put there."""
    if not tokenizer.is_fast:  # it does not say where in the text its tokens lie
        for text, ids in zip(texts, all_ids, strict=True):
            head = tokenizer.decode(ids[:1], skip_special_tokens=True)
            yield len(head.encode()) if text.startswith(head) else 0
        return
    heads = [text[:HEAD] for text in texts]
    options = {"split_special_tokens": True, "return_attention_mask": False, "verbose": False}
    places = tokenizer(heads, return_offsets_mapping=True, **options)["offset_mapping"]
    for head, ids, offsets in zip(heads, all_ids, places, strict=True):
        if len(offsets) < 2:
            yield len(head.encode())
            continue
        (_, end), (following, after) = offsets[:2]
        if following < end and after:  # the two share a character
            yield _piece_bytes(head, tokenizer.convert_ids_to_tokens(int(ids[0])), end)
            continue
        while end and end < following and not head[end].isspace():  # composed with the one before (NFD text)
            end += 1
        yield len(head[:end].encode())


def _byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level token stands for (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _piece_bytes(head: str, piece: str, end: int) -> int:
    """Bytes of `head` that a token stands for which ends inside a character, the one before `end`.

    Of a tokenizer that is neither byte-level nor writes single bytes as <0x..>, the whole character is taken.
    """
    text = head[:end].encode()
    if single := re.fullmatch(r"<0x([0-9A-F]{2})>", piece):
        raw = bytes.fromhex(single[1])
    else:
        raw = bytes(_BYTES.get(character, 0) for character in piece)
    for own in (raw, raw[1:]):  # the second without a space that the tokenizer put in front
        if text.startswith(own):
            return len(own)
    return len(text)
