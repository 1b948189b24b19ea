"""What was erased leaves the feature caches of every machine, not only of the one that erased it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.cases.tables import ErasedContentRow
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.scope import everywhere
from clinical_mm.case import Case

log = logging.getLogger(__name__)
EVERY_S = 30.0


def remember_erased(session: Session, cases: Sequence[Case]) -> None:
    """In the transaction that erases these cases."""
    from clinical_mm.modalities import contents_of

    contents = sorted({content for case in cases for content in contents_of(case)})
    session.add_all(ErasedContentRow(content=content, at=now()) for content in contents)


class Forgetting:
    """Follows the rows that ``remember_erased`` writes, in a thread of every process that keeps a cache."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._last = ground, 0

    def start(self) -> None:
        """Once for all that was erased while this machine was off, then every half minute."""
        threading.Thread(target=self._keep_on, name="forgetting", daemon=True).start()

    def look(self) -> int:
        """Forget what was erased since the last look; gives how many contents."""
        query = select(ErasedContentRow).where(ErasedContentRow.id > self._last).order_by(ErasedContentRow.id)
        with everywhere("a cache holds every project's cases"), self._ground.database.reading() as session:
            rows = list(session.scalars(query))
        if rows:
            self._ground.database.wipe()  # once more: whoever erased may have met a reader
            if self._ground.features is not None and self._ground.features.path.exists():
                self._ground.features.forget({row.content for row in rows})
        self._last = rows[-1].id if rows else self._last
        return len(rows)

    def _keep_on(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("the database does not answer: %s", type(error).__name__)
            pause.wait(EVERY_S)
