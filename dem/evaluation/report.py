"""What was measured of the models; and any text as Markdown that shows it as it is."""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dem.evaluation.scores import Scores

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
TEXT_METRICS = ("bleu", "chrf", *ROUGE_TYPES)


@dataclass
class ModelResult:
    """What was measured of one model: its scores of each domain's test split, its answers, the metrics of those."""

    name: str
    scores: dict[str, Scores] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    text_metrics: dict[str, Any] = field(default_factory=dict)
    harness: dict[str, Any] = field(default_factory=dict)
    """By task (see dem/evaluation/harness.py); empty where none was asked for or none can run."""
    seconds: float = 0.0
    """Spent on the documents, the prompts and the harness."""


def link(target: Path, words: str) -> str:
    """Markdown for a file beside the report."""
    return f"[{words}]({target.name})"


def captioned(picture: Path, what: str, caption: str) -> list[str]:
    """The lines of a picture beside the report with its caption, if it was drawn."""
    return [f"![{what}]({picture.name})", "", f"*{caption}*", ""] if picture.is_file() else []


_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#+!|~&$@^]|:(?=//|\w)|(?<=www)\.", re.IGNORECASE)
JOINERS = "\u200c\u200d"
"""Format characters that belong to the writing of words and emoji."""


def as_text(text: str) -> str:
    """`text` on one line and shown as it is: what could act as Markdown, HTML or a link stands as HTML entities.

    What would be invisible and act on the text around it or on a terminal (control characters, those that turn the
    direction of writing, lone surrogates) is shown by its number, such as ⟨U+202E⟩.
    """
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    return "<br>".join("".join(map(_visible, _MARKDOWN.sub(_entity, line))) for line in lines)


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _visible(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs") and character not in JOINERS
    return f"⟨U+{ord(character):04X}⟩" if hidden else character
