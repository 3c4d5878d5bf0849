"""The typed configuration of all three stages, with its defaults; dem/command_line.py fills it.

Nothing heavy is imported here, so that `--help` and a mistyped key answer at once.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dem.config_types import (
    AnswerLength,
    BatchSize,
    BlockLength,
    Epochs,
    Factor,
    FilePath,
    Flag,
    Fraction,
    Hours,
    LearningRate,
    ModelSource,
    NonNegativeFloat,
    NonNegativeInt,
    PatternText,
    PositiveFloat,
    PositiveInt,
    Rank,
    Retries,
    Seconds,
    Seed,
    Share,
    Text,
)


class Section:
    """What all parts of the configuration have in common, by the names of pydantic."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass
class DataConfig(Section):
    """Text: how it is cut into blocks and split."""

    max_length: BlockLength = 2048
    """Length of a training block and of an evaluation window, in tokens."""
    tune_fraction: Fraction = 0.02
    """Share of the documents kept from training to watch it by (eval_loss)."""
    test_fraction: Fraction = 0.02
    """Share of the documents that no choice looks at; stage 3 measures perplexity on it."""
    group_column: Text | None = None
    """Column that says which work a row belongs to; all rows of one work fall on one side of the split."""
    mixtures: dict[Text, dict[Text, PositiveFloat] | Literal["found"]] = field(default_factory=dict)
    """Baselines to train: by name (for --domain of stage 1) the share of each domain's text, {mixed: {web: 0.7, ...}},
    or found, which takes the weights that stage 3's search found. One takes as many tokens as all domains' trainings
    together."""

    def shares(self, name: str) -> dict[str, float] | None:
        """The shares of a mixture by domain, in order of name and adding up to 1; None if no mixture has this name.

        Those of a mixture of found weights are filled in by dem/found_shares.py first.
        """
        shares = self.mixtures.get(name, {})
        whole = math.fsum(shares.values())
        return {domain: shares[domain] / whole for domain in sorted(shares)} or None


@dataclass
class TrainingConfig(Section):
    """Stage 1: training of one LoRA adapter."""

    learning_rate: LearningRate = 5e-5
    """Peak learning rate; it falls linearly to 0."""
    batch_size: BatchSize = 8
    """Blocks per optimiser step."""
    epochs: Epochs = 1
    """Passes over the domain's training blocks."""
    max_steps: PositiveInt | None = None
    """Optimiser steps at most; the learning rate falls to 0 over them. A mixture takes as many tokens as all domains'
    trainings together then. Without it, epochs decide."""
    max_hours: Hours | None = None
    """Hours at most (of a mixture: for each domain), evaluations included. The first steps tell how many fit, and over
    these the learning rate falls to 0, whatever comes later. Without it, there is no limit."""
    precision: Literal["fp16", "bf16", "fp32"] = "fp16"
    """Arithmetic of the forward pass on a GPU; a CPU always computes in fp32."""
    gradient_checkpointing: Flag = True
    """Recompute activations in the backward pass: less memory, about a third more time."""
    seed: Seed = 42
    """Seed of the adapter's initial weights and of the order of the blocks."""
    logging_steps: PositiveInt = 10
    """Steps between two lines of the log."""
    eval_steps: PositiveInt = 200
    """Steps between two evaluations on the tune split."""
    save_steps: PositiveInt = 200
    """Steps between two saved training states, from which an interrupted run goes on."""


@dataclass
class LoraConfig(Section):
    """The adapter (Hu et al. 2021, arXiv 2106.09685)."""

    r: Rank = 16
    """Rank of the update of each matrix."""
    alpha: PositiveFloat = 32
    """The update is scaled by alpha / r."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input."""
    target_modules: Literal["auto"] | list[Text] = "auto"
    """Names of the linear modules to adapt; auto chooses by architecture (see dem/mamba.py)."""


@dataclass
class DiffConfig(Section):
    """Stage 2: the difference vector."""

    storage: Literal["dense", "lowrank"] = "dense"
    """Form of the vector: dense stores every element; lowrank keeps each LoRA change as its two factors, exactly."""
    dtype: Literal["float32", "float16"] = "float32"
    """Type of the stored elements."""
    normalize: Literal["none", "l2"] = "none"
    """l2 scales the whole vector to Euclidean norm 1; its norm before that is kept in the index."""


def _plan_weights() -> dict[str, float]:
    return {"main_data": 0.4, "textbook": 0.25, "assembly": 0.15, "web": 0.15, "social": 0.05}


