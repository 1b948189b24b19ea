"""Act once, however often the same request comes: also at once, and also after a restart.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.access.service import Caller
from api.ground.clock import now
from api.ground.ground import Ground
from api.idempotency.tables import IdempotencyKeyRow
from api.problems import Conflict, Invalid, PointedError
from clinical_mm.digests import content_hash

T = TypeVar("T")


@dataclass(frozen=True)
class SentKey:
    """An Idempotency-Key, and what tells its request from another."""

    value: str
    request_sha256: str

    @classmethod
    def of(cls, value: str | None, *said: str) -> SentKey | None:
        """The key of a request that said so; None where it came without one."""
        if value is None:
            return None
        return cls(value, content_hash("\n".join(said).encode()).hexdigest())


class IdempotencyKeys:
    """The keys of each project; they hold for as many days as is set."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def once(
        self,
        caller: Caller,
        key: SentKey | None,
        make: Callable[[], T],
        find: Callable[[str], T],
        also: SentKey | None = None,
    ) -> T:
        """What ``make`` makes; or, where a request of the same key did so before, what ``find`` finds of it by its id.

        ``make`` must ``keep`` the key in its transaction; ``also``: another form in which it may have been kept.

        Raises:
            Invalid: the key came with another request before.
        """
        earlier = self._made_by(caller, key) or self._made_by(caller, also)
        if earlier is not None:
            return find(earlier)
        try:
            return make()
        except Conflict:  # perhaps with this very request, which came twice and was carried out meanwhile
            earlier = self._made_by(caller, key)
            if earlier is None:
                raise
            return find(earlier)

    def keep(
        self, session: Session, caller: Caller, key: SentKey | None, object_id: str, case_id: str | None = None
    ) -> None:
        """Remember, in the transaction that makes ``object_id``, which request did.

        Raises:
            Conflict: another request of the same key is quicker.
        """
        if key is None:
            return
        mine = (IdempotencyKeyRow.project_id == caller.project_id, IdempotencyKeyRow.key == key.value)
        session.execute(delete(IdempotencyKeyRow).where(*mine, IdempotencyKeyRow.created_at < self._oldest()))
        session.add(
            IdempotencyKeyRow(
                project_id=caller.project_id,
                key=key.value,
                request_sha256=key.request_sha256,
                object_id=object_id,
                case_id=case_id,
                created_at=now(),
            )
        )
        try:
            session.flush()
        except IntegrityError as error:
            raise Conflict("another request with this Idempotency-Key is being carried out") from error

    def sweep(self) -> int:
        """Forget the keys that have expired; gives how many."""
        with self._ground.database.transaction() as session:
            expired = delete(IdempotencyKeyRow).where(IdempotencyKeyRow.created_at < self._oldest())
            return len(list(session.scalars(expired.returning(IdempotencyKeyRow.key))))

    def _made_by(self, caller: Caller, key: SentKey | None) -> str | None:
        if key is None:
            return None
        query = select(IdempotencyKeyRow).where(
            IdempotencyKeyRow.project_id == caller.project_id,
            IdempotencyKeyRow.key == key.value,
            IdempotencyKeyRow.created_at >= self._oldest(),
        )
        with self._ground.database.reading() as session:
            known = session.scalar(query)
        if known is None:
            return None
        if known.request_sha256 != key.request_sha256:
            fault = PointedError(pointer="", detail="this Idempotency-Key came with another request before")
            raise Invalid("the Idempotency-Key was used for another request", errors=[fault])
        return known.object_id

    def _oldest(self) -> datetime:
        return now() - timedelta(days=self._ground.settings.idempotency_days)
