"""What transformers makes of a model's folder, as a user loads it: the tokenizer, and the model with all its keys.

No weight is read: the model's parameters and the stored tensors are on PyTorch's meta device, which keeps shapes only.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import GENERATION_CONFIG_NAME

from dem.checkpoints import DTYPES, Checkpoint
from dem.common import has_tokenizer, model_config
from dem.errors import RequestError, WorkError
from dem.whole_model import require_whole

KEPT_OUT = {"name_or_path", "is_local", "local_files_only"}
"""What a tokenizer notes of where it was loaded from."""


class _DoesNotLoad(Exception):
    """Its text says what, and why."""


def require_complete(base: Checkpoint) -> set[str]:
    """Refuse a base that a merge would make no loadable model of.

    Returns:
        The tensors that the base holds and transformers leaves out when it loads it.

    Raises:
        RequestError: the base lacks weights, has some of another shape than its config.json says, or has files of a
            tokenizer or a generation_config.json that transformers cannot load.
    """
    config = model_config(base.folder)
    stored = {name: torch.empty(base.shape(name), dtype=_dtype(base, name), device="meta") for name in base}
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    try:
        if has_tokenizer(base.folder):
            _tokenizer(base.folder)
        _require_generation_config(base.folder)
        return _keys(model_class, None, config=config, state_dict=stored)
    except _DoesNotLoad as mistake:
        raise RequestError(f"base_model {base.folder} is not complete: {mistake}") from None


def require_loads(folder: Path, base: Path, left_out: set[str]) -> None:
    """Load what a merge wrote into `folder` as a user does.

    Args:
        folder: the merged model's.
        base: the base's, whose tokenizer the merged model is to have.
        left_out: the tensors that transformers leaves out of the base as well.

    Raises:
        WorkError: the tokenizer or the model does not load, the tokenizer is not the base's, or the model's keys and
            the stored ones are not the same.
    """
    try:
        require_whole(folder, "it")
        if has_tokenizer(base):
            before, after = _state(_tokenizer(base), base), _state(_tokenizer(folder), folder)
            if changed := [name for name in before | after if before.get(name) != after.get(name)]:
                raise _DoesNotLoad(f"its tokenizer is not the base's: other {', '.join(changed)}")
        if added := sorted(_keys(AutoModelForCausalLM, folder, trust_remote_code=False) - left_out):
            raise _DoesNotLoad(f"it holds {_some(added)}, which the model does not have")
    except (_DoesNotLoad, RequestError) as mistake:
        raise WorkError(f"the merged model does not load as it should, and was not put in place: {mistake}") from None


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers, tokenizers and sentencepiece each raise their own for a damaged file
        raise _DoesNotLoad(f"its tokenizer cannot be loaded: {_first_line(error)}") from None


def _require_generation_config(folder: Path) -> None:
    """Refuse a damaged one: transformers takes it for none when it loads the model, and generates without an end."""
    if (folder / GENERATION_CONFIG_NAME).is_file():
        try:
            GenerationConfig.from_pretrained(folder)
        except Exception as error:  # its values are checked by whatever uses them
            raise _DoesNotLoad(f"its {GENERATION_CONFIG_NAME} cannot be loaded: {_first_line(error)}") from None


def _keys(model_class: Any, *source: Path | None, **settings: Any) -> set[str]:
    """Load a model without its weights: the stored keys that it does not have.

    Raises:
        _DoesNotLoad: it cannot be loaded, or has keys that are not stored, or in another shape.
    """
    settings |= {"device_map": "meta", "ignore_mismatched_sizes": True, "output_loading_info": True}
    try:
        _, report = model_class.from_pretrained(*source, weights_only=True, **settings)
    except Exception as error:  # transformers, safetensors and torch each raise their own
        raise _DoesNotLoad(f"the model cannot be loaded: {_first_line(error)}") from None
    if missing := sorted(report["missing_keys"]):
        raise _DoesNotLoad(f"it lacks {_some(missing)}")
    if other := sorted(report["mismatched_keys"]):
        name, stored, wanted = other[0]
        more = f", and {len(other) - 1} more" if len(other) > 1 else ""
        raise _DoesNotLoad(f"{name} is of shape {list(stored)}, and by its config.json of {list(wanted)}{more}")
    return set(report["unexpected_keys"])


def _state(tokenizer: PreTrainedTokenizerBase, folder: Path) -> dict[str, str]:
    """All that makes the tokenizer, loaded from `folder`, what it is, by name."""
    fast = tokenizer.is_fast
    state = {name: value for name, value in tokenizer.init_kwargs.items() if name not in KEPT_OUT}
    state |= {
        "class": type(tokenizer).__name__,
        "tokens": tokenizer.backend_tokenizer.to_str() if fast else sorted(tokenizer.get_vocab().items()),
        "special tokens": tokenizer.special_tokens_map,
        "chat templates": tokenizer.chat_template,
        "sides": (tokenizer.padding_side, tokenizer.truncation_side),
        "model_max_length": tokenizer.model_max_length,
    }
    return {name: repr(value).replace(str(folder), "") for name, value in state.items()}


def _dtype(checkpoint: Checkpoint, name: str) -> torch.dtype:
    return DTYPES[checkpoint.tensor(name).dtype]


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more tensors" if len(names) > 1 else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
