"""R8's second half: a stored trail is tampered with as by someone who may do anything to the database; each is found.

The triggers that refuse changes are dropped first. What the tamperer does not have is the installation's secret and
the anchors' file. Each tampering is made on a whole trail, verified, and undone.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from api.access.service import Caller, Role
from api.audit.anchor import Anchors
from api.audit.chain import EVENTS, GENESIS, HASHED, HEAD, digest, written
from api.audit.service import Audit
from api.audit.stored import verify_stored
from api.ground.database import Database
from api.ground.ids import new_id
from api.ground.migrate import upgrade
from api.ground.secret import trail_key
from api.settings import Settings
from torture.databases import databases
from torture.outcome import Outcome

TITLE = "An audit trail that is tampered with (R8)"
ENTRIES, ANCHORED = 120, (30, 60, 90)
"""The last 30 have no anchor yet: they are held by the signed head alone."""
Rows = list[dict[str, Any]]
Tampering = Callable[["Trail", random.Random], str]


class Trail:
    """A stored trail, what it was when it was whole, and how it got there."""

    def __init__(self, settings: Settings) -> None:
        upgrade(settings)
        self.settings, self.key = settings, trail_key(settings.workspace)
        self.database = Database(settings.sqlalchemy_url)
        self.anchors = Anchors(self.database, settings.anchors_file, settings.trail_folder / "lock", self.key)
        self.heads: list[dict[str, Any]] = []
        self._fill()
        with self.database.engine.begin() as connection:
            _drop_triggers(connection)
            self.rows: Rows = [dict(row) for row in connection.execute(select(EVENTS).order_by(EVENTS.c.id)).mappings()]

    @contextmanager
    def changed(self) -> Iterator[Connection]:
        """A transaction of the tamperer's."""
        with self.database.engine.begin() as connection:
            yield connection

    def put(self, rows: Rows) -> None:
        """Let exactly these be the entries."""
        with self.changed() as connection:
            connection.execute(delete(EVENTS))
            if rows:
                connection.execute(insert(EVENTS), rows)

    def put_head(self, **values: Any) -> None:
        """Change the end of the chain."""
        with self.changed() as connection:
            connection.execute(update(HEAD).values(**values))

    def restore(self) -> None:
        """As it was."""
        self.put(self.rows)
        with self.changed() as connection:
            connection.execute(delete(HEAD))
            connection.execute(insert(HEAD).values(self.heads[-1]))

    def is_found(self) -> bool:
        """Whether a verification says that the trail is not as it was written."""
        return verify_stored(self.database, self.settings.anchors_file, self.key).fault_count > 0

    def _fill(self) -> None:
        audit, draw = Audit(self.database, self.key, self.settings.trail_folder), random.Random(7)
        caller = Caller(new_id("project"), new_id("key"), "Dr. Example", Role.CLINICIAN)
        for n in range(1, ENTRIES + 1):
            with self.database.transaction() as session:
                name = draw.choice(("case.change", "case.read", "review.create"))
                audit.record(session, caller, name, "case", new_id("case"), fields=["note"], n=n)
            if n in ANCHORED:
                self.anchors.write()
            with self.database.reading() as session:
                self.heads.append(dict(session.execute(select(HEAD)).mappings().one()))


def edit(trail: Trail, draw: random.Random) -> str:
    """One column of one entry."""
    row, column = dict(draw.choice(trail.rows)), draw.choice([*HASHED, "hash"])
    here = row["id"]
    row[column] = _other(row[column])
    with trail.changed() as connection:
        connection.execute(update(EVENTS).where(EVENTS.c.id == here).values({column: row[column]}))
    return f"edit of {column}"


def remove(trail: Trail, draw: random.Random) -> str:
    """One entry or several in a row, not at the end."""
    first = draw.randrange(1, ENTRIES - 5)
    last = first + draw.choice((0, 0, 4))
    with trail.changed() as connection:
        connection.execute(delete(EVENTS).where(EVENTS.c.id.between(first, last)))
    return "deletion" if first == last else "deletion of several"


def renumber(trail: Trail, draw: random.Random) -> str:
    """An entry is deleted, those after it move up and are hashed anew."""
    at = draw.randrange(1, ENTRIES)
    rows = [dict(row) for row in trail.rows if row["id"] != at]
    rows = _rehashed([{**row, "id": n} for n, row in enumerate(rows, 1)])
    trail.put(rows)
    trail.put_head(sequence=ENTRIES - 1, hash=rows[-1]["hash"])
    return "deletion, the rest hashed anew"


def swap(trail: Trail, draw: random.Random) -> str:
    """Two entries change places."""
    one, other = draw.sample(range(ENTRIES), 2)
    rows = [dict(row) for row in trail.rows]
    rows[one]["id"], rows[other]["id"] = rows[other]["id"], rows[one]["id"]
    trail.put(rows)
    return "swap"


def swap_words(trail: Trail, draw: random.Random) -> str:
    """Two entries change places, chain and numbers stay."""
    one, other = draw.sample(range(ENTRIES), 2)
    rows, kept = [dict(row) for row in trail.rows], ("id", "previous", "hash")
    rows[one], rows[other] = (
        {**rows[there], **{name: rows[here][name] for name in kept}} for here, there in ((one, other), (other, one))
    )
    trail.put(rows)
    return "swap of contents"


def truncate(trail: Trail, draw: random.Random) -> str:
    """The end is cut off."""
    last = draw.randrange(0, ENTRIES)
    with trail.changed() as connection:
        connection.execute(delete(EVENTS).where(EVENTS.c.id > last))
    return "truncation"


