"""Paths that somebody gave, as absolute ones; what is none on this machine is refused."""

import os
import re

from dem.given_text import repeated, unusable_character

LONGEST_PATH, LONGEST_NAME = 4000, 255
"""Bytes of a path and of each name in it, by what Linux takes."""


def local_path(value: str, folder: str) -> str:
    """The absolute path that `value` names from `folder`.

    Raises:
        ValueError: it names none on this machine, as a clause that follows the name of what was asked for.
    """
    if not value:
        raise ValueError("is empty: give a path")
    if mistake := unusable_character(value):
        raise ValueError(f"holds {mistake}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", value):
        raise ValueError(
            f"is {_without_login(value)}, not a local path: copy it to this machine and name its place here"
        )
    path = os.path.abspath(os.path.join(folder, os.path.expanduser(value)))
    encoded = os.fsencode(path)
    if len(encoded) > LONGEST_PATH or max(map(len, encoded.split(os.fsencode(os.sep)))) > LONGEST_NAME:
        raise ValueError(f"is {repeated(value)}, too long for a path")
    if mistake := unusable_character(path):
        raise ValueError(f"is {repeated(value)}, in a folder whose name holds {mistake}: rename the folder")
    return path


def _without_login(address: str) -> str:
    return repeated(re.sub(r"//[^/@]*@", "//", address.partition("?")[0])).strip("'\"")


def model_source(value: str, folder: str) -> str:
    """The absolute path of the model folder that `value` names from `folder`, or `value` as a name on the hub.

    Raises:
        ValueError: as local_path.
    """
    path = local_path(value, folder)
    hub_name = re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", value)
    return value if hub_name and not os.path.exists(path) else path
