"""``train``: from a snapshot folder to a bundle. The command line, the job and a notebook call this same function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clinical_mm.bundle import load_bundle, save_bundle
from clinical_mm.card import make_card
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.device import choose_device
from clinical_mm.evaluation.calibration import Calibration, fit_calibration
from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.report import Report, report_of
from clinical_mm.evaluation.summary import summary_of
from clinical_mm.importing.folder import folder_sha256
from clinical_mm.network import MultimodalNetwork, build_network
from clinical_mm.places import Places
from clinical_mm.training.adapt import cases_that_taught, start_from
from clinical_mm.training.align import align, retrieval_check
from clinical_mm.training.checkpoint import Position
from clinical_mm.training.fit import Fit, Heard, nobody
from clinical_mm.training.prepared import Preparations, Prepared
from clinical_mm.training.progress import Listener, Reporter
from clinical_mm.training.reproducible import circumstances, reproducible
from clinical_mm.training.request import (
    ALIGNMENT,
    CHECKPOINT,
    LOGS,
    Request,
    forget_another,
    read_cases,
    search_sha256,
)
from clinical_mm.training.trials import Storage, kept_trials

if TYPE_CHECKING:
    from clinical_mm.training.search import Found

Cancelling = Callable[[], bool]
SEARCH, TRIALS = "search", "trials.db"


@dataclass(frozen=True)
class TrainedModel:
    """What a training leaves: the bundle's folder, its metrics and its card."""

    folder: Path
    metrics: dict[str, Any]
    card: dict[str, Any]


@dataclass(frozen=True)
class _Learned:
    """A network that has been trained, and what there is to tell of it."""

    network: MultimodalNetwork
    fit: Fit
    position: Position
    aligning: dict[str, Any] | None
    account: dict[str, Any]


def train(  # noqa: PLR0913 - the parts of one training, named
    config: ModelConfig,
    snapshot: Path,
    out: Path,
    *,
    catalogue: Catalogue | None = None,
    device: str = "auto",
    start: Path | None = None,
    parts: Mapping[str, Sequence[str]] | None = None,
    trials: Storage | None = None,
    progress: Listener | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """Train on the labelled cases of a snapshot (a plain folder). The same ``out`` again goes on at the last epoch.

    The same snapshot, configuration and start give the same weights bit for bit on the same machine. Without
    ``progress`` bars are drawn where a person watches. Where the configuration has a search, its best values are what
    is trained in the end, as if the configuration had held them.

    Args:
        config: what to train.
        snapshot: the cases.
        out: for checkpoints, logs and, at the end, ``out/bundle``.
        catalogue: another one than that which comes along.
        device: of torch, or ``auto``.
        start: the bundle of a model whose weights to start from, as far as they fit (``training.adapt``).
        parts: ids of cases whose part is settled (``train``, ``validation``, ``test``); the others' follows from their
            patients' ids.
        trials: where a search keeps its trials; a SQLite file in ``out`` when nothing is said.
        progress: told how far it is.
        cancelled: asked between batches.

    Raises:
        NotEnoughData: too few labelled cases, or no diagnosis that some have and others have not.
        InvalidConfig, InvalidBundle, UnreadableFile: as said by what is at fault.
        Cancelled: ``cancelled`` said so.
    """
    old = None if start is None else load_bundle(start)
    kept = trials or Storage.file(out / SEARCH / TRIALS)
    request = Request(config, snapshot, out, catalogue or Catalogue.load(), device, old, parts or {}, kept)
    reporter = Reporter(progress, config.training.epochs, config.search.trials)
    try:
        with reproducible():
            return _train(request, reporter, cancelled)
    finally:
        reporter.close()


def _train(request: Request, reporter: Reporter, cancelled: Callable[[], bool]) -> TrainedModel:
    everything, snapshot_sha256 = read_cases(request), folder_sha256(request.snapshot)
    preparations = Preparations(everything, request.catalogue, request.parts)
    searched: dict[str, Any] = {}
    if request.config.search.trials:
        found = _search(request, preparations, snapshot_sha256, reporter, cancelled)
        request, searched = replace(request, config=found.config), {"search": found.account}
        reporter.epochs = found.config.training.epochs
    config, catalogue, out = request.config, request.catalogue, request.out
    forget_another(request, snapshot_sha256)
    prepared = preparations.of(config, reporter)
    parts, diagnoses, data = prepared.parts, prepared.diagnoses, prepared.data
    learned = _learn(request, prepared, reporter, cancelled)
    network, fit, aligning, account = learned.network, learned.fit, learned.aligning, learned.account | searched

    reporter.step("calibrating", 0, 1)
    calibration = fit_calibration(
        fit.logits(parts.validation), data.targets[list(parts.validation)], config.task.kind, config.training.coverage
    )
    reporter.step("evaluating", 0, 1)
    metrics, report = _evaluate(fit, prepared, calibration)
    metrics |= _lasted(learned.position)
    if aligning is not None:
        metrics["alignment"] = aligning | {"retrieval": retrieval_check(network, prepared, fit.device)}
    prepared.checks.fit_states(fit.states(parts.train), fit.states(parts.validation))
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
        report=report,
        split=prepared.split_names(everything),
        places=Places(tuple(prepared.names[i] for i in prepared.used), fit.places(prepared.used)),
        checks=prepared.checks,
    )
    reporter.step("saving", 1, 1)
    return TrainedModel(out / "bundle", metrics, card)


