"""What does not fit into memory goes through the model in smaller batches, with the same result."""

import copy

import numpy as np
import pytest
import torch
from conftest import make_base
from test_generation import PROMPTS, varied
from test_harness import make_rows, needs_harness, prepared, write
from test_search import documents, make_place, open_terms
from transformers import AutoModelForCausalLM

from dem import less_at_once
from dem.common import start_log
from dem.errors import WorkError
from dem.evaluation.documents import Document
from dem.evaluation.generation import answer_all
from dem.evaluation.harness import run_harness
from dem.evaluation.perplexity import score
from dem.search.losses import Losses
from dem.search.moments import second_moments


@pytest.fixture(autouse=True)
def unknown(monkeypatch):
    """Nothing is known yet of what fits."""
    monkeypatch.setattr(less_at_once, "_HALVINGS", {})


@pytest.fixture
def said():
    start_log(None, said=(records := []))
    return records


@pytest.fixture
def model(tmp_path, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer)).eval()
    varied(model)
    return model


def with_room_for(model, tokens):
    """Let the model find no memory for more tokens at once, as cuBLAS says it; returns the sizes that it computed."""
    seen = []

    def fail(module, args, keywords=None):
        ids = args[0] if args else keywords["input_ids"]
        if ids.numel() > tokens:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        seen.append(ids.numel())

    model.base_model.register_forward_pre_hook(fail, with_kwargs=True)
    return seen


def told(said) -> list[str]:
    return [record.getMessage() for record in said if "do not fit" in record.getMessage()]


def test_perplexity(model, said):
    some, progress = documents(1), []
    plain = score(model, some, 30)
    seen = with_room_for(model, 70)
    ours = score(model, some, 30, progress.append)
    np.testing.assert_allclose(ours.nll, plain.nll, rtol=1e-5)
    assert sum(progress) == plain.tokens.sum() and max(seen) <= 70 and len(told(said)) >= 2
    lines = len(told(said))
    assert score(model, some, 30).nll == pytest.approx(ours.nll) and len(told(said)) == lines  # it is said once
    assert "perplexity: 1,024 tokens at once do not fit into memory: taking half as many" in told(said)[0]


def test_a_piece_that_alone_does_not_fit_ends_the_work(model):
    with_room_for(model, 64)
    with pytest.raises(WorkError, match="perplexity: memory does not suffice for 90 tokens at once"):
        score(model, [*documents(1), Document(range(90), 90)], 100)


def test_another_error_is_not_taken_for_it(model):
    def fail(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    model.base_model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="illegal"):
        score(model, documents(1), 30)


def test_gradients_of_a_backward_pass_that_failed_half_way_do_not_count(workplace):
    terms, _ = open_terms(make_place(workplace, modules_to_save=["norm_f"], targets=("in_proj", "embeddings")))
    start_log(None, said=(said := []))
    losses, weights = Losses(terms, {"web": documents(1)}, 30), np.array([[0.3], [0.4]])
    (norm,), take, taken, failed = terms.slow["backbone.norm_f.weight"], terms.take_gradient, [], []
    terms.take_gradient = lambda: taken.append(norm.grad.clone()) or take()
    plain = losses.at(weights, gradient=True)

    def no_room(module, inputs, output):
        def fail(gradient):
            if gradient.shape[0] * gradient.shape[1] > 70:
                failed.append(gradient.shape)
                raise torch.OutOfMemoryError("no room")

        if output.requires_grad:
            output.register_hook(fail)

    terms.model.backbone.layers[0].register_forward_hook(no_room)  # the last one of a backward pass
    progress = []
    ours = losses.at(weights, gradient=True, progress=progress.append)
    assert failed and "gradients: " in told(said)[0] and sum(progress) == losses.tokens["web"]
    np.testing.assert_allclose(ours.losses, plain.losses, rtol=1e-6)
    np.testing.assert_allclose(ours.jacobian, plain.jacobian, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(taken[1], taken[0], rtol=1e-4, atol=1e-4)  # which comes first, and so was left behind


def test_answers(model, tokenizer, said):
    plain, progress = answer_all(model, tokenizer, PROMPTS, 12), []

    def fail(module, args):
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("no room")

    model.backbone.layers[0].register_forward_pre_hook(fail)
    assert answer_all(model, tokenizer, PROMPTS, 12, progress.append) == plain
    assert sum(progress) == 12 * len(PROMPTS) and "answers: 32 prompts at once" in told(said)[0]


def test_moments(model, said):
    modules = {"in": [model.backbone.layers[1].mixer.in_proj]}
    some = [*documents(1), *documents(1)]
    plain = second_moments(model, modules, some, 10)

    def fail(module, args):
        if args[0].shape[0] > 3:
            raise torch.OutOfMemoryError("no room")

    model.backbone.layers[1].register_forward_pre_hook(fail)
    model.backbone.layers[1].mixer.out_proj.register_forward_pre_hook(fail)  # behind what was added already
    torch.testing.assert_close(second_moments(model, modules, some, 10), plain, rtol=1e-5, atol=1e-4)
    assert "regmean: " in told(said)[0]


@needs_harness
def test_multiple_choice(tmp_path, model, tokenizer, said):
    work = prepared(write(tmp_path / "q.jsonl", make_rows(20)))
    plain = run_harness(model, tokenizer, work)
    seen = with_room_for(copy.copy(model), 300)
    assert run_harness(model, tokenizer, work) == plain
    assert max(seen) <= 300 and "harness: " in told(said)[0]
