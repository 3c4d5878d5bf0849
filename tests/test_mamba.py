import pytest
import torch
from conftest import make_base
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.models.mamba import modeling_mamba

from dem import mamba
from dem.errors import RequestError

LIBRARY_SCAN = modeling_mamba.mamba_selective_scan  # as transformers brings it; `prepare` replaces it for the process


@pytest.fixture
def library(monkeypatch):
    """transformers as it came; what a test changes in it is undone."""
    monkeypatch.setattr(modeling_mamba, "mamba_inner_fn", modeling_mamba.mamba_inner_fn)
    monkeypatch.setattr(modeling_mamba, "mamba_selective_scan", LIBRARY_SCAN)


def inputs(b=2, d=6, n=4, length=37, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=dtype)

    A = -draw(d, n).exp()
    tensors = [draw(b, d, length), draw(b, d, length), A, draw(b, n, length), draw(b, n, length)]
    return [t.requires_grad_() for t in tensors], dict(D=draw(d), z=draw(b, d, length), delta_bias=draw(d))


@pytest.fixture(params=["on a CPU", "in PyTorch"])
def way(request, monkeypatch):
    """Both ways of the scan, on a CPU, which otherwise takes the first."""
    if request.param == "in PyTorch":
        monkeypatch.setattr(mamba, "scan_on_cpu", mamba._scan_in_pytorch)


@pytest.mark.parametrize("length", [1, 16, 19])  # within a chunk, a whole one, beyond it
def test_gradients_of_the_scan(length, way):
    tensors, others = inputs(length=length)

    def scan(*tensors):
        return mamba.selective_scan(*tensors, **others, delta_softplus=True, return_last_state=True)

    assert torch.autograd.gradcheck(scan, tensors)


def test_scan_equals_the_librarys_loop(way):
    tensors, others = inputs(dtype=torch.float32, length=100)
    options = dict(others, delta_softplus=True, return_last_state=True)
    results = []
    for scan in (LIBRARY_SCAN, mamba.selective_scan):
        y, state = scan(*tensors, **options)
        gradients = torch.autograd.grad(y.square().sum() + state.sum(), tensors)
        results.append((y, state, *gradients))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("length", [1, 2, 37, 64])
def test_scan_without_gradient_is_the_same(length, way):
    tensors, others = inputs(length=length)
    options = dict(others, delta_softplus=True, return_last_state=True)
    with_gradient = mamba.selective_scan(*tensors, **options)
    with torch.inference_mode():
        without = mamba.selective_scan(*tensors, **options)
    for ours, theirs in zip(without, with_gradient, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_scan_is_computed_in_float32_from_half_precision():
    tensors, others = inputs(dtype=torch.float32, length=64)
    half = [t.detach().bfloat16() for t in tensors]
    options = {k: v.bfloat16() for k, v in others.items()}
    in_full = {k: v.float() for k, v in options.items()}
    exact = mamba.selective_scan(*[t.float() for t in half], **in_full, delta_softplus=True)
    ours = mamba.selective_scan(*half, **options, delta_softplus=True)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), exact, rtol=2e-2, atol=2e-2)


def test_model_with_our_scan_equals_the_librarys(tmp_path, tokenizer, library):
    base = make_base(tmp_path / "base", tokenizer)
    ids = torch.randint(0, len(tokenizer), (2, 50), generator=torch.Generator().manual_seed(0))
    model = AutoModelForCausalLM.from_pretrained(base)
    theirs = model(input_ids=ids, labels=ids)
    mamba.prepare("mamba")
    assert modeling_mamba.mamba_selective_scan is mamba.selective_scan
    ours = model(input_ids=ids, labels=ids)
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-5)
    greedy = dict(do_sample=False, max_new_tokens=8)
    generated = model.generate(ids[:1, :20], **greedy)
    modeling_mamba.mamba_selective_scan = LIBRARY_SCAN
    assert torch.equal(generated, model.generate(ids[:1, :20], **greedy))


def fused_kernel_stand_in(xz, conv1d_weight, conv1d_bias, x_proj_weight, delta_proj_weight, out_proj_weight, *a, **k):
    """Reads the raw weights of x_proj and out_proj, as the CUDA kernel does; what it computes does not matter."""
    mixed = xz.chunk(2, dim=1)[0].transpose(1, 2)
    return (mixed * x_proj_weight.sum()) @ out_proj_weight.t()


def lora_gradients(base, targets):
    model = AutoModelForCausalLM.from_pretrained(base)
    with mamba.out_proj_allowed():
        model = get_peft_model(model, LoraConfig(r=2, target_modules=targets, task_type="CAUSAL_LM")).train()
    ids = torch.randint(0, 100, (2, 20), generator=torch.Generator().manual_seed(0))
    model(input_ids=ids, labels=ids).loss.backward()
    return {n: p.grad for n, p in model.named_parameters() if "lora_B" in n}


def test_every_target_trains_beside_a_fused_kernel(tmp_path, tokenizer, library, monkeypatch):
    base = make_base(tmp_path / "base", tokenizer)
    targets = ["in_proj", "x_proj", "out_proj"]
    modeling_mamba.mamba_inner_fn = fused_kernel_stand_in
    gradients = lora_gradients(base, targets)
    assert len(gradients) == 2 * len(targets)
    assert all(g is not None and g.abs().max() > 0 for g in gradients.values())

    # Without our change the kernel takes the gradient from x_proj and out_proj: the test above can fail.
    modeling_mamba.mamba_inner_fn = fused_kernel_stand_in
    monkeypatch.setattr(mamba, "remove_fused_kernel", lambda model_type: None)
    bypassed = lora_gradients(base, targets)
    lost = {n.split(".lora_B")[0].rpartition(".")[2] for n, g in bypassed.items() if g is None or not g.any()}
    assert lost == {"x_proj", "out_proj"}


def test_targets_that_cannot_train_are_refused(tmp_path, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer))
    for name in ("dt_proj", "conv1d", "mixer.dt_proj"):
        with pytest.raises(RequestError, match=name):
            mamba.target_modules(model, ["in_proj", name])
    assert mamba.target_modules(model, ["x_proj"]) == ["x_proj"]
    assert mamba.target_modules(model, "auto") == ["in_proj", "out_proj"]
    model.config.model_type = "llama"
    assert mamba.target_modules(model, "auto") is None


def test_pefts_refusal_is_lifted_only_for_out_proj_and_only_inside(tmp_path, tokenizer):
    base = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer))
    with mamba.out_proj_allowed():
        model = get_peft_model(base, LoraConfig(target_modules=["out_proj"], task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "adapter")
    base = model.unload()
    with pytest.raises(ValueError, match="out_proj"):
        PeftModel.from_pretrained(base, tmp_path / "adapter")
    with mamba.out_proj_allowed():
        PeftModel.from_pretrained(base, tmp_path / "adapter").unload()
    with mamba.out_proj_allowed(), pytest.raises(ValueError, match="conv1d"):
        get_peft_model(base, LoraConfig(target_modules=["conv1d"], task_type="CAUSAL_LM"))
