"""From plain values, as YAML gives them, to the typed configuration, and every setting with what may stand there.

Pydantic compares the values with the types that dem/config.py writes down. What it finds becomes clauses that begin
with the dotted key and say in plain words what is allowed; its JSON schema of the types leads to every setting.
"""

from collections import defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from dem.config import Config
from dem.config_file import load_yaml
from dem.given_text import as_written, repeated

_SIDES = {
    "greater_than": ("exclusiveMinimum", "above {:,.10g}"),
    "greater_than_equal": ("minimum", "of {:,.10g} or more"),
    "less_than": ("exclusiveMaximum", "below {:,.10g}"),
    "less_than_equal": ("maximum", "of at most {:,.10g}"),
}
"""How pydantic calls a bound that is broken, how the schema calls it, and how a message does."""
_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list such as [a, b]",
    "object": "a dictionary such as {web: 0.5}",
}

ALIKE = 0.6
"""Likeness from which on another key may have been meant; difflib's own."""

Kind = dict[str, Any]
"""The JSON schema of what may stand somewhere: its type, bounds and default, and the lines under the field."""
Place = tuple[Any, ...]
"""Names in dictionaries and numbers in lists, on the way from the whole configuration to a value."""
_NAME = object()
"""In a place: not a value, but the name after it is what is wrong."""


class _WithAllDefaults(GenerateJsonSchema):
    """Of a default that is made anew each time, too."""

    def get_default_value(self, schema: Any) -> Any:
        """The default of one field, as pydantic asks for it."""
        return schema["default"] if "default" in schema else schema["default_factory"]()


@cache
def _adapter() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


@cache
def whole() -> Kind:
    """The kind of the whole configuration."""
    return _adapter().json_schema(schema_generator=_WithAllDefaults)


