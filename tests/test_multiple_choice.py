import json
import random
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dem.config import MultipleChoiceConfig
from dem.errors import RequestError
from dem.evaluation.multiple_choice import Question, as_row, choose, read_questions, subset

SHIPPED = Path(__file__).resolve().parent.parent / "configs" / "multiple_choice_ko.jsonl"
CHOICES = ["봄", "여름", "가을", "겨울"]


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def row(question="지금은 어느 철인가?", choices=CHOICES, answer=0, **more) -> dict:
    return {"question": question, "choices": choices, "answer": answer, **more}


def test_an_answer_is_a_number_a_letter_or_a_choice(tmp_path):
    answers = [2, "C", " C ", "가을", unicodedata.normalize("NFD", "가을")]
    path = write(tmp_path / "q.jsonl", [row(answer=answer, id=7) for answer in answers])
    assert read_questions(path) == [Question("지금은 어느 철인가?", tuple(CHOICES), 2, "")] * len(answers)


def test_a_number_counts_places_even_where_the_choices_are_numbers(tmp_path):
    path = write(tmp_path / "q.jsonl", [row(choices=["3", "2", "1"], answer=1), row(choices=["3", "2"], answer="3")])
    assert [q.answer for q in read_questions(path)] == [1, 0]


def test_a_letter_that_is_also_its_own_choice_is_clear(tmp_path):
    path = write(tmp_path / "q.jsonl", [row(choices=["A", "B", "AB"], answer="B")])
    assert read_questions(path)[0].answer == 1


def test_texts_are_composed_and_trimmed(tmp_path):
    given = row(" 어느\n철? ", [unicodedata.normalize("NFD", c) + "\n" for c in CHOICES], subject=" 지리 ")
    assert read_questions(write(tmp_path / "q.jsonl", [given])) == [Question("어느\n철?", tuple(CHOICES), 0, "지리")]


def test_parquet_and_json_lines_are_read_alike(tmp_path):
    rows = [row(answer=1, subject="지리"), row("둘?", ["가", "나"], 0, subject=None)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "q.parquet")
    table = pa.table(
        {
            "question": pa.array([r["question"] for r in rows]).dictionary_encode(),
            "choices": pa.array([r["choices"] for r in rows], pa.large_list(pa.large_string())),
            "answer": pa.array([1, 0], pa.int8()),
            "subject": pa.array(["지리", None]),
        }
    )
    pq.write_table(table, tmp_path / "other.parquet")
    read = read_questions(write(tmp_path / "q.jsonl", rows))
    assert read == read_questions(tmp_path / "q.parquet") == read_questions(tmp_path / "other.parquet")
    assert [q.subject for q in read] == ["지리", ""]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("{", "is not JSON"),
        ('["하나"]', "not an object"),
        (row(question=""), "question is not a text"),
        (row(question="\ud800"), "question is not a text"),
        (row(choices="봄"), "choices is not a list"),
        (row(choices=["봄"]), "choices is not a list of 2 to 26 texts"),
        (row(choices=["봄", " "]), "choices is not a list"),
        (row(choices=["봄", 2]), "choices is not a list"),
        (row(choices=[str(i) for i in range(27)]), "choices is not a list"),
        (row(answer=4), "answer 4 is none of 4 choices, which count from 0"),
        (row(answer=-1), "answer -1 is none"),
        (row(answer=True), "answer is neither"),
        (row(answer=1.0), "answer is neither"),
        (row(answer="1"), "answer is neither"),
        (row(answer="E"), "answer is neither"),
        (row(answer=None), "answer is neither"),
        (row(choices=["B", "A"], answer="A"), "answer 'A' fits choices 1 and 0"),
        (row(choices=["봄", "봄", "꽃"], answer="봄"), "answer '봄' fits choices 0 and 1"),
        (row(subject=3), "subject is neither"),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path, broken, words):
    path = tmp_path / "q.jsonl"
    text = broken if isinstance(broken, str) else json.dumps(broken)
    path.write_text(json.dumps(row()) + "\n\n" + text + "\n", encoding="utf-8")
    with pytest.raises(RequestError, match=rf"q\.jsonl, line 3.*{words}"):
        read_questions(path)


