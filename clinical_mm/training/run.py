"""``train``: from a snapshot folder to a bundle. The command line, the job and a notebook call this same function."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clinical_mm.bundle import save_bundle
from clinical_mm.card import make_card
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.device import choose_device
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.calibration import Calibration, fit_calibration, targets_of
from clinical_mm.evaluation.report import report_of
from clinical_mm.importing.folder import folder_sha256, read_folder
from clinical_mm.importing.outcome import Refused
from clinical_mm.modalities import modalities_of
from clinical_mm.network import build_network
from clinical_mm.training.data import TrainingData, read_samples
from clinical_mm.training.fit import Fit
from clinical_mm.training.progress import Listener, Reporter
from clinical_mm.training.selection import readable, select_cases, teachable
from clinical_mm.training.split import Split, split

INPUTS, CHECKPOINT, LOGS = "inputs.json", "checkpoint", "tensorboard"


@dataclass(frozen=True)
class TrainedModel:
    """What a training leaves: the bundle's folder, its metrics and its card."""

    folder: Path
    metrics: dict[str, Any]
    card: dict[str, Any]


def train(  # noqa: PLR0913 - the parts of one training, named
    config: ModelConfig,
    snapshot: Path,
    out: Path,
    *,
    catalogue: Catalogue | None = None,
    device: str = "auto",
    progress: Listener | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """Train on the labelled cases of a snapshot (a plain folder). The same ``out`` again goes on at the last epoch.

    Without ``progress`` bars are drawn where a person watches.

    Raises:
        NotEnoughData: too few labelled cases, or no diagnosis that some have and others have not.
        InvalidConfig, UnreadableFile: as said by what is at fault.
        Cancelled: ``cancelled`` said so.
    """
    catalogue = catalogue or Catalogue.load()
    reporter = Reporter(progress, config.training.epochs)
    try:
        return _train(config, snapshot, out, catalogue, device, reporter, cancelled)
    finally:
        reporter.close()


def _train(  # noqa: PLR0913, PLR0917 - the parts of one training, named
    config: ModelConfig,
    snapshot: Path,
    out: Path,
    catalogue: Catalogue,
    device: str,
    reporter: Reporter,
    cancelled: Callable[[], bool],
) -> TrainedModel:
    cases, wanted = select_cases(_read(snapshot, catalogue), config.task, catalogue)
    parts = split(
        [c.patient.id for c in cases],
        config.training.seed,
        config.training.validation_fraction,
        config.training.test_fraction,
    )
    snapshot_sha256 = folder_sha256(snapshot)
    _forget_another(out, config, catalogue, snapshot_sha256)
    modalities = modalities_of(config, catalogue)
    reporter.step("reading", 0, 1)
    samples_first = [cases[i] for i in parts.train]
    for modality in modalities.values():
        modality.fit(samples_first)
    samples = read_samples(modalities, cases, lambda done, total: reporter.step("reading", done, total))
    parts, diagnoses = teachable(readable(parts, samples), cases, wanted, config.task.kind)
    data = TrainingData(modalities, samples, targets_of([c.diagnoses or () for c in cases], diagnoses))

    torch.manual_seed(config.training.seed)
    network = build_network(config, modalities, diagnoses)
    accelerator = _accelerator(config, device)
    network.to(accelerator.device)
    data.cache_frozen(network, accelerator.device, lambda done, total: reporter.step("features", done, total))
    fit = Fit(network, data, parts, config.task.kind, config.training, accelerator)
    position = _run(fit, out, reporter, cancelled)

    reporter.step("calibrating", 0, 1)
    calibration = fit_calibration(
        fit.logits(parts.validation), data.targets[list(parts.validation)], config.task.kind, config.training.coverage
    )
    reporter.step("evaluating", 0, 1)
    metrics = _evaluate(fit, parts, cases, diagnoses, calibration)
    metrics |= {"epochs": position.epoch, "best_epoch": position.best_epoch, "history": position.history}
    sizes = {"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)}
    used = [cases[i] for i in (*parts.train, *parts.validation, *parts.test)]
    card = make_card(config, diagnoses, used, sizes, snapshot_sha256, metrics)
    reporter.step("saving", 0, 1)
    save_bundle(
        out / "bundle",
        config=config,
        catalogue=catalogue,
        diagnoses=diagnoses,
        network=network,
        modalities=modalities,
        calibration=calibration,
        card=card,
        split=_names(cases, parts),
    )
    reporter.step("saving", 1, 1)
    return TrainedModel(out / "bundle", metrics, card)


def _evaluate(
    fit: Fit, parts: Split, cases: Sequence[Case], diagnoses: Sequence[str], calibration: Calibration
) -> dict[str, Any]:
    reports: dict[str, Any] = {}
    for name, rows in (("validation", parts.validation), ("test", parts.test)):
        patients = [cases[i].patient.id for i in rows]
        report = report_of(fit.logits(rows), fit.data.targets[list(rows)], patients, diagnoses, calibration)
        reports[name] = report.to_json() if rows else None
    return reports


def _read(snapshot: Path, catalogue: Catalogue) -> list[Case]:
    cases: list[Case] = []
    for item in read_folder(snapshot, catalogue):
        if isinstance(item, Refused):
            raise NotEnoughData(f"the snapshot is damaged: {item.where}: {item.reason}")
        cases.append(item)
    return cases


def _forget_another(out: Path, config: ModelConfig, catalogue: Catalogue, snapshot_sha256: str) -> None:
    """Checkpoints of another configuration or of other cases are no place to go on from: they are removed."""
    inputs = {
        "config": config.model_dump(mode="json"),
        "catalogue": catalogue.model_dump(mode="json"),
        "snapshot_sha256": snapshot_sha256,
    }
    told, wanted = out / INPUTS, json.dumps(inputs, indent=1)
    out.mkdir(parents=True, exist_ok=True)
    if told.exists() and told.read_text(encoding="utf-8") != wanted:
        for name in (CHECKPOINT, f"{CHECKPOINT}.old", LOGS):
            shutil.rmtree(out / name, ignore_errors=True)
    told.write_text(wanted, encoding="utf-8")


def _accelerator(config: ModelConfig, device: str) -> Any:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    chosen = choose_device(device)
    if chosen.index is not None and chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # Accelerate keeps its first settings for the whole process; a notebook trains more than once.
    if AcceleratorState._shared_state and AcceleratorState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=chosen.type == "cpu", mixed_precision=config.training.mixed_precision)


def _run(fit: Fit, out: Path, reporter: Reporter, cancelled: Callable[[], bool]) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out / LOGS)) as writer:
        return fit.run(out / CHECKPOINT, writer, reporter, cancelled)


def _names(cases: Sequence[Case], parts: Split) -> dict[str, list[str]]:
    """Which cases were in which part, by their ids."""
    names = [case.id or case.external_id or case.patient.id for case in cases]
    rows = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return {part: [names[i] for i in chosen] for part, chosen in rows.items()}
