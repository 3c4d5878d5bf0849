"""The page for the team: the verdict in its first lines, whatever is missing, safe whatever things are called."""

import json
import re

import pytest
from merged_place import MergedPlace, perplexity, write_json
from test_ratings import row, write_export

from dem.evaluation.describe import describe_differences
from dem.evaluation.prompts import Prompt
from dem.evaluation.ratings import Ratings
from dem.evaluation.team_report import publish_report
from dem.layout import Layout


@pytest.fixture
def place(tmp_path):
    return MergedPlace(tmp_path / "root")


def page_of(place) -> str:
    publish_report(place.layout)
    page = place.layout.report.read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([^)]*)\)", page):
        assert (place.layout.results / name).is_file() or name in ALWAYS_BESIDE, name
    assert "None" not in page and "nan" not in page
    return page


ALWAYS_BESIDE = ("eval_prompt_comparison.md", "rating_sheet.html", "metric_summary.csv")
"""What an evaluation writes beside the files of a MergedPlace."""


def first_lines(page: str) -> str:
    return page.split("## ")[0]


def test_the_first_lines_say_whether_how_much_and_how_sure(place):
    head = first_lines(page_of(place))
    assert "**Yes, by its perplexity.** On all test documents together it is 5.0% lower (95% interval 4.0% to" in head
    assert "better in 2 of 2 domains" in head
    assert "in 7 of 10 prompts, worse in 1, as good in 0; 2 are not rated" in head
    assert "with probability 0.07." in head  # 2 * (1 + 8) / 2^8
    assert "Of the plan's 6 criteria: 6 met" in head


@pytest.mark.parametrize(
    "change, words",
    [
        ((0.05, 0.04, 0.06), "**No: by its perplexity it is worse than the base.**"),
        ((-0.01, -0.03, 0.01), "**Not shown:"),
        ((-0.02, -0.03, -0.01), "while the plan wants 3%"),
        ((-0.05, None, None), "**Not shown:"),
        (None, "**It cannot be compared with the base**"),
    ],
)
def test_the_answer_follows_the_interval(place, change, words):
    place.metrics(change)
    assert words in first_lines(page_of(place))


def test_without_documents_enough_nothing_is_claimed_and_their_number_stands_there(place):
    few = perplexity(19.0, (-0.05, None, None), documents=7)
    place.metrics((-0.05, None, None), web=few, 법률=few, all=perplexity(19.0, (-0.05, None, None), documents=14))
    page = page_of(place)
    assert "**Not shown:" in first_lines(page) and "So few test documents (14) do not tell" in first_lines(page)
    assert "better in 0 of 2 domains; too few test documents to tell of web (7), 법률 (7)." in first_lines(page)
    assert "| *test documents* | 7 | 7 | 14 |" in page and "of fewer than 20 documents there is none" in page


def test_domains_are_taken_together(place):
    """Each interval excludes 0 by itself; of eight cells, one in three times one does by chance."""
    place.metrics((-0.02, -0.039, -0.001), all=perplexity(19.0, (-0.05, -0.06, -0.04)))
    assert "**Yes" in first_lines(page_of(place)) and "better in 0 of 2 domains." in first_lines(page_of(place))
    place.metrics((-0.02, -0.03, -0.01), all=perplexity(19.0, (-0.05, -0.06, -0.04)))
    assert "better in 2 of 2 domains." in first_lines(page_of(place))


def test_domains_that_got_worse_are_named(place):
    place.metrics((-0.05, -0.06, -0.04), web=perplexity(20.0, (0.02, 0.01, 0.03)))
    assert "better in 1 of 2 domains, and worse in web." in first_lines(page_of(place))


def test_without_an_evaluation_the_rest_is_reported(place):
    for path in (place.layout.metrics, place.layout.answers):
        path.unlink()
    place.durations(60, None)
    page = page_of(place)
    assert "was not measured**: not evaluated." in first_lines(page)
    assert "4 met" not in page and "3 met (training of a domain, norm of" in page
    assert "- Perplexity and other figures: not evaluated" in page and "## Perplexity" not in page


def test_without_ratings_the_page_says_so(place):
    place.answers(10, same=2)
    Ratings().write(place.layout.ratings)
    page = page_of(place)
    assert "have not been rated (2 are word for word the base's)" in first_lines(page)
    assert "1 pending (answers better than the base's)" in page and "--ratings ratings.csv" in page


@pytest.mark.parametrize("divided", [True, False])
def test_weights_are_said_to_be_divided_only_where_they_are(place, divided):
    place.merge(normalize=divided)
    describe_differences(place.layout, ["web"], None)
    assert ("divided by their sum" in page_of(place)) is divided


def test_an_evaluation_of_an_older_model_is_said_to_be_one(place):
    place.merge(scale=0.5)
    head = first_lines(page_of(place))
    assert "was not measured**: the last evaluation is of a model merged before this one" in head
    assert "Its answers were not compared: the last answers are of a model merged before this one" in head


