"""Pseudonyms that only the holder of the secret can make: HMAC-SHA-256 (RFC 2104), the same for the same value.

Each carries a tag of its own, so that a pseudonym that comes back is known and stays as it is: what is de-identified
twice equals what is de-identified once.
"""

from __future__ import annotations

import base64
import hmac
import unicodedata
from typing import Literal

from clinical_mm.digests import keyed_hash

Kind = Literal["p", "x"]
"""Patients and the senders' own ids of cases."""
_BODY, _TAG = 8, 4
_UID_BODY, _UID_TAG = 10, 6
_ROOT = "2.25."


class Pseudonyms:
    """The pseudonyms of one project."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @property
    def fingerprint(self) -> str:
        """Tells one secret from another without giving it away."""
        return self._mac("fingerprint", b"").hex()[:8]

    def code(self, kind: Kind, value: str) -> str:
        """``p-`` or ``x-`` and 20 letters and digits."""
        value = unicodedata.normalize("NFC", value).strip()
        if self.made(kind, value):
            return value
        body = self._mac(f"{kind} of", value.encode())[:_BODY]
        return f"{kind}-{base64.b32encode(body + self._tag(kind, body)).decode().rstrip('=')}"

    def made(self, kind: Kind, value: str) -> bool:
        """Whether a value is a pseudonym of this project."""
        if len(value) != 22 or not value.startswith(f"{kind}-"):
            return False
        try:
            raw = base64.b32decode(value[2:] + "====")
        except ValueError:
            return False
        return hmac.compare_digest(raw[_BODY:], self._tag(kind, raw[:_BODY]))

    def uid(self, value: str) -> str:
        """Another UID below 2.25 (PS3.5 B.2: a UUID as a decimal number; here of RFC 9562's version 8)."""
        if self._made_uid(value):
            return value
        body = bytearray(self._mac("uid of", value.strip().encode())[:_UID_BODY])
        body[6], body[8] = 0x80 | (body[6] & 0x0F), 0x80 | (body[8] & 0x3F)
        return f"{_ROOT}{int.from_bytes(bytes(body) + self._uid_tag(bytes(body)), 'big')}"

    def days(self, patient: str, most: int) -> int:
        """By how many whole days a patient's dates move: -most..most, never 0. ``patient``: id or pseudonym."""
        drawn = int.from_bytes(self._mac("days of", self.code("p", patient).encode())[:8], "big") % (2 * most)
        return drawn - most if drawn < most else drawn - most + 1

    def digest(self, what: str, data: bytes) -> str:
        """64 hexadecimal digits that tell whether something came before, and nothing else."""
        return self._mac(what, data).hex()

    def _tag(self, kind: str, body: bytes) -> bytes:
        return self._mac(f"{kind} made", body)[:_TAG]

    def _uid_tag(self, body: bytes) -> bytes:
        return self._mac("uid made", body)[:_UID_TAG]

    def _made_uid(self, value: str) -> bool:
        number = value.removeprefix(_ROOT)
        if number == value or not (number.isascii() and number.isdigit()) or len(number) > 39 or int(number) >= 2**128:
            return False
        raw = int(number).to_bytes(16, "big")
        return hmac.compare_digest(raw[_UID_BODY:], self._uid_tag(raw[:_UID_BODY]))

    def _mac(self, what: str, data: bytes) -> bytes:
        return keyed_hash(self._secret, what.encode() + b"\0" + data)
