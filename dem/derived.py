"""Differences made of a merge's own by other factors, in a folder of their own beside these, in the same format.

What stage 3 makes of the differences before it merges (see `regmean`, and the search for a weight of each term) is
merged as a weighted sum like any difference: the stream, the check of logits, the search and leave-one-out read it
through the same interface. `made_of.json` beside the vectors says of what they were made; while that is the same, they
are taken again.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dem.atomic import new_folder
from dem.changed_modules import Factors
from dem.common import read_json
from dem.diff_writing import Delta, write_index, write_vector
from dem.diffs import Difference
from dem.errors import RequestError

RECORD = "made_of.json"


def write_derived(
    folder: Path,
    differences: dict[str, Difference],
    factors: dict[str, dict[str, Factors]],
    made_of: dict[str, Any],
    told: dict[str, Any],
    multiplied: dict[str, dict[str, float]] | None = None,
    files: dict[str, bytes] | None = None,
) -> dict[str, Difference]:
    """Write into `folder`, which is replaced, each of `differences` (by domain) with other `factors`, and open them.

    Args:
        factors: by domain and stored name, float32, left (rows, rank) and right (rank, columns); a parameter that is
            not named keeps the change that it has. Products are stored as factors, whatever they were stored as.
        made_of: what the factors depend on, as JSON has it; the differences' own content is added to it.
        told: what else the record is to say.
        multiplied: by domain and stored name, what the change of a parameter that is not in `factors` is multiplied by.
        files: by name, what else is to stand in the folder.

    Raises:
        RequestError: a factor is not finite.
    """
    with new_folder(folder) as new:
        for domain, difference in differences.items():
            own = (multiplied or {}).get(domain, {})
            _write(new, domain, difference, factors[domain], own, folder.name)
        for name, content in (files or {}).items():
            (new / name).write_bytes(content)
        vectors = {domain: d.index.vector_fingerprint for domain, d in _open(new, list(differences)).items()}
        record = {"made_of": _content(differences, made_of), "vectors": vectors, "told": told}
        (new / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return _open(folder, list(differences))


def read_derived(
    folder: Path, differences: dict[str, Difference], made_of: dict[str, Any]
) -> tuple[dict[str, Difference], dict[str, Any]] | None:
    """What `write_derived` wrote into `folder` of the same `differences` and `made_of`, and what it told of them.

    None where there is nothing of these, or it is damaged: they are read whole to see that.
    """
    try:
        record = read_json(folder / RECORD)
        if record["made_of"] != _content(differences, made_of):
            return None
        found = _open(folder, list(differences))
        whole = all(d.intact and record["vectors"][domain] == d.index.vector_fingerprint for domain, d in found.items())
        for difference in found.values():
            for parameter in difference.index.parameters:
                difference.factors(parameter.name) or difference.read(parameter.name)
        return (found, record["told"]) if whole else None
    except (RequestError, KeyError, TypeError):
        return None


def _open(folder: Path, domains: list[str]) -> dict[str, Difference]:
    return {domain: Difference(folder / f"diff_{domain}.npy", folder / f"diff_{domain}.json") for domain in domains}


def _content(differences: dict[str, Difference], made_of: dict[str, Any]) -> dict[str, Any]:
    """All that derived differences depend on, as it comes back from JSON."""
    own = {domain: d.index.vector_fingerprint for domain, d in differences.items()}
    base = next(iter(differences.values())).index.base["fingerprint"]
    return json.loads(json.dumps({"base": base, "differences": own, **made_of}))


def _write(
    folder: Path,
    domain: str,
    difference: Difference,
    factors: dict[str, Factors],
    multiplied: dict[str, float],
    kind: str,
) -> None:
    deltas = [
        _delta(p.name, p.shape, difference, factors.get(p.name), multiplied.get(p.name, 1.0))
        for p in difference.index.parameters
    ]
    quiet: Callable[..., None] = lambda *_: None  # noqa: E731
    parameters, digest = write_vector(folder / f"diff_{domain}.npy", deltas, "lowrank", "float32", 1.0, quiet, quiet)
    source = {"kind": kind, "path": str(difference.path), "fingerprint": difference.index.vector_fingerprint}
    fields = {"source": source, "storage": "lowrank", "dtype": "float32", "parameters": parameters}
    index = replace(difference.index, vector_fingerprint=digest, **fields)
    write_index(folder / f"diff_{domain}.json", index)


def _delta(
    name: str, shape: tuple[int, ...], difference: Difference, factors: Factors | None, multiplied: float
) -> Delta:
    if factors is None and (own := difference.factors(name)):
        factors = own[0] * multiplied, own[1]
    if factors:
        return Delta.of_factors(name, *(half.to(torch.float32).contiguous() for half in factors), 1.0)
    return Delta.of_whole(name, shape, lambda: difference.read(name) * multiplied)