def test_a_broken_parquet_file_is_named_with_its_row_or_column(tmp_path):
    path = tmp_path / "q.parquet"
    pq.write_table(pa.Table.from_pylist([row(), row(answer=9)]), path)
    with pytest.raises(RequestError, match=r"q\.parquet, row 2: answer 9"):
        read_questions(path)
    pq.write_table(pa.Table.from_pylist([{"question": "?", "A": "가"}]), path)
    with pytest.raises(RequestError, match="no column 'choices'; it has question, A"):
        read_questions(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(RequestError, match=r"q\.parquet cannot be read as parquet"):
        read_questions(path)


def test_a_file_without_questions_is_refused(tmp_path):
    (tmp_path / "q.jsonl").write_text("\n\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"q\.jsonl holds no question"):
        read_questions(tmp_path / "q.jsonl")
    with pytest.raises(RequestError, match=r"none\.jsonl cannot be read"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(RequestError, match=r"none\.parquet cannot be read"):
        read_questions(tmp_path / "none.parquet")


def exam(**subjects: int) -> list[Question]:
    return [Question(f"{s} {i}", ("가", "나"), i % 2, s) for s, count in subjects.items() for i in range(count)]


@pytest.mark.parametrize("limit", [1, 7, 20, 99])
def test_a_subset_has_of_each_subject_its_share(limit):
    questions = exam(law=60, art=30, sea=10)
    chosen = subset(questions, limit)
    assert len(chosen) == len(set(chosen)) == limit
    for subject, count in Counter(q.subject for q in questions).items():
        assert abs(sum(q.subject == subject for q in chosen) - limit * count / 100) < 1


def test_a_subset_is_the_same_whatever_the_order_of_the_rows():
    questions = exam(law=60, art=30)
    shuffled = random.Random(0).sample(questions, len(questions))
    assert set(subset(questions, 12)) == set(subset(shuffled, 12))
    assert subset(questions, None) == subset(questions, 90) == questions


def as_file(path: Path, questions: list[Question]) -> Path:
    return write(path, [row(q.question, list(q.choices), q.answer, subject=q.subject) for q in questions])


def test_examples_are_of_the_same_subject_and_not_scored(tmp_path):
    questions = exam(law=5, art=4)
    again = Question(" law  0", ("가", "나"), 0, "art")  # a question that is an example elsewhere
    path = as_file(tmp_path / "q.jsonl", [*questions, again])
    chosen = choose(MultipleChoiceConfig("a", str(path), few_shot=2), None)
    assert chosen["law"].examples == questions[:2] and chosen["law"].scored == questions[2:5]
    assert chosen["art"].examples == questions[5:7] and chosen["art"].scored == questions[7:]


def test_examples_from_another_file(tmp_path):
    questions, others = exam(law=5, art=4), exam(sea=1, art=6, law=6)
    config = MultipleChoiceConfig("a", str(as_file(tmp_path / "q.jsonl", questions)), 5, "")
    config.few_shot_file = str(
        as_file(tmp_path / "dev.jsonl", [Question(f"예 {q.question}", *_rest(q)) for q in others])
    )
    chosen = choose(config, None)
    assert [q.question for q in chosen["law"].examples] == [f"예 law {i}" for i in range(5)]
    assert [q for each in chosen.values() for q in each.scored] == questions
    config.few_shot_file = str(as_file(tmp_path / "dev.jsonl", others))  # holds the scored questions
    with pytest.raises(RequestError, match=r"every question on art serves as an example"):
        choose(config, None)


def _rest(q: Question) -> tuple:
    return q.choices, q.answer, q.subject


def test_too_few_examples_are_refused(tmp_path):
    path = as_file(tmp_path / "q.jsonl", exam(law=5, art=2))
    with pytest.raises(RequestError, match=r"q\.jsonl has 2 questions on art, fewer than few_shot 3"):
        choose(MultipleChoiceConfig("a", str(path), few_shot=3), None)
    with pytest.raises(RequestError, match="every question on art serves as an example"):
        choose(MultipleChoiceConfig("a", str(path), few_shot=2), None)


def test_a_limit_leaves_out_subjects_without_a_share(tmp_path):
    path = as_file(tmp_path / "q.jsonl", exam(law=50, art=1))
    chosen = choose(MultipleChoiceConfig("a", str(path)), 3)
    assert {subject: len(several.scored) for subject, several in chosen.items()} == {"law": 3}


def test_prompts():
    question = Question("어느 철인가?", ("봄", "여름", "가을"), 2, "지리")
    assert as_row(question, "letters") == {
        "query": "어느 철인가?\nA. 봄\nB. 여름\nC. 가을\n정답:",
        "scored": ["A", "B", "C"],
        "gold": 2,
    }
    assert as_row(question, "cloze") == {"query": "어느 철인가?\n정답:", "scored": ["봄", "여름", "가을"], "gold": 2}


def test_the_shipped_questions_can_be_asked_with_examples():
    chosen = choose(MultipleChoiceConfig("a", str(SHIPPED), few_shot=1), None)
    assert {subject: len(several.scored) for subject, several in chosen.items()} == dict.fromkeys(
        ["지리", "역사", "과학", "수학"], 4
    )
