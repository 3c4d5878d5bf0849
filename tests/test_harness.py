"""lm-evaluation-harness on tiny models, against its own tasks and against plain arithmetic. Nothing asks a network."""

import importlib.util
import json
import math
import random
import socket
from pathlib import Path

import pytest
import torch
import yaml
from conftest import make_adapter, make_base
from peft import PeftModel
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from dem import mamba
from dem.config import HarnessConfig, MultipleChoiceConfig
from dem.errors import RequestError
from dem.evaluation import harness as harness_module
from dem.evaluation.harness import prepare_harness, run_harness

needs_harness = pytest.mark.skipif(
    not importlib.util.find_spec("lm_eval"), reason='lm_eval is not installed: pip install -e ".[harness]"'
)
WORDS = "봄 여름 가을 겨울 바다 산 강 학교 시장 아침 저녁 사람 나무 하늘 구름 바람 길 집 물 불".split()  # noqa: SIM905


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a test asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def model(tmp_path, tokenizer):
    """A tiny model whose opinions differ from question to question: its head is larger than a fresh one's."""
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer)).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    return model


def make_rows(count: int, seed: int = 0) -> list[dict]:
    """Questions of two subjects, with two to five choices of different lengths."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        choices = [" ".join(chance.sample(WORDS, chance.randint(1, 3))) for _ in range(chance.randint(2, 5))]
        question = f"{' '.join(chance.choices(WORDS, k=chance.randint(2, 12)))} {number}번은?"
        answer = chance.randrange(len(choices))
        rows.append(
            {"question": question, "choices": choices, "answer": answer, "subject": ["국어", "역사"][number % 3 > 0]}
        )
    return rows


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def prepared(file: str, **settings):
    limit = settings.pop("limit", None)
    return prepare_harness(HarnessConfig(multiple_choice=[MultipleChoiceConfig("mine", file, **settings)], limit=limit))


def yaml_task(folder: Path, name: str, files: dict[str, str], style: str, few_shot: int) -> None:
    """A task as the harness's users write it, over the same rows."""
    listed = "{% for c in choices %}{{'ABCDE'[loop.index0]}}. {{c}}\n{% endfor %}" if style == "letters" else ""
    metrics = ["acc"] if style == "letters" else ["acc", "acc_norm", "acc_bytes"]
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}\n" + listed + "정답:",
        "doc_to_choice": "{{['A', 'B', 'C', 'D', 'E'][:choices|length]}}" if style == "letters" else "choices",
        "doc_to_target": "answer",
        "num_fewshot": few_shot,
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics],
    }
    if few_shot:
        task |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task, allow_unicode=True), encoding="utf-8")


@pytest.fixture
def own_tasks(tmp_path, monkeypatch):
    """The harness's index, with the tasks in a folder in place of its ten thousand."""
    folder = tmp_path / "tasks"
    folder.mkdir()

    def manager():
        from lm_eval.tasks import TaskManager

        return TaskManager(include_path=str(folder), include_defaults=False)

    monkeypatch.setattr(harness_module, "_task_manager", manager)
    return folder


@needs_harness
@pytest.mark.parametrize(("style", "few_shot"), [("letters", 0), ("letters", 2), ("cloze", 0), ("cloze", 2)])
def test_a_file_gives_what_the_harness_s_own_task_gives_on_the_same_rows(
    tmp_path, own_tasks, model, tokenizer, style, few_shot
):
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    rows, dev = make_rows(40), make_rows(9, seed=1)
    settings = {"few_shot": few_shot, "style": style}
    if few_shot:
        settings["few_shot_file"] = write(tmp_path / "dev.jsonl", dev)
    harness = prepared(write(tmp_path / "q.jsonl", rows), **settings)
    ours = run_harness(model, tokenizer, harness)["mine"]

    for number, subject in enumerate(("국어", "역사")):
        of_subject = [[row for row in some if row["subject"] == subject] for some in (rows, dev)]
        splits = zip(("test", "dev"), of_subject, strict=True)
        files = {split: write(tmp_path / f"{number}{split}.jsonl", some) for split, some in splits}
        yaml_task(own_tasks, f"task{number}", files, style, few_shot)
    plain = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    loaded = harness_module._task_manager().load(["task0", "task1"])
    theirs = evaluate(plain, loaded)

    for mine, other in zip(harness.work[0].tasks.values(), loaded["tasks"].values(), strict=True):
        assert [instance.args for instance in mine.instances] == [instance.args for instance in other.instances]
        likelihoods = [[instance.resps[0][0] for instance in task.instances] for task in (mine, other)]
        assert likelihoods[0] == pytest.approx(likelihoods[1], rel=1e-4)

    assert ours["few_shot"] == few_shot and ours["rows"] == len(rows)
    names = ["acc"] if style == "letters" else ["acc", "acc_norm", "acc_bytes"]
    assert list(ours["metrics"]) == names
    for name in names:
        for number, subject in enumerate(("국어", "역사")):
            expected = theirs["results"][f"task{number}"]
            assert ours["subjects"][subject]["rows"] == expected["sample_len"]
            assert ours["subjects"][subject][name] == {
                "value": expected[f"{name},none"],
                "stderr": expected[f"{name}_stderr,none"],
            }
        right = [sample[name] for task in theirs["samples"].values() for sample in task]
        assert ours["metrics"][name]["value"] == sum(right) / len(rows)
        assert 0 < sum(right) < len(rows)


