"""What the training loop is fed: every case read once, frozen encoders' tokens computed once.

Shapes: N cases, B cases of a batch, K diagnoses, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clinical_mm.case import Case
from clinical_mm.modalities.base import Batch, Modality, Sample, Tokens
from clinical_mm.network import MultimodalNetwork, collate, to_device

if TYPE_CHECKING:
    from collections.abc import Iterator

FEATURE_BATCH = 16
Step = Callable[[float, float], None]


@dataclass(frozen=True)
class Feed:
    """One batch, on its device."""

    batches: dict[str, Batch]
    cached: dict[str, Tokens]
    present_BM: Tensor
    targets_BK: Tensor


@dataclass
class TrainingData:
    """Samples, targets, presence of every case; ``tokens`` of frozen encoders and their ``widths``, once computed."""

    modalities: Mapping[str, Modality]
    samples: list[Mapping[str, Sample | None]]
    targets: np.ndarray
    tokens: dict[str, list[tuple[np.ndarray, np.ndarray] | None]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    present: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        present = [[sample[name] is not None for name in self.modalities] for sample in self.samples]
        self.present = np.array(present, dtype=bool).reshape(len(self.samples), len(self.modalities))

    def cache_frozen(self, network: MultimodalNetwork, device: torch.device, step: Step) -> None:
        """Compute the tokens of frozen encoders, in half precision; their samples are then let go.

        What has been computed stays: for another network whose frozen encoders are the same.
        """
        names = [name for name in network.names if name in network.frozen and name not in self.tokens]
        for turn, name in enumerate(names):
            found: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(self.samples)
            # Notes of like length share a batch: padding costs as much as words do.
            with_sample = [i for i, s in enumerate(self.samples) if s[name] is not None]
            order = sorted(with_sample, key=lambda i: self._size(i, name))
            for start in range(0, len(order), FEATURE_BATCH):
                rows = order[start : start + FEATURE_BATCH]
                for row, tokens in zip(rows, self._encode(network, name, rows, device), strict=True):
                    found[row] = tokens
                step(turn + min(start + FEATURE_BATCH, len(order)) / len(order), len(names))
            self.tokens[name], self.widths[name] = found, network.encoder(name).width
        self.samples = [{n: part for n, part in sample.items() if n not in names} for sample in self.samples]

    def feed(self, rows: Sequence[int], device: torch.device, augment: torch.Generator | None = None) -> Feed:
        """The batch of these cases; ``augment`` draws the small random changes of training pictures."""
        live = {name: part for name, part in self.modalities.items() if name not in self.tokens}
        batches, _ = collate(live, [self.samples[i] for i in rows])
        if augment is not None:
            for name, part in live.items():
                batches[name] = part.augment(batches[name], augment)
        return Feed(
            batches=to_device(batches, device),
            cached={
                name: _stack([found[i] for i in rows], self.widths[name]).to(device)
                for name, found in self.tokens.items()
            },
            present_BM=torch.from_numpy(self.present[list(rows)]).to(device),
            targets_BK=torch.from_numpy(self.targets[list(rows)]).to(device),
        )

    def _size(self, row: int, name: str) -> int:
        sample = self.samples[row][name]
        return 0 if sample is None else sum(values.size for values in sample.values())

    def _encode(
        self, network: MultimodalNetwork, name: str, rows: Sequence[int], device: torch.device
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        batch = self.modalities[name].collate([self.samples[i][name] for i in rows])
        with torch.no_grad():
            tokens = network.encoders[name](to_device({name: batch}, device)[name])
        for states_ND, mask_N in zip(tokens.tokens_BND.cpu().half().numpy(), tokens.mask_BN.cpu().numpy(), strict=True):
            kept = int(np.nonzero(mask_N)[0].max(initial=0)) + 1
            yield states_ND[:kept].copy(), mask_N[:kept].copy()


def read_samples(
    modalities: Mapping[str, Modality], cases: Sequence[Case], step: Step
) -> list[Mapping[str, Sample | None]]:
    """Every case's arrays, in order."""
    samples: list[Mapping[str, Sample | None]] = []
    for done, case in enumerate(cases, start=1):
        samples.append({name: part.read(case) for name, part in modalities.items()})
        step(done, len(cases))
    return samples


def _stack(found: Sequence[tuple[np.ndarray, np.ndarray] | None], width: int) -> Tokens:
    longest = max([len(f[0]) for f in found if f is not None], default=1)
    states, masks = np.zeros((len(found), longest, width), np.float32), np.zeros((len(found), longest), bool)
    for row, tokens in enumerate(found):
        if tokens is not None:
            states[row, : len(tokens[0])], masks[row, : len(tokens[1])] = tokens
    return Tokens(torch.from_numpy(states), torch.from_numpy(masks))
