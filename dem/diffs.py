"""The difference vector: how it is made from an adapter, written, and read back.

`diff_<domain>.npy` is one flat array: the changed parameters, each in C order, one after the other.
`diff_<domain>.json` is its index, the `Index` below.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from dem import mamba
from dem.atomic import write_text
from dem.checkpoints import Checkpoint, as_bytes, files_fingerprint
from dem.common import model_config, read_json
from dem.errors import RequestError
from dem.layout import RUN_RECORD

FORMAT_VERSION = 1

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


@dataclass(frozen=True)
class Parameter:
    """One changed parameter; `offset` counts elements from the beginning of the vector."""

    name: str
    shape: tuple[int, ...]
    offset: int
    fingerprint: str | None = None
    """A hash of the stored elements, checked whenever they are read."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Index:
    """What the vector holds and where it came from; names are those in the base checkpoint."""

    domain: str
    base: dict[str, str]
    """name and fingerprint of the base model."""
    source: dict[str, Any]
    """kind, path and fingerprint of what the difference was made from, and the data's fingerprint where known."""
    storage: str
    dtype: str
    normalize: str
    norm: float
    """Euclidean norm before normalisation."""
    vector_fingerprint: str
    parameters: list[Parameter]
    format_version: int = FORMAT_VERSION

    @property
    def size(self) -> int:
        """Number of elements of the vector."""
        return sum(parameter.size for parameter in self.parameters)


@dataclass(frozen=True)
class Delta:
    """One parameter's change, computed when asked for: a float32 tensor of `shape` on the CPU."""

    name: str
    shape: tuple[int, ...]
    compute: Callable[[], torch.Tensor]


def adapter_deltas(adapter: Path, base: Path, checkpoint: Checkpoint) -> list[Delta]:
    """What the LoRA adapter in `adapter` adds to each parameter of the base, in the order of the model's modules.

    PEFT itself computes each difference, scale * B @ A. Nothing is computed before a Delta is asked for, and nothing
    is kept.

    Raises:
        RequestError: the adapter cannot be read, does not fit the base, or changes more than matrices by low rank.
    """
    model = _base_on_disk(base)
    stored = _stored_names(model, checkpoint)
    model = _adapter_on_mapped_base(model, stored, adapter, base, checkpoint)
    _refuse_other_changes(model, adapter)
    deltas: dict[str, Delta] = {}
    for module_name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer):
            weight = f"{module_name}.weight"
            shape = tuple(module.get_base_layer().weight.shape)
            delta = Delta(stored.get(weight, weight), shape, lambda module=module: _delta_weight(module))
            _require_parameter(checkpoint, delta.name, shape, adapter)
            first = deltas.setdefault(delta.name, delta)
            if first is not delta and not torch.equal(first.compute(), delta.compute()):
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


def _stored_names(model: PreTrainedModel, checkpoint: Checkpoint) -> dict[str, str]:
    """The checkpoint's name of each parameter of the model, by the model's name of it.

    transformers renames some parameters when it loads, and ties others to one that the checkpoint holds.
    """
    renamings = [rule for rule in get_model_conversion_mapping(model) if isinstance(rule, WeightRenaming)]
    expected = model.state_dict()
    renamed = {rename_source_key(n, renamings, [], model.base_model_prefix, expected)[0]: n for n in checkpoint}
    names = {name: stored for name, stored in renamed.items() if name in expected}
    for name, tied_to in model.all_tied_weights_keys.items():
        if name not in names and tied_to in names:
            names[name] = names[tied_to]
    return names


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


def _delta_weight(module: LoraLayer) -> torch.Tensor:
    with torch.no_grad():
        return module.get_delta_weight("default").to(torch.float32)


def adapter_fingerprint(adapter: Path) -> str:
    """A hash (128 bits, hexadecimal) of the adapter's weights and configuration."""
    return files_fingerprint(
        sorted(p for p in adapter.glob("adapter_*") if p.suffix in (".bin", ".safetensors", ".json"))
    )


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


def norm_of(deltas: list[Delta]) -> float:
    """Euclidean norm of all changes together, accumulated in float64."""
    return float(sum(d.compute().double().square().sum() for d in deltas)) ** 0.5


