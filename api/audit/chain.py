"""The hash chain: each entry holds the hash of the one before; the last one's is signed.

An entry's hash is over its canonical JSON (RFC 8785; an entry holds text, whole numbers, booleans, null, lists
and objects, for which sorted keys without blanks are that form). The end of the chain is signed by HMAC
(RFC 2104) with a key that is not in the database: whoever can write to the database alone can hash anew, but not sign.
By which hash: api/ground/algorithms.py; what an older one has made is verified too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.orm import Session

from api.audit.tables import AuditEventRow, AuditHeadRow
from api.ground.algorithms import digests, is_signature, signature
from api.ground.clock import now

GENESIS = "0" * 64
"""What stands before the first entry."""
EVENTS: Table = AuditEventRow.__table__  # type: ignore[assignment]
HEAD: Table = AuditHeadRow.__table__  # type: ignore[assignment]
HASHED = tuple(column.name for column in EVENTS.c if column.name != "hash")
Entry = Mapping[str, Any]


def canonical(value: Any) -> bytes:
    """The one text of a JSON value (RFC 8785)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def written(entry: Entry) -> dict[str, Any]:
    """An entry as JSON, time as RFC 3339 in UTC to the microsecond."""
    return {**entry, "at": moment_text(entry["at"])}


def moment_text(moment: datetime) -> str:
    """A moment as it is hashed."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def digest(entry: Entry) -> str:
    """The hash of an entry (as ``written``), over all of its columns but the hash.

    It is the one that the entry tells, where that fits by any hash that is accepted; else by the newest.
    """
    newest, *older = digests(canonical({name: entry[name] for name in HASHED}))
    return next((one for one in older if one == entry.get("hash")), newest)


def sign(key: bytes, told: Mapping[str, Any]) -> str:
    """The signature of a statement, as hexadecimal text."""
    return signature(key, canonical(told))


def is_signed(key: bytes, told: Mapping[str, Any], by: str) -> bool:
    """Whether the signature is this installation's, of exactly this statement."""
    return is_signature(key, canonical(told), by)


def head_told(sequence: int, hash_: str, anchored: int) -> dict[str, Any]:
    """What the head's signature is of."""
    return {"anchored": anchored, "hash": hash_, "sequence": sequence}


def hold(session: Session) -> None:
    """Lock the end of the chain from here to the commit: what a killed process was adding is there by then."""
    session.connection().execute(select(HEAD.c.sequence).with_for_update())


def append(session: Session, key: bytes, entries: Sequence[dict[str, Any]]) -> None:
    """Add entries at the end of the chain, within a transaction.

    To be called last: the head's row is locked from here to the commit, and nothing else is locked after it.
    """
    if not entries:
        return
    connection = session.connection()  # the chain runs through every project: below what a session of one may touch
    head = select(HEAD.c.sequence, HEAD.c.hash, HEAD.c.anchored).with_for_update()
    sequence, previous, anchored = connection.execute(head).one()
    moment, rows = now(), []
    for entry in entries:
        sequence += 1
        row = {**entry, "id": sequence, "at": moment, "previous": previous}
        previous = digest(written(row))
        rows.append({**row, "hash": previous})
    connection.execute(insert(EVENTS), rows[0] if len(rows) == 1 else rows)  # one by itself goes in one round trip
    put_head(connection, key, sequence, previous, anchored)


def sign_anew(connection: Connection, key: bytes) -> None:
    """Make the end of a chain that came from elsewhere this installation's own; what was anchored there is not here."""
    row = connection.execute(select(HEAD.c.sequence, HEAD.c.hash)).one()
    put_head(connection, key, row.sequence, row.hash, 0)


def put_head(connection: Connection, key: bytes, sequence: int, hash_: str, anchored: int) -> None:
    """Move the end of the chain."""
    told = head_told(sequence, hash_, anchored)
    connection.execute(update(HEAD).values(**told, signature=sign(key, told)))
