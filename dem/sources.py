"""What a difference is made from: the change of each parameter by a LoRA adapter."""

import warnings
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import Embedding, Linear, LoraLayer
from transformers import AutoModelForCausalLM, PreTrainedModel

from dem import mamba
from dem.checkpoints import Checkpoint, matrix_shape
from dem.common import model_config, read_json, stored_names
from dem.diffs import Delta, adapter_fingerprint
from dem.errors import RequestError
from dem.layout import RUN_RECORD

MORE_THAN_LOW_RANK = (
    "use_dora",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
    "lora_bias",
    "layer_replication",
    "alora_invocation_tokens",
    "use_qalora",
    "arrow_config",
)
"""PEFT's settings by which an adapter does something besides adding scale * B @ A."""


def adapter_deltas(adapter: Path, base: Path, checkpoint: Checkpoint) -> list[Delta]:
    """What the LoRA adapter in `adapter` adds to each parameter of the base, in the order of the model's modules.

    PEFT reads the adapter and knows its rules (rank and alpha patterns, rsLoRA, transposed weights). Nothing is
    computed before a Delta is asked for.

    Raises:
        RequestError: the adapter cannot be read, does not fit the base, or changes more than matrices by low rank.
    """
    model = _base_on_disk(base)
    stored = stored_names(model, checkpoint)
    model = _adapter_on_mapped_base(model, stored, adapter, base, checkpoint)
    _refuse_other_changes(model, adapter)
    deltas: dict[str, Delta] = {}
    for module_name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer):
            weight = f"{module_name}.weight"
            delta = _delta(stored.get(weight, weight), module)
            _require_parameter(checkpoint, delta.name, delta.shape, adapter)
            first = deltas.setdefault(delta.name, delta)
            if first is not delta and not _same(first, delta):
                raise RequestError(
                    f"{adapter} changes {delta.name}, which several modules share, in more ways than one"
                )
    if not deltas:
        raise RequestError(f"{adapter} changes no parameter of {base}")
    return list(deltas.values())


def _base_on_disk(base: Path) -> PreTrainedModel:
    """The base without any memory for its weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(model_config(base), trust_remote_code=False)


def _adapter_on_mapped_base(
    model: PreTrainedModel, stored: dict[str, str], adapter: Path, base: Path, checkpoint: Checkpoint
) -> PeftModel:
    """The base with the adapter on it, its weights mapped from their files and so not read until they are used."""
    mapped = {name: checkpoint.read(there) for name, there in stored.items()}
    model.load_state_dict(mapped, strict=False, assign=True)
    try:
        with mamba.out_proj_allowed(), warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, str(adapter), torch_device="cpu")
    except Exception as error:  # PEFT, torch and safetensors each raise their own for a damaged or misfit adapter
        raise RequestError(f"the adapter in {adapter} cannot be put on {base}: {str(error).splitlines()[0]}") from None
    if unread := [n for n, p in adapted.named_parameters() if "lora_" in n and p.is_meta]:
        raise RequestError(f"the adapter in {adapter} changes {unread[0]}, whose base weight {base} does not hold")
    return adapted


def _refuse_other_changes(model: PeftModel, adapter: Path) -> None:
    """Refuse, by name, what an adapter can hold besides scale * B @ A."""
    config = model.peft_config["default"]
    if str(getattr(config.peft_type, "value", config.peft_type)) != "LORA":
        raise RequestError(f"{adapter} is an adapter of type {config.peft_type}; a difference is made of LoRA only")
    held = [name for name in MORE_THAN_LOW_RANK if getattr(config, name, None)]
    if getattr(config, "bias", "none") != "none":
        held.append("bias")
    if config.init_lora_weights not in (True, False, "gaussian"):
        held.append(f"init_lora_weights={config.init_lora_weights} (which changes the base)")
    if held:
        raise RequestError(f"{adapter} uses {', '.join(held)}, of which no difference is made yet")
    tied = getattr(model.config, "tie_word_embeddings", False)
    ends = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    if tied and any(id(m) in ends and isinstance(m, LoraLayer) for m in model.get_base_model().modules()):
        raise RequestError(
            f"{adapter} changes the embedding or the head of a base where both are one tensor: "
            "the change of one cannot be merged without changing the other"
        )


def _require_parameter(checkpoint: Checkpoint, name: str, shape: tuple[int, ...], source: Path) -> None:
    if name not in checkpoint:
        raise RequestError(f"{source} changes {name}, which the base {checkpoint.folder} does not have")
    if checkpoint.shape(name) != shape:
        there = list(checkpoint.shape(name))
        raise RequestError(f"{source} changes {name} of shape {list(shape)}; in {checkpoint.folder} it is {there}")


def _delta(name: str, module: LoraLayer) -> Delta:
    if factors := _factors(module):
        return Delta.of_factors(name, *factors)
    shape = tuple(module.get_base_layer().weight.shape)
    return Delta.of_whole(name, shape, lambda: _peft_delta(module))


def _factors(module: LoraLayer) -> tuple[torch.Tensor, torch.Tensor, float] | None:
    """Two matrices and a factor whose product PEFT adds to the module's weight; None if it does something else."""
    if type(module) is Linear:
        left, right = module.lora_B["default"].weight, module.lora_A["default"].weight
        transposed = module.fan_in_fan_out
    elif type(module) is Embedding:
        left, right, transposed = module.lora_embedding_B["default"], module.lora_embedding_A["default"], True
    else:
        return None
    left, right = left.detach().float(), right.detach().float()
    if transposed:
        left, right = right.T.contiguous(), left.T.contiguous()
    return left, right, module.scaling["default"]


def _peft_delta(module: LoraLayer) -> torch.Tensor:
    with torch.no_grad():
        return module.get_delta_weight("default").to(torch.float32)


def _same(one: Delta, other: Delta) -> bool:
    """Whether two changes of one parameter are equal, element for element."""
    if one.factors and other.factors:
        return all(map(torch.equal, one.factors, other.factors))
    both = [torch.empty(matrix_shape(one.shape)) for _ in range(2)]
    for delta, values in zip((one, other), both, strict=True):
        delta.rows(0, len(values), values)
    return torch.equal(*both)


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
    record = adapter / RUN_RECORD
    if not record.is_file():
        return source
    made_by = read_json(record)
    try:
        trained_on, data = made_by["base"], made_by["data"]["fingerprint"]
        same_base = trained_on["fingerprint"] == base_fingerprint
    except (KeyError, TypeError):
        raise RequestError(f"{record} is not the record of a training: remove it or train again") from None
    if not same_base:
        raise RequestError(
            f"{adapter} was trained on another base ({trained_on.get('name')}) than base_model: "
            "set base_model to that one, or train again"
        )
    return source | {"data_fingerprint": data}
