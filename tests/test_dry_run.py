"""--dry-run of all three stages: it refuses what the real run would, says what follows, and leaves no trace."""

import json
import os
import re
import shutil
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import DOMAINS, make_base, make_workplace
from safetensors.torch import load_file, save_file
from test_families import random_model
from test_training import stop_at
from transformers import AutoModelForCausalLM, AutoTokenizer

from dem import text_census, training, training_checks, training_hours, training_plan, training_rehearsal
from dem.columns import aligned, display_width, in_bytes
from dem.command_line import parse_request
from dem.config import Config, DataConfig
from dem.corpus import Corpus
from dem.difference_plan import DifferencePlan, disk_needed
from dem.evaluation.documents import encode_documents
from dem.names import Names
from dem.sample_text import generate
from dem.text_census import count_tokens, take_census
from dem.training_blocks import TrainingText


def traces(*folders: Path) -> dict[Path, tuple]:
    """Everything below the folders, with sizes and times of change."""
    found = [path for folder in folders for path in [folder, *folder.rglob("*")]]
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


def caches() -> Path:
    return Path(datasets.config.HF_DATASETS_CACHE)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory, tokenizer):
    """Both domains trained by stage 1, and their differences; a root to copy."""
    place = make_workplace(tmp_path_factory.mktemp("trained"), tokenizer)
    for domain in DOMAINS:
        assert place.train(domain, "--training.epochs", "0.05") == 0 and place.diff(domain) == 0
    return place


@pytest.fixture
def trained(trained_once, tmp_path):
    """The same at another place, to be damaged."""
    shutil.copytree(trained_once.root.parent, tmp_path / "copy")
    return type(trained_once)(tmp_path / "copy" / "root", tmp_path / "copy" / "base", tmp_path / "copy" / "config.yaml")


def other_text(place):
    path = place.layout.parquet("web")
    pq.write_table(pq.read_table(path).slice(1), path)


def of_another_base(place):
    index = json.loads(place.layout.diff_index("web").read_text())
    index["base"] = {"name": "other", "fingerprint": "0" * 32}
    place.layout.diff_index("web").write_text(json.dumps(index))


def damaged_tokenizer(place):
    (place.base / "tokenizer.json").write_text("{")


def damaged_adapter(place):
    """The difference was made of it as it is."""
    (place.layout.adapter("web") / "adapter_model.bin").write_bytes(b"nothing")
    index = json.loads(place.layout.diff_index("web").read_text())
    index["source"]["kind"] = "unknown"
    place.layout.diff_index("web").write_text(json.dumps(index))


def write(place, name: str, text: str = "x"):
    path = place.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def in_place_of(path: Path, make) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)


