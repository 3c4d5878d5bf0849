"""How much of what the domains' own models gain at home one model for all domains keeps.

A model's gain on a domain is how much lower its loss per token (the logarithm of its perplexity) is than the base's on
the domain's test documents; its mean gain is the plain mean over the domains, in which each counts alike, however much
text it has. At home, each domain has the gain of its own adapter (or fully fine-tuned model). A model's retention is
its mean gain divided by the mean gain at home, over the same domains and documents: 1 is a model as good in every
domain as that domain's adapter. It is negative where the model is worse than the base, and can be above 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dem.evaluation.intervals import Change, changes_of_mean, sure
from dem.evaluation.ratios import Ratio, ratios_of_means
from dem.evaluation.scores import Scores


@dataclass(frozen=True)
class Kept:
    """What one model keeps."""

    mean: Change | None
    """Of its perplexity against the base's, of the mean of the domains' losses; None where it computes no numbers."""
    retention: Ratio | None
    """None where there is no gain at home that it could be a part of (Retention.note says why)."""


@dataclass(frozen=True)
class Retention:
    """The gain at home, and what the models for all domains keep of it."""

    domains: list[str]
    """Those that count: with test documents and a model of their own that was measured."""
    home: Change | None
    """As Kept.mean, of each domain's own model on that domain."""
    models: dict[str, Kept]
    """By name: the merged model, those trained on mixtures, merges by other weights."""
    note: str | None = None
    """Why there is no retention; None if there is."""


def retention_of(scores: Mapping[str, Mapping[str, Scores]]) -> Retention:
    """What each model that is no domain's own keeps.

    Args:
        scores: by model, the base first, and by domain of text; a domain's own model has the domain's name.
    """
    base, *_ = scores.values()
    domains = [domain for domain in base if domain in scores and base[domain].documents]
    if not domains:
        return Retention([], None, {}, "no domain has both test documents and a model of its own that was measured")
    others = {name: model for name, model in list(scores.items())[1:] if name not in base}
    tested = {domain: base[domain] for domain in domains}
    home = {domain: scores[domain][domain] for domain in domains}
    of_home, *of_others = changes_of_mean(tested, [home, *others.values()])
    note = _no_gain(of_home)
    known = {name: others[name] for name, mean in zip(others, of_others, strict=True) if mean}
    ratios = {} if note else dict(zip(known, ratios_of_means(tested, list(known.values()), home), strict=True))
    kept = {name: Kept(mean, ratios.get(name)) for name, mean in zip(others, of_others, strict=True)}
    return Retention(domains, of_home, kept, note)


def _no_gain(home: Change | None) -> str | None:
    """Why nothing can be a part of the gain at home."""
    if home is None:
        return "a domain's own model, or the base, computes no numbers"
    if home.relative >= 0:
        return "the adapters gain nothing at home"
    if home.low is not None and not sure(home):
        return "what the adapters gain at home may be chance"
    return None
