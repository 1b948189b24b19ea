"""Vitals: one token a vital - the sum of what it is (a name embedding) and how far it is from usual (an MLP of its z).

Missing is told apart from zero: an absent vital has ``present`` False, its token is masked out of every attention, and
no number stands in for it. Age and sex of the patient are two more tokens.
Shapes: B cases, V vitals, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig
from clinical_mm.modalities.base import Batch, Encoder, Evidence, Modality, Sample, Tokens, VitalAttribution

AGE, SEX = "patient.age_years", "patient.sex"
SEX_VALUE = {"F": 1.0, "M": -1.0}
IQR_OF_A_NORMAL = 1.349
"""Interquartile range of a standard normal: dividing by it puts a robust z on the scale of standard deviations."""


class VitalsOptions(BaseModel):
    """What a model's YAML may say under ``vitals``.

    Attributes:
        width: D of the tokens.
        clip: largest |z| that is told apart; beyond it a value is only 'very far'.
        demographics: whether age and sex are tokens as well.
        names: catalogue names to use; empty = all.
        dropout: of a single vital's token in training, so that no one of them is leaned on alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int = Field(64, ge=4)
    clip: float = Field(8.0, gt=0)
    demographics: bool = True
    names: tuple[str, ...] = ()
    dropout: float = Field(0.1, ge=0, lt=1)


class Vitals(Modality):
    """The table of measurements."""

    name = "vitals"

    def __init__(self, config: Mapping[str, Any], catalogue: Catalogue) -> None:
        try:
            self.options = VitalsOptions.model_validate(config)
        except ValidationError as error:
            raise InvalidConfig(f"vitals: {error}") from error
        self.catalogue = catalogue
        names = self.options.names or tuple(v.name for v in catalogue.vitals)
        for name in names:
            catalogue.vital(name)
        self.names = (*names, AGE, SEX) if self.options.demographics else names
        self._center = np.zeros(len(self.names), dtype=np.float32)
        self._scale = np.ones(len(self.names), dtype=np.float32)

    def fit(self, cases: Sequence[Case]) -> None:
        """Median and interquartile range of each vital over the training part alone."""
        table = np.array([self._row(case) for case in cases], dtype=np.float64).reshape(len(cases), len(self.names))
        for column, name in enumerate(self.names):
            seen = table[:, column][~np.isnan(table[:, column])]
            if name == SEX or seen.size == 0:
                continue
            low, middle, high = np.percentile(seen, [25, 50, 75])
            spread = (high - low) / IQR_OF_A_NORMAL or float(seen.std()) or max(abs(middle) * 0.1, 1.0)
            self._center[column], self._scale[column] = middle, spread

    def state(self) -> dict[str, Any]:
        """Medians and spreads by name."""
        return {
            name: {"center": float(c), "scale": float(s)}
            for name, c, s in zip(self.names, self._center, self._scale, strict=True)
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Medians and spreads as the bundle holds them."""
        self._center = np.array([state[name]["center"] for name in self.names], dtype=np.float32)
        self._scale = np.array([state[name]["scale"] for name in self.names], dtype=np.float32)

    def read(self, case: Case) -> Sample | None:
        """``values[V]`` as robust z and ``present[V]``; None without any vital (age and sex alone are no evidence)."""
        row = np.array(self._row(case), dtype=np.float32)
        present = ~np.isnan(row)
        measured = present[: len(self.names) - 2] if self.options.demographics else present
        if not measured.any():
            return None
        z = np.clip((row - self._center) / self._scale, -self.options.clip, self.options.clip)
        return {"values": np.where(present, z, 0.0).astype(np.float32), "present": present}

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """``values[B, V]``, ``present[B, V]``."""
        nothing = {
            "values": np.zeros(len(self.names), np.float32),
            "present": np.zeros(len(self.names), bool),
        }
        rows = [nothing if s is None else s for s in samples]
        return {key: torch.from_numpy(np.stack([r[key] for r in rows])) for key in nothing}

    def encoder(self) -> Encoder:
        """Name embedding plus MLP of the value, shared by all vitals."""
        return VitalsEncoder(len(self.names), self.options.width, self.options.dropout)

    def rows(self) -> dict[str, tuple[str, ...]]:
        """Each vital has a row of its own in these."""
        return dict.fromkeys(("names", "slopes", "offsets"), self.names)

    def evidence(self, case: Case, batch: Batch, attributions: Tensor) -> Evidence:
        """One attribution for each vital the case has."""
        shares = attributions[0].tolist()
        present = batch["present"][0].tolist()
        found = [
            VitalAttribution(name, *self._shown(case, name), attribution=float(share))
            for name, share, there in zip(self.names, shares, present, strict=True)
            if there
        ]
        return Evidence(vitals=tuple(sorted(found, key=lambda v: -abs(v.attribution))))

    def _row(self, case: Case) -> list[float]:
        demographics = {AGE: case.patient.age_years, SEX: SEX_VALUE.get(case.patient.sex or "")}
        values = (demographics.get(name) if name in (AGE, SEX) else case.vitals.get(name) for name in self.names)
        return [np.nan if value is None else float(value) for value in values]

    def _shown(self, case: Case, name: str) -> tuple[float, str]:
        if name == AGE:
            return float(case.patient.age_years or 0), "a"
        if name == SEX:
            return SEX_VALUE[case.patient.sex or ""], "{F=1,M=-1}"
        return float(case.vitals[name]), self.catalogue.vital(name).unit


class VitalsEncoder(Encoder):
    """values[B, V] -> tokens[B, V, D]."""

    def __init__(self, count: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.names = nn.Parameter(torch.randn(count, width) * 0.02)
        # Each vital has its own response to its value: a first layer of its own, then shared ones.
        self.slopes = nn.Parameter(torch.randn(count, width) * 0.5)
        self.offsets = nn.Parameter(torch.zeros(count, width))
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)
        self.dropout = dropout

    def inputs(self, batch: Batch) -> Tensor:
        """The z values[B, V]."""
        return batch["values"]

    def baseline(self, batch: Batch) -> Tensor:
        """The population's median: z = 0 for each."""
        return torch.zeros_like(batch["values"])

    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        """tokens[B, V, D]; absent vitals are masked."""
        hidden_BVD = inputs.unsqueeze(-1) * self.slopes + self.offsets
        tokens_BVD = self.norm(self.names + self.mix(hidden_BVD))
        mask_BV = batch["present"]
        if self.training and self.dropout:
            keep_BV = torch.rand_like(inputs) >= self.dropout
            # At least one stays: a modality that is said to be present must have a token.
            mask_BV = torch.where((mask_BV & keep_BV).any(-1, keepdim=True), mask_BV & keep_BV, mask_BV)
        return Tokens(tokens_BVD, mask_BV)
