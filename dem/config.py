"""The typed configuration of all three stages: defaults, then YAML, then the command line.

Nothing heavy is imported here, so that `--help` and a mistyped key answer at once.
"""

import json
import math
import os
import re
import sys
from argparse import RawDescriptionHelpFormatter
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, DefaultHelpFormatter, set_parsing_settings
from jsonargparse.typing import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    register_type,
    restricted_number_type,
)

from dem.errors import RequestError
from dem.layout import Layout, domain_name_mistake

Fraction = restricted_number_type("Fraction", float, [(">=", 0), ("<", 1)])
Share = restricted_number_type("Share", float, [(">", 0), ("<=", 1)])


class FilePath(str):
    """A file; relative to the YAML file that names it, or on the command line to the current directory."""


class ModelSource(str):
    """A model folder (relative like a FilePath) or, where no such folder exists, a name on the Hugging Face hub."""


def _file_path(value: Any) -> FilePath:
    if not isinstance(value, str) or not value:
        raise ValueError("expected the path of a file")
    # jsonargparse makes the folder of a YAML file the current one while it reads that file.
    return FilePath(os.path.abspath(os.path.expanduser(value)))


def _model_source(value: Any) -> ModelSource:
    if not isinstance(value, str) or not value:
        raise ValueError("expected the path of a model folder or a name on the hub")
    hub_name = re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", value)
    return ModelSource(value) if hub_name and not os.path.exists(value) else ModelSource(_file_path(value))


register_type(FilePath, deserializer=_file_path)
register_type(ModelSource, deserializer=_model_source)


@dataclass
class DataConfig:
    """Text: how it is cut into blocks and split."""

    max_length: PositiveInt = 2048
    """Length of a training block and of an evaluation window, in tokens."""
    tune_fraction: Fraction = 0.02
    """Share of the documents kept from training to watch it by (eval_loss)."""
    test_fraction: Fraction = 0.02
    """Share of the documents that no choice looks at; stage 3 measures perplexity on it."""
    group_column: str | None = None
    """Column that says which work a row belongs to; all rows of one work fall on one side of the split."""
    mixtures: dict[str, dict[str, float]] = field(default_factory=dict)
    """Baselines to train: by name (for --domain of stage 1) the share of each domain's text, {mixed: {web: 0.7, ...}}.
    One takes as many tokens as all domains' trainings together."""

    def shares(self, name: str) -> dict[str, float] | None:
        """The shares of a mixture by domain, in order of name and adding up to 1; None if no mixture has this name."""
        shares = self.mixtures.get(name, {})
        whole = math.fsum(shares.values())
        return {domain: shares[domain] / whole for domain in sorted(shares)} or None


@dataclass
class TrainingConfig:
    """Stage 1: training of one LoRA adapter."""

    learning_rate: PositiveFloat = 5e-5
    """Peak learning rate; it falls linearly to 0."""
    batch_size: PositiveInt = 8
    """Blocks per optimiser step."""
    epochs: PositiveFloat = 1
    """Passes over the domain's training blocks."""
    precision: Literal["fp16", "bf16", "fp32"] = "fp16"
    """Arithmetic of the forward pass on a GPU; a CPU always computes in fp32."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass: less memory, about a third more time."""
    seed: NonNegativeInt = 42
    """Seed of the adapter's initial weights and of the order of the blocks."""
    logging_steps: PositiveInt = 10
    """Steps between two lines of the log."""
    eval_steps: PositiveInt = 200
    """Steps between two evaluations on the tune split."""
    save_steps: PositiveInt = 200
    """Steps between two saved training states, from which an interrupted run goes on."""


@dataclass
class LoraConfig:
    """The adapter (Hu et al. 2021, arXiv 2106.09685)."""

    r: PositiveInt = 16
    """Rank of the update of each matrix."""
    alpha: PositiveFloat = 32
    """The update is scaled by alpha / r."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input."""
    target_modules: Literal["auto"] | list[str] = "auto"
    """Names of the linear modules to adapt; auto chooses by architecture (see dem/mamba.py)."""


