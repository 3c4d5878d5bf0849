"""What was measured of each model, kept on disk part by part, so that a run that was cut off goes on from there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xxhash

from dem.atomic import write_text
from dem.common import log, read_json
from dem.errors import RequestError
from dem.evaluation.timing import count_kept

FORMAT = 1


class Evaluated:
    """The measured parts of one model, in one file.

    All of them are of one `key`: the model by its content, and whatever else any number depends on. Each part has a
    key of its own, such as the documents it was measured on. What has another key is not used.
    """

    def __init__(self, path: Path, key: dict[str, Any]):
        """Take up what the file at `path` holds of this key; a line in the log says if it is of no use."""
        self._path, self._key = path, _plain(key)
        self._parts: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._take_up()

    def _take_up(self) -> None:
        try:
            content = read_json(self._path)
            stored, parts = content["key"], content["parts"]
            if content["format"] != FORMAT or not isinstance(stored, dict):
                raise ValueError("it is of another version")
            if not all({"key", "seconds", "value"} <= set(part) for part in parts.values()):
                raise ValueError("a part is not whole")
            if content.get("hash", _hash(parts)) != _hash(parts):
                raise ValueError("it is not what was written")
        except (RequestError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.info(f"evaluation: {self._path} is damaged and not used ({error})")
            return
        if other := [name for name in self._key | stored if self._key.get(name) != stored.get(name)]:
            log.info(f"evaluation: {self._path} is not used: since then {', '.join(other)} changed")
        else:
            self._parts = parts

    def get(self, part: str, key: dict[str, Any], fits: Callable[[Any], bool]) -> Any:
        """The value of a part, or None where there is none of this key or it does not fit."""
        found = self._parts.get(part)
        if found is None or found["key"] != _plain(key):
            return None
        if not (isinstance(found["seconds"], (int, float)) and fits(found["value"])):
            log.info(f"evaluation: {self._path} is damaged and not used ({part} is not what it should be)")
            return None
        count_kept(found["seconds"])
        return found["value"]

    def put(self, part: str, key: dict[str, Any], value: Any, seconds: float) -> None:
        """Keep a part that took `seconds` to measure; the file is written whole."""
        self._parts[part] = {"key": key, "seconds": round(seconds, 3), "value": value}
        content = {"format": FORMAT, "key": self._key, "hash": _hash(self._parts), "parts": self._parts}
        write_text(self._path, json.dumps(content, ensure_ascii=False) + "\n")

    def seconds(self, parts: list[str]) -> float:
        """How long these parts took together."""
        return sum(self._parts[part]["seconds"] for part in parts)


def _hash(parts: dict[str, Any]) -> str:
    """128 bits, hexadecimal, of what the parts are of and say, as JSON tells it; not of how long they took."""
    said = {name: [part["key"], part["value"]] for name, part in parts.items()}
    return xxhash.xxh3_128(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))
