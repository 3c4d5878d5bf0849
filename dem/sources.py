"""What a LoRA adapter changes: the difference of each parameter, by PEFT's own rules."""

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftConfig, PeftModel, set_peft_model_state_dict
from peft.tuners.lora.layer import Conv1d, Conv2d, Embedding, Linear, LoraLayer, ParamWrapper
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from torch import nn

from dem import mamba
from dem.checkpoints import Checkpoint, matrix_shape, refuse_compiled, tile_rows
from dem.common import log, read_json
from dem.diff_writing import Delta
from dem.diffs import adapter_fingerprint
from dem.errors import RequestError
from dem.layout import RUN_RECORD
from dem.names import Names
from dem.run_record import read_record
from dem.tensor_files import load_pickled, load_safetensors

NOT_A_DIFFERENCE = (
    "layer_replication",
    "alora_invocation_tokens",
    "use_qalora",
    "arrow_config",
    "kasa_config",
)
"""PEFT's settings by which an adapter is more than a change of each of the base's parameters."""

INITIAL_WEIGHTS = (True, False, "gaussian", "eva", "orthogonal")
"""Values of init_lora_weights that leave the base as it is, and whose factors are all in the adapter."""

PREFIX = "base_model.model."
"""Of every name in an adapter's file."""

UNUSED = ([], {}, "")
"""With None and False, the values of a setting of PEFT's that is not used."""

CHECKED_ROWS = 8

Read = Callable[[str], torch.Tensor]
"""From the model's name of a parameter to the base's tensor, in its own type."""


def adapter_deltas(adapter: Path, base: Path, checkpoint: Checkpoint) -> list[Delta]:
    """What the LoRA adapter in `adapter` changes in each parameter of the base, in the order of the model's modules.

    PEFT reads the adapter and computes: a plain LoRA's two factors are taken as they are, with PEFT's scale; of all
    else PEFT's own result is compared with the base, a module at a time. Nothing is computed before a Delta is asked
    for.

    Raises:
        RequestError: the adapter cannot be read, does not fit the base, or does what no difference of the base's
            parameters can express.
    """
    _refuse_several(adapter)
    names = Names.of(base)
    stored = names.stored(checkpoint)
    weights = _read_weights(adapter, names, stored, checkpoint)
    model, beside = _adapted(names, weights, adapter, base)

    def read(name: str) -> torch.Tensor:
        return checkpoint.read(stored[name])

    beside = {name: value for name, value in beside.items() if name not in stored or not _equal(value, read(name))}
    biases = model.peft_config["default"].bias != "none"
    if others := [name for name in beside if not (biases and "bias" in name)]:
        raise RequestError(
            f"{adapter} also holds {others[0]}, of other values than {base}'s: it was trained on another base, or on "
            "this one with its embeddings changed; set base_model to the one that it was trained on"
        )
    deltas: dict[str, Delta] = {}
    for delta in [*_deltas(model.get_base_model(), read, adapter), *_bias_deltas(beside, read)]:
        if delta.name in deltas:
            raise RequestError(f"{adapter} changes {delta.name} in two ways at once, of which no difference is made")
        _require_parameter(checkpoint, stored.get(delta.name, delta.name), delta.shape, adapter)
        deltas[delta.name] = delta
    if not deltas:
        raise RequestError(f"{adapter} changes no parameter of {base}")
    _require_tied_alike(deltas, names, adapter)
    once: dict[str, Delta] = {}
    for name, delta in deltas.items():
        once.setdefault(stored[name], replace(delta, name=stored[name]))
    return list(once.values())


def _refuse_several(adapter: Path) -> None:
    """Refuse a folder of which it is not clear which adapter in it is meant."""
    weights = [name for name in ("adapter_model.safetensors", "adapter_model.bin") if (adapter / name).is_file()]
    others = [p.parent.name for p in sorted(adapter.glob("*/adapter_config.json"))]
    others = [name for name in others if not name.startswith(("checkpoint-", "training_state"))]
    if len(weights) > 1 or others:
        raise RequestError(
            f"{adapter} holds several adapters ({', '.join([*weights, *(f'{o}/' for o in others)])}): leave one there"
        )


def _read_weights(
    adapter: Path, names: Names, stored: dict[str, str], checkpoint: Checkpoint
) -> dict[str, torch.Tensor]:
    """The tensors in the adapter's file, by their names there."""
    safe = adapter / "adapter_model.safetensors"
    weights = load_safetensors(safe) if safe.is_file() else load_pickled(adapter / "adapter_model.bin")
    refuse_compiled(weights, adapter)
    for key, value in weights.items():
        if not value.is_floating_point():
            raise RequestError(f"the adapter in {adapter} cannot be read: {key} is of type {value.dtype}")
        name = _base_name(key)
        if name in names.ends and name in stored and value.shape[:1] != checkpoint.shape(stored[name])[:1]:
            there = checkpoint.shape(stored[name])[0]
            raise RequestError(other_vocabulary(adapter, value.shape[0], checkpoint.folder, there))
    return weights