@dataclass
class DiffConfig:
    """Stage 2: the difference vector."""

    storage: Literal["dense", "lowrank"] = "dense"
    """Form of the vector: dense stores every element; lowrank keeps each LoRA change as its two factors, exactly."""
    dtype: Literal["float32", "float16"] = "float32"
    """Type of the stored elements."""
    normalize: Literal["none", "l2"] = "none"
    """l2 scales the whole vector to Euclidean norm 1; its norm before that is kept in the index."""


def _plan_weights() -> dict[str, float]:
    return {"main_data": 0.4, "textbook": 0.25, "assembly": 0.15, "web": 0.15, "social": 0.05}


METHOD_FIELDS: dict[str, tuple[str, ...]] = {
    "weighted_sum": ("weights", "normalize"),
    "ties": ("weights", "normalize", "density"),
    "dare_linear": ("weights", "normalize", "density", "rescale", "seed"),
    "dare_ties": ("weights", "normalize", "density", "rescale", "seed"),
    "della": ("weights", "normalize", "density", "epsilon", "rescale", "seed"),
    "della_linear": ("weights", "normalize", "density", "epsilon", "rescale", "seed"),
    "breadcrumbs": ("weights", "normalize", "density", "gamma"),
    "breadcrumbs_ties": ("weights", "normalize", "density", "gamma"),
    "sce": ("select_topk",),
    "model_stock": (),
}
"""The fields of MergeConfig that each merge.method uses, of those that not every method does (see dem/methods.py)."""

_SIGN_ELECTING = ("ties", "dare_ties", "della", "breadcrumbs_ties")


AUTO = "auto"
"""What merge.weights says for weights that are to be found."""


@dataclass
class ParameterWeights:
    """Weights of their own for some of the model's parameters."""

    pattern: str
    """Regular expression, searched in the parameter's name as it stands in the base checkpoint."""
    weights: dict[str, float]
    """Weight of each domain in place of merge.weights; a domain that is not named takes no part."""


@dataclass
class MergeConfig:
    """Stage 3: merged = base + scale * sum_i weights_i * diff_i, or another combination of the differences."""

    method: Literal[
        "weighted_sum",
        "ties",
        "dare_linear",
        "dare_ties",
        "della",
        "della_linear",
        "breadcrumbs",
        "breadcrumbs_ties",
        "sce",
        "model_stock",
    ] = "weighted_sum"
    """How the differences are combined, by the names of mergekit; sce and model_stock find the weights themselves."""
    weights: dict[str, float] | Literal["auto"] = field(default_factory=_plan_weights)
    """Weight of each domain; a domain that is not named takes no part. One of them: --merge.weights.web 0.3. auto finds
    them on the tune documents of the domains (see search)."""
    normalize: bool = True
    """Divide the weights by their sum, so that they add up to 1; where a method elects signs, element by element."""
    scale: float = 1.0
    """Lambda, the factor on the whole sum."""
    weights_by_parameter: list[ParameterWeights] = field(default_factory=list)
    """Other weights for the parameters whose name a pattern matches; the first that does counts."""
    density: Share = 0.5
    """Share of a difference's elements that stays (ties, dare, della, breadcrumbs); mergekit's own default is 1."""
    gamma: Fraction = 0.01
    """Share of a difference's elements, the largest, that breadcrumbs drops as outliers."""
    epsilon: Fraction = 0.15
    """della keeps an element with a probability between density - epsilon and density + epsilon."""
    select_topk: Share = 1.0
    """Share of the elements, those that vary most between the domains, that sce merges; the others stay the base's."""
    rescale: Literal["probability", "l1", "none"] = "probability"
    """dare and della divide by the probability to stay (the papers) or restore the sum of magnitudes (mergekit)."""
    seed: NonNegativeInt = 42
    """Seed of the random choices of dare and della."""


