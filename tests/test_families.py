"""Every family of models that `lora.target_modules: auto` knows, with random weights, through all three stages."""

import json
import re
import sys
from inspect import unwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_workplace
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.hub_kernels import use_kernel_func_from_hub_with_fallback

from dem import common, mamba
from dem.chunked_loss import use_chunked_loss
from dem.common import Precision
from dem.errors import RequestError

SIZES = {"hidden_size": 32, "num_hidden_layers": 4}
ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
MAMBA_2 = {"mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_chunk_size": 16}
FAMILIES = {
    "mamba": {"state_size": 4},
    "falcon_mamba": {"state_size": 4},
    "mamba2": {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 16},
    "jamba": {
        **ATTENTION,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "mamba_d_state": 4,
    },
    "zamba2": {
        **ATTENTION,
        "tie_word_embeddings": True,  # or its transformer blocks are not tied either
        "num_key_value_heads": 4,
        "num_hidden_layers": 6,
        "layers_block_type": ["mamba", "hybrid", "hybrid", "mamba", "hybrid", "hybrid"],
        "num_mem_blocks": 2,
        "mamba_d_state": 8,
        "n_mamba_heads": 4,
        "mamba_ngroups": 1,
        "chunk_size": 16,
        "adapter_rank": 4,
        "use_shared_attention_adapter": True,
    },
    "bamba": {**ATTENTION, **MAMBA_2, "attn_layer_indices": [1, 3]},
    "granitemoehybrid": {
        **ATTENTION,
        **MAMBA_2,
        "layer_types": ["mamba", "attention", "mamba", "attention"],
        "shared_intermediate_size": 48,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "logits_scaling": 4.0,
    },
    "falcon_h1": {**ATTENTION, **MAMBA_2, "mamba_d_ssm": 64, "lm_head_multiplier": 0.5},
    "nemotron_h": {
        **ATTENTION,
        "layers_block_type": ["mamba", "attention", "mlp", "moe"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 16,
        "n_routed_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 16,
        "moe_shared_expert_intermediate_size": 16,
    },
    "llama": ATTENTION,  # any other model
}
PEFTS_CHOICE = {"llama": {"q_proj", "v_proj"}}


def random_model(model_type, tokenizer):
    torch.manual_seed(0)
    ids = {name: getattr(tokenizer, name) for name in ("eos_token_id", "pad_token_id", "bos_token_id")}
    settings = {**SIZES, **ids, "tie_word_embeddings": False, **FAMILIES[model_type]}
    config = AutoConfig.for_model(model_type, **settings, vocab_size=len(tokenizer))
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(params=FAMILIES)
def place(request, tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer)
    (place.base / "model.safetensors").unlink()
    random_model(request.param, tokenizer).save_pretrained(place.base)
    place.model_type = request.param
    return place


def test_all_three_stages(place):
    for domain in ("web", "social"):
        assert place.train(domain) == 0
        assert place.diff(domain) == 0
    log = place.layout.train_log("web").read_text(encoding="utf-8")
    family = mamba.FAMILIES.get(place.model_type)
    targets = set(family.targets) if family else PEFTS_CHOICE[place.model_type]
    listed = {line.split()[2] for line in log.splitlines() if re.search(r" \d+/\d+ \(\d+%\) ", line)}
    assert listed == targets  # every target is in the tiny model, and in the table
    assert "loss: in chunks" in log
    assert family is None or f"{family.fused}: off" in log

    adapter = torch.load(place.layout.adapter("web") / "adapter_model.bin", weights_only=True)
    assert {n.split(".lora_")[0].rpartition(".")[2] for n in adapter} == targets
    assert all(t.any() and t.dtype == torch.float32 for t in adapter.values())

    assert place.merge() == 0
    base, merged = (load_file(f / "model.safetensors") for f in (place.base, place.layout.merged_model))
    assert base.keys() == merged.keys()
    expected = dict(base)
    for domain in ("web", "social"):
        vector = np.load(place.layout.diff_vector(domain))
        for p in json.loads(place.layout.diff_index(domain).read_text())["parameters"]:
            piece = vector[p["offset"] : p["offset"] + int(np.prod(p["shape"]))].reshape(p["shape"])
            expected[p["name"]] = expected[p["name"]] + 0.5 * torch.from_numpy(piece)
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7)
    assert sum(not torch.equal(merged[n], base[n]) for n in base) >= len(targets)
    assert_merged_equals_adapters_together(place)


def assert_merged_equals_adapters_together(place):
    """The written model answers like the base with both adapters on it, each at half its weight."""
    ids = torch.randint(3, 500, (2, 40), generator=torch.Generator().manual_seed(0))
    merged = AutoModelForCausalLM.from_pretrained(place.layout.merged_model).eval()
    model = AutoModelForCausalLM.from_pretrained(place.base).eval()
    with mamba.out_proj_allowed(), torch.no_grad():
        alone = model(ids).logits
        model = PeftModel.from_pretrained(model, place.layout.adapter("web"), adapter_name="web")
        model.load_adapter(place.layout.adapter("social"), adapter_name="social")
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.scaling = {name: 0.5 * scale for name, scale in module.scaling.items()}
        model.base_model.set_adapter(["web", "social"])
        together, written = model(ids).logits, merged(ids).logits
    torch.testing.assert_close(written, together, rtol=1e-3, atol=2e-4)
    assert (written - alone).abs().max() > 20 * (written - together).abs().max()


