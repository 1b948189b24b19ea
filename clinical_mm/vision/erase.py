"""Squares of training pictures replaced by the mean image, so that the mean image comes to say nothing.

Explanations remove parts of a picture to see what they did; without this a network has never seen what remains, and
what it says of it is no evidence.
Source: random erasing, Zhong et al., 2020 (arXiv:1708.04896); training for removal, Covert et al., 2021
(arXiv:2011.14878).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SQUARES_A_SIDE = 8


def erase(pixels: Tensor, nothing: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Copies of ``pixels[R, C, (D,) H, W]`` of which some, by ``probability``, lose squares to ``nothing``.

    How many is drawn anew for each picture: between none and all.
    """
    rows, sides = len(pixels), pixels.shape[2:]
    grid = [min(SQUARES_A_SIDE, side) for side in sides]
    chosen_R = torch.rand(rows, generator=generator) < probability
    # A uniform draw up to 1.2 loses the whole picture in a sixth of the cases: the baseline itself must be known.
    share_R = torch.where(chosen_R, 1.2 * torch.rand(rows, generator=generator), 0)
    lost = torch.rand(rows, 1, *grid, generator=generator) < share_R.view(-1, 1, *[1] * len(grid))
    lost_everywhere = F.interpolate(lost.to(pixels), sides, mode="nearest") > 0
    return torch.where(lost_everywhere, nothing, pixels)