def other_vocabulary(source: Path, rows: int, base: Path, base_rows: int) -> str:
    """What to say of a source whose vocabulary was resized."""
    return (
        f"{source} has a vocabulary of {rows:,} rows, the base {base} one of {base_rows:,}: rows that were added or "
        f"taken away have no difference; resize the base (resize_token_embeddings({rows})), save it and train on that, "
        "or train without resizing"
    )


def _base_name(key: str) -> str:
    """The base's name of what an adapter's file calls `key`."""
    return key.removeprefix(PREFIX).replace(".base_layer", "")


def _adapted(
    names: Names, weights: dict[str, torch.Tensor], adapter: Path, base: Path
) -> tuple[PeftModel, dict[str, torch.Tensor]]:
    """The base with the adapter on it, and the base's own parameters that are in the adapter's file.

    Every weight of the base is one zero in float32, shown in the right shape: PEFT gives the adapter the base's type,
    and must not round it to half precision.
    """
    structure = {name: torch.zeros(()).expand(value.shape) for name, value in names.model.state_dict().items()}
    names.model.load_state_dict(structure, assign=True)
    try:
        with mamba.out_proj_allowed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PEFT would advise whoever trains
            settings = read_json(adapter / "adapter_config.json")
            config = PeftConfig.from_pretrained(str(adapter))
            _refuse_what_is_no_difference(config, adapter)
            _refuse_what_is_unknown(config, settings, adapter)
            config.inference_mode = True
            model = PeftModel(names.model, config, low_cpu_mem_usage=True)  # no weights of its own
            wrapped = _keys_of_wrappers(model)
            beside = {k: v for k, v in weights.items() if _base_name(k) in structure and k not in wrapped}
            own = {key: value for key, value in weights.items() if key not in beside}
            loaded = set_peft_model_state_dict(model, own, low_cpu_mem_usage=True)  # which takes them as they are
    except RequestError:
        raise
    except Exception as error:  # PEFT and torch each raise their own for an adapter that does not fit
        lines = str(error).splitlines() or [type(error).__name__]
        reason = lines[1].strip() if len(lines) > 1 and "loading state_dict" in lines[0] else lines[0]
        raise RequestError(f"the adapter in {adapter} cannot be put on {base}: {reason}") from None
    if missing := [key for key in loaded.missing_keys if "lora_" in key]:
        raise RequestError(f"the adapter in {adapter} cannot be put on {base}: missing adapter keys: {missing[0]}")
    if unknown := loaded.unexpected_keys:
        raise RequestError(
            f"the adapter in {adapter} cannot be put on {base}: {unknown[0]} has no place there; "
            "set base_model to the base that it was trained on"
        )
    return model, {_base_name(key): value for key, value in beside.items()}


def _refuse_what_is_no_difference(config: PeftConfig, adapter: Path) -> None:
    """Refuse, by name, what cannot be told as a change of the base's parameters."""
    kind = getattr(config.peft_type, "value", config.peft_type)
    if kind != "LORA":
        raise RequestError(f"{adapter} is an adapter of type {kind}; a difference is made of LoRA only")
    held = [name for name in NOT_A_DIFFERENCE if getattr(config, name, None)]
    if config.init_lora_weights not in INITIAL_WEIGHTS:
        held.append(
            f"init_lora_weights={config.init_lora_weights} (which changes the base; save it with PEFT's "
            "path_initial_model_for_weight_conversion)"
        )
    if held:
        raise RequestError(f"{adapter} uses {', '.join(held)}, of which no difference is made")


def _refuse_what_is_unknown(config: PeftConfig, settings: dict[str, Any], adapter: Path) -> None:
    """Refuse settings of a newer PEFT that are in use.

    An adapter is saved with all settings, used or not. The fields of PEFT's LoRA configuration are the same in all
    releases from 0.21.0 to 0.21.2, the newest known here; what a later one adds is not known. But each setting that
    changes what an adapter computes has so far been off at None, false or empty: so these are taken for not used.
    """
    known = {field.name for field in fields(config)}
    unknown = {name: value for name, value in settings.items() if name not in known}
    used = [name for name, value in unknown.items() if value is not None and value is not False and value not in UNUSED]
    written = f"{adapter} was written by PEFT {settings.get('peft_version') or 'of a version that it does not name'}"
    if used:
        raise RequestError(
            f"{written} and uses {', '.join(used)}, which PEFT {peft.__version__} here does not know: install that "
            "version (pip install --upgrade peft), or save the adapter without it"
        )
    if unknown:
        log.info(f"{written}; not known here and not used: {', '.join(unknown)}")


