"""What only a GPU can prove: `pytest -m gpu -s`. Each test prints the card, tokens/s, peak memory and the kernels."""

import csv
import importlib
import os
import shutil
import subprocess
import sys

import datasets
import pytest
import torch
from conftest import make_workplace
from test_families import random_model
from test_triton_scan import draw, require_equal_to_rounding, results
from transformers import AutoModelForCausalLM, MambaConfig

from dem import common, less_at_once, mamba, training, training_checks
from dem.config import Config, DataConfig, LoraConfig, TrainingConfig
from dem.evaluation import perplexity
from dem.evaluation.arithmetic import Arithmetic
from dem.evaluation.documents import Document
from dem.gpu_memory import ALLOCATOR, out_of_memory
from dem.training_blocks import TrainingBlocks
from dem.training_states import SavedStates

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

STEPS, BATCH, LENGTH = 8, 8, 2048
"""So many steps because a gradient scaler finds its scale by skipping the first ones: an adapter that has then hardly
moved is no dead one."""
YUNMIN = MambaConfig(vocab_size=96_000, hidden_size=2560, num_hidden_layers=64, tie_word_embeddings=False)


@pytest.mark.parametrize(
    ("model_type", "precision"), [("mamba", "fp32"), ("mamba", "bf16"), ("mamba", "fp16"), ("bamba", "bf16")]
)
def test_all_three_stages(tmp_path, tokenizer, model_type, precision):
    place = make_workplace(tmp_path, tokenizer)
    random_model(model_type, tokenizer).save_pretrained(place.base)
    for domain in ("web", "social"):
        assert place.train(domain, "--training.precision", precision, "--training.epochs", "0.4") == 0
        rows = list(csv.DictReader(place.layout.train_summary(domain, ".csv").open(encoding="utf-8")))
        assert int(rows[-1]["step"]) >= STEPS
        assert place.diff(domain) == 0
    assert place.merge() == 0
    log = place.layout.train_log("web").read_text(encoding="utf-8")
    assert torch.cuda.get_device_name() in log and f"precision: {precision}" in log
    adapter = torch.load(place.layout.adapter("web") / "adapter_model.bin", weights_only=True)
    assert all(t.any() and t.dtype == torch.float32 for t in adapter.values())
    print("\n".join(line for line in log.splitlines() if "device" in line or "scan" in line or "tokens/s" in line))


@pytest.fixture
def tiny(tmp_path, tokenizer):
    """The folder of a tiny Mamba in float32."""
    place = make_workplace(tmp_path, tokenizer)
    random_model("mamba", tokenizer).save_pretrained(place.base)
    return place.base


@pytest.mark.parametrize(("dtype", "to_train"), [(torch.float32, False), (torch.bfloat16, True)])
def test_a_model_loaded_straight_onto_the_gpu_is_that_loaded_by_way_of_the_cpu(tiny, dtype, to_train):
    straight = common.load_model(tiny, dtype, kernels="auto", to_train=to_train)
    copied = common.load_model(tiny, dtype, kernels="auto", to_train=to_train, device="cpu").state_dict()
    assert all(parameter.is_cuda for parameter in straight.parameters()) and not hasattr(straight, "hf_device_map")
    for name, tensor in straight.state_dict().items():
        assert tensor.dtype == copied[name].dtype and torch.equal(tensor.cpu(), copied[name])


def test_a_gpu_s_own_words_for_too_little_memory_are_known():
    with pytest.raises(RuntimeError) as told:
        torch.empty(1 << 45, dtype=torch.uint8, device="cuda")
    assert out_of_memory(told.value)


def test_segments_grow_as_they_were_told_to():
    code = """
from dem.gpu_memory import take_memory_in_growing_segments
take_memory_in_growing_segments()
import torch
torch.ones(1, device="cuda")
assert torch.cuda.memory._snapshot()["allocator_settings"]["expandable_segments"] is True
"""
    environment = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.skipif(not common.has_bf16(), reason="this card has no TF32")
def test_products_of_float32_are_short_only_where_they_may_be():
    one, other = (torch.randn(512, 512, device="cuda", dtype=torch.float32) for _ in range(2))
    exact, apart = one.double() @ other.double(), {}
    for name in ("tf32", "fp32"):
        with Arithmetic(name, "").in_force():
            apart[name] = float((one @ other - exact).norm() / exact.norm())
    assert apart["fp32"] < 1e-5 < apart["tf32"] < 1e-2


