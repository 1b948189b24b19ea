"""Who a case is about, on the way in: kept, made a pseudonym, or refused, as the project says.

Called between the checks and the store: what it gives is what is stored, and nothing else of what was sent is. What
must be known again later - an external_id, an Idempotency-Key - is known by its HMAC.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import select

from api.access.schemas import Deidentify
from api.access.tables import ProjectRow
from api.cases.intake import CheckedFile, check_files, spool
from api.cases.schemas import CaseIn
from api.ground.ground import Ground
from api.ground.secret import pseudonym_secret
from api.idempotency.service import SentKey
from api.problems import NotReady
from clinical_mm.errors import Identified, InvalidConfig

if TYPE_CHECKING:
    from clinical_mm.deidentify.deidentifier import CleanFile, Deidentifier
    from clinical_mm.deidentify.keyed import Pseudonyms
    from clinical_mm.deidentify.report import Report


class Identity:
    """What each project does with identity."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._made: dict[str, Deidentifier] = {}
        self._lock = threading.Lock()

    def of(self, project_id: str) -> ProjectIdentity:
        """What this project does now."""
        query = select(ProjectRow.name, ProjectRow.deidentify).where(ProjectRow.id == project_id)
        with self._ground.database.reading() as session:
            name, said = session.execute(query).one()
        mode: Deidentify = cast("Deidentify | None", said) or self._ground.settings.deidentify
        return ProjectIdentity(mode, self._pseudonyms(name), lambda: self._deidentifier(name), self._ground)

    def _secret(self, project: str) -> bytes:
        settings = self._ground.settings
        return pseudonym_secret(settings.workspace.resolve(), settings.deidentify_secret.get_secret_value(), project)

    def _pseudonyms(self, project: str) -> Pseudonyms:
        from clinical_mm.deidentify.keyed import Pseudonyms

        return Pseudonyms(self._secret(project))

    def _deidentifier(self, project: str) -> Deidentifier:
        """Made once a process; raises NotReady where its policy or its model of names cannot be loaded."""
        from clinical_mm.deidentify.deidentifier import Deidentifier
        from clinical_mm.deidentify.names import find_names
        from clinical_mm.deidentify.policy import Policy

        with self._lock:
            if project not in self._made:
                try:
                    policy = Policy.load(self._ground.settings.deidentify_policy)
                    names = find_names(policy.names) if policy.names else None
                except InvalidConfig as error:
                    raise NotReady(f"nothing can be de-identified, so nothing is stored: {error}") from error
                self._made[project] = Deidentifier(policy, self._secret(project), names)
            return self._made[project]


class ProjectIdentity:
    """What one project does with identity."""

    def __init__(
        self, mode: Deidentify, pseudonyms: Pseudonyms, deidentifier: Callable[[], Deidentifier], ground: Ground
    ) -> None:
        self.mode = mode
        self._ground = ground
        self._pseudonyms = pseudonyms
        self._deidentifier = deidentifier

    def apply(
        self, body: CaseIn, files: list[CheckedFile], until: ExitStack
    ) -> tuple[CaseIn, list[CheckedFile], dict[str, Any] | None]:
        """The case, its files and the report as they are to be stored; new files lie in the spool ``until`` then.

        Raises:
            Identified: it tells who it is about, and the project refuses that; names and pointers, never values.
            UnreadableFile: a file cannot be written without what it held.
            NotReady: the policy cannot be loaded.
        """
        if self.mode == "keep":
            return body, files, None
        deidentifier, sent = self._deidentifier(), [file.upload.path.read_bytes() for file in files]
        if self.mode == "refuse":
            from clinical_mm.deidentify.refusing import refuse_identified

            refuse_identified(body, sent, deidentifier.policy)
            return body, files, self._report(deidentifier.look(sent))
        clean = deidentifier.case(body, sent)
        stored = [self._checked(*pair, until) for pair in zip(files, clean.files, strict=True)]
        return clean.document, stored, self._report(clean.report)

    def change(
        self, patient: str, named: Mapping[str, Any], before: dict[str, Any] | None
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The same for a change of a stored case: its note and acquired_at, and the case's report with them in it."""
        if self.mode == "keep" or not ({"note", "acquired_at"} & named.keys()):
            return dict(named), before
        deidentifier, changed = self._deidentifier(), dict(named)
        if self.mode == "refuse":
            self._refuse(changed.get("note"))
            return changed, before
        from clinical_mm.deidentify.report import Report

        report = Report()
        if changed.get("note"):
            changed["note"] = deidentifier.note(changed["note"], patient, report)
        if changed.get("acquired_at"):
            changed["acquired_at"] = deidentifier.moment(changed["acquired_at"], patient)
        told = self._report(report)
        return changed, {**(before or told), "note": told["note"]} if "note" in named else before

    def sent_key(self, key: str | None, body_sha256: str) -> tuple[SentKey | None, SentKey | None]:
        """How a request is known again, and how it was where the project did otherwise with identity then.

        By an HMAC, where identity is not kept: by a plain hash a guess at what was sent could be checked.
        """
        if key is None:
            return None, None
        digest = self._pseudonyms.digest
        plain = SentKey(key, body_sha256)
        keyed = SentKey(digest("request", key.encode()), digest("body", body_sha256.encode()))
        return (plain, keyed) if self.mode == "keep" else (keyed, plain)

    def external_ids(self, sent: str | None) -> tuple[str, ...]:
        """Every form in which an external_id may have been stored."""
        return () if sent is None else (sent, self._pseudonyms.code("x", sent))

    def same_patient(self, sent: str, stored: str) -> bool:
        """Whether a patient's id as it was sent is the one that is stored, as it is or as a pseudonym."""
        return stored in {sent, self._pseudonyms.code("p", sent)}

    def searched(self, words: str | None) -> tuple[str, ...]:
        """Pseudonyms that a patient's or case's own id would have, so that who knows the id finds the case."""
        if self.mode != "pseudonymise" or not words:
            return ()
        return self._pseudonyms.code("p", words), self._pseudonyms.code("x", words)

    def _refuse(self, note: str | None) -> None:
        from clinical_mm.deidentify.known import Known
        from clinical_mm.deidentify.notes import identifiers

        kinds = sorted({kind for _, _, kind in identifiers(note or "", Known())})
        if kinds:
            raise Identified(f"the note holds what looks like {', '.join(kinds)}", "/note")

    def _checked(self, sent: CheckedFile, clean: CleanFile, until: ExitStack) -> CheckedFile:
        """What is stored of a file: decoded anew where its pixels changed, else with what decoding it told before."""
        upload = spool(self._ground.spool, clean.name, clean.data, until)
        if clean.masked:
            return check_files([upload], self._ground.settings)[0]
        found = replace(sent.found, attributes=_attributes(sent, clean))
        return CheckedFile(clean.name, upload, found)

    def _report(self, report: Report) -> dict[str, Any]:
        deidentifier = self._deidentifier()
        return {"mode": self.mode, **report.to_json(deidentifier.policy, self._pseudonyms.fingerprint)}


def _attributes(sent: CheckedFile, clean: CleanFile) -> dict[str, Any]:
    from clinical_mm.deidentify.attributes import header_attributes

    return {**sent.found.attributes, **header_attributes(clean.data)}
