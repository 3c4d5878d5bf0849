"""The rating sheet in a real headless browser: pressed, reloaded, exported, folded in.

It takes the Chromium or Chrome that is installed (or the one of `playwright install chromium`), and is skipped where
there is none.
"""

import csv
import os
import re
import shutil

import pytest

from dem.evaluation.prompts import Prompt
from dem.evaluation.ratings import CRITERIA, read_ratings

playwright = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ATTACK = (
    '</script><script>window.attacked = 1</script><img src=x onerror="window.attacked = 1"><!-- <b>굵게</b> & "따옴표"'
)
PROMPTS = [Prompt("오늘 날씨는", "맑아요."), Prompt("민호:", None), Prompt("<i>셋</i>", None)]
ANSWERS = {
    "base": ["흐리다", "왜?", "하나\n  둘"],
    "web": ["흐리다", ATTACK, ""],
    "merged": ["맑다", "왜 그래?", "하나"],
}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        installed = [path for name in BROWSERS if (path := shutil.which(name))]
        own = running.chromium.executable_path
        path = next(iter(installed), own if os.path.exists(own) else None)
        if path is None:
            pytest.skip("there is no browser: install Chromium, or run playwright install chromium")
        opened = running.chromium.launch(executable_path=path)
        yield opened
        opened.close()


@pytest.fixture
def place(rating_place):
    rating_place.publish(ANSWERS, PROMPTS)
    return rating_place


