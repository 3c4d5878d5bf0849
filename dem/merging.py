"""The merge: which differences, with what weights, onto what base, and the record of it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

import numpy as np
import torch

import dem
from dem import native
from dem.checkpoints import (
    DTYPES,
    Checkpoint,
    Tensor,
    copy_other_files,
    files_fingerprint,
    matrix_shape,
    tile_rows,
)
from dem.common import has_tokenizer, read_json
from dem.compiled import add_to_half
from dem.config import METHOD_FIELDS, DataConfig, MergeConfig
from dem.diffs import Difference, Rows, adapter_fingerprint, is_finite
from dem.errors import RequestError, WorkError
from dem.layout import RUN_RECORD, Layout
from dem.methods import METHODS, check_weights, combiner, parameter_weights, weighted_factors
from dem.rewrite import Change, unrounded_dtype
from dem.streams import Scratch
from dem.trained_adapter import base_files, require_as_trained, require_same_base_files
from dem.typed import read_as

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def open_differences(domains: list[str], layout: Layout, checkpoint: Checkpoint) -> dict[str, Difference]:
    """Each domain's Difference, by domain.

    Raises:
        RequestError: a difference is missing or damaged, its adapter or the base's config.json or tokenizer is no
            longer what it was made with, or it changes a parameter that the base does not have in that shape. All
            mistakes are named together.
    """
    differences, mistakes, files = {}, [], base_files(checkpoint.folder)
    for domain in domains:
        try:
            differences[domain] = Difference(*layout.existing_difference(domain))
            _require_own(differences[domain], domain, layout.adapter(domain), files)
            _require_fit(differences[domain], checkpoint)
        except RequestError as mistake:
            mistakes.append(str(mistake))
    if len({d.index.normalize for d in differences.values()}) > 1:
        mistakes.append("some differences have norm 1 (diff.normalize l2) and some their own: make all alike")
    if mistakes:
        raise RequestError("; ".join(mistakes))
    return differences


def _require_own(difference: Difference, domain: str, adapter: Path, files: dict[str, str | None]) -> None:
    """Refuse a difference of another domain, or of an adapter or a base that has changed since; `files` are the base's.

    An adapter that is no longer there is not asked for.
    """
    index = difference.index
    if index.domain != domain:
        raise RequestError(f"{difference.path} is the difference of domain {index.domain}, by its index: make it again")
    is_adapters = index.source.get("kind") == "adapter" and (adapter / "adapter_config.json").is_file()
    if is_adapters:
        require_as_trained(adapter, files)
    if is_adapters and index.source.get("fingerprint") != adapter_fingerprint(adapter):
        raise RequestError(
            f"{difference.path} is older than the adapter in {adapter}, which has changed: make it again"
        )
    require_same_base_files(index.base, files, f"{difference.path} was made", "make it again (dem/vector_diff.py)")


def require_base(differences: dict[str, Difference], fingerprint: str) -> None:
    """Refuse differences that were made from another base than the one with this fingerprint, or by a changed index.

    Raises:
        RequestError: names all of them.
    """
    if mistakes := [
        f"{d.path} was made from another base ({d.index.base['name']}, fingerprint {d.index.base['fingerprint']}) "
        f"than base_model (fingerprint {fingerprint}): make it again"
        for d in differences.values()
        if d.index.base["fingerprint"] != fingerprint
    ]:
        raise RequestError("; ".join(mistakes))
    if changed := [str(d.path.with_suffix(".json")) for d in differences.values() if not d.intact]:
        raise RequestError(f"{', '.join(changed)}: not what was written with the vector; make both again")


def require_one_base(differences: dict[str, Difference]) -> None:
    """Refuse differences that cannot all be of the base, without reading it: they were made from different ones.

    Raises:
        RequestError: names them, by base.
    """
    of_base: dict[str, list[Difference]] = {}
    for d in differences.values():  # the same base may have been elsewhere each time
        of_base.setdefault(d.index.base["fingerprint"], []).append(d)
    if len(of_base) > 1:
        made = "; ".join(
            f"{', '.join(str(d.path) for d in some)} from {some[0].index.base['name']}, fingerprint {fingerprint}"
            for fingerprint, some in of_base.items()
        )
        raise RequestError(f"the differences were made from different bases ({made}): make those of another base again")


def _require_fit(difference: Difference, checkpoint: Checkpoint) -> None:
    for p in difference.index.parameters:
        if p.name not in checkpoint:
            raise RequestError(f"{difference.path} changes {p.name}, which the base {checkpoint.folder} lacks")
        if checkpoint.shape(p.name) != p.shape:
            shapes = f"{list(p.shape)}, in the base it is {list(checkpoint.shape(p.name))}"
            raise RequestError(f"{difference.path} changes {p.name} of shape {shapes}")


class _Trained(TypedDict, total=False):
    data: dict[str, Any]


def require_same_split(adapter: Path, data: DataConfig, files: list[Path]) -> None:
    """Refuse to evaluate an adapter on a test split that its training may have seen.

    Raises:
        RequestError: stage 1's record beside the adapter names other shares, another group column or other text.
    """
    record = adapter / RUN_RECORD
    if not record.is_file():
        return
    trained = read_as(record, _Trained, "remove it or train again").get("data", {})
    now = {"tune_fraction": data.tune_fraction, "test_fraction": data.test_fraction, "group_column": data.group_column}
    if changed := [f"data.{k} was {trained.get(k)}, is {v}" for k, v in now.items() if trained.get(k) != v]:
        raise RequestError(f"{adapter} was trained on another split ({'; '.join(changed)}): set it back or train again")
    if trained.get("fingerprint") != files_fingerprint(files):
        raise RequestError(f"{adapter} was trained on other text than {files[0]} holds now: train again")


PRODUCT_TILES = 4
"""Tiles of a product that are computed together: an operation on one is so short that threads which hand over Python's
global lock after each wait for it as long."""

KEPT_FACTORS = 16
"""Parameters whose factors wait in memory until the model computes with them, which is a few layers behind."""

AddedRows = Callable[[int, int], torch.Tensor]
"""From the first row's number, at which a tile begins, and the number of the tile's rows, what is added to them: in
memory that the thread overwrites when it asks again."""


class Merge:
    """The function from each tensor of the base to the merged one: sums in the `unrounded_dtype`, rounded once."""

    def __init__(self, differences: dict[str, Difference], settings: MergeConfig):
        """Of `differences`, by domain, as `settings` says.

        Raises:
            RequestError: the settings' weights do not fit the parameters that the differences change.
        """
        self._differences = differences
        self._settings = settings
        self._tile, self._reading = Scratch(), Lock()
        self.changed = sorted({p.name for d in differences.values() for p in d.index.parameters})
        check_weights(settings, self.changed)
        self.factors = lru_cache(KEPT_FACTORS)(self._factors)

    def of(self, tensor: Tensor) -> Change | None:
        """What `rewrite` asks for: the function from rows of `tensor` to the merged ones; None to copy it.

        Raises:
            RequestError: (when called) a difference is damaged.
            WorkError: (when called) a merged element is not finite in the base's dtype.
        """
        if not any(tensor.name in self._differences[domain] for domain in self._domains(tensor.name)):
            return None
        step = tile_rows(tensor.shape) * (PRODUCT_TILES if self.is_product(tensor.name) else 1)
        found: list[AddedRows] = []

        def change(first: int, base: torch.Tensor, out: torch.Tensor, unrounded: torch.Tensor | None) -> None:
            if not found:  # then by the first thread that is here, and of one tensor at a time, which may be large
                with self._reading:
                    if not found:
                        found.append(self._added(tensor))
            (rows,) = found
            for done in range(0, len(base), step):
                part = base[done : done + step]
                tile = rows(first + done, len(part))
                if not add_rounded_once(part, tile, out[done : done + step]):
                    self._refuse(tensor)
                if unrounded is not None:
                    torch.add(part, tile, out=unrounded[done : done + step])

        return change

    def is_product(self, name: str) -> bool:
        """Whether what is added to the parameter is a sum of products, one for each domain: see `factors`."""
        domains = self._domains(name)
        plain = METHODS[self._settings.method].is_sum
        return plain and bool(domains) and all(self._differences[domain].is_product(name) for domain in domains)

    def _factors(self, name: str, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """The two matrices, of `dtype`, whose product is added to the parameter `name`, which is one: `is_product`."""
        domains = self._domains(name)
        factors = [[half.to(dtype) for half in self._differences[domain].factors(name)] for domain in domains]
        lefts, rights = zip(*weighted_factors(self._settings, name, domains, factors), strict=True)
        # sum_i L_i R_i = [L_1, L_2, ...] [R_1; R_2; ...]: one product in place of one for each domain.
        return torch.cat(lefts, 1), torch.cat(rights)

    def _domains(self, name: str) -> list[str]:
        """The domains whose difference of the parameter has a weight other than 0."""
        weights = parameter_weights(self._settings, name)
        return [domain for domain in self._differences if weights.get(domain, 0) != 0]

    def _added(self, tensor: Tensor) -> AddedRows:
        """The function to the rows of what is added to `tensor`, unrounded.

        A method that is not elementwise needs the differences whole; for one that is, tiles of them pass through a
        buffer.
        """
        domains, dtype = self._domains(tensor.name), unrounded_dtype(DTYPES[tensor.dtype])
        if self.is_product(tensor.name):
            return self._product(*self.factors(tensor.name, dtype))
        combine = combiner(self._settings, tensor.name, domains)
        readers = [d.rows(tensor.name) if tensor.name in d else None for d in map(self._differences.get, domains)]
        height, width = matrix_shape(tensor.shape)
        if METHODS[self._settings.method].elementwise:

            def rows(first: int, count: int) -> torch.Tensor:
                return combine(_read(readers, first, self._tile(len(readers), count, width, dtype=dtype)))

            return rows
        whole, step = torch.empty(len(readers), height, width, dtype=dtype), tile_rows(tensor.shape)
        for first in range(0, height, step):
            _read(readers, first, whole[:, first : first + step])
        if not is_finite(whole):
            self._refuse(tensor)
        added = combine(whole.view(-1, *tensor.shape)).view(height, width)
        return lambda first, count: added[first : first + count]

    def _product(self, left: torch.Tensor, right: torch.Tensor) -> AddedRows:
        def rows(first: int, count: int) -> torch.Tensor:
            return torch.mm(left[first : first + count], right, out=self._tile(count, right.shape[1], dtype=left.dtype))

        return rows

    def _refuse(self, tensor: Tensor) -> NoReturn:
        for difference in self._differences.values():
            if tensor.name in difference:
                difference.read(tensor.name)  # which refuses NaN and Inf by name
        raise WorkError(f"the merged {tensor.name} is not finite in the base's {tensor.dtype}: lower merge.scale")


def _read(readers: list[Rows | None], first: int, stack: torch.Tensor) -> torch.Tensor:
    """Fill each matrix of `stack` with the tile that begins at row number `first`, with zeros without a reader."""
    for reader, rows in zip(readers, stack, strict=True):
        if reader:
            reader.read(first, rows)
        else:
            rows.zero_()
    return stack


HALVES = {torch.float16: (10, 15), torch.bfloat16: (7, 127)}
"""Of the 16-bit types: the fraction's bits, and what is added to the exponent."""


