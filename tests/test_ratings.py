"""Ratings by people: the file they come in, what is kept, and what the report makes of them."""

import csv
import json

import pytest
from conftest import DOMAINS, make_adapter

from dem.evaluation.answers import Answers, read_answers
from dem.evaluation.prompt_report import prompt_comparison
from dem.evaluation.prompts import Prompt
from dem.evaluation.rating_sheet import COLUMNS, rating_sheet
from dem.evaluation.ratings import CRITERIA, Ratings, Verdict, answer_id, prompt_id, read_ratings
from dem.evaluation.report import ModelResult
from dem.evaluation.tally import Tally

PROMPTS = [Prompt("오늘 날씨는", "맑아요."), Prompt("민호:", None), Prompt("셋", None)]
ANSWERS = {
    "base": ["흐리다", "왜?", "같은 답"],
    "web": ["흐리다", "응 ㅋㅋ", "셋째"],
    "merged": ["맑다", "왜 그래?", "같은 답"],
}


def row(prompt: str, answer: str, points, rater="가람"):
    """A line of the export; `points` is one for all criteria, or one each."""
    points = [points] * len(CRITERIA) if isinstance(points, int) else points
    return [rater, "1", "A", prompt_id(prompt), answer_id(prompt, answer), *points]


def write_export(path, *rows, columns=COLUMNS, encoding="utf-8-sig"):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(path)


@pytest.fixture
def place(rating_place):
    rating_place.publish(ANSWERS, PROMPTS)
    return rating_place


def test_without_ratings_the_report_says_so_and_how_to_rate(place):
    assert place.report.count(" unrated |") == 3 * 3 * 4
    assert "Nobody has rated" in place.report and "beats" not in place.report
    assert "rating_sheet.html" in place.report and "--ratings ratings.csv" in place.report
    assert "evaluation.judge" in place.report and "DEM_JUDGE_API_KEY" in place.report


def test_ratings_are_folded_in_and_kept(place, tmp_path, capsys):
    first = write_export(
        tmp_path / "a.csv",
        row("오늘 날씨는", "흐리다", 2),
        row("오늘 날씨는", "맑다", [5, 4, 3, 4]),
        row("민호:", "왜?", [3, "", "", ""]),
    )
    assert place.rate(first) == 0
    second = write_export(tmp_path / "b.csv", row("오늘 날씨는", "맑다", [4, 4, 4, 4], rater='나, "래"'))
    assert place.rate(second) == 0
    lines = place.report.splitlines()
    assert "| merged | 맑다 | 4.5 | 4 | 3.5 | 4 |" in lines
    assert "| base | 흐리다 | 2 | 2 | 2 | 2 |" in lines and "| web | 흐리다 | 2 | 2 | 2 | 2 |" in lines
    assert "| base | 왜? | 3 | unrated | unrated | unrated |" in lines
    assert "merged against base: merged is better (people)." in lines
    assert "**merged beats base in 1 of 3 prompts** (base is better in 0, a tie in 1, not rated 1)" in place.report
    assert "by people (2)" in place.report
    assert "merged beats base in 1 of 3 prompts" in capsys.readouterr().err
    again = write_export(tmp_path / "c.csv", row("오늘 날씨는", "맑다", 1))
    assert place.rate(again) == 0
    assert read_ratings(place.layout.ratings).people["가람"][answer_id("오늘 날씨는", "맑다")] == dict.fromkeys(
        CRITERIA, 1
    )
    assert "base is better in 1" in place.report


def test_bad_lines_are_named_and_the_rest_is_taken(place, tmp_path, capsys):
    good = row("오늘 날씨는", "맑다", 5)
    bad = {
        3: (row("없는 프롬프트", "맑다", 5), "a prompt that the last evaluation does not have"),
        4: (row("오늘 날씨는", "옛 답", 5), "an answer that no model gives any more"),
        5: (row("민호:", "왜?", 6), "informativeness '6'"),
        6: (row("민호:", "왜?", ["4.0", 1, 1, 1]), "'4.0'"),
        7: (row("민호:", "왜?", ["", "", "", ""]), "no points"),
        8: (row("민호:", "왜?", 3, rater=" "), "no rater"),
        9: (row("민호:", "왜?", 3)[:-1], "8 fields"),
        10: (good, "second time"),
    }
    path = write_export(tmp_path / "r.csv", good, *(line for line, _ in bad.values()), row("민호:", "왜 그래?", 4))
    text = (tmp_path / "r.csv").read_text(encoding="utf-8")
    (tmp_path / "r.csv").write_text(text + '가람,1,A,"p\n', encoding="utf-8")
    assert place.rate(path) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: ") and "9 lines were not taken" in error.splitlines()[-1]
    for number, (_, words) in {**bad, 12: (None, "not CSV")}.items():
        assert any(f"line {number} " in line and words in line for line in error.splitlines()), (number, words)
    assert "| merged | 맑다 | 5 | 5 | 5 | 5 |" in place.report
    assert "| merged | 왜 그래? | 4 | 4 | 4 | 4 |" in place.report


