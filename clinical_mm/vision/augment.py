"""Small random changes of training pictures, for a whole batch at once: a rotation, a shift, a scale, a contrast.

Never a mirror image: the heart's side is a finding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed at most.

    Attributes:
        rotation_degrees: in the plane of the picture.
        shift: of the picture's side.
        scale: 0.05 = between 0.95 and 1.05.
        contrast: likewise, about the mean intensity.
        brightness: in standard deviations.
    """

    rotation_degrees: float = 7.0
    shift: float = 0.04
    scale: float = 0.05
    contrast: float = 0.1
    brightness: float = 0.1

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Changed copies of normalised ``pixels[R, C, H, W]`` or ``[R, C, D, H, W]``, each row by its own draw."""
        rows, dims = len(pixels), pixels.ndim - 2
        draws = 2 * torch.rand(rows, 6, generator=generator) - 1
        theta = self._affine(draws, dims, pixels.shape[-2] / pixels.shape[-1]).to(pixels)
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        factors = draws.to(pixels).view(rows, 6, *[1] * (dims + 1))
        return moved * (1 + self.contrast * factors[:, 4]) + self.brightness * factors[:, 5]

    def _affine(self, draws: Tensor, dims: int, aspect: float) -> Tensor:
        """``theta[R, dims, dims + 1]`` as ``affine_grid`` takes it: coordinates x, y(, z) from -1 to 1."""
        angle = draws[:, 0] * math.radians(self.rotation_degrees)
        size = 1 + self.scale * draws[:, 1]
        theta = torch.zeros(len(draws), dims, dims + 1)
        theta[:, 0, 0] = theta[:, 1, 1] = torch.cos(angle) * size
        theta[:, 0, 1] = -torch.sin(angle) * size * aspect
        theta[:, 1, 0] = torch.sin(angle) * size / aspect
        theta[:, :2, -1] = 2 * self.shift * draws[:, 2:4]
        if dims == 3:
            theta[:, 2, 2] = 1.0
        return theta
