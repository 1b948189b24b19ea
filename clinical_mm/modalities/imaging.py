"""Imaging: DICOM, PNG, JPEG -> 0..1 by window -> MONAI transforms -> MONAI network, 2-D or 3-D -> feature-map tokens.

Shapes: B cases, I images, C channels, D slices, H W pixels, N tokens of one image, P slices that an origin tells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig
from clinical_mm.modalities.base import Batch, Encoder, Evidence, HeatMap, Modality, Sample, Tokens
from clinical_mm.pictures import Volume, group, read_picture
from clinical_mm.vision.augment import Augmentation
from clinical_mm.vision.erase import erase
from clinical_mm.vision.intensities import Intensities
from clinical_mm.vision.networks import build_network, feature_map
from clinical_mm.vision.prepare import Placement, Preparation, place
from clinical_mm.vision.weights import WeightsReport, load_weights

PLACE_CHANNELS = 4
"""Channels for each dimension that tell a token's place."""
_CASES_FOR_STATISTICS = 256
_FRAMES_SHOWN = 3
_SQUARES_A_SIDE, _BLURS_A_SIDE = 8, 12
_BLOCK = re.compile(r"(denseblock|layer)\d+")


class NetworkOptions(BaseModel):
    """A network of ``monai.networks.nets`` by name, and its own arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = "DenseNet121"
    options: dict[str, Any] = Field(default_factory=dict)


class ImagingOptions(BaseModel):
    """What a model's YAML may say under ``imaging``.

    Attributes:
        size: what the network sees, in pixels: [H, W], or [D, H, W] with ``spatial_dims: 3``.
        max_images: how many images of a case are looked at, in the order given; a series counts as one.
        frames_per_image: with ``spatial_dims: 2``, how many evenly spaced frames stand for a volume.
        channels: 3 repeats grey for networks that were trained on colour.
        window: (center, width) in Hounsfield units, for CT in place of the file's own.
        weights: ``file.safetensors``, the folder of a MONAI bundle, or ``owner/name[:file]`` of the Hugging Face hub.
        intensities: what black and white are to pretrained weights, such as [-1024, 1024] to TorchXRayVision's;
            None = the training pictures' mean is 0 and their spread 1.
        augmentation: False = training pictures stay as they are.
        erasing: share of the training pictures that lose squares to the mean image, so that it comes to say nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    spatial_dims: Literal[2, 3] = 2
    size: tuple[int, ...] = (224, 224)
    network: NetworkOptions = NetworkOptions()
    max_images: int = Field(2, ge=1, le=16)
    frames_per_image: int = Field(1, ge=1, le=16)
    channels: Literal[1, 3] = 1
    window: tuple[float, float] | None = None
    weights: str | None = None
    intensities: tuple[float, float] | None = None
    augmentation: bool = True
    erasing: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _size_has_the_dimensions(self) -> ImagingOptions:
        if len(self.size) != self.spatial_dims or min(self.size) < 16:
            raise ValueError(f"size needs {self.spatial_dims} sides of at least 16 pixels")
        if self.intensities is not None and self.intensities[0] >= self.intensities[1]:
            raise ValueError("intensities must be [black, white] with black below white")
        return self


