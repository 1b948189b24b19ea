"""The network: encoders -> fusion -> task head. Absent modalities are masked, never guessed from zeros.

Shapes: B cases, N tokens, D width, M modalities (in the configuration's order), K diagnoses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clinical_mm.config import ModelConfig
from clinical_mm.fusion import Fusion, fusion
from clinical_mm.modalities.base import Batch, Encoder, Modality, Sample, Tokens


@dataclass(frozen=True)
class Output:
    """``logits_BK`` and the fusion's ``weights_BM``."""

    logits_BK: Tensor
    weights_BM: Tensor


class MultimodalNetwork(nn.Module):
    """One encoder a modality, one fusion, one linear head."""

    def __init__(self, encoders: Mapping[str, Encoder], join: Fusion, outputs: int, frozen: frozenset[str]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.fusion = join
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(join.width, outputs))
        self.names = tuple(encoders)
        self.frozen = frozen
        for name in frozen:
            self.encoders[name].requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> MultimodalNetwork:
        """Frozen encoders stay in evaluation mode: their states must not depend on dropout."""
        super().train(mode)
        for name in self.frozen:
            self.encoders[name].eval()
        return self

    def encoder(self, name: str) -> Encoder:
        """The encoder of a modality."""
        found = self.encoders[name]
        assert isinstance(found, Encoder)  # noqa: S101 - what the constructor put in
        return found

    def encode(self, batches: Mapping[str, Batch]) -> dict[str, Tokens]:
        """Tokens of each modality in ``batches``."""
        tokens = {}
        for name, batch in batches.items():
            with torch.set_grad_enabled(torch.is_grad_enabled() and name not in self.frozen):
                tokens[name] = self.encoders[name](batch)
        return tokens

    def join(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Output:
        """Logits and modality weights from tokens."""
        fused = self.fusion(tokens, present_BM)
        return Output(self.head(fused.pooled_BD), fused.weights_BM)

    def forward(
        self, batches: Mapping[str, Batch], present_BM: Tensor, cached: Mapping[str, Tokens] | None = None
    ) -> Output:
        """Logits and modality weights from batches, and from ``cached`` tokens of frozen encoders where given."""
        return self.join({**self.encode(batches), **(cached or {})}, present_BM)


def build_network(
    config: ModelConfig, modalities: Mapping[str, Modality], diagnoses: Sequence[str]
) -> MultimodalNetwork:
    """A fresh network for a configuration; raises InvalidConfig."""
    encoders = {name: part.encoder() for name, part in modalities.items()}
    join = fusion(config.fusion.name, {name: e.width for name, e in encoders.items()}, config.fusion.options)
    frozen = frozenset(name for name, options in config.modalities.items() if options.get("frozen"))
    return MultimodalNetwork(encoders, join, len(diagnoses), frozen)


def collate(
    modalities: Mapping[str, Modality], samples: Sequence[Mapping[str, Sample | None]]
) -> tuple[dict[str, Batch], Tensor]:
    """Batches of every modality and ``present_BM``."""
    batches = {name: part.collate([s[name] for s in samples]) for name, part in modalities.items()}
    present_BM = torch.tensor([[s[name] is not None for name in modalities] for s in samples], dtype=torch.bool)
    return batches, present_BM


def to_device(batches: Mapping[str, Batch], device: torch.device) -> dict[str, Batch]:
    """The same batches on another device."""
    return {name: {key: value.to(device) for key, value in batch.items()} for name, batch in batches.items()}
