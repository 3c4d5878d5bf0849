"""The baseline trained on a mixture: which blocks it sees, how it goes on, and its row beside the merged model."""

import csv
import json
import shutil
from collections import Counter

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from conftest import DOMAINS, make_adapter
from test_training import stop_at
from transformers import AutoTokenizer

from dem import training
from dem.checkpoints import Checkpoint
from dem.config import Config, DataConfig, TrainingConfig
from dem.corpus import Corpus, blocks
from dem.evaluation.evidence import gather
from dem.evaluation.intervals import LEAST
from dem.evaluation.mixture_costs import cost_lines
from dem.evaluation.mixtures import find_mixtures
from dem.evaluation.team_report import publish_report
from dem.layout import RUN_RECORD
from dem.mixtures import blocks_each, mix_training, mix_tuning, mixed_order, trained_blocks
from dem.sample_text import generate
from dem.training_blocks import TrainingText

MIXTURE = ("--data.mixtures", '{"섞음": {"web": 3, "social": 1}}')


def test_shares_are_whole_blocks_and_all_of_them():
    assert blocks_each(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert blocks_each(1001, {"a": 0.4, "b": 0.6}) == {"a": 400, "b": 601}
    assert sum(blocks_each(997, {"a": 0.2, "b": 5, "c": 1.7}).values()) == 997


def test_no_block_comes_again_before_all_others_of_its_domain():
    available, wanted = [10, 30, 4], [27, 18, 4]
    order = mixed_order(available, wanted, seed=1)
    firsts = [0, 10, 40, 44]
    of_domain = [[n - a for n in order if a <= n < b] for a, b in zip(firsts, firsts[1:], strict=False)]
    assert [len(seen) for seen in of_domain] == wanted
    for seen, size in zip(of_domain, available, strict=True):
        passes = [seen[start : start + size] for start in range(0, len(seen), size)]
        assert all(len(set(one)) == len(one) for one in passes)  # each whole one holds every block once
    first, second = of_domain[0][:10], of_domain[0][10:20]
    assert first != second and first != sorted(first)
    assert np.array_equal(order, mixed_order(available, wanted, 1)) and not np.array_equal(
        order, mixed_order(available, wanted, 2)
    )


def test_the_domains_stand_mixed_from_the_beginning_to_the_end():
    order = mixed_order([1000, 1000], [300, 700], seed=3)
    shares = [(part < 1000).mean() for part in np.split(order, 10)]
    assert all(abs(share - 0.3) < 0.15 for share in shares)  # of 100 drawn without bias: within three deviations


@pytest.mark.parametrize("epochs", [1, 2, 0.1, 1.5, 0.01])
@pytest.mark.parametrize("count", [1, 7, 8, 100])
def test_a_training_goes_through_as_many_blocks_as_are_counted_one_by_one(count, epochs):
    per_epoch = [min(8, count - start) for start in range(0, count, 8)]
    steps, went = epochs * len(per_epoch), 0
    for step in range(1000):
        if step >= steps:
            break
        went += per_epoch[step % len(per_epoch)]
    assert trained_blocks(count, TrainingConfig(batch_size=8, epochs=epochs)) == went


def dataset(start: int, size: int, length: int = 2) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"input_ids": [[start + i] * length for i in range(size)]})


