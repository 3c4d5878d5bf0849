"""Texts and values that somebody gave: what none of them may hold, and how a message repeats them."""

import unicodedata
from typing import Any

LONGEST_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


def unusable_character(text: str) -> str | None:
    """What stands in `text` that no name, path or pattern holds: a control character, half a character, a BOM."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") or character == "\ufeff":
            names = {"\x00": "a NUL", "\ufeff": "a byte order mark (BOM)"}
            what = names.get(character, "half a character" if character >= "\ud800" else "a control character")
            return f"{what} (U+{ord(character):04X})"
    return None


def as_written(value: Any) -> str:
    """A key or value as YAML writes it, in short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repeated(value).strip("'\"") if str(value).strip() else repeated(value)


def repeated(value: Any) -> str:
    """A value as a message repeats it: short, and without what a terminal would act on."""
    if value is None or isinstance(value, bool):
        return as_written(value)
    if isinstance(value, dict | list):
        return f"a {'dictionary' if isinstance(value, dict) else 'list'} of {len(value):,}"
    text = ascii(value) if isinstance(value, str) and unusable_character(value) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
