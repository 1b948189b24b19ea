"""Vitals: one token a vital, and one of the whole row in which values add up.

A vital's token is the sum of what it is (a name embedding) and how far it is from usual (an MLP of its z). Missing is
told apart from zero: an absent vital has ``present`` False, its token is masked out of every attention, and no number
stands in for it. Age and sex of the patient are two more tokens. A skewed value, as most laboratory values are, is
first brought to a symmetric scale.
Source: power transformation, Yeo and Johnson, 2000 (Biometrika 87).
Shapes: B cases, V vitals, N = V + 1 tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import yeojohnson
from torch import Tensor, nn

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue, Range
from clinical_mm.errors import InvalidConfig
from clinical_mm.modalities.base import (
    Alternative,
    Batch,
    Encoder,
    Evidence,
    Modality,
    Sample,
    Tokens,
    VitalAttribution,
)

AGE, SEX = "patient.age_years", "patient.sex"
SEX_VALUE = {"F": 1.0, "M": -1.0}
IQR_OF_A_NORMAL = 1.349
"""Interquartile range of a standard normal: dividing by it puts a robust z on the scale of standard deviations."""
_PLAUSIBLE_Z, _ALTERNATIVES, _WIDEST = 2.0, 17, 20.0
FEWEST_FOR_A_SHAPE, POWERS = 20, (-2.0, 4.0)
"""Fewer values tell no skew; a power beyond these follows single values, not the shape."""


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
        self._usual = {name: Usual() for name in self.names}

    def fit(self, cases: Sequence[Case]) -> None:
        """What is usual of each vital over the training part alone."""
        table = np.array([self._row(case) for case in cases], dtype=np.float64).reshape(len(cases), len(self.names))
        for column, name in enumerate(self.names):
            seen = table[:, column][~np.isnan(table[:, column])]
            if name != SEX and seen.size:
                self._usual[name] = Usual.of(seen)

    def state(self) -> dict[str, Any]:
        """What is usual, by name."""
        return {name: asdict(usual) for name, usual in self._usual.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """What is usual as the bundle holds it."""
        self._usual = {name: Usual(**state[name]) for name in self.names}

    @classmethod
    def shown(cls, case: Case) -> list[Any]:
        """Every vital, age and sex, whichever of them are looked at."""
        return [dict(case.vitals), case.patient.age_years, case.patient.sex]

    def reading(self) -> dict[str, Any]:
        """The options, the names in their order, and what is usual."""
        return {**self.options.model_dump(), "names": list(self.names), "usual": self.state()}

    def read(self, case: Case) -> Sample | None:
        """``values[V]`` as robust z and ``present[V]``; None without any vital (age and sex alone are no evidence)."""
        row = np.array(self._row(case), dtype=np.float64)
        present = ~np.isnan(row)
        measured = present[: len(self.names) - 2] if self.options.demographics else present
        if not measured.any():
            return None
        z = [
            self._usual[name].z(value) if there else 0.0
            for name, value, there in zip(self.names, row, present, strict=True)
        ]
        return {"values": np.clip(z, -self.options.clip, self.options.clip).astype(np.float32), "present": present}

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
        return dict.fromkeys(("names", "slopes", "offsets", "adds", "missed"), self.names)

    def units(self, case: Case, batch: Batch) -> Tensor:
        """Each vital that is present."""
        present_BV = batch["present"]
        return torch.where(present_BV, present_BV.cumsum(1) - 1, -1)

    def alternatives(self, case: Case) -> list[Alternative]:
        """Values between rare extremes of the training part, and the nearest normal one; not of age and sex."""
        named = ((name, float(value)) for name, value in case.vitals.items() if name in self._usual)
        return [self._alternative(name, value, to) for name, value in named for to in self._plausible(name, value)]

    def changed(self, case: Case, changes: Sequence[Alternative]) -> Sample | None:
        """The row with other values."""
        return self.read(replace(case, vitals={**case.vitals, **{c.name: c.to for c in changes}}))

    def _plausible(self, name: str, value: float) -> list[float]:
        """Some values from rather low to rather high of the training part, as finely told as the case's own."""
        vital, decimals = self.catalogue.vital(name), len(f"{value:g}".partition(".")[2])
        inside = self._usual[name].between(-_PLAUSIBLE_Z, _PLAUSIBLE_Z, _ALTERNATIVES)
        found = {round(to, decimals) for to in inside} | {_nearest(value, vital.normal)}
        return sorted(to for to in found if to in vital.plausible and to != value)

    def _alternative(self, name: str, value: float, to: float) -> Alternative:
        vital, usual = self.catalogue.vital(name), self._usual[name]
        distance = abs(usual.z(to) - usual.z(value))
        return Alternative(self.name, name, value, to, vital.unit, distance, normal=to == _nearest(value, vital.normal))

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


