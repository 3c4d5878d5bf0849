"""The page on which people rate answers without seeing whose they are, and the file that it exports."""

import csv
import json
import re
from pathlib import Path

from dem.errors import RequestError
from dem.evaluation.answers import Answers
from dem.evaluation.ratings import CRITERIA, POINTS, Ratings, Scores, prompt_id
from dem.reading import read_text

TEMPLATE = Path(__file__).with_name("rating_sheet.html")
COLUMNS = ("rater", "prompt", "answer", "prompt_id", "answer_id", *CRITERIA)
"""Of the export. `prompt` (a number) and `answer` (a letter) are for people; the ids say what was rated."""


def rating_sheet(answers: Answers) -> str:
    """HTML: the page, whole in one file. It holds texts and ids made of them, and nothing of the models."""
    references = {p.prompt: p.reference for p in reversed(answers.prompts)}
    data = {
        "columns": COLUMNS,
        "criteria": [{"name": name, **criterion._asdict()} for name, criterion in CRITERIA.items()],
        "prompts": [
            {
                "id": prompt_id(prompt),
                "text": prompt,
                "reference": references[prompt],
                "answers": [{"id": name, "text": text} for name, text in texts.items()],
            }
            for prompt, texts in answers.distinct().items()
        ],
    }
    # Within a script element only < can end it or begin a comment.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/", text)


def take_ratings(path: Path, answers: Answers, ratings: Ratings) -> tuple[int, list[str]]:
    """Add the ratings in `path`, an export of the page, to `ratings`; a rater's new rating replaces the old one.

    Returns:
        The number of answers rated, and what is wrong with lines that were not taken.

    Raises:
        RequestError: the file cannot be read as such an export at all.
    """
    text = read_text(path)
    lines = [(n, line.rstrip("\r")) for n, line in enumerate(text.split("\n"), 1) if line.strip("\r ,")]
    if not lines:
        raise RequestError(f"{path} is empty")
    header = _header(lines[0][1], f"{path}, line {lines[0][0]}")
    if len(lines) == 1:
        raise RequestError(f"{path} holds no rating")
    known = {prompt_id(prompt): set(texts) for prompt, texts in answers.distinct().items()}
    taken: dict[tuple[str, str], Scores] = {}
    mistakes = []
    for number, line in lines[1:]:
        try:
            rater, answer, scores = _rating(header, line, known)
            if (rater, answer) in taken:
                raise ValueError("rates an answer for the second time")
            taken[rater, answer] = scores
        except ValueError as mistake:
            mistakes.append(f"line {number} {mistake}")
    for (rater, answer), scores in taken.items():
        ratings.people.setdefault(rater, {})[answer] = scores
    return len(taken), mistakes


def _fields(line: str) -> list[str]:
    """The fields of a line. No field of the export holds a line break, so a quote left open ends with its line."""
    try:
        return [field.strip() for field in next(csv.reader([line], strict=True))]
    except csv.Error as error:
        raise ValueError(f"is not CSV ({error})") from None


def _header(line: str, place: str) -> list[str]:
    try:
        header = _fields(line)
    except ValueError as mistake:
        raise RequestError(f"{place} {mistake}") from None
    if missing := [name for name in COLUMNS if name not in header]:
        raise RequestError(f"{place} lacks the columns {', '.join(missing)}: it is no export of the rating sheet")
    return header


def _rating(header: list[str], line: str, known: dict[str, set[str]]) -> tuple[str, str, Scores]:
    """Rater, answer id and scores of a line.

    Raises:
        ValueError: it is no rating of an answer of the last evaluation.
    """
    row = _fields(line)
    if len(row) != len(header):
        raise ValueError(f"has {len(row)} fields, not {len(header)}")
    fields = dict(zip(header, row, strict=True))
    place = f"(prompt {fields['prompt'][:9]}, answer {fields['answer'][:9]})"
    # The page's export puts an apostrophe before what a spreadsheet would take for a formula.
    rater = re.sub(r"^'(?=[=+\-@＝＋－＠])", "", " ".join(fields["rater"].split()))
    if not rater:
        raise ValueError("names no rater")
    if fields["prompt_id"] not in known:
        raise ValueError(f"{place} is of a prompt that the last evaluation does not have")
    if fields["answer_id"] not in known[fields["prompt_id"]]:
        raise ValueError(f"{place} is of an answer that no model gives any more")
    scores = {c: _points(c, fields[c]) for c in CRITERIA if fields[c]}
    if not scores:
        raise ValueError(f"{place} has no points")
    return rater, fields["answer_id"], scores


def _points(criterion: str, field: str) -> int:
    if field not in map(str, POINTS):
        raise ValueError(f"says {criterion} {field[:9]!r}, not a whole number from 1 to 5")
    return int(field)
