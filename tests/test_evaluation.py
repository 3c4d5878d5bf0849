import html
import importlib.util
import json
import math
import unicodedata

import pytest

from dem.errors import RequestError
from dem.evaluation import text_metrics
from dem.evaluation.answers import Answers
from dem.evaluation.documents import Document
from dem.evaluation.metrics import make_metrics
from dem.evaluation.prompt_report import prompt_comparison
from dem.evaluation.prompts import Prompt, read_prompts
from dem.evaluation.ratings import Ratings
from dem.evaluation.report import ModelResult, as_text
from dem.evaluation.scores import Scores
from dem.evaluation.tables import metric_table, perplexity_lines
from dem.evaluation.text_metrics import score_texts


def test_identical_korean_scores_in_full_and_other_korean_does_not():
    texts = ["한라산의 높이는 약 1,947m로 남한에서 가장 높다.", "오늘은 비가 와요 ㅠㅠ 우산 챙겨!"]
    figures = score_texts(texts, texts)
    assert figures["bleu"] == pytest.approx(100) and figures["chrf"] == pytest.approx(100)
    assert figures["rouge1"] == figures["rouge2"] == figures["rougeL"] == 1.0
    other = score_texts(texts, texts[::-1])
    assert other["bleu"] < 20 and other["chrf"] < 20 and other["rouge2"] < 0.2
    for short in ("네", "좋아", "오늘 비"):
        figures = score_texts([short], [short])
        assert figures["bleu"] == pytest.approx(100) and figures["rouge2"] == 1.0
    decomposed = [unicodedata.normalize("NFD", t) for t in texts]
    assert score_texts(decomposed, texts)["bleu"] == pytest.approx(100)
    assert score_texts([], []) == {}


def f_measure(common, predicted, wanted):
    precision, recall = common / predicted, common / wanted
    return 2 * precision * recall / (precision + recall)


@pytest.fixture
def characters(monkeypatch):
    """Every character is a word, also where MeCab is installed."""
    monkeypatch.setattr(text_metrics, "tokenizer_name", lambda: "char")


def test_bleu_by_hand(characters):
    figures = score_texts(["가나다라", "가가"], ["가나다마바", "가"])
    assert "|tok:char|" in figures["bleu_signature"] and figures["pairs"] == 2
    # 1-grams: 3 of 4 and, since it is once in the reference, 1 of 2; 2-grams 2 of 3 and 0 of 1; 3-grams 1 of 2; no
    # 4-gram is right, of 1: smoothed ("exp") to half a hit. As long as the references (6 to 6): no brevity penalty.
    expected = 100 * math.exp(sum(map(math.log, (4 / 6, 2 / 4, 1 / 2, 0.5 / 1))) / 4)
    assert figures["bleu"] == pytest.approx(expected)
    short = score_texts(["가나다라"], ["가나다라마바"])["bleu"]  # every n-gram is right, at 4 characters of 6
    assert short == pytest.approx(100 * math.exp(1 - 6 / 4))


def test_chrf_by_hand():
    figures = score_texts(["가나다"], ["가나마바"])
    assert "|nc:6|nw:0|" in figures["chrf_signature"]
    # F2 of each length: 1-grams 2 of 3 and 2 of 4, 2-grams 1 of 2 and 1 of 3, 3-grams none; the reference alone has a
    # 4-gram, so lengths 4 to 6 do not count. Precision and recall are averaged before F.
    precision, recall = (2 / 3 + 1 / 2 + 0) / 3, (2 / 4 + 1 / 3 + 0) / 3
    assert figures["chrf"] == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))
    assert score_texts(["가 나"], ["가나"])["chrf"] == pytest.approx(100)  # white space does not count


def test_rouge_by_hand(characters):
    figures = score_texts(["가나다라"], ["가나마"])  # words 가 나 다 라 against 가 나 마
    assert figures["rouge1"] == pytest.approx(f_measure(2, 4, 3))
    assert figures["rouge2"] == pytest.approx(f_measure(1, 3, 2))
    assert "tok:char" in figures["rouge_signature"]
    crossed = score_texts(["가다나"], ["가나다"])
    assert crossed["rouge1"] == 1.0 and crossed["rouge2"] == 0.0
    assert crossed["rougeL"] == pytest.approx(f_measure(2, 3, 3))  # 가나 or 가다, in order
    mean = score_texts(["가나다라", "가다나"], ["가나마", "가나다"])
    assert mean["rougeL"] == pytest.approx((f_measure(2, 4, 3) + f_measure(2, 3, 3)) / 2)


