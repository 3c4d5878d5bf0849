"""Bases that are not what they seem, or have an end: adapters beside them, quantised ones, positions that are counted.

Each is refused by name before any work, or served.
"""

import json
import shutil

import pytest
import torch
from conftest import DOMAINS, make_adapter, make_base, make_workplace
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config

from dem import common
from dem.checkpoints import Checkpoint
from dem.chunked_loss import use_chunked_loss
from dem.common import base_folder, load_model
from dem.errors import RequestError
from dem.evaluation.answers import read_answers
from dem.evaluation.generation import answer_all
from dem.evaluation.perplexity import head_is_all
from dem.full_model import open_model
from dem.positions import position_limit


@pytest.fixture
def place(tmp_path, tokenizer):
    return make_workplace(tmp_path, tokenizer)


def differences(place) -> None:
    for i, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=i)
        assert place.diff(domain) == 0


def put_stray_adapter(model, base) -> None:
    """What save_pretrained of a PeftModel leaves in a folder."""
    made = make_adapter(base, model.parent / "stray", seed=3)
    for file in made.glob("adapter_*"):
        shutil.copy(file, model)


def change_config(folder, **settings) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_an_adapter_beside_the_base_is_refused_by_every_stage(place, refused):
    differences(place)
    put_stray_adapter(place.base, make_base_like(place))
    words = (str(place.base), "adapter_config.json", "merge_and_unload")
    refused(place.train("web"), "base_model", *words)
    refused(place.diff("web"), "base_model", *words)
    refused(place.merge(), "base_model", *words)
    refused(place.merge("--evaluation.enabled", "false"), "base_model", *words)
    assert not place.layout.merged_model.exists() and not place.layout.train_log("web").exists()


def make_base_like(place):
    """A copy of the base, on which an adapter can be made while its folder is spoilt."""
    return shutil.copytree(place.base, place.base.parent / "copy")


def test_an_adapter_beside_a_fine_tuned_model_is_refused(place, refused):
    tuned = make_base(place.root.parent / "tuned", common.load_tokenizer(place.base), seed=4)
    assert place.diff("web", "--model", str(tuned)) == 0
    make_adapter(place.base, place.layout.adapter("social"), seed=1)
    assert place.diff("social") == 0
    put_stray_adapter(tuned, place.base)
    refused(place.diff("web", "--model", str(tuned)), f"--model {tuned}", "beside the model")
    refused(place.merge(), str(tuned), "beside the model")  # whose evaluation would load it
    assert not place.layout.merged_model.exists()
    with pytest.raises(RequestError, match="beside the model"):
        load_model(tuned, torch.float32, kernels="auto")


def test_an_adapters_weights_alone_are_not_attached_by_anyone(place):
    stray = make_adapter(place.base, place.root.parent / "stray", seed=3)
    before = load_model(place.base, torch.float32, kernels="auto").state_dict()
    shutil.copy(stray / "adapter_model.bin", place.base)
    assert base_folder(str(place.base)) == place.base
    after = load_model(place.base, torch.float32, kernels="auto").state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)


def test_an_adapter_in_place_of_a_model_is_called_one(place, tmp_path):
    adapter = make_adapter(place.base, tmp_path / "lora", seed=3)
    with pytest.raises(RequestError, match="base_model .*lora is an adapter"):
        base_folder(str(adapter))
    with pytest.raises(RequestError, match="--model .*lora is an adapter.*checkpoints/lora_<domain>"):
        open_model(adapter)


def test_an_adapter_in_a_downloaded_folder_is_refused(place, monkeypatch):
    put_stray_adapter(place.base, make_base_like(place))
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.extend(allow_patterns)
        return str(place.base)

    monkeypatch.setattr(common, "snapshot_download", snapshot_download)
    with pytest.raises(RequestError, match="base_model lab/model holds an adapter"):
        base_folder("lab/model")
    assert "*.json" in asked  # or a download would leave the adapter out, and this case would not be


QUANTIZED = {
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "older bitsandbytes": {"load_in_8bit": True},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "awq": {"quant_method": "awq", "bits": 4, "version": "gemm"},
    "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    "mxfp4": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
    "compressed-tensors": {"quant_method": "compressed-tensors", "format": "pack-quantized"},
    "not yet known": {"quant_method": "q9"},
    "empty": {},
}