AUTO = ("--merge.weights", "auto")
SPLIT = DataConfig(max_length=64, tune_fraction=0.1, test_fraction=0.1)
WRONG = {
    "another split": (None, ("--data.test_fraction", "0.5"), "another split"),
    "other text": (other_text, (), "other text"),
    "no parquet": (lambda place: place.layout.parquet("social").unlink(), (), "no data for domain social"),
    "no text column": (
        lambda place: pq.write_table(pa.table({"a": [1]}), place.layout.parquet("social")),
        ("--merge.weights", "{web: 1.0}"),
        "no column 'text'",
    ),
    "no prompts": (None, ("--evaluation.prompts", "nowhere.jsonl"), "evaluation.prompts"),
    "no adapter": (lambda place: shutil.rmtree(place.layout.adapter("web")), (), "no adapter in"),
    "a damaged adapter": (damaged_adapter, (), "lora_web"),
    "no difference": (lambda place: place.layout.diff_vector("web").unlink(), (), "has no difference"),
    "a cut difference": (lambda place: os.truncate(place.layout.diff_vector("web"), 999), (), "diff_web.npy"),
    "two bases": (of_another_base, (), "different bases"),
    "a damaged tokenizer": (damaged_tokenizer, (), "its tokenizer cannot be loaded"),
    "ratings": (lambda place: write(place, "results/ratings.json"), (), "ratings.json"),
    "a key that cannot be sent": (
        None,
        ("--evaluation.judge", '{"base_url": "https://example.org/v1", "model": "m"}'),
        "DEM_JUDGE_API_KEY",
    ),
    "a file for merged_model": (lambda place: write(place, "merged_model"), (), "merged_model"),
    "a file for results": (lambda place: write(place, "results"), ("--evaluation.enabled", "false"), "results"),
    "a folder for the log": (lambda place: in_place_of(place.layout.merge_log, Path.mkdir), (), "merge.log"),
    "a pipe for the log": (lambda place: in_place_of(place.layout.merge_log, os.mkfifo), (), "merge.log"),
    "a folder for the metrics": (lambda place: in_place_of(place.layout.metrics, Path.mkdir), (), "a folder is in its"),
    "a circle of links": (
        lambda place: in_place_of(place.layout.merged_model, lambda path: path.symlink_to(path.name)),
        (),
        "leads back to itself",
    ),
    "kernels without a GPU": (None, ("--kernels", "triton"), "kernels: triton"),
    "no harness file": (
        None,
        ("--evaluation.harness", '{"multiple_choice": [{"name": "q", "file": "nowhere.jsonl"}]}'),
        "nowhere.jsonl",
    ),
    "nothing to search on": (None, (*AUTO, "--data.tune_fraction", "0"), "tune_fraction"),
    "a group of nothing": (None, (*AUTO, "--search.groups", "[nothing_of_this]"), "nothing_of_this"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_dry_merge_refuses_what_the_real_one_does(trained, monkeypatch, capsys, name):
    damage, options, words = WRONG[name]
    monkeypatch.setenv("DEM_JUDGE_API_KEY", "열쇠")
    if damage:
        damage(trained)
    before = traces(trained.root, trained.base)
    assert trained.merge("--dry-run", *options) == 2
    dry = capsys.readouterr().err.splitlines()[-1]
    assert dry.startswith("error: ") and words in dry
    assert traces(trained.root, trained.base) == before
    assert trained.merge(*options) == 2  # for the same reason, before any work
    assert capsys.readouterr().err.splitlines()[-1] == dry
    assert not trained.layout.merge_record.exists() and not trained.layout.search_table.exists()


def test_a_base_that_was_elsewhere_for_another_difference_is_the_same_base(trained):
    moved = trained.root.parent / "moved"
    shutil.copytree(trained.base, moved)
    assert trained.diff("web", "--base_model", str(moved)) == 0
    assert trained.merge("--dry-run", "--evaluation.enabled", "false") == 0


def test_a_dry_merge_follows_a_link_to_a_folder_that_is_yet_to_be_made(trained, capsys):
    trained.layout.merged_model.symlink_to(trained.root.parent / "other disk" / "merged")
    assert trained.merge("--dry-run", "--evaluation.enabled", "false") == 0
    assert not (trained.root.parent / "other disk").exists()


def test_a_dry_merge_refuses_a_full_disk(trained, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert trained.merge("--dry-run") == 2 and "GiB free" in capsys.readouterr().err
    assert trained.diff("all", "--dry-run") == 2 and "diff_vectors needs" in capsys.readouterr().err


def test_a_merge_that_runs_models_warns_of_a_gpu_that_pytorch_does_not_see(trained, monkeypatch, capsys):
    monkeypatch.setattr("dem.merge_checks.unseen_gpu", lambda: "a GPU is here")
    assert trained.merge("--dry-run") == 0
    assert "WARNING: a GPU is here: the models run on the CPU" in capsys.readouterr().err


def test_a_dry_merge_says_what_is_measured_and_what_is_kept(trained, tokenizer, capsys):
    before = traces(trained.root, caches())
    assert trained.merge("--dry-run") == 0
    said = capsys.readouterr().err
    assert traces(trained.root, caches()) == before
    documents = {
        domain: encode_documents(Corpus([trained.layout.parquet(domain)], SPLIT).documents("test"), tokenizer)
        for domain in DOMAINS
    }
    tokens = {domain: sum(len(d.ids) - 1 for d in some) for domain, some in documents.items()}
    assert f"4 models x ({sum(tokens.values()):,} tokens and 2 prompts" in said
    for domain, some in documents.items():
        assert re.search(rf" {domain} +{len(some)} +{tokens[domain]:,}$", said, re.MULTILINE)
    assert re.search(r"base +measured anew$", said, re.MULTILINE) and "merged  measured after the merge" in said
    assert "leave-one-out" in said and "nothing was written" in said

    assert trained.merge() == 0
    capsys.readouterr()
    before = traces(trained.root)
    assert trained.merge("--dry-run") == 0
    said = capsys.readouterr().err
    for name in ("base", *DOMAINS, "merged"):
        assert re.search(rf" {name} +measured before, and nothing has changed since: kept$", said, re.MULTILINE)
    assert trained.merge("--dry-run", "--evaluation.max_new_tokens", "5", "--merge.scale", "0.5") == 0
    said = capsys.readouterr().err
    assert "measured anew (2 of 3 parts are kept)" in said and "measured after the merge" in said
    assert traces(trained.root) == before


def test_a_dry_search_says_on_how_much(trained, capsys):
    before = traces(trained.root)
    assert trained.merge("--dry-run", *AUTO) == 0
    said = capsys.readouterr().err
    counts = {d: Corpus([trained.layout.parquet(d)], SPLIT).counts["tune"] for d in DOMAINS}
    assert f"it looks at web {counts['web']}, social {counts['social']}" in said
    assert re.search(r"equal +measured after", said) and traces(trained.root) == before


def test_a_dry_search_names_every_model_that_the_real_one_measures(trained, capsys):
    options = [*AUTO, "--merge.normalize", "false", "--search.hand", "{web: 0.9, social: 0.1}"]
    assert trained.merge("--dry-run", *options) == 0
    said = capsys.readouterr().err
    assert trained.merge(*options) == 0
    models, tokens = re.search(r"evaluation: (\d+) models x \(([\d,]+) tokens", capsys.readouterr().err).groups()
    most, planned = re.search(r"evaluation: up to (\d+) models x \(([\d,]+) tokens", said).groups()
    rivals = json.loads(trained.layout.merge_record.read_text())["search"]["rivals"]
    alike = sum(rival["same_as"] is not None for rival in rivals)
    assert (int(most) - alike, planned) == (int(models), tokens)
    assert all(re.search(rf"{rival['name']} +measured after the merge", said) for rival in rivals)


def test_a_dry_run_and_ratings_are_two_requests(trained, refused):
    before = traces(trained.root)
    refused(trained.merge("--dry-run", "--ratings"), "--ratings")
    assert traces(trained.root) == before


def write_texts(place, domain: str, texts: list[str | None]) -> None:
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), place.layout.parquet(domain))


def row_of(said: str, domain: str) -> list[str]:
    """The first line of a table that begins with the domain."""
    return next(line.split() for line in said.splitlines() if re.search(rf"\d   {domain} ", line))[3:]


@pytest.fixture
def korean(tmp_path, tokenizer):
    """Two domains of which one has a Hangul name, nulls, blanks and duplicates of every kind."""
    place = make_workplace(tmp_path, tokenizer)
    web, talk = generate("web", 60, 1), generate("social", 60, 2)
    place.layout.parquet("social").unlink()
    place.config.write_text(
        place.config.read_text().replace("social", "대화").replace("- 대화", '- "대화"'), encoding="utf-8"
    )
    decomposed = unicodedata.normalize("NFD", web[3])
    write_texts(place, "web", [*web, None, None, "", "  \n ", web[0], f" {web[1]}\n", decomposed])
    write_texts(place, "대화", [*talk, web[5], web[5], web[6]])
    return place


def test_a_dry_training_counts_text_and_duplicates(korean, tokenizer, capsys):
    before = traces(korean.root, caches())
    assert korean.train("all", "--dry-run") == 0
    said = capsys.readouterr().err
    assert traces(korean.root, caches()) == before  # no log, no state, no cache of blocks
    header = next(line for line in said.splitlines() if "documents  null" in line).split()[2:]
    for domain, expected in {
        "web": {"documents": 63, "null": 2, "empty": 2, "repeated": 3, "elsewhere": 2},
        "대화": {"documents": 63, "null": 0, "empty": 0, "repeated": 1, "elsewhere": 3},
    }.items():
        corpus = Corpus([korean.layout.parquet(domain)], SPLIT)
        expected |= {side: corpus.counts[side] for side in ("train", "tune", "test")}
        ids = [
            document.ids
            for side in expected.keys() & {"train", "tune", "test"}
            for document in encode_documents(corpus.documents(side), tokenizer)
        ]
        expected["tokens"] = sum(len(i) + (i[-1] != tokenizer.eos_token_id) for i in ids)
        found = dict(zip(header, [domain, *row_of(said, domain)], strict=True))
        assert {name: int(found[name].replace(",", "")) for name in expected} == expected
    assert "web: texts that also stand in 대화 (2)" in said and "대화: texts that also stand in web (3)" in said
    assert said.count("test documents, fewer than 20") == 2 and "documents are too few to split" in said


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (8, "8 bytes"), (300, "0.29 KiB"), (262_144, "0.25 MiB"), (2**30 / 100 + 1, "0.01 GiB")],
)
def test_a_size_is_told_in_a_unit_that_shows_it(size, text):
    assert in_bytes(size) == text


