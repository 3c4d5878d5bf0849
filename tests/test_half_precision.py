"""Rounding once, under autocast on a CPU: the same numbers to rounding, and which types flow."""

import copy

import pytest
import torch
from peft.tuners.lora import LoraLayer
from test_families import random_model

from dem import common, training
from dem.config import Config, LoraConfig
from dem.half_precision import round_once

IDS = torch.randint(3, 500, (2, 33), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def load(tmp_path, tokenizer):
    def load(model_type, dtype):
        if not (tmp_path / "config.json").exists():
            random_model(model_type, tokenizer).to(torch.bfloat16).save_pretrained(tmp_path)
        model = common.load_model(tmp_path, dtype, kernels="auto", to_train=True)
        model = training.adapted(model, Config("base", lora=LoraConfig(dropout=0.0))).train()
        torch.manual_seed(2)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        return model

    return load


def step(model, half=True) -> tuple[float, dict[str, torch.Tensor]]:
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def distance(some, exact) -> float:
    """Of all gradients together, relative."""
    square = sum((some[name].double() - exact[name].double()).square().sum() for name in exact)
    return float(square / sum(each.double().square().sum() for each in exact.values())) ** 0.5


@pytest.mark.parametrize("model_type", ["mamba", "falcon_mamba", "mamba2", "nemotron_h", "jamba"])
def test_loss_and_gradients_are_the_same_to_rounding(load, model_type):
    exact_loss, exact = step(load(model_type, torch.float32), half=False)
    model = load(model_type, torch.bfloat16)
    plain_loss, plain = step(copy.deepcopy(model))
    round_once(model)
    loss, ours = step(model)
    assert loss == pytest.approx(plain_loss, abs=2**-9 * plain_loss)
    assert loss == pytest.approx(exact_loss, abs=2**-8 * exact_loss)

    assert distance(ours, plain) < 2**-6 and distance(ours, exact) < 1.1 * distance(plain, exact) + 2**-9
    assert all(gradient.dtype == torch.float32 for gradient in ours.values())


def types_of_inputs(model) -> set[tuple[str, torch.dtype]]:
    seen = set()
    for name, module in model.named_modules():
        if name.endswith(("_proj", "lora_A.default")):
            own = name.split(".mixer.")[-1]
            module.register_forward_pre_hook(lambda _, args, own=own: seen.add((own, args[0].dtype)))
    step(model)
    return seen


def test_every_product_s_input_is_half_already(load):
    model = load("mamba", torch.bfloat16)
    plain = types_of_inputs(copy.deepcopy(model))
    assert {
        ("in_proj", torch.float32),
        ("out_proj", torch.float32),
        ("out_proj.lora_A.default", torch.float32),
    } <= plain
    round_once(model)
    seen = types_of_inputs(model)
    assert {name for name, _ in seen} == {name for name, _ in plain} and {dtype for _, dtype in seen} == {
        torch.bfloat16
    }


def test_without_autocast_nothing_is_rounded(load):
    model = load("mamba", torch.float32)
    plain = step(copy.deepcopy(model), half=False)
    round_once(model)
    loss, gradients = step(model, half=False)
    assert loss == plain[0] and all(torch.equal(gradients[name], plain[1][name]) for name in gradients)
    assert any(isinstance(module, LoraLayer) for module in model.modules())