def log_likelihood(model, tokenizer, context: str, continuation: str) -> float:
    before, ids = tokenizer(context)["input_ids"], tokenizer(context + continuation)["input_ids"]
    assert ids[: len(before)] == before
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[place - 1, ids[place]]) for place in range(len(before), len(ids)))


@needs_harness
@pytest.mark.parametrize("style", ["letters", "cloze"])
def test_accuracies_and_errors_are_those_of_plain_arithmetic(tmp_path, model, tokenizer, style):
    rows = make_rows(30)
    ours = run_harness(model, tokenizer, prepared(write(tmp_path / "q.jsonl", rows), style=style, few_shot=1))["mine"]

    right: dict[str, list] = {"acc": [], "acc_norm": [], "acc_bytes": [], "subject": []}
    examples: dict[str, str] = {}
    for row in rows:
        scored = list("ABCDE"[: len(row["choices"])]) if style == "letters" else row["choices"]
        listed = [f"{a}. {b}" for a, b in zip(scored, row["choices"], strict=True)] if style == "letters" else []
        prompt = "\n".join([row["question"], *listed, "정답:"])
        if row["subject"] not in examples:
            examples[row["subject"]] = f"{prompt} {scored[row['answer']]}\n\n"
            continue
        context = examples[row["subject"]] + prompt
        values = [log_likelihood(model, tokenizer, context, f" {choice}") for choice in scored]
        lengths = {"acc": [1] * 5, "acc_norm": [len(c) for c in scored], "acc_bytes": [len(c.encode()) for c in scored]}
        for name, divisors in lengths.items():
            each = [value / divisor for value, divisor in zip(values, divisors, strict=False)]
            right[name].append(each.index(max(each)) == row["answer"])
        right["subject"].append(row["subject"])

    assert ours["rows"] == 28
    assert list(ours["metrics"]) == (["acc"] if style == "letters" else ["acc", "acc_norm", "acc_bytes"])
    for name, metric in ours["metrics"].items():
        share = sum(right[name]) / 28
        assert metric == {"value": share, "stderr": pytest.approx(math.sqrt(share * (1 - share) / 27))}
        for subject in ("국어", "역사"):
            of_it = [r for r, s in zip(right[name], right["subject"], strict=True) if s == subject]
            share, count = sum(of_it) / len(of_it), len(of_it)
            stderr = pytest.approx(math.sqrt(share * (1 - share) / (count - 1)))
            assert ours["subjects"][subject][name] == {"value": share, "stderr": stderr}


