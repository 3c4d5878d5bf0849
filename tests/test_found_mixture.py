"""A mixture whose shares are found weights: where they come from, when they are refused, and what is advised of it."""

import json
import shutil

import pytest
from conftest import DOMAINS, Workplace, make_adapter, make_workplace
from merged_place import MergedPlace, change_of, write_json

from dem.config import Config, DataConfig
from dem.diffs import Difference
from dem.errors import RequestError
from dem.evaluation.advice import advice
from dem.evaluation.evidence import gather
from dem.evaluation.mixtures import find_mixtures
from dem.found_shares import with_found_shares
from dem.layout import RUN_RECORD

BEST = ("--data.mixtures", '{"best": "found", "mixed": {"web": 1, "social": 1}}')
SEARCH = "python dem/merge_model.py --config CONFIG --merge.weights auto"


@pytest.fixture(scope="module")
def made(tmp_path_factory, tokenizer):
    """The folder of a workplace with a difference of each domain."""
    place = make_workplace(folder := tmp_path_factory.mktemp("made"), tokenizer)
    for number, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=number)
        assert place.diff(domain) == 0
    return folder


@pytest.fixture
def differences(made, tmp_path):
    """A workplace with a difference of each domain, and how to write down found weights of these."""
    folder = shutil.copytree(made, tmp_path / "place")
    workplace = Workplace(folder / "root", folder / "base", folder / "config.yaml")

    def found(web, social, **other):
        made = {d: Difference(*workplace.layout.existing_difference(d)).index.vector_fingerprint for d in DOMAINS}
        content = {"domains": DOMAINS, "found": [web, social], "differences": made, "format": 1} | other
        write_json(workplace.layout.search_summary, content)

    workplace.found = found
    return workplace


def shares_of(place, name="best", domains=DOMAINS):
    config = Config("x", domains=domains, data=DataConfig(mixtures={"best": "found", "m": {"web": 2.0}}))
    config, said = with_found_shares(config, place.layout, name)
    return config.data.shares(name), said


def test_the_shares_are_the_found_weights_divided_by_their_sum(differences):
    differences.found([0.9], [0.3])
    shares, (said,) = shares_of(differences)
    assert shares == pytest.approx({"web": 0.75, "social": 0.25}) and str(differences.layout.search_summary) in said
    differences.found([0.9, 0.1, 0.2], [0.3, 0.3, 0.0])  # the mean of the groups
    assert shares_of(differences)[0] == pytest.approx({"web": 2 / 3, "social": 1 / 3})
    differences.found([0.9], [-0.3])
    shares, said = shares_of(differences)
    assert shares == {"web": 1.0} and said[1] == "mixture: social has no share, as its weight is below 0"
    assert shares_of(differences, "m") == ({"web": 1.0}, []) and shares_of(differences, "web") == (None, [])


def test_what_no_share_can_be_taken_from_is_refused_with_what_to_run(differences):
    def refused(*words, **of):
        with pytest.raises(RequestError) as caught:
            shares_of(differences, **of)
        assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)

    refused("data.mixtures.best is found, but no weights were found", "weights_search.json is missing", SEARCH)
    differences.found([0.9], [0.3])
    refused("of a search for weights of web, social", "config's domains are web, 법률", SEARCH, domains=["web", "법률"])
    differences.found([0.9], [0.3], differences={"web": "another", "social": "x"})
    refused("other differences than those that are there (web, social)", SEARCH)
    differences.found([0.0], [-0.3])
    refused("no weight in", "is above 0: say the shares")
    for damage in ({"found": [[1.0]]}, {"found": [[1.0], []]}, {"found": "x"}, {"domains": None}):
        differences.found([0.9], [0.3], **damage)
        refused("weights_search.json is damaged", SEARCH)
    differences.found([0.9], [0.3])
    differences.layout.diff_index("social").unlink()
    refused("domain social has no difference")


def test_it_is_trained_as_any_mixture_and_other_weights_are_other_shares(differences, capsys, refused):
    assert differences.train("best", *BEST, "--dry-run") == 2  # and before any text is counted
    assert "no weights were found" in capsys.readouterr().err.splitlines()[-1]
    differences.found([0.9], [0.3])
    assert differences.train("best", *BEST, "--dry-run") == 0
    said = capsys.readouterr().err
    assert "the shares of best are the weights that were found" in said and "mixture best: " in said
    assert differences.train("best", *BEST) == 0
    record = json.loads((differences.layout.adapter("best") / RUN_RECORD).read_text(encoding="utf-8"))
    assert record["mixture"] == pytest.approx({"social": 0.25, "web": 0.75})
    log = differences.layout.train_log("best").read_text(encoding="utf-8")
    assert "the shares of best are the weights that were found" in log and "mixture: web: 75.0%" in log

    data = DataConfig(max_length=64, tune_fraction=0.1, test_fraction=0.1, mixtures={"best": "found"})
    config = Config(str(differences.base), domains=DOMAINS, data=data)
    files = {domain: differences.layout.parquet_files(domain) for domain in DOMAINS}

    def looked_at():
        return find_mixtures(config, differences.layout, files, differences.base, record["base"]["fingerprint"])["best"]

    there = looked_at()
    assert (there.note, there.found, there.tokens) == (None, True, record["tokens"]) and there.seconds > 0
    capsys.readouterr()
    assert differences.train("best", *BEST) == 0 and "already trained" in capsys.readouterr().err
    differences.found([0.5], [0.5])
    refused(differences.train("best", *BEST), "mixture.web", "-> 0.5", "--overwrite trains it again")
    gone = looked_at()
    assert gone.shares == {"web": 0.5, "social": 0.5} and gone.found and "mixture.web 0.75" in gone.note
    assert gone.note.endswith("--domain best --overwrite")
    differences.layout.search_summary.unlink()
    assert looked_at().shares == {} and "no weights were found" in looked_at().note


