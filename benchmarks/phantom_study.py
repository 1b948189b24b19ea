"""A training on phantom cases that a study repeats: read once, encoders frozen once, fusions and seeds compared.

Scores are AUROCs averaged over diagnoses, and their share of what the Bayes posterior reaches on the same cases.
Shapes: N cases, K diagnoses, M modalities.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.evaluation.metrics import auroc, macro
from clinical_mm.network import MultimodalNetwork, build_network
from clinical_mm.phantom import DIAGNOSES, Evidence, draw, posterior
from clinical_mm.training.align import align
from clinical_mm.training.fit import Fit
from clinical_mm.training.prepared import Prepared, prepare
from clinical_mm.training.progress import Reporter
from clinical_mm.training.split import Split

MODALITIES = ("imaging", "text", "vitals")
SUBSETS = tuple(s for size in (3, 2, 1) for s in combinations(MODALITIES, size))
mean_auroc = macro(auroc)


@dataclass
class Study:
    """Phantom cases, read once for a configuration; the test part is the same for every seed."""

    config: ModelConfig
    evidence: list[Evidence]
    prepared: Prepared

    @classmethod
    def of(cls, config: ModelConfig, cases: int) -> Study:
        """Draw and read."""
        drawn = list(draw(cases, seed=0))
        ready = prepare([d.case for d in drawn], config, Catalogue.load(), silent())
        return cls(config, [d.truth.evidence for d in drawn], ready)

    def bayes(self, rows: Sequence[int], subset: Sequence[str]) -> np.ndarray:
        """``float[N, K]``: the posterior of these cases given these modalities."""
        order = [DIAGNOSES.index(code) for code in self.prepared.diagnoses]
        return np.array([posterior(self.evidence[i], subset) for i in rows])[:, order]

    def with_all(self, rows: Sequence[int]) -> list[int]:
        """Those of the cases that have every modality, so that each subset is judged on the same ones."""
        return [i for i in rows if len(self.evidence[i].present) == len(MODALITIES)]

    def split(self, seed: int, labelled: int | None = None) -> Split:
        """The fixed test part; training and validation drawn by seed, a sixth of the labelled for validation."""
        parts = self.prepared.parts
        rest = np.random.default_rng(seed).permutation([*parts.train, *parts.validation])[:labelled]
        cut = max(8, len(rest) // 6)
        return Split(tuple(map(int, rest[cut:])), tuple(map(int, rest[:cut])), parts.test)


def silent() -> Reporter:
    return Reporter(lambda _: None, 1)


def trained(study: Study, config: ModelConfig, seed: int, parts: Split, freeze: Sequence[str] = ()) -> Fit:
    """Train a configuration; encoders in ``freeze`` (beside those frozen already) are taken from the data's cache."""
    from clinical_mm.training.run import _accelerator

    config = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
    torch.manual_seed(seed)
    network = build_network(config, study.prepared.modalities, study.prepared.diagnoses)
    accelerator = _accelerator(config, "cpu")
    data = study.prepared.data
    if "text" not in data.tokens:
        data.cache_frozen(network, accelerator.device, lambda *_: None)
    network.frozen = network.frozen | frozenset(freeze)
    with tempfile.TemporaryDirectory() as folder:
        prepared = replace(study.prepared, parts=parts)
        if config.alignment.epochs:
            _align(network, prepared, parts, config, Path(folder))
        fit = Fit(network, data, parts, config.task.kind, config.training, accelerator)
        fit.run(Path(folder) / "checkpoint", _Silent(), silent(), lambda: False)  # type: ignore[arg-type]
    return fit


def freeze_images(study: Study, seed: int, parts: Split) -> None:
    """Teach an image encoder on images alone, then keep its tokens in place of pictures, for every fusion alike."""
    data, samples = study.prepared.data, study.prepared.data.samples
    only = {"imaging": study.prepared.modalities["imaging"]}
    alone = type(data)(only, [{"imaging": s["imaging"]} for s in samples], data.targets)
    rows = [np.array([i for i in part if alone.present[i, 0]]) for part in (parts.train, parts.validation)]
    config = study.config.model_copy(
        update={
            "modalities": {"imaging": study.config.modalities["imaging"]},
            "training": study.config.training.model_copy(update={"epochs": 14, "seed": seed, "modality_dropout": 0.0}),
        }
    )
    own = Study(config, study.evidence, replace(study.prepared, modalities=only, data=alone))
    fit = _images_alone(own, config, seed, Split(tuple(rows[0]), tuple(rows[1]), parts.test))
    encoder = fit.network.encoder("imaging").eval()
    data.tokens["imaging"], data.widths["imaging"] = _tokens_of(encoder, study, samples), encoder.width


def _images_alone(study: Study, config: ModelConfig, seed: int, parts: Split) -> Fit:
    from clinical_mm.training.run import _accelerator

    torch.manual_seed(seed)
    network = build_network(config, study.prepared.modalities, study.prepared.diagnoses)
    accelerator = _accelerator(config, "cpu")
    fit = Fit(network, study.prepared.data, parts, config.task.kind, config.training, accelerator)
    with tempfile.TemporaryDirectory() as folder:
        fit.run(Path(folder) / "checkpoint", _Silent(), silent(), lambda: False)  # type: ignore[arg-type]
    return fit


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
            found[row] = (states[:kept].astype(np.float16), mask[:kept])
    return found


def _align(network: MultimodalNetwork, prepared: Prepared, parts: Split, config: ModelConfig, folder: Path) -> None:
    """On every case outside the test part, as if those without a drawn label had none."""
    everyone = tuple(i for i in range(len(prepared.cases)) if i not in set(parts.test) | set(parts.validation))
    align(
        network,
        replace(prepared, parts=replace(parts, train=everyone)),
        config,
        torch.device("cpu"),
        folder / "alignment",
        silent(),
        lambda: False,
    )


def scores(fit: Fit, rows: Sequence[int], subset: Sequence[str]) -> np.ndarray:
    """Logits ``[N, K]`` where only these modalities are let in."""
    data = fit.data
    everything = data.present
    data.present = everything & np.array([name in subset for name in data.modalities])
    try:
        return fit.logits(rows)
    finally:
        data.present = everything


class _Silent:
    def add_scalar(self, *_: Any) -> None:
        pass

    def flush(self) -> None:
        pass
