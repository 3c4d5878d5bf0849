"""Damages to files, drawn at random: to the bytes, to what stands in a JSON file, to a header, to the file itself."""

import io
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

VALUES = [
    None, True, False, 0, -1, 7, 10**400, 1e308, float("nan"), float("inf"), 0.5, "", "x", "글", "\ud800", "\0", "../x",
    [], {}, [[]], [1, "x"], {"a": 1}, {"": None},
]  # fmt: skip
DEEP = (b"[" * 100_000, b'{"a":' * 50_000, b"[" * 500 + b"]" * 500)


def cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 3, 20])):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def flip_near_an_end(path: Path, draw: random.Random) -> None:
    """Where most formats keep what describes the rest."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(min(len(content), 300))
    content[draw.choice([place, -place - 1])] = draw.randrange(256)
    path.write_bytes(content)


def overwrite(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    start = draw.randrange(len(content))
    size = draw.randrange(1, 200)
    path.write_bytes(content[:start] + draw.choice([bytes(size), draw.randbytes(size)]) + content[start + size :])


def insert(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    start = draw.choice([0, len(content), draw.randrange(len(content))])
    path.write_bytes(
        content[:start] + draw.choice([b"\0", b"\xef\xbb\xbf", b"\x1b[2J", b"}", b"x" * 9]) + content[start:]
    )


def replace(path: Path, draw: random.Random) -> None:
    archive = io.BytesIO()
    np.savez(archive, np.ones(3, np.float32))
    others = (b"", b"\n", b"null", b"[]", b"5", b"{}", draw.randbytes(500), archive.getvalue(), *DEEP)
    path.write_bytes(draw.choice(others))


def other_encoding(path: Path, draw: random.Random) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    path.write_bytes(text.encode(draw.choice(["utf-16", "utf-32", "utf-8-sig"])))


def not_a_file(path: Path, draw: random.Random) -> None:
    path.unlink()
    kinds: list[Callable[[], Any]] = [
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.symlink_to("nowhere"),
        lambda: path.symlink_to(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path.parent),
    ]
    draw.choice(kinds)()


def json_value(path: Path, draw: random.Random) -> None:
    """Another value, or none, somewhere in a JSON file (or in a line of it)."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    number = draw.randrange(len(lines))
    lines[number] = json.dumps(changed(json.loads(lines[number]), draw))
    path.write_text("\n".join(lines), encoding="utf-8")


def changed(tree: Any, draw: random.Random) -> Any:
    if not (isinstance(tree, (dict, list)) and tree) or draw.random() < 0.1:
        return draw.choice(VALUES)
    key = draw.choice(list(tree)) if isinstance(tree, dict) else draw.randrange(len(tree))
    how = draw.random()
    if how < 0.1:
        del tree[key]
    elif how < 0.2 and isinstance(tree, dict):
        tree[draw.choice(["x", "", "글", "name", "to_dict", "__class__"])] = tree.pop(key)
    else:
        tree[key] = changed(tree[key], draw)
    return tree


def safetensors_header(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.dumps(changed(json.loads(content[8 : 8 + length]), draw)).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


def pickled(path: Path, draw: random.Random) -> None:
    tensors = torch.load(path, weights_only=True)
    name = draw.choice(list(tensors))
    value = tensors[name]
    others = [
        None, 5, [], {}, "x", value.int(), value > 0, value.to(torch.complex64), value.double(), value[:1],
        value[..., :1], value * float("nan"), value.to_sparse(), torch.ones(1).expand(1 << 30, 1 << 30), torch.empty(0),
        torch.empty(3, device="meta"),
    ]  # fmt: skip
    wholes = [[], 5, None, {}, {5: value}, [tensors], {"a": tensors}, {f"_orig_mod.{n}": t for n, t in tensors.items()}]
    torch.save(draw.choice([*wholes, *({**tensors, name: other} for other in others)]), path)


def table(path: Path, draw: random.Random) -> None:
    texts = pq.read_table(path).column("text")
    columns = [
        {}, {"body": texts}, {"text": pa.array([], pa.string())}, {"text": pa.nulls(3)}, {"text": pa.array([b"a"])},
        {"text": pa.array([b"\xff\xfe"]).view(pa.string())}, {"text": pa.array([1])}, {"text": pa.array([{"a": "a"}])},
        {"text": texts.dictionary_encode()}, {"text": texts.cast(pa.large_string())}, {"text": pa.array(["\0" * 9])},
    ]  # fmt: skip
    pq.write_table(pa.table(draw.choice(columns)), path)


BYTES = [cut, flip, flip_near_an_end, overwrite, insert, replace, other_encoding, not_a_file]
OF_KIND = {
    ".json": [json_value] * 8,
    ".jsonl": [json_value] * 8,
    ".safetensors": [safetensors_header] * 5,
    ".bin": [pickled] * 5,
    ".parquet": [table] * 3,
}


def damage(path: Path, others: list[Path], draw: random.Random) -> str:
    """Damage the file; returns how."""
    if draw.random() < 0.05:
        shutil.copyfile(draw.choice([other for other in others if other != path]), path)
        return "another file"
    how = draw.choice([*BYTES, *OF_KIND.get(path.suffix, [])])
    try:
        how(path, draw)
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can say
        path.write_bytes(b'{"a": "\\ud800"}')
    return how.__name__
