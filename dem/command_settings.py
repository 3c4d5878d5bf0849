"""An option for every setting of the configuration, with its help."""

import argparse
import json
from typing import Any

from dem.config_values import Kind, alternatives, in_words, settings_of, whole


class SettingAction(argparse.Action):
    """Keeps the settings in the order in which they stand: pairs of the dotted key and the text."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """As argparse calls it for each option that it meets."""
        namespace.settings = [*namespace.settings, (self.dest, values)]


def add_settings(parser: argparse.ArgumentParser) -> None:
    """An option for every setting of the configuration, at any depth, with its explanation."""
    groups = {"": parser.add_argument_group("settings, which may stand in the config too")}
    for key, kind in settings_of(whole()):
        top = key.partition(".")[0]
        if "$ref" in kind:
            groups[top] = parser.add_argument_group(top, alternatives(kind)[0]["description"])
        groups.get(top, groups[""]).add_argument(
            f"--{key}", dest=key, action=SettingAction, default=argparse.SUPPRESS, metavar="VALUE", help=_help(kind)
        )


def _help(kind: Kind) -> str:
    """What the lines under the field say, what it takes, and its default."""
    if "$ref" in kind:
        return "several of these at once, as {name: value, ...}"
    allowed = " or ".join(in_words(each) for each in alternatives(kind))
    shown = f"default: {json.dumps(kind['default'], ensure_ascii=False)}" if "default" in kind else "required"
    return f"{' '.join(kind['description'].split())} ({allowed}; {shown})".replace("%", "%%")
