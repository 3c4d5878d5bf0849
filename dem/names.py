"""Which tensor of a checkpoint is which parameter of the model, and which parameters are one by the model's design."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from dem.checkpoints import Checkpoint
from dem.common import model_config


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
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(model_config(folder), trust_remote_code=False)
        groups: dict[str, list[str]] = {}
        for name, tied_to in model.all_tied_weights_keys.items():
            groups.setdefault(tied_to, [tied_to]).append(name)
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        named = [f"{name}.weight" for name, module in model.named_modules() if any(module is end for end in ends)]
        return cls(model, list(groups.values()), named)

    def stored(self, checkpoint: Checkpoint) -> dict[str, str]:
        """The checkpoint's name of each parameter that it holds, by the model's name of it.

        transformers renames some parameters when it loads; of a tied group a checkpoint may hold one only.
        """
        renamings = [rule for rule in get_model_conversion_mapping(self.model) if isinstance(rule, WeightRenaming)]
        expected = self.model.state_dict()
        prefix = self.model.base_model_prefix
        renamed = {rename_source_key(name, renamings, [], prefix, expected)[0]: name for name in checkpoint}
        names = {name: there for name, there in renamed.items() if name in expected}
        for group in self.tied:
            if held := [name for name in group if name in names]:
                names |= {name: names[held[0]] for name in group if name not in names}
        return names

    def group(self, name: str) -> list[str]:
        """All parameters that are one tensor with `name`, itself among them."""
        return next((group for group in self.tied if name in group), [name])
