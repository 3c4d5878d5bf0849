"""How much of the adapters' gains at home is kept: by hand, against plain loops, and where it cannot be told."""

import json
import math

import numpy as np
import pytest
import scipy.stats
from merged_place import MergedPlace, write_json

from dem.errors import RequestError
from dem.evaluation import intervals
from dem.evaluation.evidence import gather
from dem.evaluation.metrics import Mixture, make_metrics, read_metrics
from dem.evaluation.ratios import ratios_of_means
from dem.evaluation.report import ModelResult
from dem.evaluation.retention import retention_of
from dem.evaluation.retention_report import retention_section, retention_sentence
from dem.evaluation.scores import Scores
from dem.evaluation.team_report import publish_report


def scores(tokens, gains) -> Scores:
    """Of documents of so many tokens, on each of which the loss per token is lower by `gains` than the base's 3."""
    tokens = np.array(tokens)
    return Scores((3.0 - np.array(gains)) * tokens, tokens, 3 * tokens)


def of(tokens: dict[str, list[int]], gains: dict[str, dict[str, float | list[float]]]) -> dict[str, dict[str, Scores]]:
    """Scores by model and domain; the base's, and those of models with these gains by domain."""
    models = {"base": dict.fromkeys(tokens, 0.0)} | gains
    return {
        name: {domain: scores(tokens[domain], own[domain] * np.ones(len(tokens[domain]))) for domain in tokens}
        for name, own in models.items()
    }


TOKENS = {"web": [100] * 30, "법률": [9] * 30}
GAINS = {
    "web": {"web": 0.04, "법률": -0.5},
    "법률": {"web": -0.5, "법률": 0.02},
    "mixed": {"web": 0.03, "법률": 0.03},
    "equal": {"web": -0.01, "법률": 0.0},
    "merged": {"web": 0.006, "법률": 0.003},
}


def test_each_domain_counts_alike_and_only_at_home():
    found = retention_of(of(TOKENS, GAINS))
    assert found.domains == ["web", "법률"] and found.note is None
    assert found.home.relative == pytest.approx(math.expm1(-0.03))
    assert list(found.models) == ["mixed", "equal", "merged"]  # no domain's own model
    assert found.models["merged"].mean.relative == pytest.approx(math.expm1(-0.0045))
    parts = {name: kept.retention.value for name, kept in found.models.items()}
    assert parts == pytest.approx({"mixed": 1.0, "equal": -1 / 6, "merged": 0.15})
    exact = found.models["merged"].retention  # all documents alike: nothing varies
    assert exact.low == exact.high == exact.value


def test_a_domain_without_test_documents_or_without_a_model_of_its_own_is_left_out():
    tokens = TOKENS | {"social": [50] * 30, "빈 것": [1][:0]}
    gains = {name: own | {"social": 9.0, "빈 것": 0.0} for name, own in GAINS.items()}
    gains["빈 것"] = dict.fromkeys(tokens, 1.0)
    found = retention_of(of(tokens, gains))
    assert found.domains == ["web", "법률"] and "빈 것" not in found.models
    assert found.models["merged"].retention.value == pytest.approx(0.15)
    nobody = retention_of(of(TOKENS, {"merged": GAINS["merged"]}))
    assert not nobody.models and nobody.note.startswith("no domain has both")


def varied(generator, counts=(25, 40), home=0.05, kept=0.4):
    """Documents whose gains vary, those of the merge with the adapters'; the retention is `kept` in the long run."""
    found = {"base": {}, "home": {}, "merged": {}}
    for number, count in enumerate(counts):
        tokens = np.ceil(np.exp(generator.normal(4.5, 0.5, count))).astype(int)
        own = home * (1 + number) + 0.06 * (generator.exponential(1, count) - 1)
        part = kept * own + generator.normal(0, 0.02, count)
        for name, gains in (("base", 0 * own), ("home", own), ("merged", part)):
            found[name][str(number)] = scores(tokens, gains)
    return found["base"], found["merged"], found["home"]


@pytest.mark.parametrize("home", [0.05, -0.05])
def test_the_interval_ends_where_a_plain_resampling_says(home, monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 2000)
    base, merged, at_home = varied(np.random.default_rng(2), home=home)
    (found,) = ratios_of_means(base, [merged], at_home)
    parts = [(merged[d].nll - base[d].nll, at_home[d].nll - base[d].nll, base[d].tokens.astype(float)) for d in base]

    def mean(parts, ratio):
        return np.mean([(m - ratio * a).sum() / t.sum() for m, a, t in parts])

    def error(ratio):  # of the mean, by the jackknife within each domain
        total = 0.0
        for which, (m, _, _) in enumerate(parts):
            left = [
                mean([tuple(np.delete(x, i) for x in p) if k == which else p for k, p in enumerate(parts)], ratio)
                for i in range(len(m))
            ]
            total += (len(m) - 1) / len(m) * np.sum((np.array(left) - np.mean(left)) ** 2)
        return math.sqrt(total)

    value, generator, drawn = found.value, np.random.default_rng(9), []
    assert value == pytest.approx(mean(parts, 0) / (mean(parts, 0) - mean(parts, 1)))
    for _ in range(2000):
        some = [tuple(x[i] for x in p) for p in parts for i in [generator.integers(len(p[0]), size=len(p[0]))]]
        spread = 0.0
        for m, a, t in some:
            own = m - value * a
            spread += len(t) * np.var(own - own.sum() / t.sum() * t, ddof=1) / t.sum() ** 2
        drawn.append(mean(some, value) / math.sqrt(spread / len(parts) ** 2))
    low, high = np.quantile(drawn, [0.025, 0.975])
    student = scipy.stats.t.ppf(0.975, 60)  # about the degrees of freedom
    sides = sorted(mean(parts, end) / error(end) for end in (found.low, found.high))
    assert sides == pytest.approx([min(low, -student), max(high, student)], rel=0.08)
    assert found.low < value < found.high


