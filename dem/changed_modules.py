"""What differences change of a loaded model: their low-rank factors, the parameters' modules, and which are called."""

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from dem.checkpoints import Checkpoint
from dem.common import stored_names
from dem.diffs import Difference, adapter_fingerprint
from dem.families import FAMILIES
from dem.sources import adapter_deltas

Factors = tuple[torch.Tensor, torch.Tensor]


def factors_of(difference: Difference, adapter: Path, checkpoint: Checkpoint) -> dict[str, Factors]:
    """The low-rank changes of `difference`, by stored name, float32: left (rows, rank) and right (rank, columns).

    A vector that is stored densely does not hold them; then the adapter in the folder `adapter` does, if it is still
    the one that the vector was made of.
    """
    names = [parameter.name for parameter in difference.index.parameters]
    found = {name: factors for name in names if (factors := difference.factors(name))}
    index = difference.index
    made_of_it = index.source["kind"] == "adapter" and adapter.is_dir()
    if found or not made_of_it or adapter_fingerprint(adapter) != index.source["fingerprint"]:
        return found
    size = 1 / index.norm if index.normalize == "l2" else 1.0
    deltas = [delta for delta in adapter_deltas(adapter, checkpoint.folder, checkpoint) if delta.factors]
    return {d.name: (d.factors[0] * (d.scale * size), d.factors[1]) for d in deltas if d.name in difference}


def changed_names(differences: dict[str, Difference]) -> list[str]:
    """The stored names of all parameters that one of the differences changes."""
    return sorted({p.name for difference in differences.values() for p in difference.index.parameters})


def places_of(model: PreTrainedModel, checkpoint: Checkpoint) -> dict[str, list[tuple[str, nn.Module, str]]]:
    """Where each stored tensor is in the model: the path of a module, the module, the parameter's name in it."""
    stored = stored_names(model, checkpoint)
    places: dict[str, list[tuple[str, nn.Module, str]]] = {}
    for path, module in model.named_modules():
        for own in module._parameters:
            if name := stored.get(f"{path}.{own}".lstrip(".")):
                places.setdefault(name, []).append((path, module, own))
    return places


def is_called(model: PreTrainedModel, path: str, module: nn.Module) -> bool:
    """Whether the model calls this linear module, and does not read its weight past it."""
    family = FAMILIES.get(model.config.model_type)
    return isinstance(module, nn.Linear) and path.rpartition(".")[2] not in (family.bypassed if family else ())
