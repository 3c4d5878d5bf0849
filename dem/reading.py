"""Files that may be anything, read in one guarded way: what cannot be read is a RequestError of one line.

Of each kind of file that the stages read there is one function, here or, where it takes a library, in `tensor_files`,
`parquet` and `model_folder`.
"""

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dem.errors import RequestError, WorkError

LARGEST_TEXT = 1 << 30
"""Bytes of a text file that is read whole; a tokenizer of 256,000 words has 32 MiB."""

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
"""How JSON writes half of a surrogate pair, which alone is no text."""


def require_file(path: Path) -> None:
    """Refuse what is no file: it may be missing, a folder, a link to nowhere, or something that is waited on for ever.

    Raises:
        RequestError: says what is there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a name with NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        if path.is_symlink():
            reason += ", where the link leads"
        raise RequestError(f"{path} cannot be read: {reason}") from None
    if not stat.S_ISREG(mode):
        raise RequestError(f"{path} cannot be read: it is {KINDS.get(stat.S_IFMT(mode), 'no file')}, not a file")


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The content of a file that is small enough to be held.

    Raises:
        RequestError: it cannot be read, or has more than `largest` bytes.
    """
    require_file(path)
    try:
        if (size := path.stat().st_size) > largest:
            raise RequestError(f"{path} cannot be read: {size / 2**20:,.1f} MiB are too much for a file of its kind")
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from None


def read_text(path: Path, largest: int = LARGEST_TEXT) -> str:
    """The text in a UTF-8 file of at most so many bytes, without the mark that some programs put at its beginning.

    Raises:
        RequestError: it cannot be read or is not UTF-8; the message has the line.
    """
    content = read_bytes(path, largest)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RequestError(f"{path} cannot be read: line {line} is not UTF-8{_seems(content)}") from None


def _seems(content: bytes) -> str:
    """What encoding it may be in, and what to do."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return " but seems to be UTF-16: save it as UTF-8 (iconv -f utf-16 -t utf-8)"
    try:
        korean = any("가" <= character <= "힣" for character in content.decode("cp949"))
    except UnicodeDecodeError:
        korean = False
    if not korean:
        return ": is it a text file?"
    return " but seems to be EUC-KR (CP949): save it as UTF-8 (iconv -f cp949 -t utf-8)"


def parse_json(text: str) -> Any:
    """The value that `text` says.

    Raises:
        ValueError: it is not JSON or nested too deeply, or a key stands twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_unicode(text: str) -> bool:
    """Whether the text is free of halves of surrogate pairs, which JSON can write and nothing can read."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return found


def read_json(path: Path) -> dict:
    """The JSON object in `path`.

    Raises:
        RequestError: the file is not there or not a JSON object.
    """
    text = read_text(path)
    try:
        value = parse_json(text)
        if HALF_PAIR.search(text) and not is_unicode(json.dumps(value, ensure_ascii=False)):
            raise ValueError("it holds half of a surrogate pair, which is no text")
    except ValueError as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise RequestError(f"{path} is not a JSON object")
    return value


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The values in a file with one JSON value a line, each with the number of its line; empty lines are left out.

    Raises:
        RequestError: the file cannot be read, or a line is not JSON.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):  # not splitlines: a text may hold U+2028
        if line.strip():
            try:
                yield number, parse_json(line)
            except ValueError as error:
                raise RequestError(f"{path}, line {number} is not JSON: {error}") from None


@contextmanager
def damage_named(what: str) -> Iterator[None]:
    """While it lasts, whatever a library raises is told as `what` and the first line of the library's own reason.

    For libraries that read files and document no set of exceptions for damaged ones.

    Raises:
        RequestError: in place of the library's error.
    """
    try:
        yield
    except (RequestError, WorkError):
        raise
    except Exception as error:
        raise RequestError(f"{what}: {first_line(error)}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a library in Rust, whose class cannot be imported
            raise
        raise RequestError(f"{what}: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
