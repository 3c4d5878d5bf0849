"""Memory on a GPU: how PyTorch is to take it, which errors say that it does not suffice, how much was taken at most.

torch is imported where it is used: what it reads when it starts is set before.
"""

import os
import sys

ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""The variables that PyTorch reads, the first one that is set; before 2.9 it does not know the last."""

SAID = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "can't allocate memory")
"""Parts of what a RuntimeError says of memory: PyTorch's for the CUDA runtime and driver, Triton's for the driver,
cuBLAS's and cuDNN's for their workspaces, PyTorch's allocator on a CPU. Triton's "out of resource" is none of them:
that is a kernel for which no batch is small enough."""


def take_memory_in_growing_segments() -> None:
    """Let PyTorch's allocator on a GPU enlarge what it has taken rather than take a new piece for each new size.

    So a step whose tensors would almost fill the memory does not fail for want of one large piece. What the user has
    set of the allocator stays as it is. To be called before torch is imported; the processes that this one starts
    inherit it.
    """
    if sys.platform == "linux" and not any(name in os.environ for name in ALLOCATOR):
        os.environ[ALLOCATOR[0]] = "expandable_segments:True"


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory did not suffice, so that less at once may do."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)
