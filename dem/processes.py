"""Several processes that train one adapter together, as `accelerate launch` starts them; mostly there is only one.

They share one root: the main process writes, the others compute. What one of them alone comes to know (a signal, a
loss that is no number, too little memory) all must hear before any of them leaves, or the others wait for it.

Stages 2 and 3 ask this module too, alone: what only several processes need is imported where it is used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from dem.errors import SharedError

PATIENCE = timedelta(days=1)
"""How long a process waits for the others: the main one may tokenize for hours. The launcher sees one that died."""


def join() -> None:
    """Meet the other processes, if there are any: each takes a GPU of its own, or all of them the CPU."""
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def index() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return index() == 0


def sharding() -> str | None:
    """What splits the weights among the processes, "FSDP" or "DeepSpeed"; None if each holds all of them."""
    from accelerate import DistributedType, PartialState

    if PartialState().distributed_type == DistributedType.MULTI_CPU:
        return None  # whatever was asked for, accelerate falls back to DDP
    asked = [n for n in ("FSDP", "DeepSpeed") if os.environ.get(f"ACCELERATE_USE_{n.upper()}", "").lower() == "true"]
    return asked[0] if asked else None


def any_process(flag: bool) -> bool:
    """Whether `flag` holds in any process. All of them must ask."""
    return any_of([flag])[0]


def any_of(flags: list[bool]) -> list[bool]:
    """For each of `flags`, whether it holds in any process. All of them must ask, with lists of one length."""
    if count() == 1:
        return flags
    shared = torch.tensor(flags, dtype=torch.int32, device="cuda" if torch.cuda.is_available() else "cpu")
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return [bool(flag) for flag in shared.tolist()]


def first_message(message: str | None) -> str | None:
    """The message of the first process that has one. All of them must ask."""
    if count() == 1 or not any_process(message is not None):
        return message
    messages: list[str | None] = [None] * count()
    dist.all_gather_object(messages, message)
    return next(m for m in messages if m is not None)


@contextmanager
def main_first() -> Iterator[None]:
    """When all have come, let the main process go through the block, then the others; if it fails there, all fail."""
    any_process(False)
    if is_main():
        failed = True
        try:
            yield
            failed = False
        finally:
            any_process(failed)
    else:
        if any_process(False):
            raise SharedError("the main process failed")
        yield


def on_main(work: Callable[..., Any], *arguments: Any) -> Any:
    """When all have come, call `work` in the main process; all of them go on with what it returned."""
    returned = [None]
    with main_first():
        if is_main():
            returned = [work(*arguments)]
    if count() > 1:
        dist.broadcast_object_list(returned, src=0)
    return returned[0]


def own_part(parameter: torch.Tensor) -> torch.Tensor:
    """The part of a sharded parameter or gradient that this process holds; all of one that is not sharded."""
    if _is_split(parameter):
        return parameter.to_local()
    return getattr(parameter, "ds_tensor", parameter)  # where DeepSpeed keeps it


def whole(parameter: torch.Tensor) -> torch.Tensor:
    """All of a trained parameter, gathered if it is sharded. All processes must ask."""
    if _is_split(parameter):
        return parameter.full_tensor()
    if hasattr(parameter, "ds_tensor"):
        from deepspeed.utils import safe_get_full_fp32_param  # installed by those who use it

        return safe_get_full_fp32_param(parameter)  # the optimizer's; the parameter itself is rounded
    return parameter


def _is_split(parameter: torch.Tensor) -> bool:
    """Whether FSDP holds a part of the parameter in each process."""
    from torch.distributed.tensor import DTensor

    return isinstance(parameter, DTensor)
