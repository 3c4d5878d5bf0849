"""Native mamba_ssm checkpoints as bases: against mamba_ssm's own arithmetic, and against transformers' checkpoints."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_adapter, make_workplace
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Mamba2Config, MambaConfig

from dem import common
from dem.checkpoints import Checkpoint
from dem.common import load_model
from dem.errors import RequestError

VOCABULARY = 600  # of the tests' tokenizer; padded to a multiple of 16 it is 608

UNUSUAL = {
    "Mamba1": {"d_state": 5, "d_conv": 3, "expand": 3, "dt_rank": 7, "bias": True, "conv_bias": False, "dt_min": 0.01},
    "Mamba2": {
        "d_state": 6,
        "d_conv": 3,
        "expand": 3,
        "headdim": 8,
        "d_ssm": 96,  # all of expand * d_model, said aloud
        "ngroups": 2,
        "chunk_size": 4,
        "dt_limit": [0.01, 0.6],
        "bias": True,
        "conv_bias": False,
        "use_mem_eff_path": False,
    },
}


def native_config(layer: str, ssm_cfg: dict, tied=True, **others) -> dict:
    """A config.json as mamba_ssm 2 writes it. Its Mamba-1 layer is the one without a name."""
    return {
        "d_model": 32,
        "d_intermediate": 0,
        "n_layer": 2,
        "vocab_size": VOCABULARY,
        "ssm_cfg": {"layer": layer, **ssm_cfg} if layer == "Mamba2" else dict(ssm_cfg),
        "attn_layer_idx": [],
        "attn_cfg": {},
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 16,
        "tie_embeddings": tied,
        **others,
    }


def native_settings(config: dict) -> dict:
    """The layer's settings with the defaults that mamba_ssm's two classes give them."""
    given = dict(config["ssm_cfg"])
    if given.pop("layer", "Mamba1") == "Mamba1":
        settings = {"d_state": 16, "d_conv": 4, "expand": 2, "dt_rank": math.ceil(config["d_model"] / 16)}
    else:
        settings = {"d_state": 128, "d_conv": 4, "expand": 2, "headdim": 64, "ngroups": 1, "dt_limit": [0, math.inf]}
        settings["chunk_size"] = 256
    return {**settings, "bias": False, "conv_bias": True, **given}


def native_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Names and shapes of MambaLMHeadModel's parameters, in its order."""
    s, d, vocabulary = native_settings(config), config["d_model"], 608
    inner = s["expand"] * d
    shapes = {"backbone.embedding.weight": (vocabulary, d)}
    for i in range(config["n_layer"]):
        if config["ssm_cfg"].get("layer") == "Mamba2":
            heads, groups = inner // s["headdim"], 2 * s["ngroups"] * s["d_state"]
            mixer = {"dt_bias": (heads,), "A_log": (heads,), "D": (heads,)}
            mixer["in_proj.weight"] = (2 * inner + groups + heads, d)
            mixer |= {"conv1d.weight": (inner + groups, 1, s["d_conv"]), "norm.weight": (inner,)}
        else:
            mixer = {"A_log": (inner, s["d_state"]), "D": (inner,), "in_proj.weight": (2 * inner, d)}
            mixer |= {"conv1d.weight": (inner, 1, s["d_conv"])}
            mixer |= {"x_proj.weight": (s["dt_rank"] + 2 * s["d_state"], inner)}
            mixer |= {"dt_proj.weight": (inner, s["dt_rank"]), "dt_proj.bias": (inner,)}
        if s["conv_bias"]:
            mixer["conv1d.bias"] = mixer["conv1d.weight"][:1]
        mixer["out_proj.weight"] = (d, inner)
        if s["bias"]:
            mixer |= {"in_proj.bias": mixer["in_proj.weight"][:1], "out_proj.bias": (d,)}
        shapes |= {f"backbone.layers.{i}.mixer.{name}": shape for name, shape in mixer.items()}
        shapes[f"backbone.layers.{i}.norm.weight"] = (d,)
    return {**shapes, "backbone.norm_f.weight": (d,), "lm_head.weight": (vocabulary, d)}