def add_rounded_once(base: torch.Tensor, change: torch.Tensor, out: torch.Tensor) -> bool:
    """Set `out` to `base` + `change`, rounded once to their dtype; return whether all of it is finite.

    A sum in float32 is itself rounded. Where that puts it halfway between two numbers of a 16-bit type, the second
    rounding would be a guess (1 element in 16,000 of float16 goes wrong): so for these, too, it is taken in float64.

    Args:
        base: any floating type, contiguous.
        change: of the `unrounded_dtype`, of the same shape, contiguous.
        out: of the type of `base`.
    """
    if base.dtype in HALVES:
        before, after = (half.view(-1).view(torch.int16).numpy() for half in (base, out))
        return add_to_half(before, change.view(-1).numpy(), after, *HALVES[base.dtype])
    torch.add(base, change, out=out)
    return is_finite(out)


def write_other_files(folder: Path, checkpoint: Checkpoint) -> None:
    """Write what belongs to the merged model beside its weights: the base's config and tokenizer.

    Of a native mamba_ssm base the config is written in transformers' terms, as the weights are.
    """
    copy_other_files(checkpoint.folder, folder)
    if config := native.transformers_config(checkpoint.folder):
        config.dtype = checkpoint.read(native.EMBEDDING).dtype  # A_log and D are often kept in float32 beside it
        if has_tokenizer(checkpoint.folder):
            _write_special_tokens(folder, config, checkpoint.folder)
        config.save_pretrained(folder)


