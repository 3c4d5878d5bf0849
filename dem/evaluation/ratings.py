"""Ratings of answers by people and by a judge: what they are of, and the file that keeps them.

A rating belongs to a text given in answer to a prompt, not to a model: its id is a hash of these two. So what bears ids
says nothing of whose an answer is, models that answered alike are rated alike, and after another merge a rating still
counts exactly where the answer is still the same.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from dem.atomic import write_text
from dem.common import read_json
from dem.errors import RequestError
from dem.typed import conform

FORMAT = 2
OF_ONE_JUDGE = 1
"""The format before it, which is still read."""
POINTS = (1, 2, 3, 4, 5)
OUTCOMES = ("first", "second", "tie")

Scores = dict[str, int]
"""Points by criterion; a person may leave some out."""


class Criterion(NamedTuple):
    """What raters are told of a criterion; it is the same for people and judge."""

    korean: str
    korean_question: str
    english_question: str


CRITERIA = {
    "informativeness": Criterion(
        "정보성",
        "글머리에 맞는 내용을 충분히, 틀림없이 담았습니까?",
        "Does it say enough that fits the prompt and is right?",
    ),
    "coherence": Criterion(
        "일관성", "글머리에서 자연스럽게 이어지고 앞뒤가 맞습니까?", "Does it follow from the prompt and hold together?"
    ),
    "conciseness": Criterion(
        "간결성", "되풀이와 군더더기가 없습니까?", "Is it free of repetition and of what could be left out?"
    ),
    "tone": Criterion("어조", "문체와 말투가 글머리에 어울립니까?", "Do style and manner of speaking suit the prompt?"),
}


def prompt_id(prompt: str) -> str:
    """The prompt's name in a rating."""
    return "p" + _digest(prompt)  # a letter first: a spreadsheet takes 12345e67 for a number


def answer_id(prompt: str, answer: str) -> str:
    """The name, in a rating, of `answer` to `prompt`."""
    return "a" + _digest(f"{len(prompt)} {prompt}{answer}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Verdict:
    """What a judge said of two answers, in the order in which it saw them."""

    first: Scores
    second: Scores
    better: str
    """One of OUTCOMES."""


@dataclass
class Ratings:
    """Everything that was rated, also of answers that no model gives any more."""

    people: dict[str, dict[str, Scores]] = field(default_factory=dict)
    """Scores by rater and answer id."""
    judge: str = ""
    """The model whose verdicts count: the one that was asked last."""
    judges: dict[str, dict[tuple[str, str], Verdict]] = field(default_factory=dict)
    """Each judge's verdicts, by its model's name and the ids of the two answers in the order in which it saw them."""

    @property
    def verdicts(self) -> dict[tuple[str, str], Verdict]:
        """Those that count, of `judge`."""
        return self.judges.setdefault(self.judge, {})

    def write(self, path: Path) -> None:
        """Write all to `path`, as JSON."""
        judges = [
            {
                "model": model,
                "verdicts": [
                    {"first_id": first, "second_id": second, **asdict(verdict)}
                    for (first, second), verdict in verdicts.items()
                ],
            }
            for model, verdicts in self.judges.items()
            if verdicts
        ]
        content = {"format": FORMAT, "people": self.people, "judge": self.judge, "judges": judges}
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_ratings(path: Path) -> Ratings:
    """The ratings kept in `path`; none where there is no such file.

    Raises:
        RequestError: the file is damaged, or of another version of this project.
    """
    if not path.exists():
        return Ratings()
    content = read_json(path)
    if content.get("format") not in (OF_ONE_JUDGE, FORMAT):
        raise RequestError(f"{path} has format {content.get('format')!r}, not {FORMAT}: move it away")
    try:
        return _ratings(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = error if isinstance(error, ValueError) else repr(error)
        raise RequestError(f"{path} is damaged ({what}): move it away, and fold the ratings in again") from None


class _Given(TypedDict):
    first_id: str
    second_id: str
    first: Scores
    second: Scores
    better: str


class _Judged(TypedDict):
    model: str
    verdicts: list[_Given]


class _Record(TypedDict):
    people: dict[str, dict[str, Scores]]
    judge: str
    judges: list[_Judged]


def _ratings(content: dict[str, Any]) -> Ratings:
    if content["format"] == OF_ONE_JUDGE:
        content |= {"judge": content["judge"]["model"], "judges": [content["judge"]]}
    record = conform(content, _Record)
    people = {
        rater: {answer: _checked(scores) for answer, scores in rated.items()}
        for rater, rated in record["people"].items()
    }
    judges = {
        judge["model"]: {(v["first_id"], v["second_id"]): verdict_of(v) for v in judge["verdicts"]}
        for judge in record["judges"]
    }
    return Ratings(people, record["judge"], judges)


def verdict_of(content: Any) -> Verdict:
    """The verdict in a parsed JSON value, with all scores of both answers.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    first, second = ({c: content[place][c] for c in CRITERIA} for place in ("first", "second"))
    if content["better"] not in OUTCOMES:
        raise ValueError(f"better is {content['better']!r}")
    return Verdict(_checked(first), _checked(second), content["better"])


def _checked(scores: Scores) -> Scores:
    for criterion, points in scores.items():
        if criterion not in CRITERIA or type(points) is not int or points not in POINTS:
            raise ValueError(f"{criterion} is {points!r}")
    return scores
