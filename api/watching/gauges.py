"""What a worker saw when it last looked, as Prometheus gauges: read at a scrape, never counted at one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from api.access.tables import ProjectRow
from api.ground.database import Database
from api.ground.scope import everywhere
from api.watching.schemas import Look
from api.watching.tables import WatchRow

log = logging.getLogger(__name__)
OF_PROJECT = {
    "clinical_mm_drifted_features": "Features that have drifted",
    "clinical_mm_watched_features": "Features that enough cases stand behind",
    "clinical_mm_review_agreement": "Share of reviews that confirmed the serving model, over the rule's weeks",
    "clinical_mm_review_agreement_reviews": "How many reviews stand behind it",
    "clinical_mm_new_reviewed_labels": "Reviewed labels that neither the serving nor the newest model has learned",
    "clinical_mm_retrain_asked": "1 where the watching rule asks for a new training",
    "clinical_mm_watching_timestamp_seconds": "When a worker last looked",
}


class WatchingGauges(Collector):
    """Labels are names of projects and features; nothing of a case is in them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges of every project that was looked at; while the database is away, none."""
        try:
            looks = self._looks()
        except SQLAlchemyError as error:
            log.warning("the database does not answer: %s", type(error).__name__)
            return
        told = {"clinical_mm_drift_psi": "Population stability index", "clinical_mm_drifted": "1 where it has drifted"}
        psi, drifted = (GaugeMetricFamily(n, t, labels=["project", "feature", "kind"]) for n, t in told.items())
        gauges = {name: GaugeMetricFamily(name, told, labels=["project"]) for name, told in OF_PROJECT.items()}
        for project, look in looks.items():
            for one in look.features:
                if one.verdict != "too few cases":
                    psi.add_metric([project, one.feature, one.kind], one.psi)
                    drifted.add_metric([project, one.feature, one.kind], float(one.verdict == "drifted"))
            for name, value in _values(look).items():
                gauges[name].add_metric([project], value)
        yield from (psi, drifted)
        yield from gauges.values()

    def _looks(self) -> dict[str, Look]:
        query = select(ProjectRow.name, WatchRow.look).join(WatchRow, WatchRow.project_id == ProjectRow.id)
        with everywhere("gauges are of all projects"), self._database.reading() as session:
            found = session.execute(query.where(WatchRow.look.is_not(None)))
            return {name: Look.model_validate(look) for name, look in found}


def _values(look: Look) -> dict[str, float]:
    ruling = look.ruling
    reviews = ruling.agreement.reviews
    share = {"clinical_mm_review_agreement": ruling.agreement.confirmed / reviews} if reviews else {}
    return {
        "clinical_mm_drifted_features": ruling.drifted,
        "clinical_mm_watched_features": ruling.judged,
        **share,
        "clinical_mm_review_agreement_reviews": reviews,
        "clinical_mm_new_reviewed_labels": ruling.new_labels,
        "clinical_mm_retrain_asked": float(ruling.asks),
        "clinical_mm_watching_timestamp_seconds": ruling.at.timestamp(),
    }