@pytest.mark.parametrize("how", QUANTIZED)
@pytest.mark.parametrize("nested", [False, True], ids=["", "in a part"])
def test_a_quantised_model_is_refused_by_its_method(tmp_path, tokenizer, how, nested):
    folder, found = make_base(tmp_path / "base", tokenizer), QUANTIZED[how]
    change_config(
        folder, **({"text_config": {"quantization_config": found}} if nested else {"quantization_config": found})
    )
    named = found.get("quant_method") or next(iter(found), "no method named")
    for take, what in ((base_folder, "base_model"), (lambda f: open_model(folder), "--model")):
        with pytest.raises(RequestError) as caught:
            take(str(folder))
        message = str(caught.value)
        assert f"{what} {folder} is quantised" in message and named in message and "dequantize()" in message
    change_config(folder, quantization_config=None, text_config={"quantization_config": None})
    assert base_folder(str(folder)) == folder


def test_a_quantised_base_is_refused_by_every_stage(place, refused):
    differences(place)
    change_config(place.base, quantization_config=QUANTIZED["bitsandbytes"])
    for run in (lambda: place.train("web"), lambda: place.diff("web"), place.merge):
        refused(run(), "is quantised", "bitsandbytes, load_in_4bit")
    assert not place.layout.merged_model.exists()


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_a_type_that_cannot_be_added_to_are_refused(tmp_path, tokenizer, dtype, form):
    folder = make_base(tmp_path / "base", tokenizer)
    weights, name = load_file(folder / "model.safetensors"), "backbone.layers.1.mixer.in_proj.weight"
    weights[name] = weights[name].to(dtype)
    if form == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")
    with pytest.raises(RequestError, match=f"model.{form}: {name} is of type .*dequantised"):
        Checkpoint(folder)


def test_whole_numbers_that_are_no_weights_are_only_copied(tmp_path, tokenizer):
    folder = make_base(tmp_path / "base", tokenizer)
    weights = load_file(folder / "model.safetensors") | {"mask": torch.ones(3, 3, dtype=torch.uint8)}
    save_file(weights, folder / "model.safetensors")
    assert "mask" in Checkpoint(folder)


SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
PLACES = 40
DECODER = {"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48, "max_position_embeddings": PLACES}
LIMITED = {
    "gpt2": {"n_positions": PLACES},
    "gpt_neo": {"max_position_embeddings": PLACES, "num_layers": 2, "attention_types": [[["global", "local"], 1]]},
    "gpt_bigcode": {"n_positions": PLACES},
    "openai-gpt": {"n_positions": PLACES},
    "opt": {"max_position_embeddings": PLACES, "word_embed_proj_dim": 32, "ffn_dim": 48},
    "biogpt": {"max_position_embeddings": PLACES},
    "gptj": {"n_positions": PLACES, "rotary_dim": 4},
    "codegen": {"n_positions": PLACES, "rotary_dim": 4},
    "ctrl": {"n_positions": PLACES, "dff": 48},
    "mpt": {"max_seq_len": PLACES},
    "bart": DECODER,
    "marian": DECODER | {"pad_token_id": 0, "decoder_start_token_id": 0},
    "roberta": {"max_position_embeddings": PLACES + 2, "is_decoder": True},
    "megatron-bert": {"max_position_embeddings": PLACES, "is_decoder": True},
    "xlm": {"max_position_embeddings": PLACES, "emb_dim": 32, "n_layers": 2, "n_heads": 4},
}
ENDLESS = {
    "llama": {"max_position_embeddings": PLACES},
    "gpt_neox": {"max_position_embeddings": PLACES},
    "bloom": {},
    "xglm": {"max_position_embeddings": PLACES, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48},
    "mamba": {"state_size": 4},
}


def counted_model(model_type, vocabulary=SMALL["vocab_size"], **ids):
    torch.manual_seed(0)
    known = AutoConfig.for_model(model_type)
    small = {name: value for name, value in SMALL.items() if hasattr(known, name)}
    settings = small | {**LIMITED, **ENDLESS}[model_type] | {"vocab_size": vocabulary} | ids
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **settings)).eval()


