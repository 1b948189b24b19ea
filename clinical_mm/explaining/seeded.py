"""Draws that are the same each time and leave the process's own as they were: Captum draws from global generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Global generators of NumPy and PyTorch start at ``seed`` and are put back at the end."""
    before = np.random.get_state()  # noqa: NPY002 - the generator that Captum uses
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
