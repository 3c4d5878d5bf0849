import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from dem import corpus as corpus_module
from dem.config import DataConfig
from dem.corpus import Corpus, blocks, encode, handfuls, split_of
from dem.errors import RequestError
from dem.sample_text import generate

SPLITS = ("train", "tune", "test")


def write(path, texts, **columns):
    pq.write_table(pa.table({"text": texts, **columns}), path, row_group_size=100)
    return [path]


@pytest.fixture
def texts():
    return generate("web", 400, 3)


def sides(corpus):
    return {split: list(corpus.documents(split)) for split in SPLITS}


def test_every_document_falls_on_one_side_whatever_the_order(tmp_path, texts):
    data = DataConfig(tune_fraction=0.1, test_fraction=0.2)
    first = sides(Corpus(write(tmp_path / "a.parquet", texts), data))
    second = sides(Corpus(write(tmp_path / "b.parquet", texts[::-1]), data))
    assert sorted(sum(first.values(), [])) == sorted(texts)
    assert {s: sorted(t) for s, t in first.items()} == {s: sorted(t) for s, t in second.items()}
    assert 20 < len(first["tune"]) < 60 and 50 < len(first["test"]) < 110


def test_a_duplicate_never_sits_on_two_sides(tmp_path, texts):
    copies = [unicodedata.normalize("NFD", t) for t in texts] + [t.replace(" ", "  ") + "\n" for t in texts]
    parts = sides(
        Corpus(write(tmp_path / "a.parquet", texts + copies), DataConfig(tune_fraction=0.3, test_fraction=0.3))
    )
    keys = [{unicodedata.normalize("NFC", " ".join(t.split())) for t in parts[s]} for s in SPLITS]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
    assert sum(len(p) for p in parts.values()) == 3 * len(texts)


def test_larger_shares_only_add_to_the_test_split():
    small, large = DataConfig(test_fraction=0.1), DataConfig(test_fraction=0.3)
    keys = [f"문서 {i}" for i in range(500)]
    assert {k for k in keys if split_of(k, small) == "test"} < {k for k in keys if split_of(k, large) == "test"}


def test_the_rows_of_one_work_stay_together(tmp_path, texts):
    works = [f"책 {i % 40}" for i in range(len(texts))]
    data = DataConfig(tune_fraction=0.2, test_fraction=0.2, group_column="work")
    parts = sides(Corpus(write(tmp_path / "a.parquet", texts, work=works), data))
    work_of = dict(zip(texts, works, strict=True))
    held = [{work_of[t] for t in parts[s]} for s in SPLITS]
    assert all(held) and not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    assert sum(len(p) for p in parts.values()) == len(texts)


def test_a_text_in_works_on_two_sides_counts_once(tmp_path, texts):
    data = DataConfig(tune_fraction=0.2, test_fraction=0.2, group_column="work")
    works = [f"책 {i % 40}" for i in range(len(texts))]
    shared = ["머리말: 이 책을 읽는 이에게"] * 40
    corpus = Corpus(write(tmp_path / "a.parquet", texts + shared, work=works + [f"책 {i}" for i in range(40)]), data)
    parts = sides(corpus)
    assert shared[0] in parts["train"] and shared[0] not in parts["tune"] + parts["test"]
    assert corpus.counts == {split: len(parts[split]) for split in SPLITS}


def test_null_and_empty_texts_are_left_out_and_a_folder_is_read(tmp_path, texts):
    files = [
        *write(tmp_path / "1.parquet", [None, "", "  \n", *texts[:50]]),
        *write(tmp_path / "2.parquet", pa.array(texts[50:]).dictionary_encode()),
    ]
    parts = sides(Corpus(files, DataConfig()))
    assert sorted(sum(parts.values(), [])) == sorted(texts)