def truncate_with_head(trail: Trail, draw: random.Random) -> str:
    """The end is cut off, and the end of the chain is moved there."""
    last = draw.randrange(0, ENTRIES)
    trail.put(trail.rows[:last])
    trail.put_head(sequence=last, hash=trail.rows[last - 1]["hash"] if last else GENESIS)
    return "truncation, the head moved"


def truncate_with_old_head(trail: Trail, draw: random.Random) -> str:
    """The end is cut off, and a head of that time is put back, rightly signed; an anchor is newer."""
    last = draw.randrange(1, ANCHORED[-1])
    trail.put(trail.rows[:last])
    trail.put_head(**trail.heads[last - 1])
    return "truncation, an old head put back"


def add(trail: Trail, draw: random.Random) -> str:
    """An entry that nobody made, rightly chained at the end."""
    last = trail.rows[-1]
    [row] = _rehashed([{**draw.choice(trail.rows), "id": ENTRIES + 1}], last["hash"])
    with trail.changed() as connection:
        connection.execute(insert(EVENTS), [row])
    if draw.random() < 0.5:
        trail.put_head(sequence=ENTRIES + 1, hash=row["hash"])
    return "insertion at the end"


def add_before(trail: Trail, draw: random.Random) -> str:
    """An entry that nobody made, before the first."""
    [row] = _rehashed([{**draw.choice(trail.rows), "id": -draw.randrange(5)}])
    with trail.changed() as connection:
        connection.execute(insert(EVENTS), [row])
    return "insertion before the first"


def add_between(trail: Trail, draw: random.Random) -> str:
    """An entry that nobody made, those after it moved on and hashed anew."""
    at = draw.randrange(0, ENTRIES)
    rows = [dict(row) for row in (*trail.rows[:at], draw.choice(trail.rows), *trail.rows[at:])]
    rows = _rehashed([{**row, "id": n} for n, row in enumerate(rows, 1)])
    trail.put(rows)
    trail.put_head(sequence=ENTRIES + 1, hash=rows[-1]["hash"])
    return "insertion, the rest hashed anew"


def rewrite(trail: Trail, draw: random.Random) -> str:
    """An edit, everything after it hashed anew, the head too; sometimes with a signature of another secret."""
    at = draw.randrange(0, ENTRIES)
    column = draw.choice([name for name in HASHED if name not in {"id", "previous"}])
    rows = [dict(row) for row in trail.rows]
    rows[at][column] = _other(rows[at][column])
    rows = _rehashed(rows)
    trail.put(rows)
    forged = {"signature": f"{draw.randrange(16**64):064x}"} if draw.random() < 0.5 else {}
    trail.put_head(hash=rows[-1]["hash"], **forged)
    return "edit, the rest hashed anew"


def spoil_head(trail: Trail, draw: random.Random) -> str:
    """The head alone is changed, or taken away."""
    column = draw.choice(["sequence", "hash", "anchored", "signature", "row"])
    if column == "row":
        with trail.changed() as connection:
            connection.execute(delete(HEAD))
    else:
        trail.put_head(**{column: _other(trail.heads[-1][column])})
    return "change of the head"


KINDS: tuple[Tampering, ...] = (
    edit, edit, edit, remove, renumber, swap, swap_words, truncate, truncate_with_head, truncate_with_old_head,
    add, add_before, add_between, rewrite, rewrite, spoil_head,
)  # fmt: skip


def run(short: bool) -> Outcome:
    made: Counter[str] = Counter()
    missed: list[str] = []
    for name, url in databases(postgresql=not short):
        with url as settings:
            trail = Trail(settings)
            try:
                _many(trail, name, 50 if short else 1000, made, missed)
            finally:
                trail.database.dispose()
    lines = [f"| {kind} | {count} |" for kind, count in sorted(made.items())]
    total = f"| **all** | **{sum(made.values())}** |"
    table = "\n".join(["| tampering | found |", "|---|---|", *lines, total])
    return Outcome(table, missed)


def _many(trail: Trail, name: str, count: int, made: Counter[str], missed: list[str]) -> None:
    if trail.is_found():
        missed.append(f"{name}: a whole trail is said to be tampered with")
    for seed in range(count):
        draw = random.Random(seed)
        kind = KINDS[seed % len(KINDS)](trail, draw)
        if trail.is_found():
            made[f"{name}: {kind}"] += 1
        else:
            missed.append(f"{name}: {kind} with seed {seed} was not found")
        trail.restore()
    if trail.is_found():
        missed.append(f"{name}: the trail was not restored: what was found may be what was left")


def _rehashed(rows: Rows, previous: str = GENESIS) -> Rows:
    done: Rows = []
    for row in rows:
        entry = {**row, "previous": previous}
        previous = digest(written(entry))
        done.append({**entry, "hash": previous})
    return done


def _other(value: Any) -> Any:
    """Another value of the same kind."""
    if value is None:
        return "x"
    if isinstance(value, int):
        return value + 1_000_000
    if isinstance(value, str):
        return f"{'1' if value[:1] == '0' else '0'}{value[1:]}" if value else "x"
    if isinstance(value, dict):
        return {**value, "fields": ["vitals"]}
    return value - timedelta(microseconds=1)


def _drop_triggers(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        for act in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER audit_events_no_{act}"))
    else:
        connection.execute(text("DROP TRIGGER audit_events_append_only ON audit_events"))
