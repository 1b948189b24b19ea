"""What is looked up at a scrape rather than counted: jobs, workers, serving models, room on the disk.

Every process tells the same, so several of a server need not add up. The database is asked at most every few seconds,
and never waited for longer than a second.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.access.tables import ProjectRow
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.scope import everywhere
from api.models.tables import PromotionRow
from api.observing.bounded import Bounded
from api.shadows.live import in_force
from api.shadows.tables import ShadowRow
from api.training.heartbeat import living
from api.training.tables import TrainingRunRow

log = logging.getLogger(__name__)
KEPT_S, PATIENCE_S = 5.0, 1.0
STATES = {
    "training": ("queued", "running", "succeeded", "failed", "cancelled"),
    "shadow": ("queued", "running", "failed"),
}
"""Each kind of job and the states that are told of it, be there none at present."""
NAMES = (
    "clinical_mm_build_info",
    "clinical_mm_database_up",
    "clinical_mm_jobs",
    "clinical_mm_workers_alive",
    "clinical_mm_serving_model_info",
    "clinical_mm_feature_cache_bytes",
    "clinical_mm_feature_cache_limit_bytes",
    "clinical_mm_workspace_free_bytes",
    "clinical_mm_workspace_size_bytes",
)


@dataclass(frozen=True)
class Told:
    """What the database told: jobs by kind and state, how many workers live, project -> serving model."""

    jobs: dict[tuple[str, str], int]
    workers: int
    serving: dict[str, str]


class Looked(Collector):
    """Labels are names of projects, ids of models, kinds and states; nothing of a case is in them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._ask = Bounded("gauges of the database", self._from_database, KEPT_S)
        self._measure = Bounded("gauges of the machine", self._machine, KEPT_S)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges; while the database is away, those that need none."""
        build = GaugeMetricFamily("clinical_mm_build_info", "This version", labels=["version"])
        build.add_metric([version("clinical-mm")], 1)
        yield build
        try:
            yield from self._measure.within(PATIENCE_S)
        except (OSError, TimeoutError) as error:
            log.warning("the workspace cannot be measured: %s", type(error).__name__)
        try:
            told = self._ask.within(PATIENCE_S)
        except (SQLAlchemyError, TimeoutError) as error:
            log.warning("the database does not answer: %s", type(error).__name__)
            told = None
        yield GaugeMetricFamily("clinical_mm_database_up", "1 where the database answers", float(told is not None))
        if told is not None:
            yield from _families(told)

    def _machine(self) -> list[Metric]:
        disk = shutil.disk_usage(self._ground.settings.workspace)
        told: list[Metric] = [
            GaugeMetricFamily("clinical_mm_workspace_free_bytes", "Free where the workspace lies", disk.free),
            GaugeMetricFamily("clinical_mm_workspace_size_bytes", "Size of the disk of the workspace", disk.total),
        ]
        features = self._ground.features
        if features is not None:
            kept, limit = features.bytes_kept() if features.path.exists() else 0, features.limit_bytes
            told.append(GaugeMetricFamily("clinical_mm_feature_cache_bytes", "Encoders' results kept", kept))
            told.append(GaugeMetricFamily("clinical_mm_feature_cache_limit_bytes", "Most that may be kept", limit))
        return told

    def _from_database(self) -> Told:
        with everywhere("counts over all projects"), self._ground.database.reading() as session:
            alive = living(session).subquery()
            workers = session.scalar(select(func.count()).select_from(alive)) or 0
            return Told({**_training(session), **_shadows(session)}, workers, _serving(session))


def _families(told: Told) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("clinical_mm_jobs", "Jobs by kind and state", labels=["kind", "state"])
    for kind, states in STATES.items():
        for state in states:
            jobs.add_metric([kind, state], told.jobs.get((kind, state), 0))
    yield jobs
    yield GaugeMetricFamily("clinical_mm_workers_alive", "Job workers heard of lately", told.workers)
    serving = GaugeMetricFamily("clinical_mm_serving_model_info", "The model that serves", labels=["project", "model"])
    for project, model in told.serving.items():
        serving.add_metric([project, model], 1)
    yield serving


def _training(session: Session) -> dict[tuple[str, str], int]:
    counted = session.execute(select(TrainingRunRow.state, func.count()).group_by(TrainingRunRow.state))
    return {("training", state): count for state, count in counted}


def _shadows(session: Session) -> dict[tuple[str, str], int]:
    return Counter(("shadow", _state(one)) for one in in_force(session))


def _state(shadow: ShadowRow) -> str:
    """Failed while it cannot score, running while a worker scores; else it waits for answers, or for a worker."""
    if shadow.fault is not None:
        return "failed"
    return "running" if shadow.claimed_until is not None and shadow.claimed_until > now() else "queued"


def _serving(session: Session) -> dict[str, str]:
    newest = select(func.max(PromotionRow.id)).group_by(PromotionRow.project_id)
    query = select(ProjectRow.name, PromotionRow.model_id).join(ProjectRow, ProjectRow.id == PromotionRow.project_id)
    found = session.execute(query.where(PromotionRow.id.in_(newest)))
    return {row.name: row.model_id for row in found}
