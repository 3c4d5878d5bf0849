"""The search for weights: terms and losses against merged weights, gradients against finite differences."""

import numpy as np
import pytest
import torch
from conftest import make_adapter, make_base
from transformers import AutoModelForCausalLM

from dem.checkpoints import Checkpoint
from dem.diffs import Difference
from dem.evaluation.documents import Document
from dem.search.losses import Losses
from dem.search.terms import Terms, factors_of
DOMAINS = ["web", "social"]


def make_place(workplace, storage="lowrank", **adapter):
    """Differences of two random adapters, and their documents."""
    place = workplace
    for seed, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed, **adapter)
        assert place.diff(domain, "--diff.storage", storage) == 0
    return place


def open_terms(place, model=None, group_of=None):
    checkpoint = Checkpoint(place.base)
    model = model or AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32).eval()
    differences = {d: Difference(*place.layout.existing_difference(d)) for d in DOMAINS}
    factors = {d: factors_of(o, place.layout.adapter(d), checkpoint) for d, o in differences.items()}
    return Terms(model, checkpoint, differences, factors, group_of), differences


def merged_model(place, differences, weights):
    """The base with the weighted differences added to its parameters in float64."""
    model = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32).eval()
    state = model.state_dict()
    for weight, difference in zip(weights, differences.values(), strict=True):
        for parameter in difference.index.parameters:
            state[parameter.name] = state[parameter.name].double() + weight * difference.read(parameter.name).double()
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model


def documents(seed: int, vocabulary: int = 500) -> list[Document]:
    lengths = np.random.default_rng(seed).integers(2, 40, 7)
    random = np.random.default_rng(seed)
    return [Document(random.integers(0, vocabulary, n).astype(np.int32), 10) for n in lengths]


def plain_loss(model, some: list[Document]) -> float:
    """Nats per token, one document at a time through the model's own loss."""
    with torch.no_grad():
        sums = [
            float(model(input_ids=ids[None], labels=ids[None]).loss) * (len(ids) - 1)
            for ids in (torch.tensor(document.ids).long() for document in some)
        ]
    return sum(sums) / sum(len(document.ids) - 1 for document in some)


KINDS = {
    "lowrank": {},
    "dense, from the adapter": {"storage": "dense"},
    "with an embedding and a norm": {"modules_to_save": ["norm_f"], "targets": ("in_proj", "embeddings")},
    "DoRA": {"use_dora": True, "targets": ("in_proj",)},
    "read past the module": {"targets": ("dt_proj", "out_proj")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_terms_are_the_merged_weights(workplace, kind):
    place = make_place(workplace, **KINDS[kind])
    terms, differences = open_terms(place)
    assert bool(terms.slow) == (kind not in ("lowrank", "dense, from the adapter"))
    texts = {"web": documents(1), "학교": documents(2)}
    losses = Losses(terms, texts, 1000)
    before = {name: value.clone() for name, value in terms.model.state_dict().items()}
    for weights in ((0.0, 0.0), (0.7, -0.4)):
        found = losses.at(np.array(weights)[:, None], gradient=False)
        merged = merged_model(place, differences, weights)
        assert found.losses == pytest.approx([plain_loss(merged, some) for some in texts.values()], rel=2e-6)
        assert [nll.sum() for nll in found.nll] == pytest.approx(found.losses * list(losses.tokens.values()))
    changed = [n for n, value in terms.model.state_dict().items() if not torch.equal(before[n], value)]
    assert changed == []


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes(workplace, kind):
    place = make_place(workplace, **KINDS[kind])
    terms, _ = open_terms(place)
    terms.model.double()
    losses = Losses(terms, {"web": documents(1), "social": documents(2)}, 1000)
    at = np.array([[0.8], [0.3]])
    found = losses.at(at, gradient=True)
    assert found.losses == pytest.approx(losses.at(at, gradient=False).losses, rel=1e-6)
    step = 0.05
    for i in range(2):
        there, back = (losses.at(at + sign * step * np.eye(2)[:, [i]], gradient=False).losses for sign in (1, -1))
        assert found.jacobian[:, i] == pytest.approx((there - back) / (2 * step), rel=0.02, abs=2e-5)
    assert found.forward_tokens == found.backward_tokens == sum(losses.tokens.values())


def test_a_group_of_parameters_has_weights_of_its_own(workplace):
    place = make_place(workplace)
    _, differences = open_terms(place)
    names = Terms(*_parts(place), differences, {d: {} for d in DOMAINS}).changed
    group_of = [int("layers.1." in name) for name in names]
    terms, _ = open_terms(place, group_of=group_of)
    losses = Losses(terms, {"web": documents(1)}, 1000)
    first = losses.at(np.array([[0.5, 0.0], [0.2, 0.0]]), gradient=True)
    both = losses.at(np.array([[0.5, 0.5], [0.2, 0.2]]), gradient=True)
    assert first.losses != both.losses and first.jacobian.shape == (1, 4)
    plain = open_terms(place)[0]
    same = Losses(plain, {"web": documents(1)}, 1000).at(np.array([[0.5], [0.2]]), gradient=True)
    assert both.losses == pytest.approx(same.losses, rel=1e-6)
    assert both.jacobian.reshape(2, 2).sum(1) == pytest.approx(same.jacobian[0], rel=1e-4)


def _parts(place):
    return AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32).eval(), Checkpoint(place.base)
