"""The baseline trained on a mixture: which blocks it sees, and its row beside the merged model."""

import csv
import json

import datasets
import pytest
from conftest import DOMAINS

from dem.layout import RUN_RECORD
from dem.mixtures import blocks_each, mixed_blocks

MIXTURE = ("--data.mixtures", '{"섞음": {"web": 3, "social": 1}}')


def test_shares_are_whole_blocks_and_all_of_them():
    assert blocks_each(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert blocks_each(1001, {"a": 0.4, "b": 0.6}) == {"a": 400, "b": 601}
    assert sum(blocks_each(997, {"a": 0.2, "b": 5, "c": 1.7}).values()) == 997


def test_a_domain_is_gone_through_whole_before_any_block_comes_again():
    of_domain = {n: datasets.Dataset.from_dict({"input_ids": [[start + i] for i in range(size)]})
                 for n, start, size in (("a", 0, 10), ("b", 100, 30), ("c", 200, 5))}  # fmt: skip
    seen = [row["input_ids"][0] for row in mixed_blocks(of_domain, {"a": 0.6, "b": 0.4}, 1)]
    assert len(seen) == 45
    counts = {n: [seen.count(start + i) for i in range(len(of_domain[n]))] for n, start in (("a", 0), ("b", 100))}
    assert sum(counts["a"]) == 27 and set(counts["a"]) == {2, 3}
    assert sum(counts["b"]) == 18 and set(counts["b"]) == {0, 1} and max(seen) < 200
    again = [row["input_ids"][0] for row in mixed_blocks(of_domain, {"a": 0.6, "b": 0.4}, 1)]
    other = [row["input_ids"][0] for row in mixed_blocks(of_domain, {"a": 0.6, "b": 0.4}, 2)]
    assert again == seen != other


def test_a_mixture_is_trained_on_as_much_and_reported_beside_the_merge(workplace, capsys):
    steps = 0
    for domain in DOMAINS:
        assert workplace.train(domain) == 0 and workplace.diff(domain) == 0
        table = csv.DictReader(workplace.layout.train_summary(domain, ".csv").open(encoding="utf-8"))
        steps += max(int(row["step"]) for row in table)
    assert workplace.merge(*MIXTURE) == 0
    assert "섞음 is left out: train it" in capsys.readouterr().err
    assert workplace.train("섞음", *MIXTURE) == 0
    own = max(
        int(r["step"]) for r in csv.DictReader(workplace.layout.train_summary("섞음", ".csv").open(encoding="utf-8"))
    )
    assert abs(own - steps) <= len(DOMAINS)  # each domain's last step may be a part of one
    record = json.loads((workplace.layout.adapter("섞음") / RUN_RECORD).read_text(encoding="utf-8"))
    assert record["data"]["mixture"] == {"web": 3, "social": 1}

    assert workplace.train("web", *MIXTURE) == 0  # trained already: what is mixed does not matter to it
    assert "already trained" in capsys.readouterr().err
    before = workplace.layout.merge_record.read_bytes()
    assert workplace.merge(*MIXTURE) == 0
    assert workplace.layout.merge_record.read_bytes() == before
    rows = [row["model"] for row in csv.DictReader(workplace.layout.metric_summary.open(encoding="utf-8"))]
    assert rows == ["base", *DOMAINS, "섞음", "merged"]
    report = workplace.layout.report.read_text(encoding="utf-8")
    assert "the adapter trained on the mixture 섞음" in report and "Training on 섞음 took" in report


@pytest.mark.parametrize(
    ("mixtures", "words"),
    [
        ({"web": {"web": 1}}, ["data.mixtures.web", "name of a domain"]),
        ({"merged": {"web": 1}}, ["merged"]),
        ({"m": {"nowhere": 1}}, ["data.mixtures.m", "nowhere"]),
        ({"m": {"web": 0}}, ["data.mixtures.m", "web", "above 0"]),
        ({"m": {}}, ["data.mixtures.m is empty"]),
    ],
)
def test_a_wrong_mixture_is_refused_by_name(workplace, refused, mixtures, words):
    refused(workplace.train("web", "--data.mixtures", json.dumps(mixtures)), *words)


def test_stage_2_knows_no_mixtures(workplace, refused):
    refused(workplace.diff("섞음", *MIXTURE), "--domain 섞음 is not one of the config's domains")