def _keys_of_wrappers(model: PeftModel) -> set[str]:
    """Names, in the adapter's file, of modules that were trained whole or token by token."""
    return {
        f"{path}.{key}"
        for path, module in model.named_modules()
        if isinstance(module, AuxiliaryTrainingWrapper)
        for key in module.adapter_state_dict_load_map("default")
    }


def _deltas(module: nn.Module, read: Read, adapter: Path, path: str = "") -> Iterator[Delta]:
    """The change of each parameter below `module`, by the model's names, in the order of the modules."""
    if isinstance(module, LoraLayer):
        yield from _lora_deltas(module, read, adapter, path)
        if isinstance(module, ParamWrapper):  # around a module of any kind, or another such wrapper
            yield from _deltas(module.base_layer, read, adapter, path)
    elif isinstance(module, ModulesToSaveWrapper):
        yield from _saved_deltas(module, read, adapter, path)
    elif isinstance(module, AuxiliaryTrainingWrapper):
        name = f"{path}.weight"
        layer = module.token_adapter
        yield Delta.of_whole(name, layer.base_layer.weight.shape, lambda: _change_of_tokens(layer, read(name)))
    else:
        for name, child in module.named_children():
            yield from _deltas(child, read, adapter, f"{path}.{name}" if path else name)


def _lora_deltas(module: LoraLayer, read: Read, adapter: Path, path: str) -> Iterator[Delta]:
    base_layer = module.get_base_layer()
    if type(module) is ParamWrapper:
        yield Delta.of_whole(
            f"{path}.{module.parameter_name}", module.get_param().shape, lambda: _change_by_peft(module)
        )
        return
    if type(module) not in (Linear, Embedding, Conv1d, Conv2d):
        raise RequestError(f"{adapter} changes {path}, a {type(base_layer).__name__}, of which no difference is made")
    if getattr(base_layer, "groups", 1) > 1:
        raise RequestError(f"{adapter} changes {path}, a convolution in groups, whose LoRA PEFT cannot merge")
    name = f"{path}.weight"
    if "default" in module.lora_variant:
        yield Delta.of_whole(name, base_layer.weight.shape, lambda: _change_by_merging(module, path, "weight", read))
    elif type(module) in (Linear, Embedding):
        yield Delta.of_factors(name, *_factors(module, name))
    else:
        yield Delta.of_whole(name, base_layer.weight.shape, lambda: _change_by_peft(module))
    if module.lora_bias.get("default"):
        if base_layer.bias is None:
            raise RequestError(f"{adapter} uses lora_bias on {path}, which has no bias to add it to")
        yield Delta.of_whole(
            f"{path}.bias", base_layer.bias.shape, lambda: _change_by_merging(module, path, "bias", read)
        )


def _factors(module: LoraLayer, name: str) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Two matrices and a factor whose product PEFT adds to the module's weight."""
    if type(module) is Linear:
        lora_a, lora_b = module.lora_A["default"].weight, module.lora_B["default"].weight
        transposed = module.fan_in_fan_out
    else:
        lora_a, lora_b, transposed = module.lora_embedding_A["default"], module.lora_embedding_B["default"], True
    left, right = (lora_a.T, lora_b.T) if transposed else (lora_b, lora_a)
    left, right, scale = (
        left.detach().float().contiguous(),
        right.detach().float().contiguous(),
        module.scaling["default"],
    )
    whole = lora_a.data, lora_b.data
    if transposed:
        lora_a.data = lora_a.data[:, :CHECKED_ROWS]
    else:
        lora_b.data = lora_b.data[:CHECKED_ROWS]
    by_peft = _change_by_peft(module)
    lora_a.data, lora_b.data = whole
    if not torch.allclose(by_peft, left[:CHECKED_ROWS] @ right * scale, rtol=1e-4, atol=1e-7, equal_nan=True):
        raise RequestError(f"PEFT computes another change of {name} than its two factors give: a rule unknown here")
    return left, right, scale


def _change_by_peft(module: LoraLayer) -> torch.Tensor:
    with torch.no_grad():
        return module.get_delta_weight("default").float()


def _change_by_merging(module: LoraLayer, path: str, parameter: str, read: Read) -> torch.Tensor:
    """What PEFT's merge of the module makes of its parameter, less what it was; in float64, rounded once."""
    own = dict(module.get_base_layer().named_parameters())
    before = {name: read(f"{path}.{name}").double() for name in own}
    values = {id(own[name]): nn.Parameter(value.clone(), requires_grad=False) for name, value in before.items()}
    merged = copy.deepcopy(module, values).double()
    with torch.no_grad():
        merged.merge()
        return merged.get_base_layer().get_parameter(parameter).sub_(before[parameter]).float()


