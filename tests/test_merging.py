"""The merge of differences in either form: exactly rounded, checked by reading again, whole or not at all."""

import errno
import json
import math
import os
import signal
from itertools import count

import numpy as np
import pytest
import torch
from conftest import DOMAINS, make_adapter, make_workplace, split_off
from safetensors.torch import load_file, save_file
from test_exactness import lora_update, rounded_once, weights_of
from transformers import AutoModelForCausalLM

from dem import streams, verify
from dem.checkpoints import Checkpoint
from dem.merging import add_rounded_once

ALONE = ("--evaluation.enabled", "false")


def differences(place, *options: str) -> None:
    for i, domain in enumerate(DOMAINS):
        if not place.layout.adapter(domain).exists():
            make_adapter(place.base, place.layout.adapter(domain), seed=i)
        assert place.diff(domain, *options) == 0


@pytest.fixture
def place(tmp_path, tokenizer):
    return make_workplace(tmp_path, tokenizer, dtype=torch.float16, sharded=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-7])
def test_every_element_is_rounded_once(dtype, size):
    base = (torch.randn(1500, 1000) * 0.02).to(dtype)
    base[:100] *= 1e-4  # float16 has no more normal numbers there
    change = torch.randn(1500, 1000) * size
    out = torch.empty_like(base)
    assert add_rounded_once(base, change, out)
    assert torch.equal(out, rounded_once(base.double() + change.double(), dtype))


def test_a_sum_beyond_the_type_is_told():
    base = torch.full((2, 2), 6e4).half()
    assert not add_rounded_once(base, torch.full((2, 2), 1e4), torch.empty_like(base))
    assert add_rounded_once(base, torch.full((2, 2), 5e3), torch.empty_like(base))  # rounds to the largest


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_element_that_is_not_finite_is_told(dtype, value):
    base = torch.full((50, 40), torch.finfo(dtype).max / 2, dtype=dtype)  # the sum of their squares is beyond any type
    out, change = torch.empty_like(base), torch.zeros(50, 40)
    assert add_rounded_once(base, change, out)
    change[7, 8] = value
    assert not add_rounded_once(base, change, out)


def test_lowrank_is_the_same_difference_in_a_fraction_of_the_space(place):
    differences(place)
    assert place.merge(*ALONE) == 0
    layout = place.layout
    dense = weights_of(layout.merged_model)
    dense_size, dense_summary = (
        layout.diff_vector("web").stat().st_size,
        json.loads(layout.diff_summary("web", ".json").read_text()),
    )
    differences(place, "--diff.storage", "lowrank")
    vector, index = np.load(layout.diff_vector("web")), json.loads(layout.diff_index("web").read_text())
    assert (
        vector.ndim == 1 and index["storage"] == "lowrank" and layout.diff_vector("web").stat().st_size < dense_size / 2
    )
    for p in index["parameters"]:
        left, right = p["factors"]
        assert [left[0], right[1]] == p["shape"] and left[1] == right[0] == 4
        factors = np.split(vector[p["offset"] : p["offset"] + np.prod(left) + np.prod(right)], [np.prod(left)])
        product = factors[0].reshape(left).astype(np.float64) @ factors[1].reshape(right).astype(np.float64)
        np.testing.assert_allclose(product, lora_update(layout.adapter("web"), p["name"]), atol=1e-7)
    summary = json.loads(layout.diff_summary("web", ".json").read_text())
    for name in ("count", "mean", "std", "l2_norm", "min", "max", "skewness", "kurtosis", "share_beyond_3_sigma"):
        assert summary[name] == pytest.approx(dense_summary[name], rel=1e-4, abs=1e-6), name
    assert summary["normality"]["ks_distance"] == pytest.approx(dense_summary["normality"]["ks_distance"], rel=1e-3)
    assert place.merge(*ALONE) == 0
    lowrank = weights_of(layout.merged_model)
    assert sum(int((lowrank[n] != dense[n]).sum()) for n in dense) <= 2  # two float32 sums beside a tie


