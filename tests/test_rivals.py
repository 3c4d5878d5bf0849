"""Found weights against equal ones and those by hand: what the sum gained, what the shares; where a search ended."""

import json
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from merged_place import MergedPlace, perplexity, write_json
from scipy.optimize import minimize_scalar
from test_pictures import NAMES, drawn, shown  # noqa: F401
from test_search import bowl

from dem.config import Config, SearchConfig, hand_weights
from dem.evaluation.acceptance import criteria
from dem.evaluation.durations import Durations, add_durations, durations_line, read_durations, write_durations
from dem.evaluation.evaluated import Evaluated
from dem.evaluation.evidence import gather
from dem.evaluation.metrics import read_metrics
from dem.evaluation.team_report import publish_report
from dem.evaluation.timing import Timed
from dem.layout import RESERVED, Layout
from dem.search import find, pictures
from dem.search.objectives import Objective
from dem.search.optimise import best_sum, by_gradient
from dem.search.outcome import ends_in_words, ends_of
from dem.search.quadratic import FLAT, Limits, Quadratic
from dem.search.rivals import guesses, in_words, measured, rivals_of, sum_steps

pytestmark = pytest.mark.pictures

FREE, ONE = Limits(False, 5.0), Limits(True, 5.0)


def rivals(found, hand=None, limits=FREE, best=2.0):
    """Of weights (domains,) for domains a, b, c, ...; each best sum is `best`."""
    found = np.array(found, float).reshape(len(found), -1)
    domains = list("abcdef"[: len(found)])
    settings = SearchConfig(hand=dict(zip(domains, hand, strict=True)) if hand else {})
    return rivals_of(guesses(settings, domains), domains, found, limits, lambda *_: best)


# The weights that are compared with.


@pytest.mark.parametrize("domains", [list(Config("x").domains), ["web", "학교", "법률"], ["web"]])
@pytest.mark.parametrize("normalize", ["true", "false"])
def test_without_a_guess_a_search_starts_from_equal_weights_of_sum_1(domains, normalize):
    config = Config("x", domains=domains)
    config.merge.normalize = normalize == "true"
    assert hand_weights(config) == pytest.approx(dict.fromkeys(domains, 1 / len(domains)))
    assert list(guesses(config.search, domains)) == ["equal"]  # nobody gave any by hand
    config.search.hand = {domains[0]: 0.7}
    assert sum(hand_weights(config).values()) == 0.7 and list(guesses(config.search, domains)) == ["equal", "hand"]


def test_equal_and_hand_stand_at_the_sum_given_the_one_found_and_their_own_best():
    found = rivals([3.0, 0.68], hand=[0.3, 0.1])
    assert {r["name"]: (r["weights"]["a"][0], r["weights"]["b"][0]) for r in found} == {
        "equal": pytest.approx((0.5, 0.5)),
        "equal_found_sum": pytest.approx((1.84, 1.84)),
        "equal_best_sum": pytest.approx((1.0, 1.0)),
        "hand": pytest.approx((0.3, 0.1)),
        "hand_found_sum": pytest.approx((2.76, 0.92)),
        "hand_best_sum": pytest.approx((1.5, 0.5)),
    }
    assert set(measured(found)) <= set(RESERVED)  # no domain can be called so
    assert "own best sum, 5, which is search.bound" in in_words(rivals([4.0, 1.0], best=5.0)[2])
    assert in_words(found[1]) == "equal weights at the found sum, 3.68"
    assert sum_steps(found) == {"equal": ("equal_found_sum", "equal"), "hand": ("hand_found_sum", "hand")}


def test_what_is_the_same_is_measured_once():
    assert [r["name"] for r in rivals([0.9, 0.1], hand=[4, 4], limits=ONE)] == ["equal", "hand"]
    same = {r["name"]: r["same_as"] for r in rivals([1.5, 0.5], hand=[0.5, 0.5], best=1.0)}
    assert same == {
        "equal": None, "equal_found_sum": None, "equal_best_sum": "equal",
        "hand": "equal", "hand_found_sum": "equal_found_sum", "hand_best_sum": "equal",
    }  # fmt: skip
    with_found_shares = {
        r["name"]: r["same_as"] for r in rivals([1.2, 1.2], best=None)
    }  # its best sum is not asked for
    assert with_found_shares == {"equal": None, "equal_found_sum": "merged", "equal_best_sum": "merged"}
    nothing = {r["name"]: r["same_as"] for r in rivals([0.0, 0.0], best=0.0)}
    assert nothing == {"equal": None, "equal_found_sum": "merged", "equal_best_sum": "merged"}


