"""Differences of every kind of LoRA adapter and of full models, against PEFT's own merge and plain subtraction."""

import json
import warnings
from collections import OrderedDict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_workplace
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from test_exactness import bits, rounded_once, weights_of
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GptOssConfig,
    GraniteMoeHybridConfig,
    LlamaConfig,
    MambaConfig,
    PreTrainedModel,
)

from dem import mamba, sources
from dem.checkpoints import Checkpoint, matrix_shape

WEIGHT_1 = ("--merge.weights", "{web: 1.0}", "--evaluation.enabled", "false")


def put_base(place, config, dtype=torch.float32, **saving) -> None:
    """A model with random weights in place of the workplace's Mamba."""
    for old in place.base.glob("*.safetensors*"):
        old.unlink()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.02)
    model.to(dtype).save_pretrained(place.base, **saving)


def config_of(model_type: str, vocabulary: int, **settings):
    sizes = {"vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 2, "tie_word_embeddings": False}
    kinds = {
        "mamba": (MambaConfig, {"state_size": 4}),
        "llama": (LlamaConfig, {"intermediate_size": 48, "num_attention_heads": 4}),
        "gpt2": (GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4}),
        "gpt_oss": (
            GptOssConfig,
            {
                "intermediate_size": 24,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "num_local_experts": 3,
                "num_experts_per_tok": 1,
            },
        ),
        "granite": (
            GraniteMoeHybridConfig,
            {
                "intermediate_size": 24,
                "shared_intermediate_size": 48,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "num_local_experts": 3,
                "num_experts_per_tok": 1,
                "layer_types": ["mamba", "attention"],
                "mamba_d_state": 8,
                "mamba_n_heads": 4,
                "mamba_d_head": 16,
                "mamba_n_groups": 1,
                "mamba_chunk_size": 16,
            },
        ),
    }
    kind, own = kinds[model_type]
    return kind(**{**sizes, **own, **settings})