def alternatives(kind: Kind) -> list[Kind]:
    """What `kind` allows, one after the other; null among them where it is allowed."""
    allowed = kind.get("anyOf", [kind])
    return [whole()["$defs"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in allowed]


def _inner(kind: Kind, name: Any) -> Kind | None:
    for each in alternatives(kind):
        items = each.get("items") if isinstance(name, int) else None
        if inner := each.get("properties", {}).get(name) or items or each.get("additionalProperties"):
            return inner
    return None


def kind_at(place: Place) -> Kind | None:
    """The kind of what stands at `place`, which may lead into a dictionary; None if nothing can stand there."""
    kind: Kind | None = whole()
    for name in place:
        kind = _inner(kind, name) if kind and name != "" else None
    return kind


def settings_of(kind: Kind, prefix: str = "") -> Iterator[tuple[str, Kind]]:
    """The dotted key and the kind of every setting, those of a section after it."""
    for section in alternatives(kind):
        for name, inner in section.get("properties", {}).items():
            yield f"{prefix}{name}", inner
            yield from settings_of(inner, f"{prefix}{name}.")


def in_words(kind: Kind) -> str:
    """What a kind without alternatives allows, for people: a whole number of 1 or more and at most 100."""
    if "properties" in kind:
        return f"a dictionary with {', '.join(kind['properties'])}"
    if "enum" in kind:
        return _one_of(kind["enum"])
    if "$ref" in kind.get("items", {}):
        return "a list"
    base = kind.get("words") or kind.get("const") or _WORDS[kind["type"]]
    sides = [words.format(kind[name]) for name, words in _SIDES.values() if name in kind]
    return f"{base} {' and '.join(sides).replace('and of', 'and')}".strip()


def _one_of(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def validate(tree: dict[Any, Any]) -> tuple[Config | None, list[str], list[str]]:
    """The configuration that plain values stand for, or None; what is wrong with them; and what is missing."""
    try:
        return _adapter().validate_python(tree), [], []
    except ValidationError as failure:
        found: dict[Place, list] = defaultdict(list)
        for error in failure.errors(include_url=False):
            found[_place(error, tree)].append(error)
    # Where several types are allowed, the ones that were not meant find fault with the value as a whole.
    around = {place[:depth] for place in found for depth in range(len(place))}
    clauses: dict[bool, list[str]] = {True: [], False: []}
    for place, errors in found.items():
        if place not in around:
            clauses[errors[0]["type"] == "missing"].append(_clause(place, errors))
    return None, clauses[False], clauses[True]


def _place(error: Any, tree: Any) -> Place:
    """Where the mistake is. Pydantic's own place names the type that was tried, too, and turns names into texts."""
    kind, names, found = error["type"], error["loc"], [((), tree)]
    for name in names:
        place, value = found[-1]
        here = name in value if isinstance(value, dict) else isinstance(value, list) and isinstance(name, int)
        found.append(((*place, name), value[name]) if here else found[-1])
    if kind == "missing":
        return (*found[-1][0], names[-1])
    if kind == "invalid_key":
        return (*found[-2][0], as_written(error["input"]))
    if names[-1] == "[key]" and found[-1] is found[-2]:
        return (*found[-3][0], _NAME, error["input"])
    return found[-1][0]


def _dotted(place: Place) -> str:
    if place[-2:-1] == (_NAME,):
        return f"{_dotted(place[:-2])} has an entry whose name"
    return "".join(f"[{name}]" if isinstance(name, int) else f".{as_written(name)}" for name in place).lstrip(".")


def _clause(place: Place, errors: list) -> str:
    """What is wrong at `place`, by all that pydantic says of it; what may be secret is not repeated."""
    key, value, what = _dotted(place), errors[0]["input"], errors[0]["type"]
    if what == "missing":
        return f"{key} is required and missing"
    if what in ("unexpected_keyword_argument", "invalid_key"):
        around = alternatives(kind_at(place[:-1]))
        return unknown(key, [_dotted((*place[:-1], name)) for each in around for name in each.get("properties", ())])
    if value in (None, ""):
        return f"{key} is empty: fill it or leave it out"
    allowed = [each for each in alternatives(kind_at(place) or {"words": "a name"}) if each.get("type") != "null"]
    wanted = _one_of([in_words(each) for each in allowed])
    if place[:2] == ("evaluation", "judge"):
        return f"{key} is wrong: give {wanted}"
    own = _of_one_type(errors[0], value, allowed[0]) if len(allowed) == 1 else None
    return f"{key} {own or f'is {repeated(value)}: give {wanted}'}"


def _of_one_type(error: Any, value: Any, kind: Kind) -> str | None:
    """What is wrong with `value`, where more can be said than what a `kind` is."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "string_too_long":
        return f"has {len(value):,} characters: give at most {error['ctx']['max_length']:,}"
    if error["type"] == "string_type" and not isinstance(value, dict | list):
        return f"is {as_written(value)}, which is not a text: put it into quotes"
    if error["type"] in _SIDES and value == value:  # NaN is on neither side
        side = _SIDES[error["type"]][1].format(*error["ctx"].values())
        return f"is {repeated(value)}: give {_WORDS[kind['type']]} {side}"
    return None


RENAMED = {"hub_kernels": "write kernels: hub where it was true, and leave it out where it was false"}
"""Settings of earlier versions, and what to write in their place."""


def unknown(key: str, known: list[str]) -> str:
    """That there is no setting `key`, and which one may have been meant."""
    if key in RENAMED:
        return f"{key} is no setting any more: {RENAMED[key]}"
    like = max(known, key=lambda other: _likeness(key, other), default="")
    hint = f" (did you mean {like}?)" if _likeness(key, like) >= ALIKE else ""
    if key.startswith("evaluation.judge"):
        hint += " (a judge's key comes from the environment variable DEM_JUDGE_API_KEY)"
    return f"there is no setting {key}{hint}"


def _likeness(key: str, other: str) -> float:
    """How alike two dotted keys are, from 0 to 1, in the part in which they are least."""
    parts, others = key.lower().split("."), other.lower().split(".")
    if len(parts) != len(others):
        return 0.0
    return min(SequenceMatcher(None, *pair).ratio() for pair in zip(parts, others, strict=True))


def overlay(kind: Kind, below: Any, above: Any) -> Any:
    """`above` laid over `below`, section by section."""
    section = any("properties" in each for each in alternatives(kind))
    if not (isinstance(below, dict) and isinstance(above, dict) and section):
        return above
    return below | {name: overlay(_inner(kind, name) or {}, below.get(name), value) for name, value in above.items()}


def from_text(kind: Kind, text: str) -> Any:
    """What an option's `text` stands for: itself where a text is wanted (or null, where that is allowed), else YAML.

    Raises:
        ValueError: it is no YAML.
    """
    allowed = [each.get("type") if "enum" not in each else "enum" for each in alternatives(kind)]
    if set(allowed) <= {"string", "null"}:
        return None if "null" in allowed and text in ("null", "~") else text
    return load_yaml(text)