@pytest.mark.parametrize("storage", ["dense", "lowrank"])
@pytest.mark.parametrize("options", [("--diff.dtype", "float16"), ("--diff.normalize", "l2")], ids=["float16", "l2"])
def test_other_forms_of_the_vector_merge_too(place, storage, options):
    differences(place, "--diff.storage", storage, *options)
    assert place.merge("--merge.weights", "{web: 1.0}", *ALONE) == 0
    norm = json.loads(place.layout.diff_index("web").read_text())["norm"]
    factor = 1 / norm if "l2" in options else 1.0
    merged = weights_of(place.layout.merged_model)
    for name, tensor in weights_of(place.base).items():
        update = lora_update(place.layout.adapter("web"), name)
        if update is not None:
            near = 1e-3 * float((update * factor).abs().max())
            torch.testing.assert_close(merged[name].float(), tensor.float() + update * factor, atol=near, rtol=1e-3)


def test_a_method_and_weights_of_some_parameters_reach_the_model(place, tmp_path):
    differences(place, "--diff.storage", "lowrank")
    own = "[{pattern: 'layers.0.*in_proj', weights: {web: 1.0}}]"
    assert place.merge("--merge.weights_by_parameter", own, "--merge.scale", "2", *ALONE) == 0
    name = "backbone.layers.0.mixer.in_proj.weight"
    base, merged = weights_of(place.base)[name], weights_of(place.layout.merged_model)[name]
    exact = base.double() + 2 * lora_update(place.layout.adapter("web"), name).double()
    assert int((merged != rounded_once(exact, base.dtype)).sum()) <= 1

    assert place.merge("--merge.method", "ties", "--merge.density", "0.3", *ALONE) == 0
    ties = weights_of(place.layout.merged_model)[name]
    changes = [lora_update(place.layout.adapter(d), name) for d in DOMAINS]
    trimmed = [
        c * (c.abs() >= c.abs().flatten().kthvalue(c.numel() - int(0.3 * c.numel()) + 1).values) for c in changes
    ]
    total = sum(trimmed)
    agreeing = [t * (torch.sign(t) == torch.sign(total)) for t in trimmed]
    count = sum((a != 0).float() for a in agreeing).clamp(min=1)
    assert torch.allclose(ties.float(), base.float() + sum(agreeing) / count, atol=1e-4, rtol=1e-3)
    record = json.loads((place.layout.merged_model / "dem_provenance.json").read_text())
    assert record["method"] == "ties" and record["density"] == 0.3
    assert place.merge("--merge.weights_by_parameter", "[{pattern: nowhere, weights: {web: 1.0}}]", *ALONE) == 2


def test_random_methods_do_not_depend_on_the_order_of_domains(place):
    differences(place)
    options = ("--merge.method", "dare_linear", *ALONE)
    assert place.merge(*options) == 0
    first = weights_of(place.layout.merged_model)
    text = place.config.read_text().replace("- web\n- social", "- social\n- web")
    assert place.config.read_text() != text
    place.config.write_text(text)
    assert place.merge(*options) == 0
    again = weights_of(place.layout.merged_model)
    assert all(torch.allclose(first[n].float(), again[n].float(), atol=1e-4) for n in first)
    assert place.merge(*options, "--merge.seed", "7") == 0
    other = weights_of(place.layout.merged_model)
    assert any(not torch.allclose(first[n].float(), other[n].float(), atol=1e-3) for n in first)


def test_the_written_model_is_read_again(place, capsys):
    differences(place, "--diff.storage", "lowrank")
    assert place.merge(*ALONE) == 0
    check = json.loads((place.layout.merged_model / "dem_provenance.json").read_text())["check"]
    assert 0 < check["relative"] < check["limit"] <= 0.02 and check["tokens"] == 8


def test_a_model_computes_the_same_while_its_weights_pass_by(place):
    checkpoint = Checkpoint(place.base)
    reader = verify.Reader(verify.Frame(place.base), checkpoint)
    parts = checkpoint.read_ahead(dict.fromkeys(reader.order))
    logits = reader.logits(verify.Weights(verify.Passing(part, part.data, None) for part in parts))
    model = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32)
    tokens = torch.linspace(0, model.config.vocab_size - 1, verify.TOKENS).long()
    with torch.no_grad():
        expected = model(input_ids=tokens[None], use_cache=False).logits[0]
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "damaged", ["norm_f.weight", "layers.1.mixer.in_proj.weight", "layers.0.mixer.out_proj.weight"]
)
def test_a_model_that_computes_something_else_is_not_put_in_place(place, monkeypatch, capsys, damaged):
    differences(place)
    assert place.merge(*ALONE) == 0
    before = weights_of(place.layout.merged_model)
    write = verify.write_model

    def wrong(frame, folder, *rest):
        written = write(frame, folder, *rest)
        shard = next(p for p in folder.glob("*.safetensors") if any(damaged in n for n in load_file(p)))
        tensors = load_file(shard)
        save_file({n: t * 1.5 if damaged in n else t for n, t in tensors.items()}, shard, metadata={"format": "pt"})
        return written

    monkeypatch.setattr(verify, "write_model", wrong)
    assert place.merge("--merge.scale", "2", *ALONE) == 1
    assert "read again, gives other logits" in capsys.readouterr().err
    after = weights_of(place.layout.merged_model)
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_a_model_that_computes_no_numbers_is_said_to(tmp_path, tokenizer, capsys):
    place = make_workplace(tmp_path, tokenizer)
    make_adapter(place.base, place.layout.adapter("web"), seed=1)
    assert place.diff("web") == 0
    assert place.merge("--merge.weights", "{web: 1}", "--merge.scale", "1e6", *ALONE) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: the base plus the differences computes no numbers") and "merge.scale" in last
    assert not place.layout.merged_model.exists()


