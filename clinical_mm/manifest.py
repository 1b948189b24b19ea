"""The very cases and labels that made a model: a row a case, without a word of any patient, in Parquet.

What was in a case is there as a hash, so that it can be told whether a case is still the same, and nothing of it
outlives its erasing. The manifest's own hash is over its rows, not over the file's bytes, which follow the writer's
version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clinical_mm.case import Case
from clinical_mm.digests import content_hash
from clinical_mm.errors import InvalidBundle
from clinical_mm.importing.case_json import case_to_json


@dataclass(frozen=True)
class UsedCase:
    """One case of a snapshot.

    Attributes:
        part: ``train``, ``validation``, ``test``, or ``left_out``.
        diagnoses: the label it had then; None where it had none.
        patient: a number; cases of one patient share it.
        content_sha256: of what the model was shown: note, vitals, age, sex, and its images' contents.
        images: SHA-256 of each image file.
        label_from: ids of the reviews that named the label; empty = it was as sent, or the model is older than this.
        label_by: ids of the keys whose word the label was; empty = not told.
        golden: the label was locked.
    """

    case: str
    part: str
    diagnoses: tuple[str, ...] | None
    patient: int
    content_sha256: str
    images: tuple[str, ...]
    label_from: tuple[str, ...] = ()
    label_by: tuple[str, ...] = ()
    golden: bool = False


@dataclass(frozen=True)
class Manifest:
    """The cases of a snapshot, in its order."""

    cases: tuple[UsedCase, ...]

    @classmethod
    def of(cls, cases: Sequence[Case], names: Sequence[str], parts: Mapping[str, Iterable[str]]) -> Manifest:
        """From a snapshot's cases, what each is called, and which names are in which part."""
        part_of = {name: part for part, held in parts.items() for name in held}
        numbers: dict[str, int] = {}
        return cls(
            tuple(
                UsedCase(
                    name,
                    part_of[name],
                    case.diagnoses if case.diagnoses is None else tuple(case.diagnoses),
                    numbers.setdefault(case.patient.id, len(numbers)),
                    content_sha256(case),
                    tuple(image.sha256 for image in case.images),
                    case.label_from,
                    case.label_by,
                    case.golden,
                )
                for case, name in zip(cases, names, strict=True)
            )
        )

    @property
    def sha256(self) -> str:
        """The same for the same cases, labels and parts."""
        whole = content_hash()
        for case in self.cases:
            whole.update(_canonical(asdict(case)))
        return whole.hexdigest()

    def save(self, path: Path) -> None:
        """Write one Parquet file."""
        import pyarrow as pa
        from pyarrow import parquet

        columns = [
            ("case", pa.string()),
            ("part", pa.string()),
            ("diagnoses", pa.list_(pa.string())),
            ("patient", pa.int64()),
            ("content_sha256", pa.string()),
            ("images", pa.list_(pa.string())),
            ("label_from", pa.list_(pa.string())),
            ("label_by", pa.list_(pa.string())),
            ("golden", pa.bool_()),
        ]
        rows = [asdict(case) for case in self.cases]
        parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), path)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read what ``save`` wrote; raises InvalidBundle."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return cls(tuple(_rows(parquet.read_table(path).to_pylist())))
        except (OSError, pa.ArrowException, KeyError, TypeError) as error:
            raise InvalidBundle(f"{path}: not a readable manifest: {error}") from error


def content_sha256(case: Case) -> str:
    """SHA-256 of what a model is shown of a case; the label is no part of it."""
    document = case_to_json(case)
    shown = {key: document.get(key) for key in ("note", "vitals")}
    who = {key: value for key, value in document["patient"].items() if key != "id"}
    return content_hash(_canonical({**shown, **who, "images": [i.sha256 for i in case.images]})).hexdigest()


def _rows(table: Iterable[Mapping[str, Any]]) -> Iterator[UsedCase]:
    for row in table:
        labels = None if row["diagnoses"] is None else tuple(row["diagnoses"])
        lists = {key: tuple(row.get(key, ())) for key in ("images", "label_from", "label_by")}
        yield UsedCase(**{**row, "diagnoses": labels, **lists})


def _canonical(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
