"""The bytes of text that a model is measured on, whatever the tokenizer."""

import unicodedata

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from dem.evaluation.documents import encode_documents
from dem.sample_text import generate

TEXTS = [
    "뷁, 그 글자가 왔다.",
    "한국어 문장 하나.",
    "  앞에 빈칸",
    "a b",
    "😀 웃음",
    "뷁",
    "값\n\n둘째 줄",
    "쓩쓩 날아라",
]


def byte_level(prefix_space: bool) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(generate("web", 50, 1), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def raw_bytes(tokenizer, ids) -> bytes:
    """The bytes that byte-level tokens of TEXTS stand for, by what `tokenizers` itself makes of each byte."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    table = {}
    for text in [*TEXTS, " "]:
        table |= dict(zip("".join(piece for piece, _ in cut.pre_tokenize_str(text)), text.encode(), strict=True))
    return bytes(table[c] for piece in tokenizer.convert_ids_to_tokens(list(ids)) for c in piece)


@pytest.mark.parametrize("prefix_space", [False, True])
def test_bytes_are_those_of_the_predicted_tokens_also_inside_a_character(prefix_space):
    tokenizer = byte_level(prefix_space)
    cut = 0
    for text, document in zip(TEXTS, encode_documents(iter(TEXTS), tokenizer), strict=True):
        predicted = raw_bytes(tokenizer, document.ids[1:])
        assert text.encode().endswith(predicted) and document.bytes == len(predicted), text
        try:
            predicted.decode()
        except UnicodeDecodeError:
            cut += 1
    assert cut >= 3  # the first token ended inside a character


def test_bytes_with_byte_fallback_special_tokens_and_a_normaliser():
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>", "</s>", *fallback])
    tokenizer.train_from_iterator(["한국어 문장 하나. 앞에 빈칸 한국어 한국"] * 5, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    split, whole = encode_documents(iter(["뷁이", "한국어 문장"]), fast)
    first = fast.convert_ids_to_tokens(int(split.ids[0]))
    assert split.bytes == 6 - (first == "<0xEB>") and len(split.ids) > 2  # "▁" stands for nothing in the text
    head = fast.convert_ids_to_tokens(int(whole.ids[0])).removeprefix("▁")
    assert whole.bytes == len("한국어 문장".encode()) - len(head.encode())
    decomposed = unicodedata.normalize("NFD", "한국어 문장")
    (written_apart,) = encode_documents(iter([decomposed]), fast)
    assert written_apart.bytes == len(decomposed.encode()) - len(unicodedata.normalize("NFD", head).encode())

    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    (around,) = encode_documents(iter(["한국어 문장"]), fast)
    assert around.ids[0] == 1 and around.bytes == len(
        "한국어 문장".encode()
    )  # <s> is no text, all the rest is predicted


def test_bytes_of_a_tokenizer_that_tells_no_places():
    (document,) = encode_documents(iter(["ab 가"]), ByT5Tokenizer())
    assert not ByT5Tokenizer().is_fast and document.bytes == len(b"b ") + 3