class ImageEncoder(Encoder):
    """Images -> feature maps -> tokens ``[B, I * N, width]``, one for each place of each image's feature map.

    The last channels of a token tell its place: what attends over tokens sees no order.
    """

    baselines = ("mean-image", "blurred")

    def __init__(self, features: nn.Module, channels: int, spatial_dims: int, intensities: Intensities) -> None:
        super().__init__()
        self.features = features
        self.width = channels + PLACE_CHANNELS * spatial_dims
        self._intensities = intensities

    def blocks(self) -> list[nn.Module]:
        """Dense blocks or residual layers, each with what stands between it and the next."""
        blocks: list[nn.ModuleList] = []
        for name, part in self.features.named_children():
            if _BLOCK.fullmatch(name):
                blocks.append(nn.ModuleList())
            if blocks:
                blocks[-1].append(part)
        return list(blocks)

    def adaptable(self) -> list[str]:
        """Every convolution."""
        return [name for name, part in self.named_modules() if isinstance(part, nn.Conv2d | nn.Conv3d)]

    def inputs(self, batch: Batch) -> Tensor:
        """Normalised pixels ``[B, I, C, (D,) H, W]``."""
        return batch["pixels"]

    def baseline(self, batch: Batch, name: str | None = None) -> Tensor:
        """The mean training image, or the picture itself without detail, where a picture lies; padding stays."""
        pixels, content = batch["pixels"], _content_like(batch)
        nothing = self._blurred(pixels) if name == "blurred" else self._intensities.mean_like(pixels)
        return torch.where(content, nothing, pixels)

    def feature_maps(self) -> list[nn.Module]:
        """The network up to its feature map."""
        return [self.features]

    def spread(self, shares_BN: Tensor, batch: Batch) -> Tensor:
        """Each place of the feature map over the pixels around it, by bilinear weights; padding gets nothing."""
        pixels, content = batch["pixels"], _content_like(batch)[:, :, 0].to(shares_BN.dtype)
        inside_RHW = content.expand(*pixels.shape[:2], *pixels.shape[3:]).flatten(0, 1)
        with torch.no_grad():
            grid = self.features(torch.zeros_like(pixels[:1, 0])).shape[2:]
        shares_R1G = shares_BN.view(-1, 1, *grid)
        # Over padding alone nothing can be shown: such a place's share goes to all pixels of the picture.
        with torch.enable_grad():
            ones = torch.ones_like(shares_R1G, requires_grad=True)
            (reach_R1G,) = torch.autograd.grad((_upsampled(ones, inside_RHW.shape[1:]) * inside_RHW).sum(), ones)
        seen = reach_R1G > 1e-3
        fine_RHW = _upsampled(torch.where(seen, shares_R1G / reach_R1G.clamp(min=1e-3), 0), inside_RHW.shape[1:])
        rest_R = torch.where(seen, 0, shares_R1G).flatten(1).sum(1) / inside_RHW.flatten(1).sum(1).clamp(min=1)
        each = (fine_RHW + rest_R.view(-1, *[1] * (fine_RHW.ndim - 1))) * inside_RHW
        channels = pixels.shape[2]
        return (each / channels).view(*pixels.shape[:2], 1, *pixels.shape[3:]).expand(pixels.shape)

    def _blurred(self, pixels: Tensor) -> Tensor:
        from monai.networks.layers.simplelayers import GaussianFilter

        blur = GaussianFilter(pixels.ndim - 3, sigma=pixels.shape[-1] / _BLURS_A_SIDE)
        found: Tensor = blur.to(pixels.device)(pixels.flatten(0, 1))
        return found.view_as(pixels)

    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        """Tokens of all images in turn; those of absent images are masked."""
        present_BI = batch["present"]
        maps = self._maps(inputs.flatten(0, 1), present_BI.flatten())
        where = places(maps.shape[2:]).to(maps).expand(len(maps), -1, *maps.shape[2:])
        tokens_RND = torch.cat([maps, where], 1).flatten(2).transpose(1, 2)
        tokens_BND = tokens_RND.reshape(len(inputs), -1, self.width)
        return Tokens(tokens_BND, present_BI.repeat_interleave(tokens_RND.shape[1], dim=1))

    def _maps(self, pixels: Tensor, present: Tensor) -> Tensor:
        """Feature maps ``[B * I, width, ...]``; batch normalisation never learns from absent images."""
        if not self.training or bool(present.all()):
            return F.relu(self.features(pixels))
        if not bool(present.any()):
            with _at_rest(self.features):
                return F.relu(self.features(pixels))
        real = F.relu(self.features(pixels[present]))
        return real.new_zeros(len(pixels), *real.shape[1:]).index_put((present.nonzero()[:, 0],), real)


def _content_like(batch: Batch) -> Tensor:
    """``content`` with the dimensions of ``pixels``: ``bool[B, I, 1, (1,) H, W]``."""
    content_BIHW = batch["content"]
    ones = [1] * (batch["pixels"].ndim - 4)
    return content_BIHW.view(*content_BIHW.shape[:2], *ones, *content_BIHW.shape[2:])


def _upsampled(coarse_R1G: Tensor, size: Sequence[int]) -> Tensor:
    mode = "trilinear" if coarse_R1G.ndim == 5 else "bilinear"
    return F.interpolate(coarse_R1G, tuple(size), mode=mode, align_corners=False)[:, 0]