def test_the_interval_covers_the_truth_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 300)
    generator, hits = np.random.default_rng(4), []
    for _ in range(200):
        base, merged, home = varied(generator)
        (found,) = ratios_of_means(base, [merged], home)
        hits.append(found.low <= 0.4 <= found.high)
    assert 0.92 <= np.mean(hits) <= 0.985


def test_few_documents_and_a_gain_near_0_have_no_interval():
    generator = np.random.default_rng(5)
    base, merged, home = varied(generator, counts=(6, 7))
    (found,) = ratios_of_means(base, [merged], home)
    assert (found.low, found.high) == (None, None) and math.isfinite(found.value)
    base, merged, home = varied(generator, home=0.0005)
    (found,) = ratios_of_means(base, [merged], home)
    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ([-0.01] * 30, "gain nothing at home"),
        ([0.0] * 30, "gain nothing at home"),
        ([0.5, -0.45] * 15, "may be chance"),
        ([math.nan] * 30, "computes no numbers"),
    ],
)
def test_where_nothing_was_gained_at_home_it_is_said_by_words(own, words):
    found = retention_of(of(TOKENS, GAINS | {"법률": {"web": 1.0, "법률": own}, "web": {"web": own, "법률": 1.0}}))
    assert words in found.note and found.models["merged"].retention is None
    assert found.models["merged"].mean.relative == pytest.approx(math.expm1(-0.0045))


def metrics_of(tokens=TOKENS, gains=GAINS):
    results = [ModelResult(name, own) for name, own in of(tokens, gains).items()]
    return make_metrics(results, {}, {"merged": "x"}, others=["equal"], mixtures={"mixed": Mixture({"web": 1.0})})


def test_it_is_kept_in_the_metrics_and_read_again(tmp_path):
    metrics = metrics_of()
    metrics.write(path := tmp_path / "metrics.json")
    assert read_metrics(path).retention == metrics.retention
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, damage in {
        "no model": {"domains": ["nowhere"]},
        "half of an interval": {
            "models": {"merged": {"mean": None, "retention": {"value": 1, "low": 0, "high": None}}}
        },
        "no gain at home": {"home": None},
        "not a number": {"models": {"merged": {"mean": None, "retention": {"value": "x", "low": 0, "high": 1}}}},
    }.items():
        write_json(path, content | {"retention": content["retention"] | damage})
        with pytest.raises(RequestError, match=name):
            read_metrics(path)
    del content["retention"]  # as an earlier version wrote it
    write_json(path, content)
    assert read_metrics(path).retention is None and retention_sentence(read_metrics(path)) == ""


@pytest.fixture
def place(tmp_path):
    return MergedPlace(tmp_path / "root")


def reported(place, metrics) -> str:
    metrics.fingerprints["merged"] = place.merged
    metrics.write(place.layout.metrics)
    publish_report(place.layout)
    page = place.layout.report.read_text(encoding="utf-8")
    assert "None" not in page and "nan" not in page
    return page


def test_the_report_says_it_beside_the_mixtures_and_says_what_it_is(place):
    page = reported(place, metrics_of())
    assert (
        "Of what the adapters gain at home (-2.96% (-2.96% to -2.96%) on the mean of 2 domains) the merged model keeps "
        "15% (95% interval 15% to 15%), the mixture mixed 100% (100% to 100%)."
    ) in page.split("## ")[0]
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ") and "15%" in line]
    assert rows == ["merged"] and "| equal | +0.50% (+0.50% to +0.50%) | -17% (-17% to -17%) |" in page
    assert "mean gain in nats per token divided by that of the adapters at home" in page


def test_the_report_has_words_where_there_is_no_number(place):
    few = {name: tokens[:7] for name, tokens in TOKENS.items()}
    page = reported(place, metrics_of(few))
    assert "the merged model keeps 15%, the mixture mixed 100%." in page  # 14 documents: no interval
    lost = GAINS | {"web": {"web": -0.5, "법률": 0.0}}
    page = reported(place, metrics_of(TOKENS, lost))
    words = "cannot be told: the adapters gain nothing at home"
    assert f"of the adapters' gains {words} (+27.12%" in page.split("## ")[0]
    assert page.count("| cannot be told |") == 3 and f"**What is kept {words}.**" in page
    broken = GAINS | {"merged": {"web": math.nan, "법률": 0.0}}
    metrics = metrics_of(TOKENS, broken)
    assert "the merged model keeps an unknown part (it computes no numbers), the mix" in retention_sentence(metrics)
    place.metrics((-0.05, -0.06, -0.04))  # of an earlier version
    publish_report(place.layout)
    assert "keeps" not in place.layout.report.read_text(encoding="utf-8")
    assert retention_section(gather(place.layout)) == []
