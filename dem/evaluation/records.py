"""What the programs rely on in the records that they read again; other keys are left as they are."""

from typing import Any, TypedDict


class Source(TypedDict):
    """What a difference was made from."""

    kind: str
    fingerprint: str


class MergedDomain(TypedDict):
    """A domain's part in a merge."""

    weight: float
    difference_fingerprint: str
    source: Source


class _Domains(TypedDict):
    domains: dict[str, MergedDomain]


class MergeRecord(_Domains, total=False):
    """`merged_model/dem_provenance.json`."""

    base: dict[str, Any]
    method: str
    scale: float
    normalize: bool
    search: dict[str, Any]


class SearchSummary(TypedDict):
    """`results/weights_search.json`."""

    domains: list[str]
    found: list[list[float]]
    """The weights of each domain, of each group of parameters."""
    differences: dict[str, str]
    """The fingerprint of each domain's difference, as stage 2 made it."""


class TrainingFigures(TypedDict, total=False):
    """Of `dem_run.json`, what a training cost."""

    seconds: float
    tokens: int
    epochs: float


class _Distance(TypedDict):
    ks_distance: float | None
    sample: int


class Normality(_Distance, total=False):
    """How far a difference's elements are from a normal distribution."""

    p_value: float | None


class ParameterNorm(TypedDict):
    """The norm of one parameter's change."""

    name: str
    l2_norm: float


class _Norms(TypedDict):
    norm_before_normalisation: float
    normality: Normality


class DifferenceSummary(_Norms, total=False):
    """`diff_stats/diff_<domain>_summary.json`."""

    vector_fingerprint: str
    l2_norm: float
    kurtosis: float | None
    share_beyond_3_sigma: float | None
    parameters: list[ParameterNorm]


class TextFigures(TypedDict, total=False):
    """BLEU and its kin, of a model's answers."""

    pairs: int
    bleu: float
    chrf: float
    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815 (its name in the world)
    bleu_signature: str


class HarnessMetric(TypedDict):
    """A score, and the standard error of the mean over questions."""

    value: float | None
    stderr: float | None


class HarnessTask(TypedDict, total=False):
    """What lm-evaluation-harness measured on a task."""

    metrics: dict[str, HarnessMetric]
