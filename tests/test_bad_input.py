"""Every wrong request: one line on stderr that names the trouble, exit status 2, no output."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import DOMAINS, make_adapter


@pytest.fixture
def prepared(workplace):
    """A workplace with an adapter and a difference of each domain."""
    for i, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=i)
        assert workplace.diff(domain) == 0
    return workplace


def no_adapter(place, domain="web"):
    return not place.layout.adapter(domain).exists()


def test_parquet_missing(workplace, refused):
    workplace.layout.parquet("web").unlink()
    refused(workplace.train("web"), "parquet_ready/web.parquet", "social.parquet")
    assert no_adapter(workplace)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is no parquet", ("web.parquet", "not a parquet file")),
        (b"", ("web.parquet", "not a parquet file")),
        ({"body": ["글"]}, ("web.parquet", "'text'", "body")),
        ({"text": pa.array([None] * 5, pa.string())}, ("web.parquet", "null or empty")),
        ({"text": ["", "  "]}, ("web.parquet", "null or empty")),
        ({"text": [1.5]}, ("web.parquet", "not strings")),
        ({"text": ["너무 짧은 글"]}, ("web.parquet", "too little text", "data.max_length")),
    ],
    ids=["text file", "empty file", "no column", "all null", "all empty", "numbers", "too little"],
)
def test_parquet_unusable(workplace, refused, content, words):
    path = workplace.layout.parquet("web")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(pa.table(content), path)
    refused(workplace.train("web", "--data.tune_fraction", "0", "--data.test_fraction", "0"), *words)
    assert no_adapter(workplace)


def test_parquet_cut_short(workplace, refused):
    path = workplace.layout.parquet("web")
    path.write_bytes(path.read_bytes()[:-100])
    refused(workplace.train("web"), "web.parquet")


def test_file_and_folder_for_one_domain(workplace, refused):
    folder = workplace.layout.parquet("web").with_suffix("")
    folder.mkdir()
    shutil.copy(workplace.layout.parquet("web"), folder / "1.parquet")
    refused(workplace.train("web"), "web.parquet", "web/", "Remove one")
    workplace.layout.parquet("web").unlink()
    assert workplace.train("web") == 0


def test_base_missing(workplace, refused):
    shutil.rmtree(workplace.base)
    refused(workplace.train("web"), "base_model")
    refused(workplace.merge("--evaluation.enabled", "false"), "base_model")


def test_base_of_another_kind(workplace, refused):
    config = workplace.base / "config.json"
    config.write_text(json.dumps({"model_type": "bert", "architectures": ["BertForMaskedLM"]}))
    refused(workplace.train("web"), "not a causal language model", "BertForMaskedLM")
    config.write_text(json.dumps({"model_type": "t5"}))
    refused(workplace.train("web"), "not a causal language model", "t5")
    config.write_text(json.dumps({"model_type": "mamba", "expand": 1.5}))
    refused(workplace.train("web"), str(workplace.base), "'expand'")
    config.write_text("{}")
    refused(workplace.train("web"), str(workplace.base))
    config.unlink()
    refused(workplace.train("web"), str(workplace.base))
    assert no_adapter(workplace)


def test_base_with_a_missing_weight_or_a_small_vocabulary(workplace, refused):
    config = workplace.base / "config.json"
    text = json.loads(config.read_text())
    config.write_text(json.dumps({**text, "num_hidden_layers": 3}))
    refused(workplace.train("web"), "lacks", "layers.2")
    config.write_text(json.dumps(text))
    tokenizer = workplace.base / "tokenizer.json"
    entries = json.loads(tokenizer.read_text())
    entries["added_tokens"].append({**entries["added_tokens"][0], "id": 600, "content": "<extra>"})
    tokenizer.write_text(json.dumps(entries))
    refused(workplace.train("web"), "601", "600")


def test_base_without_tokenizer(workplace, refused):
    for file in workplace.base.glob("tokenizer*"):
        file.unlink()
    refused(workplace.train("web"), "tokenizer")


def test_target_modules(workplace, refused):
    refused(workplace.train("web", "--lora.target_modules", "[in_proj,nothing]"), "nothing")
    refused(workplace.train("web", "--lora.target_modules", "[nothing]"), "nothing")
    refused(workplace.train("web", "--lora.target_modules", "[dt_proj]"), "dt_proj", "cannot train")


def test_adapter_missing(workplace, refused):
    refused(workplace.diff("web"), "lora_web", "dem/train_individual.py", "--domain web")
    workplace.layout.training_state("web").mkdir(parents=True)  # begun and not finished
    refused(workplace.diff("web"), "lora_web", "dem/train_individual.py")


def test_adapter_damaged_or_of_another_base(prepared, refused):
    path = prepared.layout.adapter("web") / "adapter_model.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    refused(prepared.diff("web"), "lora_web")
    tensors = torch.load(prepared.layout.adapter("social") / "adapter_model.bin", weights_only=True)
    torch.save({n: t[..., :-1] for n, t in tensors.items()}, path)
    refused(prepared.diff("web"), "lora_web", "cannot be put on")
    torch.save({n: t for n, t in tensors.items() if "layers.1" not in n}, path)
    refused(prepared.diff("web"), "lora_web", "missing adapter keys")
    torch.save({n: t * float("nan") for n, t in tensors.items()}, path)
    refused(prepared.diff("web"), "NaN or Inf")
    path.write_bytes(whole)
    assert prepared.merge("--evaluation.enabled", "false") == 0  # the difference made before is still there, whole


def test_tied_embedding_is_not_changed_alone(tmp_path, tokenizer, refused):
    from conftest import make_workplace

    place = make_workplace(tmp_path, tokenizer, tied=True)
    make_adapter(place.base, place.layout.adapter("web"), seed=1, targets=["embeddings", "in_proj"])
    refused(place.diff("web"), "one tensor")


def test_adapter_trained_on_another_base(workplace, refused, tokenizer):
    from conftest import make_base

    assert workplace.train("web") == 0
    make_base(workplace.base, tokenizer, seed=5)
    refused(workplace.diff("web"), "lora_web", "another base")


def test_difference_missing(prepared, refused):
    prepared.layout.diff_vector("web").unlink()
    refused(prepared.merge("--evaluation.enabled", "false"), "domain web has no difference", "dem/vector_diff.py")
    refused(prepared.merge("--merge.weights", "{web: 1, elsewhere: 1}"), "elsewhere", "web, social")
    assert not prepared.layout.merged_model.exists()


def test_difference_damaged(prepared, refused):
    vector, index = prepared.layout.diff_vector("web"), prepared.layout.diff_index("web")
    whole, text = vector.read_bytes(), index.read_text()

    def merge():
        return prepared.merge("--evaluation.enabled", "false")

    vector.write_bytes(whole[:-8])
    refused(merge(), "diff_web.npy")
    np.save(vector, np.load(vector.with_name("diff_social.npy"))[:-1])
    refused(merge(), "diff_web.npy", "make both again")
    np.save(vector, np.array([{"a": 1}], dtype=object))
    refused(merge(), "diff_web.npy")
    broken = np.load(vector.with_name("diff_social.npy"))
    broken[77] = np.nan
    np.save(vector, broken)
    refused(merge(), "diff_web.npy", "NaN or Inf")
    vector.write_bytes(whole)

    parsed = json.loads(text)
    for change, words in [
        ({"format_version": 99}, ("format version 99",)),
        ({"base": {"name": "other", "fingerprint": "0" * 32}}, ("another base", "other")),
        (
            {"parameters": [{**parsed["parameters"][0], "name": "nobody.weight"}, *parsed["parameters"][1:]]},
            ("nobody",),
        ),
        ({"parameters": [{**p, "shape": p["shape"][::-1]} for p in parsed["parameters"]]}, ("of shape",)),
        ({"parameters": parsed["parameters"][::-1]}, ("should begin at",)),
        ({"parameters": None}, ("diff_web.json",)),
    ]:
        index.write_text(json.dumps({**parsed, **change}))
        refused(merge(), *words)
    index.write_text(text[:-20])
    refused(merge(), "diff_web.json")
    assert not prepared.layout.merged_model.exists()
    index.write_text(text)
    assert merge() == 0


def test_difference_that_is_not_this_domains(prepared, refused):
    layout, options = prepared.layout, ("--evaluation.enabled", "false")
    kept = [(path, path.read_bytes()) for path in (layout.diff_vector("web"), layout.diff_index("web"))]
    np.save(layout.diff_vector("web"), np.load(layout.diff_vector("web"))[::-1])
    refused(prepared.merge(*options), "diff_web.npy", "not what")
    for path, _ in kept:
        shutil.copy(path.with_name(path.name.replace("web", "social")), path)
    refused(prepared.merge(*options), "diff_web.npy", "domain social")
    for path, content in kept:
        path.write_bytes(content)
    make_adapter(prepared.base, layout.adapter("web"), seed=77)
    refused(prepared.merge(*options), "diff_web.npy", "older than the adapter")
    assert prepared.diff("web", "--diff.normalize", "l2") == 0
    refused(prepared.merge(*options), "norm 1")
    assert not layout.merged_model.exists()


def test_a_split_other_than_the_trainings_is_not_evaluated(workplace, refused):
    for domain in DOMAINS:
        assert workplace.train(domain) == 0 and workplace.diff(domain) == 0
    refused(workplace.merge("--data.test_fraction", "0.5"), "another split", "data.test_fraction was 0.1, is 0.5")
    path = workplace.layout.parquet("web")
    pq.write_table(pq.read_table(path).slice(1), path)
    refused(workplace.merge(), "lora_web", "other text")
    assert not workplace.layout.merged_model.exists()
    assert workplace.merge("--evaluation.enabled", "false") == 0


def test_damaged_adapter_is_found_before_the_merge(prepared, refused):
    path = prepared.layout.adapter("web") / "adapter_model.bin"
    path.write_bytes(b"garbage")
    refused(prepared.merge(), "lora_web")
    (prepared.layout.adapter("web") / "adapter_config.json").write_text("{")
    refused(prepared.merge(), "lora_web")
    assert not prepared.layout.merged_model.exists()


def test_text_that_is_not_utf8(workplace, refused):
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 2, 4], np.int32)), pa.py_buffer(b"ab\xff\xfe"))
    pq.write_table(pa.table({"text": broken}), workplace.layout.parquet("web"))
    refused(workplace.train("web"), "web.parquet", "UTF-8")


def test_a_refused_run_keeps_the_log_of_the_finished_one(workplace, refused):
    assert workplace.train("web") == 0
    before = workplace.layout.train_log("web").read_bytes()
    refused(workplace.train("web", "--data.max_length", "100000", "--overwrite"), "too little text")
    assert workplace.layout.train_log("web").read_bytes() == before


def test_an_infinite_learning_rate(workplace, refused):
    refused(workplace.train("web", "--training.learning_rate", "inf"), "learning_rate")
    assert workplace.train("web", "--training.learning_rate", "1e30") == 1
    assert no_adapter(workplace) or not (workplace.layout.adapter("web") / "adapter_model.bin").exists()


def test_weights_that_cannot_be_normalised(prepared, refused):
    refused(prepared.merge("--merge.weights", "{web: 1, social: -1}"), "add up to 0", "merge.normalize false")
    refused(prepared.merge("--merge.weights", "{web: 0, social: 0}"), "add up to 0")
    refused(prepared.merge("--merge.weights", "{}"), "merge.weights")
    options = ("--merge.normalize", "false", "--evaluation.enabled", "false")
    assert prepared.merge("--merge.weights", "{web: 1, social: -1}", *options) == 0


def test_evaluation_inputs_are_checked_before_the_merge(prepared, refused):
    prepared.layout.parquet("web").unlink()
    refused(prepared.merge(), "web.parquet")
    refused(prepared.merge("--evaluation.prompts", "none.jsonl"), "none.jsonl")
    assert not prepared.layout.merged_model.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("prompts.jsonl", "no prompt")),
        ("\n \n", ("prompts.jsonl", "no prompt")),
        ('{"prompt": "하나"}\n\n{"prompt": ', ("prompts.jsonl, line 3", "not JSON")),
        ('{"prompt": "하나", "reference": ""}', ("prompts.jsonl, line 1", "reference")),
    ],
    ids=["empty", "blank", "broken line", "empty reference"],
)
def test_prompts_unusable(prepared, refused, text, words):
    (prepared.config.parent / "prompts.jsonl").write_text(text, encoding="utf-8")
    refused(prepared.merge(), *words)
    assert not prepared.layout.merged_model.exists()


def test_a_prompt_without_a_reference_counts_for_no_metric(prepared):
    prompts = prepared.config.parent / "prompts.jsonl"
    assert prepared.merge() == 0
    content = json.loads(prepared.layout.metrics.read_text(encoding="utf-8"))
    assert all(model["texts"]["pairs"] == 1 for model in content["models"].values())  # of two prompts
    assert "1 of 2 have a reference" in prepared.layout.merge_log.read_text(encoding="utf-8")
    prompts.write_text('{"prompt": "오늘 날씨는"}\n{"prompt": "민호:"}\n', encoding="utf-8")
    assert prepared.merge() == 0
    content = json.loads(prepared.layout.metrics.read_text(encoding="utf-8"))
    assert all(model["texts"] == {} for model in content["models"].values())
    assert "0 of 2 have a reference" in prepared.layout.merge_log.read_text(encoding="utf-8")
    assert prepared.layout.metric_summary.read_text(encoding="utf-8").splitlines()[1].endswith(",,,,,")


@pytest.mark.parametrize("folder", ["checkpoints", "logs", "summary"])
def test_train_output_not_writable(workplace, refused, folder):
    (workplace.root / folder).write_text("a file in the way")
    refused(workplace.train("web"), str(workplace.root / folder))


@pytest.mark.parametrize("folder", ["diff_vectors", "diff_stats"])
def test_diff_output_not_writable(workplace, refused, folder):
    make_adapter(workplace.base, workplace.layout.adapter("web"), seed=1)
    (workplace.root / folder).write_text("a file in the way")
    refused(workplace.diff("web"), str(workplace.root / folder))


@pytest.mark.parametrize("folder", ["merged_model", "results", "logs"])
def test_merge_output_not_writable(prepared, refused, folder):
    path = prepared.root / folder
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("a file in the way")
    refused(prepared.merge("--evaluation.enabled", "false"), str(path))


def test_a_failed_merge_keeps_the_old_model(prepared, refused):
    options = ("--evaluation.enabled", "false")
    assert prepared.merge(*options) == 0
    before = {p.name: p.read_bytes() for p in prepared.layout.merged_model.iterdir()}
    broken = np.load(prepared.layout.diff_vector("web"))
    broken[-1] = np.inf
    np.save(prepared.layout.diff_vector("web"), broken)
    refused(prepared.merge(*options), "NaN or Inf")
    assert {p.name: p.read_bytes() for p in prepared.layout.merged_model.iterdir()} == before
    assert not list(prepared.root.glob(".merged_model*"))
