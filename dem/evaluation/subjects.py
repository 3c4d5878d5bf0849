"""The models that are compared, each named by its content."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from dem.checkpoints import files_fingerprint
from dem.common import read_json
from dem.diffs import adapter_fingerprint
from dem.evaluation.answers import provenance_hash
from dem.layout import Layout


@dataclass(frozen=True)
class Subject:
    """A model to measure."""

    name: str
    folder: Path
    """Of the model or, of an adapter, of that."""
    fingerprint: str
    """A hash of what the model is: one that answers otherwise has another."""
    is_adapter: bool = False
    """Whether it is the base with an adapter on it."""
    coefficients: list[list[float]] | None = None
    """Of a model that is nowhere written: what each merged difference, in their order, is multiplied by on the base, in
    each group of parameters."""


def subjects_of(
    layout: Layout,
    base: Path,
    adapters: dict[str, Path],
    models: dict[str, Path],
    mixtures: dict[str, Path],
    rivals: dict[str, dict[str, list[float]]],
    patterns: Sequence[str] = (),
    vectors: list[str] | None = None,
) -> list[Subject]:
    """Base, domain models in the order of the merge, mixtures, other weights, merged model, right after the merge.

    Args:
        adapters: folder of each domain's adapter, by domain.
        models: folder of the fully fine-tuned model of each of the other domains, by domain.
        mixtures: folder of the adapter trained on each mixture of domains, by its name.
        rivals: by name, other weights of the differences to compare with: by domain, of each group.
        patterns: of the groups of parameters, whose last one has none.
        vectors: the fingerprints of the differences that `rivals` are of, where these are not the merged ones.
    """
    record = read_json(layout.merge_record)
    subjects = subjects_beside(record, base, adapters, models, mixtures)
    for name, weights in rivals.items():
        coefficients = [[record["scale"] * weight for weight in weights[domain]] for domain in record["domains"]]
        subjects.append(weighted(layout, base, name, coefficients, patterns, vectors))
    return [*subjects, merged_subject(layout)]


def merged_subject(layout: Layout) -> Subject:
    """The merged model that is there."""
    own = _hash(files_fingerprint([layout.merge_record]), layout.merged_model)
    return Subject("merged", layout.merged_model, own)


def subjects_beside(
    record: dict[str, Any],
    base: Path,
    adapters: dict[str, Path],
    models: dict[str, Path],
    mixtures: dict[str, Path],
) -> list[Subject]:
    """Those of `subjects_of` that are there without the merged model; `record` says what is, or is to be, merged."""
    base_fingerprint = _hash(record["base"]["fingerprint"], base)
    subjects = [Subject("base", base, base_fingerprint)]
    for domain, merged in record["domains"].items():
        if domain in adapters:
            own = f"{base_fingerprint} with {adapter_fingerprint(adapters[domain])}"
            subjects.append(Subject(domain, adapters[domain], own, is_adapter=True))
        elif domain in models:
            own = _hash(merged["source"]["fingerprint"], models[domain])
            subjects.append(Subject(domain, models[domain], own))
    for name, adapter in mixtures.items():
        own = f"{base_fingerprint} with {adapter_fingerprint(adapter)}"
        subjects.append(Subject(name, adapter, own, is_adapter=True))
    return subjects


def weighted(
    layout: Layout,
    base: Path,
    name: str,
    coefficients: list[list[float]],
    patterns: Sequence[str] = (),
    vectors: list[str] | None = None,
) -> Subject:
    """The base plus `coefficients` (domains, groups) of the merged differences; the last group is what has no pattern.

    Its fingerprint depends on those differences only that take part. `vectors` are their fingerprints where they are
    not the merged ones.
    """
    record = read_json(layout.merge_record)
    vectors = vectors or [merged["difference_fingerprint"] for merged in record["domains"].values()]
    added = {vector: own for vector, own in zip(vectors, coefficients, strict=True) if any(own)}
    content = f"{_hash(record['base']['fingerprint'], base)} plus {added} by {list(patterns)}"
    return Subject(name, base, xxhash.xxh3_128(content.encode()).hexdigest(), coefficients=coefficients)


def fingerprints_of(layout: Layout, subjects: list[Subject]) -> dict[str, Any]:
    """Hashes by which a reader can tell whether the models are still the ones that were measured.

    `base` is the fingerprint of its weights, `merged` the SHA-256 of its dem_provenance.json.
    """
    return {
        "base": read_json(layout.merge_record)["base"]["fingerprint"],
        "merged": provenance_hash(layout.merge_record),
        "models": {subject.name: subject.fingerprint for subject in subjects},
    }


def _hash(weights: str, folder: Path) -> str:
    """Of the weights' fingerprint and the configuration beside them."""
    return xxhash.xxh3_128(f"{weights} {files_fingerprint([folder / 'config.json'])}".encode()).hexdigest()
