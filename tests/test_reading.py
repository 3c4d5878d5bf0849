"""Each kind of file is read in one guarded way: whatever is in its place is named in one line, and nothing hangs."""

import json
import os
import signal
import socket
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from dem import parquet_files
from dem.checkpoints import Shard, files_fingerprint
from dem.common import load_tokenizer, log
from dem.config import DataConfig
from dem.corpus import Corpus
from dem.errors import RequestError
from dem.evaluation.answers import read_answers
from dem.evaluation.metrics import read_metrics
from dem.evaluation.multiple_choice import read_questions
from dem.evaluation.prompts import read_prompts
from dem.layout import Layout
from dem.model_folder import require_model_files
from dem.reading import read_json
from dem.tensor_files import load_pickled, load_safetensors, map_array


@pytest.fixture(autouse=True)
def no_hang():
    """A minute for each test: what waits for a pipe is interrupted."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def logged(caplog, monkeypatch):
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "propagate", False)
    log.setLevel("INFO")
    return caplog


def said(call, *words: str) -> str:
    """The one line that a call is refused with."""
    with pytest.raises(RequestError) as refusal:
        call()
    message = str(refusal.value)
    assert all(word in message for word in words), message
    return message


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's whole name has 108 bytes at most
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    os.chdir(here)


STRANGE = {
    "named pipe": os.mkfifo,
    "socket": a_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "No such file": lambda path: path.symlink_to("nowhere"),
    "Too many levels": lambda path: path.symlink_to(path),
}

READERS = {
    "read_json": ("a.json", read_json),
    "fingerprint": ("a.bin", lambda path: files_fingerprint([path])),
    "safetensors": ("a.safetensors", Shard),
    "adapter.safetensors": ("a.safetensors", load_safetensors),
    "bin": ("a.bin", load_pickled),
    "npy": ("a.npy", map_array),
    "parquet": ("a.parquet", lambda path: Corpus([path], DataConfig())),
    "prompts": ("a.jsonl", read_prompts),
    "questions": ("a.jsonl", read_questions),
    "question table": ("a.parquet", read_questions),
    "tokenizer": ("tokenizer.json", lambda path: require_model_files(path.parent)),
}


@pytest.mark.parametrize("there", STRANGE)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, there, reader):
    name, read = READERS[reader]
    STRANGE[there](tmp_path / name)
    said(lambda: read(tmp_path / name), str(tmp_path / name), there)


@pytest.mark.parametrize("name", ["metrics.json", "answers.json"])
def test_results_that_are_no_files_are_named(tmp_path, name):
    os.mkfifo(tmp_path / name)
    read = {"metrics.json": read_metrics, "answers.json": read_answers}[name]
    said(lambda: read(tmp_path / name), name, "named pipe")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"이름": "웹"}'.encode("cp949"), "EUC-KR"),
        ('{"이름": "웹"}'.encode("utf-16"), "UTF-16"),
        (b'{"a": "\xff\xff\xff\x80"}', "not UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[]", "not a JSON object"),
        (b"", "Expecting value"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b"\0" * 100, "Expecting value"),
    ],
    ids=[
        "deep list",
        "deep object",
        "key twice",
        "EUC-KR",
        "UTF-16",
        "bytes",
        "surrogate",
        "list",
        "empty",
        "digits",
        "0",
    ],
)
def test_json_of_every_broken_kind(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    said(lambda: read_json(path), str(path), words)


def test_a_mark_of_byte_order_before_json_is_no_matter(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "a.json") == {"a": "\U0001f600"}


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(shape=[3])},
        {"a": entry(dtype="F16")},
        {"a": entry(shape=[-2])},
        {"a": entry(shape=[2**40, 2**40])},
        {"a": entry(offsets=[8, 0])},
        {"a": entry(offsets=[4, 12])},
        {"a": entry(), "b": entry()},
        {"a": entry(shape=[1], offsets=[0, 4])},
        {"a": entry(dtype="F31")},
        {"a": entry(dtype=7)},
        {"a": entry(shape=[True, 2])},
        {"a": 5},
        {"a": entry(), "__metadata__": 5},
        [entry()],
        5,
        b'{"a":' + b"[" * 100_000,
        b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2),
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("read", [Shard, load_safetensors])
def test_hostile_safetensors_headers(tmp_path, header, read):
    path = tmp_path / "model.safetensors"
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    if read is load_safetensors and b'"a": {' in text and isinstance(header, bytes):
        pytest.skip("an adapter's file is read by the library, for which the last of two names counts")
    said(lambda: read(path), str(path), "not a safetensors file")


def test_safetensors_of_an_impossible_length(tmp_path):
    path = tmp_path / "model.safetensors"
    for length in (0, 2**63, 2**64 - 1, 10**9):
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        said(lambda: Shard(path), str(path))


WEIGHTS = {
    "list": ([torch.ones(2)], "holds a list"),
    "integer": (5, "holds a int"),
    "none": (None, "holds a NoneType"),
    "tensor": (torch.ones(2), "holds a Tensor"),
    "integer in it": ({"a": 5}, "a is a int"),
    "nested": ({"a": {"b": torch.ones(2)}}, "a is a dict"),
    "number as name": ({5: torch.ones(2)}, "5 is a Tensor"),
    "sparse": ({"a": torch.eye(3).to_sparse()}, "not a plain tensor"),
    "expanded": ({"a": torch.ones(1).expand(1 << 40)}, "more elements"),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_pytorch_files_that_hold_something_else(tmp_path, kind):
    content, words = WEIGHTS[kind]
    torch.save(content, tmp_path / "a.bin")
    said(lambda: load_pickled(tmp_path / "a.bin"), "a.bin", words)


def test_an_empty_and_a_compressed_pytorch_file(tmp_path):
    import zipfile

    path = tmp_path / "a.bin"
    path.touch()
    said(lambda: load_pickled(path), "a.bin")
    torch.save({"a": torch.ones(2)}, tmp_path / "b.bin")
    with zipfile.ZipFile(tmp_path / "b.bin") as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    said(lambda: load_pickled(path), "a.bin", "compressed")
    assert load_pickled(tmp_path / "b.bin")["a"].tolist() == [1, 1]


def test_an_archive_named_npy(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, np.ones(3, np.float32))
    said(lambda: map_array(tmp_path / "a.npy"), "a.npy", "not a NumPy array")


def test_a_prompts_reference_with_half_a_character(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "봄"}\n{"prompt": "글", "reference": "\\ud800"}\n', encoding="utf-8")
    said(lambda: read_prompts(path), "prompts.jsonl, line 2", "reference", "surrogate")
    path.write_bytes('{"prompt": "봄날"}\n'.encode("cp949"))
    said(lambda: read_prompts(path), "EUC-KR")


def questions(path: Path, *answers: object, choices: int = 4) -> Path:
    rows = [{"question": f"{i}?", "choices": list("가나다라마")[:choices], "answer": a} for i, a in enumerate(answers)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_answers_that_seem_to_count_from_1(tmp_path):
    path = tmp_path / "q.jsonl"
    for answers, choices in (([1, 2, 3, 4], 5), ([1, 2, 3], 4), ([2, 1], 3), ([1, 1, 1, 1, "A"], 4)):
        said(lambda a=answers, c=choices: read_questions(questions(path, *a, choices=c)), "q.jsonl", "from 0 or from 1")
    said(lambda: read_questions(questions(path, 1, 4)), "line 2", "counts from 1")
    assert [q.answer for q in read_questions(questions(path, 1, 2, 3, 0))] == [1, 2, 3, 0]
    assert [q.answer for q in read_questions(questions(path, "B", "C", "D", "B"))] == [1, 2, 3, 1]
    assert [q.answer for q in read_questions(questions(path, 1, 2))] == [1, 2]  # half of such files have no 0


def put(path: Path, *texts: str | None, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts, **columns}), path)
    return path


def test_parquet_below_folders_is_read_and_hidden_copies_are_not(tmp_path, logged):
    layout, folder = Layout(tmp_path), tmp_path / "parquet_ready" / "web"
    shown = ["0.PARQUET", "1.parquet", "year=2023/a.parquet", "year=2024/month=1/b.parquet"]
    for name in shown:
        put(folder / name, name)
    for name in ("._1.parquet", "_temporary/0/c.parquet", ".cache/d.parquet", "year=2024/_e.parquet"):
        put(folder / name, "숨은 글")
    (folder / "year=2024" / "loop").symlink_to(folder)
    (folder / "readme.txt").write_text("글")
    files = layout.parquet_files("web")
    assert [str(path.relative_to(folder)) for path in files] == shown
    assert "4 parquet files" in layout.parquet_listing("web") and "2 of them in folders" in layout.parquet_listing(
        "web"
    )
    assert "4 hidden ones are left out" in layout.parquet_listing("web")
    corpus = Corpus(files, DataConfig(tune_fraction=0, test_fraction=0))
    assert list(corpus.documents("train")) == shown
    assert any("reading 4 files" in line and "4 rows in 4 row groups" in line for line in logged.messages)


def test_a_plain_folder_keeps_its_order_and_one_file_may_end_in_capitals(tmp_path):
    layout, folder = Layout(tmp_path), tmp_path / "parquet_ready"
    for name in ("10.parquet", "2.parquet", "1.parquet"):
        put(folder / "web" / name, name)
    assert [path.name for path in layout.parquet_files("web")] == ["1.parquet", "10.parquet", "2.parquet"]
    assert layout.parquet_files("social" if put(folder / "social.PARQUET", "글") else "")[0].name == "social.PARQUET"
    put(folder / "social.parquet", "글")
    said(lambda: layout.parquet_files("social"), "Remove one")


def test_a_folder_named_as_a_parquet_file(tmp_path):
    put(tmp_path / "parquet_ready" / "web.parquet" / "part-0.parquet", "글")
    said(lambda: Layout(tmp_path).parquet_files("web"), "web.parquet is a folder", "rename it to", "web")


def test_a_name_that_only_looks_the_same_is_told_apart(tmp_path):
    names = [unicodedata.normalize(form, "법률") for form in ("NFC", "NFD")]
    for name, domain in (names, names[::-1]):
        put(tmp_path / name / "parquet_ready" / f"{name}.parquet", "글")
        said(lambda d=domain, n=name: Layout(tmp_path / n).parquet_files(d), "looks the same", "rename it")
    (tmp_path / "parquet_ready" / "법률").mkdir(parents=True)
    with pytest.raises(RequestError) as refused:  # the folder is there, and empty
        Layout(tmp_path).parquet_files("법률")
    assert "no data for domain 법률" in str(refused.value) and "looks the same" not in str(refused.value)


def test_what_a_small_file_unfolds_to_is_said_and_never_held(tmp_path, logged, monkeypatch):
    monkeypatch.setattr(parquet_files, "SAYS_EVERY", 0)
    long = "가" * 400_000
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([long]))
    path = tmp_path / "web.parquet"
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(parquet_files, "BYTES_AT_ONCE", 1 << 24)
    rows = parquet_files.rows(path, ["text"])
    before = pa.total_allocated_bytes()
    for _ in range(40):
        assert len(next(rows)[0]) == 400_000
    assert pa.total_allocated_bytes() - before < 100_000_000  # of 1.2 GB
    rows.close()
    assert any("rows so far" in line and "characters" in line for line in logged.messages)
    parquet_files.examine([path], ["text"])
    assert any(str(path) in line and "1,000 rows" in line and "on disk" in line for line in logged.messages)


def test_damage_within_a_parquet_file_is_named_with_its_row_group(tmp_path):
    path = tmp_path / "web.parquet"
    pq.write_table(pa.table({"text": [f"글 {i}" * 50 for i in range(90)]}), path, row_group_size=30)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    said(lambda: Corpus([path], DataConfig()), str(path), "row group 2 of 3")


def test_a_text_that_is_no_unicode_is_named_with_its_row(tmp_path):
    bad = pa.array([b"a", "글".encode(), b"\xed\xa0\x80"]).view(pa.string())
    pq.write_table(pa.table({"text": bad}), tmp_path / "web.parquet")
    said(lambda: Corpus([tmp_path / "web.parquet"], DataConfig()), "web.parquet, row 3", "UTF-8")


@pytest.mark.parametrize(
    "column",
    [pa.array([b"a"]), pa.array([None]), pa.array([{"text": "a"}]), pa.array([["a"]]), pa.array([1.5])],
    ids=["bytes", "null", "struct", "list", "number"],
)
def test_columns_that_hold_no_text(tmp_path, column):
    pq.write_table(pa.table({"text": column}), tmp_path / "web.parquet")
    said(lambda: Corpus([tmp_path / "web.parquet"], DataConfig()), "web.parquet", "not strings")


TOKENIZERS = {
    "empty": b"",
    "list": b"[]",
    "number": b"5",
    "nothing": b"{}",
    "deep": b"[" * 100_000,
    "binary": bytes(range(256)),
    "no vocabulary": b'{"version": "1.0", "model": {"type": "BPE"}}',
    "wrong types": b'{"version": 5, "model": [], "added_tokens": {}}',
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokenizers_of_every_broken_kind(tmp_path, tokenizer, kind):
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(TOKENIZERS[kind])
    said(lambda: load_tokenizer(tmp_path), str(tmp_path), "tokenizer")
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes(b"[" * 100_000)
    said(lambda: load_tokenizer(tmp_path), str(tmp_path), "tokenizer")
