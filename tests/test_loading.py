"""What a merge wrote, loaded as a user loads it: the base's tokenizer, and all keys of the model."""

import json
import resource
import shutil

import pytest
import torch
from conftest import Workplace, make_adapter, make_base, make_workplace
from safetensors.torch import load_file, save_file
from test_native import make_native, native_config
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, MambaConfig

from dem import merging
from dem.checkpoints import Checkpoint, copy_other_files
from dem.errors import RequestError, WorkError
from dem.loading import require_complete, require_loads
from dem.merging import write_other_files

ALONE = ("--evaluation.enabled", "false", "--domains", "[web]", "--merge.weights", "{web: 1.0}")
TEMPLATES = {"default": "{{ messages[0]['content'] }}", "tool_use": "도구 {{ tools }}", "rag": "문서 {{ documents }}"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory, tokenizer):
    """A workplace with the difference of one domain."""
    place = make_workplace(tmp_path_factory.mktemp("ready"), tokenizer)
    make_adapter(place.base, place.layout.adapter("web"), seed=0)
    assert place.diff("web") == 0
    return place


@pytest.fixture
def place(ready, tmp_path):
    """A copy of it."""
    folder = shutil.copytree(ready.root.parent, tmp_path / "place")
    return Workplace(folder / "root", folder / "base", folder / "config.yaml")


def one_line(capsys, status: int, wanted: int, *words: str) -> None:
    lines = capsys.readouterr().err.strip().splitlines()
    assert status == wanted and sum(line.startswith("error: ") for line in lines) == 1, lines
    assert all(word in lines[-1] for word in words), lines[-1]


def test_all_chat_templates_reach_the_merged_model(place):
    tokenizer = AutoTokenizer.from_pretrained(place.base)
    tokenizer.chat_template = TEMPLATES
    tokenizer.save_pretrained(place.base)
    assert {file.name for file in (place.base / "additional_chat_templates").iterdir()} == {
        "tool_use.jinja",
        "rag.jinja",
    }
    (place.base / "checkpoint-100").mkdir()  # and nothing of this, which no one loads
    (place.base / "checkpoint-100" / "config.json").write_text("{}")
    assert place.merge(*ALONE) == 0
    merged = AutoTokenizer.from_pretrained(place.layout.merged_model)
    assert merged.chat_template == TEMPLATES
    assert [file.name for file in place.layout.merged_model.iterdir() if file.is_dir()] == ["additional_chat_templates"]


