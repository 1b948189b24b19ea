"""Tokens of frozen encoders, kept on disk: computed once for a content and an encoder, whoever asks for them.

One SQLite file (write-ahead log) that any number of processes of one machine share. It is a cache: what does not fit,
or cannot be read or written, is computed anew, and no work ever fails because of it.
Shapes: N tokens of one case, D token width.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_log = logging.getLogger(__name__)
FORMAT = 1
"""Of the file and of what decides a key: a file of another format is begun anew."""
MB = 2**20
PAGE, AT_ONCE, EVICTED = 16_384, 400, 64
FRESH_S = 3600
"""What was used within this time is not evicted: a training larger than the cache would else push out its own."""
_TABLES = """
CREATE TABLE entries (id INTEGER PRIMARY KEY, encoder TEXT NOT NULL, content TEXT NOT NULL, width INTEGER NOT NULL,
  aside TEXT NOT NULL, size INTEGER NOT NULL, used INTEGER NOT NULL, UNIQUE (encoder, content));
CREATE INDEX entries_content ON entries (content);
CREATE INDEX entries_used ON entries (used);
CREATE TABLE states (id INTEGER PRIMARY KEY REFERENCES entries ON DELETE CASCADE, mask BLOB, states BLOB);
CREATE TABLE total (bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER added AFTER INSERT ON entries BEGIN UPDATE total SET bytes = bytes + new.size; END;
CREATE TRIGGER removed AFTER DELETE ON entries BEGIN UPDATE total SET bytes = bytes - old.size; END;
"""


@dataclass(frozen=True)
class Features:
    """The tokens of one case and one encoder.

    Attributes:
        states: ``float16[N, D]``.
        mask: ``bool[N]``, True where a token is real.
        aside: small arrays of the sample that are needed beside the tokens (``Modality.aside``).
    """

    states: np.ndarray
    mask: np.ndarray
    aside: Mapping[str, np.ndarray] = field(default_factory=dict)


class FeatureCache:
    """A bounded store of features, the longest unused evicted first. Safe between threads and between processes."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """``limit_bytes``: of features; the file is somewhat larger."""
        self._path, self._limit = path, limit_bytes
        self.looked_up: Callable[[int, int], None] = lambda found, missed: None
        """Told of each ``get``: how many contents were found, how many not."""
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The file; it need not exist yet."""
        return self._path

    @property
    def limit_bytes(self) -> int:
        """Most bytes of features that are kept."""
        return self._limit

    def get(self, encoder: str, contents: Collection[str]) -> dict[str, Features]:
        """What is known of these contents."""
        wanted, found = list(contents), dict[str, Features]()
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            found |= self._with_file("read", partial(_known, encoder=encoder, contents=some), dict[str, Features]())
        self.looked_up(len(found), len(set(wanted)) - len(found))
        return found

    def put(self, encoder: str, found: Mapping[str, Features]) -> None:
        """Keep these, all or none; where another process has kept the same meanwhile, its own stays."""

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.execute("BEGIN IMMEDIATE")
                if _make_room(database, sum(_size(one) for one in found.values()), self._limit):
                    for content, one in found.items():
                        _insert(database, encoder, content, one)

        self._with_file("written", write, None)

    def forget(self, contents: Iterable[str]) -> None:
        """Remove what was made of these contents, whatever the encoder, and overwrite where it lay."""

        def delete(database: sqlite3.Connection) -> None:
            with database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany("DELETE FROM entries WHERE content = ?", [(content,) for content in contents])
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        self._with_file("cleared", delete, None)

    def bytes_kept(self) -> int:
        """Bytes of all features; 0 where the file cannot be read."""
        return self._with_file("read", _total, 0)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _with_file(self, doing: str, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What ``work`` gives of the open file. A fault is told and passed over; a damaged file is begun anew."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _opened(self._path)
                return work(self._connection)
            except (sqlite3.Error, OSError) as error:
                _log.warning("the feature cache %s cannot be %s: %s", self._path, doing, error)
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if type(error) is sqlite3.DatabaseError:  # no disk or lock at fault: the file itself is damaged
                    _remove(self._path)
                return otherwise


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    # Losing the last features in a power cut costs their computing; secure_delete, since erased means erased.
    settings = (f"page_size={PAGE}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON")
    for setting in (*settings, "mmap_size=1073741824"):
        database.execute(f"PRAGMA {setting}").fetchall()
    with database:
        database.execute("BEGIN IMMEDIATE")
        known = database.execute("PRAGMA user_version").fetchone()[0]
        if known not in {0, FORMAT}:
            for table in ("states", "entries", "total"):
                database.execute(f"DROP TABLE IF EXISTS {table}")
        if known != FORMAT:
            for statement in filter(str.strip, _statements(_TABLES)):
                database.execute(statement)
            database.execute(f"PRAGMA user_version={FORMAT}")
    return database


def _statements(script: str) -> Iterator[str]:
    """One at a time: ``executescript`` would end the transaction that makes two processes wait for each other."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _remove(path: Path) -> None:
    for name in (path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))):
        name.unlink(missing_ok=True)


def _known(database: sqlite3.Connection, encoder: str, contents: Sequence[str]) -> dict[str, Features]:
    marks = ",".join("?" * len(contents))
    rows = database.execute(
        "SELECT content, width, aside, mask, states, id, used FROM entries JOIN states USING (id)"  # noqa: S608 - question marks alone
        f" WHERE encoder = ? AND content IN ({marks})",
        (encoder, *contents),
    ).fetchall()
    _touch(database, [row[5] for row in rows if row[6] < time.time() - FRESH_S / 2])
    return {row[0]: _features(*row[1:5]) for row in rows}


def _insert(database: sqlite3.Connection, encoder: str, content: str, one: Features) -> None:
    kept = database.execute(
        "INSERT OR IGNORE INTO entries (encoder, content, width, aside, size, used) VALUES (?,?,?,?,?,?)",
        (encoder, content, one.states.shape[1], _aside(one), _size(one), int(time.time())),
    )
    if kept.rowcount:
        mask, states = one.mask.astype(np.uint8), np.ascontiguousarray(one.states, np.float16)
        database.execute("INSERT INTO states VALUES (?,?,?)", (kept.lastrowid, mask.tobytes(), states.tobytes()))


def _total(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT bytes FROM total").fetchone()[0])


def _make_room(database: sqlite3.Connection, needed: int, limit: int) -> bool:
    """Whether there is room now, for which the longest unused had to go."""
    oldest = "SELECT id FROM entries WHERE used < ? ORDER BY used LIMIT ?"
    while needed + _total(database) > limit:
        before = (time.time() - FRESH_S, EVICTED)
        if not database.execute(f"DELETE FROM entries WHERE id IN ({oldest})", before).rowcount:  # noqa: S608 - our words
            return False
    return True


def _touch(database: sqlite3.Connection, ids: Collection[int]) -> None:
    if ids:
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("UPDATE entries SET used = ? WHERE id = ?", [(int(time.time()), i) for i in ids])


def _size(one: Features) -> int:
    return 2 * one.states.size + one.mask.size + len(_aside(one))


def _aside(one: Features) -> str:
    return json.dumps({name: [array.dtype.str, array.tolist()] for name, array in one.aside.items()})


def _features(width: int, aside: str, mask: bytes, states: bytes) -> Features:
    small = {name: np.array(values, dtype=np.dtype(kind)) for name, (kind, values) in json.loads(aside).items()}
    found = np.frombuffer(states, np.float16).reshape(-1, width)
    return Features(found, np.frombuffer(mask, np.uint8).astype(bool), small)