@contextmanager
def _at_rest(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a moment; parts that were in it before, since they do not learn, stay in it."""
    learning = [part for part in network.modules() if part.training]
    network.eval()
    try:
        yield
    finally:
        for part in learning:
            part.training = True


class Imaging(Modality):
    """Images of a case; several instances of one series count as one volume."""

    name = "imaging"
    aside = ("origin", "kind")

    def __init__(self, config: Mapping[str, Any], catalogue: Catalogue) -> None:
        try:
            self.options = ImagingOptions.model_validate(dict(config))
        except ValidationError as error:
            faults = "; ".join(f"imaging.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise InvalidConfig(faults) from error
        self._prepare = Preparation(self.options.size, self.options.window, self.options.frames_per_image)
        self._augment = Augmentation() if self.options.augmentation else None
        known = self.options.intensities
        self._intensities = Intensities() if known is None else Intensities.between(*known)
        self._restored = False
        self.weights_report: WeightsReport | None = None

    def fit(self, cases: Sequence[Case]) -> None:
        """Mean and spread of pixels and the mean image, from at most 256 evenly spaced training cases."""
        with_images = [case for case in cases if case.images]
        step = max(1, len(with_images) // _CASES_FOR_STATISTICS)
        samples = [sample for case in with_images[::step] if (sample := self.read(case)) is not None]
        pairs = [pair for s in samples for pair in zip(s["pixels"], s["origin"], strict=True)]
        if pairs:
            self._intensities.learn([p for p, _ in pairs], [p[..., *self._content(o).slices] for p, o in pairs])

    def state(self) -> dict[str, Any]:
        """Mean, spread and mean image of the training part, and which pretrained weights were used."""
        return {**self._intensities.to_json(), "weights": self.weights_report and self.weights_report.to_json()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave; encoders made before see it too."""
        self._intensities.load(state)
        self._restored = True

    def load_assets(self, folder: Path) -> None:
        """A bundle brings its own weights: none are fetched."""
        self._restored = True

    def has(self, case: Case) -> bool:
        """Whether there is a file."""
        return bool(case.images)

    @classmethod
    def shown(cls, case: Case) -> list[str]:
        """The files in their order."""
        return [image.sha256 for image in case.images]

    def reading(self) -> dict[str, Any]:
        """The options that are not for training alone, and with which mean and spread pixels are normalised."""
        options = self.options.model_dump(mode="json", exclude={"augmentation", "erasing", "weights", "intensities"})
        return {**options, "mean": self._intensities.mean, "std": self._intensities.std}

    def read(self, case: Case) -> Sample | None:
        """``pixels``: float16[I, (D,) H, W] in 0..1; ``origin``: int64[I, P, 4] = file, frame, rows, columns.

        ``kind``: str[I, 2] = body part and modality as the file tells them, "" where it does not.
        """
        if not case.images:
            return None
        volumes = group([read_picture(image.read()) for image in case.images])[: self.options.max_images]
        ready = [(*part, _kind(volume)) for volume in volumes for part in self._prepare(volume)]
        pixels, origin, kind = zip(*ready, strict=True)
        return {"pixels": np.stack(pixels), "origin": np.stack(origin), "kind": np.array(kind, dtype=np.str_)}

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Stack images, those that are absent as zeros.

        Returns:
            ``pixels[B, I, C, (D,) H, W]`` normalised, ``present[B, I]``, ``content[B, I, H, W]`` (False = padding) and
            ``origin[B, I, P, 4]``; I is the most images that any of the cases has.
        """
        size, slices = self.options.size, self.options.size[0] if self.options.spatial_dims == 3 else 1
        images = max([len(s["pixels"]) for s in samples if s is not None], default=1)
        shape = (len(samples), images)
        pixels, origin = np.zeros((*shape, *size), np.float32), np.zeros((*shape, slices, 4), np.int64)
        present, content = np.zeros(shape, np.bool_), np.zeros((*shape, *size[-2:]), np.bool_)
        for b, sample in enumerate(samples):
            if sample is None:
                continue
            count = len(sample["pixels"])
            pixels[b, :count] = self._intensities.normalised(sample["pixels"].astype(np.float32))
            origin[b, :count], present[b, :count] = sample["origin"], True
            for i in range(count):
                content[b, i, *self._content(sample["origin"][i]).slices] = True
        arrays = {"present": present, "content": content, "origin": origin}
        channels = torch.from_numpy(pixels).unsqueeze(2).repeat_interleave(self.options.channels, dim=2)
        return {"pixels": channels, **{name: torch.from_numpy(array) for name, array in arrays.items()}}

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with its pixels slightly turned, moved and re-toned, some erased; only training loops call this."""
        if self._augment is None:
            return batch
        pixels = batch["pixels"]
        changed = self._augment(pixels.flatten(0, 1), generator)
        if self.options.erasing:
            nothing = self._intensities.mean_like(pixels).flatten(0, 1)
            changed = erase(changed, nothing, self.options.erasing, generator)
        return {**batch, "pixels": changed.view_as(pixels)}

    def encoder(self) -> ImageEncoder:
        """The network that the configuration names; weights random, or from ``weights`` unless a bundle was loaded."""
        options = self.options
        network = build_network(options.network.name, options.spatial_dims, options.channels, options.network.options)
        if options.weights and not self._restored:
            self.weights_report = load_weights(network, options.weights)
        features = feature_map(network)
        return ImageEncoder(features, _channels(features, options), options.spatial_dims, self._intensities)

    def units(self, case: Case, batch: Batch) -> Tensor:
        """Squares (boxes in 3-D) of an eighth of a side, of each image."""
        size, content = self.options.size, _content_like(batch)
        each = [torch.arange(side) * _SQUARES_A_SIDE // side for side in size]
        square, times = torch.zeros(size, dtype=torch.int64), 1
        for axis, places_ in enumerate(reversed(each)):
            square += (places_ * times).view(-1, *[1] * axis)
            times *= _SQUARES_A_SIDE
        images = torch.arange(content.shape[1]).view(1, -1, 1, *[1] * len(size))
        numbers = (images * times + square).to(content.device)
        inside = content & batch["present"].view(1, -1, 1, *[1] * len(size))
        placed = torch.where(inside, numbers, -1)
        used = torch.unique(placed[placed >= 0])
        return torch.where(inside, torch.searchsorted(used, placed.clamp(min=0)), -1)

    def evidence(self, case: Case, batch: Batch, attributions: Tensor) -> Evidence:
        """A heat map for each image; for a volume the three frames that matter most."""
        values = attributions[0].detach().to("cpu", torch.float32).sum(dim=1).numpy()
        maps: list[HeatMap] = []
        for image in batch["present"][0].nonzero()[:, 0].tolist():
            origin = batch["origin"][0, image].cpu().numpy()
            maps += self._heat_maps(values[image], origin)
        return Evidence(images=tuple(maps))

    def _heat_maps(self, values: np.ndarray, origin: np.ndarray) -> list[HeatMap]:
        rows, columns = int(origin[0, 2]), int(origin[0, 3])
        planes = values[..., *self._content(origin).slices].reshape(len(origin), *self._content(origin).size)
        frames: dict[tuple[int, int], np.ndarray] = {}
        for (file, frame, *_), plane in zip(origin.tolist(), planes, strict=True):
            frames[file, frame] = frames[file, frame] + plane if (file, frame) in frames else plane
        strongest = sorted(frames, key=lambda key: -float(np.abs(frames[key]).sum()))[:_FRAMES_SHOWN]
        return [HeatMap(*key, frames[key], _peak(frames[key], rows, columns)) for key in strongest]

    def _content(self, origin: np.ndarray) -> Placement:
        return place(int(origin[0, 2]), int(origin[0, 3]), (self.options.size[-2], self.options.size[-1]))


def places(grid: Sequence[int]) -> Tensor:
    """Where each place of a feature map is, ``[4 * dims, *grid]``: sine and cosine of half a turn and a turn a side.

    Source: Fourier features, Tancik et al., 2020 (arXiv:2006.10739).
    """
    axes = torch.meshgrid(*[(torch.arange(side) + 0.5) / side for side in grid], indexing="ij")
    turns = [math.pi * times * axis for axis in axes for times in (1, 2)]
    return torch.stack([wave(turn) for turn in turns for wave in (torch.sin, torch.cos)])


def _kind(volume: Volume) -> tuple[str, str]:
    told = volume.picture.attributes
    return str(told.get("body_part", "")), str(told.get("modality", ""))


def _channels(features: nn.Module, options: ImagingOptions) -> int:
    """Channels of the feature map, from a small blank picture."""
    blank = torch.zeros(1, options.channels, *[min(64, side) for side in options.size])
    features.eval()
    with torch.no_grad():
        width = int(features(blank).shape[1])
    features.train()
    return width


def _peak(values: np.ndarray, rows: int, columns: int) -> tuple[int, int]:
    """(x, y) in stored pixels of the largest attribution of a small neighbourhood: one pixel alone is noise."""
    side = max(1, min(values.shape) // 16) | 1
    padded = F.pad(torch.from_numpy(np.ascontiguousarray(values))[None, None], [side // 2] * 4)
    smooth = F.avg_pool2d(padded, side, stride=1)[0, 0].numpy()
    y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
    height, width = smooth.shape
    return min(columns - 1, int((x + 0.5) * columns / width)), min(rows - 1, int((y + 0.5) * rows / height))