def write_vector(
    path: Path, deltas: list[Delta], dtype: str, factor: float, seen: Callable[[Delta, np.ndarray], object]
) -> tuple[list[Parameter], str]:
    """Write `factor` times each change to `path` as one flat array of `dtype`.

    One parameter is in memory at a time. `seen` is handed each as it was stored (a flat array).

    Returns:
        The index's list of parameters, and a hash of all elements.

    Raises:
        RequestError: an element is not finite, or too large for float16.
    """
    whole = xxhash.xxh3_128()
    parameters: list[Parameter] = []
    offset = 0
    size = sum(torch.Size(delta.shape).numel() for delta in deltas)
    header = {"descr": np.dtype(dtype).newbyteorder("<").str, "fortran_order": False, "shape": (size,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for delta in deltas:
            values = delta.compute()
            stored = (values if factor == 1 else values * factor).to(getattr(torch, dtype)).reshape(-1)
            if not torch.isfinite(stored).all():
                raise RequestError(f"the difference of {delta.name} is not finite as {dtype}: {_first_cause(values)}")
            own = xxhash.xxh3_128(as_bytes(stored)).hexdigest()
            whole.update(own.encode())
            parameters.append(Parameter(delta.name, delta.shape, offset, own))
            offset += stored.numel()
            file.write(as_bytes(stored))
            seen(delta, stored.numpy())
        file.flush()
        os.fsync(file.fileno())
    return parameters, whole.hexdigest()


def _first_cause(values: torch.Tensor) -> str:
    if not torch.isfinite(values).all():
        return "the adapter holds NaN or Inf; train it again"
    return f"its largest element {values.abs().max():.3g} is beyond float16; use diff.dtype float32"


def write_index(path: Path, index: Index) -> None:
    """Write `index` as JSON, its format version first."""
    text = {"format_version": index.format_version, **asdict(index)}
    write_text(path, json.dumps(text, indent=1, ensure_ascii=False) + "\n")


class Difference:
    """A difference vector opened for reading, parameter by parameter."""

    def __init__(self, vector: Path, index: Path):
        """Open both files and check that they fit each other.

        Raises:
            RequestError: a file is missing, damaged, of another format version, or the two do not fit.
        """
        self.path = vector
        self.index = _read_index(index)
        try:
            self._vector = np.load(vector, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RequestError(f"{vector} is not a NumPy array that can be read: {error}") from None
        expected = (self.index.size,)
        if self._vector.shape != expected or self._vector.dtype != np.dtype(self.index.dtype):
            raise RequestError(
                f"{vector} holds {self._vector.dtype} of shape {self._vector.shape}, "
                f"its index {index.name} says {self.index.dtype} of shape {expected}; make both again"
            )
        self._parameters = {p.name: p for p in self.index.parameters}

    def __contains__(self, name: str) -> bool:
        return name in self._parameters

    def read(self, name: str) -> torch.Tensor:
        """The parameter's difference, float32, in its shape.

        Raises:
            RequestError: it holds NaN or Inf, or is not what the index describes.
        """
        parameter = self._parameters[name]
        flat = np.ascontiguousarray(self._vector[parameter.offset : parameter.offset + parameter.size])
        values = torch.from_numpy(flat.astype(np.float32)).reshape(parameter.shape)
        if not torch.isfinite(values).all():
            raise RequestError(f"{self.path} holds NaN or Inf in {name}; make it again (dem/vector_diff.py)")
        if parameter.fingerprint not in (None, xxhash.xxh3_128(flat.view(np.uint8)).hexdigest()):
            raise RequestError(
                f"{self.path}: {name} is not what {self.index.domain}'s index describes; make both again"
            )
        return values

    def flat_pieces(self, elements: int) -> Iterator[tuple[Parameter, np.ndarray]]:
        """The stored values in order, in flat pieces of at most `elements` that never span two parameters."""
        for p in self.index.parameters:
            for start in range(p.offset, p.offset + p.size, elements):
                yield p, self._vector[start : min(start + elements, p.offset + p.size)]

    def sample(self, count: int, seed: int) -> np.ndarray:
        """`count` elements (all, if there are no more) at positions drawn with `seed`, as float64."""
        size = self.index.size
        if size <= count:
            return self._vector.astype(np.float64)
        positions = np.random.default_rng(seed).choice(size, count, replace=False, shuffle=False)
        return self._vector[np.sort(positions)].astype(np.float64)


def _read_index(path: Path) -> Index:
    text = read_json(path)
    if (version := text.get("format_version")) != FORMAT_VERSION:
        raise RequestError(f"{path} is of format version {version}; this version reads {FORMAT_VERSION}")
    try:
        text["parameters"] = [Parameter(**{**p, "shape": tuple(map(int, p["shape"]))}) for p in text["parameters"]]
        index = Index(**text)
        if index.dtype not in ("float32", "float16") or index.normalize not in ("none", "l2"):
            raise ValueError(f"dtype {index.dtype}, normalize {index.normalize}")
        if not isinstance(index.source, dict) or not {"name", "fingerprint"} <= set(index.base):
            raise ValueError("base or source is incomplete")
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{path} is not the index of a difference vector: {error}") from None
    offset = 0
    for parameter in index.parameters:
        if parameter.offset != offset:
            raise RequestError(f"{path}: {parameter.name} should begin at element {offset}, not {parameter.offset}")
        offset += parameter.size
    return index
