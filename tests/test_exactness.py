"""Differences and merges against an independent computation, element for element, on real tiny checkpoints."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DOMAINS, make_adapter, make_base, make_workplace
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from dem import mamba
from dem.config import METHOD_FIELDS, MergeConfig
from dem.diffs import Difference
from dem.methods import combiner

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def lora_update(adapter: Path, name: str) -> torch.Tensor | None:
    """scale * B @ A of a parameter from the adapter's own file, without PEFT."""
    tensors = torch.load(adapter / "adapter_model.bin", weights_only=True)
    config = json.loads((adapter / "adapter_config.json").read_text())
    key = f"base_model.model.{name.removesuffix('.weight')}.lora_{{}}.weight"
    if key.format("A") not in tensors:
        return None
    return (tensors[key.format("B")] @ tensors[key.format("A")]) * (config["lora_alpha"] / config["r"])


def rounded_once(exact: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Float64 to `dtype`, to nearest, ties to even. torch itself goes through float32, and so rounds twice."""
    if dtype == torch.float16:
        return torch.from_numpy(exact.numpy().astype(np.float16))
    if dtype == torch.bfloat16:  # 8 of float64's 53 bits stay
        pattern = exact.view(torch.int64)
        pattern = pattern + (1 << 44) - 1 + (pattern >> 45 & 1)
        return (pattern >> 45 << 45).view(torch.float64).to(dtype)
    return exact.to(dtype)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.fixture(params=DTYPES)
def dtype(request):
    return DTYPES[request.param]


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_one_domain_of_weight_1_is_base_plus_adapter_rounded_once(tmp_path, tokenizer, dtype, tied, sharded):
    place = make_workplace(tmp_path, tokenizer, dtype=dtype, tied=tied, sharded=sharded)
    adapter = make_adapter(place.base, place.layout.adapter("web"), seed=1)
    assert place.diff("web") == 0
    assert place.merge("--merge.weights", "{web: 1.0}", "--evaluation.enabled", "false") == 0

    base, merged = weights_of(place.base), weights_of(place.layout.merged_model)
    assert list(merged) == list(base)
    assert ("lm_head.weight" in base) is not tied
    changed = 0
    for name, tensor in base.items():
        update = lora_update(adapter, name)
        if update is None:
            assert bits(merged[name]) == bits(tensor), name
            continue
        changed += 1
        expected = rounded_once(tensor.double() + update.double(), dtype)
        assert bits(merged[name]) == bits(expected), name
        assert not torch.equal(merged[name], tensor), name
    assert changed == 6  # three projections in two layers
    assert (len(list(place.base.glob("*.safetensors"))) > 1) is sharded
    assert {p.name for p in place.base.iterdir()} <= {p.name for p in place.layout.merged_model.iterdir()}


def test_vector_is_domain_minus_base(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer)
    adapter = make_adapter(place.base, place.layout.adapter("web"), seed=1)
    assert place.diff("web") == 0

    vector = np.load(place.layout.diff_vector("web"), mmap_mode="r")  # no pickle, no options
    index = json.loads(place.layout.diff_index("web").read_text())
    assert vector.ndim == 1 and vector.dtype == np.float32
    base = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float64)
    with mamba.out_proj_allowed():
        domain = PeftModel.from_pretrained(base, str(adapter), autocast_adapter_dtype=False).double().merge_and_unload()
    folded, before = domain.state_dict(), weights_of(place.base)
    assert sum(np.prod(p["shape"]) for p in index["parameters"]) == vector.size
    for p in index["parameters"]:
        stored = vector[p["offset"] : p["offset"] + int(np.prod(p["shape"]))].reshape(p["shape"])
        assert np.array_equal(stored, lora_update(adapter, p["name"]).numpy())
        np.testing.assert_allclose(stored, (folded[p["name"]] - before[p["name"]].double()).numpy(), atol=1e-7)
    unchanged = set(before) - {p["name"] for p in index["parameters"]}
    assert all(torch.equal(folded[n].float(), before[n]) for n in unchanged)


@pytest.mark.parametrize(
    ("options", "factors"),
    [
        ((), (0.5, 0.5)),
        (("--merge.weights", "{web: 3, social: 1}"), (0.75, 0.25)),
        (("--merge.weights", "{web: 1.5, social: -0.5}", "--merge.scale", "2"), (3.0, -1.0)),
        (("--merge.weights", "{web: 3, social: 1}", "--merge.normalize", "false"), (3.0, 1.0)),
        (("--merge.weights.social", "0"), (1.0, 0.0)),
    ],
)
def test_several_domains_are_the_weighted_sum(tmp_path, tokenizer, options, factors):
    place = make_workplace(tmp_path, tokenizer, dtype=torch.bfloat16)
    adapters = [make_adapter(place.base, place.layout.adapter(d), seed=i) for i, d in enumerate(DOMAINS)]
    for domain in DOMAINS:
        assert place.diff(domain) == 0
    assert place.merge("--evaluation.enabled", "false", *options) == 0
    merged = weights_of(place.layout.merged_model)
    wrong = total = 0
    for name, tensor in weights_of(place.base).items():
        updates = [lora_update(adapter, name) for adapter in adapters]
        if updates[0] is not None:
            exact = tensor.double() + sum(f * u.double() for f, u in zip(factors, updates, strict=True))
            wrong += int((merged[name] != rounded_once(exact, torch.bfloat16)).sum())
            total += tensor.numel()
    assert total > 10_000
    assert wrong <= 1  # float32 sums may fall on the other side of a tie; half precision would be wrong in thousands


@pytest.mark.parametrize("storage", ["dense", "lowrank"])
def test_over_a_float32_base_every_element_is_the_float64_sum_rounded_once(tmp_path, tokenizer, storage):
    place = make_workplace(tmp_path, tokenizer)
    for i, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=i)
        assert place.diff(domain, "--diff.storage", storage) == 0
    # With round weights such as 0.7 many sums lie halfway between two numbers, where float64's last bit decides.
    weights, scale = {"web": math.sqrt(0.5), "social": math.e / 3}, math.pi / 2
    options = ("--merge.weights", json.dumps(weights), "--merge.normalize", "false", "--merge.scale", repr(scale))
    assert place.merge("--evaluation.enabled", "false", *options) == 0

    differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
    merged, changed = weights_of(place.layout.merged_model), 0
    for name, tensor in weights_of(place.base).items():
        if name not in differences["web"]:
            continue
        exact = tensor.double()
        for domain, difference in differences.items():
            factors = difference.factors(name)
            assert (factors is not None) is (storage == "lowrank"), domain
            change = factors[0].double() @ factors[1].double() if factors else difference.read(name).double()
            exact += scale * weights[domain] * change
        assert torch.equal(merged[name], exact.float()), name
        changed += tensor.numel()
    assert changed > 10_000

    check = json.loads((place.layout.merged_model / "dem_provenance.json").read_text())["check"]
    assert 0 < check["relative"] < check["limit"] <= 1e-5  # the rounding is seen, and little else would pass


def test_over_a_float32_base_other_methods_add_up_in_float64(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer)
    for i, (domain, storage) in enumerate(zip(DOMAINS, ("dense", "lowrank"), strict=True)):
        make_adapter(place.base, place.layout.adapter(domain), seed=i)
        assert place.diff(domain, "--diff.storage", storage) == 0
    differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
    base = {name: tensor for name, tensor in weights_of(place.base).items() if name in differences["web"]}
    for method in ("ties", "della_linear", "sce"):
        uneven = "weights" in METHOD_FIELDS[method]
        weights = {"web": math.sqrt(0.5), "social": math.e / 3} if uneven else dict.fromkeys(DOMAINS, 1.0)
        options = ("--merge.method", method, "--merge.weights", json.dumps(weights), "--merge.scale", repr(math.pi / 2))
        assert place.merge("--evaluation.enabled", "false", *options) == 0
        merged = weights_of(place.layout.merged_model)
        for name, tensor in base.items():
            left, right = differences["social"].factors(name)
            stack = torch.stack([differences["web"].read(name).double(), left.double() @ right.double()])
            settings = MergeConfig(method=method, weights=weights, scale=math.pi / 2)
            exact = tensor.double() + combiner(settings, name, DOMAINS)(stack)
            assert torch.equal(merged[name], exact.float()), (method, name)


def test_a_base_of_several_types_merges_each_in_its_own(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer, dtype=torch.bfloat16)
    file = place.base / "model.safetensors"
    types = (torch.bfloat16, torch.float32, torch.float64)
    base = {name: tensor.to(types[i % 3]) for i, (name, tensor) in enumerate(sorted(load_file(file).items()))}
    save_file(base, file, {"format": "pt"})
    adapter = make_adapter(place.base, place.layout.adapter("web"), seed=1, targets=("in_proj", "x_proj", "dt_proj"))
    assert place.diff("web") == 0
    assert place.merge("--evaluation.enabled", "false", "--merge.weights", "{web: 1}") == 0
    merged, seen = weights_of(place.layout.merged_model), set()
    for name, tensor in base.items():
        update = lora_update(adapter, name)
        exact = tensor.double() + (0 if update is None else update.double())
        assert bits(merged[name]) == bits(rounded_once(exact, tensor.dtype)), name
        seen |= {tensor.dtype} if update is not None else set()
    assert seen == set(types)


def test_merged_model_loads_and_generates(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer, dtype=torch.bfloat16, sharded=True)
    for i, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=i)
        assert place.diff(domain) == 0
    assert place.merge("--evaluation.enabled", "false") == 0
    model, report = AutoModelForCausalLM.from_pretrained(place.layout.merged_model, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(place.layout.merged_model)
    out = model.generate(**tokenizer("오늘", return_tensors="pt", return_token_type_ids=False), max_new_tokens=3)
    assert out.shape[1] > 1


def test_a_base_in_pytorchs_own_format_merges_alike(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer, dtype=torch.bfloat16)
    make_adapter(place.base, place.layout.adapter("web"), seed=1)
    assert place.diff("web") == 0
    options = ("--merge.weights", "{web: 1.0}", "--evaluation.enabled", "false")
    assert place.merge(*options) == 0
    from_safetensors = weights_of(place.layout.merged_model)

    torch.save(weights_of(place.base), place.base / "pytorch_model.bin")
    (place.base / "model.safetensors").unlink()
    assert place.merge(*options) == 0  # the difference still fits: the fingerprint is of content
    from_pickle = weights_of(place.layout.merged_model)
    assert from_pickle.keys() == from_safetensors.keys()
    assert all(torch.equal(from_pickle[n], from_safetensors[n]) for n in from_pickle)


def test_normalised_and_half_precision_vectors(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer)
    make_adapter(place.base, place.layout.adapter("web"), seed=1)
    assert place.diff("web") == 0
    plain = np.load(place.layout.diff_vector("web")).astype(np.float64)
    assert place.diff("web", "--diff.normalize", "l2") == 0
    unit = np.load(place.layout.diff_vector("web")).astype(np.float64)
    index = json.loads(place.layout.diff_index("web").read_text())
    assert np.linalg.norm(unit) == pytest.approx(1, rel=1e-6)
    assert index["normalize"] == "l2" and index["norm"] == pytest.approx(np.linalg.norm(plain), rel=1e-6)
    np.testing.assert_allclose(unit * index["norm"], plain, rtol=1e-6)
    assert place.diff("web", "--diff.dtype", "float16") == 0
    half = np.load(place.layout.diff_vector("web"))
    assert half.dtype == np.float16
    assert np.array_equal(half, plain.astype(np.float32).astype(np.float16))


def test_negative_zero_and_permissions_survive(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer)
    path = place.base / "model.safetensors"
    data = bytearray(path.read_bytes())
    header = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + header])["backbone.layers.0.mixer.conv1d.bias"]
    start = 8 + header + entry["data_offsets"][0]
    data[start : start + 4] = b"\x00\x00\x00\x80"
    path.write_bytes(data)
    path.chmod(0o644)
    make_adapter(place.base, place.layout.adapter("web"), seed=1)
    assert place.diff("web") == 0
    assert place.merge("--merge.weights", "{web: 1.0}", "--evaluation.enabled", "false") == 0
    merged = place.layout.merged_model / "model.safetensors"
    assert merged.read_bytes()[start : start + 4] == b"\x00\x00\x00\x80"
    assert merged.stat().st_mode & 0o777 == 0o644


def test_another_base_with_the_same_names_is_refused(tmp_path, tokenizer, capsys):
    place = make_workplace(tmp_path, tokenizer)
    make_adapter(place.base, place.layout.adapter("web"), seed=1)
    assert place.diff("web") == 0
    make_base(place.base, tokenizer, seed=9)
    assert place.merge("--merge.weights", "{web: 1.0}", "--evaluation.enabled", "false") == 2
    assert "was made from another base" in capsys.readouterr().err
    assert not place.layout.merged_model.exists()