def trained(base: Path, seed=1, **settings) -> PeftModel:
    """The base with an adapter on it whose every trainable value is random, as if it had been trained."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(**{"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM", **settings})
    with mamba.out_proj_allowed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                new = torch.randn_like(parameter) * 0.05
                parameter.copy_(parameter + new if "lora_A" not in name and "lora_B" not in name else new)
    return model.eval()


def put_adapter(model: PeftModel, folder: Path, form: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder, safe_serialization=form == "safetensors")


def merged_by_peft(model: PeftModel, base: Path) -> dict[str, torch.Tensor]:
    """Each parameter of PEFT's own merge in float64, less the base's; of those that it changed."""
    before = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64).state_dict()
    after = model.double().merge_and_unload().state_dict()
    assert after.keys() == before.keys()
    return {name: after[name] - before[name] for name in before if not torch.equal(after[name], before[name])}


def difference_of(place, domain="web") -> tuple[dict, dict[str, torch.Tensor]]:
    """The index, and each parameter's change read by the index's words alone."""
    vector = torch.from_numpy(np.load(place.layout.diff_vector(domain)).astype(np.float32))
    index = json.loads(place.layout.diff_index(domain).read_text())
    changes = {}
    for p in index["parameters"]:
        if p["factors"]:
            (height, rank), (_, width) = p["factors"]
            left = vector[p["offset"] :][: height * rank].view(height, rank)
            right = vector[p["offset"] + height * rank :][: rank * width].view(rank, width)
            changes[p["name"]] = left @ right
        else:
            changes[p["name"]] = vector[p["offset"] :][: int(np.prod(p["shape"]))].view(p["shape"])
    return index, changes


KINDS = {
    "rank and alpha patterns": (
        "mamba",
        {
            "target_modules": ["in_proj", "out_proj"],
            "rank_pattern": {"layers.0.mixer.in_proj": 2},
            "alpha_pattern": {"out_proj": 9},
        },
    ),
    "rslora": ("mamba", {"target_modules": ["in_proj", "x_proj"], "use_rslora": True}),
    "embedding": ("mamba", {"target_modules": ["embeddings", "in_proj"]}),
    "embedding and head": ("llama", {"target_modules": ["embed_tokens", "lm_head", "q_proj"]}),
    "fan_in_fan_out": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "dora": ("mamba", {"target_modules": ["in_proj", "out_proj"], "use_dora": True}),
    "dora on an embedding": ("mamba", {"target_modules": ["embeddings"], "use_dora": True}),
    "dora, fan_in_fan_out": ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "use_dora": True}),
    "parameter of a module": ("mamba", {"target_modules": ["x_proj"], "target_parameters": ["in_proj.weight"]}),
    "parameter of a mixer": ("mamba", {"target_modules": ["embeddings"], "target_parameters": ["mixer.A_log"]}),
    "experts": (
        "granite",
        {
            "target_modules": ["q_proj"],
            "target_parameters": ["input_linear.weight", "output_linear.weight"],
        },
    ),
    "two parameters of one module": (
        "gpt_oss",
        {"target_modules": ["q_proj"], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]},
    ),
    "lora_bias": ("mamba", {"target_modules": ["in_proj", "x_proj"], "lora_bias": True}),
    "bias all": ("mamba", {"target_modules": ["in_proj"], "bias": "all"}),
    "bias lora_only": ("mamba", {"target_modules": ["in_proj"], "bias": "lora_only"}),
    "modules_to_save": (
        "mamba",
        {"target_modules": ["in_proj"], "modules_to_save": ["embeddings", "lm_head", "norm_f"]},
    ),
    "whole mixer saved": ("mamba", {"target_modules": ["embeddings"], "modules_to_save": ["layers.1.mixer"]}),
    "token indices": ("mamba", {"target_modules": ["in_proj"], "trainable_token_indices": {"embeddings": [3, 7]}}),
}
PLAIN = {"rank and alpha patterns", "rslora", "embedding", "embedding and head", "fan_in_fan_out"}
SETTINGS = {"lora_bias": {"use_bias": True}, "bias all": {"use_bias": True}, "bias lora_only": {"use_bias": True}}


# Of each kind either form of file and either dtype; how a file is read does not depend on the base's dtype.
@pytest.mark.parametrize(
    ("form", "dtype"), [("bin", torch.float32), ("safetensors", torch.bfloat16)], ids=["bin-fp32", "safetensors-bf16"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_adapter(kind, form, dtype, tmp_path, tokenizer):
    model_type, settings = KINDS[kind]
    place = make_workplace(tmp_path, tokenizer)
    put_base(place, config_of(model_type, len(tokenizer), **SETTINGS.get(kind, {})), dtype)
    if kind == "lora_bias":
        settings = {**settings, "target_modules": ["in_proj", "out_proj"]}
    model = trained(place.base, **settings)
    put_adapter(model, place.layout.adapter("web"), form)
    expected = merged_by_peft(model, place.base)
    assert place.diff("web", "--diff.storage", "lowrank") == 0
    index, lowrank = difference_of(place)
    assert all(p["factors"] for p in index["parameters"]) is (kind in PLAIN)
    assert place.diff("web") == 0
    _, changes = difference_of(place)
    assert changes.keys() == lowrank.keys() == expected.keys()
    for name, change in changes.items():
        torch.testing.assert_close(change.double(), expected[name], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(change, lowrank[name], rtol=1e-5, atol=1e-7)
    assert_weight_1_is_base_plus(place, changes, dtype)


def assert_weight_1_is_base_plus(place, changes, dtype):
    assert place.merge(*WEIGHT_1) == 0
    base, merged = weights_of(place.base), weights_of(place.layout.merged_model)
    assert merged.keys() == base.keys()
    for name, tensor in base.items():
        if name in changes:
            assert bits(merged[name]) == bits(rounded_once(tensor.double() + changes[name].double(), dtype)), name
        else:
            assert bits(merged[name]) == bits(tensor), name


@pytest.mark.parametrize("form", ["bin", "safetensors"])
@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("llama", {"target_modules": ["embed_tokens", "q_proj"], "ensure_weight_tying": True}),
        ("llama", {"target_modules": ["lm_head", "q_proj"], "ensure_weight_tying": True}),
        ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
        ("llama", {"target_modules": ["q_proj"], "trainable_token_indices": [3, 7]}),
        ("mamba", {"target_modules": ["in_proj"], "trainable_token_indices": [3, 7]}),
    ],
    ids=["embedding", "head", "modules_to_save", "token indices", "token indices, mamba"],
)
def test_a_tied_head_counts_once(model_type, settings, form, tmp_path, tokenizer):
    """PEFT's own merge adds the LoRA of both ends to the one tensor, so the trained model's answers are the measure."""
    place = make_workplace(tmp_path, tokenizer)
    put_base(place, config_of(model_type, len(tokenizer), tie_word_embeddings=True))
    model = trained(place.base, **settings)
    put_adapter(model, place.layout.adapter("web"), form)
    assert place.diff("web") == 0
    names = [p["name"] for p in difference_of(place)[0]["parameters"]]
    assert sum("embed" in name or "lm_head" in name for name in names) == 1 and len(names) == len(set(names))
    assert place.merge(*WEIGHT_1) == 0
    ids = torch.randint(3, 500, (2, 20), generator=torch.Generator().manual_seed(0))
    ids[0, 2:4] = torch.tensor([3, 7])
    base, merged = (AutoModelForCausalLM.from_pretrained(f) for f in (place.base, place.layout.merged_model))
    assert merged.get_input_embeddings().weight is merged.get_output_embeddings().weight
    with torch.no_grad():
        wanted, written, alone = model(ids).logits, merged(ids).logits, base(ids).logits
    torch.testing.assert_close(written, wanted, rtol=1e-4, atol=1e-5)
    assert (wanted - alone).abs().max() > 100 * (wanted - written).abs().max()


def test_a_tied_head_that_the_base_stores_too_changes_with_the_embedding(tmp_path, tokenizer):
    """transformers does not tie two stored tensors that differ."""
    place = make_workplace(tmp_path, tokenizer)
    put_base(place, config_of("mamba", len(tokenizer), tie_word_embeddings=True))
    weights = weights_of(place.base)
    (place.base / "model.safetensors").unlink()
    torch.save({**weights, "lm_head.weight": weights["backbone.embeddings.weight"]}, place.base / "pytorch_model.bin")
    model = trained(place.base, target_modules=["in_proj"], trainable_token_indices=[3, 7])
    put_adapter(model, place.layout.adapter("web"), "bin")
    assert place.diff("web") == 0 and place.merge(*WEIGHT_1) == 0
    merged = weights_of(place.layout.merged_model)
    assert torch.equal(merged["lm_head.weight"], merged["backbone.embeddings.weight"])
    assert not torch.equal(merged["lm_head.weight"], weights["backbone.embeddings.weight"])


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("mamba", {"target_modules": ["embeddings", "in_proj"]}),
        ("mamba", {"target_modules": ["lm_head", "in_proj"]}),
        ("llama", {"target_modules": ["embed_tokens", "lm_head"]}),
        ("llama", {"target_modules": ["embed_tokens"], "ensure_weight_tying": True, "use_dora": True}),
        ("mamba", {"target_modules": ["in_proj"], "modules_to_save": ["embeddings"]}),
        ("mamba", {"target_modules": ["in_proj"], "modules_to_save": ["lm_head"]}),
        ("mamba", {"target_modules": ["in_proj"], "modules_to_save": ["embeddings", "lm_head"]}),
        ("mamba", {"target_modules": ["in_proj"], "trainable_token_indices": {"lm_head": [3]}}),
    ],
)
def test_one_end_of_a_tied_pair_is_refused(model_type, settings, tmp_path, tokenizer, refused):
    place = make_workplace(tmp_path, tokenizer)
    put_base(place, config_of(model_type, len(tokenizer), tie_word_embeddings=True))
    put_adapter(trained(place.base, **settings), place.layout.adapter("web"), "bin")
    refused(place.diff("web"), "lora_web", "one tensor", "lm_head.weight")
    assert not place.layout.diff_vector("web").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"alora_invocation_tokens": [3]},
        {"layer_replication": [(0, 2), (1, 2)]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_is_no_difference_is_refused_by_name(settings, workplace, refused):
    put_adapter(trained(workplace.base, target_modules=["in_proj"]), workplace.layout.adapter("web"), "bin")
    config = workplace.layout.adapter("web") / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **settings}))
    refused(workplace.diff("web"), "lora_web", next(iter(settings)))


def test_adapters_that_do_not_fit_are_refused(workplace, refused):
    folder = workplace.layout.adapter("web")
    model = trained(workplace.base, target_modules=["in_proj"])
    put_adapter(model, folder, "bin")
    config, weights = folder / "adapter_config.json", folder / "adapter_model.bin"
    text, tensors = json.loads(config.read_text()), torch.load(weights)

    config.write_text(json.dumps({**text, "a_later_rule": 1}))
    refused(workplace.diff("web"), "lora_web", "a_later_rule")
    config.write_text(json.dumps({**text, "peft_type": "IA3"}))
    refused(workplace.diff("web"), "lora_web", "IA3")
    config.write_text(json.dumps(text))

    renamed = {name.replace("in_proj", "input_projection"): value for name, value in tensors.items()}
    torch.save(renamed, weights)
    refused(workplace.diff("web"), "lora_web", "missing adapter keys")
    torch.save({**tensors, "base_model.model.value_head.weight": torch.ones(2, 2)}, weights)
    refused(workplace.diff("web"), "lora_web", "value_head", "base_model")
    torch.save({name: value[..., :-1] for name, value in tensors.items()}, weights)
    refused(workplace.diff("web"), "lora_web", "size mismatch")
    torch.save({**tensors, "base_model.model.lm_head.weight": torch.ones(600, 32)}, weights)
    refused(workplace.diff("web"), "lora_web", "lm_head.weight", "another base")
    torch.save(tensors, weights)

    put_adapter(model, folder, "safetensors")
    refused(workplace.diff("web"), "several adapters", "adapter_model.bin", "adapter_model.safetensors")
    weights.unlink()
    put_adapter(model, folder / "other", "bin")
    refused(workplace.diff("web"), "several adapters", "other/")
    (folder / "other").rename(folder / "checkpoint-10")
    assert workplace.diff("web") == 0


@pytest.mark.parametrize("extra", [{}, {"modules_to_save": ["embeddings"]}, {"trainable_token_indices": [601]}])
def test_added_vocabulary_of_an_adapter_is_refused(extra, workplace, refused):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(workplace.base)
    rows = model.config.vocab_size
    model.resize_token_embeddings(rows + 4)
    model = get_peft_model(model, LoraConfig(target_modules=["in_proj"], task_type="CAUSAL_LM", **extra))
    put_adapter(model, workplace.layout.adapter("web"), "safetensors")
    refused(workplace.diff("web"), "lora_web", f"vocabulary of {rows + 4} rows", f"one of {rows}", "resize")


def test_a_convolution_in_groups_is_refused(tmp_path, tokenizer, refused):
    place = make_workplace(tmp_path, tokenizer)
    put_base(place, config_of("granite", len(tokenizer)))
    put_adapter(trained(place.base, target_modules=["conv1d"], r=80), place.layout.adapter("web"), "bin")
    refused(place.diff("web"), "conv1d", "groups")


def test_embeddings_saved_beside_are_no_change(tmp_path, tokenizer):
    """PEFT saves the base's embedding too where an adapter targets it, in the type of the training."""
    place = make_workplace(tmp_path, tokenizer)
    put_base(place, config_of("llama", len(tokenizer)))
    model = trained(place.base, target_modules=["lm_head"]).half()
    put_adapter(model, place.layout.adapter("web"), "safetensors")
    assert any("base_layer" in name for name in load_file(place.layout.adapter("web") / "adapter_model.safetensors"))
    assert place.diff("web") == 0
    assert [p["name"] for p in difference_of(place)[0]["parameters"]] == ["lm_head.weight"]