def make_native(folder: Path, config: dict, dtype=torch.float32, in_fp32: tuple[str, ...] = ()) -> dict:
    """Write a native checkpoint of random weights, none of them 0 or 1, and return its tensors."""
    torch.manual_seed(3)
    weights = {}
    for name, shape in native_shapes(config).items():
        kind = torch.float32 if name.endswith(in_fp32) and in_fp32 else dtype
        about = 1.0 if "norm" in name or name.endswith((".D", "A_log")) else 0.0
        weights[name] = (about + 0.3 * torch.randn(shape)).to(kind)
    if config.get("tie_embeddings", True):
        weights["lm_head.weight"] = weights["backbone.embedding.weight"]  # one storage, as torch.save keeps it
    folder.mkdir(exist_ok=True)
    for file in [*folder.glob("*.safetensors*"), *folder.glob("*config.json")]:
        if file.name != "tokenizer_config.json":
            file.unlink()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(weights, folder / "pytorch_model.bin")
    return weights


def make_twin(folder: Path, native: dict, config: dict, tokenizer) -> Path:
    """The same weights as transformers itself saves them."""
    s = native_settings(config)
    common = {
        "vocab_size": 608,
        "hidden_size": config["d_model"],
        "num_hidden_layers": config["n_layer"],
        "state_size": s["d_state"],
        "conv_kernel": s["d_conv"],
        "expand": s["expand"],
        "use_bias": s["bias"],
        "use_conv_bias": s["conv_bias"],
        "tie_word_embeddings": config["tie_embeddings"],
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    if config["ssm_cfg"].get("layer") == "Mamba2":
        heads = s["expand"] * config["d_model"] // s["headdim"]
        twin_config = Mamba2Config(
            num_heads=heads,
            head_dim=s["headdim"],
            n_groups=s["ngroups"],
            time_step_limit=s["dt_limit"],
            chunk_size=s["chunk_size"],
            **common,
        )
    else:
        twin_config = MambaConfig(time_step_rank=s["dt_rank"], **common)
    model = AutoModelForCausalLM.from_config(twin_config).to(native["backbone.embedding.weight"].dtype)
    model.load_state_dict({n.replace("embedding.", "embeddings."): t for n, t in native.items()})
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def mamba_ssm_logits(weights: dict, config: dict, ids: list[int]) -> torch.Tensor:
    """What MambaLMHeadModel computes, step by step in float64, from a native checkpoint's own names.

    The blocks are those of mamba_ssm/modules/block.py without fusion: add, norm, mixer, the residual beside.
    """
    w = {name: tensor.double() for name, tensor in weights.items()}
    mixer = _mamba2 if config["ssm_cfg"].get("layer") == "Mamba2" else _mamba1
    hidden, residual = w["backbone.embedding.weight"][ids], 0
    for i in range(config["n_layer"]):
        layer = f"backbone.layers.{i}."
        own = {n.removeprefix(layer + "mixer."): t for n, t in w.items() if n.startswith(layer + "mixer.")}
        residual = hidden + residual
        hidden = mixer(_rms_norm(residual, w[layer + "norm.weight"]), own, native_settings(config))
    hidden = _rms_norm(hidden + residual, w["backbone.norm_f.weight"])
    return hidden @ w["lm_head.weight"].T


def _rms_norm(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def _convolution(x, w):
    width = w["conv1d.weight"].shape[-1]
    padded = torch.cat([x.new_zeros(width - 1, x.shape[1]), x])
    y = sum(padded[k : k + len(x)] * w["conv1d.weight"][:, 0, k] for k in range(width))
    return F.silu(y + w.get("conv1d.bias", 0))


def _mamba1(u, w, s):
    x, z = (u @ w["in_proj.weight"].T + w.get("in_proj.bias", 0)).chunk(2, dim=-1)
    x = _convolution(x, w)
    dt, B, C = (x @ w["x_proj.weight"].T).split([s["dt_rank"], s["d_state"], s["d_state"]], dim=-1)
    dt = F.softplus(dt @ w["dt_proj.weight"].T + w["dt_proj.bias"])
    A, h, y = -w["A_log"].exp(), 0, []
    for t in range(len(u)):
        h = (dt[t][:, None] * A).exp() * h + (dt[t] * x[t])[:, None] * B[t]
        y.append(h @ C[t] + w["D"] * x[t])
    return (torch.stack(y) * F.silu(z)) @ w["out_proj.weight"].T + w.get("out_proj.bias", 0)


def _mamba2(u, w, s):
    inner, groups = s["expand"] * u.shape[1], s["ngroups"]
    heads, n = inner // s["headdim"], s["d_state"]
    projected = u @ w["in_proj.weight"].T + w.get("in_proj.bias", 0)
    z, xBC, dt = projected.split([inner, inner + 2 * groups * n, heads], dim=-1)
    x, B, C = _convolution(xBC, w).split([inner, groups * n, groups * n], dim=-1)
    x = x.view(-1, heads, s["headdim"])
    B, C = (v.view(-1, groups, n).repeat_interleave(heads // groups, dim=1) for v in (B, C))
    dt = F.softplus(dt + w["dt_bias"]).clamp(*s["dt_limit"])
    A, h, y = -w["A_log"].exp(), 0, []
    for t in range(len(u)):
        grown = (dt[t][:, None] * x[t])[:, :, None] * B[t][:, None, :]
        h = (dt[t] * A).exp()[:, None, None] * h + grown
        y.append((h @ C[t][:, :, None])[:, :, 0] + w["D"][:, None] * x[t])
    y = (torch.stack(y).view(len(u), inner) * F.silu(z)).view(len(u), groups, -1)
    y = (y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt()).view(len(u), inner) * w["norm.weight"]
    return y @ w["out_proj.weight"].T + w.get("out_proj.bias", 0)


IDS = torch.randint(0, VOCABULARY, (21,), generator=torch.Generator().manual_seed(1)).tolist()


def logits_of(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS])).logits[0]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("settings", ["default", "unusual"])
@pytest.mark.parametrize("layer", ["Mamba1", "Mamba2"])
def test_logits_are_mamba_ssms(tmp_path, layer, settings, tied):
    config = native_config(layer, UNUSUAL[layer] if settings == "unusual" else {}, tied)
    weights = make_native(tmp_path / "base", config)
    model = load_model(tmp_path / "base", torch.float32, kernels="auto")
    expected = mamba_ssm_logits(weights, config, IDS)
    assert expected.shape == (21, 608) and expected.std() > 0.1
    torch.testing.assert_close(logits_of(model).double(), expected, rtol=1e-4, atol=1e-4)
    assert (model.lm_head.weight is model.backbone.embeddings.weight) is tied


@pytest.mark.parametrize("layer", ["Mamba1", "Mamba2"])
def test_what_a_config_leaves_out_is_as_in_mamba_ssm(tmp_path, layer):
    """The config.json of mamba_ssm 1 had eight keys, all with defaults; a file by hand may have fewer."""
    config = {"d_model": 32, "n_layer": 2}
    full = {**config, "vocab_size": 50277, "ssm_cfg": {}}
    if layer == "Mamba2":
        config["ssm_cfg"] = full["ssm_cfg"] = {"layer": "Mamba2"}
    make_native(tmp_path, config | full)
    (tmp_path / "config.json").write_text(json.dumps(config))
    converted = common.model_config(tmp_path)
    assert converted.vocab_size == 50280 and converted.tie_word_embeddings and converted.residual_in_fp32
    assert converted.layer_norm_epsilon == 1e-5 and converted.hidden_act == "silu"
    assert (converted.conv_kernel, converted.expand, converted.use_bias, converted.use_conv_bias) == (4, 2, False, True)
    if layer == "Mamba2":
        assert (converted.state_size, converted.head_dim, converted.num_heads, converted.n_groups) == (128, 64, 1, 1)
        assert converted.chunk_size == 256 and list(converted.time_step_limit) == [0, math.inf]
    else:
        assert (converted.state_size, converted.time_step_rank) == (16, 2)
    (tmp_path / "config.json").write_text(json.dumps({**config, "residual_in_fp32": False}))
    assert common.model_config(tmp_path).residual_in_fp32 is False


@pytest.fixture
def place(tmp_path, tokenizer):
    return make_workplace(tmp_path, tokenizer)


def outputs_of(place) -> dict:
    """What the three stages of one domain make of the base."""
    assert place.train("web", "--overwrite") == 0 and place.diff("web") == 0
    assert place.merge("--domains", "[web]", "--merge.weights", "{web: 0.5}") == 0
    layout = place.layout
    with layout.metric_summary.open(encoding="utf-8") as file:
        metrics = list(csv.reader(file))
    return {
        "adapter_config": json.loads((layout.adapter("web") / "adapter_config.json").read_text()),
        "adapter": torch.load(layout.adapter("web") / "adapter_model.bin", weights_only=True),
        "index": json.loads(layout.diff_index("web").read_text()),
        "vector": np.load(layout.diff_vector("web")),
        "merged": load_file(layout.merged_model / "model.safetensors"),
        "metrics": metrics,
    }


@pytest.mark.parametrize(
    ("layer", "tied", "dtype"),
    [("Mamba1", True, torch.bfloat16), ("Mamba1", False, torch.float32), ("Mamba2", True, torch.float32)],
    ids=["tied-bf16", "untied-fp32", "Mamba2"],
)
def test_all_stages_give_what_they_give_for_transformers_checkpoint(place, tokenizer, layer, tied, dtype):
    config = native_config(layer, UNUSUAL[layer], tied)
    weights = make_native(place.base, config, dtype)
    native = outputs_of(place)
    files = {p.name for p in place.layout.merged_model.iterdir()}
    merged_logits = logits_of(AutoModelForCausalLM.from_pretrained(place.layout.merged_model, dtype=torch.float32))
    written = json.loads((place.layout.merged_model / "config.json").read_text())

    make_twin(place.base, weights, config, tokenizer)
    twin = outputs_of(place)
    assert native["adapter_config"]["base_model_name_or_path"] is None  # and so no name that PEFT would ask the hub for
    assert native["adapter"].keys() == twin["adapter"].keys()
    assert all("lora_" in name for name in native["adapter"])  # the padded vocabulary is no resized embedding
    assert native["index"]["base"]["fingerprint"] == twin["index"]["base"]["fingerprint"]
    assert native["index"]["parameters"] == twin["index"]["parameters"]
    assert np.array_equal(native["vector"], twin["vector"]) and np.abs(native["vector"]).max() > 0
    assert native["merged"].keys() == twin["merged"].keys()
    assert ("lm_head.weight" in native["merged"]) is not tied
    for name, tensor in twin["merged"].items():
        assert native["merged"][name].dtype == dtype and torch.equal(native["merged"][name], tensor), name
    assert native["metrics"] == twin["metrics"]

    model, report = AutoModelForCausalLM.from_pretrained(place.layout.merged_model, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(logits_of(model.float()), merged_logits)
    assert files == {p.name for p in place.layout.merged_model.iterdir()}
    theirs = json.loads((place.layout.merged_model / "config.json").read_text())
    assert written == theirs


def test_what_mamba_ssm_saves_in_float32_is_trained_on_in_float32(tmp_path):
    weights = make_native(tmp_path, native_config("Mamba1", {}), torch.bfloat16, in_fp32=("A_log", ".D"))
    model = load_model(tmp_path, torch.bfloat16, kernels="auto", to_train=True)
    for name, tensor in model.state_dict().items():
        if name.endswith((".A_log", ".D")):
            assert tensor.dtype == torch.float32 and torch.equal(tensor, weights[name])
    assert model.lm_head.weight.dtype == torch.bfloat16


def test_merged_mamba2_loads_plainly_and_keeps_the_other_bytes(place, tokenizer):
    config = native_config("Mamba2", UNUSUAL["Mamba2"])
    weights = make_native(place.base, config, torch.bfloat16, in_fp32=("A_log", ".D"))
    twin = make_twin(place.root.parent / "twin", weights, config, tokenizer)
    make_adapter(twin, place.layout.adapter("web"), seed=1, targets=["in_proj"])
    assert place.diff("web") == 0
    assert place.merge("--merge.weights", "{web: 1.0}", "--evaluation.enabled", "false") == 0
    merged = load_file(place.layout.merged_model / "model.safetensors")
    del weights["lm_head.weight"]
    assert merged.keys() == {name.replace("embedding.", "embeddings.") for name in weights}
    for name, tensor in weights.items():
        after = merged[name.replace("embedding.", "embeddings.")]
        assert after.dtype == tensor.dtype and torch.equal(after, tensor) is not name.endswith("in_proj.weight"), name

    model, report = AutoModelForCausalLM.from_pretrained(place.layout.merged_model, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.dtype == torch.bfloat16 and model.config.time_step_limit == [0.01, 0.6]
    named = {n.replace("embeddings.", "embedding."): t for n, t in merged.items()}
    named["lm_head.weight"] = named["backbone.embedding.weight"]
    model = load_model(place.layout.merged_model, torch.float32, kernels="auto")
    torch.testing.assert_close(logits_of(model).double(), mamba_ssm_logits(named, config, IDS), rtol=1e-4, atol=1e-4)
    assert AutoTokenizer.from_pretrained(place.layout.merged_model).vocab_size == VOCABULARY


def test_a_tied_head_counts_once_however_it_was_saved(tmp_path):
    weights = make_native(tmp_path, native_config("Mamba1", {}))
    expected = sum(t.numel() for n, t in weights.items() if n != "lm_head.weight")
    logits, fingerprint = (
        logits_of(load_model(tmp_path, torch.float32, kernels="auto")),
        Checkpoint(tmp_path).fingerprint(),
    )
    for left_out in ((), ("lm_head.weight",), ("backbone.embedding.weight",)):
        saved = {n: t.clone() for n, t in weights.items() if n not in left_out}
        torch.save(saved, tmp_path / "pytorch_model.bin")
        checkpoint = Checkpoint(tmp_path)
        assert checkpoint.parameters() == expected and checkpoint.size() == 4 * expected
        assert checkpoint.fingerprint() == fingerprint
        assert "lm_head.weight" not in checkpoint
        assert torch.equal(logits_of(load_model(tmp_path, torch.float32, kernels="auto")), logits)
    weights["lm_head.weight"] = weights["lm_head.weight"] + 1
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(RequestError, match="pytorch_model.bin.*lm_head.weight.*tie_embeddings"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rms_norm": False}, ("rms_norm", "LayerNorm")),
        ({"d_intermediate": 64}, ("d_intermediate", "MLP")),
        ({"attn_layer_idx": [1], "attn_cfg": {"num_heads": 2}}, ("attn_layer_idx", "attention")),
        ({"ssm_cfg": {"layer": "Mamba3"}}, ("ssm_cfg.layer", "Mamba3")),
        ({"ssm_cfg": {"layer": ["Mamba2"]}}, ("ssm_cfg.layer",)),
        ({"ssm_cfg": {"headdim": 64}}, ("ssm_cfg.headdim", "unknown")),
        ({"ssm_cfg": {"layer": "Mamba2", "dt_rank": 2}}, ("ssm_cfg.dt_rank", "unknown")),
        ({"ssm_cfg": {"layer": "Mamba2", "d_ssm": 32, "headdim": 8}}, ("ssm_cfg.d_ssm", "32")),
        ({"ssm_cfg": {"layer": "Mamba2", "rmsnorm": False}}, ("ssm_cfg.rmsnorm",)),
        ({"ssm_cfg": {"layer": "Mamba2", "norm_before_gate": True}}, ("ssm_cfg.norm_before_gate",)),
        ({"ssm_cfg": {"layer": "Mamba2", "D_has_hdim": True}}, ("ssm_cfg.D_has_hdim",)),
        ({"ssm_cfg": {"layer": "Mamba2", "headdim": 48}}, ("num_heads",)),
        ({"ssm_cfg": {"expand": 1.5}}, ("expand",)),
        ({"ssm_cfg": "Mamba2"}, ("ssm_cfg",)),
        ({"bidirectional": True, "rms_norm": False}, ("bidirectional", "unknown", "rms_norm")),
        ({"d_model": "32"}, ("config.json", 'd_model "32"')),
        ({"d_model": "32", "ssm_cfg": {"expand": "2"}}, ("config.json",)),
        ({"vocab_size": None}, ("vocab_size null",)),
        ({"pad_vocab_size_multiple": 0}, ("pad_vocab_size_multiple 0",)),
        ({"residual_in_fp32": "yes"}, ("residual_in_fp32", "bool")),
    ],
)
def test_what_transformers_cannot_express_is_refused_by_name(place, capsys, change, words):
    make_native(place.base, native_config("Mamba1", {}))
    config = json.loads((place.base / "config.json").read_text())
    (place.base / "config.json").write_text(json.dumps(config | change))
    assert place.train("web") == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ") and str(place.base) in line
    assert all(word in line for word in words), line
    assert not place.layout.adapter("web").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"backbone.layers.1.mixer.D": None}, "lacks.*layers.1.mixer.D"),
        ({"backbone.layers.1.mixer.in_proj.bias": torch.ones(128)}, "in_proj.bias.*config.json"),
        ({"backbone.embedding.weight": torch.ones(600, 32), "lm_head.weight": torch.ones(600, 32)}, "cannot be loaded"),
    ],
    ids=["missing", "unexpected", "not padded"],
)
def test_weights_that_do_not_fit_the_config_are_refused(tmp_path, changed, words):
    weights = make_native(tmp_path, native_config("Mamba1", {})) | changed
    torch.save({n: t for n, t in weights.items() if t is not None}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RequestError, match=words):
        load_model(tmp_path, torch.float32, kernels="auto")