@pytest.mark.skipif(not importlib.util.find_spec("mecab_ko"), reason="needs sacrebleu[ko]")
def test_with_mecab_morphemes_are_counted():
    figures = score_texts(["하늘이 맑다"], ["하늘은 맑다"])  # 하늘 이 맑 다 against 하늘 은 맑 다
    assert "|tok:ko-mecab-" in figures["bleu_signature"] and "tok:ko-mecab" in figures["rouge_signature"]
    assert figures["rouge1"] == pytest.approx(f_measure(3, 4, 4))
    assert figures["rouge2"] == pytest.approx(f_measure(1, 3, 3))


def test_prompts_are_read_and_mistakes_name_their_line(tmp_path):
    path = tmp_path / "p.jsonl"
    lines = [{"prompt": "하나", "reference": "답"}, {"prompt": "둘", "id": "x"}]
    path.write_text("\ufeff" + "\n\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    assert read_prompts(path) == [Prompt("하나", "답"), Prompt("둘", None)]
    for text, words in {
        "": "no prompt",
        '{"prompt": "하나"}\n{"prompt": ': "line 2",
        '{"prompt": "하나"}\n\n["둘"]': "line 3",
        '{"text": "하나"}': "line 1",
        '{"prompt": "\\ud800"}': "line 1",
        '{"prompt": "하나", "reference": 3}': "line 1: reference",
    }.items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RequestError, match=words):
            read_prompts(path)
    with pytest.raises(RequestError, match=r"none\.jsonl"):
        read_prompts(tmp_path / "none.jsonl")


def test_nothing_a_model_says_acts_as_markdown():
    bad = "| x | y\n# 제목 <script>alert(1)</script> `c` *b* _i_ [l](http://a.b) ![i](j) ~~s~~ www.a.b \\ $x$ a@b.c"
    bad += "\r\n&amp;"
    cell = as_text(bad)
    assert not set("|<>`*_[]#!~\\$@\n\r") & set(cell.replace("<br>", "").replace("&#", ""))
    assert "://" not in cell and "www." not in cell
    assert html.unescape(cell.replace("<br>", "\n")).split() == bad.split()
    assert as_text("a\x00b\x1b[31m\u202ec\u2066d\ud800\x7f\x85") == (
        "a⟨U+0000⟩b⟨U+001B⟩&#91;31m⟨U+202E⟩c⟨U+2066⟩d⟨U+D800⟩⟨U+007F⟩"
    )
    assert (
        as_text("가족 \U0001f468\u200d\U0001f469\u200d\U0001f467") == "가족 \U0001f468\u200d\U0001f469\u200d\U0001f467"
    )
    assert as_text("값은 1,947m (약). 12:30에!") == "값은 1,947m (약). 12&#58;30에&#33;"


def results():
    base, merged = (
        ModelResult(name, {"web": scores(nll), "빈 것": Scores.of([], [])}, texts, score_texts(texts[:1], ["가나"]))
        for name, nll, texts in (("base", 3.0, ["가|나", ""]), ("merged", 2.9, ["다", "라"]))
    )
    return [base, merged]


def scores(mean):
    """Of thirty documents, each with the same mean negative log-likelihood."""
    sizes = (10, 20, 70) * 10
    return Scores.of([mean * n for n in sizes], [Document(range(1 + n), 3 * n) for n in sizes])


def test_reports_say_what_was_measured_and_what_was_not():
    metrics = make_metrics(results(), {}, {})
    table = [line.split(",") for line in metric_table(metrics).splitlines()]
    assert table[0][:4] == ["model", "perplexity_web", "perplexity_빈 것", "perplexity_all"]
    assert float(table[1][1]) == pytest.approx(math.exp(3), rel=1e-5) and table[1][2] == ""
    lines = perplexity_lines(metrics)
    change = f"{math.exp(-0.1) - 1:+.1%}"
    assert lines[1].split() == ["documents", "30", "0", "30"]
    assert "not measured" in lines[2] and f"{math.exp(2.9):.2f} ({change}, {change} to {change})" in lines[3]

    answers = Answers([Prompt("질문\n답변:", "가나"), Prompt("민호:", None)], results(), 8, None)
    page = prompt_comparison(answers, Ratings())
    rows = [line for line in page.splitlines() if line.startswith("| base | ") and "unrated" in line]
    assert rows[0].startswith("| base | 가&#124;나 |") and rows[0].count("unrated") == 4
    assert "*(empty)*" in rows[1] and page.count("Reference:") == 1
    assert "With a reference: 1 of 2 prompts" in page
