"""Keeps watch in a worker: looks at every project in its turn, whatever number of workers there are."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from api.ground.clock import now
from api.ground.ground import Ground
from api.models.tables import PromotionRow
from api.watching.looking import Looking
from api.watching.tables import WatchRow
from clinical_mm.watching.rule import Rule

log = logging.getLogger(__name__)
FIRST_S, POLL_S = 2.0, 20.0
"""How often it is asked whose turn it is; looks themselves are as far apart as the rule says."""


class Keeper:
    """The watch over all projects that have a model."""

    def __init__(self, ground: Ground, looking: Looking) -> None:
        self._ground, self._looking = ground, looking

    def start(self) -> None:
        """Keep watch until the process ends, in a thread of its own: a look may take seconds."""
        threading.Thread(target=self._keep, name="watch", daemon=True).start()

    def look_round(self) -> list[str]:
        """Look at every project whose turn it is; gives their ids. Raises InvalidConfig where the rule is none."""
        rule = Rule.load(self._ground.settings.watching_rule)
        with self._ground.database.reading() as session:
            projects = list(session.scalars(select(PromotionRow.project_id).distinct()))
        looked = []
        for project_id in projects:
            if self._claims(project_id, timedelta(minutes=rule.every_minutes)):
                self._looking.look(project_id, rule)
                looked.append(project_id)
        return looked

    def _keep(self) -> None:
        pause = threading.Event()
        pause.wait(FIRST_S)
        while True:
            try:
                self.look_round()
            except Exception as error:  # noqa: BLE001 - the database is away, the rule is none: later it may be better
                log.warning("watching: %s: %s", type(error).__name__, error)
            pause.wait(POLL_S)

    def _claims(self, project_id: str, interval: timedelta) -> bool:
        """Whether it is this worker's turn to look, and by that nobody else's until the interval is over."""
        moment = now()
        try:
            with self._ground.database.transaction() as session:
                row = session.get(WatchRow, project_id, with_for_update=True)
                if row is None:
                    session.add(WatchRow(project_id=project_id, claimed_at=moment))
                    return True
                if row.claimed_at > moment - interval:
                    return False
                row.claimed_at = moment
                return True
        except IntegrityError:  # another worker made the row meanwhile
            return False
