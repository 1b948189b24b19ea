"""``train``: from a snapshot folder to a bundle. The command line, the job and a notebook call this same function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_mm.bundle import Bundle, load_bundle, save_bundle
from clinical_mm.bundle_layout import CARD, REPORT_PAGE
from clinical_mm.card import make_card
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions import Checks
from clinical_mm.config import ModelConfig
from clinical_mm.errors import Cancelled
from clinical_mm.evaluation.calibration import Calibration, fit_calibration
from clinical_mm.evaluation.report import Report
from clinical_mm.explaining.offer import judged
from clinical_mm.features import FeatureCache
from clinical_mm.importing.folder import folder_sha256, whole_folder
from clinical_mm.manifest import Manifest
from clinical_mm.places import Places
from clinical_mm.predictor import Predictor
from clinical_mm.training.align import retrieval_check
from clinical_mm.training.fit import Fit, Heard
from clinical_mm.training.judge import evaluate_parts
from clinical_mm.training.learn import Cancelling, Learned, learn
from clinical_mm.training.prepared import Preparations, Prepared, name_of
from clinical_mm.training.progress import SEARCHING, Listener, Reporter
from clinical_mm.training.reproducible import reproducible
from clinical_mm.training.request import LOGS, Request, forget_another, search_sha256
from clinical_mm.training.trackers.base import Each, Tracker, tracked
from clinical_mm.training.trackers.flat import flat, measured
from clinical_mm.training.trackers.lines import METRICS, Lines
from clinical_mm.training.trackers.tensorboard import TensorBoard
from clinical_mm.training.trials import Storage, kept_trials
from clinical_mm.training.vetting import Vetted, vetted

if TYPE_CHECKING:
    import torch

    from clinical_mm.training.search import Found

SEARCH, TRIALS = "search", "trials.db"
JUDGED = ("validation", "test")
"""Parts of the metrics that trackers are told."""


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
    start: Path | None = None,
    parts: Mapping[str, Sequence[str]] | None = None,
    trials: Storage | None = None,
    features: FeatureCache | None = None,
    trackers: Sequence[Tracker] = (),
    progress: Listener | None = None,
    cancelled: Cancelling = lambda: False,
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
        features: where tokens of frozen encoders are kept from one training to the next.
        trackers: keep what the training tells, beside the event files for TensorBoard in ``out``.
        progress: told how far it is.
        cancelled: asked between batches.

    Raises:
        NotEnoughData: too few labelled cases, or no diagnosis that some have and others have not.
        SuspectLabels: a reviewer's labels are unlikely, and the snapshot's label policy ends the training then.
        InvalidConfig, InvalidBundle, UnreadableFile: as said by what is at fault.
        Cancelled: ``cancelled`` said so.
    """
    old = None if start is None else load_bundle(start)
    kept = trials or Storage.file(out / SEARCH / TRIALS)
    tracker = Each((TensorBoard(out / LOGS), Lines(out / METRICS), *trackers))
    known = catalogue or Catalogue.load()
    request = Request(config, snapshot, out, known, device, old, parts or {}, kept, features, tracker)
    reporter = Reporter(progress, config.training.epochs, config.search.trials)
    try:
        with tracked(tracker), reproducible():
            return _train(request, reporter, cancelled)
    finally:
        reporter.close()


def _train(request: Request, reporter: Reporter, cancelled: Cancelling) -> TrainedModel:
    everything = whole_folder(request.snapshot, request.catalogue)
    snapshot_sha256 = folder_sha256(request.snapshot, everything)
    request, labels = _with_checked_labels(request, everything, reporter)
    preparations = Preparations(everything, request.catalogue, request.parts, request.start)
    request, searched = _searched(request, preparations, snapshot_sha256, reporter, cancelled)
    config, catalogue, out = request.config, request.catalogue, request.out
    _begin(request, snapshot_sha256)
    prepared = preparations.of(config, reporter)
    diagnoses = prepared.diagnoses
    learned = learn(request, prepared, reporter, cancelled)
    fit, network = learned.fit, learned.fit.network

    reporter.step("calibrating", 0, 1)
    calibration = _calibrated(learned, prepared, config)
    reporter.step("evaluating", 0, 1)
    metrics, report = _evaluated(learned, prepared, calibration)
    checks = _checks(fit, prepared, request)
    used = [prepared.cases[i] for i in prepared.used]
    told = {**learned.account, **searched, **labels.on_card}
    card = make_card(config, diagnoses, used, prepared.parts.sizes, snapshot_sha256, metrics) | told
    split, manifest = _manifest(everything, prepared)
    card["data"]["manifest_sha256"] = manifest.sha256
    bundle = Bundle(
        out / "bundle", config, catalogue, diagnoses, prepared.modalities, network, calibration, card, checks
    )
    card["explanations"] = _explained(bundle, prepared, fit.device, reporter, cancelled)
    reporter.step("saving", 0, 1)
    places = Places(prepared.used_names, fit.places(prepared.used))
    save_bundle(bundle, report and replace(report, explanations=card["explanations"]), split, places, manifest)
    _tell_what_came_of_it(request.tracker, bundle, learned)
    reporter.step("saving", 1, 1)
    return TrainedModel(out / "bundle", metrics, card)


