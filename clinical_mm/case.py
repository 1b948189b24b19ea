"""Case: what one patient brings - note, vitals, images, diagnoses. Typed and immutable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from clinical_mm.digests import content_hash
from clinical_mm.errors import DamagedFile, InvalidCase

Sex = Literal["F", "M", "O", "U"]
"""Administrative sex as HL7 and DICOM (0010,0040) code it: female, male, other, unknown."""


@dataclass(frozen=True)
class Patient:
    """Who the case belongs to; ``id`` is what a training split keeps together."""

    id: str
    sex: Sex | None = None
    age_years: float | None = None


@dataclass(frozen=True)
class ImageFile:
    """One file of a case, as stored: bytes in memory or a path that is read when needed."""

    name: str
    source: Path | bytes = field(repr=False)
    known_sha256: str | None = field(default=None, repr=False)
    """Where the bytes are stored under it; else it is computed when needed."""

    def read(self) -> bytes:
        """The file's bytes; raises DamagedFile where they are not those of ``known_sha256`` any more."""
        if isinstance(self.source, bytes):
            return self.source
        try:
            data = self.source.read_bytes()
        except FileNotFoundError as error:
            if self.known_sha256 is None:
                raise
            raise DamagedFile(self.known_sha256, "gone") from error
        if self.known_sha256 not in (None, content_hash(data).hexdigest()):
            raise DamagedFile(str(self.known_sha256), "changed")
        return data

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes, as 64 hexadecimal digits."""
        return self.known_sha256 or content_hash(self.read()).hexdigest()


@dataclass(frozen=True)
class Case:
    """One patient at one moment.

    Attributes:
        patient: who it is; the only part that is always there.
        note: clinical text, or None when there is none (never the empty string).
        vitals: catalogue name -> value in the catalogue's unit. What is missing is not in the mapping.
        images: files in the order sent; several DICOM instances of one series are read as one volume.
        diagnoses: catalogue codes; None = unlabelled, () = labelled with none of the catalogue's diagnoses.
        label_from: ids of the reviews that name this label; empty = it is as it was sent.
        label_by: ids of the keys whose word the label is; empty = not told.
        golden: its label is locked; it judges models and never teaches one.
    """

    patient: Patient
    note: str | None = None
    vitals: Mapping[str, float] = field(default_factory=dict)
    images: tuple[ImageFile, ...] = ()
    diagnoses: tuple[str, ...] | None = None
    id: str = ""
    external_id: str | None = None
    acquired_at: datetime | None = None
    label_from: tuple[str, ...] = ()
    label_by: tuple[str, ...] = ()
    golden: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "vitals", MappingProxyType(dict(self.vitals)))
        object.__setattr__(self, "images", tuple(self.images))
        if self.note is not None and not self.note.strip():
            object.__setattr__(self, "note", None)
        if self.note is None and not self.vitals and not self.images:
            raise InvalidCase("a case needs at least one of: note, vitals, files", pointer="")

    @classmethod
    def from_files(
        cls,
        *,
        note: str | None = None,
        vitals: Mapping[str, float] | None = None,
        images: Sequence[str | Path | bytes] = (),
        patient: Patient | None = None,
        diagnoses: Sequence[str] | None = None,
    ) -> Self:
        """A case from what lies on disk, for notebooks.

        Raises:
            InvalidCase: nothing was given.
            OSError: an image does not exist.
        """
        return cls(
            patient=patient or Patient(id="anonymous"),
            note=note,
            vitals=vitals or {},
            images=tuple(_image_file(i, image) for i, image in enumerate(images)),
            diagnoses=None if diagnoses is None else tuple(diagnoses),
        )


def _image_file(position: int, image: str | Path | bytes) -> ImageFile:
    if isinstance(image, bytes):
        return ImageFile(f"image-{position}", image)
    path = Path(image)
    if not path.is_file():
        raise FileNotFoundError(f"image not found: {path}")
    return ImageFile(path.name, path)