def test_columns_are_as_wide_as_a_terminal_shows_them(korean, capsys):
    assert [display_width(text) for text in ("web", "대화", unicodedata.normalize("NFD", "대화"), "ｗ", "é")] == [
        3,
        4,
        4,
        2,
        1,
    ]
    assert aligned([("web", "1"), ("대화방", "10")]) == ["web      1", "대화방  10"]
    assert aligned([("a", "x", "1"), ("b", "법률", "2")], left=2) == ["a  x     1", "b  법률  2"]


def test_a_dry_training_plans_the_steps_that_the_real_one_takes(workplace, capsys):
    options = ("--training.epochs", "0.6", "--training.batch_size", "8")
    assert workplace.train("web", "--dry-run", *options) == 0
    said = capsys.readouterr().err
    blocks, steps, evaluations, tune = (int(figure.replace(",", "")) for figure in row_of_plan(said, "web"))
    assert workplace.train("web", *options) == 0
    log = workplace.layout.train_log("web").read_text(encoding="utf-8")
    assert f"{blocks:,} blocks of 64 tokens" in log and f"step {steps}/{steps} " in log
    assert log.count("eval_loss ") == evaluations
    trains = re.search(r" all +4 +([\d,]+), ", log)[1]
    assert re.search(rf" all +4 +{trains}, ", said)
    adapter = sum(t.numel() for t in torch.load(workplace.layout.adapter("web") / "adapter_model.bin").values())
    assert int(trains.replace(",", "")) == adapter
    assert f"adapters {in_bytes(4 * adapter)}" in said
    watched = len(
        TrainingText({"web": [workplace.layout.parquet("web")]}, config_of(workplace))
        .blocks(AutoTokenizer.from_pretrained(workplace.base))
        .tune
    )
    assert tune == watched
    assert log.index("web: WARNING: ") < log.index("step 1/")  # and the real run warns before it trains