def _with_checked_labels(request: Request, everything: Sequence[Case], reporter: Reporter) -> tuple[Request, Vetted]:
    """What the check of the labels says, and the request without what it leaves out."""
    reporter.step(SEARCHING if request.config.search.trials else "reading", 0, 1)
    names, images = [name_of(case) for case in everything], "imaging" in request.config.modalities
    labels = vetted(request.snapshot, everything, names, request.out, images=images)
    return replace(request, parts=labels.told(request.parts)), labels


def _begin(request: Request, snapshot_sha256: str) -> None:
    forget_another(request, snapshot_sha256)
    params = request.config.model_dump(mode="json", exclude={"name", "description"})
    request.tracker.begin(request.config.name, flat(params))
    request.tracker.tags({"snapshot_sha256": snapshot_sha256})


def _tell_what_came_of_it(tracker: Tracker, bundle: Bundle, learned: Learned) -> None:
    metrics, data = bundle.card["metrics"], bundle.card["data"]
    tracker.metrics(learned.positions[0].epoch, measured({part: metrics.get(part) or {} for part in JUDGED}))
    tracker.tags({"manifest_sha256": data["manifest_sha256"], "weights_sha256": bundle.sha256})
    for path in (bundle.folder / CARD, bundle.folder / REPORT_PAGE):
        if path.exists():
            tracker.artefact(path)


def _evaluated(learned: Learned, prepared: Prepared, calibration: Calibration) -> tuple[dict[str, Any], Report | None]:
    """Metrics, how the training went among them, and the report."""
    metrics, report = evaluate_parts(learned, prepared, calibration)
    metrics |= learned.lasted()
    if learned.aligning is not None:
        found = retrieval_check(learned.fit.network, prepared, learned.fit.device)
        metrics["alignment"] = learned.aligning | {"retrieval": found}
    return metrics, report


def _checks(fit: Fit, prepared: Prepared, request: Request) -> Checks:
    """What a prediction's evidence is held against."""
    checks = prepared.checks(request.catalogue)
    if request.config.training.members == 1:  # a committee has no case that none of its members has learned from
        checks.fit_states(fit.states(prepared.parts.train), fit.states(prepared.parts.validation))
    return checks


def _manifest(everything: Sequence[Case], prepared: Prepared) -> tuple[Mapping[str, Sequence[str]], Manifest]:
    """Names of the cases of each part, and what is kept of each case."""
    split = prepared.split_names(everything)
    return split, Manifest.of(everything, [name_of(case) for case in everything], split)


def _calibrated(learned: Learned, prepared: Prepared, config: ModelConfig) -> Calibration:
    validated = prepared.data.targets[list(learned.validated)]
    return fit_calibration(learned.validation_logits(), validated, config.task.kind, config.training.coverage)


def _explained(
    bundle: Bundle, prepared: Prepared, device: torch.device, reporter: Reporter, cancelled: Cancelling
) -> list[dict[str, Any]]:
    """Which explainers apply to the model, judged on some cases that it did not learn from."""
    held_back = prepared.parts.test or prepared.parts.validation
    cases = [prepared.cases[i] for i in held_back[: bundle.config.training.judged_cases]]

    def tell(done: int, of: int) -> None:
        if cancelled():
            raise Cancelled("training was cancelled")
        reporter.step("explaining", done, of)

    tell(0, 1)
    return judged(Predictor(bundle, str(device)), cases, tell)


def _searched(
    request: Request, preparations: Preparations, snapshot_sha256: str, reporter: Reporter, cancelled: Cancelling
) -> tuple[Request, dict[str, Any]]:
    """The request with the best values, and what the card tells of the search; as it was where there is none."""
    if not request.config.search.trials:
        return request, {}
    found = _search(request, preparations, snapshot_sha256, reporter, cancelled)
    reporter.epochs = found.config.training.epochs
    return replace(request, config=found.config), {"search": found.account}


def _search(
    request: Request, preparations: Preparations, snapshot_sha256: str, reporter: Reporter, cancelled: Cancelling
) -> Found:
    """The best values; trials of another configuration, start or of other cases do not count."""
    from clinical_mm.training.search import Search

    def one_network(config: ModelConfig, prepared: Prepared, folder: Path, reporter: Reporter, heard: Heard) -> None:
        alone = config.with_values({"training.members": 1})
        tracker = TensorBoard(folder / LOGS)
        with tracked(tracker):
            learn(replace(request, config=alone, out=folder, tracker=tracker), prepared, reporter, cancelled, heard)

    config, folder = request.config, request.out / SEARCH
    folder.mkdir(parents=True, exist_ok=True)
    storage = replace(request.trials, study=f"{request.trials.study} {search_sha256(request, snapshot_sha256)[:16]}")
    with kept_trials(storage, config, cancelled) as trials:
        return Search(config, preparations, one_network, folder, reporter).run(trials)