@dataclass
class SearchConfig:
    """How merge.weights: auto finds the weights, on the tune documents."""

    method: Literal["gradient", "grid"] = "gradient"
    """gradient follows the losses' derivatives; grid tries eleven weights for one domain after the other, as DEM."""
    objective: Literal["mean", "worst", "importance"] = "mean"
    """The mean of the domains' losses, that of the domain which gains least on the base, or one by importance."""
    importance: dict[str, float] = field(default_factory=dict)
    """What each domain's loss counts with objective importance."""
    hand: dict[str, float] = field(default_factory=dict)
    """The team's own guess: the search starts from it, and the report compares with it. Without it, the plan's weights,
    or equal ones where the domains are not the plan's."""
    bound: PositiveFloat = 5
    """Largest sum of the weights where merge.normalize is false; with true it is 1."""
    groups: list[str] = field(default_factory=list)
    """Regular expressions, searched in parameters' names: the parameters of each get weights of their own, the others
    share theirs."""
    penalty: NonNegativeFloat = 0.01
    """What the groups' weights pay for being apart: nats per token and squared distance from their mean."""
    tokens: PositiveInt = 20_000
    """Tokens of each domain's tune documents that are looked at, at most (whole documents, drawn at random)."""
    seed: NonNegativeInt = 42
    """Of the choice of documents."""
    map: list[str] = field(default_factory=list)
    """Two or three domains whose weights the picture of the loss is drawn over; without them, the two largest."""


@dataclass
class JudgeConfig:
    """A model that rates the answers, behind an OpenAI-compatible endpoint; its key is read from DEM_JUDGE_API_KEY."""

    base_url: str
    """What /chat/completions is appended to, such as http://localhost:8000/v1."""
    model: str
    """Name of the model there."""
    timeout: PositiveFloat = 120
    """Longest wait for one reply, in seconds."""
    retries: NonNegativeInt = 3
    """How often a call is tried again that fails or whose reply is not the JSON demanded."""


@dataclass
class MultipleChoiceConfig:
    """Multiple-choice questions in a local file (see dem/evaluation/multiple_choice.py)."""

    name: str
    """What the results call it."""
    file: FilePath
    """Parquet or JSON lines with question, choices, answer (number from 0, letter or text) and perhaps subject."""
    few_shot: NonNegativeInt = 0
    """Questions of the same subject that each prompt shows with their answers; they are not scored."""
    few_shot_file: FilePath | None = None
    """Where those come from, like file; without one, they are the first of each subject in file."""
    style: Literal["letters", "cloze"] = "letters"
    """letters lists the choices and scores their letters (MMLU); cloze lists none and scores the choices' words."""


def _base_and_merged() -> list[str]:
    return ["base", "merged"]


@dataclass
class HarnessConfig:
    """Tasks for lm-evaluation-harness; needs pip install -e ".[harness]"."""

    tasks: list[str] = field(default_factory=list)
    """Names of the harness's own tasks and groups, such as kobest; they fetch their data from the Hugging Face hub."""
    multiple_choice: list[MultipleChoiceConfig] = field(default_factory=list)
    """Questions in local files, which need no network."""
    models: list[str] = field(default_factory=_base_and_merged)
    """Which models are measured: base, merged, and domains and mixtures by name."""
    limit: PositiveInt | None = None
    """Questions of each task at most, spread over its subjects; without it, all."""


@dataclass
class EvaluationConfig:
    """Stage 3: the comparison of base, domain models and merged model."""

    enabled: bool = True
    """False merges only, and reports what is known without it."""
    prompts: FilePath = FilePath("prompts.jsonl")
    """JSON lines with prompt and, where there is one, reference; the default stands beside the config file."""
    max_new_tokens: PositiveInt = 128
    """Longest answer to a prompt, in tokens."""
    judge: JudgeConfig | None = None
    """A model that rates the answers; without one, people do (results/rating_sheet.html)."""
    harness: HarnessConfig | None = None
    """Multiple choice and other tasks through lm-evaluation-harness; without it, none."""