def test_half_precision_keeps_what_is_sensitive(place, monkeypatch):
    """bf16 with autocast, as on a GPU: A_log, D, norms and the adapter stay float32, and everything learns."""
    monkeypatch.setattr(common, "choose_precision", lambda _: Precision("bf16", torch.bfloat16, "for the test"))
    seen = {}
    load = common.load_model

    def remember(*args, **kwargs):
        model = load(*args, **kwargs)
        seen.update({name: p.dtype for name, p in model.named_parameters()})
        return model

    monkeypatch.setattr(common, "load_model", remember)
    assert place.train("web") == 0
    kept = {n for n, dtype in seen.items() if dtype == torch.float32}
    assert kept == {n for n in seen if n.endswith((".A_log", ".D")) or "norm" in n}
    assert any("norm" in n for n in kept) and len(kept) < len(seen)
    assert place.model_type == "llama" or any(n.endswith(".A_log") for n in kept)
    adapter = torch.load(place.layout.adapter("web") / "adapter_model.bin", weights_only=True)
    assert {t.dtype for t in adapter.values()} == {torch.float32}


@pytest.mark.parametrize("model_type", ["falcon_h1", "granitemoehybrid"])
def test_chunked_loss_knows_the_factor_on_the_logits(model_type, tokenizer):
    model = random_model(model_type, tokenizer)
    ids = torch.randint(3, 500, (2, 40), generator=torch.Generator().manual_seed(0))
    plain = model(input_ids=ids, labels=ids).loss
    assert "in chunks" in use_chunked_loss(model)
    torch.testing.assert_close(model(input_ids=ids, labels=ids).loss, plain, rtol=1e-6, atol=0)


@pytest.mark.parametrize("model_type", ["mamba2", "zamba2", "bamba", "granitemoehybrid", "falcon_h1", "nemotron_h"])
def test_conv1d_is_refused(model_type, tokenizer):
    with pytest.raises(RequestError, match="conv1d cannot train"):
        mamba.target_modules(random_model(model_type, tokenizer), ["in_proj", "conv1d"])


@pytest.mark.parametrize("model_type", sorted(set(mamba.FAMILIES) - {"jamba"}))  # whose mixer calls no fused kernel
def test_no_fused_kernel_passes_the_adapters_by(model_type, tokenizer, monkeypatch):
    code, fused = mamba._modeling(model_type), mamba.FAMILIES[model_type].fused
    monkeypatch.setattr(code, fused, bypass)
    assert "out_proj" not in without_gradient(random_model(model_type, tokenizer))

    monkeypatch.setattr(code, fused, bypass)  # and without our change it does
    monkeypatch.setattr(mamba, "remove_fused_kernel", lambda model_type: None)
    assert "out_proj" in without_gradient(random_model(model_type, tokenizer))


def bypass(projected, *weights, outproj_weight=None, **others):
    """Reads the raw weight of out_proj, as the CUDA kernels do; what it computes does not matter."""
    if outproj_weight is None:  # Mamba-1's kernel: channels before time, and every weight by position
        projected, outproj_weight = projected.transpose(1, 2), weights[4]
    return projected[..., : outproj_weight.shape[1]] @ outproj_weight.t()


def without_gradient(model) -> set[str]:
    """The targets whose adapters got no gradient."""
    with mamba.out_proj_allowed():
        model = get_peft_model(model, LoraConfig(r=2, target_modules=["in_proj", "out_proj"], task_type="CAUSAL_LM"))
    ids = torch.randint(3, 500, (2, 20), generator=torch.Generator().manual_seed(0))
    model.train()(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    factors = {n: p.grad for n, p in model.named_parameters() if "lora_B" in n}
    return {n.split(".lora_B")[0].rpartition(".")[2] for n, g in factors.items() if g is None or not g.any()}


KERNELS = {
    "causal_conv1d_fn",
    "causal_conv1d_update",
    "mamba_selective_scan",
    "mamba_selective_state_update",
    "mamba2_chunk_scan",
    "mamba2_selective_state_update",
}


@pytest.mark.parametrize("model_type", sorted(mamba.FAMILIES))
@pytest.mark.parametrize("by_kernels", [False, True], ids=["", "kernels"])
def test_without_a_gpu_installed_kernels_stay_unused(model_type, by_kernels, tokenizer, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code = mamba._modeling(model_type)
    for name in KERNELS & vars(code).keys():
        installed = with_cuda_only_kernel(unwrap(getattr(code, name)), monkeypatch)
        monkeypatch.setattr(code, name, as_the_package_kernels_has_it(installed) if by_kernels else installed)
    model = random_model(model_type, tokenizer).eval()
    ids = torch.randint(3, 500, (2, 20), generator=torch.Generator().manual_seed(0))
    with pytest.raises(RuntimeError, match="is_cuda"):
        model(ids)
    for _ in range(2):  # stage 3 loads several models
        lines = mamba.prepare(model_type)
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    model.generate(ids, do_sample=False, max_new_tokens=3, min_new_tokens=3)
    assert "causal_conv1d_fn: transformers' PyTorch code (no GPU here)" in lines


def with_cuda_only_kernel(torch_code, monkeypatch):
    """What transformers makes of its PyTorch code where the package of a kernel can be imported."""

    def kernel(*args, **kwargs):
        raise RuntimeError("Expected x.is_cuda() to be true")

    monkeypatch.setitem(sys.modules, "causal_conv1d", SimpleNamespace(causal_conv1d_fn=kernel))
    return use_kernel_func_from_hub_with_fallback("causal_conv1d_fn", "causal_conv1d")(torch_code)


def as_the_package_kernels_has_it(func):
    class Func(torch.nn.Module):
        def forward(self, *args, **kwargs):
            return func(*args, **kwargs)

    return Func()
