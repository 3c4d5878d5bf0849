import json
import random

import pytest
import torch
from conftest import make_base
from safetensors.torch import load_file

from dem.checkpoints import Checkpoint
from dem.errors import RequestError
from dem.rewrite import rewrite


@pytest.fixture(params=[False, True], ids=["single", "sharded"])
def base(request, tmp_path, tokenizer):
    return make_base(tmp_path / "base", tokenizer, dtype=torch.bfloat16, sharded=request.param)


def test_reads_what_safetensors_reads(base):
    expected = {n: t for file in base.glob("*.safetensors") for n, t in load_file(file).items()}
    checkpoint = Checkpoint(base)
    assert checkpoint.parameters() == sum(t.numel() for t in expected.values())
    for name, tensor in expected.items():
        assert name in checkpoint and checkpoint.shape(name) == tuple(tensor.shape)
        assert torch.equal(checkpoint.read(name), tensor)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_an_unchanged_copy_is_identical_byte_for_byte_in_any_order(base, tmp_path, seed):
    copy = tmp_path / "copy"
    copy.mkdir()
    told, order = [], list(Checkpoint(base))
    if seed is not None:
        random.Random(seed).shuffle(order)
    passing = rewrite(Checkpoint(base), copy, lambda tensor: None, told.append, order[: len(order) // 2])
    seen = {}
    while True:
        try:
            part = next(passing)
            seen.setdefault(part.part.tensor.name, []).append(part.rows().clone())
        except StopIteration as end:
            fingerprint = end.value
            break
    assert list(seen)[: len(order) // 2] == order[: len(order) // 2]
    assert all(torch.equal(torch.cat(rows).flatten(), Checkpoint(base).read(n).flatten()) for n, rows in seen.items())
    assert sum(told) == Checkpoint(base).size() and fingerprint == Checkpoint(base).fingerprint()
    files = sorted(p.name for p in base.glob("*.safetensors*"))
    assert files == sorted(p.name for p in copy.iterdir())
    assert all((base / f).read_bytes() == (copy / f).read_bytes() for f in files)
    assert all((base / f).stat().st_mode == (copy / f).stat().st_mode for f in files if f.endswith("safetensors"))


def test_fingerprint_is_of_content_not_of_files(tmp_path, tokenizer):
    one = Checkpoint(make_base(tmp_path / "one", tokenizer)).fingerprint()
    assert Checkpoint(make_base(tmp_path / "shards", tokenizer, sharded=True)).fingerprint() == one
    assert Checkpoint(make_base(tmp_path / "other", tokenizer, seed=1)).fingerprint() != one
    path = tmp_path / "one" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # one bit
    path.write_bytes(data)
    assert Checkpoint(tmp_path / "one").fingerprint() != one


def test_what_was_read_stays_mapped_once(base):
    checkpoint = Checkpoint(base)
    name = next(iter(checkpoint.shards[0].tensors)).name
    assert checkpoint.read(name).data_ptr() == checkpoint.read(name).data_ptr()


def test_damaged_and_missing_files_are_refused(base):
    shard = sorted(base.glob("*.safetensors"))[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    with pytest.raises(RequestError, match="cut short"):
        Checkpoint(base)
    shard.write_bytes(b"\xff" * 100)
    with pytest.raises(RequestError, match="not a safetensors file"):
        Checkpoint(base)
    shard.unlink()
    with pytest.raises(RequestError, match="lacks|no weights"):
        Checkpoint(base)


def test_an_index_that_leaves_the_folder_is_refused(tmp_path, tokenizer):
    base = make_base(tmp_path / "base", tokenizer, sharded=True)
    index = base / "model.safetensors.index.json"
    text = json.loads(index.read_text())
    text["weight_map"] = dict.fromkeys(text["weight_map"], "../outside.safetensors")
    index.write_text(json.dumps(text))
    with pytest.raises(RequestError, match="another folder"):
        Checkpoint(base)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"weight": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RequestError, match="cannot be read"):
        Checkpoint(tmp_path)
