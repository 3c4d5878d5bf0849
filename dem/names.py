"""Which tensor of a checkpoint is which parameter of the model, and which parameters are one by the model's design."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from dem.checkpoints import Checkpoint
from dem.common import model_config, stored_names
from dem.reading import damage_named


@dataclass(frozen=True)
class Names:
    """The parameters of the model in a folder."""

    model: PreTrainedModel
    """Without any memory for its weights."""
    tied: list[list[str]]
    """Groups of parameters that are one tensor, by the model's names."""
    ends: list[str]
    """The weights of the embedding and of the head, whose rows are the vocabulary."""

    @classmethod
    def of(cls, folder: Path) -> "Names":
        """Of the model that the configuration in `folder` describes."""
        with damage_named(f"no model can be built of {folder / 'config.json'}"), torch.device("meta"):
            model = AutoModelForCausalLM.from_config(model_config(folder), trust_remote_code=False)
        groups: dict[str, list[str]] = {}
        for name, tied_to in model.all_tied_weights_keys.items():
            groups.setdefault(tied_to, [tied_to]).append(name)
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        named = [f"{name}.weight" for name, module in model.named_modules() if any(module is end for end in ends)]
        return cls(model, list(groups.values()), named)

    def stored(self, checkpoint: Checkpoint) -> dict[str, str]:
        """The checkpoint's name of each parameter, by the model's name of it; of a tied group it may hold any one."""
        names = stored_names(self.model, checkpoint)
        for group in self.tied:
            if held := [name for name in group if name in names]:
                names |= {name: names[held[0]] for name in group if name not in names}
        return names

    def group(self, name: str) -> list[str]:
        """All parameters that are one tensor with `name`, itself among them."""
        return next((group for group in self.tied if name in group), [name])
