"""YAML as plain dictionaries, lists, texts and numbers: what is no YAML, or more than a configuration, is refused.

Whatever the locale says, a file is UTF-8. Nothing here grows with what a file claims to hold: it is measured as the
parser meets it, before anything is built.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from dem.errors import RequestError
from dem.given_text import unusable_character
from dem.reading import read_text

LARGEST_FILE = 1 << 20
"""Bytes; the largest configuration that makes sense is a hundredth of it."""
MOST_VALUES = 100_000
"""Values in one text, each alias counted as all that it stands for."""
DEEPEST = 40
"""Levels of lists and dictionaries in each other; a configuration has seven."""
LONGEST_NUMBER = 400
"""Digits of a whole number; Python would take seconds to read a very long one."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads plain values only, and refuses what YAML lets pass: a key that stands twice, tags."""

    yaml_implicit_resolvers: dict[str, list] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [
            key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and not key.tag.endswith("merge")
        ]
        twice, times = next(iter(Counter(keys).most_common(1)), ("", 0))
        if times > 1:
            raise _Mistake(f"the key {twice} stands twice (line {node.start_mark.line + 1} and on)")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > LONGEST_NUMBER:
            raise _Mistake(f"line {node.start_mark.line + 1} holds a number of {len(node.value):,} digits")
        return int(node.value.replace("_", ""))


class _Mistake(yaml.YAMLError):
    """What is wrong, as a clause of a line."""


_NUMBERS = {
    # 5e-5 is a number (YAML 1.1 wants 5.0e-5), and 010 is none: to YAML 1.1 it is 8, to YAML 1.2 it is 10.
    "int": re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"),
    "float": re.compile(
        r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
}
for _first, _resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
    _kept = [(tag, test) for tag, test in _resolvers if tag.rpartition(":")[2] in ("bool", "null", "merge")]
    _Loader.yaml_implicit_resolvers[_first] = _kept
for _kind, _test in _NUMBERS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _test, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_config(path: str) -> dict[Any, Any]:
    """What the YAML file at `path` holds.

    Raises:
        RequestError: it cannot be read, is no UTF-8, or holds something else than keys with values.
    """
    try:
        text = read_text(Path(path), LARGEST_FILE)
    except RequestError as mistake:
        raise RequestError(f"--config {mistake}") from None
    try:
        values = load_yaml(text)
    except ValueError as mistake:
        raise RequestError(f"{path}: {mistake}") from None
    if values is None:
        raise RequestError(f"{path} is empty")
    if not isinstance(values, dict):
        raise RequestError(f"{path} holds no settings: write each as a key with its value, such as base_model: FOLDER")
    return values


def load_yaml(text: str) -> Any:
    """The value that `text` stands for; None if it holds nothing.

    Raises:
        ValueError: it is no YAML, holds a character that no text should, is too large, or makes use of tags.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if mistake := unusable_character(line.removesuffix("\r").replace("\t", " ")):
            raise ValueError(f"line {number} holds {mistake}")
    try:
        _require_small(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader's subclass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1})" if mark else ""
        raise ValueError(f"not valid YAML{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _require_small(text: str) -> None:
    """Refuse a text that unfolds to more than a configuration holds, or has tags; it is read event by event."""
    sizes: dict[str, int] = {}
    open_now: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        if getattr(event, "tag", None):
            raise _Mistake(f"line {line} has the tag {event.tag}: leave tags out")
        if isinstance(event, yaml.CollectionStartEvent):
            open_now.append((event.anchor, 1))
            if len(open_now) > DEEPEST:
                raise _Mistake(f"line {line}: more than {DEEPEST} lists and dictionaries in each other")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_now.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_now):
                raise _Mistake(f"line {line}: *{event.anchor} stands within what it stands for")
            anchor, size = None, sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor:
            sizes[anchor] = size
        around, so_far = open_now[-1]
        open_now[-1] = (around, so_far + size)
        if so_far + size > MOST_VALUES:
            raise _Mistake(f"line {line}: more than {MOST_VALUES:,} values, aliases counted as what they stand for")
