"""``train``: from a snapshot folder to a bundle. The command line, the job and a notebook call this same function."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_mm.bundle import Bundle, load_bundle, save_bundle
from clinical_mm.card import make_card
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.committee import another_member, check_members, join_members
from clinical_mm.config import ModelConfig
from clinical_mm.device import choose_device
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.calibration import Calibration, fit_calibration
from clinical_mm.evaluation.report import report_of
from clinical_mm.importing.folder import folder_sha256, read_folder
from clinical_mm.importing.outcome import Refused
from clinical_mm.network import MultimodalNetwork, build_network
from clinical_mm.places import Places
from clinical_mm.training.adapt import cases_that_taught, start_from
from clinical_mm.training.align import align, retrieval_check
from clinical_mm.training.checkpoint import Position
from clinical_mm.training.fit import Fit
from clinical_mm.training.prepared import Prepared, prepare
from clinical_mm.training.progress import Listener, Reporter
from clinical_mm.training.reproducible import circumstances, reproducible
from clinical_mm.training.split import rotations

INPUTS, ALIGNMENT, CHECKPOINT, LOGS = "inputs.json", "alignment", "checkpoint", "tensorboard"


@dataclass(frozen=True)
class TrainedModel:
    """What a training leaves: the bundle's folder, its metrics and its card."""

    folder: Path
    metrics: dict[str, Any]
    card: dict[str, Any]


@dataclass(frozen=True)
class _Request:
    """What was asked for."""

    config: ModelConfig
    snapshot: Path
    out: Path
    catalogue: Catalogue
    device: str
    start: Bundle | None
    parts: Mapping[str, Sequence[str]]