def test_every_file_of_a_tokenizer_is_copied(tmp_path):
    base, merged = tmp_path / "base", tmp_path / "merged"
    base.mkdir()
    merged.mkdir()
    names = {"vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "source.spm"}
    names |= {"added_tokens.json", "special_tokens_map.json", "chat_template.jinja", "bpe.codes", "tekken.json"}
    for name in names:
        (base / name).write_text("{}")
    copy_other_files(base, merged)
    assert {file.name for file in merged.iterdir()} == names


def spoil(file, content: str):
    return lambda folder: (folder / file).write_text(content)


def without_tensor(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["backbone.layers.1.mixer.D"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_other_shape(folder):
    weights = load_file(folder / "model.safetensors")
    weights["backbone.norm_f.weight"] = torch.ones(31)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_tensor_more(folder):
    weights = load_file(folder / "model.safetensors") | {"backbone.other.weight": torch.ones(3)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_other_token(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<s>"}))


SPOILT = {
    "tensor missing": (without_tensor, "backbone.layers.1.mixer.D"),
    "other shape": (with_other_shape, "backbone.norm_f.weight is of shape [31]"),
    "tensor more": (with_tensor_more, "backbone.other.weight"),
    "adapter": (spoil("adapter_config.json", '{"peft_type": "LORA"}'), "adapter_config.json"),
    "quantised": (spoil("config.json", '{"model_type": "mamba", "quantization_config": {}}'), "quantization_config"),
    "config": (spoil("config.json", '{"model_type": "mamba", "hidden_size": "wide"}'), "cannot be loaded"),
    "generation config": (spoil("generation_config.json", '{"max_new_tokens": -3}'), "max_new_tokens"),
    "tokenizer": (spoil("tokenizer.json", "{"), "tokenizer cannot be loaded"),
    "tokenizer config": (spoil("tokenizer_config.json", "[]"), "tokenizer cannot be loaded"),
    "other tokenizer": (with_other_token, "tokenizer is not the base's"),
    "chat template": (spoil("chat_template.jinja", "other"), "chat template"),
    "weights cut short": (lambda folder: cut(folder / "model.safetensors"), "cannot be loaded"),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize("how", SPOILT)
def test_what_does_not_load_is_told(tmp_path, tokenizer, how):
    base = make_base(tmp_path / "base", tokenizer)
    merged = shutil.copytree(base, tmp_path / "merged")
    require_loads(merged, base, require_complete(Checkpoint(base)))
    change, words = SPOILT[how]
    change(merged)
    with pytest.raises(WorkError) as caught:
        require_loads(merged, base, set())
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_merge_that_would_not_load_leaves_the_one_before(place, monkeypatch, capsys):
    assert place.merge(*ALONE) == 0
    before = {p.name: p.read_bytes() for p in place.layout.merged_model.iterdir()}
    write = merging.write_record

    def spoilt(folder, provenance):
        write(folder, provenance)
        without_tensor(folder)

    monkeypatch.setattr(merging, "write_record", spoilt)
    one_line(capsys, place.merge(*ALONE), 1, "merged model", "backbone.layers.1.mixer.D")
    assert {p.name: p.read_bytes() for p in place.layout.merged_model.iterdir()} == before
    assert not list(place.root.glob(".merged_model*"))


@pytest.mark.parametrize("how", ["tensor missing", "other shape", "tokenizer", "generation config"])
def test_a_base_that_is_not_complete_is_refused_before_the_merge(place, monkeypatch, capsys, how):
    change, words = SPOILT[how]
    change(place.base)
    monkeypatch.setattr(merging, "write_other_files", lambda *_: pytest.fail("the merge began"))
    one_line(capsys, place.merge(*ALONE), 2, f"base_model {place.base} is not complete", words)
    one_line(capsys, place.merge("--dry-run", *ALONE), 2, "is not complete", words)


def test_a_tensor_that_the_model_does_not_have_is_copied_and_told(place, capsys):
    with_tensor_more(place.base)
    assert place.diff("web") == 0
    assert place.merge(*ALONE) == 0
    assert "backbone.other.weight, are copied as they are" in capsys.readouterr().err
    assert "backbone.other.weight" in Checkpoint(place.layout.merged_model)


def test_a_base_without_a_tokenizer_merges_without_an_evaluation(place, refused):
    for file in place.base.glob("tokenizer*"):
        file.unlink()
    assert place.diff("web") == 0  # the one before was made while there was a tokenizer
    assert place.merge(*ALONE) == 0
    refused(place.merge(*ALONE, "--evaluation.enabled", "true"), "holds no tokenizer")
    refused(place.train("web"), "holds no tokenizer")


def test_no_weight_is_read_to_see_whether_a_model_loads(tmp_path, tokenizer):
    """8 GiB of weights, none of which is on the disk."""
    folder = tmp_path / "base"
    config = MambaConfig(vocab_size=1 << 20, hidden_size=1 << 10, num_hidden_layers=2, tie_word_embeddings=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.save_pretrained(folder)
    entries, end = {}, 0
    for name, value in model.state_dict().items():
        entries[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [end, end + 4 * value.numel()]}
        end += 4 * value.numel()
    header = json.dumps(entries).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    assert end > 8 << 30
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    require_loads(folder, folder, require_complete(Checkpoint(folder)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def native_base(folder, tokenizer, **settings):
    """A native checkpoint with the tests' tokenizer."""
    make_native(folder, native_config("Mamba1", {}, **settings))
    tokenizer.save_pretrained(folder)
    return folder


def test_a_native_bases_merge_ends_its_answers(tmp_path, tokenizer):
    place = make_workplace(tmp_path, tokenizer)
    native_base(place.base, tokenizer, tied=False)
    assert place.train("web") == 0 and place.diff("web") == 0 and place.merge(*ALONE) == 0
    merged = place.layout.merged_model
    model, ids = AutoModelForCausalLM.from_pretrained(merged), special_ids(tokenizer)
    assert None not in ids.values()
    assert special_ids(model.config) == special_ids(GenerationConfig.from_pretrained(merged)) == ids
    asked, eos = torch.tensor([[5, 6, 7]]), ids["eos_token_id"]
    with torch.no_grad():  # let EOS be what comes
        hidden = model.base_model(asked)[0][0, -1]
        model.get_output_embeddings().weight.zero_()[eos] = hidden
        assert model.generate(asked, do_sample=False, max_new_tokens=9)[0].tolist() == [5, 6, 7, eos]


def special_ids(names) -> dict:
    return {name: getattr(names, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def test_a_native_bases_own_settings_of_generation_stay(tmp_path, tokenizer):
    base, merged = native_base(tmp_path / "base", tokenizer), tmp_path / "merged"
    (base / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.2, "eos_token_id": [1, 2]}))
    merged.mkdir()
    write_other_files(merged, Checkpoint(base))
    settings = GenerationConfig.from_pretrained(merged)
    assert settings.repetition_penalty == 1.2 and settings.eos_token_id == [1, 2] and settings.pad_token_id == 0


@pytest.mark.parametrize("named", [(), ("special_tokens_map.json",)], ids=["nothing", "special tokens"])
def test_a_native_bases_tokenizer_stays_what_it_is(tmp_path, tokenizer, named):
    """Without tokenizer_config.json, which names a class, transformers takes its own for the model's kind."""
    base, merged = native_base(tmp_path / "base", tokenizer), tmp_path / "merged"
    (base / "tokenizer_config.json").unlink()
    for name in named:
        (base / name).write_text('{"eos_token": "</s>", "pad_token": "<pad>"}')
    merged.mkdir()
    write_other_files(merged, Checkpoint(base))
    before, after = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(merged)
    assert type(before) is type(after) and len(before) == len(after) == 600
    assert special_ids(before) == special_ids(after) and (after.eos_token == "</s>") is bool(named)


@pytest.mark.parametrize("text", ["{", "[1]", '{"max_new_tokens": -3}'])
def test_a_damaged_generation_config_is_refused(tmp_path, tokenizer, text):
    base = native_base(tmp_path / "base", tokenizer)
    (base / "generation_config.json").write_text(text)
    with pytest.raises(RequestError, match="generation_config.json cannot be loaded") as caught:
        require_complete(Checkpoint(base))
    assert "\n" not in str(caught.value)


def test_a_native_base_without_a_tokenizer_names_no_tokens(tmp_path):
    make_native(tmp_path / "base", native_config("Mamba1", {}))
    (tmp_path / "merged").mkdir()
    write_other_files(tmp_path / "merged", Checkpoint(tmp_path / "base"))
    assert {file.name for file in (tmp_path / "merged").iterdir()} == {"config.json"}


def test_a_native_base_without_a_tensor_is_refused(tmp_path):
    weights = make_native(tmp_path, native_config("Mamba1", {}))
    assert require_complete(Checkpoint(tmp_path)) == set()
    del weights["backbone.layers.1.mixer.D"]
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(RequestError, match="is not complete: it lacks backbone.layers.1.mixer.D"):
        require_complete(Checkpoint(tmp_path))