def seen_of(mixed: datasets.Dataset) -> Counter:
    """How many of its blocks are of each hundred."""
    return Counter(row["input_ids"][0] // 100 for row in mixed)


def test_a_mixture_takes_what_all_domains_together_take_and_says_of_what():
    of_domain = {"b": dataset(100, 30), "a": dataset(0, 10), "c": dataset(200, 5)}
    settings = TrainingConfig(batch_size=4, epochs=2, seed=1)
    mixed, notes = mix_training(of_domain, {"a": 0.6, "b": 0.4}, settings)
    assert seen_of(mixed) == {0: 54, 1: 36}  # of (30 + 10 + 5) * 2
    assert notes == [
        "mixture: 90 blocks, as many as the trainings of b, a, c go through together",
        "mixture: a: 60.0%, 54 blocks: all of its 10 5 times, then 4 of them once more",
        "mixture: b: 40.0%, 36 blocks: all of its 30, then 6 of them once more",
    ]
    reordered = {name: of_domain[name] for name in ("c", "a", "b")}
    assert mix_training(reordered, {"b": 0.4, "a": 0.6}, settings)[0][:] == mixed[:]
    _, notes = mix_training(of_domain, {"c": 0.1, "b": 0.9}, TrainingConfig(batch_size=4, epochs=0.5))
    # steps: 4 of 8, 2 of 3, 1 of 2; so 16 + 8 + 4 blocks
    assert notes[0].startswith("mixture: 28 blocks") and "b: 90.0%, 25 of its 30 blocks" in notes[2]


def test_tune_blocks_are_in_the_same_shares_and_few():
    of_domain = {"a": dataset(0, 20), "b": dataset(100, 60), "c": dataset(200, 1, length=1), "d": dataset(300, 0)}
    mixed, note = mix_tuning(of_domain, {"a": 0.5, "b": 0.5}, 2, most=256, seed=1)
    assert seen_of(mixed) == {0: 40, 1: 40} and "a 40, b 40" in note
    assert seen_of(mix_tuning(of_domain, {"a": 0.25, "b": 0.75}, 2, most=8, seed=1)[0]) == {0: 2, 1: 6}
    mixed, note = mix_tuning(of_domain, {"a": 0.5, "c": 0.3, "d": 0.2}, 2, most=256, seed=1)
    assert seen_of(mixed) == {0: 20} and "without c, d, whose tune split fills no block" in note
    mixed, note = mix_tuning(of_domain, {"c": 0.5, "d": 0.5}, 2, most=256, seed=1)
    assert not len(mixed) and "no domain's tune split fills a block" in note


def test_every_block_is_of_the_train_split_of_its_domain(workplace):
    data = DataConfig(max_length=64, tune_fraction=0.1, test_fraction=0.1, mixtures={"m": {"web": 3, "social": 1}})
    config = Config(base_model="x", domains=DOMAINS, data=data, training=TrainingConfig(batch_size=4))
    tokenizer = AutoTokenizer.from_pretrained(workplace.base)
    files = {domain: workplace.layout.parquet_files(domain) for domain in DOMAINS}
    found = TrainingText(files, config, data.shares("m")).blocks(tokenizer)

    def own(domain, split):
        documents = Corpus(files[domain], data).documents(split)
        return [tuple(block["input_ids"]) for block in blocks(documents, tokenizer, 64)]

    train, tune = {d: own(d, "train") for d in DOMAINS}, {d: own(d, "tune") for d in DOMAINS}
    seen, total = Counter(tuple(row["input_ids"]) for row in found.train), sum(map(len, train.values()))
    assert seen.keys() <= {*train["web"], *train["social"]} and seen.total() == total
    assert sum(seen[block] for block in {*train["social"]}) == round(total / 4)
    assert {tuple(row["input_ids"]) for row in found.tune} <= {*tune["web"], *tune["social"]}
    assert found.in_order and found.epochs == 1 and len(found.tune)
    alone = TrainingText({"web": files["web"]}, config).blocks(tokenizer)
    assert [tuple(row["input_ids"]) for row in alone.train] == train["web"] and not alone.in_order


def last_row(place, name):
    table = place.layout.train_summary(name, ".csv").open(encoding="utf-8")
    return list(csv.DictReader(table))[-1]


def record_of(place, name="섞음"):
    return json.loads((place.layout.adapter(name) / RUN_RECORD).read_text(encoding="utf-8"))


def files_below(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_mixture_is_trained_on_as_much_and_reported_beside_the_merge(workplace, capsys):
    for domain in DOMAINS:
        assert workplace.train(domain) == 0 and workplace.diff(domain) == 0
    assert workplace.merge() == 0
    merged = files_below(workplace.layout.merged_model)
    assert workplace.merge(*MIXTURE) == 0
    how = "python dem/train_individual.py --config CONFIG --domain 섞음"
    assert "the mixture 섞음 is left out: no adapter in" in (said := capsys.readouterr().err) and how in said
    report = workplace.layout.report.read_text(encoding="utf-8")
    assert "- 섞음 is left out: no adapter in" in report and how in report.replace("&#95;", "_")

    assert workplace.train("섞음", *MIXTURE) == 0
    tokens = {name: int(last_row(workplace, name)["tokens"]) for name in (*DOMAINS, "섞음")}
    assert tokens["섞음"] == tokens["web"] + tokens["social"] > 0
    record = record_of(workplace)
    assert record["mixture"] == {"web": 0.75, "social": 0.25} and record["tokens"] == tokens["섞음"]
    assert record["data"]["fingerprint"] == {d: record_of(workplace, d)["data"]["fingerprint"] for d in DOMAINS}
    log = workplace.layout.train_log("섞음").read_text(encoding="utf-8")
    assert "mixture: web: 75.0%" in log and "eval_loss is measured on tune blocks in the same shares" in log
    assert workplace.layout.train_summary("섞음", ".png").is_file()

    assert workplace.train("web", *MIXTURE) == 0  # trained already: what is mixed does not matter to it
    assert "already trained" in capsys.readouterr().err
    assert workplace.merge(*MIXTURE) == 0
    assert files_below(workplace.layout.merged_model) == merged
    rows = [row["model"] for row in csv.DictReader(workplace.layout.metric_summary.open(encoding="utf-8"))]
    assert rows == ["base", *DOMAINS, "섞음", "merged"]
    metrics = json.loads(workplace.layout.metrics.read_text(encoding="utf-8"))
    merged_all, mixed_all = (metrics["models"][name]["perplexity"]["all"] for name in ("merged", "섞음"))
    change = merged_all["perplexity"] / mixed_all["perplexity"] - 1
    against = metrics["against"]["섞음"]
    assert against["relative"] == pytest.approx(change)
    assert merged_all["documents"] < LEAST and against["low"] is None
    page = workplace.layout.report.read_text(encoding="utf-8")
    assert f"the adapter trained on the mixture 섞음: {change:+.2%}, " in page
    assert f"| 2 adapters, merged | a domain each | {tokens['섞음']:,} |" in page and "equal tokens" not in page
    assert f"| 섞음 | social 25%, web 75% | {tokens['섞음']:,} |" in page
    assert "섞음" not in workplace.layout.acceptance.read_text(encoding="utf-8")

    shutil.rmtree(workplace.layout.adapter("섞음"))
    publish_report(workplace.layout)  # of the evaluation, whatever has become of the adapter
    assert workplace.layout.report.read_text(encoding="utf-8") == page


def test_a_mixture_is_trained_on_in_its_order(workplace, monkeypatch):
    stacked, stack = [], training._stack

    def watched(rows):
        stacked.extend(tuple(row["input_ids"]) for row in rows)
        return stack(rows)

    monkeypatch.setattr(training, "_stack", watched)
    made = []
    blocks_of = TrainingText.blocks
    monkeypatch.setattr(TrainingText, "blocks", lambda *arguments: made.append(blocks_of(*arguments)) or made[-1])
    assert workplace.train("섞음", *MIXTURE) == 0
    expected = [tuple(row["input_ids"]) for row in made[0].train]
    assert [block for block in stacked if block in {*expected}] == expected


def test_a_mixture_cut_off_ends_as_an_unbroken_one(workplace, monkeypatch, capsys):
    options = (*MIXTURE, "--training.epochs", "0.2", "--training.save_steps", "3", "--lora.dropout", "0.2")
    with monkeypatch.context() as first:
        stop_at(first, step=5)
        assert workplace.train("섞음", *options) == 1
    assert workplace.train("섞음", *options) == 0
    assert "going on from" in capsys.readouterr().err
    weights = workplace.layout.adapter("섞음") / "adapter_model.bin"
    resumed, tokens = torch.load(weights, weights_only=True), record_of(workplace)["tokens"]
    assert workplace.train("섞음", *options, "--overwrite") == 0
    unbroken = torch.load(weights, weights_only=True)
    assert all(torch.equal(tensor, unbroken[name]) for name, tensor in resumed.items())
    assert tokens == record_of(workplace)["tokens"]


def test_a_finished_mixture_is_trained_again_only_if_told(workplace, capsys):
    assert workplace.train("섞음", *MIXTURE) == 0
    same = ("--data.mixtures", '{"섞음": {"social": 25, "web": 75}, "other": {"web": 1}}', "--domains", "[social, web]")
    assert workplace.train("섞음", *same) == 0
    assert "already trained" in capsys.readouterr().err
    assert workplace.train("섞음", "--data.mixtures", '{"섞음": {"web": 1, "social": 1}}') == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "mixture.web 0.75 -> 0.5" in error and "--overwrite trains it again" in error
    pq.write_table(pa.table({"text": generate("social", 60, 2)}), workplace.layout.parquet("social"))
    assert workplace.train("섞음", *MIXTURE) == 2
    assert "there changed the text of social; --overwrite" in capsys.readouterr().err


def test_every_domain_of_the_config_is_asked_for_its_text(workplace, refused):
    workplace.layout.parquet("social").unlink()
    refused(workplace.train("m", "--data.mixtures", '{"m": {"web": 1}}'), "no data for domain social")
    pq.write_table(pa.table({"text": ["너무 짧은 글"]}), workplace.layout.parquet("social"))
    none = ("--data.tune_fraction", "0", "--data.test_fraction", "0")
    refused(workplace.train("m", "--data.mixtures", '{"m": {"web": 1}}', *none), "social.parquet", "too little text")


@pytest.fixture
def trained(workplace):
    """A mixture's adapter with its record, and how to look for it."""
    data = DataConfig(max_length=64, mixtures={"m": {"web": 1, "social": 1}})
    config = Config(base_model=str(workplace.base), domains=DOMAINS, data=data)
    files = {domain: workplace.layout.parquet_files(domain) for domain in DOMAINS}
    fingerprint = Checkpoint(workplace.base).fingerprint()
    adapter = make_adapter(workplace.base, workplace.layout.adapter("m"), seed=1)
    split = {"tune_fraction": 0.02, "test_fraction": 0.02, "group_column": None, "max_length": 512}
    record = {
        "base": {"name": "elsewhere", "fingerprint": fingerprint},
        "data": {**split, "fingerprint": TrainingText(files, config, data.shares("m")).fingerprint},
        "mixture": {"web": 0.5, "social": 0.5},
        "seconds": 60.0,
        "tokens": 1000,
    }

    def note(**changed):
        (adapter / RUN_RECORD).write_text(json.dumps(record | changed), encoding="utf-8")
        return find_mixtures(config, workplace.layout, files, workplace.base, fingerprint)["m"].note

    note.record, note.adapter, note.config = record, adapter, config
    return note


def test_a_mixture_that_cannot_be_compared_is_left_out_with_the_reason(trained):
    record, data = trained.record, trained.record["data"]
    assert trained() is None
    again = "python dem/train_individual.py --config CONFIG --domain m --overwrite"
    assert trained(base={"fingerprint": "x"}) == f"since it was trained there changed the base's weights: {again}"
    assert "data.test_fraction 0.1 -> 0.02" in trained(data=data | {"test_fraction": 0.1})
    changed = {"fingerprint": data["fingerprint"] | {"web": "x"}}
    assert "the text of web: python" in trained(data=data | changed)
    assert "the text of legal: python" in trained(data={**data, "fingerprint": data["fingerprint"] | {"legal": "x"}})
    assert "mixture.web 0.9 -> 0.5" in trained(mixture={"web": 0.9, "social": 0.1})
    assert "is not the record of a training" in trained(data=[1], base="x", mixture=None)
    assert "adapter_model.bin is not what the training wrote" in trained(adapter={"adapter_model.bin": "x"})
    version = {"transformers": transformers.__version__}
    assert "base's config.json changed" in trained(base=record["base"] | {"config": "x"}, versions=version)
    assert "base's tokenizer changed" in trained(base=record["base"] | {"tokenizer": "x"}, versions=version)
    assert trained(**record) is None
    weights = trained.adapter / "adapter_model.bin"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert str(trained.adapter) in trained()
    weights.unlink()
    assert "no adapter in" in trained()


def test_costs_that_are_not_equal_or_not_known_are_said_to_be_so(workplace, trained):
    for domain in DOMAINS:
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=1)
        assert workplace.diff(domain) == 0
        made_by = {"seconds": 30.0, "tokens": 400, "base": trained.record["base"], "data": {"fingerprint": "x"}}
        (workplace.layout.adapter(domain) / RUN_RECORD).write_text(json.dumps(made_by), encoding="utf-8")
    assert workplace.merge("--evaluation.enabled", "false") == 0
    trained()
    config = trained.config
    files = {domain: workplace.layout.parquet_files(domain) for domain in DOMAINS}
    mixtures = find_mixtures(config, workplace.layout, files, workplace.base, trained.record["base"]["fingerprint"])
    lines = cost_lines(mixtures, gather(workplace.layout))
    assert lines[2:4] == [
        "| 2 adapters, merged | a domain each | 800 | 1 min |",
        "| m | social 50%, web 50% | 1,000 | 1 min |",
    ]
    assert lines[-1].endswith("**Not a comparison at equal tokens: m.**")
    (workplace.layout.adapter("web") / RUN_RECORD).write_text("{}", encoding="utf-8")
    assert "| 2 adapters, merged | a domain each | not recorded | not recorded |" in cost_lines(
        mixtures, gather(workplace.layout)
    )


@pytest.mark.parametrize(
    ("mixtures", "words"),
    [
        ({"web": {"web": 1}}, ["data.mixtures.web", "name of a domain"]),
        ({"merged": {"web": 1}}, ["data.mixtures", "merged"]),
        ({"hand": {"web": 1}}, ["data.mixtures", "hand"]),
        ({"a/b": {"web": 1}}, ["data.mixtures", "a/b"]),
        ({"m": {"nowhere": 1}}, ["data.mixtures.m", "nowhere"]),
        ({"m": {"web": 0}}, ["data.mixtures.m", "web", "above 0"]),
        ({"m": {"web": -1, "social": 2}}, ["data.mixtures.m", "web", "above 0"]),
        ({"m": {"web": "x"}}, ["data.mixtures", "x"]),
        ({"m": {}}, ["data.mixtures.m is empty"]),
        ({"m": "best"}, ["data.mixtures.m is 'best': give a dictionary such as {web: 0.5} or found"]),
        ({"web": "found"}, ["data.mixtures.web", "name of a domain"]),
        (None, ["data.mixtures is empty"]),
    ],
)
def test_a_wrong_mixture_is_refused_by_name(workplace, refused, mixtures, words):
    refused(workplace.train("web", "--data.mixtures", json.dumps(mixtures)), *words)


@pytest.mark.parametrize(
    ("mixtures", "words"),
    [
        ("{1: {web: 1}}", "data.mixtures has an entry whose name is 1, which is not a text"),
        ("{m: {1: 1}}", "data.mixtures.m has an entry whose name is 1, which is not a text"),
        ("{m: {web: .nan}}", "data.mixtures.m.web is nan: give a number above 0"),
        ("", "data.mixtures is empty"),
    ],
)
def test_a_wrong_mixture_in_the_file_is_refused_by_name(workplace, refused, mixtures, words):
    config = workplace.config.read_text().replace("data:", f"data:\n  mixtures: {mixtures}")
    workplace.config.write_text(config, encoding="utf-8")
    refused(workplace.train("web"), words)


def test_stage_2_makes_no_difference_of_a_mixture(workplace, refused):
    refused(workplace.diff("섞음", *MIXTURE), "--domain 섞음 is a mixture of domains, of which no difference is made")
    refused(workplace.train("섞음"), "--domain 섞음 is not one of the config's domains: web, social")