def _change_of_tokens(layer: nn.Module, base: torch.Tensor) -> torch.Tensor:
    """What PEFT makes of an embedding's or a head's weight of which some rows were trained, less what it was."""
    weight = layer.base_layer.weight
    structure, weight.data = weight.data, base.float()
    with torch.no_grad():
        change = layer.get_merged_weights(["default"]).sub(weight)
    weight.data = structure
    return change


def _saved_deltas(module: ModulesToSaveWrapper, read: Read, adapter: Path, path: str) -> Iterator[Delta]:
    """The changes of a module that was trained and saved whole."""
    saved = module.modules_to_save["default"]
    if any(isinstance(inner, LoraLayer) for inner in saved.modules()):
        raise RequestError(f"{adapter} has LoRA inside of {path}, which it also saves whole; no difference is made")
    for name, value in saved.named_parameters():
        yield _delta_of_value(f"{path}.{name}", value.detach(), read)


def _bias_deltas(beside: dict[str, torch.Tensor], read: Read) -> Iterator[Delta]:
    """The changes of the base's own biases, which are saved as they are."""
    for name, value in beside.items():
        yield _delta_of_value(name, value, read)


def _delta_of_value(name: str, value: torch.Tensor, read: Read) -> Delta:
    return Delta.of_whole(name, value.shape, lambda: value.float().sub(read(name).float()))


def _equal(value: torch.Tensor, base: torch.Tensor) -> bool:
    """Whether they are equal, but for the base's rounding to the type in which it was trained."""
    if value.shape != base.shape:
        return False
    value, base = (tensor.reshape(matrix_shape(tensor.shape)) for tensor in (value, base))
    step = tile_rows(value.shape)
    return all(torch.equal(value[i : i + step], base[i : i + step].to(value.dtype)) for i in range(0, len(value), step))


def _require_tied_alike(deltas: dict[str, Delta], names: Names, adapter: Path) -> None:
    """Refuse a change of one of several parameters that are one tensor, unless the others change the same way."""
    for group in names.tied:
        changed = [name for name in group if name in deltas]
        if changed and len(changed) < len(group):
            others = ", ".join(name for name in group if name not in changed)
            raise RequestError(
                f"{adapter} changes {changed[0]} and not {others}, but in the base both are one tensor: one cannot be "
                "merged without the other; leave both out of the adapter, or train on a base whose head is not tied"
            )
        if any(not _same(deltas[changed[0]], deltas[name]) for name in changed[1:]):
            raise RequestError(
                f"{adapter} changes {' and '.join(changed)}, which are one tensor in the base, in different ways: "
                "leave both out of the adapter, or train on a base whose head is not tied"
            )


def _require_parameter(checkpoint: Checkpoint, name: str, shape: tuple[int, ...], source: Path) -> None:
    if name not in checkpoint:
        raise RequestError(f"{source} changes {name}, which the base {checkpoint.folder} does not hold as one tensor")
    if checkpoint.shape(name) != tuple(shape):
        there = list(checkpoint.shape(name))
        raise RequestError(f"{source} changes {name} of shape {list(shape)}; in {checkpoint.folder} it is {there}")


def _same(one: Delta, other: Delta) -> bool:
    """Whether two changes of one parameter are equal, element for element."""
    if one.factors and other.factors:
        return one.scale == other.scale and all(map(torch.equal, one.factors, other.factors))
    height, width = matrix_shape(one.shape)
    step = tile_rows(one.shape)
    both = torch.empty(2, step, width)
    equal = True
    for first in range(0, height, step):  # to the last, so that both let go of what they computed
        last = min(first + step, height)
        tiles = both[:, : last - first]
        one.rows(first, last, tiles[0])
        other.rows(first, last, tiles[1])
        equal = equal and torch.equal(*tiles)
    return equal


def adapter_source(adapter: Path, base_fingerprint: str) -> dict[str, str | None]:
    """Where a difference comes from: the index's `source`. Beside an adapter of stage 1 stands the record of its run.

    Raises:
        RequestError: the record says that the adapter was trained on another base.
    """
    source = {
        "kind": "adapter",
        "path": str(adapter),
        "fingerprint": adapter_fingerprint(adapter),
        "data_fingerprint": None,
    }
    made_by = read_record(adapter)
    if made_by is None:
        return source
    try:
        trained_on, data = made_by["base"], made_by["data"]["fingerprint"]
        same_base = trained_on["fingerprint"] == base_fingerprint
    except KeyError as missing:
        raise RequestError(
            f"{adapter / RUN_RECORD} is not the record of a training, it lacks {missing}: remove it or train again"
        ) from None
    if not same_base:
        raise RequestError(
            f"{adapter} was trained on another base ({trained_on.get('name')}) than base_model: "
            "set base_model to that one, or train again"
        )
    return source | {"data_fingerprint": data}
