"""A frozen encoder's tokens of many cases: out of the feature cache where they are known, else computed and kept there.

Shapes: B cases of a batch, N tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from clinical_mm.case import Case
from clinical_mm.features import FeatureCache, Features
from clinical_mm.modalities.base import Encoder, Modality, Sample, Tokens

BATCH = 16


class FrozenEncoder:
    """One modality's encoder that does not learn, on its device."""

    def __init__(
        self, modality: Modality, encoder: Encoder, device: torch.device, cache: FeatureCache | None = None
    ) -> None:
        self._modality, self._encoder, self._device = modality, encoder, device
        key = None if cache is None else modality.features_of(encoder)
        self._cache = None if cache is None or key is None else (cache, key)

    @property
    def width(self) -> int:
        """D."""
        return self._encoder.width

    def features(self, cases: Sequence[Case | None], samples: Sequence[Sample | None]) -> list[Features]:
        """Features of cases that have this modality, in order.

        Args:
            cases: them; None where there are samples alone, which is asked of an encoder without a cache only.
            samples: what ``read`` gave of each; empty or None = it is read where it is needed.

        Raises:
            UnreadableFile: a file does not decode.
        """
        contents = [self._modality.content(case) for case in cases if case] if self._cache else []
        known = self._cache[0].get(self._cache[1], set(contents)) if self._cache else {}
        missing = [i for i in range(len(cases)) if not contents or contents[i] not in known]
        read = {i: samples[i] or self._read(cases[i]) for i in missing}
        fresh = dict(self._computed(read))
        if self._cache and fresh:
            self._cache[0].put(self._cache[1], {contents[i]: one for i, one in fresh.items()})
        return [fresh[i] if i in fresh else known[contents[i]] for i in range(len(cases))]

    def _read(self, case: Case | None) -> Sample:
        sample = None if case is None else self._modality.read(case)
        if sample is None:
            raise ValueError(f"a case without {self._modality.name} has no features of it")
        return sample

    def _computed(self, samples: Mapping[int, Sample]) -> Iterator[tuple[int, Features]]:
        # Notes of like length share a batch: padding costs as much as words do.
        order = sorted(samples, key=lambda i: sum(values.size for values in samples[i].values()))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = self._modality.collate([samples[i] for i in rows])
            with torch.no_grad():
                tokens: Tokens = self._encoder({key: value.to(self._device) for key, value in batch.items()})
            states_BND, mask_BN = tokens.tokens_BND.cpu().half().numpy(), tokens.mask_BN.cpu().numpy()
            for row, states_ND, mask_N in zip(rows, states_BND, mask_BN, strict=True):
                kept = int(np.nonzero(mask_N)[0].max(initial=0)) + 1
                aside = {name: samples[row][name] for name in self._modality.aside}
                yield row, Features(states_ND[:kept].copy(), mask_N[:kept].copy(), aside)


def stacked(found: Sequence[Features | None], width: int) -> Tokens:
    """Many cases' features as one batch; what is absent is padding that the mask hides."""
    longest = max([len(one.states) for one in found if one is not None], default=1)
    states, masks = np.zeros((len(found), longest, width), np.float32), np.zeros((len(found), longest), bool)
    for row, one in enumerate(found):
        if one is not None:
            states[row, : len(one.states)], masks[row, : len(one.mask)] = one.states, one.mask
    return Tokens(torch.from_numpy(states), torch.from_numpy(masks))


def as_kept(tokens: Tokens) -> Tokens:
    """The same in the precision of features, so that an answer is one whether they were kept or not.

    Gradients pass as if nothing had been rounded.
    """
    states = tokens.tokens_BND
    return Tokens(states + (states.half().to(states.dtype) - states).detach(), tokens.mask_BN)
