"""What the training part's pictures look like on average: to normalise with, and as the picture that says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_COARSE_SIDE = 32


@dataclass
class Intensities:
    """Mean and spread of pixels in 0..1, and the mean image on a grid coarse enough for a bundle's JSON.

    ``settled``: mean and spread are said, not learned, since pretrained weights ask for them.
    """

    mean: float = 0.5
    std: float = 0.25
    mean_image: np.ndarray | None = field(default=None, repr=False)
    settled: bool = False

    @classmethod
    def between(cls, black: float, white: float) -> Intensities:
        """Such that normalised pixels lie between these two: a pixel of 0 gives ``black``, one of 1 ``white``."""
        spread = 1 / (white - black)
        return cls(-black * spread, spread, settled=True)

    def learn(self, images: Sequence[np.ndarray], insides: Sequence[np.ndarray]) -> None:
        """Take the statistics of ``images[(D,) H, W]``; ``insides`` are the same without their padding."""
        mean = float(np.mean([part.mean(dtype=np.float64) for part in insides]))
        square = float(np.mean([np.square(part, dtype=np.float32).mean(dtype=np.float64) for part in insides]))
        total = np.zeros(images[0].shape, dtype=np.float32)
        for image in images:
            total += image
        if not self.settled:
            self.mean = mean
            self.std = max(float(np.sqrt(max(square - mean**2, 0.0))), 1e-3)
        self.mean_image = _coarse(total / len(images))

    def normalised(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels with mean 0 and spread 1 over the training part, or as pretrained weights know them."""
        return (pixels - np.float32(self.mean)) / np.float32(self.std)

    def mean_like(self, pixels: Tensor) -> Tensor:
        """The mean image, normalised, expanded to the shape of ``pixels[B, I, C, (D,) H, W]``."""
        if self.mean_image is None:
            return torch.zeros_like(pixels)
        coarse = torch.as_tensor(self.mean_image, dtype=pixels.dtype, device=pixels.device)
        mode = "trilinear" if coarse.ndim == 3 else "bilinear"
        fine = F.interpolate(coarse[None, None], pixels.shape[3:], mode=mode, align_corners=False)
        return ((fine - self.mean) / self.std)[:, None].expand_as(pixels)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a bundle."""
        image = None if self.mean_image is None else np.round(self.mean_image.astype(float), 4).tolist()
        return {"mean": self.mean, "std": self.std, "mean_image": image}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``to_json`` gave."""
        self.mean, self.std = float(state["mean"]), float(state["std"])
        image = state.get("mean_image")
        self.mean_image = None if image is None else np.asarray(image, dtype=np.float32)


def _coarse(image: np.ndarray) -> np.ndarray:
    grid: Any = tuple(min(_COARSE_SIDE, side) for side in image.shape)
    pool = F.adaptive_avg_pool3d if image.ndim == 3 else F.adaptive_avg_pool2d
    return np.asarray(pool(torch.from_numpy(image)[None], grid)[0].numpy())
