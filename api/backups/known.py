"""Which backups there are, as far as the service knows."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from api.backups.tables import BackupRow
from api.ground.clock import now
from api.ground.database import Database
from api.problems import NotFound


class BackupOut(BaseModel):
    """A backup that was made; ``finished_at`` is absent where it was cut off."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    started_at: datetime
    finished_at: datetime | None
    manifest_sha256: str | None


def known(database: Database) -> list[BackupOut]:
    """Those that were not discarded, newest first."""
    query = select(BackupRow).where(BackupRow.discarded_at.is_(None)).order_by(BackupRow.id.desc())
    with database.reading() as session:
        return [BackupOut.model_validate(row) for row in session.scalars(query)]


def discard(database: Database, backup_id: str) -> None:
    """Keep that no copy of it is left; raises NotFound."""
    with database.transaction() as session:
        row = session.get(BackupRow, backup_id)
        if row is None:
            raise NotFound(f"no backup {backup_id!r}")
        row.discarded_at = row.discarded_at or now()
