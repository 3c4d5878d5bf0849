"""Checkpoints of mamba_ssm's own format (`MambaLMHeadModel`), told in transformers' terms.

Such a folder holds a config.json without `model_type` and a pytorch_model.bin. transformers' Mamba and Mamba2 compute
the same from the same tensors; the configuration is worded differently, and one tensor has another name.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError

from dem.errors import RequestError
from dem.reading import read_json

if TYPE_CHECKING:
    from transformers import Mamba2Config, MambaConfig

WEIGHTS = "pytorch_model.bin"
"""The one file from which mamba_ssm loads weights."""

NATIVE_EMBEDDING, EMBEDDING, HEAD = "backbone.embedding.weight", "backbone.embeddings.weight", "lm_head.weight"


@dataclass(frozen=True)
class Layer:
    """A layer of mamba_ssm, by the arguments of its class, which `ssm_cfg` sets."""

    config: str
    """transformers' configuration of a model of such layers, by the name of its class."""
    settings: dict[str, tuple[str, Any]]
    """transformers' name of each setting, and mamba_ssm's default."""
    fixed: dict[str, tuple[tuple, str]]
    """The only values that transformers' layer can have, and what another would mean."""
    unused: set[str]
    """What only first values or speed depend on, and so nothing that the finished model computes."""


