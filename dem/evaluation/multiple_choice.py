"""Multiple-choice questions from a parquet or JSON-lines file: read, checked, chosen from, and put as prompts."""

import hashlib
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pyarrow.parquet as pq

from dem import parquet_files
from dem.config import MultipleChoiceConfig
from dem.errors import RequestError
from dem.reading import damage_named, is_unicode, json_lines, require_file

ANSWER = "정답:"
"""What a prompt ends with; a space and what is scored follow."""
COLUMNS = ("question", "choices", "answer", "subject")


@dataclass(frozen=True)
class Question:
    """A question, the texts to choose from, and which of them is right (counted from 0)."""

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str
    """Empty where none is given."""

    @property
    def key(self) -> bytes:
        """A hash that two questions share if they differ in white space, subject or answer only."""
        words = [" ".join(text.split()) for text in (self.question, *self.choices)]
        return hashlib.blake2b("\0".join(words).encode(), digest_size=16).digest()


@dataclass(frozen=True)
class SubjectQuestions:
    """The questions of one subject that are scored, and those that every prompt shows with their answers before."""

    scored: list[Question]
    examples: list[Question]


def read_questions(path: Path) -> list[Question]:
    """The questions in `path`: parquet if its name ends so, else one JSON object a line.

    `question` is a text, `choices` a list of 2 to 26 texts, `subject` a text or left out. `answer` is the number of a
    choice, counted from 0; or a text, which is one of the choices or the letter of one (A is the first). All texts
    are put into composed Unicode form (NFC), without white space around them.

    Raises:
        RequestError: the file is missing, empty or damaged, or a row is something else; the message has its number.
    """
    is_parquet = path.suffix.lower() == ".parquet"
    rows = _parquet_rows(path) if is_parquet else ((f"line {n}", row) for n, row in json_lines(path))
    questions, numbered = [], []
    for place, row in rows:
        try:
            questions.append(_question(row))
        except ValueError as mistake:
            raise RequestError(f"{path}, {place}: {mistake}") from None
        if type(row["answer"]) is int:
            numbered.append(questions[-1])
    if not questions:
        raise RequestError(f"{path} holds no question")
    _require_count_from_0(path, numbered)
    return questions


def _require_count_from_0(path: Path, numbered: list[Question]) -> None:
    """Refuse numbers that more likely count from 1: had they counted from 0, one of them would be 0 in most such files.

    That is where answers spread evenly over the choices leave out the first with a probability below one half, which
    takes two questions of three choices, or three of five. Scored a choice off, every model does as badly as chance.
    """
    by_chance = math.prod(1 - 1 / len(question.choices) for question in numbered)
    if numbered and by_chance < 0.5 and all(question.answer > 0 for question in numbered):
        raise RequestError(
            f"{path}: the answers of {len(numbered)} questions are numbers up to {max(q.answer for q in numbered)} and "
            f"never 0 (by chance in {by_chance:.2g} of such files): do they count from 0 or from 1? If from 1, "
            "subtract 1 from each; if from 0, give the letters instead, of which A is the first"
        )


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    require_file(path)
    with damage_named(f"{path} cannot be read as parquet"), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
    parquet_files.require_columns(path, names, list(COLUMNS[:3]))
    columns = [name for name in COLUMNS if name in names]
    for number, row in enumerate(parquet_files.rows(path, columns), 1):
        yield f"row {number}", dict(zip(columns, row, strict=True))