def test_groups_of_parameters_keep_the_sum_that_each_was_found_to_have():
    own = {r["name"]: r["weights"]["a"] for r in rivals([[2.0, 0.5], [1.0, 0.3]])}
    assert own == {"equal": [0.5, 0.5], "equal_found_sum": pytest.approx([1.5, 0.4]), "equal_best_sum": [1.0, 1.0]}


@pytest.mark.parametrize("worst", [True, False])
@pytest.mark.parametrize("with_model", [True, False])
@pytest.mark.parametrize("bound", [5.0, 0.3])
def test_the_best_sum_is_the_least_along_the_shares(worst, with_model, bound):
    evaluate, _, _ = bowl(np.random.default_rng(4), 4, 3)
    objective = Objective(np.full(3, 1 / 3), np.array([2.9, 3.0, 3.1]) if worst else None)
    _, model = by_gradient(evaluate, objective, np.full((4, 1), 0.25), Limits(False, bound), 0.0)
    shares = np.array([[0.4], [0.3], [0.2], [0.1]])
    looked = []

    def watched(phase, weights):
        looked.append(weights)
        return evaluate(phase, weights)

    found = best_sum(watched, objective, shares, bound, model if with_model else None, 0.2)
    exact = minimize_scalar(lambda t: objective.value(evaluate("", t * shares)[0]), bounds=(0, bound))
    assert found == pytest.approx(exact.x, abs=2e-3) and len(looked) <= (3 if with_model else 5)


# Where a search ended.


def test_a_search_that_ends_on_a_limit_is_told_as_such():
    domains = ["web", "학교", "법률"]
    assert ends_in_words(ends_of(np.array([[1.0], [2.0], [0.5]]), domains, [], FREE)) == []
    (bound, zero) = ends_in_words(ends_of(np.array([[5.0], [0.0], [0.0]]), domains, [], FREE))
    assert "search.bound, 5," in bound and "Raise search.bound" in bound
    assert zero.startswith("학교, 법률 ended at 0") and "their differences take no part" in zero
    (zero,) = ends_in_words(
        ends_of(np.array([[0.6], [0.4], [0.0]]), domains, [], ONE)
    )  # a sum of 1 is no limit reached
    assert zero.startswith("법률 ended at 0") and "its difference takes no part" in zero
    groups = ends_in_words(ends_of(np.array([[4.9999, 1], [0, 1], [0.0, 0]]), domains, ["out_proj"], FREE))
    assert "in the parameters of out_proj ended on search.bound" in groups[0]
    assert groups[1].startswith("학교, 법률 ended at 0 in the parameters of out_proj")
    assert groups[2].startswith("법률 ended at 0 in the other parameters") and len(groups) == 3


def test_what_rounding_leaves_passes_no_limit():
    weights = np.full((3, 1), 5 / 3)
    assert find._rounded(weights, FREE).sum() == pytest.approx(5, abs=1e-12)
    assert find._rounded(np.full((3, 1), 1 / 3), ONE).sum() == pytest.approx(1, abs=1e-12)
    assert find._rounded(np.full((3, 1), 0.12345678), FREE).ravel().tolist() == [0.1235] * 3


