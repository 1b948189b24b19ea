"""Training (target S6): an epoch beside the same steps over tensors in memory; frozen tokens kept or not."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.evaluation.calibration import targets_of
from clinical_mm.modalities import modalities_of
from clinical_mm.network import build_network
from clinical_mm.phantom import DIAGNOSES, draw
from clinical_mm.training.data import TrainingData, read_samples
from clinical_mm.training.fit import Fit
from clinical_mm.training.progress import Reporter
from clinical_mm.training.split import Split

TITLE = "A training epoch (S6)"
CASES, REPEATS = 160, 3


def run() -> str:
    from accelerate import Accelerator

    config = ModelConfig.load("small", {"modalities.imaging.augmentation": False, "alignment.epochs": 0})
    catalogue = Catalogue.load()
    cases = [d.case for d in draw(CASES, seed=0)]
    modalities = modalities_of(config, catalogue)
    for part in modalities.values():
        part.fit(cases)
    accelerator = Accelerator(cpu=True)
    samples = read_samples(modalities, cases, lambda *_: None)
    targets = targets_of([c.diagnoses or () for c in cases], DIAGNOSES)
    split = Split(tuple(range(CASES)), (0,), ())

    def fit(*, cached: bool) -> Fit:
        network = build_network(config, modalities, DIAGNOSES)
        data = TrainingData(modalities, samples, targets)
        if cached:
            data.cache_frozen(network, accelerator.device, lambda *_: None)
        return Fit(network, data, split, config.task.kind, config.training, accelerator)

    with_cache, without = fit(cached=True), fit(cached=False)
    epoch, ready, slow = [], [], []
    for _ in range(REPEATS):
        epoch.append(timed(lambda: with_cache._epoch(1, Reporter(lambda _: None, 1), lambda: False)))
        ready.append(in_memory(with_cache))
        slow.append(timed(lambda: without._epoch(1, Reporter(lambda _: None, 1), lambda: False)))
    e, r, s = (statistics.median(side) for side in (epoch, ready, slow))
    return "\n".join(
        [
            f"Small configuration, {CASES} synthetic cases, medians of {REPEATS}, alternating; everything is trained",
            "but the frozen text encoder.",
            "",
            "| what | s |",
            "|---|---|",
            f"| one epoch, frozen tokens cached | {e:.2f} |",
            f"| forward + backward + step over tensors already in memory | {r:.2f} |",
            f"| one epoch, frozen encoder run each time | {s:.2f} |",
            "",
            "| ratio | here | target |",
            "|---|---|---|",
            f"| S6 epoch / in memory | {e / r:.2f} | <= 1.15 |",
            f"| cached / not cached, where the image encoder learns | {e / s:.2f} | |",
            "",
            "S7, where no encoder learns, is the section on retraining.",
        ]
    )


def in_memory(fit: Fit) -> float:
    """The same batches, made before the clock starts."""
    size = fit.config.batch_size
    feeds = [fit.data.feed(list(range(i, min(i + size, CASES))), fit.device) for i in range(0, CASES, size)]
    draw_ = torch.Generator().manual_seed(0)
    fit.model.train()

    def once() -> Any:
        return [fit._step(feed, draw_) for feed in feeds]

    return timed(once)


def timed(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(run())