def _lasted(position: Position) -> dict[str, Any]:
    return {"epochs": position.epoch, "best_epoch": position.best_epoch, "history": position.history}


def _search(
    request: Request, preparations: Preparations, snapshot_sha256: str, reporter: Reporter, cancelled: Cancelling
) -> Found:
    """The best values; trials of another configuration, start or of other cases do not count."""
    from clinical_mm.training.search import Search

    def learn(config: ModelConfig, prepared: Prepared, folder: Path, reporter: Reporter, heard: Heard) -> None:
        _learn(replace(request, config=config, out=folder), prepared, reporter, cancelled, heard)

    config, folder = request.config, request.out / SEARCH
    folder.mkdir(parents=True, exist_ok=True)
    storage = replace(request.trials, study=f"{request.trials.study} {search_sha256(request, snapshot_sha256)[:16]}")
    with kept_trials(storage, config, cancelled) as trials:
        return Search(config, preparations, learn, folder, reporter).run(trials)


def _learn(
    request: Request, prepared: Prepared, reporter: Reporter, cancelled: Cancelling, heard: Heard = nobody
) -> _Learned:
    """One training, from a fresh network to one that is whole and plain; checkpoints in ``request.out``."""
    config, data, out = request.config, prepared.data, request.out
    network, account = _network(request, prepared)
    accelerator = _accelerator(config, request.device)
    network.to(accelerator.device)
    data.cache_frozen(network, accelerator.device, lambda done, total: reporter.step("features", done, total))
    aligning = align(network, prepared, config, accelerator.device, out / ALIGNMENT, reporter, cancelled)
    fit = Fit(network, data, prepared.parts, config.task.kind, config.training, accelerator)
    account |= {"parameters": network.parameter_counts(), "circumstances": circumstances(accelerator.device)}
    position = _run(fit, out, reporter, cancelled, heard)
    network.merge_adapters()  # before anything is measured: what is judged is what is saved
    return _Learned(network, fit, position, aligning, account)


def _network(request: Request, prepared: Prepared) -> tuple[MultimodalNetwork, dict[str, Any]]:
    """The network as training begins, and what the card tells of where it comes from."""
    torch.manual_seed(request.config.training.seed)
    network = build_network(request.config, prepared.modalities, prepared.diagnoses)
    old = request.start
    account: dict[str, Any] = {}
    if old is not None:
        judges = {prepared.names[i] for i in prepared.parts.test}
        account["started_from"] = start_from(old, network, prepared.modalities, prepared.diagnoses).to_json()
        account["started_from"]["test_cases_that_taught_it"] = len(cases_that_taught(old) & judges)
    for name in request.config.modalities:
        network.restrict(name, request.config.learning(name))
    return network, account


def _evaluate(fit: Fit, prepared: Prepared, calibration: Calibration) -> tuple[dict[str, Any], Report | None]:
    """The chief metrics of both parts, and the whole report of the test part, where there is one."""
    parts = prepared.parts
    taught, chose, judges = (
        judged(fit, prepared, calibration, rows) for rows in (parts.train, parts.validation, parts.test)
    )
    report = report_of(judges, chose, taught) if judges.cases else None
    return {"validation": summary_of(chose).to_json(), "test": report and report.summary.to_json()}, report


def judged(fit: Fit, prepared: Prepared, calibration: Calibration, rows: Sequence[int]) -> Judged:
    """What an evaluation of these cases looks at."""
    return Judged(
        cases=[prepared.cases[i] for i in rows],
        diagnoses=prepared.diagnoses,
        modalities=tuple(prepared.modalities),
        targets=fit.data.targets[list(rows)],
        present=fit.data.present[list(rows)],
        calibration=calibration,
        logits_with=lambda subset: fit.logits(rows, subset),
    )


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


def _run(fit: Fit, out: Path, reporter: Reporter, cancelled: Cancelling, heard: Heard) -> Position:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out / LOGS)) as writer:
        return fit.run(out / CHECKPOINT, writer, reporter, cancelled, heard)
