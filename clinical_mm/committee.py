"""Several networks that answer together: the mean of their logits, as one network with the same front.

Each member was validated on another part of the cases and taught by the rest, so that all cases teach and all judge:
where there are a few dozen, a single split costs a fifth of them, and a single network depends on which. Since heads
are linear, the mean of the members' logits is itself a linear head over their joined states side by side.
Source: bagging by cross-validation, Krogh and Vedelsby, 1995; deep ensembles, Lakshminarayanan et al., 2017.
Shapes: B cases, N tokens, D width, M modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from clinical_mm.config import ModelConfig
from clinical_mm.errors import InvalidConfig
from clinical_mm.fusion import Fusion
from clinical_mm.fusion.base import Fused
from clinical_mm.modalities.base import Batch, Encoder, Modality, Tokens
from clinical_mm.network import MultimodalNetwork, build_network


def assemble(config: ModelConfig, modalities: Mapping[str, Modality], diagnoses: Sequence[str]) -> MultimodalNetwork:
    """The network that a configuration's bundle holds: a single one, or its members joined; raises InvalidConfig."""
    members = [build_network(config, modalities, diagnoses)]
    while len(members) < config.training.members:
        members.append(another_member(members[0], config, modalities, diagnoses))
    return join_members(members)


def another_member(
    first: MultimodalNetwork, config: ModelConfig, modalities: Mapping[str, Modality], diagnoses: Sequence[str]
) -> MultimodalNetwork:
    """A fresh network beside the first; what does not learn is the first one's."""
    return build_network(config, modalities, diagnoses, {name: first.encoder(name) for name in first.frozen})


def join_members(members: Sequence[MultimodalNetwork]) -> MultimodalNetwork:
    """One network whose logits are the mean of its members'; a single one stays as it is."""
    first = members[0]
    if len(members) == 1:
        return first
    own = [name for name in first.names if name not in first.frozen]
    encoders = {n: Together([m.encoder(n) for m in members]) if n in own else first.encoder(n) for n in first.names}
    widths = {name: first.encoder(name).width for name in own}
    join = Committee([member.fusion for member in members], widths)
    weights: list[Tensor] = [member.head.get_parameter("1.weight") for member in members]
    biases: list[Tensor] = [member.head.get_parameter("1.bias") for member in members]
    joined = MultimodalNetwork(encoders, join, len(biases[0]), first.frozen)
    with torch.no_grad():
        joined.head.get_parameter("1.weight").copy_(torch.cat(weights, dim=1) / len(members))
        joined.head.get_parameter("1.bias").copy_(torch.stack(biases).mean(0))
    return joined.eval()


def check_members(config: ModelConfig, network: MultimodalNetwork) -> None:
    """Members share what they read: raises InvalidConfig where each would learn inputs of its own."""
    for name in network.names:
        if config.learning(name).learns == "all" and network.encoder(name).input_parameters():
            raise InvalidConfig(
                f"training.members: members share what they read, so modalities.{name}.learns must be nothing, last or "
                "lora: with all, each would learn word embeddings of its own"
            )


class Together(Encoder):
    """The members' encoders of one modality over the same inputs: their tokens side by side, ``[B, N, sum of D]``."""

    def __init__(self, members: Sequence[Encoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.width = sum(member.width for member in members)
        self.baselines, self.deep, self.removable = members[0].baselines, members[0].deep, members[0].removable

    def inputs(self, batch: Batch) -> Tensor:
        """What each of them reads."""
        return self._encoders[0].inputs(batch)

    def baseline(self, batch: Batch, name: str | None = None) -> Tensor:
        """Inputs that say nothing."""
        return self._encoders[0].baseline(batch, name)

    def spread(self, shares_BN: Tensor, batch: Batch) -> Tensor:
        """The members' tokens stand for the same inputs."""
        return self._encoders[0].spread(shares_BN, batch)

    def reduced(self, whole: Tokens, baseline: Tensor, batch: Batch, kept: Tensor) -> Tokens:
        """Each member's tokens of what is kept."""
        widths = [member.width for member in self._encoders]
        parts = torch.split(whole.tokens_BND, widths, dim=-1)
        found = [
            encoder.reduced(Tokens(part, whole.mask_BN), baseline, batch, kept)
            for encoder, part in zip(self._encoders, parts, strict=True)
        ]
        return _side_by_side(found)

    def silence(self, baseline: str | None = None) -> Tensor | None:
        """The members' silent states."""
        found = [state for member in self._encoders if (state := member.silence(baseline)) is not None]
        return torch.cat(found) if found else None

    def feature_maps(self) -> list[nn.Module]:
        """The members' maps."""
        return [layer for member in self._encoders for layer in member.feature_maps()]

    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        """Which tokens are real follows from the case alone, so that it is the same for all."""
        return _side_by_side([encoder.tokens(inputs, batch) for encoder in self._encoders])

    @property
    def _encoders(self) -> list[Encoder]:
        return [member for member in self.members if isinstance(member, Encoder)]


def _side_by_side(found: Sequence[Tokens]) -> Tokens:
    return Tokens(torch.cat([tokens.tokens_BND for tokens in found], dim=-1), found[0].mask_BN)


class Committee(Fusion):
    """The members' fusions, each over its own part of the tokens' width; what is frozen they share."""

    def __init__(self, members: Sequence[Fusion], widths: Mapping[str, int]) -> None:
        """``widths``: of one member's tokens, of the modalities of which each member has an encoder of its own."""
        super().__init__(dict.fromkeys(members[0].names, 0), {})
        self.members = nn.ModuleList(members)
        self.widths = dict(widths)
        self.width = sum(member.width for member in members)
        self.attends = all(member.attends for member in members)

    def flow(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> dict[str, Tensor]:
        """The mean of the members' flows."""
        found = [member.flow(self._of(turn, tokens), present_BM) for turn, member in enumerate(self._fusions)]
        return {name: torch.stack([flow[name] for flow in found]).mean(0) for name in self.names}

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Fused:
        """States side by side; the mean of the weights."""
        found = [member(self._of(turn, tokens), present_BM) for turn, member in enumerate(self.members)]
        weights_BM = torch.stack([fused.weights_BM for fused in found]).mean(0)
        return Fused(torch.cat([fused.pooled_BD for fused in found], dim=1), weights_BM)

    @property
    def _fusions(self) -> list[Fusion]:
        return [member for member in self.members if isinstance(member, Fusion)]

    def _of(self, turn: int, tokens: Mapping[str, Tokens]) -> dict[str, Tokens]:
        mine = dict(tokens)
        for name, width in self.widths.items():
            part = slice(turn * width, (turn + 1) * width)
            mine[name] = Tokens(tokens[name].tokens_BND[..., part], tokens[name].mask_BN)
        return mine
