"""The search as a part of stage 3: from the files of the layout to the settings of the merge."""

import gc
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from transformers import PreTrainedModel

import dem
from dem.changed_modules import Factors, changed_names, factors_of
from dem.checkpoints import Checkpoint
from dem.common import load_model, load_tokenizer, reuse_freed_memory
from dem.config import Config, MergeConfig, ParameterWeights, hand_weights
from dem.corpus import Corpus
from dem.diffs import Difference
from dem.errors import RequestError
from dem.evaluation.comparison import dtype_here
from dem.evaluation.documents import Document, encode_documents
from dem.evaluation.drawing import at_most
from dem.evaluation.evaluated import Evaluated
from dem.layout import Layout
from dem.merging import require_same_split
from dem.search.find import Search, find_weights
from dem.search.fine import refine
from dem.search.halves import halves
from dem.search.quadratic import Limits
from dem.search.singular import singular_form
from dem.search.terms import Terms


def search_weights(
    config: Config,
    layout: Layout,
    base: Path,
    differences: dict[str, Difference],
    documents: dict[str, list[Document]],
) -> tuple[MergeConfig, dict[str, Any], dict[str, Difference]]:
    """The settings of the merge with the weights that were found on the tune `documents`, the record of how, and what
    is merged: `differences` or, where each of their terms or modules has a weight, these times the weights.

    In memory are the base and the factors of the differences, and of full models' differences one parameter.

    Raises:
        RequestError: a group has no parameter.
    """
    checkpoint = Checkpoint(base)
    group_of = groups(config.search.patterns, changed_names(differences))
    reuse_freed_memory()
    model = load_model(base, dtype_here(), kernels=config.kernels)
    factors = all_factors(checkpoint, layout, differences, singular=True)
    terms = Terms(model, checkpoint, differences, factors, group_of)
    limits = Limits(config.merge.normalize, config.search.bound)
    hand = hand_weights(config)
    start = np.repeat(np.array([[hand[domain]] for domain in differences]), max(group_of) + 1, 1)
    fingerprints = {domain: d.index.vector_fingerprint for domain, d in differences.items()}
    key = {
        "base": next(iter(differences.values())).index.base["fingerprint"],
        "differences": fingerprints,
        "groups": config.search.patterns,
        "max_length": config.data.max_length,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {m.__name__: m.__version__ for m in (dem, torch, transformers, peft)},
    }
    kept = Evaluated(layout.search_kept, key)
    search = Search(terms, documents, config.data.max_length, config.merge.scale, kept, layout.search_table)
    made = {domain: Difference(*layout.existing_difference(domain)).index.vector_fingerprint for domain in differences}
    found = find_weights(search, config.search, start, limits, layout.search_summary, {"differences": made})
    settings, merged = _settings(config, found.domains, found.weights, group_of), differences
    if config.search.fine:
        own = (terms, factors, differences, documents, found.weights[:, 0], key)
        merged, found.record["fine"] = refine(config, layout, *own)
        settings = replace(settings, weights=dict.fromkeys(found.domains, 1.0))
    del model, terms, search
    gc.collect()  # before the merge; PEFT's and transformers' layers refer to each other in circles
    return settings, found.record, merged


def _settings(config: Config, domains: list[str], weights: np.ndarray, group_of: Sequence[int]) -> MergeConfig:
    """What the merge is told: the last group are the parameters that no pattern matches."""
    columns = [dict(zip(domains, map(float, column), strict=True)) for column in weights.T]
    own = [ParameterWeights(pattern, columns[i]) for i, pattern in enumerate(config.search.patterns)]
    return replace(config.merge, weights=columns[max(group_of)], weights_by_parameter=own)


def groups(patterns: list[str], names: list[str]) -> list[int]:
    """The number of the group of each parameter: that of the first pattern found in its name, or one more than all.

    Raises:
        RequestError: a pattern decides of no parameter.
    """
    found = [next((i for i, pattern in enumerate(patterns) if re.search(pattern, n)), len(patterns)) for n in names]
    if idle := [pattern for i, pattern in enumerate(patterns) if i not in found]:
        raise RequestError(
            f"search.groups: {idle[0]!r} matches no merged parameter that an earlier pattern leaves to it"
        )
    return found


def search_inputs(
    config: Config, layout: Layout, base: Path, differences: dict[str, Difference]
) -> dict[str, list[Document]]:
    """The tune documents that a search looks at, by domain, once everything that it would refuse is checked.

    Raises:
        RequestError: a domain has no tune document or too few, an adapter was trained on another split, a group has no
            parameter.
    """
    groups(config.search.patterns, changed_names(differences))
    documents = tune_documents(config, layout, base, list(differences))
    if config.search.fine:
        halves(documents, config.search.seed)  # which refuses too few
    return documents


def tune_documents(config: Config, layout: Layout, base: Path, domains: list[str]) -> dict[str, list[Document]]:
    """Of each domain the tune documents that the search looks at; those that nothing was trained on.

    Raises:
        RequestError: there are none, or the split is not that of the training.
    """
    tokenizer = load_tokenizer(base)
    found = {}
    for number, domain in enumerate(domains):
        documents = encode_documents(corpus_as_trained(config, layout, domain).documents("tune"), tokenizer)
        found[domain] = at_most(documents, config.search.tokens, config.search.seed + number)
        if not any(len(document.ids) > 1 for document in found[domain]):
            raise RequestError(
                f"{domain} has no tune document, on which weights are found and looked at: raise data.tune_fraction "
                "and train again (or name the weights)"
            )
    return found


def corpus_as_trained(config: Config, layout: Layout, domain: str) -> Corpus:
    """The domain's text, split as its adapter was trained on it.

    Raises:
        RequestError: there is no text, or the split is not that of the training.
    """
    files = layout.parquet_files(domain)
    if layout.adapter(domain).is_dir():
        require_same_split(layout.adapter(domain), config.data, files)
    return Corpus(files, config.data)


def open_terms(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    layout: Layout,
    differences: dict[str, Difference],
    group_of: Sequence[int] | None = None,
) -> Terms:
    """`model`, loaded from the base, with what the layout's files say of the differences."""
    return Terms(model, checkpoint, differences, all_factors(checkpoint, layout, differences), group_of)


def all_factors(
    checkpoint: Checkpoint, layout: Layout, differences: dict[str, Difference], singular: bool = False
) -> dict[str, dict[str, Factors]]:
    """The low-rank changes of all `differences`, by domain and stored name, `singular`: in that form."""
    found = {domain: factors_of(d, layout.adapter(domain), checkpoint) for domain, d in differences.items()}
    if singular:
        found = {domain: {name: singular_form(each) for name, each in own.items()} for domain, own in found.items()}
    return found
