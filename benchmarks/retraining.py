"""Retraining the fusion over frozen encoders (target S7): what was computed before, and what that leaves to pay."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.training_epoch import timed
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.device import choose_device
from clinical_mm.features import MB, FeatureCache, Features
from clinical_mm.frozen import FrozenEncoder
from clinical_mm.importing.folder import whole_folder, write_folder
from clinical_mm.modalities import modalities_of
from clinical_mm.network import build_network
from clinical_mm.phantom import draw
from clinical_mm.training.learn import _fit
from clinical_mm.training.prepared import prepare
from clinical_mm.training.progress import Progress, Reporter
from clinical_mm.training.request import Request
from clinical_mm.training.run import train
from clinical_mm.training.trials import Storage

TITLE = "Retraining over frozen encoders: the feature cache (S7)"
CASES, EPOCHS, USUAL_EPOCHS = 400, 4, 20
"""The last: as many as the default configuration has."""
CURVE, DRAWN, LIKE, CURVE_EPOCHS = (1_000, 10_000, 100_000), 10_000, 1_000, 1
LIMIT = 64 * 1024 * MB
FROZEN = {
    "modalities.imaging.learns": "nothing",
    "modalities.imaging.intensities": [-1, 1],
    "modalities.text.learns": "nothing",
    "alignment.epochs": 0,
    "training.judged_cases": 0,
}


@dataclass
class Clock:
    """Seconds of each stage of a training, by what it tells of itself."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def __call__(self, progress: Progress) -> None:
        """Be told of a step."""
        now = time.perf_counter()
        self.seconds[progress.stage] = self.seconds.get(progress.stage, 0.0) + now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """Of all stages."""
        return sum(self.seconds.values())

    def of(self, *stages: str) -> float:
        """Of some stages."""
        return sum(self.seconds.get(stage, 0.0) for stage in stages)


def run() -> str:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        ratios = _s7(Path(folder) / "s7")
        print(ratios, flush=True)  # the curve takes a quarter of an hour
        return f"{ratios}\n\n{_curve(Path(folder) / 'curve')}"


def _s7(folder: Path) -> str:
    config = ModelConfig.load("default", {**FROZEN, "training.epochs": EPOCHS, "training.patience": EPOCHS})
    cases = [replace(drawn.case, id=f"case-{i}") for i, drawn in enumerate(draw(CASES, seed=0))]
    new = CASES // 100
    write_folder(cases, folder / "all")
    write_folder(cases[:-new], folder / "before")
    cold, warm, before = (FeatureCache(folder / f"{name}.db", LIMIT) for name in ("cold", "warm", "before"))
    all_new = _retrained(config, folder, "all", cold)
    shutil.copy(_closed(cold), warm.path)
    nothing_new = _retrained(config, folder, "all", warm)
    _retrained(config, folder, "before", before)
    little_new = _retrained(config, folder, "all", before)
    once = _epoch_without(config, folder / "all")
    never = nothing_new.total - nothing_new.of("training") + EPOCHS * once
    rest, epoch = nothing_new.total - nothing_new.of("training"), nothing_new.of("training") / EPOCHS
    usual = (rest + USUAL_EPOCHS * epoch) / (rest + USUAL_EPOCHS * once)
    rows = [
        ("nothing is kept: encoders run in every epoch (one epoch measured)", never, "-", EPOCHS * once),
        ("all cases new: features computed once", all_new.total, all_new.of("features"), all_new.of("training")),
        (f"1 % new ({new} cases)", little_new.total, little_new.of("features"), little_new.of("training")),
        ("nothing new", nothing_new.total, nothing_new.of("features"), nothing_new.of("training")),
    ]
    lines = [f"| {name} | {whole:.1f} | {_s(features)} | {_s(training)} |" for name, whole, features, training in rows]
    steps = (little_new.of("reading", "features"), all_new.of("reading", "features"))
    return "\n".join(
        [
            f"The default configuration (DenseNet121 at 224 pixels, MiniLM; both frozen), {CASES} synthetic cases,",
            f"{EPOCHS} epochs of fusion and vitals; whole trainings, from the snapshot's folder to the saved bundle.",
            "",
            "| what | whole s | of it features s | of it epochs s |",
            "|---|---|---|---|",
            *lines,
            "",
            "| ratio | here | target S7 |",
            "|---|---|---|",
            f"| features kept / encoders run in every epoch | {nothing_new.total / never:.3f} | <= 0.05 |",
            f"| the same, reckoned at {USUAL_EPOCHS} epochs, the default | {usual:.3f} | <= 0.05 |",
            f"| the same, an epoch alone | {epoch / once:.3f} | |",
            f"| features kept / computed once | {nothing_new.total / all_new.total:.3f} | |",
            f"| 1 % new / all new, whole training | {little_new.total / all_new.total:.3f} | <= 0.05 |",
            f"| 1 % new / all new, reading and features | {steps[0] / steps[1]:.3f} | |",
        ]
    )


