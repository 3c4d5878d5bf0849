"""What a script is asked to do: defaults, then YAML, then the command line.

Nothing heavy is imported here, so that `--help` and a mistyped key answer at once.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from dem.command_settings import SettingAction, add_settings
from dem.config import SHIPPED_PROMPTS, Config, default_weights
from dem.config_checks import mistakes_in
from dem.config_file import read_config
from dem.config_types import given_in
from dem.config_values import from_text, kind_at, overlay, settings_of, unknown, validate, whole
from dem.errors import RequestError
from dem.given_text import as_written, unusable_character
from dem.layout import Layout
from dem.local_paths import local_path

MISTAKES_SHOWN = 8
"""Of those in a request; what else is wrong is counted."""


@dataclass
class Request:
    """A parsed command line: the configuration, the folders, and the options that are one stage's own."""

    config: Config
    layout: Layout
    domain: str | None
    """Of stages 1 and 2; ALL_DOMAINS in stage 2, and in a dry run of stage 1."""
    overwrite: bool = False
    """Of stage 1."""
    model: str | None = None
    """Of stage 2."""
    dry_run: bool = False
    """Whether to check and say everything that can be known before the work, and stop there."""
    ratings: str | None = None
    """Of stage 3: the file, "" where none is named, None without the option."""
    prompts: Path | None = None
    """The file to read prompts from: evaluation.prompts, or where it is not given and not there the shipped one."""
    notes: list[str] = field(default_factory=list)
    """What was chosen where nothing was given, for the log of stage 3."""


def parse_request(
    description: str,
    argv: list[str] | None = None,
    *,
    stage: int,
) -> Request:
    """Parse `argv` (default: the process's own) for stage 1, 2 or 3; `--help` prints and leaves.

    Raises:
        RequestError: an option, a key or a value is wrong; the message names it and the file it stands in.
    """
    argv = sys.argv[1:] if argv is None else argv
    if mistake := next(filter(None, map(unusable_character, argv)), None):
        raise RequestError(f"the command line holds {mistake}: give options and paths in UTF-8")
    try:
        os.getcwd()
    except FileNotFoundError:
        raise RequestError("the current directory does not exist any more: change into one that does") from None
    options = _options(description, stage, argv)
    own = {name: getattr(options, name) for name in STAGE_OPTIONS[stage]}
    _require_paths(options, own)
    mistakes: list[str] = []
    given = _read_files(options.config, mistakes)
    given, notes = _read_settings(given, options.settings, mistakes)
    config, wrong, missing = validate(given)
    if missing and not options.config:
        missing[-1] += ": give --config FILE"
    _refuse((mistakes + missing) or wrong)
    domain = own.pop("domain", None)
    if domain == ALL_DOMAINS and stage == 1 and not own["dry_run"]:
        raise RequestError(
            f"--domain {ALL_DOMAINS} is for --dry-run: stage 1 trains one domain at a time; name one of "
            f"{', '.join(config.domains)}"
        )
    asked = None if domain == ALL_DOMAINS else domain
    _refuse(mistakes_in(config, asked, mixtures=stage == 1))
    prompts = _prompts(config, options.config, "prompts" in given.get("evaluation", {}), notes)
    return Request(config, Layout(Path(options.root).absolute()), domain, **own, prompts=prompts, notes=notes)


def _refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise RequestError(_in_short(mistakes))


def _in_short(mistakes: list[str]) -> str:
    shown = mistakes[:MISTAKES_SHOWN]
    return "; ".join([*shown, f"and {len(mistakes) - len(shown)} more"] if len(mistakes) > len(shown) else shown)


ALL_DOMAINS = "all"
"""What --domain says for every domain of the config."""

_DRY_RUN = {"action": "store_true", "help": "check the inputs, say what would be read, written and needed, and stop"}