def config_of(place) -> Config:
    return parse_request("", ["--config", str(place.config), "--domain", "web"], stage=1).config


def row_of_plan(said: str, name: str) -> list[str]:
    return row_of(said[said.index("plan:") :], name)


def test_a_dry_training_tells_the_time_of_real_steps(workplace, monkeypatch, capsys):
    """Steps are a second longer here than they are; the plan is given four of them."""
    step = training_checks.FiniteTrainer.training_step
    monkeypatch.setattr(training_checks.FiniteTrainer, "training_step", lambda *a: time.sleep(0.5) or step(*a))
    monkeypatch.setattr(training_hours, "TRAINING_SECONDS", 4 * 0.5)
    assert workplace.train("all", "--dry-run", "--training.epochs", "1", "--training.eval_steps", "1000") == 0
    said = capsys.readouterr().err
    steps = int(row_of_plan(said, "web")[1])
    timed = float(re.search(r"time: ([\d.]+) s a step \(mean of 3\)", said)[1])
    assert 0.5 < timed < 5 and "peak memory" in said
    told = float(re.search(r"time: web +([\d.]+) s, WARNING: more than the plan's 2 s", said)[1])
    assert told == pytest.approx(steps * timed, rel=0.2)
    assert "for all, one after the other" in said and said.count("s a step") == 1


def test_what_fits_only_in_parts_is_timed_in_parts(workplace, monkeypatch, capsys):
    step = training_checks.FiniteTrainer.training_step

    def small_memory(self, model, inputs, *rest):
        if len(inputs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("no room")
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(training_checks.FiniteTrainer, "training_step", small_memory)
    assert workplace.train("web", "--dry-run") == 0
    assert "in parts of 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("memory_free", lambda: 1000, "needs about 0."), ("least_seconds", lambda *a: 7200.0, "takes 2 h or more")],
)
def test_where_no_step_can_be_tried_the_dry_training_says_why(workplace, monkeypatch, capsys, name, value, words):
    monkeypatch.setattr(training_rehearsal, name, value)
    monkeypatch.setattr(training_rehearsal, "load_model", None)
    assert workplace.train("web", "--dry-run") == 0
    said = capsys.readouterr().err
    assert "time: not known: no step" in said and words in said and "blocks of 64 tokens" in said


