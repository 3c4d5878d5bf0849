"""What a full fine-tuning changed: the difference of two checkpoints, row by row, without a copy of either."""

from collections.abc import Iterator
from pathlib import Path

import torch

from dem.checkpoints import DTYPES, Checkpoint, matrix_shape, tile_rows
from dem.common import log
from dem.diff_writing import Delta
from dem.diffs import Difference
from dem.errors import RequestError
from dem.layout import Layout
from dem.model_folder import require_model_files
from dem.names import Names
from dem.whole_model import ADAPTER, require_whole

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers by their size in bytes: as such NaN equals itself, and 0 does not equal -0."""


def open_model(folder: Path) -> Checkpoint:
    """The fine-tuned model's weights.

    Raises:
        RequestError: there are none that can be read, they are quantised, or an adapter is beside them.
    """
    if not folder.is_dir():
        raise RequestError(f"--model {folder} is not a folder: give the one that holds the fine-tuned model")
    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        raise RequestError(
            f"--model {folder} is an adapter: put it into checkpoints/lora_<domain>/ and leave --model out"
        )
    require_model_files(folder)
    require_whole(folder, f"--model {folder}")
    return Checkpoint(folder)


def model_deltas(model: Checkpoint, base: Checkpoint) -> list[Delta]:
    """Fine-tuned less base, of each of the base's tensors in which the two differ, in the order of the base's files.

    In float32, or in float64 where one of the two is; computed when a Delta is asked for. Where the base stores a tied
    embedding and head both, both change, as transformers only ties what is equal.

    Raises:
        RequestError: the two are not the same parameters. All mistakes are named together.
    """
    pairs = fitting_pairs(model, base)
    changed = {theirs: ours for theirs, ours in pairs.items() if not _equal(model, ours, base, theirs)}
    if not changed:
        raise RequestError(f"{model.folder} holds the same values as {base.folder}: nothing was trained")
    if whole := [name for name in changed if not _dtype(base, name).is_floating_point]:
        raise RequestError(f"{model.folder} differs from {base.folder} in {', '.join(whole)}, of whole numbers")
    return [_delta(model, ours, base, theirs) for theirs, ours in changed.items()]


def fitting_pairs(model: Checkpoint, base: Checkpoint) -> dict[str, str]:
    """The fine-tuned model's name of each of the base's tensors; of values, only those of tied tensors are compared.

    Raises:
        RequestError: the two are not the same parameters. All mistakes are named together.
    """
    names = Names.of(base.folder)
    pairs, mistakes = _pairs(names, model, base)
    mistakes += [mistake for checkpoint in (base, model) for mistake in _untied(names, checkpoint)]
    ends = {names.stored(base).get(name) for name in names.ends}
    for theirs, ours in pairs.items():
        if mistake := _misfit(model, ours, base, theirs, theirs in ends):
            mistakes.append(mistake)
    if mistakes:
        raise RequestError(f"{model.folder} does not fit {base.folder}: {'; '.join(mistakes)}")
    return pairs


def _pairs(names: Names, model: Checkpoint, base: Checkpoint) -> tuple[dict[str, str], list[str]]:
    """The model's name of each of the base's tensors, and what has no counterpart."""
    ours, theirs = (_by_parameter(names, checkpoint) for checkpoint in (model, base))
    mistakes = []
    if lacking := [there for name, there in theirs.items() if name not in ours and name in names.model.state_dict()]:
        mistakes.append(f"it lacks {_some(lacking)}")
    if added := [there for name, there in ours.items() if name not in theirs]:
        mistakes.append(f"it adds {_some(added)}")
    return {there: ours[name] for name, there in theirs.items() if name in ours}, mistakes


def _by_parameter(names: Names, checkpoint: Checkpoint) -> dict[str, str]:
    """The checkpoint's names by the model's, or by themselves where the model has no such parameter."""
    stored = names.stored(checkpoint)
    known = set(stored.values())
    return stored | {name: name for name in checkpoint if name not in known}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _untied(names: Names, checkpoint: Checkpoint) -> Iterator[str]:
    """Tensors that the base's design makes one, and that are stored with different values."""
    stored = names.stored(checkpoint)
    for group in names.tied:
        first, *others = dict.fromkeys(stored[name] for name in group if name in stored)
        for other in others:
            same_shape = checkpoint.shape(first) == checkpoint.shape(other)
            if not same_shape or not _equal(checkpoint, first, checkpoint, other):
                yield f"{other} in {checkpoint.folder} is not {first}, to which the base ties it"


