"""In a training in half precision, what goes into a product is rounded where it is made, and stays so.

The norms keep float32 weights, and so give float32. Autocast then rounds that anew for every product that reads it, the
mixer takes its type for what it hands to out_proj, and PEFT makes its factors' inputs float32, which autocast rounds
back. A product sees the same numbers either way. What differs is that the gradients of a norm's output by several
readers are added once they are rounded rather than before, as those of every other activation are.
"""

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn


def round_once(model: PeftModel) -> None:
    """Let the model run so from now on; its adapter then computes under autocast only.

    A norm is left alone unless all that reads it is one mixer, which is so where a block holds these two.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
        norm = getattr(module, "norm", None)
        if isinstance(norm, nn.Module) and hasattr(module, "mixer"):
            norm.register_forward_hook(_rounded)


def _rounded(norm: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    device = output.device.type
    return output.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else output