def test_a_folder_without_native_weights_or_with_code_in_them_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("executed",))

    weights = make_native(tmp_path, native_config("Mamba1", {}))
    torch.save({**weights, "lm_head.weight": Bomb()}, tmp_path / "pytorch_model.bin")
    for read in (Checkpoint, lambda folder: load_model(folder, torch.float32, kernels="auto")):
        with pytest.raises(RequestError, match="pytorch_model.bin cannot be read"):
            read(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(RequestError, match="pytorch_model.bin"):
        Checkpoint(tmp_path)


def test_tokenizer_files_are_asked_for(place, capsys):
    make_native(place.base, native_config("Mamba1", {}))
    for file in place.base.glob("tokenizer*"):
        file.unlink()
    assert place.train("web") == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "holds no tokenizer" in line and str(place.base) in line and "put tokenizer files" in line


@pytest.mark.parametrize("others", [(), ("model.safetensors",)], ids=["bin only", "safetensors too"])
def test_native_weights_are_downloaded(tmp_path, monkeypatch, others):
    on_the_hub = tmp_path / "hub"
    make_native(on_the_hub, native_config("Mamba1", {}))
    for name in others:
        (on_the_hub / name).write_bytes(b"converted by someone")
    copy = tmp_path / "copy"
    copy.mkdir()

    def snapshot_download(name, allow_patterns):
        assert name == "lab/mamba"
        for file in on_the_hub.iterdir():
            if any(file.match(pattern) for pattern in allow_patterns):
                shutil.copy(file, copy)
        return str(copy)

    monkeypatch.setattr(common, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    folder = common.base_folder("lab/mamba")
    assert (folder / "pytorch_model.bin").is_file()
    assert load_model(folder, torch.float32, kernels="auto").config.vocab_size == 608