def _write_special_tokens(folder: Path, config: "PreTrainedConfig", base: Path) -> None:
    """Let config and generation_config.json in `folder` name the tokenizer's special tokens, which `config` gets.

    A native config names none, and a model that does not know its end-of-sequence token generates past it.
    """
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    is_there = (folder / "generation_config.json").is_file()
    generation = GenerationConfig.from_pretrained(folder) if is_there else GenerationConfig()
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        token = getattr(tokenizer, name)
        setattr(config, name, token)
        if getattr(generation, name) is None:
            setattr(generation, name, token)
    generation.save_pretrained(folder)
    _keep_tokenizer_class(folder, type(tokenizer).__name__)


def _keep_tokenizer_class(folder: Path, name: str) -> None:
    """Name the tokenizer's class where no file does: transformers would take that of its own models of the kind."""
    path = folder / "tokenizer_config.json"
    settings = read_json(path) if path.is_file() else {}
    if "tokenizer_class" not in settings:
        text = json.dumps({**settings, "tokenizer_class": name}, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def write_record(folder: Path, provenance: dict[str, Any]) -> None:
    """Write what the model in `folder` was made of: `dem_provenance.json`, and the model card for people."""
    text = json.dumps(provenance, indent=1, ensure_ascii=False)
    (folder / "dem_provenance.json").write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_model_card(provenance), encoding="utf-8")