def _misfit(model: Checkpoint, ours: str, base: Checkpoint, theirs: str, is_vocabulary: bool) -> str | None:
    """What is wrong between two tensors that should have a difference."""
    shape, base_shape = model.shape(ours), base.shape(theirs)
    if shape != base_shape and is_vocabulary and shape[1:] == base_shape[1:]:
        return (
            f"{theirs} has {shape[0]:,} rows instead of {base_shape[0]:,} (tokens were added or rows padded, and have "
            f"no difference: resize the base with resize_token_embeddings({shape[0]}), save it and train on that)"
        )
    if shape != base_shape:
        return f"{theirs} is of shape {list(shape)} instead of {list(base_shape)}"
    if _dtype(model, ours).is_floating_point != _dtype(base, theirs).is_floating_point:
        return f"{theirs} is of type {model.tensor(ours).dtype} instead of {base.tensor(theirs).dtype}"
    return None


def _dtype(checkpoint: Checkpoint, name: str) -> torch.dtype:
    kind = checkpoint.tensor(name).dtype
    if kind not in DTYPES:
        raise RequestError(f"{checkpoint.folder}: {name} is of type {kind}, which is not supported")
    return DTYPES[kind]


def _equal(one: Checkpoint, name: str, other: Checkpoint, other_name: str) -> bool:
    """Whether the two tensors are equal: bit for bit, or if their types differ in value."""
    shape = one.shape(name)
    step, height = tile_rows(shape), matrix_shape(shape)[0]
    same_type = _dtype(one, name) == _dtype(other, other_name)
    for first in range(0, height, step):
        last = min(first + step, height)
        a, b = one.read_rows(name, first, last), other.read_rows(other_name, first, last)
        a, b = (t.view(BITS[t.element_size()]) if same_type else t.double() for t in (a, b))
        if not torch.equal(a, b):
            return False
    return True


def _delta(model: Checkpoint, ours: str, base: Checkpoint, theirs: str) -> Delta:
    wide = torch.float64 in (_dtype(model, ours), _dtype(base, theirs))

    def rows(first: int, last: int, out: torch.Tensor) -> None:
        tuned, before = model.read_rows(ours, first, last), base.read_rows(theirs, first, last)
        if wide:
            out.copy_(tuned.double() - before.double())
        else:
            out.copy_(tuned).sub_(before)

    return Delta(theirs, base.shape(theirs), None, 1.0, rows)


def model_source(folder: Path, fingerprint: str) -> dict[str, str | None]:
    """Where a difference comes from: the index's `source`."""
    return {"kind": "model", "path": str(folder), "fingerprint": fingerprint, "data_fingerprint": None}


def models_of(domains: list[str], layout: Layout) -> dict[str, Path | None]:
    """Folder of the model of each domain whose difference was made from one; None, and a line, if it is gone.

    Raises:
        RequestError: a model is no longer the one that the difference was made from, or an adapter came to lie in it.
    """
    folders: dict[str, Path | None] = {}
    for domain in domains:
        difference = Difference(*layout.existing_difference(domain))
        source = difference.index.source
        if source.get("kind") != "model":
            continue
        folder = Path(source["path"])
        folders[domain] = folder if folder.is_dir() else None
        if not folder.is_dir():
            log.info(f"evaluation: without the model of {domain}, which is no longer in {folder}")
            continue
        require_whole(folder, f"the model of {domain} in {folder}")
        if Checkpoint(folder).fingerprint() != source["fingerprint"]:
            raise RequestError(
                f"{difference.path} is older than the model in {folder}, which has changed: make it again"
            )
    return folders