@pytest.mark.parametrize("storage", ["dense", "lowrank"])
def test_over_a_float32_base_a_change_beyond_rounding_is_noticed(tmp_path, tokenizer, monkeypatch, capsys, storage):
    place = make_workplace(tmp_path, tokenizer)
    for i, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=i)
    differences(place, "--diff.storage", storage)
    write = verify.write_model

    def wrong(frame, folder, *rest):
        written = write(frame, folder, *rest)
        tensors = load_file(folder / "model.safetensors")
        save_file(
            {n: t * (1 + 1e-4) if "layers.1.mixer.in_proj" in n else t for n, t in tensors.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )
        return written

    assert place.merge(*ALONE) == 0
    monkeypatch.setattr(verify, "write_model", wrong)
    assert place.merge(*ALONE) == 1
    assert "read again, gives other logits" in capsys.readouterr().err


def test_dry_run_says_the_plan_and_writes_nothing(place, capsys):
    differences(place)
    before = sorted(p for p in place.root.rglob("*"))
    assert place.merge("--dry-run", *ALONE) == 0
    said = capsys.readouterr().err
    assert "plan: read" in said and "disk" in said and "memory" in said
    assert sorted(p for p in place.root.rglob("*")) == before


def test_a_disk_too_small_is_refused_before_any_work(place, monkeypatch, capsys):
    differences(place)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    assert place.merge(*ALONE) == 2 and "GiB free" in capsys.readouterr().err
    assert place.diff("web") == 2 and "GiB free" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["diff", "merge"])
def test_a_disk_that_fills_up_leaves_what_was_there(place, stage, monkeypatch, capsys):
    differences(place)
    assert place.merge(*ALONE) == 0
    before = {p: p.read_bytes() for p in place.root.rglob("*") if p.is_file() and p.suffix != ".log"}

    def full(file, data, place):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert (place.merge(*ALONE) if stage == "merge" else place.diff("web")) == 1
    monkeypatch.undo()
    assert "No space left on device" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in place.root.rglob("*") if p.is_file() and p.suffix != ".log"} == before


def test_killed_at_any_point_the_model_is_the_old_one_or_the_new_one(place, monkeypatch):
    differences(place, "--diff.storage", "lowrank")
    write = streams.NewFile.write
    assert place.merge("--merge.scale", "2", *ALONE) == 0
    old = weights_of(place.layout.merged_model)
    for when in (1, 9):
        writes = count(1)

        def dying(self, data, writes=writes, when=when):
            if next(writes) == when:
                os.kill(os.getpid(), signal.SIGKILL)
            write(self, data)

        with monkeypatch.context() as patch:
            patch.setattr(streams.NewFile, "write", dying)
            run = split_off(lambda: place.merge(*ALONE), place.root.parent / "stderr")
        run.join()
        assert run.exitcode == -signal.SIGKILL
        kept = weights_of(place.layout.merged_model)
        assert kept.keys() == old.keys() and all(torch.equal(kept[n], old[n]) for n in old)
    assert place.merge(*ALONE) == 0
    assert not list(place.root.glob(".merged_model*"))


def test_a_shard_that_changed_meanwhile_is_noticed(place, monkeypatch, capsys):
    differences(place)
    shard = sorted(place.base.glob("*.safetensors"))[0]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert place.merge(*ALONE) == 2
    assert "another base" in capsys.readouterr().err and not place.layout.merged_model.exists()
