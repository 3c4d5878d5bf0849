"""A JSON value taken as what it should be: dataclasses, lists, numbers, each checked, the wrong one named."""

import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from dem.errors import RequestError
from dem.reading import read_json

WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}


def conform(value: Any, kind: Any, place: str = "") -> Any:
    """`value`, as `json` reads it, as a `kind`.

    A kind is str, bool, int, float (finite), None, Any, a Literal, a dataclass, a TypedDict (whose other keys are
    left as they are), a list, tuple or dict of kinds, or a union of them. A dataclass is built from an object with its
    fields and no others.

    Args:
        place: the value's name in the message.

    Raises:
        ValueError: names the place, what is there and what should be.
    """
    origin = get_origin(kind) or kind
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _one_of(value, get_args(kind), place)
    if is_dataclass(kind) or is_typeddict(kind):
        return _fields(value, kind, place)
    if origin in (dict, Mapping) and isinstance(value, dict):
        item = (get_args(kind) or (Any, Any))[1]
        return {key: conform(each, item, _below(place, key)) for key, each in value.items()}
    if origin in (list, tuple) and isinstance(value, list):
        return _sequence(value, origin, get_args(kind), place)
    if origin is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if origin is not float and origin in WORDS and type(value) is origin:
        return value
    if origin is Literal and value in get_args(kind):
        return value
    raise ValueError(f"{place or 'it'} is {_shown(value)}, not {_words(kind)}")


def _one_of(value: Any, kinds: tuple, place: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    for kind in kinds[:-1]:
        try:
            return conform(value, kind, place)
        except ValueError:
            continue
    return conform(value, kinds[-1], place)


def _fields(value: Any, kind: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{place or 'it'} is {_shown(value)}, not an object")
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
        if unknown := [key for key in value if key not in hints]:
            raise ValueError(f"{_below(place, unknown[0])} is unknown")
    else:
        needed = kind.__required_keys__
    if missing := [key for key in hints if key in needed and key not in value]:
        raise ValueError(f"{_below(place, missing[0])} is missing")
    found = {key: conform(each, hints.get(key, Any), _below(place, key)) for key, each in value.items()}
    return kind(**found)


def _sequence(value: list, origin: type, kinds: tuple, place: str) -> Any:
    if origin is tuple and kinds and kinds[-1] is not Ellipsis:
        if len(value) != len(kinds):
            raise ValueError(f"{place or 'it'} holds {len(value)} values, not {len(kinds)}")
        each_kind = kinds
    else:
        each_kind = (kinds[0] if kinds else Any,) * len(value)
    pairs = zip(value, each_kind, strict=True)
    return origin(conform(each, own, _below(place, number)) for number, (each, own) in enumerate(pairs))


def _below(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    return WORDS.get(kind) or ("a list" if (get_origin(kind) or kind) in (list, tuple) else "an object")


def read_as(path: Path, kind: Any, advice: str) -> Any:
    """The JSON object in `path` as a `kind`.

    Args:
        advice: what to do about a damaged file, as the end of the message.

    Raises:
        RequestError: the file cannot be read or holds something else.
    """
    content = read_json(path)
    try:
        return conform(content, kind)
    except ValueError as mistake:
        raise RequestError(f"{path} is damaged ({mistake}): {advice}") from None