def summary_of(domains, centre, limits, hand=None):
    """What a search of convex losses about the weights `centre` writes down."""
    size, path = len(domains), []
    curved = 0.02 * np.stack([np.eye(size)] * 2)

    def evaluate(phase, weights):
        step = weights.ravel() - centre
        losses = 3 + np.array([0.01, 0.01]) * (step @ step)
        path.append({"phase": phase, "weights": weights.tolist(), "losses": losses.tolist()})
        return losses, curved @ step

    objective, start = Objective(np.full(2, 0.5)), np.full((size, 1), 1 / size)
    found, model = by_gradient(evaluate, objective, start, limits, 0.0)
    found = find._rounded(found, limits)
    settings = SearchConfig(hand=dict(zip(domains, hand, strict=True)) if hand else {})

    def best_of(_, shares):
        return best_sum(evaluate, objective, shares, limits.bound, model, 1.0)

    return {
        "domains": domains,
        "found": found.tolist(),
        "start": start.tolist(),
        "rivals": rivals_of(guesses(settings, domains), domains, found, limits, best_of),
        "limits": {"normalize": limits.normalize, "bound": limits.bound},
        "flat": dict(zip(domains, model.flat(objective, limits), strict=True)),
        "path": path,
        "model": find._plain(model),
        "shares": [0.5, 0.5],
    }


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(
    ("count", "limits", "hand"),
    [(12, FREE, [9.0, *[0.0] * 11]), (2, ONE, [1, 0])],
)
def test_pictures_hold_what_was_found_and_every_guess(tmp_path, drawn, count, limits, hand):  # noqa: F811
    layout = Layout(tmp_path)
    centre = 40 * np.eye(count)[1] - 1 if count == 12 else np.linspace(0.9, 0.2, count)
    summary = summary_of(NAMES[:count], centre, limits, hand)
    if count == 12:
        assert summary["found"][1] == [5.0] and not np.delete(summary["found"], 1).any()
    write_json(layout.search_summary, summary)
    pictures.draw(layout, [])
    for name in ("map", "losses", "path"):
        figure = drawn[layout.search_picture(name).stem]
        figure.draw_without_rendering()
        for axes in figure.axes:
            for line in axes.lines:
                size = line.get_markersize() / 2 * figure.dpi / 72 if line.get_linestyle() == "None" else 0
                place, inside = axes.transData.transform(line.get_xydata()), axes.bbox
                held = line.get_linestyle() != "None" or (
                    (place >= [inside.x0 + size - 4, inside.y0 + size - 4]).all()
                    and (place <= [inside.x1 - size + 4, inside.y1 - size + 4]).all()
                )
                assert held, (name, line.get_label(), line.get_xydata())
        renderer = figure.canvas.get_renderer()
        boxes = [legend.get_window_extent(renderer) for legend in figure.legends]
        boxes += [text.get_window_extent(renderer) for text in (figure._supylabel, figure._supxlabel) if text]
        for box in boxes:
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1
    marked = {text.get_text() for text in plt.figure(drawn["weights_search_map"].number).legends[0].get_texts()}
    assert marked == {"found", "one domain alone, of weight 1", *measured(summary["rivals"])}


@pytest.mark.parametrize("normalize", [True, False])
def test_on_a_limit_the_flat_is_what_the_limit_leaves(normalize):
    """One loss with a slope of 1 nat beyond the limit: a thousandth of a nat is a thousandth of a weight."""
    limits = Limits(normalize, 5.0)
    centre = np.array([limits.largest, 0.0])
    model = Quadratic(centre, np.array([3.0]), np.array([[-1.0, 0.0]]), 1e-4 * np.eye(2)[None])
    (low, high), (none, some) = model.flat(Objective(np.ones(1)), limits)
    assert high == limits.largest and low == pytest.approx(limits.largest - FLAT, abs=2e-5)
    assert none == 0 and some == pytest.approx(FLAT, abs=2e-5)


# The report.


def place_with(tmp_path, found, against, between=None, **options):
    """A merge of found weights, and the merged model's changes against others, by their names."""
    place = MergedPlace(tmp_path / "root", domains=list("ab"))
    own, limits = rivals(found, **options), options.get("limits", FREE)
    search = {"tune_tokens": 9000, "method": "gradient", "objective": "mean", "flat_within": FLAT, "flat": None}
    search |= {"seconds": 5.0, "rivals": own}
    search["ends"] = ends_of(np.array(found, float)[:, None], list("ab"), [], limits)
    place.merge(normalize=limits.normalize, search=search)
    place.durations(60, 120, search=30)
    place.metrics((-0.05, -0.06, -0.04))
    content = json.loads(place.layout.metrics.read_text(encoding="utf-8"))
    for part, changes in (("against", against), ("between", between or {})):
        content[part] = {n: dict(zip(("relative", "low", "high"), c, strict=True)) for n, c in changes.items()}
    write_json(place.layout.metrics, content)
    publish_report(place.layout)
    return place.layout.report.read_text(encoding="utf-8")


def test_the_report_parts_what_the_shares_gained_from_what_the_sum_gained(tmp_path):
    against = {
        "equal": (-0.0076, -0.009, -0.006),
        "equal_found_sum": (0.0, -0.001, 0.0009),
        "equal_best_sum": (0.00001, None, None),
    }
    page = place_with(tmp_path, [3.0, 0.68], against, {"sum of equal": (-0.00002, -0.0092, -0.00001)})
    assert "- equal weights, sum 1: -0.76% (-0.90% to -0.60%), better" in page
    assert "- equal weights at the found sum, 3.68: +0.00% (-0.10% to +0.09%), no different beyond chance" in page
    assert "- equal weights at their own best sum, 2: +0.001%, without an interval\n" in page
    assert "**the sum alone** (1 to 3.68) **gained**: -0.002% (-0.92% to -0.001%), better" in page
    assert "**the shares alone**, at the found sum, **gained**: +0.00% (-0.10% to +0.09%), no different" in page
    assert "by hand" not in page and "ended" not in page  # nobody gave any, and no limit was reached