def test_what_does_not_fit_is_measured_in_smaller_batches(tiny, monkeypatch):
    """32 Ki tokens at 600 logits of 4 bytes are more than the 48 MiB that are left."""
    monkeypatch.setattr(less_at_once, "_HALVINGS", {})
    monkeypatch.setitem(perplexity.TOKENS_AT_ONCE, "cuda", 1 << 15)
    generator = torch.Generator().manual_seed(0)
    some = [Document(torch.randint(3, 500, (512,), generator=generator).tolist(), 1) for _ in range(64)]
    model = common.load_model(tiny, torch.float32, kernels="auto")
    plain = perplexity.score(model, some, 512)
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved() + (48 << 20)
    torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(0).total_memory)
    try:
        ours = perplexity.score(model, some, 512)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert less_at_once._HALVINGS["perplexity"] > 0
    assert ours.nll == pytest.approx(plain.nll, rel=1e-5)


@pytest.fixture
def triton_scan():
    pytest.importorskip("triton")
    return importlib.import_module("dem.triton_scan")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sizes", [(2, 5, 19, 4), (1, 70, 130, 16), (3, 33, 33, 3), (1, 40, 17, 64), (1, 1, 1, 1)])
def test_the_scan_in_triton_equals_the_one_in_float64_and_itself(triton_scan, sizes, dtype):
    given = draw(*sizes, dtype)
    exact = results(mamba.selective_scan, given, torch.float64, delta_softplus=True)
    on_card = {name: x.to("cuda") for name, x in given.items()}
    ours, again = (results(triton_scan.selective_scan, on_card, delta_softplus=True) for _ in range(2))
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    require_equal_to_rounding({name: x.cpu() for name, x in ours.items()}, exact, dtype)


def test_the_gradients_of_the_scan_in_triton_have_the_same_bits_each_time(triton_scan):
    """At the width of a model, where programs run in any order."""
    given = draw(2, 5120, 300, 16, torch.bfloat16, "cuda")
    first = results(triton_scan.selective_scan, given, delta_softplus=True)
    for _ in range(3):
        again = results(triton_scan.selective_scan, given, delta_softplus=True)
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.fixture(scope="module")
def yunmin(tmp_path_factory):
    """A checkpoint of YunMin-Mamba's shape with random weights: 5.2 GiB."""
    folder = tmp_path_factory.mktemp("yunmin")
    with torch.device("cuda"):
        AutoModelForCausalLM.from_config(YUNMIN, dtype=torch.bfloat16).save_pretrained(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_three_billion_parameters_train_on_a_24_gb_card(yunmin, tmp_path, monkeypatch, precision):
    """8 x 2048 tokens a step under a cap of 21.5 GiB, what a 24 GB card leaves to its allocator."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    card = torch.cuda.get_device_properties(0)
    torch.cuda.set_per_process_memory_fraction(min(21.5 * 2**30 / card.total_memory, 1.0))
    sizes = watch_batches(monkeypatch)
    try:
        row = train(yunmin, tmp_path, precision)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    peak, parts = torch.cuda.max_memory_reserved() / 2**30, BATCH // sizes[-1]
    speed, kernels = float(row["tokens_per_second"]), "; ".join(mamba.prepare("mamba"))
    print(f"{card.name}, {precision}: {speed:,.0f} tokens/s, peak {common.peak_memory()} in {parts} parts; {kernels}")
    assert float(row["loss"]) > 0 and peak < 21.5
    assert sizes[-STEPS * parts :] == [BATCH // parts] * STEPS * parts
    # Reckoned, not measured: in two parts 5.2 GiB of weights, 5 of what is kept before each layer, and one layer's own.
    assert parts <= 2


def watch_batches(monkeypatch) -> list[int]:
    """The blocks in each pass through the model from now on."""
    sizes = []
    step = training_checks.FiniteTrainer.training_step

    def watched(self, model, inputs, *rest):
        sizes.append(len(inputs["input_ids"]))
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(training_checks.FiniteTrainer, "training_step", watched)
    return sizes


def train(base, folder, precision) -> dict[str, str]:
    """A few steps of stage 1 on random tokens; the last row of its table."""
    config = Config(
        base_model=str(base),
        data=DataConfig(max_length=LENGTH),
        training=TrainingConfig(batch_size=BATCH, precision=precision, logging_steps=1),
        lora=LoraConfig(),
    )
    common.start_log(None)
    dtype = common.choose_precision(precision).dtype
    model = training.with_adapter(common.load_model(base, dtype, kernels="auto", to_train=True), config)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, YUNMIN.vocab_size, (STEPS * BATCH, LENGTH), generator=generator)
    blocks = datasets.Dataset.from_dict({"input_ids": ids.tolist()})
    state, table = folder / "state", folder / "train.csv"
    state.mkdir()
    blocks = TrainingBlocks(blocks, blocks.select([]), 1, [])
    training.run_training(model, None, blocks, config, precision, SavedStates(state, {}), table)
    return list(csv.DictReader(table.open(encoding="utf-8")))[-1]
