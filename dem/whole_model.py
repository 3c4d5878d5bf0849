"""What the folder of a full model must not hold: an adapter beside the model, or weights that are quantised."""

import json
from pathlib import Path
from typing import Any

from dem.errors import RequestError

ADAPTER = "adapter_config.json"
"""The file by which transformers finds an adapter in a model's folder, and attaches it when it loads the model."""

QUANTIZED = "quantization_config"
"""The key of config.json, or of a part of it, that says how the weights are quantised."""


def require_whole(folder: Path, what: str) -> None:
    """Refuse a folder of which transformers would load more than the model, or none that can be added to.

    Args:
        folder: the model's.
        what: how the user named it, such as "base_model X".

    Raises:
        RequestError: an adapter lies in it, alone or beside the model, or its config.json says that it is quantised.
    """
    config = _config(folder)
    if (folder / ADAPTER).is_file():
        if not config:
            raise RequestError(f"{what} is an adapter ({ADAPTER}), not a full model: give the model that it belongs to")
        raise RequestError(
            f"{what} holds an adapter ({ADAPTER}) beside the model, and transformers attaches it whenever it loads the "
            "model: move the adapter's files out of the folder, or save the model with the adapter merged into it "
            "(PEFT's merge_and_unload, then save_pretrained)"
        )
    if (found := _quantization(config)) is not None:
        raise RequestError(
            f"{what} is quantised ({QUANTIZED} in its config.json: {_method(found)}), and a difference cannot be added "
            "to quantised weights: give the release in 16 or 32 bits, or save a dequantised one "
            "(AutoModelForCausalLM.from_pretrained(...).dequantize(), then save_pretrained)"
        )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # transformers, asked next, says what is wrong with it
        return {}
    return config if isinstance(config, dict) else {}


def _quantization(config: dict[str, Any]) -> Any:
    """How the model is quantised, or its text part within a model of several; None if neither is."""
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    return next((part[QUANTIZED] for part in parts if part.get(QUANTIZED) is not None), None)


def _method(quantization: Any) -> str:
    """The name of the method, as far as one is given; bitsandbytes' older configs only have its switches."""
    given = quantization if isinstance(quantization, dict) else {}
    switches = [name for name in ("load_in_4bit", "load_in_8bit") if given.get(name)]
    return ", ".join([str(given.get("quant_method", "no method named")), *switches])
