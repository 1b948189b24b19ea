"""Every algorithm by which this service hashes, signs and seals, by name; what was made by an older one still holds.

To change one put the new one first (``HASHES``) or under the next number (``CIPHERS``): from then on it makes, and
those before it are accepted until they are taken away. What is named by its content: clinical_mm/digests.py. The
inventory, with what each change costs: docs/cryptography.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from argon2 import PasswordHasher
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from itsdangerous import URLSafeTimedSerializer

from clinical_mm.digests import keyed_hash

HASHES = ("sha256",)
"""Newest first, as hashlib names them: of cookies, links and forms, and of the trail. itsdangerous' own is SHA-1."""
NONCE = 12
"""Bytes, drawn anew for each seal. Source: NIST SP 800-38D, 8.2.2; a key may seal 2**32 times (8.3)."""


class Aead(Protocol):
    """An authenticated cipher under one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The sealed bytes, with the tag at their end."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """What was sealed; raises InvalidTag."""


class Cipher(NamedTuple):
    """An authenticated cipher: its name in the inventory, and how it is made of a key of 32 bytes."""

    name: str
    of: Callable[[bytes], Aead]


CIPHERS: dict[int, Cipher] = {1: Cipher("AES-256-GCM", AESGCM)}
"""By the number that stands as the first byte of what each has sealed; the highest seals."""


def digests(data: bytes) -> Iterator[str]:
    """The hash by each algorithm that is accepted, the newest first, as hexadecimal text."""
    return (hashlib.new(name, data).hexdigest() for name in HASHES)


def signature(key: bytes, data: bytes) -> str:
    """HMAC (RFC 2104) by the newest hash, as hexadecimal text."""
    return keyed_hash(key, data, HASHES[0]).hex()


def is_signature(key: bytes, data: bytes, told: str) -> bool:
    """Whether it is this key's, of exactly these bytes, by a hash that is accepted."""
    sent = told.encode("utf-8", "replace")
    return any(hmac.compare_digest(keyed_hash(key, data, name).hex().encode(), sent) for name in HASHES)


def signer(secret: bytes, purpose: str) -> URLSafeTimedSerializer:
    """Signs what a browser carries, by HMAC with the newest hash; takes what an older one has signed."""
    newest: dict[str, Any]
    newest, *older = ({"digest_method": getattr(hashlib, name)} for name in HASHES)
    return URLSafeTimedSerializer(secret, salt=purpose, signer_kwargs=newest, fallback_signers=[*older])


def derived(secret: str, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose alone: HMAC-SHA-256 (RFC 2104) of its name under the secret."""
    return keyed_hash(secret.encode(), purpose.encode())


def sealed(secret: str, purpose: str, words: str) -> str:
    """Words that only the holder of the secret reads, as text that needs no escape in a URL; each time another one."""
    number = max(CIPHERS)
    head, nonce = bytes([number]), secrets.token_bytes(NONCE)
    body = _cipher(number, secret, purpose).encrypt(nonce, words.encode(), head)
    return base64.urlsafe_b64encode(head + nonce + body).decode().rstrip("=")


def unsealed(secret: str, purpose: str, text: str) -> str | None:
    """The words; None where they were not sealed by this secret, for this purpose, by a cipher that is accepted."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cipher = _cipher(raw[0], secret, purpose)
        return cipher.decrypt(raw[1 : NONCE + 1], raw[NONCE + 1 :], raw[:1]).decode()
    except (InvalidTag, ValueError, LookupError):
        return None


def key_hasher() -> PasswordHasher:
    """Hashes API keys; a hash names its parameters, so that those of other parameters hold too.

    Source: argon2id (RFC 9106) at the OWASP Password Storage Cheat Sheet's minimum.
    """
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def _cipher(number: int, secret: str, purpose: str) -> Aead:
    return CIPHERS[number].of(derived(secret, f"{purpose}, cipher {number}"))
