"""A mixture whose shares are the weights that stage 3's search found: `data.mixtures: {best: found}`.

The weights with which models trained on the domains apart merge best tell which mixture of their text is good to train
on (MergeMix, arXiv 2601.17858; Merge to Mix, arXiv 2505.16066): one search in place of many trainings.

A domain's share is its weight divided by the sum of all; that of a search with groups of parameters is the plain mean
of its groups' weights. A weight below 0 counts as 0: there is no less than no text of a domain.
"""

import math
from dataclasses import replace

from dem.config import FOUND, Config
from dem.errors import RequestError
from dem.evaluation.records import SearchSummary
from dem.layout import Layout
from dem.typed import read_as

SEARCH = "python dem/merge_model.py --config CONFIG --merge.weights auto"


def with_found_shares(config: Config, layout: Layout, name: str | None) -> tuple[Config, list[str]]:
    """The config in which the mixture `name` has its shares, if they are to be those found; and what the log is to say.

    Raises:
        RequestError: no weights were found, or not of the config's domains and the differences that are there.
    """
    if config.data.mixtures.get(name) != FOUND:
        return config, []
    weights = _weights(config, layout, name)
    said = [f"mixture: the shares of {name} are the weights that were found ({layout.search_summary})"]
    if negative := [domain for domain, weight in weights.items() if weight < 0]:
        said.append(f"mixture: {', '.join(negative)} has no share, as its weight is below 0")
    mixtures = config.data.mixtures | {name: {domain: w for domain, w in weights.items() if w > 0}}
    return replace(config, data=replace(config.data, mixtures=mixtures)), said


def _weights(config: Config, layout: Layout, name: str) -> dict[str, float]:
    """The found weight of each domain, of which at least one is above 0."""
    path = layout.search_summary
    if not path.is_file():
        raise RequestError(f"data.mixtures.{name} is {FOUND}, but no weights were found ({path} is missing): {SEARCH}")
    summary = read_as(path, SearchSummary, f"search again: {SEARCH}")
    if set(summary["domains"]) != set(config.domains):
        raise RequestError(
            f"data.mixtures.{name} is {FOUND}, but {path} is of a search for weights of {', '.join(summary['domains'])}"
            f", and the config's domains are {', '.join(config.domains)}: {SEARCH}"
        )
    if len(summary["found"]) != len(summary["domains"]) or not all(summary["found"]):
        raise RequestError(f"{path} is damaged (not every domain has a weight): search again: {SEARCH}")
    if other := [domain for domain in config.domains if summary["differences"].get(domain) != _vector(layout, domain)]:
        raise RequestError(
            f"data.mixtures.{name} is {FOUND}, but {path} is of other differences than those that are there "
            f"({', '.join(other)}): {SEARCH}"
        )
    columns = zip(summary["domains"], summary["found"], strict=True)
    weights = {domain: math.fsum(groups) / len(groups) for domain, groups in columns}
    if max(weights.values()) <= 0:
        raise RequestError(f"data.mixtures.{name} is {FOUND}, but no weight in {path} is above 0: say the shares")
    return weights


def _vector(layout: Layout, domain: str) -> str:
    """The fingerprint of the domain's difference that is there.

    Raises:
        RequestError: there is none, or its index is damaged.
    """
    from dem.diffs import Difference  # which brings torch

    return Difference(*layout.existing_difference(domain)).index.vector_fingerprint