def test_one_domain_no_reference_and_domains_that_were_not_merged(tmp_path):
    place = MergedPlace(tmp_path / "root", ["web"])
    place.metrics((-0.05, -0.06, -0.04), extra=perplexity(20.0, None), harness_note="pip install [x]", empty=None)
    page = page_of(place)
    assert "Not merged, although tested: extra, empty" in page and "Perplexity on empty: no test document" in page
    assert "BLEU, chrF and ROUGE: no prompt has a reference" in page
    assert "Multiple choice: pip install &#91;x&#93;" in page
    assert "Interference between domains: no two differences were compared" in page


def test_a_root_with_nothing_in_it_gets_a_finished_page(tmp_path):
    layout = Layout(tmp_path)
    layout.results.mkdir()
    publish_report(layout)
    page = layout.report.read_text(encoding="utf-8")
    assert "was not measured**: not evaluated" in page and page.count("| **not measured** |") == 6


def test_harness_and_text_metrics_stand_in_a_table(place):
    content = json.loads(place.layout.metrics.read_text(encoding="utf-8"))
    harness = {"kmmlu|x": {"metrics": {"acc": {"value": 0.25, "stderr": 0.02}}, "rows": 100}}
    content["models"]["merged"] |= {"texts": {"bleu": 1.5, "bleu_signature": "s", "chrf": 2.0}, "harness": harness}
    write_json(place.layout.metrics, content)
    page = page_of(place)
    assert "| model | bleu | chrf | kmmlu&#124;x acc |" in page and "| merged | 1.5 | 2 | 0.25 ± 0.02 |" in page


HOSTILE = "a|b\n# c <script>x</script> [l](http://a.b) ![i](j) **d** `e`"


def test_no_name_acts_as_markdown(place):
    record = json.loads(place.layout.merge_record.read_text(encoding="utf-8"))
    record["method"] = HOSTILE
    record["domains"] = {HOSTILE: record["domains"]["web"]}
    write_json(place.layout.merge_record, record)
    content = json.loads(place.layout.metrics.read_text(encoding="utf-8"))
    content["fingerprints"]["merged"] = place.merged
    content["harness_note"] = content["settings"]["device"] = content["versions"][HOSTILE] = HOSTILE
    models = content["models"]
    models[HOSTILE] = models.pop("web")
    for model in models.values():
        model["perplexity"][HOSTILE] = model["perplexity"].pop("web")
        model["harness"] = {HOSTILE: {"metrics": {HOSTILE: {"value": 1.0}}}}
    write_json(place.layout.metrics, content)
    page = page_of(place) + place.layout.acceptance.read_text(encoding="utf-8")
    assert page.count("&#60;script&#62;") >= 8
    for act in ("<script", "a|b", "\n# c", "[l](", "![i", "**d**", "`e`", "http:"):
        assert act not in page, act


@pytest.mark.pictures
def test_the_pictures_of_a_merge_are_drawn_and_those_without_content_go(place):
    for domain in place.domains:
        table = place.layout.train_summary(domain, ".csv")
        table.parent.mkdir(exist_ok=True)
        table.write_text("step,loss,eval_loss\n0,,3.5\n1,3.4,\n5,3.3,3.2\n", encoding="utf-8")
    place.layout.interference_picture.write_text("old")
    describe_differences(place.layout, ["web"], None)
    assert not place.layout.interference_picture.exists()  # of one domain there is nothing to compare
    page = page_of(place)
    for picture in (place.layout.loss_picture, place.layout.norm_picture, place.layout.weight_picture):
        assert picture.read_bytes().startswith(b"\x89PNG") and f"]({picture.name})\n\n*" in page
    place.layout.train_summary("web", ".csv").write_text("step,loss\n1,x\n", encoding="utf-8")
    describe_differences(place.layout, ["web"], None)
    assert not place.layout.loss_picture.exists() and "Loss curves: " in page_of(place)


def test_ratings_are_taken_up_into_both_pages(tmp_path, rating_place):
    rating_place.publish({"base": ["가", "나"], "merged": ["다", "라"]}, [Prompt("하나", None), Prompt("둘", None)])
    acceptance, report = rating_place.layout.acceptance, rating_place.layout.report
    assert "not rated 2 | **pending** |" in acceptance.read_text(encoding="utf-8")
    rows = [row("하나", "가", 2), row("하나", "다", 3), row("둘", "나", 1), row("둘", "라", 5)]
    assert rating_place.rate(write_export(tmp_path / "ratings.csv", *rows)) == 0
    assert "**better in 2 of 2**, worse in 0, a tie in 0 | **pass** |" in acceptance.read_text(encoding="utf-8")
    assert "better than the base's in 2 of 2 prompts" in report.read_text(encoding="utf-8")