# What is advised.


@pytest.fixture
def place(tmp_path):
    return MergedPlace(tmp_path / "root")


def told(place, merged=(-0.01, -0.012, -0.008), between=None, **mixtures) -> str:
    """What is advised where the merge is so much better than the base, and than each of the mixtures."""
    place.metrics(merged)
    content = json.loads(place.layout.metrics.read_text(encoding="utf-8"))
    content["mixtures"] = {
        name: {
            "shares": {"web": 1.0},
            "note": None if change else "not there",
            "seconds": 600.0,
            "found": name == "best",
        }
        for name, change in mixtures.items()
    }
    content["against"] = {name: change_of(*change) for name, change in mixtures.items() if change}
    content["between"] = {"best against mixed": change_of(*between)} if between else {}
    write_json(place.layout.metrics, content)
    line = advice(gather(place.layout))
    assert "\n" not in line and "None" not in line
    return line


THERE = "the merge, which is there"


def test_a_training_is_advised_only_where_it_is_better_beyond_chance(place):
    line = told(place, best=(0.02, 0.01, 0.03), mixed=(0.01, 0.005, 0.015), between=(-0.01, -0.03, 0.01))
    assert line.startswith(
        "What to take: with 10 min to spare, one training on the mixture best (found weights); without, "
        f"{THERE}: the merge's perplexity is 1.0% lower (95% interval 0.8% to 1.2% lower) than the base's; best's "
        "(found weights) 2.0% lower (95% interval 1.0% to 2.9% lower) than the merge's; mixed's (given shares) 1.0% "
    )
    assert "best's 1.0% lower (95% interval 1.0% higher to 3.0% lower) than mixed's, which may be chance." in line
    assert "Not trained" not in line
    assert "mixture mixed (given shares); without" in told(place, best=(0.01, 0.005, 0.015), mixed=(0.02, 0.01, 0.03))
    line = told(place, best=(0.01, -0.005, 0.025), mixed=(0.01, -0.01, 0.03))
    assert f"What to take: {THERE}: " in line and line.count("than the merge's, which may be chance") == 2
    assert f"What to take: {THERE}: " in told(place, best=(-0.02, -0.03, -0.01))  # the merge is the better one
    # by itself its interval excludes 0; of three, one may do so by chance
    assert THERE + ": " in told(place, best=(0.01, 0.0003, 0.02), mixed=(0, -0.01, 0.01), between=(0, -0.01, 0.01))


def test_a_merge_that_is_not_better_than_the_base_is_not_advised(place):
    base = "the base, than which the merge is not shown to be better"
    assert f"What to take: {base}: the merge's perplexity is 1.0% lower" in told(place, (-0.01, -0.02, 0.01))
    assert f"What to take: {base}: " in told(place, (0.01, 0.005, 0.02))
    assert f"best (found weights); without, {base}: " in told(place, (0.01, 0.005, 0.02), best=(0.02, 0.01, 0.03))


def test_what_was_not_trained_is_named_with_the_time_that_it_would_take(place):
    line = told(place)
    assert line.endswith(
        "Not trained and measured: a mixture of the found weights (data.mixtures: {best: found}); that takes as long "
        "as the domains' trainings together, about 20 min."
    )
    line = told(place, best=None, mixed=(0.02, 0.01, 0.03))
    assert "one training on the mixture mixed (given shares)" in line
    assert "Not trained and measured: best (found weights); that takes" in line
    place.train("web", None)
    place.merge()
    assert "trainings together, which is not recorded." in told(place, best=None)


def test_without_figures_nothing_is_advised(place):
    line = told(place, (-0.01, None, None), best=(0.02, None, None))
    assert line.startswith("What to take cannot be told without intervals") and "2.0% lower than the merge's" in line
    place.metrics(None)
    assert "cannot be told: there is no perplexity" in advice(gather(place.layout))
    place.layout.metrics.unlink()
    assert advice(gather(place.layout)) == "What to take cannot be told: not evaluated."
