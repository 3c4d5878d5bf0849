"""A weight for each term or module: from one weight for each domain, by `descent`, to the differences that are merged.

What is found is multiplied into the left factors (or into the change where there are none), and written as differences
of their own, whose plain sum, times merge.scale, is added to the base.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import xxhash

from dem.atomic import require_space, write_text
from dem.changed_modules import Factors
from dem.common import log, read_json
from dem.config import TERMS, Config
from dem.derived import read_derived, write_derived
from dem.diffs import Difference
from dem.evaluation.documents import Document
from dem.layout import Layout
from dem.search.descent import EVERY, Descended, Descent
from dem.search.descent_state import DescentFile
from dem.search.halves import fingerprints, halves
from dem.search.objectives import objective_of
from dem.search.outcome import gain
from dem.search.singular import sizes_of
from dem.search.terms import Terms

WEIGHTS = "weights.safetensors"
"""Beside the vectors: `<domain>:<parameter>`, float32, the weights in the order of the columns."""
Factored = dict[str, dict[str, Factors]]
"""By domain and stored name, in singular form."""


def refine(
    config: Config,
    layout: Layout,
    terms: Terms,
    factors: Factored,
    differences: dict[str, Difference],
    documents: dict[str, list[Document]],
    scalars: np.ndarray,
    content: dict[str, Any],
) -> tuple[dict[str, Difference], dict[str, Any]]:
    """The differences with the weights found from `scalars` (domains,) on, and the record of how, which is added to the
    summary of the search.

    Args:
        terms: of `factors`; it is numbered anew.
        documents: the tune documents by domain.
        content: what else the losses depend on.

    Raises:
        RequestError: a domain has too few documents, or the disk has no room for the differences.
        WorkError: a loss is no number.
    """
    settings = config.search
    terms.number(settings.groups)
    sides = halves(documents, settings.seed)
    objective = objective_of(settings, list(documents), None)
    key = content | {
        **{name: getattr(settings, name) for name in ("groups", "penalty", "learning_rate", "steps", "seed")},
        "shares": objective.shares.tolist(),
        "scale": config.merge.scale,
        "start": scalars.tolist(),
        "documents": [fingerprints(side) for side in sides],
    }
    kept, start = DescentFile(layout.descent_state, key), scalars[terms.numbering.owners]
    descent = Descent(terms, sides, objective, settings, config.merge.scale, start, config.data.max_length, kept)
    found = descent.run(layout.descent_table)
    weights = {key: found.weights[numbers] for key, numbers in terms.numbering.of.items()}
    merged, fingerprint = _write(layout.derived(TERMS), differences, factors, weights, settings.groups)
    record = {"groups": settings.groups, "weights": len(found.weights), "weights_fingerprint": fingerprint}
    record |= _described(terms.domains, scalars, weights, factors, differences)
    record |= {"shares": dict(zip(terms.domains, objective.shares.tolist(), strict=True))}
    record |= _told(found, [sum(len(o.ids) - 1 for own in side.values() for o in own) for side in sides])
    summary = read_json(layout.search_summary) | {"fine": record | {"rows": found.told["rows"]}}
    write_text(layout.search_summary, json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _say(record)
    return merged, record


def _write(
    folder: Path,
    differences: dict[str, Difference],
    factors: Factored,
    weights: dict[tuple[str, str], torch.Tensor],
    groups: str,
) -> tuple[dict[str, Difference], str]:
    """The differences times the weights, and the hash of the file of these."""
    tensors = {f"{domain}:{name}": own.contiguous() for (domain, name), own in weights.items()}
    file = safetensors.torch.save(tensors)
    fingerprint = xxhash.xxh3_128(file).hexdigest()
    made_of = {"groups": groups, "weights": fingerprint}
    if known := read_derived(folder, differences, made_of):
        return known[0], fingerprint
    lefts = {
        domain: {name: (left * weights[domain, name], right) for name, (left, right) in own.items()}
        for domain, own in factors.items()
    }
    alone = {
        domain: {p.name: float(weights[domain, p.name][0]) for p in d.index.parameters if p.name not in lefts[domain]}
        for domain, d in differences.items()
    }
    stored = sum(half.numel() for own in lefts.values() for pair in own.values() for half in pair)
    for domain, own in alone.items():
        stored += sum(p.size for p in differences[domain].index.parameters if p.name in own)
    require_space(folder.parent, 4 * stored)
    told = {"weights_file": WEIGHTS}
    return write_derived(folder, differences, lefts, made_of, told, alone, {WEIGHTS: file}), fingerprint


def _described(
    domains: list[str],
    scalars: np.ndarray,
    weights: dict[tuple[str, str], torch.Tensor],
    factors: Factored,
    differences: dict[str, Difference],
) -> dict[str, Any]:
    """Of each domain the weight at the start, and the mean and spread (standard deviation) of those found.

    Each weight counts by the square of the size of what it multiplies, so that directions that hardly matter do not.
    """
    start, mean, spread = dict(zip(domains, scalars.tolist(), strict=True)), {}, {}
    for domain in domains:
        own, sizes = [], []
        for (other, name), each in weights.items():
            if other == domain:
                size = _sizes(factors[domain].get(name), differences[domain], name)
                sizes.append(size if len(each) == len(size) else size.norm().view(1))
                own.append(each.to(torch.float64))
        values, counts = torch.cat(own), torch.cat(sizes).square()
        counts = counts / counts.sum() if counts.sum() > 0 else torch.full_like(counts, 1 / len(counts))
        mean[domain] = float(counts @ values)
        spread[domain] = float(counts @ (values - mean[domain]).square()) ** 0.5
    return {"start": start, "mean": mean, "spread": spread}


def _sizes(factors: Factors | None, difference: Difference, name: str) -> torch.Tensor:
    """The singular values of a change or, without factors, its Euclidean norm; float64."""
    return sizes_of(factors) if factors else difference.read(name).to(torch.float64).norm().view(1)


def _told(found: Descended, tokens: list[int]) -> dict[str, Any]:
    """What the provenance says of the descent."""
    told = {name: found.told[name] for name in ("step", "fitted", "held", "forward_tokens", "backward_tokens")}
    told |= {"last_step": found.told["rows"][-1]["step"], "every": EVERY}
    return told | {"fitted_tokens": tokens[0], "held_tokens": tokens[1], "seconds": round(found.told["seconds"], 1)}


def _say(record: dict[str, Any]) -> None:
    if record["step"] == 0:
        log.info("search: nothing was better on the held-back half than one weight for each domain, which stays")
    for domain, mean in record["mean"].items():
        start, spread = record["start"][domain], record["spread"][domain]
        log.info(f"search: {domain} {mean:.3f} on average, spread {spread:.3f} (began at {start:g})")
    fitted, held = (gain(record, side) for side in ("fitted", "held"))
    log.info(
        f"search: chosen is step {record['step']} of {record['last_step']}; against one weight for each domain, "
        f"objective {fitted:.5f} nats per token better on the half it stepped on, {held:.5f} on the held-back half; "
        f"{record['forward_tokens']:,} tokens forward, {record['backward_tokens']:,} backward, {record['seconds']} s"
    )