STAGE_OPTIONS: dict[int, dict[str, dict[str, Any]]] = {
    1: {
        "domain": {
            "required": True,
            "help": f"one of the config's domains, or of data.mixtures; with --dry-run also {ALL_DOMAINS}",
        },
        "overwrite": {"action": "store_true", "help": "do it again although it has been done"},
        "dry_run": _DRY_RUN,
    },
    2: {
        "domain": {"required": True, "help": f"one of the config's domains, or {ALL_DOMAINS}"},
        "model": {
            "metavar": "FOLDER",
            "help": "folder of a fully fine-tuned model, in place of the domain's adapter",
        },
        "dry_run": _DRY_RUN,
    },
    3: {
        "dry_run": _DRY_RUN,
        "ratings": {
            "metavar": "FILE",
            "nargs": "?",
            "const": "",
            "help": "merge nothing: take FILE's ratings of the last evaluation's answers (without FILE: ask the judge) "
            "and write the report anew",
        },
    },
}
"""The options of each stage beside the configuration, as argparse takes them."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong by a RequestError."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(message.removeprefix("argument "))


def _options(description: str, stage: int, argv: Sequence[str]) -> argparse.Namespace:
    """The stage's own options, the config files, and `settings`: the keys that are set, in order, with their texts."""
    parser = _Parser(
        usage="%(prog)s --config FILE [option ...]",
        description=description,
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", action="append", default=[], help="YAML file; options override it")
    parser.add_argument(
        "--root", metavar="FOLDER", default=".", help="holds the layout (parquet_ready/, checkpoints/, ...)"
    )
    for name, settings in STAGE_OPTIONS[stage].items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    add_settings(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    named = dict.fromkeys(argument.partition("=")[0] for argument in argv if argument.startswith("--"))
    for option in named:  # an entry of a dictionary, such as --merge.weights.web
        if option not in known and kind_at(tuple(option[2:].split("."))):
            parser.add_argument(option, dest=option[2:], action=SettingAction)
    parser.set_defaults(settings=[])
    parser._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")  # -1e-3 is one as well
    options, left = parser.parse_known_args(argv)
    if left:  # without their values, which may be secret
        wrong = [argument.partition("=")[0] for argument in left if argument.startswith("-")]
        keys = [option.removeprefix("--") for option in known if option != "-h"]
        raise RequestError(
            _in_short([f"{as_written(option)}: {unknown(as_written(option.lstrip('-')), keys)}" for option in wrong])
            or f"{len(left)} words on the command line belong to no option: options begin with --, a list is written "
            "[a, b], and a value with blanks stands in quotes"
        )
    return options


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of a script's opening text."""


def _require_paths(options: argparse.Namespace, own: dict[str, Any]) -> None:
    """Refuse an option whose path is none on this machine; make that of --model absolute."""
    paths = [("--root", options.root), ("--model", own.get("model")), ("--ratings", own.get("ratings") or None)]
    paths += [("--config", path) for path in options.config]
    mistakes = []
    for option, path in paths:
        if path is None:
            continue
        try:
            absolute = local_path(path, os.getcwd())
        except ValueError as mistake:
            mistakes.append(f"{option} {mistake}")
            continue
        if option == "--model":
            own["model"] = absolute
        if option == "--root" and os.path.exists(absolute) and not os.path.isdir(absolute):
            mistakes.append(f"--root {path} is not a folder")
    _refuse(mistakes)


def _read_files(paths: list[str], mistakes: list[str]) -> dict[str, Any]:
    """What the config files say together, the later ones over the earlier."""
    given: dict[str, Any] = {}
    for path in paths:
        tree = given_in(os.path.dirname(os.path.abspath(path)), read_config(path))
        _, wrong, _ = validate(tree)
        if wrong:
            mistakes.append(f"{path}: {_in_short(wrong)}")
        given = overlay(whole(), given, tree)
    return given


def _read_settings(
    given: dict[str, Any], settings: list[tuple[str, str]], mistakes: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """What was `given` with the command line's settings over it, and what to say of the weights if nobody gave any.

    Entries of a dictionary come last, so that one of the default weights can be changed.
    """
    fields = {key for key, _ in settings_of(whole())}
    for key, text in settings:
        if key in fields:
            given = overlay(whole(), given, _tree(key, _read_setting(key, text, mistakes)))
    given, notes = (given, []) if mistakes else _with_weights(given)
    for key, text in settings:
        if key not in fields:
            given = _with_entry(given, key.split("."), _read_setting(key, text, mistakes))
    return given, notes


def _read_setting(key: str, text: str, mistakes: list[str]) -> Any:
    """The plain value that an option's `text` stands for."""
    try:
        value = given_in(os.getcwd(), from_text(kind_at(tuple(key.split("."))), text))
    except ValueError as mistake:
        mistakes.append(f"--{key}: {mistake}")
        return None
    _, wrong, _ = validate(_tree(key, value))
    mistakes += [f"--{each}" if each.startswith(key) else f"--{key}: {each}" for each in wrong]
    return value


def _tree(key: str, value: Any) -> dict[str, Any]:
    """The tree of plain values that holds only this one."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def _with_entry(tree: dict[str, Any], place: list[str], value: Any) -> dict[str, Any]:
    """The tree with `value` at `place`, in the place of whatever stands there."""
    name, *further = place
    below = tree.get(name)
    if further:
        value = _with_entry(below if isinstance(below, dict) else {}, further, value)
    return {**tree, name: value}


def _with_weights(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What was given, with default weights where it has none, and the line that says so."""
    merge = given.get("merge") or {}
    if "weights" in merge:
        return given, []
    domains = given.get("domains") or list(default_weights(None))
    weights = default_weights(domains)
    why = "the plan's" if weights == default_weights(None) else "equal ones, since the domains are not the plan's"
    note = f"merge.weights is not given: {why}"
    return given | {"merge": merge | {"weights": weights}}, [note]


def _prompts(config: Config, paths: list[str], given: bool, notes: list[str]) -> Path:
    """The file to read prompts from: the one `given`, the default beside the last config file, or the shipped one."""
    if given:
        return Path(config.evaluation.prompts)
    folder = os.path.dirname(os.path.abspath(paths[-1])) if paths else os.getcwd()
    beside = os.path.join(folder, config.evaluation.prompts)
    config.evaluation.prompts = beside
    if os.path.lexists(beside):
        return Path(beside)
    if config.evaluation.enabled:
        notes.append(f"evaluation.prompts is not given and {beside} does not exist: the shipped prompts serve")
    return SHIPPED_PROMPTS