@dataclass
class Config:
    """Everything the three scripts can be told; any field can be set on the command line by its dotted name."""

    base_model: ModelSource
    """Folder of the base model (transformers format) or its name on the Hugging Face hub."""
    domains: list[str] = field(default_factory=lambda: list(_plan_weights()))
    """Names of the domains; parquet_ready/<domain>.parquet holds the text of each."""
    hub_kernels: bool = False
    """Fetch a Mamba's CUDA kernels from the Hugging Face hub (kernels-community), which runs code from there."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    diff: DiffConfig = field(default_factory=DiffConfig)
    merge: MergeConfig = field(default_factory=MergeConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def as_dict(self) -> dict[str, Any]:
        """The configuration as plain lists, dictionaries, strings and numbers."""
        return json.loads(json.dumps(asdict(self)))


@dataclass
class Request:
    """A parsed command line: the configuration, the folders, and the options that are one stage's own."""

    config: Config
    layout: Layout
    domain: str | None
    """Of stages 1 and 2; ALL_DOMAINS in stage 2 only."""
    overwrite: bool = False
    """Of stage 1."""
    model: FilePath | None = None
    """Of stage 2."""
    dry_run: bool = False
    """Of stage 3."""
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
    _check(config, None if domain == ALL_DOMAINS and stage == 2 else domain, mixtures=stage == 1)
    return Request(config, Layout(Path(values.root).absolute()), domain, **own)


ALL_DOMAINS = "all"
"""What stage 2's --domain says for every domain of the config."""

