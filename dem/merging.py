"""The merge: which differences, with what weights, onto what base, and the record of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

import dem
from dem import native
from dem.checkpoints import Checkpoint, copy_other_files, files_fingerprint
from dem.common import read_json
from dem.config import Config, DataConfig, MergeConfig
from dem.diffs import Difference, adapter_fingerprint
from dem.errors import RequestError, WorkError
from dem.layout import RUN_RECORD, Layout
from dem.methods import normalised_weights, weighted_sum

METHODS = {"weighted_sum": weighted_sum}


def effective_weights(merge: MergeConfig) -> dict[str, float]:
    """Lambda times each domain's weight, normalised if the config says so."""
    weights = normalised_weights(merge.weights) if merge.normalize else merge.weights
    return {domain: merge.scale * weight for domain, weight in weights.items()}


def open_differences(
    domains: list[str], layout: Layout, base_fingerprint: str, checkpoint: Checkpoint
) -> dict[str, Difference]:
    """Each domain's Difference, by domain.

    Raises:
        RequestError: a difference is missing or damaged, was made from another base, or changes a parameter that
            the base does not have in that shape. All mistakes are named together.
    """
    differences, mistakes = {}, []
    for domain in domains:
        try:
            differences[domain] = Difference(*layout.existing_difference(domain))
            _require_own(differences[domain], domain, layout.adapter(domain))
            _require_fit(differences[domain], base_fingerprint, checkpoint)
        except RequestError as mistake:
            mistakes.append(str(mistake))
    if len({d.index.normalize for d in differences.values()}) > 1:
        mistakes.append("some differences have norm 1 (diff.normalize l2) and some their own: make all alike")
    if mistakes:
        raise RequestError("; ".join(mistakes))
    return differences


def _require_own(difference: Difference, domain: str, adapter: Path) -> None:
    """Refuse a difference of another domain, or of an adapter that was trained anew since."""
    index = difference.index
    if index.domain != domain:
        raise RequestError(f"{difference.path} is the difference of domain {index.domain}, by its index: make it again")
    is_adapters = index.source.get("kind") == "adapter" and (adapter / "adapter_config.json").is_file()
    if is_adapters and index.source.get("fingerprint") != adapter_fingerprint(adapter):
        raise RequestError(
            f"{difference.path} is older than the adapter in {adapter}, which has changed: make it again"
        )


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


def require_same_split(adapter: Path, data: DataConfig, files: list[Path]) -> None:
    """Refuse to evaluate an adapter on a test split that its training may have seen.

    Raises:
        RequestError: stage 1's record beside the adapter names other shares, another group column or other text.
    """
    record = adapter / RUN_RECORD
    if not record.is_file():
        return
    trained = read_json(record).get("data", {})
    now = {"tune_fraction": data.tune_fraction, "test_fraction": data.test_fraction, "group_column": data.group_column}
    if changed := [f"data.{k} was {trained.get(k)}, is {v}" for k, v in now.items() if trained.get(k) != v]:
        raise RequestError(f"{adapter} was trained on another split ({'; '.join(changed)}): set it back or train again")
    if trained.get("fingerprint") != files_fingerprint(files):
        raise RequestError(f"{adapter} was trained on other text than {files[0]} holds now: train again")


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
    """Write the merged weights, the base's config and tokenizer, the model card and `dem_provenance.json`.

    Of a native mamba_ssm base the config is written in transformers' terms, as the weights are.
    """
    copy_other_files(checkpoint.folder, folder)
    if config := native.transformers_config(checkpoint.folder):
        config.dtype = checkpoint.read(native.EMBEDDING).dtype  # A_log and D are often kept in float32 beside it
        config.save_pretrained(folder)
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
