"""The same weights bit for bit, again, on the same machine: what has to be set for that, and what has to be told.

On a CPU a result follows from the seed and the number of threads; on a GPU libraries also choose between algorithms,
some of which add in any order.
Source: PyTorch, Reproducibility (notes/randomness).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def reproducible() -> Iterator[None]:
    """Deterministic algorithms while it lasts; where there is none for an operation, torch warns and goes on."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when its first handle is made
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    benchmark, fill = torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Filling memory that is written anyway finds programming errors; it costs time and changes no result.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=enabled, warn_only=warns)
        torch.backends.cudnn.benchmark = benchmark
        memory.fill_uninitialized_memory = fill


def circumstances(device: torch.device) -> dict[str, Any]:
    """What besides data, configuration and versions may change the last bits of a result; plain data for a card."""
    is_cuda = device.type == "cuda"
    return {
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if is_cuda else platform.machine(),
        "cuda": torch.version.cuda if is_cuda else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