def test_of_weights_by_hand_the_report_says_the_same(tmp_path):
    changes = dict.fromkeys([*measured(rivals([3.0, 0.68], hand=[0.3, 0.1]))], (-0.01, -0.02, 0.01))
    steps = {"sum of equal": (0.03, 0.02, 0.04), "sum of hand": (-0.03, -0.04, -0.02)}
    page = place_with(tmp_path, [3.0, 0.68], changes, steps, hand=[0.3, 0.1])
    assert page.count("no different beyond chance") == 8  # six rows, and twice the shares
    assert "From the weights given by hand to the found ones, **the sum alone** (0.4 to 3.68)" in page
    assert "+3.00% (+2.00% to +4.00%), worse" in page and "-3.00% (-4.00% to -2.00%), better" in page


def test_the_report_says_of_the_same_weights_that_they_are_the_same(tmp_path):
    page = place_with(tmp_path / "shares", [1.2, 1.2], {"equal": (-0.02, -0.03, -0.01)}, best=None)
    assert "- equal weights at the found sum, 2.4: the same weights\n" in page
    assert "**the sum alone** (1 to 2.4) **gained**: -2.00% (-3.00% to -1.00%), better" in page
    assert "**gained**: nothing, they are the same." in page
    page = place_with(tmp_path / "one", [0.9, 0.1], {"equal": (-0.02, -0.03, -0.01)}, limits=ONE)
    assert "The weights of all add up to 1 (`merge.normalize`), so that only their shares differ." in page
    assert "at the found sum" not in page
    page = place_with(tmp_path / "base", [3.0, 0.68], {}, best=0.0)
    assert "- equal weights at their own best sum, 0, which is the base: -5.00% (-6.00% to -4.00%), better" in page


def test_the_report_says_on_which_limit_the_search_ended(tmp_path):
    page = place_with(tmp_path, [5.0, 0.0], {})
    assert "**The sum of the weights ended on search.bound, 5, the largest that it may be" in page
    assert "**b ended at 0, the least that a weight may be: its difference takes no part.**" in page


# Seconds.


@pytest.fixture
def searched(tmp_path):
    place = MergedPlace(tmp_path / "root")
    place.merge(search={"seconds": 5.0})
    place.metrics((-0.05, -0.06, -0.04))
    place.answers(10)
    return place


def stage_3(place):
    return criteria(gather(place.layout))[1]


def test_the_search_counts_in_the_twenty_minutes(searched):
    searched.durations(100, 200, search=300, leave_one_out=60)
    assert stage_3(searched).verdict == "pass"
    assert (
        stage_3(searched).measured
        == "**11 min**; search 5 min; merge 1.67 min; evaluation 3.33 min; leave-one-out 1 min"
    )
    searched.durations(100, 200, search=901)
    assert stage_3(searched).verdict == "fail"
    searched.durations(100, 200, leave_one_out=901)
    assert stage_3(searched).verdict == "fail"
    searched.durations(100, 200)
    assert (
        stage_3(searched).verdict == "not measured"
        and "search not measured: not recorded" in stage_3(searched).measured
    )


def test_durations_are_kept_part_by_part(searched):
    write_durations(searched.layout, Durations(merge=2.0, search=3.0))
    assert add_durations(searched.layout, evaluation=4.0, leave_one_out=None).parts() == {
        "search": 3.0, "merge": 2.0, "evaluation": 4.0,
    }  # fmt: skip
    assert read_durations(searched.layout) == Durations(2.0, 3.0, 4.0)
    line = durations_line(read_durations(searched.layout))
    assert "search 3.0 s, merge 2.0 s, evaluation 4.0 s; 9.0 s in all" in line


def test_what_was_kept_counts_with_the_time_that_it_took_then(tmp_path):
    Evaluated(tmp_path / "kept.json", {}).put("part", {}, [1.0], seconds=40.0)
    with Timed() as timed:
        again = Evaluated(tmp_path / "kept.json", {})
        assert again.get("part", {}, lambda value: True) == [1.0]
        assert again.get("part", {"other": 1}, lambda value: True) is None  # not of use, and so not counted
    assert 40 < timed.seconds < 45
    again.get("part", {}, lambda value: True)
    time.sleep(0.01)
    assert timed.seconds < 45  # of what is outside the block nothing is


def test_steps_between_two_other_models_are_read_back(searched):
    content = json.loads(searched.layout.metrics.read_text(encoding="utf-8"))
    content["between"] = {"sum of equal": perplexity(1.0, (-0.01, -0.02, 0.0))["change"]}
    write_json(searched.layout.metrics, content)
    assert read_metrics(searched.layout.metrics).between["sum of equal"].low == -0.02
