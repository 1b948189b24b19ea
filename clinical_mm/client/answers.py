"""What the service answers, typed. A field that a newer service adds is left aside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from clinical_mm.client.problem import Fault

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Answer(BaseModel):
    """Of the service; it does not change."""

    model_config = ConfigDict(frozen=True)


class Patient(Answer):
    """Who a case belongs to."""

    id: str
    sex: str | None
    age_years: float | None


class StoredFile(Answer):
    """A stored object of a case, and what its header told."""

    position: int
    name: str
    media_type: str
    size: int
    sha256: str
    frames: int
    rows: int
    columns: int
    attributes: dict[str, Any]
    content: str
    preview: str


class StoredCase(Answer):
    """A case as stored; vitals are in the catalogue's units."""

    id: str
    external_id: str | None
    patient: Patient
    note: str | None
    vitals: dict[str, float]
    diagnoses: list[str] | None
    labelled_by: str | None
    labelled_at: datetime | None
    golden_by: str | None
    golden_at: datetime | None
    review: Literal["unreviewed", "unsure", "reviewed", "submitted"]
    uncertainty: float | None
    disagreement: float | None
    information: float | None
    synthetic: bool
    deidentification: dict[str, Any] | None
    acquired_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    files: list[StoredFile]


class DiagnosisProbability(Answer):
    """A diagnosis and its calibrated probability."""

    code: str
    display: str
    probability: float


class PredictionSet(Answer):
    """Diagnoses that cannot be ruled out."""

    coverage: float
    codes: list[str]


class ModalityShare(Answer):
    """A modality's attention weight."""

    name: str
    present: bool
    weight: float
    strangeness: float | None


class Caution(Answer):
    """What a reader must know before trusting the answer."""

    code: str
    detail: str


class Information(Answer):
    """What a label of the case would teach the model, 0 to 1."""

    score: float
    uncertainty: float
    disagreement: float
    novelty: float


class Prediction(Answer):
    """What a model said about a case. It supports a diagnosis; it is none."""

    id: str
    case_id: str
    case_version: int
    model: str
    created_at: datetime
    created_by: str
    diagnoses: list[DiagnosisProbability]
    prediction_set: PredictionSet
    modalities: list[ModalityShare]
    warnings: list[Caution]
    abstained: bool
    information: Information | None


class Contribution(Answer):
    """What a modality adds, on the scale of the explanation."""

    name: str
    contribution: float
    presence: float


class Span(Answer):
    """Attribution of the characters [start, end) of the note."""

    start: int
    end: int
    text: str
    attribution: float


class Phrase(Span):
    """Words as a reader reads them, and how the note tells of them."""

    context: str


class VitalAttribution(Answer):
    """Attribution of one vital."""

    name: str
    value: float
    unit: str
    attribution: float


class HeatMap(Answer):
    """Where the heat map of one frame is, and its peak (x, y) in stored pixels."""

    file: int
    frame: int
    heatmap: str
    peak: tuple[int, int]


class Change(Answer):
    """One value that would be another."""

    name: str
    value: float | None
    to: float | None
    unit: str


class Counterfactual(Answer):
    """What the target's probability would be after some changes."""

    changes: list[Change]
    probability: float
    probability_after: float


class Explanation(Answer):
    """An additive account: contributions sum to value minus baseline_value."""

    id: str
    prediction_id: str
    case_id: str
    target: str
    method: str
    scale: str
    baseline_value: float
    value: float
    completeness_error: float
    modalities: list[Contribution]
    text: list[Span]
    phrases: list[Phrase]
    vitals: list[VitalAttribution]
    images: list[HeatMap]
    baselines: dict[str, str]
    counterfactuals: list[Counterfactual]
    created_at: datetime


class Review(Answer):
    """Who said what about which prediction, and when."""

    id: str
    case_id: str
    prediction_id: str | None
    verdict: Literal["confirm", "override", "unsure"]
    diagnoses: list[str] | None
    comment: str | None
    reviewer: str
    created_at: datetime
    case_version: int
    before_model: bool
    withdrawn_at: datetime | None
    withdrawn_by: str | None


class TrainedModel(Answer):
    """A trained model; ``headline`` is its main metric in words."""

    id: str
    config: str
    serving: bool
    headline: str
    created_at: datetime
    run_id: str | None
    snapshot_sha256: str
    weights_sha256: str
    diagnoses: list[str]
    metrics: dict[str, Any]
    card: dict[str, Any]


class Run(Answer):
    """What a job is doing; ``Client.wait`` follows it."""

    path: ClassVar[str]

    id: str
    state: State
    error: str | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in {"succeeded", "failed", "cancelled"}

    @property
    def fraction(self) -> float:
        """How far it is, 0 to 1."""
        return 0.0


class TrainingProgress(Answer):
    """How far a training is."""

    stage: str
    fraction: float
    epoch: int
    epochs: int
    metrics: dict[str, float]
    eta_s: float | None


class TrainingRun(Run):
    """A training."""

    path: ClassVar[str] = "/training-runs"

    config: str
    set: dict[str, Any]
    filter: dict[str, Any]
    labels: str
    label_report: dict[str, Any] | None
    start_from: str | None
    progress: TrainingProgress | None
    model: str | None

    @property
    def fraction(self) -> float:
        """How far it is, 0 to 1."""
        return self.progress.fraction if self.progress else 0.0


class BulkProgress(Answer):
    """How many lines are done, and how many of each outcome."""

    fraction: float
    done: int
    total: int
    counts: dict[str, int]
    eta_s: float | None


class CaseImport(Run):
    """Many cases that are stored line by line."""

    path: ClassVar[str] = "/case-imports"

    progress: BulkProgress | None

    @property
    def fraction(self) -> float:
        """How far it is, 0 to 1."""
        return self.progress.fraction if self.progress else 0.0


class PredictionRun(CaseImport):
    """Many stored cases that are predicted."""

    path: ClassVar[str] = "/prediction-runs"

    filter: dict[str, Any]
    model: str


class LineResult(Answer):
    """What came of one line; ``outcome`` None = not yet."""

    line: int
    outcome: str | None
    case_id: str | None
    prediction_id: str | None
    reason: str | None
    errors: list[Fault]