STAGE_OPTIONS: dict[int, dict[str, dict[str, Any]]] = {
    1: {
        "domain": {"required": True, "help": "one of the config's domains, or of data.mixtures"},
        "overwrite": {"action": "store_true", "help": "do it again although it has been done"},
    },
    2: {
        "domain": {"required": True, "help": f"one of the config's domains, or {ALL_DOMAINS}"},
        "model": {
            "type": FilePath,
            "default": None,
            "help": "folder of a fully fine-tuned model, in place of the domain's adapter",
        },
    },
    3: {
        "dry_run": {"action": "store_true", "help": "say what would be read, written and needed, and stop"},
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


def _check(config: Config, domain: str | None, mixtures: bool) -> None:
    """Refuse, all at once, what the types alone let through; `domain` may be a mixture if `mixtures` says so."""
    mistakes = [m for name in config.domains if (m := domain_name_mistake(name))]
    if not config.domains:
        mistakes.append("domains is empty: name at least one domain")
    if len(set(config.domains)) < len(config.domains):
        mistakes.append(f"domains names a domain twice: {', '.join(config.domains)}")
    if domain is not None and (m := domain_name_mistake(domain)):
        mistakes.append(m)
    elif domain is not None and domain in (config.data.mixtures or ()):
        if not mixtures:
            mistakes.append(
                f"--domain {domain} is a mixture of domains, of which no difference is made: stage 3 takes its adapter"
            )
    elif domain is not None and domain not in config.domains:
        mistakes.append(f"--domain {domain} is not one of the config's domains: {', '.join(config.domains)}")
    if config.data.tune_fraction + config.data.test_fraction >= 1:
        mistakes.append("data.tune_fraction and data.test_fraction leave no document for training")
    mistakes += _mixture_mistakes(config)
    mistakes += _merge_mistakes(config.merge)
    mistakes += _search_mistakes(config)
    if config.data.max_length < 2:
        mistakes.append("data.max_length is 1: nothing can be predicted in a block of one token")
    if not math.isfinite(config.training.learning_rate):
        mistakes.append(f"training.learning_rate is {config.training.learning_rate}, not a finite number")
    if config.lora.target_modules == []:
        mistakes.append("lora.target_modules is empty: name modules or say auto")
    if config.evaluation.judge:
        mistakes += _judge_mistakes(config.evaluation.judge)
    if config.evaluation.harness:
        mistakes += _harness_mistakes(config)
    if mistakes:
        raise RequestError("; ".join(mistakes))


def _mixture_mistakes(config: Config) -> list[str]:
    if config.data.mixtures is None:
        return ["data.mixtures is empty: fill it or leave it out"]
    mistakes = []
    for name, shares in config.data.mixtures.items():
        key = f"data.mixtures.{name}"
        if not isinstance(name, str):
            mistakes.append(f"{key} is not a name: put it into quotes")
        elif name in config.domains:
            mistakes.append(f"{key} has the name of a domain: choose another")
        elif mistake := domain_name_mistake(name):
            mistakes.append(f"data.mixtures: {mistake}")
        if not shares:
            mistakes.append(f"{key} is empty: say each domain's share")
            continue
        if unknown := [domain for domain in shares if domain not in config.domains]:
            mistakes.append(f"{key} names {', '.join(map(str, unknown))}, not among the config's domains")
        if wrong := [domain for domain, share in shares.items() if not 0 < share < math.inf]:
            mistakes.append(f"{key}: the share of {', '.join(map(str, wrong))} is not a number above 0")
    return mistakes


def _merge_mistakes(merge: MergeConfig) -> list[str]:
    if empty := [f.name for f in fields(merge) if getattr(merge, f.name) is None]:
        return [f"merge.{name} is empty: fill it or leave it out" for name in empty]
    if merge.weights == AUTO:
        return _auto_mistakes(merge) + _method_mistakes(merge)
    mistakes = _weights_mistakes(merge, "merge.weights", merge.weights)
    for i, own in enumerate(merge.weights_by_parameter):
        key = f"merge.weights_by_parameter[{i}]"
        try:
            re.compile(own.pattern)
        except re.error as error:
            mistakes.append(f"{key}.pattern {own.pattern!r} is not a regular expression: {error}")
        mistakes += _weights_mistakes(merge, f"{key}.weights", own.weights)
        if unknown := [domain for domain in own.weights if domain not in merge.weights]:
            mistakes.append(f"{key}.weights names {', '.join(unknown)}: name it in merge.weights too, if only with 0")
    if not math.isfinite(merge.scale):
        mistakes.append(f"merge.scale is {merge.scale}, not a finite number")
    return mistakes + _method_mistakes(merge)


def _auto_mistakes(merge: MergeConfig) -> list[str]:
    mistakes = []
    if merge.method != "weighted_sum":
        mistakes.append(f"merge.weights auto is for merge.method weighted_sum, not {merge.method}: name the weights")
    if merge.weights_by_parameter:
        mistakes.append("merge.weights_by_parameter has no use with merge.weights auto: name patterns in search.groups")
    if not (math.isfinite(merge.scale) and merge.scale > 0):
        mistakes.append(f"merge.scale is {merge.scale}, and with merge.weights auto must be above 0")
    return mistakes


def _search_mistakes(config: Config) -> list[str]:
    search = config.search
    if empty := [f.name for f in fields(search) if getattr(search, f.name) is None]:
        return [f"search.{name} is empty: fill it or leave it out" for name in empty]
    mistakes = []
    for key, figures in (("hand", search.hand), ("importance", search.importance)):
        if unknown := [domain for domain in figures if domain not in config.domains]:
            mistakes.append(f"search.{key} names {', '.join(unknown)}, not among the config's domains")
        if wrong := [domain for domain, figure in figures.items() if not (math.isfinite(figure) and figure >= 0)]:
            mistakes.append(f"search.{key}: {', '.join(wrong)} is not a number of 0 or more")
        if figures and not sum(figures.values()) > 0:
            mistakes.append(f"search.{key}: all are 0")
    if search.objective == "importance" and not search.importance:
        mistakes.append("search.objective is importance, but search.importance is empty: say what each domain counts")
    if search.objective != "importance" and search.importance:
        mistakes.append(f"search.importance has no use with search.objective {search.objective}")
    for i, pattern in enumerate(search.groups):
        try:
            re.compile(pattern)
        except re.error as error:
            mistakes.append(f"search.groups[{i}] {pattern!r} is not a regular expression: {error}")
    if search.map and (len(set(search.map)) != len(search.map) or not 2 <= len(search.map) <= 3):
        mistakes.append("search.map names two or three different domains, or none")
    if unknown := [domain for domain in search.map if domain not in config.domains]:
        mistakes.append(f"search.map names {', '.join(unknown)}, not among the config's domains")
    if search.groups and search.method == "grid":
        mistakes.append("search.groups has no use with search.method grid")
    if not math.isfinite(search.bound) or not math.isfinite(search.penalty):
        mistakes.append("search.bound and search.penalty must be finite numbers")
    return mistakes


def hand_weights(config: Config) -> dict[str, float]:
    """The team's own guess of every domain's weight, whose sum is above 0: search.hand, the plan's, or equal ones."""
    plan = _plan_weights()
    hand = config.search.hand or (plan if set(plan) == set(config.domains) else dict.fromkeys(config.domains, 1.0))
    return {domain: hand.get(domain, 0.0) for domain in config.domains}


def _weights_mistakes(merge: MergeConfig, key: str, weights: dict[str, float]) -> list[str]:
    mistakes = [f"{key}: {d} is {w}, not a finite number" for d, w in weights.items() if not math.isfinite(w)]
    if merge.method in _SIGN_ELECTING and merge.normalize and (negative := [d for d, w in weights.items() if w < 0]):
        mistakes.append(
            f"{key}: {', '.join(negative)} is negative, and merge.method {merge.method} divides by sums of weights "
            "that may then be near 0: change it or set merge.normalize false"
        )
    taking_part = [w for w in weights.values() if w != 0]
    if "weights" not in METHOD_FIELDS[merge.method] and len(set(taking_part)) > 1:
        mistakes.append(f"{key} differ, but merge.method {merge.method} finds its own: give every domain the same")
    if merge.method == "model_stock" and len(taking_part) < 2:
        mistakes.append(f"{key}: merge.method model_stock compares domains, so two or more must have a weight")
    return mistakes


def _method_mistakes(merge: MergeConfig) -> list[str]:
    """Fields that the method does not use, and values that leave it nothing to choose from."""
    used = METHOD_FIELDS[merge.method]
    optional = {name for names in METHOD_FIELDS.values() for name in names} - {"weights"}
    mistakes = []
    for f in fields(MergeConfig):
        value = getattr(merge, f.name)
        if f.name in optional and f.name not in used and value != f.default:
            mistakes.append(f"merge.{f.name} is {json.dumps(value)}, but merge.method {merge.method} has no use for it")
    if "epsilon" in used and not (merge.density - merge.epsilon > 0 and merge.density + merge.epsilon <= 1):
        mistakes.append(
            f"merge.density {merge.density:g} -/+ merge.epsilon {merge.epsilon:g} must lie above 0 and at most at 1"
        )
    if "gamma" in used and merge.density + merge.gamma > 1 + 1e-9:
        mistakes.append(f"merge.density {merge.density:g} and merge.gamma {merge.gamma:g} add up to more than 1")
    return mistakes


def _judge_mistakes(judge: JudgeConfig) -> list[str]:
    """What is wrong with the judge's address; a secret that may stand in it is not repeated."""
    mistakes = []
    try:
        url = urlsplit(judge.base_url)
        known = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return ["evaluation.judge.base_url is not an address"]
    if "@" in url.netloc or url.query or url.fragment:
        mistakes.append(
            "evaluation.judge.base_url holds a user, a password or a query: leave them out, and put a key "
            "into the environment variable DEM_JUDGE_API_KEY"
        )
    elif not known:
        mistakes.append("evaluation.judge.base_url is not an address such as http://localhost:8000/v1")
    if not judge.model.strip():
        mistakes.append("evaluation.judge.model is empty")
    return mistakes + ([] if math.isfinite(judge.timeout) else ["evaluation.judge.timeout is not a finite number"])


def _harness_mistakes(config: Config) -> list[str]:
    harness = config.evaluation.harness
    key = "evaluation.harness"
    if empty := [name for name in ("tasks", "multiple_choice", "models") if getattr(harness, name) is None]:
        return [f"{key}.{name} is empty: fill it or leave it out" for name in empty]
    names = [*harness.tasks, *(each.name for each in harness.multiple_choice)]
    weights = config.merge.weights or {}
    domains = [domain for domain in config.domains if weights == AUTO or domain in weights]
    models = ["base", *domains, *(config.data.mixtures or ()), "merged"]
    mistakes = []
    if not names:
        mistakes.append(f"{key} has nothing to do: fill its tasks or multiple_choice")
    if any(not name.strip() for name in names):
        mistakes.append(f"{key}: a task has no name")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        mistakes.append(f"{key} has two tasks of the name {twice[0]}")
    if not harness.models:
        mistakes.append(f"{key}.models is empty: name at least one model")
    if unknown := [name for name in harness.models if name not in models]:
        mistakes.append(f"{key}.models names {', '.join(unknown)}; there will be {', '.join(models)}")
    return mistakes