TRAINING_SECONDS = 2 * 3600
"""What the plan gives the training of a domain."""
STAGE_3_SECONDS = 20 * 60
"""What it gives search, merge and evaluation together."""

METHOD_FIELDS: dict[str, tuple[str, ...]] = {
    "weighted_sum": ("weights", "normalize"),
    "regmean": ("weights", "normalize", "alpha", "calibrate", "tokens", "seed"),
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

SHIPPED_PROMPTS = Path(__file__).parent / "evaluation" / "prompts.jsonl"
"""The prompts that serve where a configuration names none and has none beside it."""

AUTO = "auto"
"""What merge.weights says for weights that are to be found."""
TERMS, MODULES = "terms", "modules"
"""What search.groups says for a weight of each singular direction, and of each domain's change of a parameter."""

FOUND = "found"
"""What an entry of data.mixtures says for found weights as shares."""


@dataclass
class ParameterWeights(Section):
    """Weights of their own for some of the model's parameters."""

    pattern: PatternText
    """Regular expression, searched in the parameter's name as it stands in the base checkpoint."""
    weights: dict[Text, Factor]
    """Weight of each domain in place of merge.weights; a domain that is not named takes no part."""


@dataclass
class MergeConfig(Section):
    """Stage 3: merged = base + scale * sum_i weights_i * diff_i, or another combination of the differences."""

    method: Literal[
        "weighted_sum",
        "regmean",
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
    """How the differences are combined, by the names of mergekit; sce and model_stock find the weights themselves.
    regmean lets each low-rank change act on inputs as far as they are its domain's, and looks at text for it."""
    weights: dict[Text, Factor] | Literal["auto"] = field(default_factory=_plan_weights)
    """Weight of each domain; a domain that is not named takes no part. One of them: --merge.weights.web 0.3. auto finds
    them on the tune documents of the domains (see search). Without it: the plan's, or equal ones where the domains are
    not the plan's."""
    normalize: Flag = True
    """Divide the weights by their sum, so that they add up to 1; where a method elects signs, element by element."""
    scale: Factor = 1.0
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
    seed: Seed = 42
    """Seed of the random choices of dare and della, and of the text that regmean looks at."""
    alpha: Share = 0.9
    """regmean multiplies the second moments of two different inputs by it: 1 trusts them, near 0 only single inputs."""
    calibrate: Flag = False
    """regmean also shrinks the output directions that the domains share (Pico, arXiv 2604.16826). Worth a little at the
    best sum of the weights, which is then larger: let it be found (weights: auto, normalize: false)."""
    tokens: PositiveInt = 50_000
    """regmean takes second moments of so many tokens of each domain's tune documents at most, and of train documents
    where these are fewer than 4 for each input of the widest module."""


@dataclass
class SearchConfig(Section):
    """How merge.weights: auto finds the weights, on the tune documents."""

    method: Literal["gradient", "grid"] = "gradient"
    """gradient follows the losses' derivatives; grid tries eleven weights for one domain after the other, as DEM."""
    objective: Literal["mean", "worst", "importance"] = "mean"
    """The mean of the domains' losses, that of the domain which gains least on the base, or one by importance."""
    importance: dict[Text, NonNegativeFloat] = field(default_factory=dict)
    """What each domain's loss counts with objective importance."""
    hand: dict[Text, NonNegativeFloat] = field(default_factory=dict)
    """The team's own guess: the search starts from it, and the report compares with it. Without it, the search starts
    from equal weights whose sum is 1."""
    bound: PositiveFloat = 5
    """Largest sum of the weights where merge.normalize is false; with true it is 1."""
    groups: list[PatternText] | Literal["terms", "modules"] = field(default_factory=list)
    """Regular expressions, searched in parameters' names: the parameters of each get weights of their own, the others
    share theirs. Or terms: a weight for each singular direction of each difference; or modules: one for each domain's
    change of each parameter. Both are found by steps of Adam, on one half of the tune documents, watched on the other.
    """
    penalty: NonNegativeFloat = 0.01
    """What the groups' weights pay for being apart: nats per token and squared distance from their mean. With terms or
    modules: for the mean squared distance of each domain's weights from the one that was found for all of them."""
    steps: PositiveInt = 200
    """Steps of Adam at most, with groups terms or modules."""
    learning_rate: LearningRate = 0.05
    """Of these steps: about how far a weight moves in each."""
    tokens: PositiveInt = 20_000
    """Tokens of each domain's tune documents that are looked at, at most (whole documents, drawn at random)."""
    seed: Seed = 42
    """Of the choice of documents."""
    map: list[Text] = field(default_factory=list)
    """Two or three domains whose weights the picture of the loss is drawn over; without them, the two largest."""

    @property
    def fine(self) -> bool:
        """Whether each domain has more weights than one for each pattern: terms or modules."""
        return isinstance(self.groups, str)

    @property
    def patterns(self) -> list[str]:
        """The patterns of the groups of parameters that have weights of their own."""
        return [] if self.fine else self.groups


@dataclass
class JudgeConfig(Section):
    """A model that rates the answers, behind an OpenAI-compatible endpoint; its key is read from DEM_JUDGE_API_KEY."""

    base_url: Text
    """What /chat/completions is appended to, such as http://localhost:8000/v1."""
    model: Text
    """Name of the model there."""
    timeout: Seconds = 120
    """Longest wait for one reply, in seconds."""
    retries: Retries = 3
    """How often a call is tried again that fails or whose reply is not the JSON demanded."""


@dataclass
class MultipleChoiceConfig(Section):
    """Multiple-choice questions in a local file (see dem/evaluation/multiple_choice.py)."""

    name: Text
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
class HarnessConfig(Section):
    """Tasks for lm-evaluation-harness; needs pip install -e ".[harness]"."""

    tasks: list[Text] = field(default_factory=list)
    """Names of the harness's own tasks and groups, such as kobest; they fetch their data from the Hugging Face hub."""
    multiple_choice: list[MultipleChoiceConfig] = field(default_factory=list)
    """Questions in local files, which need no network."""
    models: list[Text] = field(default_factory=_base_and_merged)
    """Which models are measured: base, merged, and domains and mixtures by name."""
    limit: PositiveInt | None = None
    """Questions of each task at most, spread over its subjects; without it, all."""


@dataclass
class EvaluationConfig(Section):
    """Stage 3: the comparison of base, domain models and merged model."""

    enabled: Flag = True
    """False merges only, and reports what is known without it."""
    prompts: FilePath = "prompts.jsonl"
    """JSON lines with prompt and, where there is one, reference; the default stands beside the config file, and where
    it does not, the shipped prompts serve."""
    max_new_tokens: AnswerLength = 128
    """Longest answer to a prompt, in tokens."""
    tokens: PositiveInt | None = None
    """Tokens of each domain's test documents that perplexity is measured on, at most (whole documents, drawn at random,
    the same for all models); without it, all."""
    seed: Seed = 42
    """Of the choice of these documents."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """What the models are run in on a GPU, in the evaluation and in every search; a CPU has fp32. auto: as the base is
    stored; where that is float32, tf32, which multiplies with 10 bits of each fraction and adds in float32. fp32: all
    bits. bf16 and fp16: the weights are rounded, which needs half the memory and less time."""
    judge: JudgeConfig | None = None
    """A model that rates the answers; without one, people do (results/rating_sheet.html)."""
    harness: HarnessConfig | None = None
    """Multiple choice and other tasks through lm-evaluation-harness; without it, none."""


@dataclass
class Config(Section):
    """Everything the three scripts can be told; any field can be set on the command line by its dotted name."""

    base_model: ModelSource
    """Folder of the base model (transformers format) or its name on the Hugging Face hub."""
    domains: list[Text] = field(default_factory=lambda: list(_plan_weights()))
    """Names of the domains; parquet_ready/<domain>.parquet holds the text of each."""
    kernels: Literal["auto", "triton", "compiled", "torch", "hub"] = "auto"
    """What computes a Mamba's scan on a GPU. triton: dem's, which comes with PyTorch and gives the same bits each time,
    so that a resumed training ends with the same adapter. compiled: mamba_ssm's, whose backward pass adds up in an
    order that chance decides. torch: no kernel, several times slower. auto: compiled where it is installed, else
    triton, else torch. hub: fetched from the Hugging Face hub (kernels-community), which runs code from there. A CPU
    has its own."""
    device: Literal["auto", "cpu"] = "auto"
    """auto: a GPU where PyTorch sees one. cpu: no GPU even so."""
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


def default_weights(domains: list[str] | None) -> dict[str, float]:
    """What merge.weights is where it is not given: the plan's weights with the plan's domains (or None), else equal."""
    plan = _plan_weights()
    return plan if domains is None or set(plan) == set(domains) else {domain: 1 / len(domains) for domain in domains}


def hand_weights(config: Config) -> dict[str, float]:
    """The weight of every domain that a search starts from: search.hand or, without a guess, equal ones of sum 1."""
    hand = config.search.hand or dict.fromkeys(config.domains, 1 / len(config.domains))
    return {domain: hand.get(domain, 0.0) for domain in config.domains}