@needs_harness
def test_batches_change_nothing_and_letters_cost_one_row_a_question(tmp_path, model, tokenizer, monkeypatch):
    from dem.evaluation import harness_model

    shapes = []
    monkeypatch.setattr(harness_model, "head_is_all", lambda model: True)  # which it is, as other tests find
    model.base_model.register_forward_pre_hook(
        lambda _, args, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    work = prepared(write(tmp_path / "q.jsonl", make_rows(30)))
    monkeypatch.setitem(harness_model.TOKENS_AT_ONCE, "cpu", 10_000)
    together = run_harness(model, tokenizer, work)
    assert len(shapes) == 1 and shapes[0][0] == 30
    shapes.clear()
    monkeypatch.setitem(harness_model.TOKENS_AT_ONCE, "cpu", 200)
    assert run_harness(model, tokenizer, work) == together
    assert len(shapes) > 5 and sum(rows for rows, _ in shapes) == 30
    assert all(rows == 1 or rows * length <= 200 for rows, length in shapes)


@needs_harness
@pytest.mark.parametrize("style", ["letters", "cloze"])
def test_by_all_logits_it_is_the_same(tmp_path, model, tokenizer, monkeypatch, style):
    from dem.evaluation import harness_model

    work = prepared(write(tmp_path / "q.jsonl", make_rows(12)), style=style)
    by_head = run_harness(model, tokenizer, work)
    monkeypatch.setattr(harness_model, "head_is_all", lambda model: False)
    assert run_harness(model, tokenizer, work) == by_head


@needs_harness
def test_a_limit_is_the_number_of_questions_asked(tmp_path, model, tokenizer):
    file = write(tmp_path / "q.jsonl", make_rows(30))
    found = run_harness(model, tokenizer, prepared(file, limit=9, few_shot=1))["mine"]
    assert found["rows"] == 9 and {s: each["rows"] for s, each in found["subjects"].items()} == {"국어": 3, "역사": 6}


@needs_harness
def test_one_question_has_no_standard_error_and_no_subject_is_none(tmp_path, model, tokenizer):
    rows = [{"question": "하나?", "choices": ["가", "나"], "answer": "A"}]
    found = run_harness(model, tokenizer, prepared(write(tmp_path / "q.jsonl", rows)))["mine"]
    assert found["metrics"]["acc"]["stderr"] is None and found["subjects"] == {} and found["rows"] == 1
    json.dumps(found, allow_nan=False)


@needs_harness
@pytest.mark.parametrize("settings", [{}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_counts_and_model_and_tokenizer_stay_as_they_were(tmp_path, tokenizer, settings):
    base = make_base(tmp_path / "tied", tokenizer, tied=True)
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    with mamba.out_proj_allowed():
        adapted = PeftModel.from_pretrained(model, str(make_adapter(base, tmp_path / "adapter", 1, **settings))).eval()
    bare = AutoTokenizer.from_pretrained(base)
    bare.pad_token = None
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        before = adapted(ids).logits
    found = run_harness(adapted.get_base_model(), bare, prepared(write(tmp_path / "q.jsonl", make_rows(8))))
    assert "failed" not in found["mine"] and bare.pad_token is None
    with torch.no_grad():
        assert torch.equal(adapted(ids).logits, before)


@needs_harness
def test_a_tokenizer_that_ends_every_text_changes_nothing(tmp_path, model, tokenizer):
    work = prepared(write(tmp_path / "q.jsonl", make_rows(20)), style="cloze")
    ending = AutoTokenizer.from_pretrained(tmp_path / "base")
    eos = ending.eos_token
    ending.backend_tokenizer.post_processor = TemplateProcessing(f"$A {eos}", None, [(eos, ending.eos_token_id)])
    assert ending("봄")["input_ids"][-1] == ending.eos_token_id
    assert run_harness(model, ending, work) == run_harness(model, tokenizer, work)


@needs_harness
def test_a_prompt_too_long_is_counted(tmp_path, model, tokenizer, caplog, monkeypatch):
    monkeypatch.setattr(harness_module.log, "propagate", True)
    rows = make_rows(6)
    rows[0]["question"] = "봄 여름 가을 겨울 " * 900
    with caplog.at_level("INFO", logger="dem"):
        run_harness(model, tokenizer, prepared(write(tmp_path / "q.jsonl", rows)))
    assert f"{len(rows[0]['choices'])} requests are longer than 2048 tokens" in caplog.text


@needs_harness
@pytest.mark.parametrize("model_type", ["mpt", "gpt2"])
def test_a_prompt_is_cut_to_the_models_positions(tmp_path, tokenizer, model_type, caplog, monkeypatch):
    monkeypatch.setattr(harness_module.log, "propagate", True)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": len(tokenizer)}
    limit = {"max_seq_len" if model_type == "mpt" else "n_positions": 64}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **small, **limit)).eval()
    rows = make_rows(4)
    rows[0]["question"] = "봄 여름 가을 겨울 " * 90
    with caplog.at_level("INFO", logger="dem"):
        found = run_harness(model, tokenizer, prepared(write(tmp_path / "q.jsonl", rows)))
    assert "requests are longer than 64 tokens" in caplog.text
    assert "failed" not in found["mine"] and found["mine"]["rows"] == 4


@needs_harness
def test_own_tasks_and_groups_by_name(tmp_path, own_tasks, model, tokenizer):
    for number, count in enumerate((30, 50)):
        file = write(tmp_path / f"{number}.jsonl", make_rows(count, seed=number))
        yaml_task(own_tasks, f"part{number}", {"test": file}, "letters", 0)
    group = {
        "group": "whole",
        "task": ["part0", "part1"],
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
    }
    (own_tasks / "whole.yaml").write_text(yaml.safe_dump(group))
    work = prepare_harness(HarnessConfig(tasks=["whole", "part1"]))
    found = run_harness(model, tokenizer, work)
    whole, part = found["whole"], found["part1"]
    assert part["subjects"] == {} and part["rows"] == 50 and set(part["metrics"]) == {"acc"}
    assert whole["subjects"]["part1"] == {**part["metrics"], "rows": 50} and whole["rows"] == 80
    mean = (30 * whole["subjects"]["part0"]["acc"]["value"] + 50 * part["metrics"]["acc"]["value"]) / 80
    assert whole["metrics"]["acc"]["value"] == pytest.approx(mean) and whole["metrics"]["acc"]["stderr"] > 0
    assert run_harness(model, tokenizer, work) == found  # for the next model everything is as it was
    limited = run_harness(model, tokenizer, prepare_harness(HarnessConfig(tasks=["whole"], limit=11)))["whole"]
    assert {name: each["rows"] for name, each in limited["subjects"].items()} == {"part0": 5, "part1": 5}


@needs_harness
def test_own_tasks_that_generate_or_score_whole_texts(tmp_path, own_tasks, model, tokenizer):
    rows = make_rows(5)
    for row in rows:
        ids = tokenizer(row["question"], return_tensors="pt")["input_ids"]
        new = model.generate(ids, do_sample=False, max_new_tokens=3, pad_token_id=0)[0, ids.shape[1] :]
        row["continued"] = tokenizer.decode(new, skip_special_tokens=True)
    shared = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": write(tmp_path / "q.jsonl", rows)}}}
    generate = {"task": "generate", "test_split": "test", "output_type": "generate_until", **shared}
    generate |= {"doc_to_text": "question", "doc_to_target": "continued", "metric_list": [{"metric": "exact_match"}]}
    generate |= {"generation_kwargs": {"until": [], "max_gen_toks": 3}}
    whole = {"task": "texts", "test_split": "test", "output_type": "loglikelihood_rolling", **shared}
    whole |= {"doc_to_text": "", "doc_to_target": "question", "metric_list": [{"metric": "bits_per_byte"}]}
    group = {"group": "both", "task": ["texts", "generate"]}
    for task in (generate, whole, group):
        (own_tasks / f"{len(list(own_tasks.iterdir()))}.yaml").write_text(yaml.safe_dump(task))
    found = run_harness(model, tokenizer, prepare_harness(HarnessConfig(tasks=["both"])))["both"]
    assert found["rows"] == 10 and found["metrics"] == {}
    assert found["subjects"]["generate"]["exact_match"]["value"] == 1
    begin = tokenizer.bos_token or tokenizer.eos_token
    nats = sum(log_likelihood(model, tokenizer, begin, row["question"]) for row in rows)
    size = sum(len(row["question"].encode()) for row in rows)
    expected = {"value": pytest.approx(-nats / size / math.log(2), rel=1e-5), "stderr": None}
    assert found["subjects"]["texts"] == {"bits_per_byte": expected, "rows": 5}


@needs_harness
def test_every_model_sees_the_same_drawn_examples(tmp_path, own_tasks, model, tokenizer):
    files = {"test": write(tmp_path / "t.jsonl", make_rows(30)), "dev": write(tmp_path / "d.jsonl", make_rows(30, 1))}
    yaml_task(own_tasks, "drawn", files, "letters", 2)
    path = own_tasks / "drawn.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("first_n", "default"), encoding="utf-8")
    work = prepare_harness(HarnessConfig(tasks=["drawn"]))
    prompts = []
    for _ in range(2):
        run_harness(model, tokenizer, work)
        prompts.append([instance.args for instance in work.work[0].tasks["drawn"].instances])
    assert prompts[0] == prompts[1]


@needs_harness
def test_an_unknown_task_and_one_without_its_data_are_refused_before_any_work(own_tasks, tmp_path):
    yaml_task(own_tasks, "kmmlu_law", {"test": str(tmp_path / "gone.jsonl")}, "letters", 0)
    with pytest.raises(RequestError, match="has no task 'kmmlu_lew'; it has kmmlu_law$"):
        prepare_harness(HarnessConfig(tasks=["kmmlu_lew"]))
    with pytest.raises(RequestError, match=r"kmmlu_law cannot be loaded: .*gone\.jsonl") as mistake:
        prepare_harness(HarnessConfig(tasks=["kmmlu_law"]))
    assert "\n" not in str(mistake.value)
    hub = yaml.safe_load((own_tasks / "kmmlu_law.yaml").read_text(encoding="utf-8"))
    hub |= {"task": "on_the_hub", "dataset_path": "nobody/nothing", "dataset_kwargs": {}}
    (own_tasks / "hub.yaml").write_text(yaml.safe_dump(hub, allow_unicode=True), encoding="utf-8")
    with pytest.raises(RequestError, match=r"on_the_hub cannot be loaded: .*nobody/nothing"):
        prepare_harness(HarnessConfig(tasks=["on_the_hub"]))


@needs_harness
def test_a_task_that_runs_generated_code_is_refused(own_tasks, tmp_path):
    yaml_task(own_tasks, "program", {"test": write(tmp_path / "q.jsonl", make_rows(3))}, "letters", 0)
    with (own_tasks / "program.yaml").open("a") as file:
        file.write("unsafe_code: true\n")
    with pytest.raises(RequestError, match="program runs code"):
        prepare_harness(HarnessConfig(tasks=["program"]))


@needs_harness
def test_a_task_that_fails_says_why_and_the_others_go_on(tmp_path, own_tasks, model, tokenizer, monkeypatch):
    file = write(tmp_path / "q.jsonl", make_rows(6))
    yaml_task(own_tasks, "broken", {"test": file}, "letters", 0)
    work = prepare_harness(HarnessConfig(tasks=["broken"], multiple_choice=[MultipleChoiceConfig("mine", file)]))
    task = work.work[1].tasks["broken"]
    monkeypatch.setattr(task, "process_results", lambda *_: 1 / 0)
    found = run_harness(model, tokenizer, work)
    assert found["broken"] == {
        "failed": "ZeroDivisionError: division by zero",
        "metrics": {},
        "rows": 0,
        "few_shot": None,
        "subjects": {},
    }
    assert found["mine"]["rows"] == 6


def test_without_the_extra_the_files_are_still_checked_and_the_note_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    harness = prepared(write(tmp_path / "q.jsonl", make_rows(6)))
    assert not harness.work and "pip install" in harness.note and "[harness]" in harness.note
    (tmp_path / "q.jsonl").write_text("[]\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"q\.jsonl, line 1"):
        prepared(str(tmp_path / "q.jsonl"))


@pytest.fixture
def asking(workplace):
    """A workplace ready to merge whose config asks for questions in a file beside it."""
    for domain, seed in (("web", 1), ("social", 2)):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed)
        assert workplace.diff(domain) == 0
    config = yaml.safe_load(workplace.config.read_text(encoding="utf-8"))
    config["evaluation"]["harness"] = {"multiple_choice": [{"name": "mine", "file": "q.jsonl"}], "models": ["merged"]}
    workplace.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    write(workplace.config.parent / "q.jsonl", make_rows(12))
    return workplace


@needs_harness
def test_stage_3_measures_the_models_that_were_named(asking, monkeypatch):
    from dem.evaluation import comparison

    measured = []
    monkeypatch.setattr(comparison, "run_harness", lambda *given: measured.append(run_harness(*given)) or measured[-1])
    assert asking.merge("--evaluation.harness.limit", "5") == 0
    assert [found["mine"]["rows"] for found in measured] == [5]
    log = asking.layout.merge_log.read_text(encoding="utf-8")
    assert "harness: mine: acc " in log and "(5 questions)" in log
    assert log.index("social done") < log.index("harness: mine") < log.index("merged done")


def test_stage_3_goes_on_without_the_extra_and_says_how_to_get_it(asking, monkeypatch):
    monkeypatch.setattr(harness_module, "harness_unavailable", lambda: "lm-evaluation-harness is not installed")
    assert asking.merge() == 0
    assert "evaluation.harness is left out: lm-evaluation-harness is not" in asking.layout.merge_log.read_text("utf-8")
    assert asking.layout.metric_summary.is_file() and asking.layout.prompt_comparison.is_file()


def test_a_broken_question_ends_stage_3_before_it_merges(asking, refused):
    (asking.config.parent / "q.jsonl").write_text('{"question": "?"}', encoding="utf-8")
    refused(asking.merge(), "q.jsonl, line 1: choices")
    assert not asking.layout.merged_model.exists()
