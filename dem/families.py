"""What there is to know about LoRA on each family of models with Mamba layers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What there is to know about LoRA on the models of one `model_type`."""

    targets: tuple[str, ...]
    """Modules that `auto` adapts, as far as the model has them."""
    others: tuple[str, ...]
    """Modules that train as well, and were found not to be worth their parameters."""
    bypassed: frozenset[str]
    """Modules whose weight the mixer reads without calling the module, so that LoRA around them has no effect."""
    fused: str
    """transformers' name of the kernel that takes raw weights past the adapters around them."""

    @property
    def selective_scan(self) -> bool:
        """Whether the mixers compute Mamba-1's selective scan; else it is Mamba-2's, by chunks."""
        return self.fused == "mamba_inner_fn"


def _mamba_1(*beside: str) -> Family:
    # At equal trainable parameters x_proj gains nothing: tests/benchmarks/README.md.
    targets = ("in_proj", "out_proj", *beside)
    return Family(targets, ("x_proj",), frozenset({"dt_proj", "conv1d"}), "mamba_inner_fn")


def _mamba_2(*beside: str) -> Family:
    return Family(("in_proj", "out_proj", *beside), (), frozenset({"conv1d"}), "mamba2_split_conv1d_scan_combined")


_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_GATED_MLP = ("gate_proj", "up_proj", "down_proj")

FAMILIES = {
    "mamba": _mamba_1(),
    "falcon_mamba": _mamba_1(),
    "jamba": _mamba_1(*_ATTENTION, *_GATED_MLP),
    "mamba2": _mamba_2(),
    "zamba2": _mamba_2(*_ATTENTION, "gate_up_proj", "down_proj"),
    "bamba": _mamba_2(*_ATTENTION, *_GATED_MLP),
    "granitemoehybrid": _mamba_2(*_ATTENTION, "input_linear", "output_linear"),
    "falcon_h1": _mamba_2(*_ATTENTION, *_GATED_MLP),
    "nemotron_h": _mamba_2(*_ATTENTION, "up_proj", "down_proj"),
}
"""By model_type. The experts of a mixture and their router are no modules that LoRA wraps, and stay as they are."""