def make_provenance(
    settings: MergeConfig, base: str, differences: dict[str, Difference], sources: dict[str, Difference] | None = None
) -> dict[str, Any]:
    """Everything that the merged model was made of; `base` is the base's name.

    `sources` are the domains' own differences where others, derived of them, were merged.
    """
    sources = sources or differences
    used = {"method": settings.method, "scale": settings.scale}
    used |= {name: getattr(settings, name) for name in METHOD_FIELDS[settings.method] if name != "weights"}
    if settings.weights_by_parameter:
        used["weights_by_parameter"] = [asdict(own) for own in settings.weights_by_parameter]
    return {
        "base": {"name": base, "fingerprint": next(iter(differences.values())).index.base["fingerprint"]},
        **used,
        "domains": {
            domain: {
                "weight": settings.weights[domain],
                "difference_fingerprint": d.index.vector_fingerprint,
                "storage": d.index.storage,
                "dtype": d.index.dtype,
                "source": sources[domain].index.source,
                "diff_normalize": d.index.normalize,
                **({"made_from": sources[domain].index.vector_fingerprint} if sources is not differences else {}),
            }
            for domain, d in differences.items()
        },
        "versions": {m.__name__: m.__version__ for m in (dem, torch, np)},
    }


def _model_card(provenance: dict[str, Any]) -> str:
    rows = [
        f"| {name} | {d['weight']:g} | `{d['difference_fingerprint']}` |" for name, d in provenance["domains"].items()
    ]
    base = provenance["base"]
    settings = {
        name: value for name, value in provenance.items() if name not in ("base", "domains", "versions", "check")
    }
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "tags: [merge, distribution-edited-model]",
            "---",
            "",
            "# Distribution edited model",
            "",
            f"The base `{base['name']}` (fingerprint `{base['fingerprint']}`) plus the combined differences of domain",
            "models (Ram et al. 2024, arXiv 2406.15570), without further training.",
            "",
            *(f"- {name}: `{json.dumps(value, ensure_ascii=False)}`" for name, value in settings.items()),
            "",
            "| domain | weight | fingerprint of the difference |",
            "|---|---|---|",
            *rows,
            "",
            "`dem_provenance.json` holds the whole record.",
            "",
        ]
    )
