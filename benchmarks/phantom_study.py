"""Trainings on phantom cases that a study repeats: cases read once, encoders taught once, fusions and seeds compared.

Scores are AUROCs averaged over diagnoses, and their share of what the Bayes posterior reaches on the same cases.
Shapes: N cases, K diagnoses, M modalities.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.evaluation.metrics import auroc, macro
from clinical_mm.features import Features
from clinical_mm.network import MultimodalNetwork, build_network
from clinical_mm.phantom import DIAGNOSES, Evidence, draw, posterior
from clinical_mm.training.align import align
from clinical_mm.training.data import TrainingData
from clinical_mm.training.fit import Fit
from clinical_mm.training.prepared import Prepared, prepare
from clinical_mm.training.progress import Reporter
from clinical_mm.training.split import Split
from clinical_mm.training.stacking import stack

MODALITIES = ("imaging", "text", "vitals")
SUBSETS = tuple(s for size in (3, 2, 1) for s in combinations(MODALITIES, size))
CPU = torch.device("cpu")
EPOCHS_OF_IMAGES = 14
mean_auroc = macro(auroc)


@dataclass
class Study:
    """Phantom cases, read once for a configuration; the test part is the same for every seed."""

    config: ModelConfig
    evidence: list[Evidence]
    prepared: Prepared

    @classmethod
    def of(cls, config: ModelConfig, cases: int, seed: int = 0) -> Study:
        """Draw and read."""
        drawn = list(draw(cases, seed))
        ready = prepare([d.case for d in drawn], config, Catalogue.load(), silent())
        return cls(config, [d.truth.evidence for d in drawn], ready)

    def bayes(self, rows: Sequence[int], subset: Sequence[str]) -> np.ndarray:
        """``float[N, K]``: the posterior of these cases given these modalities."""
        order = [DIAGNOSES.index(code) for code in self.prepared.diagnoses]
        return np.array([posterior(self.evidence[i], subset) for i in rows])[:, order]

    def with_all(self, rows: Sequence[int]) -> list[int]:
        """Those of the cases that have every modality, so that each subset is judged on the same ones."""
        return [i for i in rows if len(self.evidence[i].present) == len(MODALITIES)]

    def only(self, name: str) -> Study:
        """The same cases with this modality alone."""
        data = self.prepared.data
        modality = {name: self.prepared.modalities[name]}
        tokens = {n: found for n, found in data.tokens.items() if n == name}
        samples = [{name: sample.get(name)} for sample in data.samples]
        alone = TrainingData(modality, samples, data.targets, tokens, dict(data.widths))
        alone.present = data.present[:, [list(data.modalities).index(name)]]
        update = {"modalities": {name: self.config.modalities[name]}}
        config = _changed(self.config.model_copy(update=update), modality_dropout=0.0)
        return Study(config, self.evidence, replace(self.prepared, modalities=modality, data=alone))

    def with_something(self, parts: Split) -> Split:
        """Only cases that have any of the study's modalities."""
        there = self.prepared.data.present.any(1)
        return Split(*(tuple(i for i in part if there[i]) for part in (parts.train, parts.validation, parts.test)))

    def split(self, labelled: int | None = None, seed: int = 0) -> Split:
        """The fixed test part; a sixth of the rest chooses, the others teach, so many of both with a label.

        More labels begin with the same cases, and what chooses never teaches at any number of labels.
        """
        parts = self.prepared.parts
        rest = np.random.default_rng(seed).permutation([*parts.train, *parts.validation])
        chooses, teaches = np.split(rest, [len(rest) // 6])
        if labelled is not None:
            few = max(8, labelled // 6)
            chooses, teaches = chooses[:few], teaches[: labelled - few]
        return Split(tuple(map(int, teaches)), tuple(map(int, chooses)), parts.test)


def silent() -> Reporter:
    return Reporter(lambda _: None, 1)


def network_of(study: Study, config: ModelConfig, seed: int) -> MultimodalNetwork:
    """A fresh network, the same for the same seed; the tokens of its frozen text encoder are computed once."""
    torch.manual_seed(seed)
    network = build_network(config, study.prepared.modalities, study.prepared.diagnoses)
    if "text" in network.names and "text" not in study.prepared.data.tokens:
        study.prepared.data.cache_frozen(network, CPU, lambda *_: None)
    return network


def trained(
    study: Study, config: ModelConfig, seed: int, parts: Split, start: Mapping[str, Tensor] | None = None
) -> Fit:
    """Train a configuration, from these weights where given."""
    from clinical_mm.training.learn import choose_accelerator

    config = _changed(config, seed=seed)
    network = network_of(study, config, seed)
    if start is not None:
        network.load_state_dict(start)
    fit = Fit(network, study.prepared.data, parts, config.task.kind, config.training, choose_accelerator(config, "cpu"))
    with tempfile.TemporaryDirectory() as folder:
        fit.run(Path(folder) / "checkpoint", lambda *_: None, silent(), lambda: False)
    stack([fit], config.task.kind)
    return fit


def aligned(study: Study, config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """Weights after alignment on every case that neither chooses nor judges, labelled in a study or not."""
    config = _changed(config, seed=seed)
    network = network_of(study, config, seed)
    prepared = replace(study.prepared, parts=study.split(seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        align(network, prepared, config, CPU, Path(folder) / "alignment", silent(), lambda: False)
    return network.state_dict()


def _changed(config: ModelConfig, **training: Any) -> ModelConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=training)})


def freeze_images(study: Study, parts: Split) -> None:
    """Teach an image encoder on images alone, then keep its tokens in place of pictures, for every fusion alike."""
    data, alone = study.prepared.data, study.only("imaging")
    alone.config = _changed(alone.config, epochs=EPOCHS_OF_IMAGES)
    encoder = trained(alone, alone.config, 0, alone.with_something(parts)).network.encoder("imaging").eval()
    data.tokens["imaging"], data.widths["imaging"] = _tokens_of(encoder, study, data.samples), encoder.width


def _tokens_of(encoder: Any, study: Study, samples: Sequence[Any]) -> list[Any]:
    found: list[Any] = [None] * len(samples)
    rows = [i for i, s in enumerate(samples) if s["imaging"] is not None]
    for start in range(0, len(rows), 32):
        chosen = rows[start : start + 32]
        batch = study.prepared.modalities["imaging"].collate([samples[i]["imaging"] for i in chosen])
        with torch.no_grad():
            tokens = encoder(batch)
        for row, states, mask in zip(chosen, tokens.tokens_BND.numpy(), tokens.mask_BN.numpy(), strict=True):
            kept = int(np.nonzero(mask)[0].max()) + 1
            found[row] = Features(states[:kept].astype(np.float16), mask[:kept])
    return found


def scores(fit: Fit, rows: Sequence[int], subset: Sequence[str]) -> np.ndarray:
    """Logits ``[N, K]`` where only these modalities are let in."""
    data = fit.data
    everything = data.present
    data.present = everything & np.array([name in subset for name in data.modalities])
    try:
        return fit.logits(rows)
    finally:
        data.present = everything
