"""Hashes, in one place: by what content is named, and what is keyed by a secret.

What holds such a hash says by its own name which one: ``sha256``, ``weights_sha256``, ``manifest_sha256`` in rows,
answers, bundles and manifests. So another hash comes as another field beside it, never into this one
(docs/cryptography.md).
"""

from __future__ import annotations

import hashlib
import hmac
from io import BufferedReader

NAMED_BY = "sha256"


def content_hash(data: bytes = b"") -> hashlib._Hash:
    """The hash that names content, to be fed with more or asked for its digest. Source: FIPS 180-4, SHA-256."""
    return hashlib.new(NAMED_BY, data)


def file_hash(file: BufferedReader) -> str:
    """The same of a whole file, as hexadecimal text."""
    return hashlib.file_digest(file, NAMED_BY).hexdigest()


def keyed_hash(key: bytes, data: bytes, by: str = NAMED_BY) -> bytes:
    """HMAC (RFC 2104) by a hash that hashlib knows under that name."""
    return hmac.new(key, data, by).digest()
