"""Which device the tensors live on."""

from __future__ import annotations

import torch

from clinical_mm.errors import InvalidConfig


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` = a CUDA device where there is one, then Apple's, else the CPU; else the device of that name.

    Raises:
        InvalidConfig: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidConfig(f"device {name!r} is not available here: {error}") from error
    return device