def takes(model, tokens: int) -> bool:
    ids = torch.arange(3, 3 + tokens)[None]
    try:
        with torch.no_grad():
            return model(input_ids=ids, use_cache=False).logits.shape[1] == tokens
    except (IndexError, RuntimeError):  # a table's end is told in either way
        return False


@pytest.mark.parametrize("model_type", LIMITED)
def test_the_limit_is_where_the_model_stops(model_type):
    model = counted_model(model_type)
    assert position_limit(model) == PLACES
    assert takes(model, PLACES) and not takes(model, PLACES + 1)
    assert head_is_all(model) is not None  # tried on tokens that it has positions for


@pytest.mark.parametrize("model_type", ENDLESS)
def test_no_limit_where_positions_go_on(model_type):
    model = counted_model(model_type)
    assert position_limit(model) is None and takes(model, 2 * PLACES)


def test_the_loss_is_tried_on_tokens_that_have_positions():
    model = counted_model("gpt2")
    assert "in chunks" in use_chunked_loss(model)


PROMPTS = ["오늘 날씨는", "민호: 어제 그 영화 정말 재미있었어. 너도 봤니?", "가"]


@pytest.mark.parametrize("model_type", ["gpt2", "opt"])
def test_answers_are_cut_where_the_positions_end(model_type, tokenizer):
    model = counted_model(model_type, len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    with torch.no_grad():
        model.get_output_embeddings().weight[tokenizer.eos_token_id] = 0  # never the likeliest
    lengths = [len(tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]
    assert min(lengths) + 2 < max(lengths) < PLACES
    whole = []
    for prompt, length in zip(PROMPTS, lengths, strict=True):
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        new = model.generate(input_ids=ids, do_sample=False, max_new_tokens=PLACES - length, eos_token_id=None)
        whole.append(tokenizer.decode(new[0, length:], skip_special_tokens=True).strip())
        assert new.shape[1] == PLACES
    assert answer_all(model, tokenizer, PROMPTS, 500) == whole
    short = answer_all(model, tokenizer, PROMPTS, 3)
    assert all(a.startswith(b) and a != b for a, b in zip(whole, short, strict=True))


@pytest.fixture
def gpt2_place(place):
    """The workplace with a GPT-2 of 64 positions as its base."""
    tokenizer = common.load_tokenizer(place.base)
    (place.base / "model.safetensors").unlink()
    torch.manual_seed(0)
    ids = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=4, **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(place.base)
    return place


def test_all_stages_within_the_positions(gpt2_place, refused):
    place = gpt2_place
    refused(place.train("web", "--data.max_length", "65"), "data.max_length is 65", "positions for 64", str(place.base))
    assert not place.layout.train_log("web").exists()
    make_adapter(place.base, place.layout.adapter("web"), seed=1, targets=["c_attn"], fan_in_fan_out=True)
    assert place.diff("web") == 0

    def merge(*options: str) -> int:
        return place.merge("--domains", "[web]", "--merge.weights", "{web: 1.0}", *options)

    too_long, alone = ("--data.max_length", "65"), ("--evaluation.enabled", "false")
    refused(merge(*too_long), "data.max_length is 65", "positions for 64")
    refused(merge(*too_long, "--dry-run"), "data.max_length is 65")
    refused(merge(*too_long, *alone, "--merge.weights", "auto"), "data.max_length is 65")
    assert merge(*too_long, *alone, "--dry-run") == 0  # no window is needed

    prompts = place.config.parent / "prompts.jsonl"
    text, line = prompts.read_text(encoding="utf-8"), json.dumps({"prompt": "가나다라" * 40}, ensure_ascii=False)
    prompts.write_text(text + line + "\n", encoding="utf-8")
    refused(merge(), "evaluation.prompts: prompt 3 ('가나다라", "positions for 64", "shorten")
    assert not place.layout.merged_model.exists()

    prompts.write_text(text, encoding="utf-8")
    assert merge("--evaluation.max_new_tokens", "100") == 0
    assert "2 of 2 answers end before" in place.layout.merge_log.read_text(encoding="utf-8")
    found = read_answers(place.layout.answers)
    assert all(any(found.of(model)) for model in ("base", "merged"))
