"""From plain values, as YAML gives them, to the typed configuration, by the types that dem/config.py writes down.

A mistake is a clause that begins with the dotted key and says in plain words what is allowed; all are collected.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from dem.config_file import load_yaml
from dem.config_types import Bounds, FilePath, ModelSource, Pattern
from dem.given_text import as_written, repeated, unusable_character
from dem.local_paths import LONGEST_NAME, local_path, model_source

LONGEST_PATTERN = 10_000
"""Characters of a regular expression; of any other text as many as a name of a file."""
_NUMBER = {int: "a whole number", float: "a number"}
_EMPTY = "is empty: fill it or leave it out"
_TEXTS = (str, FilePath, ModelSource)


@cache
def kinds_of(section: type) -> dict[str, Any]:
    """The type of each field of a dataclass."""
    return get_type_hints(section, include_extras=True)


def alternatives(kind: Any) -> tuple:
    """The types that `kind` allows, one after the other; NoneType among them where null is allowed."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def section_of(kind: Any) -> type | None:
    """The dataclass that `kind` is, or may be."""
    return next((each for each in alternatives(kind) if is_dataclass(each)), None)


@dataclass(frozen=True)
class Setting:
    """One field of the configuration, or a section of it."""

    key: str
    """Its dotted name."""
    section: type
    """The dataclass it is a field of."""
    field: Field
    kind: Any
    """Its type, marks included."""


