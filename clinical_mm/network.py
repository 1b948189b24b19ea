"""The network: encoders -> fusion -> task head. Absent modalities are masked, never guessed from zeros.

Shapes: B cases, N tokens, D width, M modalities (in the configuration's order), K diagnoses, W width of the space in
which like cases lie close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clinical_mm.alignment import Aligner
from clinical_mm.config import Learning, ModelConfig
from clinical_mm.frozen import as_kept
from clinical_mm.fusion import Fusion, fusion
from clinical_mm.modalities.base import Batch, Encoder, Modality, Sample, Tokens
from clinical_mm.transfer import merge_adapters, parameter_counts, restrict


@dataclass(frozen=True)
class Output:
    """``logits_BK``, the fusion's ``pooled_BD`` and ``weights_BM``, and the ``tokens`` that it joined."""

    logits_BK: Tensor
    pooled_BD: Tensor
    weights_BM: Tensor
    tokens: Mapping[str, Tokens]


class MultimodalNetwork(nn.Module):
    """One encoder a modality, one fusion, one linear head."""

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        join: Fusion,
        outputs: int,
        frozen: frozenset[str],
        aligner: Aligner | None = None,
    ) -> None:
        super().__init__()
        self.aligner = aligner
        self.encoders = nn.ModuleDict(dict(encoders))
        self.fusion = join
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(join.width, outputs))
        self.names = tuple(encoders)
        self.frozen = frozen
        self._resting: list[nn.Module] = []
        for name in frozen:
            self.restrict(name, Learning(learns="nothing"))

    def restrict(self, name: str, learning: Learning) -> None:
        """Let only a part of an encoder learn, the rest stays as it is from now on; raises InvalidConfig."""
        self._resting += restrict(name, self.encoder(name), learning)
        self._rest()

    def merge_adapters(self) -> None:
        """Make a network with adapters a plain one that gives the same, up to rounding; for when training is over."""
        merge_adapters(self.encoders)

    def train(self, mode: bool = True) -> MultimodalNetwork:
        """What does not learn stays in evaluation mode: its states must not depend on dropout."""
        super().train(mode)
        self._rest()
        return self

    def _rest(self) -> None:
        for part in self._resting:
            part.training = False

    def learned_names(self) -> frozenset[str]:
        """Entries of the state dict that training changes: parameters that learn, and buffers of what does not rest."""
        resting = {id(part) for part in self._resting}
        buffers = {
            f"{path}.{name}"
            for path, part in self.named_modules()
            if id(part) not in resting
            for name, _ in part.named_buffers(recurse=False)
        }
        return frozenset(buffers | {name for name, p in self.named_parameters() if p.requires_grad})

    def parameter_counts(self) -> dict[str, dict[str, int]]:
        """How many parameters learn and how many there are: of each encoder, the fusion, the head, and together."""
        parts = {**{name: self.encoder(name) for name in self.names}, "fusion": self.fusion, "head": self.head}
        if self.aligner is not None:
            parts["aligner"] = self.aligner
        return {**{name: parameter_counts(part) for name, part in parts.items()}, "together": parameter_counts(self)}

    def encoder(self, name: str) -> Encoder:
        """The encoder of a modality."""
        found = self.encoders[name]
        assert isinstance(found, Encoder)  # noqa: S101 - what the constructor put in
        return found

    def encode(self, batches: Mapping[str, Batch]) -> dict[str, Tokens]:
        """Tokens of each modality in ``batches``; of frozen encoders in the precision of kept features."""
        tokens = {}
        for name, batch in batches.items():
            with torch.set_grad_enabled(torch.is_grad_enabled() and name not in self.frozen):
                found = self.encoders[name](batch)
            tokens[name] = as_kept(found) if name in self.frozen else found
        return tokens

    def join(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Output:
        """Logits and modality weights from tokens."""
        fused = self.fusion(tokens, present_BM)
        return Output(self.head(fused.pooled_BD), fused.pooled_BD, fused.weights_BM, tokens)

    def place(self, output: Output, present_BM: Tensor) -> Tensor:
        """Unit vectors ``[B, W]`` in which like cases lie close: the shared space, or the fused state without one."""
        if self.aligner is not None:
            return self.aligner.place(output.tokens, present_BM)
        return nn.functional.normalize(output.pooled_BD, dim=1)

    def forward(
        self, batches: Mapping[str, Batch], present_BM: Tensor, cached: Mapping[str, Tokens] | None = None
    ) -> Output:
        """Logits and modality weights from batches, and from ``cached`` tokens of frozen encoders where given."""
        return self.join({**self.encode(batches), **(cached or {})}, present_BM)


def build_network(
    config: ModelConfig,
    modalities: Mapping[str, Modality],
    diagnoses: Sequence[str],
    shared: Mapping[str, Encoder] | None = None,
) -> MultimodalNetwork:
    """A fresh network for a configuration, with the encoders of another where ``shared``; raises InvalidConfig."""
    shared = shared or {}
    encoders = {name: shared[name] if name in shared else part.encoder() for name, part in modalities.items()}
    widths = {name: encoder.width for name, encoder in encoders.items()}
    join = fusion(config.fusion.name, widths, config.fusion.options)
    aligner = Aligner(widths, config.alignment) if config.alignment.epochs else None
    frozen = frozenset(name for name in config.modalities if config.learning(name).frozen)
    return MultimodalNetwork(encoders, join, len(diagnoses), frozen, aligner)


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
