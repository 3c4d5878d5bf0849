"""An option for every setting of the configuration, with its help."""

import argparse
import json
from dataclasses import MISSING, is_dataclass
from functools import cache
from typing import Any

from dem.config import Config
from dem.config_values import Setting, alternatives, in_words, settings_of


class SettingAction(argparse.Action):
    """Keeps the settings in the order in which they stand: pairs of the dotted key and the text."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """As argparse calls it for each option that it meets."""
        namespace.settings = [*namespace.settings, (self.dest, values)]


def add_settings(parser: argparse.ArgumentParser, with_help: bool) -> None:
    """An option for every setting of the configuration, at any depth; `with_help` explains them."""
    groups = {"": parser.add_argument_group("settings, which may stand in the config too")}
    for setting in settings_of(Config):
        top = setting.key.partition(".")[0]
        if is_dataclass(setting.kind):
            groups[top] = parser.add_argument_group(top, setting.kind.__doc__)
        groups.get(top, groups[""]).add_argument(
            f"--{setting.key}",
            dest=setting.key,
            action=SettingAction,
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=_help(setting) if with_help else None,
        )


def _help(setting: Setting) -> str:
    """What the lines under the field say, what it takes, and its default."""
    if is_dataclass(setting.kind):
        return "several of these at once, as {name: value, ...}"
    allowed = " or ".join(in_words(each) for each in alternatives(setting.kind))
    field = setting.field
    default = field.default if field.default_factory is MISSING else field.default_factory()
    shown = "required" if default is MISSING else f"default: {json.dumps(default, ensure_ascii=False)}"
    return f"{_descriptions(setting.section)[field.name]} ({allowed}; {shown})".replace("%", "%%")


@cache
def _descriptions(section: type) -> dict[str, str]:
    """The lines under each field of a dataclass."""
    from docstring_parser import parse_from_object  # takes the source apart, which only help needs

    return {field.arg_name: " ".join((field.description or "").split()) for field in parse_from_object(section).params}