@pytest.fixture
def context(browser):
    """A visitor with storage of its own, and what went wrong or left the machine on the way."""
    context = browser.new_context(locale="ko-KR", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(5000)
    troubles = []
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    context.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    context.on("request", lambda r: troubles.append(r.url) if not r.url.startswith(("file:", "blob:")) else None)
    yield context
    context.close()
    assert not troubles


def visit(context, place):
    page = context.new_page()
    page.goto(place.layout.rating_sheet.as_uri())
    return page


def pressed(page) -> list[list[str]]:
    """The points that each row of the shown prompt has."""
    return [row.locator("[aria-pressed=true]").all_inner_texts() for row in page.locator(".row").all()]


def texts(page) -> list[str]:
    return [t.text_content() for t in page.locator("article > .text").all()]


def export(page, path) -> str:
    with page.expect_download() as download:
        page.keyboard.press("e")
    assert download.value.suggested_filename == "ratings.csv"
    download.value.save_as(path)
    return str(path)


def test_rated_by_keys_alone_kept_exported_and_folded_in(context, place, tmp_path):
    page = visit(context, place)
    page.fill("#rater", '가람, "하나"')
    page.locator("#rater").blur()
    first = texts(page)
    assert sorted(first) == ["맑다", "흐리다"]  # what two models answered is there once
    for key in "54321111":
        page.keyboard.press(key)
    assert sum(pressed(page), []) == list("54321111")
    assert "2" in page.locator("#progress").inner_text()
    page.keyboard.press("Enter")  # the button for the next prompt has the focus
    assert page.locator("#prompt .text").first.text_content() == "민호:"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("3")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("0")
    assert pressed(page)[:3] == [[], [], []] and len(pressed(page)) == 12
    page.keyboard.press("ArrowUp")
    page.keyboard.press("2")
    second = texts(page)

    page.reload()
    assert page.locator("#prompt .text").first.text_content() == "민호:"
    assert pressed(page)[0] == ["2"] and page.input_value("#rater") == '가람, "하나"'
    page.keyboard.press("ArrowLeft")
    assert sum(pressed(page), []) == list("54321111") and texts(page) == first

    path = export(page, tmp_path / "ratings.csv")
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rater"] for row in rows] == ['가람, "하나"'] * 3
    assert [(row["prompt"], row["answer"]) for row in rows] == [("1", "A"), ("1", "B"), ("2", "A")]
    assert place.rate(path) == 0
    by_text = {first[0]: "5 | 4 | 3 | 2", first[1]: "1 | 1 | 1 | 1"}
    for model in ("base", "web", "merged"):
        assert f"| {model} | {ANSWERS[model][0]} | {by_text[ANSWERS[model][0]]} |" in place.report
    models = [model for model, answers in ANSWERS.items() if answers[1] == second[0]]
    assert re.search(rf"\| {models[0]} \| .* \| 2 \| unrated \| unrated \| unrated \|", place.report)
    better = "merged" if first[0] == "맑다" else "base"
    assert f"merged against base: {better} is better (people)." in place.report


def test_digits_too_many_change_nothing_and_the_last_ones_are_undone(context, place):
    page = visit(context, place)
    for key in "54321111":
        page.keyboard.press(key)
    for key in "222":  # one prompt's criteria are all rated: the button has the focus
        page.keyboard.press(key)
    assert sum(pressed(page), []) == list("54321111")
    page.keyboard.press("z")
    page.keyboard.press("Control+z")
    assert sum(pressed(page), []) == list("543211") and pressed(page)[6:] == [[], []]
    page.keyboard.press("4")  # goes on where it was undone
    assert pressed(page)[6] == ["4"]
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    page.keyboard.press("3")
    assert pressed(page)[0] == ["3"]
    page.keyboard.press("z")
    page.keyboard.press("z")  # of the prompt before
    assert page.locator("#prompt .text").first.text_content() == "오늘 날씨는"
    assert sum(pressed(page), []) == list("5432114")
    for _ in range(20):
        page.keyboard.press("z")
    assert not any(pressed(page))


def test_a_digit_held_down_is_one_rating(context, place):
    page = visit(context, place)
    for _ in range(5):
        page.keyboard.down("4")  # which repeats until it is up
    page.keyboard.up("4")
    assert sum(pressed(page), []) == ["4"]
    page.keyboard.press("4")
    assert sum(pressed(page), []) == ["4", "4"]


def test_a_name_that_a_spreadsheet_would_compute_is_exported_as_text(context, place, tmp_path):
    page = visit(context, place)
    for name in ("=1+1", "+82", "-이름", "@sum", "＝1+1", "＠sum"):
        page.fill("#rater", name)
        page.locator("#rater").blur()
        page.keyboard.press("3")
        path = export(page, tmp_path / "ratings.csv")
        with open(path, encoding="utf-8-sig", newline="") as file:
            assert {row["rater"] for row in csv.DictReader(file)} == {f"'{name}"}
        assert place.rate(path) == 0
        assert name in read_ratings(place.layout.ratings).people


def test_mouse_languages_and_starting_over(context, place):
    page = visit(context, place)
    page.on("dialog", lambda dialog: dialog.accept())
    assert page.locator("h1").inner_text() == "답변 평가" and page.get_attribute("html", "lang") == "ko"
    page.click(".row >> nth=1 >> text=4")
    assert pressed(page)[1] == ["4"]
    page.click("#language")
    assert page.locator("h1").inner_text() == "Rate the answers" and page.get_attribute("html", "lang") == "en"
    assert pressed(page)[1] == ["4"]
    page.reload()
    assert page.locator("h1").inner_text() == "Rate the answers" and pressed(page)[1] == ["4"]
    rater = page.input_value("#rater")
    page.click("#reset")
    assert not any(pressed(page)) and page.input_value("#rater") not in ("", rater)
    page.reload()
    assert not any(pressed(page))


def test_a_hangul_input_method_changes_no_key(context, place):
    page = visit(context, place)
    page.evaluate("""() => {
        const press = (code, key) => document.dispatchEvent(new KeyboardEvent("keydown", { code, key, bubbles: true }));
        document.body.focus();
        document.querySelector(".row").dispatchEvent(
            new KeyboardEvent("keydown", { code: "Digit4", key: "Process", bubbles: true }));
        document.querySelector(".row").dispatchEvent(
            new KeyboardEvent("keydown", { code: "KeyH", key: "ㅗ", bubbles: true }));
    }""")
    assert pressed(page)[0] == ["4"] and page.locator("#help").get_attribute("open") is None


def test_a_models_text_is_shown_as_it_is(context, place):
    page = visit(context, place)
    page.click("nav button >> nth=1")
    assert ATTACK in texts(page)
    page.click("nav button >> nth=2")
    assert page.locator("#prompt .text").first.text_content() == "<i>셋</i>"
    assert sorted(texts(page)) == ["(빈 답변)", "하나", "하나\n  둘"]
    assert page.evaluate("window.attacked") is None
    words = ["merged", "base", "web"]
    assert not any(f'"{word}"' in page.content() for word in words)


def test_a_sheet_of_new_answers_keeps_what_is_still_the_same(context, place):
    page = visit(context, place)
    for key in "55555555":
        page.keyboard.press(key)
    place.publish({**ANSWERS, "merged": ["개었다", "왜 그래?", "하나"]}, PROMPTS)
    page.reload()
    assert sorted(zip(texts(page), [any(pressed(page)[4 * n : 4 * n + 4]) for n in (0, 1)], strict=True)) == [
        ("개었다", False),
        ("흐리다", True),
    ]


def test_without_storage_the_page_warns_and_still_exports(context, place, tmp_path):
    context.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });")
    page = visit(context, place)
    assert page.locator("#unkept").is_visible()
    page.keyboard.press("3")
    assert place.rate(export(page, tmp_path / "r.csv")) == 0


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 740)])
@pytest.mark.parametrize("language", ["ko-KR", "en-US"])
def test_nothing_is_cut_off(browser, place, width, height, language):
    context = browser.new_context(locale=language, viewport={"width": width, "height": height})
    page = visit(context, place)
    page.click("nav button >> nth=1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".points button").last.bounding_box()["width"] >= 30
    labels = [row.locator("span").first.bounding_box()["height"] for row in page.locator(".row").all()[: len(CRITERIA)]]
    assert max(labels) < 40  # on one line
    context.close()
