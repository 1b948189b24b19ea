"""What every room is given: settings, database, blobs, catalogue, the words by which notes deny and doubt."""

from __future__ import annotations

from dataclasses import dataclass

from api.ground.blobs import Blobs
from api.ground.database import Database
from api.settings import Settings
from clinical_mm.catalogue import Catalogue
from clinical_mm.notes import Wording


@dataclass(frozen=True)
class Ground:
    """Everything replaceable below the rooms, in one place."""

    settings: Settings
    database: Database
    blobs: Blobs
    catalogue: Catalogue
    wording: Wording

    @classmethod
    def of(cls, settings: Settings) -> Ground:
        """The ground that the settings describe."""
        settings.workspace.mkdir(parents=True, exist_ok=True)
        return cls(
            settings=settings,
            database=Database(settings.sqlalchemy_url),
            blobs=Blobs(settings.blob_url, settings.workspace.resolve() / "blobs"),
            catalogue=Catalogue.load(settings.catalogue),
            wording=Wording.load(settings.note_triggers),
        )

    def close(self) -> None:
        """Give back connections."""
        self.database.dispose()