BOTH_LAYERS = {
    "d_conv": ("conv_kernel", 4),
    "expand": ("expand", 2),
    "conv_bias": ("use_conv_bias", True),
    "bias": ("use_bias", False),
}
LAYERS = {
    "Mamba1": Layer(
        "MambaConfig",
        {**BOTH_LAYERS, "d_state": ("state_size", 16), "dt_rank": ("time_step_rank", "auto")},
        {},
        {"dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "use_fast_path"},
    ),
    "Mamba2": Layer(
        "Mamba2Config",
        {
            **BOTH_LAYERS,
            "d_state": ("state_size", 128),
            "headdim": ("head_dim", 64),
            "ngroups": ("n_groups", 1),
            "chunk_size": ("chunk_size", 256),
            "dt_limit": ("time_step_limit", (0.0, float("inf"))),
        },
        {
            "d_ssm": ((None,), "channels past the scan"),
            "rmsnorm": ((True,), "no norm before out_proj"),
            "norm_before_gate": ((False,), "the norm before the gate"),
            "D_has_hdim": ((False,), "a D of each channel"),
        },
        {"conv_init", "A_init_range", "dt_min", "dt_max", "dt_init_floor", "use_mem_eff_path", "sequence_parallel"},
    ),
}
MODEL = {
    "vocab_size": 50277,
    "pad_vocab_size_multiple": 8,
    "ssm_cfg": {},
    "residual_in_fp32": True,
    "tie_embeddings": True,
}
"""The settings around the layers, with mamba_ssm's defaults; d_model and n_layer have to be given."""

MODEL_FIXED = {
    "rms_norm": ((True,), "LayerNorm"),
    "d_intermediate": ((0,), "an MLP in each block"),
    "attn_layer_idx": (([], None), "attention layers"),
}
MODEL_KEYS = {"d_model", "n_layer", *MODEL, *MODEL_FIXED, "attn_cfg", "fused_add_norm"}


def transformers_config(folder: Path) -> "MambaConfig | Mamba2Config | None":
    """transformers' configuration of the native checkpoint in `folder`; None if there is none.

    A native configuration names no special tokens, and neither does this one: they are the tokenizer's.

    Raises:
        RequestError: transformers has no such model. All that it lacks is named together.
    """
    native = _native_config(folder)
    if native is None:
        return None
    try:
        return _converted({**MODEL, **native})
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise RequestError(
            f"{folder / 'config.json'} is of a mamba_ssm model that transformers cannot express: {error}"
        ) from None


def transformers_weights(weights: dict[str, torch.Tensor], tied: bool, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the native file `path` by transformers' names; a tied head, often saved too, is left out.

    Raises:
        RequestError: a tied head is not the embedding.
    """
    other_names = {NATIVE_EMBEDDING: EMBEDDING, HEAD: EMBEDDING} if tied else {NATIVE_EMBEDDING: EMBEDDING}
    named: dict[str, torch.Tensor] = {}
    for native_name, tensor in weights.items():
        name = other_names.get(native_name, native_name)
        if name in named and not torch.equal(named[name], tensor):
            raise RequestError(
                f"{path}: {HEAD} is not the embedding, to which config.json ties it: set tie_embeddings to false there"
            )
        named.setdefault(name, tensor)
    return named


def _native_config(folder: Path) -> dict[str, Any] | None:
    try:
        config = read_json(folder / "config.json")
    except RequestError:  # transformers, asked next, says what is wrong with it
        return None
    is_native = "model_type" not in config and {"d_model", "n_layer"} <= config.keys()
    return config if is_native else None


def _converted(native: dict[str, Any]) -> "MambaConfig | Mamba2Config":
    ssm, layer = _layer(native)
    sizes = {key: native[key] for key in ("d_model", "n_layer", "vocab_size", "pad_vocab_size_multiple")}
    sizes |= {f"ssm_cfg.{k}": ssm[k] for k, (_, default) in layer.settings.items() if type(default) is int}
    mistakes = [
        *_mistakes(native, MODEL_KEYS, MODEL_FIXED, ""),
        *_mistakes(ssm, {*layer.settings, *layer.fixed, *layer.unused}, layer.fixed, "ssm_cfg."),
        *(
            f"{key} {json.dumps(n)} (not a whole number above 0)"
            for key, n in sizes.items()
            if type(n) is not int or n < 1
        ),
    ]
    if mistakes:
        raise ValueError("; ".join(mistakes))
    settings = {name: ssm[key] for key, (name, _) in layer.settings.items()}
    if layer.config == "Mamba2Config":
        settings["num_heads"] = ssm["expand"] * native["d_model"] // ssm["headdim"]
    return getattr(transformers, layer.config)(
        hidden_size=native["d_model"],
        num_hidden_layers=native["n_layer"],
        vocab_size=native["vocab_size"] + -native["vocab_size"] % native["pad_vocab_size_multiple"],
        residual_in_fp32=native["residual_in_fp32"],
        tie_word_embeddings=native["tie_embeddings"],
        layer_norm_epsilon=1e-5,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        architectures=[layer.config.replace("Config", "ForCausalLM")],
        **settings,
    )


def _layer(native: dict[str, Any]) -> tuple[dict[str, Any], Layer]:
    """All settings of the layer, and which it is."""
    ssm = native["ssm_cfg"] or {}
    if not isinstance(ssm, dict):
        raise ValueError(f"ssm_cfg {json.dumps(ssm)} (not an object)")
    name = ssm.get("layer", "Mamba1")
    if name not in list(LAYERS):
        raise ValueError(f"ssm_cfg.layer {json.dumps(name)} (not one of {', '.join(LAYERS)})")
    layer = LAYERS[name]
    ssm = {key: default for key, (_, default) in layer.settings.items()} | ssm
    ssm.pop("layer", None)
    if ssm.get("d_ssm") == ssm["expand"] * native["d_model"]:
        del ssm["d_ssm"]  # all of the width, as when it is not given
    return ssm, layer


def _mistakes(given: dict[str, Any], known: set[str], fixed: dict[str, tuple[tuple, str]], place: str) -> list[str]:
    """The keys of `given` that are not known, and those of a value that is not among the `fixed` ones."""
    unknown = [f"{place}{key} (unknown)" for key in given if key not in known]
    other = [
        (key, given[key], meaning) for key, (only, meaning) in fixed.items() if given.get(key, only[0]) not in only
    ]
    return unknown + [f"{place}{key} {json.dumps(value)} ({meaning})" for key, value, meaning in other]