@dataclass(frozen=True)
class Usual:
    """What is usual of one vital: the values' median and spread, and how they are skewed.

    z = yeo-johnson((value - center) / scale, power) / spread; 0 at the median, about a standard normal elsewhere.
    """

    center: float = 0.0
    scale: float = 1.0
    power: float = 1.0
    spread: float = 1.0

    @classmethod
    def of(cls, seen: np.ndarray) -> Usual:
        """Learn from ``seen[N]``, at least one value."""
        center, scale = float(np.median(seen)), _spread(seen)
        ratio = (seen - center) / scale
        if len(np.unique(seen)) < FEWEST_FOR_A_SHAPE:
            return cls(center, scale)
        power = float(np.clip(yeojohnson(ratio)[1], *POWERS))
        return cls(center, scale, power, _spread(yeojohnson(ratio, lmbda=power)))

    def between(self, low: float, high: float, count: int) -> list[float]:
        """``count`` values whose z are evenly spaced from ``low`` to ``high``, by reading a fine table backwards."""
        around = self.center + self.scale * np.linspace(-_WIDEST, _WIDEST, 4001)
        z = yeojohnson((around - self.center) / self.scale, lmbda=self.power) / self.spread
        return [float(v) for v in np.interp(np.linspace(low, high, count), z, around)]

    def z(self, value: float) -> float:
        """How far from usual a value is."""
        ratio = np.array([(value - self.center) / self.scale])
        return float(yeojohnson(ratio, lmbda=self.power)[0] / self.spread)


def _nearest(value: float, normal: Range) -> float:
    """The value itself, or the end of the normal range that it is beyond."""
    low, high = (-math.inf if normal.low is None else normal.low), (math.inf if normal.high is None else normal.high)
    return float(min(max(value, low), high))


def _spread(values: np.ndarray) -> float:
    """A robust standard deviation, never 0."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float((high - low) / IQR_OF_A_NORMAL or values.std() or max(abs(middle) * 0.1, 1.0))


class VitalsEncoder(Encoder):
    """values[B, V] -> tokens[B, N, D]."""

    baselines = ("median",)
    removable = True

    def __init__(self, count: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.names = nn.Parameter(torch.randn(count, width) * 0.02)
        # Each vital has its own response to its value: a first layer of its own, then shared ones.
        self.slopes = nn.Parameter(torch.randn(count, width) * 0.5)
        self.offsets = nn.Parameter(torch.zeros(count, width))
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)
        # Attention over tokens is a mean; evidence adds up. The last token is a sum over the row.
        self.adds = nn.Parameter(torch.randn(count, width) / math.sqrt(count))
        self.missed = nn.Parameter(torch.zeros(count, width))
        self.dropout = dropout

    def inputs(self, batch: Batch) -> Tensor:
        """The z values[B, V]."""
        return batch["values"]

    def baseline(self, batch: Batch, name: str | None = None) -> Tensor:
        """The population's median: z = 0 for each."""
        return torch.zeros_like(batch["values"])

    def spread(self, shares_BN: Tensor, batch: Batch) -> Tensor:
        """A vital's own token to that vital; the row's to all that are present, alike."""
        there_BV = batch["present"].to(shares_BN.dtype)
        return shares_BN[:, :-1] + shares_BN[:, -1:] * there_BV / there_BV.sum(1, keepdim=True).clamp(min=1)

    def reduced(self, whole: Tokens, baseline: Tensor, batch: Batch, kept: Tensor) -> Tokens:
        """A vital that is removed is one that was not measured."""
        return self.tokens(batch["values"], {**batch, "present": batch["present"] & kept})

    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        """tokens[B, N, D]; absent vitals are masked."""
        mask_BV = batch["present"]
        if self.training and self.dropout:
            keep_BV = torch.rand_like(inputs) >= self.dropout
            # At least one stays: a modality that is said to be present must have a token.
            mask_BV = torch.where((mask_BV & keep_BV).any(-1, keepdim=True), mask_BV & keep_BV, mask_BV)
        hidden_BVD = inputs.unsqueeze(-1) * self.slopes + self.offsets
        tokens_BVD = self.norm(self.names + self.mix(hidden_BVD))
        there_BV = mask_BV.to(inputs.dtype)
        sum_BD = (inputs * there_BV) @ self.adds + (1 - there_BV) @ self.missed
        whole_B1 = torch.ones_like(mask_BV[:, :1])
        return Tokens(torch.cat([tokens_BVD, sum_BD.unsqueeze(1)], 1), torch.cat([mask_BV, whole_B1], 1))
