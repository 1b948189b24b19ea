"""Who the patient and the staff are, as headers and the case itself say: what must be found nowhere else afterwards."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from clinical_mm.deidentify.values import text_values, vr_of

_IDENTIFIERS = frozenset(
    {
        *(0x00080050, 0x00100020, 0x00101000, 0x00101090, 0x00102154, 0x00380010, 0x00380060, 0x00402016, 0x00402017),
    }
)
# AccessionNumber, PatientID, OtherPatientIDs, MedicalRecordLocator, PatientTelephoneNumbers, AdmissionID,
# ServiceEpisodeID, order numbers of placer and filler
_PLACES = frozenset({0x00080080, 0x00080081, 0x00101040})
# InstitutionName and its address, PatientAddress
NAME, ID, PLACE = "NAME", "ID", "PLACE"
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_JOINT = re.compile(r"['’-]")
_SHORTEST_ID, _UPPER_FROM, _LOWER_FROM = 4, 3, 5
_MOST = 1000
"""No patient has so many; a file made to have them must not make every note slow."""
_NO_NAMES = frozenset({"anonymous", "anonymized", "unknown", "patient", "test", "none", "removed", "name", "doe"})


@dataclass
class Known:
    """Names, ids and addresses to be masked wherever they stand."""

    names: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    _pattern: re.Pattern[str] | None = field(default=None, repr=False)

    def add_name(self, name: str) -> None:
        """Each part of a person's name (PN: components by ``^``, groups by ``=``)."""
        self._pattern = None
        for part in _WORD.findall(unicodedata.normalize("NFC", name)):
            said = {part, *(half for half in _JOINT.split(part) if len(half) >= _UPPER_FROM)}
            said = {one for one in said if len(one) > 1 and one.casefold() not in _NO_NAMES}
            self.names.update(said if len(self.names) < _MOST else ())

    def add_id(self, value: str) -> None:
        """A number or code that names the patient or a visit."""
        self._pattern = None
        value = value.strip()
        if len(value) >= _SHORTEST_ID and len(self.ids) < _MOST:
            self.ids.add(value)

    def add_place(self, value: str) -> None:
        """A hospital or an address."""
        self._pattern = None
        value = " ".join(value.split())
        if len(value) > _SHORTEST_ID and len(self.places) < _MOST:
            self.places.add(value)

    def add_dataset(self, ds: Dataset) -> None:
        """Everything of a header that names somebody, in sequences of any depth too."""
        for tag, item in _elements(ds):
            if vr_of(item, tag) == "PN":
                for value in text_values(item, tag):
                    self.add_name(value)
            elif tag in _IDENTIFIERS:
                for value in text_values(item, tag):
                    self.add_id(value)
            elif tag in _PLACES:
                for value in text_values(item, tag):
                    self.add_place(value)

    def spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, kind) of each place where one of them stands."""
        if self._pattern is None:
            self._pattern = self._compiled()
        for found in self._pattern.finditer(text):
            yield found.start(), found.end(), str(found.lastgroup)

    def _compiled(self) -> re.Pattern[str]:
        names = _either(re.escape(form) for name in self.names for form in _forms(name))
        ids = _either(map(re.escape, self.ids))
        places = _either(r"\s+".join(map(re.escape, place.split())) for place in self.places)
        groups = ((PLACE, f"(?i:{places})"), (NAME, names), (ID, f"(?i:{ids})"))
        return re.compile("|".join(rf"(?P<{kind}>(?<!\w)(?:{pattern})(?!\w))" for kind, pattern in groups))


def _forms(name: str) -> Iterator[str]:
    """As it may be written; rose and long stay words, and so do CT and MR where a patient is called so."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    for form in {name, plain} - {""}:
        yield form.title()
        if len(form) >= _UPPER_FROM or not form.isascii():
            yield from (form, form.upper())
        if len(form) >= _LOWER_FROM:
            yield form.lower()


def _either(patterns: Iterable[str]) -> str:
    """One of these, the longest first; nothing where there are none."""
    return "|".join(sorted(set(patterns), key=lambda pattern: (-len(pattern), pattern))) or r"(?!)"


def _elements(ds: Dataset) -> Iterator[tuple[int, Dataset]]:
    for tag in list(ds.keys()):
        yield int(tag), ds
        if vr_of(ds, int(tag)) == "SQ":
            for item in ds[tag].value or ():
                yield from _elements(item)