def test_files_that_are_no_export(place, tmp_path, capsys):
    def refused(path, *words):
        assert place.rate(str(path)) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ") and all(word in error for word in words), error
        assert not place.layout.ratings.exists()

    path = tmp_path / "r.csv"
    refused(path, "r.csv", "cannot be read")
    path.write_bytes(b"")
    refused(path, "is empty")
    path.write_text("rater,tone\n", encoding="utf-8")
    refused(path, "line 1", "prompt_id")
    write_export(path, row("오늘 날씨는", "맑다", 5), row("오늘 날씨는", "맑다", 5), encoding="cp949")
    refused(path, "line 2", "UTF-8")
    write_export(path)
    assert place.rate(str(path)) == 2
    assert "holds no rating" in capsys.readouterr().err
    assert place.rate() == 2
    assert "evaluation.judge" in capsys.readouterr().err.splitlines()[-1]


def test_without_an_evaluation_there_is_nothing_to_rate(rating_place, tmp_path, capsys):
    assert rating_place.rate(write_export(tmp_path / "r.csv")) == 2
    assert "answers.json does not exist" in capsys.readouterr().err
    assert not rating_place.root.exists()  # it may be mistyped


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "people": {"a": {"b": {"tone": 9}}}}',
        '{"format": 1, "people": {}, "judge": "m"}',
        '{"format": 2, "people": {}, "judge": 5, "judges": []}',
        '{"format": 2, "people": {}, "judge": "m", "judges": {}}',
        '{"format": 2, "people": {}, "judge": "m", "judges": [{"model": null, "verdicts": []}]}',
    ],
)
def test_damaged_files_of_an_earlier_run(place, tmp_path, capsys, text):
    export = write_export(tmp_path / "r.csv", row("오늘 날씨는", "맑다", 5))
    place.layout.ratings.write_text(text)
    assert place.rate(export) == 2
    assert "ratings.json" in capsys.readouterr().err.splitlines()[-1]
    assert place.layout.ratings.read_text() == text
    place.layout.ratings.unlink()
    place.layout.answers.write_text(text)
    assert place.rate(export) == 2
    assert "answers.json" in capsys.readouterr().err.splitlines()[-1]


def test_answers_come_back_from_disk(place):
    answers = read_answers(place.layout.answers)
    assert answers.prompts == PROMPTS and {m.name: m.answers for m in answers.models} == ANSWERS
    assert json.loads(place.layout.answers.read_text())["decoding"] == {"method": "greedy", "max_new_tokens": 8}


def test_new_answers_lose_their_ratings_and_the_others_keep_them(place, tmp_path):
    export = write_export(tmp_path / "r.csv", row("오늘 날씨는", "흐리다", 2), row("오늘 날씨는", "맑다", 5))
    assert place.rate(export) == 0
    place.publish({**ANSWERS, "merged": ["개었다", "왜 그래?", "같은 답"]}, PROMPTS)
    assert "| base | 흐리다 | 2 | 2 | 2 | 2 |" in place.report
    assert "| merged | 개었다 | unrated | unrated | unrated | unrated |" in place.report
    assert "no model gives any more, which do not count: 1." in place.report
    assert place.rate(export) == 2  # the sheet of the time before
    place.publish(ANSWERS, PROMPTS)
    assert "| merged | 맑다 | 5 | 5 | 5 | 5 |" in place.report


def all_points(points: int) -> dict[str, int]:
    return dict.fromkeys(CRITERIA, points)


def tally(people=None, verdicts=None, **answers) -> Tally:
    models = [
        ModelResult(name, {}, [text]) for name, text in {"base": "가", "web": "다", "merged": "나", **answers}.items()
    ]
    ids = {text: answer_id("글", text) for text in "가나다"}
    ratings = Ratings(
        {rater: {ids[text]: scores for text, scores in rated.items()} for rater, rated in (people or {}).items()},
        "judge",
        {"judge": {(ids[first], ids[second]): verdict for (first, second), verdict in (verdicts or {}).items()}},
    )
    return Tally(Answers([Prompt("글", None)], models, 8, None), ratings)


def verdict(better: str, first=3, second=3) -> Verdict:
    return Verdict(all_points(first), all_points(second), better)


def test_only_people_who_rated_both_compare_them():
    strict, mild = {"나": all_points(3)}, {"가": all_points(4)}
    assert tally({"strict": strict, "mild": mild}).outcome(0) == ("", "")
    both = {"가": all_points(2), "나": {**all_points(2), "tone": 3}}
    assert tally({"strict": strict, "mild": mild, "both": both}).outcome(0) == ("merged", "people")
    other = {"가": {"tone": 3}, "나": {"tone": 2, "coherence": 5}}
    assert tally({"both": both, "other": other}).outcome(0) == ("tie", "people")


