"""What only a GPU can prove: `pytest -m gpu -s`. Each test prints the card, tokens/s, peak memory and the kernels."""

import csv

import datasets
import pytest
import torch
from conftest import make_workplace
from transformers import AutoModelForCausalLM, MambaConfig

from dem import common, mamba, training
from dem.config import Config, DataConfig, LoraConfig, TrainingConfig

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_all_three_stages(tmp_path, tokenizer, precision):
    place = make_workplace(tmp_path, tokenizer)
    for domain in ("web", "social"):
        assert place.train(domain, "--training.precision", precision) == 0
        assert place.diff(domain) == 0
    assert place.merge() == 0
    log = place.layout.train_log("web").read_text(encoding="utf-8")
    assert torch.cuda.get_device_name() in log and f"precision: {precision}" in log
    adapter = torch.load(place.layout.adapter("web") / "adapter_model.bin", weights_only=True)
    assert all(t.any() and t.dtype == torch.float32 for t in adapter.values())
    print("\n".join(line for line in log.splitlines() if "device" in line or "scan" in line or "tokens/s" in line))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_three_billion_parameters_train_on_a_24_gb_card(tmp_path, precision):
    """8 x 2048 tokens a step under a cap of 21.5 GiB, what a 24 GB card leaves to its allocator."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    card = torch.cuda.get_device_properties(0)
    torch.cuda.set_per_process_memory_fraction(min(21.5 * 2**30 / card.total_memory, 1.0))
    try:
        row, kernels = _train_yunmin(tmp_path, precision)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    peak = torch.cuda.max_memory_allocated() / 2**30
    speed = float(row["tokens_per_second"])
    print(f"{card.name}, {precision}: {speed:,.0f} tokens/s, peak {peak:.2f} GiB; {'; '.join(kernels)}")
    assert float(row["loss"]) > 0 and peak < 21.5


def _train_yunmin(folder, precision) -> tuple[dict[str, str], list[str]]:
    """Three steps of stage 1 on a random model of YunMin-Mamba's shape; the last row of its table, its kernels."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    shape = MambaConfig(vocab_size=96_000, hidden_size=2560, num_hidden_layers=64, tie_word_embeddings=False)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(shape, dtype=dtype)
    for name, parameter in model.named_parameters():
        if name.endswith((".A_log", ".D")) or "norm" in name:
            parameter.data = parameter.data.float()
    kernels = mamba.prepare("mamba")
    config = Config(
        base_model="random",
        data=DataConfig(max_length=2048),
        training=TrainingConfig(batch_size=8, precision=precision, logging_steps=1),
        lora=LoraConfig(),
    )
    common.start_log(None)
    ids = torch.randint(3, 96_000, (24, 2048), generator=torch.Generator().manual_seed(0))
    blocks = datasets.Dataset.from_dict({"input_ids": ids.tolist()})
    state, table = folder / "state", folder / "train.csv"
    state.mkdir()
    model = training.with_adapter(model, config)
    training.run_training(model, None, blocks, blocks.select([]), config, precision, state, table)
    return list(csv.DictReader(table.open(encoding="utf-8")))[-1], kernels
