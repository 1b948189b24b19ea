"""What can go wrong in the learning core, as a tree.

ClinicalMMError
├── InvalidCase            the case itself is wrong; carries where (JSON pointer) and why
│   ├── UnknownCode        a vital or diagnosis that the catalogue does not hold
│   ├── ImplausibleValue   a number no patient can have
│   ├── UnitMismatch       a unit that does not convert into the catalogue's
│   └── Identified         it tells who the patient is, and must not
├── UnsupportedFile        the bytes are not of a kind that is read here
├── UnreadableFile         the bytes claim a supported kind, but do not decode
├── DamagedFile            a stored file is gone, or its bytes are no longer those that were stored
├── DecoderUnavailable     no process to decode a file in: all are busy, or none starts
├── InvalidConfig          a model configuration that cannot be used
├── InvalidBundle          a folder that is not a trained model, or not a safe one
├── NotEnoughData          too few labelled cases to do what was asked
├── SuspectLabels          a reviewer's labels are unlikely, and the label policy ends the training
└── Cancelled              whoever asked for the work no longer wants it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


class ClinicalMMError(Exception):
    """Root of every error that this project raises on purpose."""


class InvalidCase(ClinicalMMError):
    """A case that cannot be accepted.

    ``pointer`` is an RFC 6901 JSON pointer into the case as sent; ``faults`` holds every one where there are several.
    """

    def __init__(self, detail: str, pointer: str = "", faults: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.faults = tuple(faults) or ((pointer, detail),)


class UnknownCode(InvalidCase):
    """A vital or a diagnosis that the catalogue in force does not hold."""


class ImplausibleValue(InvalidCase):
    """A measurement outside the range that any living patient can have."""


class UnitMismatch(InvalidCase):
    """A unit that is not UCUM, or does not convert into the catalogue's unit."""


class Identified(InvalidCase):
    """A case that tells who the patient is where none may; what stands where is told, never its value."""


class UnsupportedFile(ClinicalMMError):
    """The bytes are of no kind that is read here (HTTP 415)."""


class UnreadableFile(ClinicalMMError):
    """The bytes claim to be a supported kind, but do not decode (HTTP 422)."""


class DamagedFile(ClinicalMMError):
    """A stored file that is gone, or whose bytes are no longer those that were stored (HTTP 500)."""

    def __init__(self, sha256: str, how: Literal["gone", "changed"]) -> None:
        super().__init__(sha256, how)
        self.sha256, self.how = sha256, how

    def __str__(self) -> str:
        told = "is gone" if self.how == "gone" else "is not what was stored"
        return f"file {self.sha256} {told}: `clinical-mm cases verify` names the cases it belongs to"


class DecoderUnavailable(ClinicalMMError):
    """No process to decode a file in: all are busy, or none starts (HTTP 503)."""


class InvalidConfig(ClinicalMMError):
    """A model configuration that names something unknown or contradicts itself."""


class InvalidBundle(ClinicalMMError):
    """A folder that is not a trained model, or holds weights in an unsafe format."""


class NotEnoughData(ClinicalMMError):
    """Too few labelled cases for what was asked; the message tells how many there are and how many it takes."""


class SuspectLabels(ClinicalMMError):
    """A reviewer's labels are unlike the others', and the policy of labels ends a training then; the key is named."""


class Cancelled(ClinicalMMError):
    """The work was stopped on request; what it had stored stays usable."""
