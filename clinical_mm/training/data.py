"""What the training loop is fed: every case read once, frozen encoders' tokens computed once.

Shapes: N cases, B cases of a batch, K diagnoses, M modalities.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clinical_mm.case import Case
from clinical_mm.features import FeatureCache, Features
from clinical_mm.frozen import FrozenEncoder, stacked
from clinical_mm.modalities.base import Batch, Modality, Sample, Tokens
from clinical_mm.network import MultimodalNetwork, collate, to_device

AT_ONCE = 256
"""Cases whose samples are in memory at a time while the tokens of a frozen encoder are computed."""
Step = Callable[[float, float], None]


@dataclass(frozen=True)
class Feed:
    """One batch, on its device."""

    batches: dict[str, Batch]
    cached: dict[str, Tokens]
    present_BM: Tensor
    targets_BK: Tensor


class Shelf(Sequence[Features | None]):
    """Features of every case of a training, None where a case has none.

    States lie in a file without a name, which ends with the process: memory holds what is in use.
    """

    def __init__(self, cases: int, width: int, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.width = width
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this shelf
        self._places: list[tuple[int, np.ndarray] | None] = [None] * cases
        self._end = 0
        self._states: np.ndarray | None = None

    def put(self, row: int, one: Features) -> None:
        """Lay down the features of a case; raises OSError where the disk is full."""
        self._places[row] = (self._end, one.mask)
        self._file.write(one.states.astype(np.float16, copy=False).tobytes())
        self._end += len(one.states)
        self._states = None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: int) -> Features | None:  # type: ignore[override] # no slices are asked for
        place = self._places[row]
        if place is None:
            return None
        if self._states is None:
            self._file.flush()
            self._states = np.memmap(self._file, np.float16, "r", shape=(self._end, self.width))
        start, mask = place
        return Features(self._states[start : start + len(mask)], mask)


@dataclass
class TrainingData:
    """Samples, targets, presence of every case; ``tokens`` of frozen encoders and their ``widths``, once computed.

    ``cases``: whose samples these are; needed where a sample is empty, which is read when its tokens are computed.
    """

    modalities: Mapping[str, Modality]
    samples: list[Mapping[str, Sample | None]]
    targets: np.ndarray
    tokens: dict[str, Sequence[Features | None]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    cases: Sequence[Case] = ()
    present: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        present = [[sample[name] is not None for name in self.modalities] for sample in self.samples]
        self.present = np.array(present, dtype=bool).reshape(len(self.samples), len(self.modalities))

    def cache_frozen(
        self,
        network: MultimodalNetwork,
        device: torch.device,
        step: Step,
        cache: FeatureCache | None = None,
        folder: Path | None = None,
    ) -> None:
        """Compute the tokens of frozen encoders, in half precision; of their samples what is small stays.

        What has been computed stays: for another network whose frozen encoders are the same.

        Args:
            network: whose encoders.
            device: where they are.
            step: told how far it is.
            cache: where tokens may be known already, and are kept; it needs ``cases``.
            folder: where they lie during this training; None = where temporary files do.

        Raises:
            UnreadableFile: a file does not decode.
            OSError: the disk is full.
        """
        names = [name for name in network.names if name in network.frozen and name not in self.tokens]
        for turn, name in enumerate(names):
            known = cache if self.cases else None
            frozen = FrozenEncoder(self.modalities[name], network.encoder(name), device, known)
            shelf = Shelf(len(self.samples), frozen.width, folder)
            rows = [i for i, sample in enumerate(self.samples) if sample[name] is not None]
            for start in range(0, len(rows), AT_ONCE):
                some = rows[start : start + AT_ONCE]
                self._shelve(shelf, frozen, name, some)
                step(turn + (start + len(some)) / len(rows), len(names))
            self.tokens[name], self.widths[name] = shelf, frozen.width

    def _shelve(self, shelf: Shelf, frozen: FrozenEncoder, name: str, rows: Sequence[int]) -> None:
        cases = [self.cases[i] if self.cases else None for i in rows]
        found = frozen.features(cases, [self.samples[i][name] for i in rows])
        for row, one in zip(rows, found, strict=True):
            shelf.put(row, one)
            self.samples[row] = {**self.samples[row], name: one.aside}

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
                name: stacked([found[i] for i in rows], self.widths[name]).to(device)
                for name, found in self.tokens.items()
            },
            present_BM=torch.from_numpy(self.present[list(rows)]).to(device),
            targets_BK=torch.from_numpy(self.targets[list(rows)]).to(device),
        )


def read_samples(
    modalities: Mapping[str, Modality], cases: Sequence[Case], step: Step, later: Collection[str] = ()
) -> list[Mapping[str, Sample | None]]:
    """Every case's arrays, in order.

    ``later``: modalities whose arrays may never be needed: empty where a case has something of that kind.
    """
    samples: list[Mapping[str, Sample | None]] = []
    for done, case in enumerate(cases, start=1):
        samples.append(dict(_parts(modalities, case, later)))
        step(done, len(cases))
    return samples


def _parts(
    modalities: Mapping[str, Modality], case: Case, later: Collection[str]
) -> Iterator[tuple[str, Sample | None]]:
    for name, part in modalities.items():
        if name in later:
            yield name, {} if part.has(case) else None
        else:
            yield name, part.read(case)