def _s(seconds: float | str) -> str:
    return seconds if isinstance(seconds, str) else f"{seconds:.1f}"


def _closed(cache: FeatureCache) -> Path:
    cache.close()  # the last one that closes the file empties its write-ahead log
    return cache.path


def _retrained(config: ModelConfig, folder: Path, snapshot: str, cache: FeatureCache) -> Clock:
    clock, out = Clock(), folder / "out"
    train(config, folder / snapshot, out, device="cpu", features=cache, progress=clock)
    shutil.rmtree(out)
    return clock


def _epoch_without(config: ModelConfig, snapshot: Path) -> float:
    """One epoch in which the frozen encoders run, over samples in memory."""
    catalogue = Catalogue.load()
    cases = whole_folder(snapshot, catalogue)
    request = Request(config, snapshot, snapshot, catalogue, "cpu", None, {}, Storage.file(snapshot / "none.db"))
    prepared = prepare(cases, config, catalogue, Reporter(lambda _: None, 1))
    data = prepared.data
    data.samples = [{name: part.read(case) for name, part in data.modalities.items()} for case in cases]
    network = build_network(config, prepared.modalities, prepared.diagnoses)
    fit = _fit(request, prepared, network)
    return timed(lambda: fit._epoch(1, Reporter(lambda _: None, 1), lambda: False))


def _curve(folder: Path) -> str:
    config = ModelConfig.load(
        "small", {**FROZEN, "training.epochs": CURVE_EPOCHS, "training.patience": 1, "training.batch_size": 64}
    )
    lines = []
    for count in CURVE:
        clock, size = _one_percent_new(config, count, folder)
        lines.append(
            f"| {count:,} | {clock.of('reading'):.1f} | {clock.of('features'):.1f} | {clock.of('training'):.1f} |"
            f" {clock.total - clock.of('reading', 'features', 'training'):.1f} | {clock.total:.1f} |"
            f" {1000 * clock.total / count:.2f} | {size / MB:,.0f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(
        [
            f"The small configuration with frozen encoders, {CURVE_EPOCHS} epoch, 1 % of the cases new. Up to",
            f"{DRAWN:,} cases are drawn and features computed. Above, they are **simulated**: those of {LIKE:,} drawn",
            "cases again and again, each note with a number, and the old notes' features noise of the same shape.",
            "",
            "| cases | reading s | features s | epoch s | judging and saving s | whole s | ms a case | cache MB |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
        ]
    )


def _one_percent_new(config: ModelConfig, count: int, folder: Path) -> tuple[Clock, int]:
    shutil.rmtree(folder, ignore_errors=True)
    cache, known = FeatureCache(folder / "features.db", LIMIT), count - count // 100
    write_folder(_cases(count), folder / "all")
    if count > DRAWN:
        _simulate(config, islice(_cases(count), known), cache)
    else:
        write_folder(islice(_cases(count), known), folder / "before")
        _retrained(config, folder, "before", cache)
    return _retrained(config, folder, "all", cache), cache.bytes_kept()


def _cases(count: int) -> Iterator[Case]:
    base = [replace(one.case, id=f"case-{i}") for i, one in enumerate(draw(count if count <= DRAWN else LIKE, seed=0))]
    yield from base
    for i in range(len(base), count):
        like = base[i % len(base)]
        note = f"{like.note or 'No note.'} Number {i}."
        yield replace(
            like, id=f"case-{i}", external_id=None, patient=replace(like.patient, id=f"patient-{i}"), note=note
        )


def _simulate(config: ModelConfig, cases: Iterable[Case], cache: FeatureCache) -> None:
    """Keep features of these cases as an earlier training would have left them: of images real, of notes noise."""
    catalogue, noise = Catalogue.load(), np.random.default_rng(0)
    modalities = modalities_of(config, catalogue)
    torch.manual_seed(config.training.seed)
    network = build_network(config, modalities, [one.code for one in catalogue.diagnoses])
    images = FrozenEncoder(modalities["imaging"], network.encoder("imaging"), choose_device("cpu"), cache)
    text, width = modalities["text"], network.encoder("text").width
    key = str(text.features_of(network.encoder("text")))
    for i, case in enumerate(cases):
        if i < LIKE and case.images:
            images.features([case], [None])
        if case.note is not None:
            states = noise.standard_normal((len(case.note) // 5, width)).astype(np.float16)
            cache.put(key, {text.content(case): Features(states, np.ones(len(states), bool))})


if __name__ == "__main__":
    print(run())