def test_a_judge_has_to_prefer_an_answer_in_both_orders():
    there = {("가", "나"): verdict("second", 2, 4)}
    assert tally(verdicts=there).outcome(0) == ("", "") and tally(verdicts=there).scores("merged", 0) == ({}, "")
    agreed = tally(verdicts={**there, ("나", "가"): verdict("first", 5, 1)})
    assert agreed.outcome(0) == ("merged", "judge")
    assert agreed.scores("merged", 0)[0]["tone"] == 4.5 and agreed.scores("base", 0)[0]["tone"] == 1.5
    assert agreed.judged_pairs == 1 and agreed.pairs == 2
    assert tally(verdicts={**there, ("나", "가"): verdict("second")}).outcome(0) == ("tie", "judge")
    assert tally(verdicts={("가", "나"): verdict("first"), ("나", "가"): verdict("second")}).outcome(0)[0] == "base"


def test_people_come_before_a_judge_and_both_are_kept():
    verdicts = {("가", "나"): verdict("second", 1, 5), ("나", "가"): verdict("first", 5, 1)}
    both = tally({"a": {"가": all_points(4), "나": all_points(2)}}, verdicts)
    assert both.outcome(0) == ("base", "people")
    assert both.scores("merged", 0) == (dict.fromkeys(CRITERIA, 2.0), "people")
    answers = Answers(
        [Prompt("글", None)],
        [ModelResult(n, {}, [t]) for n, t in zip(("base", "merged"), "가나", strict=True)],
        8,
        None,
    )
    ids = [answer_id("글", text) for text in "가나"]
    ratings = Ratings(
        {"a": {ids[0]: all_points(4)}}, "j|1", {"j|1": {tuple(ids): verdict("tie"), tuple(ids[::-1]): verdict("tie")}}
    )
    page = prompt_comparison(answers, ratings)
    assert "| base | 가 | 4 | 4 | 4 | 4 |" in page and "| merged | 나 | 3 (judge) |" in page
    assert "| base | people | 4 | 4 | 4 | 4 | 1 of 1 |" in page and "| base | judge | 3 | 3 | 3 | 3 | 1 of 1 |" in page
    assert "people's are shown" in page and "the judge j&#124;1 (1 of 1 pairs" in page
    assert "merged against base: a tie (judge)." in page


def test_equal_answers_are_a_tie_and_no_win():
    equal = tally({"a": {"가": all_points(5)}}, merged="가")
    assert equal.outcome(0) == ("tie", "the same answer") and equal.outcomes()["merged"] == 0


def test_the_sheet_says_nothing_of_the_models():
    prompts = [Prompt(f"글머리 {n}", None) for n in range(40)]
    names = ["base", "web", "merged"]
    models = [ModelResult(name, {}, [f"{n}번 답 {i}" for n in range(40)]) for i, name in enumerate(names)]
    page = rating_sheet(Answers(prompts, models, 8, None))
    data = json.loads(page.split('<script id="data" type="application/json">')[1].split("</script>")[0])
    assert not any(f'"{name}"' in page for name in (*names[1:], "model", "models"))
    assert {key for p in data["prompts"] for a in p["answers"] for key in a} == {"id", "text"}
    first_places = [p["answers"][0]["text"][-1] for p in data["prompts"]]
    assert all(5 <= first_places.count(i) <= 25 for i in "012")
    # Whoever knows a model's name and place cannot tell from the data: with the models turned round it is the same.
    assert rating_sheet(Answers(prompts, models[::-1], 8, None)) == page


def test_ratings_after_another_merge(workplace, tmp_path, capsys):
    for seed, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=seed)
        assert workplace.diff(domain) == 0
    assert workplace.merge() == 0
    layout = workplace.layout
    answers = read_answers(layout.answers)
    rows = [row(p.prompt, m.answers[n], 3) for n, p in enumerate(answers.prompts) for m in answers.models[:1]]
    export = write_export(tmp_path / "r.csv", *rows)
    weights = layout.merged_model / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert workplace.merge("--ratings", export) == 0
    assert weights.stat().st_mtime_ns == before
    report = layout.prompt_comparison.read_text(encoding="utf-8")
    assert "| 3 | 3 | 3 | 3 |" in report and "merged anew" not in report
    assert workplace.merge("--merge.scale", "2", "--evaluation.enabled", "false") == 0
    assert workplace.merge("--ratings", export) == 0
    assert "merged_model/ was merged anew since" in layout.prompt_comparison.read_text(encoding="utf-8")
    assert workplace.merge("--merge.scale", "2") == 0
    report = layout.prompt_comparison.read_text(encoding="utf-8")
    assert "| 3 | 3 | 3 | 3 |" in report and "merged anew" not in report
    layout.ratings.write_text("{")
    capsys.readouterr()
    assert workplace.merge() == 2  # before any work
    assert "ratings.json" in capsys.readouterr().err.splitlines()[-1]