def test_large_text_is_told_from_a_sample(workplace, tokenizer, monkeypatch):
    files = [workplace.layout.parquet("web")]
    exact, estimated = (take_census("web", files, SPLIT) for _ in range(2))
    count_tokens(exact, tokenizer)
    monkeypatch.setattr(text_census, "EXACT_CHARACTERS", exact.characters // 2)
    count_tokens(estimated, tokenizer)
    assert exact.sample == 1 and 0.2 < estimated.sample < 0.8
    assert sum(estimated.tokens.values()) == pytest.approx(sum(exact.tokens.values()), rel=0.15)
    assert estimated.tokens != exact.tokens
    lines = text_census.census_lines([estimated], {})
    assert any("tokens are estimated from" in line for line in lines) and "about" in lines[2]


def test_a_text_of_works_on_two_sides_is_told_of(workplace, tokenizer):
    texts = [f"글 {n // 2} 입니다." for n in range(200)]  # each twice, by two works
    table = pa.table({"text": texts, "work": [f"작품 {n}" for n in range(200)]})
    path = workplace.layout.parquet("web")
    pq.write_table(table, path)
    data = replace(SPLIT, group_column="work")
    census = take_census("web", [path], data)
    count_tokens(census, tokenizer)
    left_out = 200 - Corpus([path], data).counts.total()
    assert census.documents == 200 and census.texts.repeated == 100 and census.on_two_sides == left_out > 0
    assert f"web: {left_out} documents take no part" in "\n".join(text_census.census_lines([census], {}))


def test_hashes_find_what_comparing_all_texts_finds():
    generator = np.random.default_rng(0)
    pools = [[f"글 {n}" for n in generator.integers(0, 60, size)] for size in (50, 200, 1)]
    texts = [text_census.Texts(*np.unique([int(p[2:]) for p in pool], return_counts=True)) for pool in pools]
    for one, own in zip(pools, texts, strict=True):
        assert own.repeated == len(one) - len(set(one))
        for other, others in zip(pools, texts, strict=True):
            assert own.also_in(others) == sum(text in set(other) for text in one)


def test_a_dry_training_is_refused_where_the_real_one_is(workplace, monkeypatch, capsys, refused):
    before = traces(workplace.root)
    workplace.layout.parquet("web").rename(workplace.root / "web")
    assert workplace.train("all", "--dry-run") == 2
    said = capsys.readouterr().err
    assert row_of(said, "social") and "no data for domain web" in said.splitlines()[-1]  # the other is told of
    assert workplace.train("social", "--dry-run") == 0 and "not compared with web" in capsys.readouterr().err
    (workplace.root / "web").rename(workplace.layout.parquet("web"))
    assert traces(workplace.root).keys() == before.keys()
    write_texts(workplace, "social", ["짧다."] * 3)
    refused(workplace.train("all", "--dry-run"), "social.parquet: too little text for one block")
    refused(workplace.train("web", "--dry-run", "--lora.target_modules", "[nobody]"), "lora.target_modules")
    (workplace.root / "logs").write_text("")
    refused(workplace.train("web", "--dry-run"), "logs cannot be written")
    refused(workplace.train("all"), "--dry-run", "web, social")
    (workplace.root / "logs").unlink()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", workplace.config / "cache")
    refused(workplace.train("web", "--dry-run"), "token blocks cannot be kept", "HF_HOME")


def test_a_dry_training_knows_what_is_trained(trained, capsys, refused):
    trained.layout.training_state("social").mkdir()
    before = traces(trained.root)
    assert trained.train("web", "--dry-run", "--training.epochs", "0.05") == 0
    assert "already trained with these settings" in capsys.readouterr().err
    refused(trained.train("web", "--dry-run", "--lora.r", "2"), "lora.r 4 -> 2; --overwrite")
    assert trained.train("web", "--dry-run", "--lora.r", "2", "--overwrite") == 0
    assert traces(trained.root) == before


@pytest.mark.parametrize("name", ["log", "table", "picture", "states", "adapter"])
def test_a_dry_training_refuses_what_is_in_the_way_of_the_real_one(trained, capsys, name):
    layout = trained.layout
    in_the_way = {
        "log": (layout.train_log("web"), os.mkfifo),
        "table": (layout.train_summary("web", ".csv"), Path.mkdir),
        "picture": (layout.train_summary("web", ".png"), Path.mkdir),
        "states": (layout.training_state("web"), lambda path: path.symlink_to("nowhere")),
        "adapter": (layout.adapter("social"), lambda path: path.symlink_to("lora_social")),
    }
    path, make = in_the_way[name]
    shutil.rmtree(layout.adapter("social"))
    in_place_of(path, make)
    domain, before = "social" if name == "adapter" else "web", traces(trained.root)
    assert trained.train(domain, "--overwrite", "--dry-run") == 2
    dry = capsys.readouterr().err.splitlines()[-1]
    assert dry.startswith(f"error: {path} ") and traces(trained.root) == before
    assert trained.train(domain, "--overwrite") == 2 and capsys.readouterr().err.splitlines()[-1] == dry


def test_a_dry_training_looks_at_the_states_it_would_go_on_from(trained, monkeypatch, capsys):
    again = ("web", "--overwrite", "--training.epochs", "0.1", "--training.save_steps", "1")
    with monkeypatch.context() as for_now:
        stop_at(for_now, 3)
        assert trained.train(*again) == 1
    states = sorted(trained.layout.training_state("web").iterdir())
    before, said = traces(trained.root), []
    for damaged in [None, *reversed(states)]:
        if damaged:
            (damaged / "optimizer.pt").unlink()
            before = traces(trained.root)
        assert trained.train(*again, "--dry-run") == 0 and traces(trained.root) == before
        said.append(capsys.readouterr().err)
    assert f"would go on from {states[1].name}" in said[0] and "WARNING: the saved state" not in said[0]
    assert f"would go on from {states[0].name}" in said[1] and f"{states[1]} would be given up" in said[1]
    assert "would begin anew" in said[2] and said[2].count("optimizer.pt is missing") == 2
    assert trained.train(*again, "--lora.r", "2", "--dry-run") == 0
    assert "--overwrite would give it up" in capsys.readouterr().err


def test_a_dry_training_knows_what_the_saved_states_will_take(workplace, monkeypatch, capsys):
    options = ("--training.epochs", "0.2", "--training.save_steps", "1", "--lora.r", "64")
    assert workplace.train("web", "--dry-run", *options) == 0
    said = float(re.search(r"unfinished training up to ([0-9.]+) MiB", capsys.readouterr().err)[1])
    stop_at(monkeypatch, 4)
    assert workplace.train("web", *options) == 1
    kept = list(workplace.layout.training_state("web").iterdir())
    each = sum(path.stat().st_size for state in kept for path in state.rglob("*")) / len(kept)
    assert len(kept) == 2 and said == pytest.approx(3 * each / 2**20, rel=0.25)


def test_a_dry_training_of_a_mixture_is_as_long_as_all_domains(workplace, capsys):
    mixture = ("--data.mixtures", '{"섞음": {"web": 3, "social": 1}}')
    assert workplace.train("all", "--dry-run", *mixture) == 0
    said = capsys.readouterr().err
    alone = sum(int(row_of_plan(said, domain)[0]) for domain in DOMAINS)
    assert alone and "섞음" not in said.split("plan:")[1]
    assert workplace.train("섞음", "--dry-run", "--training.epochs", "1", *mixture) == 0
    said = capsys.readouterr().err
    assert int(row_of_plan(said, "섞음")[0]) == alone and "for 2 domains" in said


@pytest.mark.parametrize("model_type", ["zamba2", "jamba", "llama"])
def test_parameters_are_counted_without_weights(tmp_path, tokenizer, model_type):
    """On the meta device all weights are at one address; only those that are one tensor share an adapter."""
    random_model(model_type, tokenizer).save_pretrained(tmp_path)
    config = Config(str(tmp_path))
    loaded = training.adapted(AutoModelForCausalLM.from_pretrained(tmp_path), config)
    empty = training.adapted(Names.of(tmp_path).model, config)
    assert training_plan.trained(empty) == training_plan.trained(loaded) > 0
    memory = training_plan.memory_of(empty, config, torch.float32)
    assert memory.weights == sum(4 * p.numel() for p in loaded.parameters() if not p.requires_grad)


def test_a_dry_difference_tells_what_the_real_one_writes(trained, capsys):
    before = traces(trained.root)
    for options in ((), ("--diff.storage", "lowrank", "--diff.dtype", "float16")):
        assert trained.diff("all", "--dry-run", *options) == 0
        said = capsys.readouterr().err
        assert traces(trained.root) == before
        copy = trained.root.parent / "made"
        shutil.copytree(trained.root, copy)
        made = type(trained)(copy, trained.base, trained.config)
        assert made.diff("all", *options) == 0
        for domain in DOMAINS:
            parameters, elements, *sizes = row_of_plan(said, domain)
            index = json.loads(made.layout.diff_index(domain).read_text())
            assert int(parameters) == len(index["parameters"])
            assert int(elements.replace(",", "")) == sum(np.prod(p["shape"]) for p in index["parameters"])
            assert sizes[2:4] == size_words(np.load(made.layout.diff_vector(domain)).nbytes)
            assert sizes[4:] == size_words(trained.layout.diff_vector(domain).stat().st_size)
        shutil.rmtree(copy)
        capsys.readouterr()


def size_words(size: int) -> list[str]:
    return in_bytes(size).split()


def test_a_dry_difference_refuses_what_the_real_one_does(trained, tokenizer, capsys, refused):
    web = trained.layout.adapter("web") / "adapter_model.bin"
    record, whole = web.parent / "dem_run.json", torch.load(web, weights_only=True)
    kept = {file: file.read_bytes() for file in (web, record)}
    torch.save({name: t * (float("nan") if "in_proj.lora_A" in name else 1) for name, t in whole.items()}, web)
    record.unlink()  # or it would be told that these are not the weights of the training
    assert trained.diff("all", "--dry-run") == 2
    said = capsys.readouterr().err
    assert "NaN or Inf" in said.splitlines()[-1] and row_of_plan(said, "social")
    torch.save({name: t * 0 for name, t in whole.items()}, web)
    refused(trained.diff("web", "--dry-run", "--diff.normalize", "l2"), "changes nothing")
    torch.save({"base_model.model.nobody.lora_A.weight": torch.ones(4, 4)}, web)
    refused(trained.diff("web", "--dry-run"), "lora_web")
    for file, content in kept.items():
        file.write_bytes(content)
    before = traces(trained.root)
    make_base(trained.base, tokenizer, seed=5)  # by names and shapes the same
    refused(trained.diff("all", "--dry-run"), "lora_web", "lora_social", "another base")
    assert traces(trained.root).keys() == before.keys()
    shutil.rmtree(trained.layout.adapter("web"))
    refused(trained.diff("web", "--dry-run"), "no adapter")


@pytest.mark.parametrize("part", range(4))
def test_a_folder_in_place_of_a_differences_file_is_refused_before_the_work(trained, capsys, part):
    path = trained.layout.difference_output("web").parts[part]
    in_place_of(path, Path.mkdir)
    before = traces(trained.root)
    for options in (("--dry-run",), ()):
        assert trained.diff("web", *options) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error == f"error: {path} cannot be written: a folder is in its place; remove or rename it"
    assert traces(trained.root).keys() == before.keys()


def test_a_dry_difference_of_a_model_says_at_most(trained, tokenizer, capsys, refused):
    tuned = make_base(trained.root.parent / "tuned", tokenizer, seed=3)
    before = traces(trained.root)
    assert trained.diff("web", "--dry-run", "--model", str(tuned)) == 0
    elements = sum(t.numel() for t in load_file(tuned / "model.safetensors").values())
    assert f"at most {elements:,}" in capsys.readouterr().err
    save_file({"backbone.embeddings.weight": torch.ones(3, 3)}, tuned / "model.safetensors", {"format": "pt"})
    refused(trained.diff("web", "--dry-run", "--model", str(tuned)), "does not fit")
    assert traces(trained.root) == before


def test_differences_need_room_beside_those_they_replace():
    def plan(written: int, replaced: int) -> DifferencePlan:
        return DifferencePlan("web", 1, 1, False, 1, written, replaced, 1)

    assert disk_needed([plan(10, 0), plan(10, 0)]) == 20
    assert disk_needed([plan(10, 10), plan(10, 10)]) == 10
    assert disk_needed([plan(4, 10), plan(10, 0)]) == 4
