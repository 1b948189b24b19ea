"""What every room is given: settings, database, blobs, catalogue, the words by which notes deny and doubt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from api.ground.blobs import Blobs
from api.ground.database import Database
from api.ground.scanner import Scanner
from api.ground.spool import Spool
from api.ground.unfinished import refuse_unfinished
from api.settings import Settings
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.features import MB, FeatureCache
from clinical_mm.notes import Wording

if TYPE_CHECKING:
    from api.ground.meters import Meters


@dataclass(frozen=True)
class Ground:
    """Everything replaceable below the rooms, in one place."""

    settings: Settings
    database: Database
    blobs: Blobs
    spool: Spool
    scanner: Scanner | None
    """None where CLINICAL_MM_CLAMD is not set: files come in unscanned."""
    catalogue: Catalogue
    wording: Wording
    features: FeatureCache | None
    """Of this machine; None where it is switched off."""

    @classmethod
    def of(cls, settings: Settings) -> Ground:
        """The ground that the settings describe; raises InvalidConfig where a restore into it was cut off."""
        settings.workspace.mkdir(parents=True, exist_ok=True)
        refuse_unfinished(settings.workspace)
        return cls(
            settings=settings,
            database=Database(settings.sqlalchemy_url),
            blobs=Blobs(settings.blob_url, settings.workspace.resolve() / "blobs"),
            spool=Spool(settings.spool_folder, settings.max_file_mb * MB),
            scanner=Scanner(settings.clamd, settings.clamd_seconds) if settings.clamd else None,
            catalogue=Catalogue.load(settings.catalogue),
            wording=Wording.load(settings.note_triggers),
            features=FeatureCache(settings.features_file, mb * MB) if (mb := settings.feature_cache_mb) else None,
        )

    @cached_property
    def meters(self) -> Meters:
        """What this process counts; made where it is first used, which must be after a server's fork."""
        from api.ground.meters import Meters

        made = Meters()
        made.follow(self.database.engine)
        if self.features is not None:
            self.features.looked_up = made.looked_up
        return made

    def forget(self, before: Collection[Case], after: Collection[Case] = ()) -> None:
        """Take what encoders made of cases out of the feature cache, but for what they show ``after`` a change."""
        from clinical_mm.modalities import contents_of

        if self.features is not None and self.features.path.exists():
            stays = {content for case in after for content in contents_of(case)}
            self.features.forget({content for case in before for content in contents_of(case)} - stays)

    def keep_watch(self) -> None:
        """Let nobody wait for a database or an object store that is silent; in the process that serves."""
        self.database.keep_watch()
        self.blobs.keep_watch()

    def close(self) -> None:
        """Give back connections."""
        self.database.dispose()
        self.blobs.close()
        if self.features is not None:
            self.features.close()
