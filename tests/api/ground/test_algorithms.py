"""An algorithm is swapped: what was made by the one before still holds, and what is new is made by the new one."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from argon2 import extract_parameters as parameters
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from itsdangerous import BadSignature
from sqlalchemy import select

from api.access.service import Role
from api.access.tables import ApiKeyRow
from api.audit.chain import EVENTS, HASHED, digest, is_signed, sign
from api.audit.stored import verify_stored
from api.ground import algorithms
from api.ground.algorithms import Cipher
from api.ground.secret import trail_key
from api.pages.session import Sessions, Visit
from tests.api.conftest import case_json

Swap = Callable[[], None]
WORDS = "Quillfeather 1931, Fièvre"


@pytest.fixture
def swap_hash(monkeypatch: pytest.MonkeyPatch) -> Swap:
    """Makes another hash the newest."""
    return lambda: monkeypatch.setattr(algorithms, "HASHES", ("sha3_256", "sha256"))


@pytest.fixture
def drop_old_hash(monkeypatch: pytest.MonkeyPatch) -> Swap:
    """Accepts the old hash no longer."""
    return lambda: monkeypatch.setattr(algorithms, "HASHES", ("sha3_256",))


@pytest.fixture
def swap_cipher(monkeypatch: pytest.MonkeyPatch) -> Swap:
    """Makes another authenticated cipher the newest."""
    ciphers = {**algorithms.CIPHERS, 2: Cipher("AES-256-CCM", AESCCM)}
    return lambda: monkeypatch.setattr(algorithms, "CIPHERS", ciphers)


@pytest.fixture
def drop_old_cipher(monkeypatch: pytest.MonkeyPatch) -> Swap:
    """Opens nothing that the old cipher sealed."""
    return lambda: monkeypatch.setattr(algorithms, "CIPHERS", {2: Cipher("AES-256-CCM", AESCCM)})


def test_what_a_browser_carries_outlives_another_hash(swap_hash: Swap, drop_old_hash: Swap) -> None:
    old = algorithms.signer(b"secret", "session").dumps({"nonce": "n"})
    swap_hash()
    new = algorithms.signer(b"secret", "session").dumps({"nonce": "n"})
    assert [algorithms.signer(b"secret", "session").loads(one) for one in (old, new)] == [{"nonce": "n"}] * 2
    drop_old_hash()
    assert algorithms.signer(b"secret", "session").loads(new) == {"nonce": "n"}  # by the new one, then
    with pytest.raises(BadSignature):
        algorithms.signer(b"secret", "session").loads(old)


def test_a_form_that_is_open_while_the_hash_is_swapped_is_taken(tmp_path: Path, swap_hash: Swap) -> None:
    visit = Visit("nonce")
    old = Sessions(tmp_path).csrf_token(visit)
    swap_hash()
    new = Sessions(tmp_path).csrf_token(visit)
    assert old != new
    key = (tmp_path / "session.secret").read_bytes()
    assert all(algorithms.is_signature(key, b"csrf nonce", one) for one in (old, new))
    assert not algorithms.is_signature(key, b"csrf another", new)
    assert not algorithms.is_signature(b"another key", b"csrf nonce", new)


def test_words_that_an_older_cipher_sealed_are_read_and_new_ones_are_sealed_by_the_newest(
    swap_cipher: Swap, drop_old_cipher: Swap
) -> None:
    old = algorithms.sealed("secret", "words", WORDS)
    swap_cipher()
    new = algorithms.sealed("secret", "words", WORDS)
    assert [number_of(old), number_of(new)] == [1, 2]
    assert [algorithms.unsealed("secret", "words", one) for one in (old, new)] == [WORDS, WORDS]
    drop_old_cipher()
    assert algorithms.unsealed("secret", "words", old) is None
    assert algorithms.unsealed("secret", "words", new) == WORDS


def number_of(sealed: str) -> int:
    return base64.urlsafe_b64decode(sealed + "===")[0]


def test_words_are_sealed_by_aes_256_gcm_under_a_fresh_nonce() -> None:
    assert [(number, cipher.name) for number, cipher in algorithms.CIPHERS.items()] == [(1, "AES-256-GCM")]
    seals = {algorithms.sealed("secret", "words", WORDS) for _ in range(100)}
    assert len({base64.urlsafe_b64decode(seal + "===")[1:13] for seal in seals}) == 100
    assert len(algorithms.derived("secret", "words")) * 8 == 256


@pytest.mark.parametrize(
    ("secret", "purpose", "spoil"),
    [
        ("another", "words", lambda s: s),
        ("secret", "other words", lambda s: s),
        ("secret", "words", lambda s: s[:30] + ("A" if s[30] != "A" else "B") + s[31:]),
        ("secret", "words", lambda s: "Ag" + s[2:]),
        ("secret", "words", lambda s: s[:10]),
        ("secret", "words", lambda _: ""),
        ("secret", "words", lambda _: "é!"),
    ],
)
def test_what_was_not_sealed_here_opens_nothing(secret: str, purpose: str, spoil: Callable[[str], str]) -> None:
    seal = algorithms.sealed("secret", "words", "x" * 11)
    assert algorithms.unsealed("secret", "words", seal) == "x" * 11
    assert algorithms.unsealed(secret, purpose, spoil(seal)) is None


def test_the_trail_goes_on_by_another_hash_and_is_verified_whole(
    client: httpx.Client, services: Any, swap_hash: Swap, drop_old_hash: Swap
) -> None:
    for n in range(2):
        client.post("/cases", json=case_json(external_id=f"before-{n}")).raise_for_status()
    swap_hash()
    client.post("/cases", json=case_json(external_id="after")).raise_for_status()
    workspace = services.ground.settings.workspace
    known = workspace / "no anchors", trail_key(workspace)
    assert verify_stored(services.ground.database, *known).faults == []
    with services.ground.database.reading() as session:
        last = session.connection().execute(select(EVENTS.c.hash).order_by(EVENTS.c.id.desc())).scalars().first()
    drop_old_hash()
    found = verify_stored(services.ground.database, *known).faults
    assert {fault.entry for fault in found if fault.kind == "edited"} == {1, 2}  # the last is by the new one
    assert re.fullmatch(r"[0-9a-f]{64}", str(last))


def test_keys_that_follow_from_a_secret_stay_the_same() -> None:
    """The trail is signed by one, pseudonyms are made with others: another derivation would disown both."""
    told = "5fec0b1403ad74c65f34c090658edf2d8b1a439c79dcf5e1639eb25358db22ec"
    assert algorithms.derived("secret", "audit trail").hex() == told


def test_what_was_signed_before_holds_and_what_is_changed_does_not(swap_hash: Swap) -> None:
    old = sign(b"key", {"last": 7})
    swap_hash()
    new = sign(b"key", {"last": 7})
    assert old != new
    assert [is_signed(b"key", {"last": 7}, one) for one in (old, new)] == [True, True]
    assert not is_signed(b"key", {"last": 8}, old)


def test_a_key_that_was_hashed_by_other_parameters_opens_still_and_new_ones_get_the_new(services: Any) -> None:
    admin = services.access.operator("default")
    key, secret = services.access.create_key(admin, Role.VIEWER, "of before")
    with services.ground.database.transaction() as session:
        weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        session.get_one(ApiKeyRow, key.id).secret_hash = weak.hash(secret)
    assert services.access.authenticate(secret).key_id == key.id
    newer, _ = services.access.create_key(admin, Role.VIEWER, "of now")
    with services.ground.database.reading() as session:
        told = parameters(session.get_one(ApiKeyRow, newer.id).secret_hash)
    assert (told.time_cost, told.memory_cost) == (2, 19_456)


def test_an_entry_s_hash_is_the_one_it_tells_where_that_fits(swap_hash: Swap) -> None:
    entry = dict.fromkeys(HASHED, "x")
    old = digest(entry)
    swap_hash()
    assert digest({**entry, "hash": old}) == old
    assert digest({**entry, "hash": "forged"}) == digest(entry) != old