def fine_tuned(base: Path, dtype=torch.float32, frozen=("conv1d", "A_log"), seed=3) -> PreTrainedModel:
    """The base with every parameter but the frozen ones changed a little, in `dtype`."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not any(part in name for part in frozen):
                parameter.add_(torch.randn_like(parameter) * 0.01)
    return model


def put_model(model: PreTrainedModel, folder: Path, form: str) -> None:
    model.save_pretrained(folder, max_shard_size="40KB" if form == "sharded" else "1GB")
    if form == "bin":
        torch.save(model.state_dict(), folder / "pytorch_model.bin")  # a tied head twice, in one storage
        (folder / "model.safetensors").unlink()


# Each two of a dtype, a form and a head, but for a few.
@pytest.mark.parametrize(
    ("base_dtype", "dtype", "form", "tied"),
    [
        (torch.float32, torch.float32, "single", False),
        (torch.float32, torch.float32, "sharded", True),
        (torch.bfloat16, torch.float32, "sharded", False),
        (torch.bfloat16, torch.float32, "bin", True),
        (torch.bfloat16, torch.bfloat16, "bin", False),
        (torch.bfloat16, torch.bfloat16, "single", True),
    ],
    ids=["fp32-single", "fp32-sharded-tied", "fp32 of bf16-sharded", "fp32 of bf16-bin-tied", "bf16-bin", "bf16-tied"],
)
def test_a_full_model(base_dtype, dtype, form, tied, tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer, dtype=base_dtype, tied=tied)
    model = fine_tuned(place.base, dtype)
    put_model(model, tmp_path / "tuned", form)
    assert place.diff("web", "--model", str(tmp_path / "tuned"), "--diff.storage", "lowrank") == 0
    index, changes = difference_of(place)
    before, after = weights_of(place.base), model.state_dict()
    expected = {n: after[n].float() - before[n].float() for n in before if not torch.equal(after[n], before[n])}
    assert changes.keys() == expected.keys() and len(expected) < len(before)
    assert not any(frozen in name for name in changes for frozen in ("conv1d", "A_log"))
    assert ("lm_head.weight" in changes) is not tied
    assert all(torch.equal(changes[name], expected[name]) for name in changes)
    assert all(p["factors"] is None for p in index["parameters"])
    assert index["source"] == {
        "kind": "model",
        "path": str(tmp_path / "tuned"),
        "fingerprint": Checkpoint(tmp_path / "tuned").fingerprint(),
        "data_fingerprint": None,
    }
    assert_weight_1_is_base_plus(place, changes, base_dtype)
    if dtype == base_dtype == torch.bfloat16:  # whose sum is the model again, bit for bit
        merged = weights_of(place.layout.merged_model)
        assert all(bits(merged[name]) == bits(after[name]) for name in merged)


def test_a_model_in_float64_is_subtracted_in_float64(workplace, tmp_path):
    put_model(fine_tuned(workplace.base, torch.float64), tmp_path / "tuned", "single")
    assert workplace.diff("web", "--model", str(tmp_path / "tuned")) == 0
    before, after = weights_of(workplace.base), weights_of(tmp_path / "tuned")
    for name, change in difference_of(workplace)[1].items():
        assert torch.equal(change, (after[name] - before[name].double()).float())


def test_a_model_needs_no_adapter_and_is_evaluated_itself(workplace, tmp_path, refused, capsys):
    put_model(fine_tuned(workplace.base), tmp_path / "tuned", "single")
    assert workplace.diff("web", "--model", str(tmp_path / "tuned")) == 0
    put_adapter(trained(workplace.base, target_modules=["in_proj"]), workplace.layout.adapter("social"), "bin")
    assert workplace.diff("social") == 0
    assert workplace.merge() == 0
    rows = workplace.layout.metric_summary.read_text(encoding="utf-8-sig").splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["base", "web", "social", "merged"]

    put_model(fine_tuned(workplace.base, seed=4), tmp_path / "tuned", "single")
    refused(workplace.merge(), "diff_web.npy", "older than the model")
    (tmp_path / "tuned").rename(tmp_path / "elsewhere")
    assert workplace.merge() == 0
    assert "without the model of web" in capsys.readouterr().err
    rows = workplace.layout.metric_summary.read_text(encoding="utf-8-sig").splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["base", "social", "merged"]


def test_a_head_that_one_of_the_two_stores(tmp_path, tokenizer, refused):
    place = make_workplace(tmp_path, tokenizer, tied=True)
    tuned, file = tmp_path / "tuned", tmp_path / "tuned" / "model.safetensors"
    put_model(fine_tuned(place.base), tuned, "single")
    embedding, head = "backbone.embeddings.weight", "lm_head.weight"
    weights = load_file(file)

    save_file({**weights, head: weights[embedding].clone()}, file, {"format": "pt"})
    assert place.diff("web", "--model", str(tuned)) == 0
    assert [p["name"] for p in difference_of(place)[0]["parameters"]].count(embedding) == 1
    assert head not in difference_of(place)[1]
    save_file({**weights, head: weights[embedding] + 1}, file, {"format": "pt"})
    refused(place.diff("web", "--model", str(tuned)), "lm_head.weight", "tuned", "ties")

    save_file(weights, file, {"format": "pt"})  # and now the base stores it
    base = load_file(place.base / "model.safetensors")
    save_file({**base, head: base[embedding].clone()}, place.base / "model.safetensors", {"format": "pt"})
    assert place.diff("web", "--model", str(tuned)) == 0 and place.merge(*WEIGHT_1) == 0
    merged = weights_of(place.layout.merged_model)
    assert torch.equal(merged[head], merged[embedding]) and torch.equal(merged[embedding], weights[embedding])
    save_file({**base, head: base[embedding] + 1}, place.base / "model.safetensors", {"format": "pt"})
    refused(place.diff("web", "--model", str(tuned)), "lm_head.weight", "base", "ties")


def test_models_that_do_not_fit_are_refused(workplace, tmp_path, refused):
    tuned, file = tmp_path / "tuned", tmp_path / "tuned" / "model.safetensors"
    put_model(fine_tuned(workplace.base), tuned, "single")
    weights = load_file(file)
    norm, x_proj = "backbone.norm_f.weight", "backbone.layers.0.mixer.x_proj.weight"

    def answer(changed: dict) -> int:
        save_file(changed, file, {"format": "pt"})
        return workplace.diff("web", "--model", str(tuned))

    others = {name: value for name, value in weights.items() if name != norm}
    refused(
        answer({**others, "backbone.final_norm.weight": weights[norm], x_proj: torch.ones(3, 5)}),
        f"lacks {norm}",
        "adds backbone.final_norm.weight",
        f"{x_proj} is of shape [3, 5]",
    )
    rows = len(weights["lm_head.weight"])
    padded = {n: torch.cat([weights[n], weights[n][:8]]) for n in ("backbone.embeddings.weight", "lm_head.weight")}
    refused(answer({**weights, **padded}), f"{rows + 8} rows instead of {rows}", "resize_token_embeddings")
    refused(answer({**weights, norm: weights[norm].int()}), norm, "I32 instead of F32")
    refused(answer(weights_of(workplace.base)), "same values")
    refused(answer({**weights, norm: weights[norm] * torch.nan}), norm, "not finite", "tuned")
    file.unlink()
    refused(workplace.diff("web", "--model", str(tuned)), "holds no weights")
    refused(workplace.diff("web", "--model", str(tmp_path / "none")), "--model", "not a folder")
    put_adapter(trained(workplace.base, target_modules=["in_proj"]), tmp_path / "adapter", "bin")
    refused(workplace.diff("web", "--model", str(tmp_path / "adapter")), "is an adapter")
    assert not workplace.layout.diff_vector("web").exists()


def test_whole_numbers_must_be_equal(workplace, tmp_path, refused):
    put_model(fine_tuned(workplace.base), tmp_path / "tuned", "single")
    files = (workplace.base / "model.safetensors", tmp_path / "tuned" / "model.safetensors")
    for file in files:
        save_file({**load_file(file), "backbone.steps": torch.tensor([0])}, file, {"format": "pt"})
    assert workplace.diff("web", "--model", str(tmp_path / "tuned")) == 0
    save_file({**load_file(files[1]), "backbone.steps": torch.tensor([1])}, files[1], {"format": "pt"})
    refused(workplace.diff("web", "--model", str(tmp_path / "tuned")), "backbone.steps", "whole numbers")


def test_a_model_is_relative_to_the_current_directory(workplace, tmp_path, monkeypatch):
    put_model(fine_tuned(workplace.base), tmp_path / "tuned", "single")
    monkeypatch.chdir(tmp_path)
    assert workplace.diff("web", "--model", "tuned") == 0
    assert difference_of(workplace)[0]["source"]["path"] == str(tmp_path / "tuned")


def test_a_convolution_without_groups_is_merged_by_peft():
    """No causal language model has one; the module alone has to do."""
    torch.manual_seed(0)
    for convolution, dora in product((torch.nn.Conv1d(6, 8, 3), torch.nn.Conv2d(6, 8, 1)), (False, True)):
        module = torch.nn.Sequential(OrderedDict(conv=convolution))
        weight = convolution.weight.detach().clone()
        model = get_peft_model(module, LoraConfig(r=2, target_modules=["conv"], use_dora=dora, init_lora_weights=False))
        read = {"conv.weight": weight, "conv.bias": convolution.bias.detach()}.__getitem__
        (delta,) = sources._deltas(model.get_base_model(), read, Path("adapter"))
        change = torch.empty(matrix_shape(weight.shape))
        delta.rows(0, len(change), change)
        expected = model.double().merge_and_unload().conv.weight - weight
        torch.testing.assert_close(change.view(weight.shape).double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("extra", [{"modules_to_save": ["norm_f", "lm_head"]}, {"bias": "all"}], ids=["saved", "bias"])
def test_an_adapter_leaves_no_trace_in_the_evaluation_of_the_next(extra, tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer)
    put_base(place, config_of("mamba", len(tokenizer), use_bias=True))
    for domain, settings in (("web", extra), ("social", {})):
        put_adapter(trained(place.base, target_modules=["in_proj"], **settings), place.layout.adapter(domain), "bin")
        assert place.diff(domain) == 0

    def row_of_social(*options: str) -> str:
        assert place.merge(*options) == 0
        lines = place.layout.metric_summary.read_text(encoding="utf-8-sig").splitlines()
        return next(line for line in lines if line.startswith("social,"))

    assert row_of_social() == row_of_social("--merge.weights", "{social: 1.0}")