def test_blocks_hold_the_documents_end_to_end(tokenizer, texts):
    eos = tokenizer.eos_token_id
    expected = [i for t in texts for i in [*tokenizer(t)["input_ids"], eos]]
    made = [b["input_ids"] for b in blocks(iter(texts), tokenizer, 64)]
    assert {len(b) for b in made} == {64}
    assert sum(made, []) == expected[: len(expected) // 64 * 64]
    assert [b["input_ids"] for b in blocks(iter(["짧은 글"]), tokenizer, 64)] == [
        [*tokenizer("짧은 글")["input_ids"], eos]
    ]
    assert list(blocks(iter([]), tokenizer, 64)) == []


def test_a_special_token_written_in_a_text_is_text(tokenizer):
    (ids,) = encode(["줄을 바꾸려면 </s> 또는 <s>를 쓰세요."], tokenizer)
    assert not {tokenizer.eos_token_id, tokenizer.bos_token_id} & set(ids)
    assert tokenizer.decode(ids) == "줄을 바꾸려면 </s> 또는 <s>를 쓰세요."


GPT_4 = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITTERS = {
    "bytes": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "bytes, space before": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "gpt-4": pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(GPT_4), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    ),
    "metaspace first": pre_tokenizers.Metaspace(prepend_scheme="first"),
    "metaspace always": pre_tokenizers.Metaspace(prepend_scheme="always"),
    "llama 2": pre_tokenizers.Metaspace(prepend_scheme="first"),
    "words": pre_tokenizers.Whitespace(),
}


@pytest.fixture(params=SPLITTERS)
def any_tokenizer(request, texts):
    """Tokenizers that treat white space each in its own way; all put <s> before a text and </s> after it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = SPLITTERS[request.param]
    lines = ["\n".join(texts[i : i + 10]) for i in range(0, len(texts), 10)]
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    if request.param == "llama 2":  # which cuts nowhere before it merges
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def watch(tokenizer, monkeypatch) -> list[int]:
    """The lengths of all texts that go through the tokenizer from now on."""
    lengths = []
    own = type(tokenizer).__call__

    def call(self, texts, *arguments, **options):
        lengths.extend([len(texts)] if isinstance(texts, str) else map(len, texts))
        return own(self, texts, *arguments, **options)

    monkeypatch.setattr(type(tokenizer), "__call__", call)
    return lengths


def test_a_long_text_in_pieces_has_the_ids_of_the_whole(any_tokenizer, texts, monkeypatch):
    long = "  ".join("\n\n".join(texts[i : i + 5]) + " 끝 \n" for i in range(0, len(texts), 5))
    expected = [any_tokenizer(text)["input_ids"] for text in (texts[0], long, texts[0])]
    assert expected[1][0] == 1 and expected[1][-1] == 2
    monkeypatch.setattr(corpus_module, "PIECE", 1500)
    monkeypatch.setattr(corpus_module, "CONTEXT", 150)
    lengths = watch(any_tokenizer, monkeypatch)
    handed = handfuls(iter([texts[0], long, texts[0]]))
    assert [ids.tolist() for some in handed for ids in encode(some, any_tokenizer)] == expected
    assert len(long) > 10_000 and max(lengths) <= 1500 + 150


def test_a_long_text_without_white_space_stays_whole(any_tokenizer, monkeypatch):
    long = "가나다" * 1000
    expected = any_tokenizer(long)["input_ids"]
    monkeypatch.setattr(corpus_module, "PIECE", 1500)
    assert encode([long], any_tokenizer)[0].tolist() == expected


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"body": ["글"]}, "no column 'text'; it has body"),
        ({"text": [1, 2]}, "not strings"),
        ({"text": pa.array([None, None], pa.string())}, "null or empty"),
        ({"text": ["", " \n"]}, "null or empty"),
        ({"text": pa.array([], pa.string())}, "null or empty"),
    ],
)
def test_unusable_tables_are_refused(tmp_path, columns, word):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(RequestError, match=word):
        Corpus([path], DataConfig())


def test_a_missing_group_column_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no column 'work'"):
        Corpus(write(tmp_path / "a.parquet", ["글"]), DataConfig(group_column="work"))
