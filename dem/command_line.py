"""What a script is asked to do: defaults, then YAML, then the command line.

Nothing heavy is imported here, so that `--help` and a mistyped key answer at once.
"""

import os
import re
import sys
from argparse import RawDescriptionHelpFormatter
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from dem.config import Config, FilePath
from dem.config_checks import mistakes_in
from dem.errors import RequestError
from dem.layout import Layout


@dataclass
class Request:
    """A parsed command line: the configuration, the folders, and the options that are one stage's own."""

    config: Config
    layout: Layout
    domain: str | None
    """Of stages 1 and 2; ALL_DOMAINS in stage 2, and in a dry run of stage 1."""
    overwrite: bool = False
    """Of stage 1."""
    model: FilePath | None = None
    """Of stage 2."""
    dry_run: bool = False
    """Whether to check and say everything that can be known before the work, and stop there."""
    ratings: str | None = None
    """Of stage 3: the file, "" where none is named, None without the option."""


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
    parser = _parser(description, stage)
    try:
        values = parser.parse_args(argv)
    except (ArgumentError, OSError, UnicodeDecodeError) as error:
        raise RequestError(_explain(parser, argv, error)) from None
    for path in values.config or []:
        _refuse_duplicate_keys(path.absolute)
    if empty := [f.name for f in fields(Config) if values.get(f.name) is None]:
        raise RequestError(f"{', '.join(empty)}: nothing stands below it; fill it or leave it out")
    built = parser.instantiate(values)
    config = _plain(Config(**{f.name: built[f.name] for f in fields(Config)}))
    if not os.path.isabs(config.evaluation.prompts):  # the default, which stands in no file
        folder = os.path.dirname(values.config[-1].absolute) if values.config else os.getcwd()
        config.evaluation.prompts = os.path.join(folder, config.evaluation.prompts)
    own = {name: getattr(values, name) for name in STAGE_OPTIONS[stage]}
    domain = own.pop("domain", None)
    if domain == ALL_DOMAINS and stage == 1 and not own["dry_run"]:
        raise RequestError(
            f"--domain {ALL_DOMAINS} is for --dry-run: stage 1 trains one domain at a time; name one of "
            f"{', '.join(config.domains)}"
        )
    asked = None if domain == ALL_DOMAINS else domain
    if mistakes := mistakes_in(config, asked, mixtures=stage == 1):
        raise RequestError("; ".join(mistakes))
    return Request(config, Layout(Path(values.root).absolute()), domain, **own)


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
            "type": FilePath,
            "default": None,
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


def _parser(description: str, stage: int) -> ArgumentParser:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the lines under the fields are their help
    parser = ArgumentParser(
        description=description,
        exit_on_error=False,
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file; later options override its values")
    parser.add_argument("--root", default=".", help="folder that holds the layout (parquet_ready/, checkpoints/, ...)")
    for name, settings in STAGE_OPTIONS[stage].items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    parser.add_class_arguments(Config)
    return parser


class _HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the line breaks of a script's opening text."""


def _refuse_duplicate_keys(path: str) -> None:
    """YAML lets the last of two equal keys win; here that is a mistake."""
    waiting = [yaml.compose(Path(path).read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise RequestError(f"{path}: the key {twice[0]} stands twice (line {node.start_mark.line + 1} and on)")
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _plain(value: Any) -> Any:
    """The value with Python's own int, float and str in place of their checked subclasses.

    The values travel into files of other libraries, which refuse types that they do not know when they load them.
    """
    if is_dataclass(value):
        return type(value)(**{f.name: _plain(getattr(value, f.name)) for f in fields(value)})
    if isinstance(value, list):
        return [_plain(each) for each in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _explain(parser: ArgumentParser, argv: list[str] | None, error: Exception) -> str:
    """The error, with the name of the YAML file if the mistake stands there rather than on the command line."""
    for path in _config_arguments(sys.argv[1:] if argv is None else argv):
        if not os.path.isfile(path):
            return (
                f"--config {path}: no such file"
                if path and not os.path.exists(path)
                else f"--config {path}: not a file"
            )
        if not Path(path).read_bytes().strip():
            return f"{path} is empty"
        try:
            parser.parse_path(path, defaults=False, with_meta=False)
        except (ArgumentError, OSError, UnicodeDecodeError) as in_file:
            if "required" not in str(in_file):  # a required value may stand on the command line instead
                return f"{path}: {_in_short(str(in_file))}"
    return _in_short(str(error))


def _in_short(mistake: str) -> str:
    """The mistake; of one in evaluation.harness only where it is and why, of one in evaluation.judge not the value."""
    if "evaluation.judge" in mistake:
        return _without_judge(mistake)
    if 'Parser key "evaluation.harness"' not in mistake:
        return mistake
    where = ".".join(re.findall(r'Parser key "([^"]+)"', mistake))
    reasons = re.findall(
        r"Option '[^']*' is not accepted|arguments are required: .*|Not of type.*|Expected a(?! <class 'NoneType'>).*",
        mistake,
    )
    return f"{where}: {reasons[0] if reasons else 'a value is wrong'}"


def _without_judge(mistake: str) -> str:
    """A mistake in evaluation.judge without the value, which may hold a key that does not belong there."""
    reasons = re.findall(r"Option '\w+' is not accepted|arguments are required: [\w, ]+", mistake)
    return (
        f"evaluation.judge: {'; '.join(reasons) or 'a value is wrong'} (it takes base_url, model and, if need be, "
        "timeout and retries; a key comes from the environment variable DEM_JUDGE_API_KEY)"
    )


def _config_arguments(argv: list[str]) -> list[str]:
    pairs = zip(argv, [*argv, ""][1:], strict=True)
    return [a.partition("=")[2] or b for a, b in pairs if a == "--config" or a.startswith("--config=")]
