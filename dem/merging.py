"""The merge: which differences, with what weights, onto what base, and the record of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

import dem
from dem.checkpoints import Checkpoint, copy_other_files
from dem.config import Config, MergeConfig
from dem.diffs import Difference
from dem.errors import RequestError, WorkError
from dem.layout import Layout
from dem.methods import normalised_weights, weighted_sum

METHODS = {"weighted_sum": weighted_sum}


def effective_weights(merge: MergeConfig) -> dict[str, float]:
    """Lambda times each domain's weight, normalised if the config says so."""
    weights = normalised_weights(merge.weights) if merge.normalize else merge.weights
    return {domain: merge.scale * weight for domain, weight in weights.items()}


def open_differences(domains: list[str], layout: Layout, base_fingerprint: str, checkpoint: Checkpoint) -> dict:
    """Each domain's Difference, by domain.

    Raises:
        RequestError: a difference is missing or damaged, was made from another base, or changes a parameter that
            the base does not have in that shape. All mistakes are named together.
    """
    differences, mistakes = {}, []
    for domain in domains:
        vector, index = layout.diff_vector(domain), layout.diff_index(domain)
        try:
            if missing := [str(path) for path in (vector, index) if not path.is_file()]:
                raise RequestError(
                    f"domain {domain} has no difference ({' and '.join(missing)} missing): make it with "
                    f"python dem/vector_diff.py --config CONFIG --domain {domain}, or take it out of merge.weights"
                )
            differences[domain] = Difference(vector, index)
            _require_fit(differences[domain], base_fingerprint, checkpoint)
        except RequestError as mistake:
            mistakes.append(str(mistake))
    if mistakes:
        raise RequestError("; ".join(mistakes))
    return differences


def _require_fit(difference: Difference, base_fingerprint: str, checkpoint: Checkpoint) -> None:
    made_from = difference.index.base
    if made_from["fingerprint"] != base_fingerprint:
        raise RequestError(
            f"{difference.path} was made from another base ({made_from['name']}, fingerprint "
            f"{made_from['fingerprint']}) than base_model (fingerprint {base_fingerprint}): make it again"
        )
    for p in difference.index.parameters:
        if p.name not in checkpoint:
            raise RequestError(f"{difference.path} changes {p.name}, which the base {checkpoint.folder} lacks")
        if checkpoint.shape(p.name) != p.shape:
            shapes = f"{list(p.shape)}, in the base it is {list(checkpoint.shape(p.name))}"
            raise RequestError(f"{difference.path} changes {p.name} of shape {shapes}")


def merged_tensor(
    differences: dict[str, Difference], weights: dict[str, float], method: str
) -> Callable[[str, torch.Tensor], torch.Tensor]:
    """The function from a base tensor to the merged one; a tensor that no difference changes is returned as it is.

    The sum is accumulated in float32 (float64 for a float64 base) and rounded once, to the base's dtype.
    """
    combine = METHODS[method]

    def merged(name: str, base: torch.Tensor) -> torch.Tensor:
        changing = [d for d in differences if name in differences[d] and weights[d] != 0]
        if not changing:
            return base
        total = combine([differences[d].read(name) for d in changing], [weights[d] for d in changing])
        result = (base.to(torch.promote_types(base.dtype, torch.float32)) + total).to(base.dtype)
        if not torch.isfinite(result).all():
            raise WorkError(f"the merged {name} is not finite in the base's {base.dtype}: lower merge.scale")
        return result

    return merged


def write_model(
    folder: Path,
    checkpoint: Checkpoint,
    merged: Callable[[str, torch.Tensor], torch.Tensor],
    provenance: dict[str, Any],
    progress: Callable[[int], object],
) -> None:
    """Write the merged weights, the base's config and tokenizer, the model card and `dem_provenance.json`."""
    copy_other_files(checkpoint.folder, folder)
    for size in checkpoint.write(folder, merged):
        progress(size)
    text = json.dumps(provenance, indent=1, ensure_ascii=False)
    (folder / "dem_provenance.json").write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_model_card(provenance), encoding="utf-8")


def make_provenance(
    config: Config, base_fingerprint: str, differences: dict[str, Difference], weights: dict[str, float]
) -> dict[str, Any]:
    """Everything that the merged model was made of."""
    return {
        "base": {"name": config.base_model, "fingerprint": base_fingerprint},
        "method": config.merge.method,
        "scale": config.merge.scale,
        "normalize": config.merge.normalize,
        "domains": {
            domain: {
                "weight": config.merge.weights[domain],
                "effective_weight": weights[domain],
                "difference_fingerprint": d.index.vector_fingerprint,
                "source": d.index.source,
                "diff_normalize": d.index.normalize,
            }
            for domain, d in differences.items()
        },
        "versions": {m.__name__: m.__version__ for m in (dem, torch, transformers, safetensors)},
    }


def _model_card(provenance: dict[str, Any]) -> str:
    rows = [
        f"| {domain} | {d['effective_weight']:.6g} | `{d['difference_fingerprint']}` |"
        for domain, d in provenance["domains"].items()
    ]
    base = provenance["base"]
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "tags: [merge, distribution-edited-model]",
            "---",
            "",
            "# Distribution edited model",
            "",
            f"The base `{base['name']}` (fingerprint `{base['fingerprint']}`) plus weighted differences of domain",
            f"models, method {provenance['method']} (Ram et al. 2024, arXiv 2406.15570), without further training.",
            "",
            "| domain | factor on its difference | fingerprint of the difference |",
            "|---|---|---|",
            *rows,
            "",
            "`dem_provenance.json` holds the whole record.",
            "",
        ]
    )