def train(  # noqa: PLR0913 - the parts of one training, named
    config: ModelConfig,
    snapshot: Path,
    out: Path,
    *,
    catalogue: Catalogue | None = None,
    device: str = "auto",
    start: Path | None = None,
    parts: Mapping[str, Sequence[str]] | None = None,
    progress: Listener | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """Train on the labelled cases of a snapshot (a plain folder). The same ``out`` again goes on at the last epoch.

    The same snapshot, configuration and start give the same weights bit for bit on the same machine. Without
    ``progress`` bars are drawn where a person watches.

    Args:
        config: what to train.
        snapshot: the cases.
        out: for checkpoints, logs and, at the end, ``out/bundle``.
        catalogue: another one than that which comes along.
        device: of torch, or ``auto``.
        start: the bundle of a model whose weights to start from, as far as they fit (``training.adapt``).
        parts: ids of cases whose part is settled (``train``, ``validation``, ``test``); the others' follows from their
            patients' ids.
        progress: told how far it is.
        cancelled: asked between batches.

    Raises:
        NotEnoughData: too few labelled cases, or no diagnosis that some have and others have not.
        InvalidConfig, InvalidBundle, UnreadableFile: as said by what is at fault.
        Cancelled: ``cancelled`` said so.
    """
    old = None if start is None else load_bundle(start)
    request = _Request(config, snapshot, out, catalogue or Catalogue.load(), device, old, parts or {})
    reporter = Reporter(progress, config.training.epochs)
    try:
        with reproducible():
            return _train(request, reporter, cancelled)
    finally:
        reporter.close()


def _train(request: _Request, reporter: Reporter, cancelled: Callable[[], bool]) -> TrainedModel:
    config, catalogue, out = request.config, request.catalogue, request.out
    everything, snapshot_sha256 = _read(request.snapshot, catalogue), folder_sha256(request.snapshot)
    _forget_another(request, snapshot_sha256)
    prepared = prepare(everything, config, catalogue, reporter, request.parts)
    parts, diagnoses, data = prepared.parts, prepared.diagnoses, prepared.data

    network, account = _network(request, prepared)
    accelerator = _accelerator(config, request.device)
    network.to(accelerator.device)
    data.cache_frozen(network, accelerator.device, lambda done, total: reporter.step("features", done, total))
    aligning = align(network, prepared, config, accelerator.device, out / ALIGNMENT, reporter, cancelled)
    account |= {"parameters": network.parameter_counts(), "circumstances": circumstances(accelerator.device)}
    taught = _teach(request, prepared, network, accelerator, reporter, cancelled)
    fit, network = taught.fit, taught.fit.network

    reporter.step("calibrating", 0, 1)
    calibration = fit_calibration(
        taught.logits(), data.targets[list(taught.judged)], config.task.kind, config.training.coverage
    )
    reporter.step("evaluating", 0, 1)
    metrics = _evaluate(taught, prepared, calibration) | _lasted(taught.positions)
    if aligning is not None:
        metrics["alignment"] = aligning | {"retrieval": retrieval_check(network, prepared, fit.device)}
    used = [prepared.cases[i] for i in prepared.used]
    card = make_card(config, diagnoses, used, parts.sizes, snapshot_sha256, metrics) | account
    reporter.step("saving", 0, 1)
    save_bundle(
        out / "bundle",
        config=config,
        catalogue=catalogue,
        diagnoses=diagnoses,
        network=network,
        modalities=prepared.modalities,
        calibration=calibration,
        card=card,
        split=prepared.split_names(everything),
        places=Places(tuple(prepared.names[i] for i in prepared.used), fit.places(prepared.used)),
    )
    reporter.step("saving", 1, 1)
    return TrainedModel(out / "bundle", metrics, card)


@dataclass(frozen=True)
class _Taught:
    """The trained network in ``fit``; and each network that was trained, with the cases that validated it."""

    fit: Fit
    members: tuple[tuple[Fit, tuple[int, ...]], ...]
    positions: tuple[Position, ...]

    @property
    def judged(self) -> tuple[int, ...]:
        """The cases that validated."""
        return tuple(row for _, rows in self.members for row in rows)

    def logits(self) -> np.ndarray:
        """``logits[N, K]`` of the cases ``judged``, each by a network that had not learned from it."""
        return np.concatenate([fit.logits(rows) for fit, rows in self.members])


def _teach(
    request: _Request,
    prepared: Prepared,
    network: MultimodalNetwork,
    accelerator: Any,
    reporter: Reporter,
    cancelled: Callable[[], bool],
) -> _Taught:
    """Train the network, and after it the other members of its committee where the configuration asks for one."""
    config, seed, count = request.config, request.config.training.seed, request.config.training.members
    patients = [case.patient.id for case in prepared.cases]
    fits: list[Fit] = []
    positions = []
    if count > 1:
        check_members(config, network)
    reporter.members = count
    splits = rotations(prepared.parts, patients, count, seed)
    for turn, parts in enumerate(splits):
        member = _network(request, prepared, turn, network)[0].to(accelerator.device) if turn else network
        chosen = config.training.model_copy(update={"seed": seed + turn})
        fits.append(Fit(member, prepared.data, parts, config.task.kind, chosen, accelerator))
        reporter.member = turn
        name = Path(f"member-{turn}" if count > 1 else "")
        positions.append(_run(fits[turn], request.out, name, reporter, cancelled))
        member.merge_adapters()  # before anything is measured: what is judged is what is saved
    fit = fits[0]
    if count > 1:
        joined = join_members([member.network for member in fits]).to(accelerator.device)
        fit = Fit(joined, prepared.data, prepared.parts, config.task.kind, config.training, accelerator)
    members = tuple((member, parts.validation) for member, parts in zip(fits, splits, strict=True))
    return _Taught(fit, members, tuple(positions))


def _lasted(positions: Sequence[Position]) -> dict[str, Any]:
    told = [{"epochs": p.epoch, "best_epoch": p.best_epoch, "history": p.history} for p in positions]
    return told[0] if len(told) == 1 else {**told[0], "members": told}


def _network(
    request: _Request, prepared: Prepared, turn: int = 0, first: MultimodalNetwork | None = None
) -> tuple[MultimodalNetwork, dict[str, Any]]:
    """The network as training begins, and what the card tells of where it comes from; a member beside the ``first``."""
    torch.manual_seed(request.config.training.seed + turn)
    parts = (request.config, prepared.modalities, prepared.diagnoses)
    network = build_network(*parts) if first is None else another_member(first, *parts)
    old = request.start
    account: dict[str, Any] = {}
    if old is not None:
        judges = {prepared.names[i] for i in prepared.parts.test}
        account["started_from"] = start_from(old, network, prepared.modalities, prepared.diagnoses).to_json()
        account["started_from"]["test_cases_that_taught_it"] = len(cases_that_taught(old) & judges)
    for name in request.config.modalities:
        network.restrict(name, request.config.learning(name))
    return network, account


def _evaluate(taught: _Taught, prepared: Prepared, calibration: Calibration) -> dict[str, Any]:
    reports: dict[str, Any] = {}
    test = prepared.parts.test
    for name, rows, logits in (
        ("validation", taught.judged, taught.logits()),
        ("test", test, taught.fit.logits(test)),
    ):
        patients = [prepared.cases[i].patient.id for i in rows]
        report = report_of(logits, prepared.data.targets[list(rows)], patients, prepared.diagnoses, calibration)
        reports[name] = report.to_json() if rows else None
    return reports


def _read(snapshot: Path, catalogue: Catalogue) -> list[Case]:
    cases: list[Case] = []
    for item in read_folder(snapshot, catalogue):
        if isinstance(item, Refused):
            raise NotEnoughData(f"the snapshot is damaged: {item.where}: {item.reason}")
        cases.append(item)
    return cases


def _forget_another(request: _Request, snapshot_sha256: str) -> None:
    """Checkpoints of another configuration, start or of other cases are no place to go on from: they are removed."""
    inputs = {
        "config": request.config.model_dump(mode="json"),
        "catalogue": request.catalogue.model_dump(mode="json"),
        "snapshot_sha256": snapshot_sha256,
        "start_sha256": None if request.start is None else request.start.sha256,
        "parts": dict(request.parts),
    }
    out = request.out
    told, wanted = out / INPUTS, json.dumps(inputs, indent=1)
    out.mkdir(parents=True, exist_ok=True)
    if told.exists() and told.read_text(encoding="utf-8") != wanted:
        for name in (CHECKPOINT, f"{CHECKPOINT}.old", ALIGNMENT, f"{ALIGNMENT}.old", LOGS):
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


def _run(fit: Fit, out: Path, name: Path, reporter: Reporter, cancelled: Callable[[], bool]) -> Position:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out / LOGS / name)) as writer:
        return fit.run(out / CHECKPOINT / name, writer, reporter, cancelled)