def settings_of(section: type, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a dataclass, those of a section after it."""
    for field in fields(section):
        setting = Setting(f"{prefix}{field.name}", section, field, kinds_of(section)[field.name])
        yield setting
        if inner := section_of(setting.kind):
            yield from settings_of(inner, f"{setting.key}.")


def in_words(kind: Any) -> str:
    """What `kind` allows, for people: a whole number of 1 or more and at most 100."""
    base, mark = _split(kind)
    if is_dataclass(kind):
        return f"a dictionary with {', '.join(field.name for field in fields(kind))}"
    if get_origin(base) is Literal:
        return _one_of([str(value) for value in get_args(base)])
    if get_origin(base) is list:
        return "a list" + ("" if is_dataclass(get_args(base)[0]) else " such as [a, b]")
    if get_origin(base) is dict:
        return "a dictionary such as {web: 0.5}"
    if base in (int, float):
        return f"{_NUMBER[base]} {mark}"
    words = {
        bool: "true or false",
        NoneType: "null",
        FilePath: "the path of a file",
        ModelSource: "a model folder or a name on the hub",
    }
    return words.get(base, "a regular expression" if mark is Pattern else "a text")


def _one_of(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _split(kind: Any) -> tuple[Any, Any]:
    """The type without its mark, and the mark (its Bounds, or Pattern)."""
    return get_args(kind)[:2] if get_origin(kind) is Annotated else (kind, None)


class Reader:
    """Reads plain values as values of the types asked for; paths are relative to `folder`.

    What is wrong lands in `mistakes` and is left out of what comes back.
    """

    def __init__(self, folder: str):
        self.mistakes: list[str] = []
        self._folder = folder

    def read(self, kind: Any, value: Any, key: str) -> Any:
        """`value`, which stands at `key`, as a `kind`; of a dataclass a dictionary of what is there, at any depth."""
        allowed = alternatives(kind)
        if value is None:
            if NoneType not in allowed:
                self._wrong(key, _EMPTY)
            return None
        for each in allowed:
            if isinstance(value, dict) and is_dataclass(each):
                return self._section(each, value, key)
            if isinstance(value, dict) and get_origin(each) is dict:
                return self._entries(get_args(each)[1], value, key)
            if isinstance(value, list) and get_origin(each) is list:
                return [self.read(get_args(each)[0], one, f"{key}[{i}]") for i, one in enumerate(value)]
        problem = None
        for each in allowed:
            try:
                return self._single(each, value)
            except ValueError as mistake:
                problem = problem or str(mistake)
        wanted = _one_of([in_words(each) for each in allowed if each is not NoneType])
        self._wrong(key, problem or f"is {repeated(value)}: give {wanted}", f"is wrong: give {wanted}")
        return None

    def _wrong(self, key: str, clause: str, without_value: str | None = None) -> None:
        # A key that does not belong there may stand in the judge's section.
        secret = key.startswith("evaluation.judge") and without_value and clause != _EMPTY
        self.mistakes.append(f"{key} {without_value if secret else clause}")

    def _section(self, section: type, values: dict, key: str) -> dict[str, Any]:
        kinds = kinds_of(section)
        prefix = f"{key}." if key else ""
        for name in values:
            if name not in kinds:
                self.mistakes.append(unknown(f"{prefix}{as_written(name)}", [f"{prefix}{known}" for known in kinds]))
        return {
            name: self.read(kinds[name], value, f"{prefix}{name}") for name, value in values.items() if name in kinds
        }

    def _entries(self, kind: Any, values: dict, key: str) -> dict[str, Any]:
        read = {}
        for name, value in values.items():
            if name is None or name == "":
                self._wrong(key, "has an entry without a name")
            elif not isinstance(name, str):
                self._wrong(f"{key}.{as_written(name)}", "is not a name: put it into quotes")
            elif mistake := unusable_character(name):
                self._wrong(key, f"has an entry whose name holds {mistake}")
            elif len(name) > LONGEST_NAME:
                self._wrong(key, f"has an entry of {len(name):,} characters: names have at most {LONGEST_NAME}")
            else:
                inner = f"{key}.{name}" if get_origin(kind) is dict else f"{key}: {name}"
                read[name] = self.read(kind, value, inner)
        return read

    def _single(self, kind: Any, value: Any) -> Any:
        """The value as a `kind` that holds no others.

        Raises:
            ValueError: it is none. The message is the clause that says why, or empty where the allowed ones say enough.
        """
        base, mark = _split(kind)
        if base is bool or get_origin(base) is Literal:
            if isinstance(value, bool if base is bool else str) and (base is bool or value in get_args(base)):
                return value
        elif base in (int, float):
            return _number(base, mark, value)
        elif base in _TEXTS:
            return self._text(base, mark, value)
        raise ValueError

    def _text(self, base: Any, mark: Any, value: Any) -> str:
        if isinstance(value, dict | list):
            raise ValueError
        if not isinstance(value, str):
            raise ValueError(f"is {as_written(value)}, which is not a text: put it into quotes")
        if not value:
            raise ValueError(_EMPTY)
        if mistake := unusable_character(value):
            raise ValueError(f"holds {mistake}")
        if base is FilePath:
            return local_path(value, self._folder)
        if base is ModelSource:
            return model_source(value, self._folder)
        longest = LONGEST_PATTERN if mark is Pattern else LONGEST_NAME
        if len(value) > longest:
            raise ValueError(f"has {len(value):,} characters: give at most {longest:,}")
        return _pattern(value) if mark is Pattern else value


def unknown(key: str, known: list[str]) -> str:
    """That there is no setting `key`, and which one may have been meant."""
    like = get_close_matches(key, [each for each in known if each.count(".") == key.count(".")], 1)
    hint = f" (did you mean {like[0]}?)" if like else ""
    if key.startswith("evaluation.judge"):
        hint += " (a judge's key comes from the environment variable DEM_JUDGE_API_KEY)"
    return f"there is no setting {key}{hint}"


def _number(base: type, bounds: Bounds, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    if not bounds.hold(value):
        raise ValueError(f"is {repeated(value)}: give {_NUMBER[base]} {bounds.broken_by(value)}")
    if base is int and value != math.floor(value):
        raise ValueError
    return base(value)


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{repeated(value)} is not a regular expression: {error or 'it is too deep'}") from None
    return value


def overlay(kind: Any, below: Any, above: Any, entries: bool = False) -> Any:
    """`above` laid over `below`: section by section, or with `entries` also dictionary by dictionary."""
    section = section_of(kind)
    if not (isinstance(below, dict) and isinstance(above, dict)) or not (section or entries):
        return above
    kinds = kinds_of(section) if section else {}
    return below | {name: overlay(kinds.get(name), below.get(name), value, entries) for name, value in above.items()}


def build(kind: Any, value: Any, key: str, mistakes: list[str]) -> Any:
    """The dataclass `kind` from what a Reader gave; what is required and missing lands in `mistakes`."""
    if isinstance(value, list):
        inner = next((get_args(each)[0] for each in alternatives(kind) if get_origin(each) is list), None)
        return [build(inner, one, f"{key}[{i}]", mistakes) for i, one in enumerate(value)]
    section = section_of(kind)
    if not (section and isinstance(value, dict)):
        return value
    prefix = f"{key}." if key else ""
    kinds = kinds_of(section)
    required = [field.name for field in fields(section) if field.default is field.default_factory is MISSING]
    mistakes += [f"{prefix}{name} is required and missing" for name in required if name not in value]
    if any(name not in value for name in required):
        return None
    return section(**{name: build(kinds[name], one, f"{prefix}{name}", mistakes) for name, one in value.items()})


def kind_at(section: type, key: str) -> Any:
    """The type of what stands at the dotted `key`, which may lead into a dictionary; None if there is no such key."""
    kind: Any = section
    for name in key.split("."):
        inner = section_of(kind)
        entry = next((get_args(each)[1] for each in alternatives(kind) if get_origin(each) is dict), None)
        kind = kinds_of(inner).get(name) if inner else entry if name else None
        if kind is None:
            return None
    return kind


def from_text(kind: Any, text: str) -> Any:
    """What an option's `text` stands for: itself where a text is wanted (or null, where that is allowed), else YAML.

    Raises:
        ValueError: it is no YAML.
    """
    allowed = alternatives(kind)
    if all(_split(each)[0] in (*_TEXTS, NoneType) for each in allowed):
        return None if NoneType in allowed and text in ("null", "~") else text
    return load_yaml(text)