def _question(row: Any) -> Question:
    """The question in a row.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not isinstance(row, dict):
        raise ValueError("not an object with question, choices and answer")
    if (question := _text(row.get("question"))) is None:
        raise ValueError("question is not a text")
    given = row.get("choices")
    choices = [_text(choice) for choice in given] if isinstance(given, list) else []
    if not 2 <= len(choices) <= len(ascii_uppercase) or None in choices:
        raise ValueError(f"choices is not a list of 2 to {len(ascii_uppercase)} texts")
    subject = row.get("subject")
    if subject is not None and not isinstance(subject, str):
        raise ValueError("subject is neither a text nor left out")
    return Question(question, tuple(choices), _index(row.get("answer"), choices), _text(subject) or "")


def _text(value: Any) -> str | None:
    """The text in composed form, without white space around it; None if it is empty, no text, or no Unicode."""
    if not isinstance(value, str) or not is_unicode(value):
        return None
    return unicodedata.normalize("NFC", value).strip() or None


def _index(answer: Any, choices: list[str]) -> int:
    """Which choice `answer` is; a text that can be read in two ways is refused."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(choices):
            raise ValueError(
                f"answer {answer} is none of {len(choices)} choices, which count from 0 (if the file counts from 1, "
                "subtract 1 from each answer, or give letters from A)"
            )
        return answer
    text = _text(answer)
    found = [i for i, choice in enumerate(choices) if choice == text]
    if text is not None and len(text) == 1 and text in ascii_uppercase[: len(choices)]:
        letter = ascii_uppercase.index(text)
        found = found if letter in found else [*found, letter]
    if len(found) > 1:
        raise ValueError(f"answer {text!r} fits choices {' and '.join(map(str, found))}: give the number, from 0")
    if not found:
        raise ValueError("answer is neither a number from 0, nor a letter from A, nor one of the choices")
    return found[0]


def choose(config: MultipleChoiceConfig, limit: int | None) -> dict[str, SubjectQuestions]:
    """What is asked, by subject: at most `limit` questions of the file in all, each with examples of its subject.

    The examples are the first `few_shot` of the subject in `few_shot_file`, or in the file itself; a question that
    serves as one is not scored.

    Raises:
        RequestError: a file is unusable, or too few questions are left of a subject.
    """
    path = Path(config.file)
    questions = read_questions(path)
    source = Path(config.few_shot_file) if config.few_shot_file else path
    pool = read_questions(source) if config.few_shot_file else questions
    examples: dict[str, list[Question]] = {}
    for subject in dict.fromkeys(q.subject for q in questions):
        examples[subject] = [q for q in pool if q.subject == subject][: config.few_shot]
        if (there := len(examples[subject])) < config.few_shot:
            raise RequestError(f"{source} has {there} questions{_on(subject)}, fewer than few_shot {config.few_shot}")
    shown = {q.key for several in examples.values() for q in several}
    left = [q for q in questions if q.key not in shown]
    if empty := sorted(examples.keys() - {q.subject for q in left}):
        raise RequestError(f"{path}: every question{_on(empty[0])} serves as an example and none is left to score")
    chosen = subset(left, limit)
    scored = {subject: [q for q in chosen if q.subject == subject] for subject in examples}
    return {subject: SubjectQuestions(several, examples[subject]) for subject, several in scored.items() if several}


def _on(subject: str) -> str:
    return f" on {subject}" if subject else " without a subject"


def subset(questions: list[Question], limit: int | None) -> list[Question]:
    """At most `limit` of the questions, of each subject its share; always the same, whatever order they are in.

    That is every n-th of all questions, ordered by subject and, within it, by a hash of their words.
    """
    if limit is None or limit >= len(questions):
        return questions
    ordered = sorted(questions, key=lambda q: (q.subject, q.key))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * limit)] for i in range(limit)]


def as_row(question: Question, style: str) -> dict[str, Any]:
    """The prompt, the texts that are scored as its continuation, and the number of the right one.

    Of style `letters` the prompt lists the choices and the letters are scored, as in MMLU; of style `cloze` it does
    not, and the choices themselves are.
    """
    listed = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, question.choices, strict=False)]
    letters = style == "letters"
    return {
        "query": "\n".join([question.question, *(listed if letters else []), ANSWER]),
        "scored": list(ascii_uppercase[: len(listed)] if letters else question.choices),
        "gold": question.answer,
    }
