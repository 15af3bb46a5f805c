"""`SqliteStore` keeps the frontier in one SQLite file, which one process at a time owns.

Each change is a transaction of its own and takes about 60 microseconds in WAL mode. So a kill costs the requests in
flight, and not also those of a commit interval. The file protects against crashes of the *process*. After a power cut
the last transactions may be missing from it; the file is still consistent, and the run repeats that work.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from anime_crawler.frontier.store import FrontierError, JobDirHeld, Lease

FILE = "frontier.sqlite"
VERSION = 2  # of the tables below and of the request's JSON; kept in the file
SCHEMA = """
    CREATE TABLE IF NOT EXISTS owner (generation TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS seen (fingerprint BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS request (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- no id is used twice: requests remember the id of their parent
        slot TEXT NOT NULL,
        priority INTEGER NOT NULL,
        leased INTEGER NOT NULL DEFAULT 0,
        data BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS pending ON request (slot, priority DESC, id) WHERE leased = 0;
"""
LEASE_NEXT = """
    UPDATE request SET leased = 1
    WHERE id = (SELECT id FROM request WHERE leased = 0 AND slot = ? ORDER BY priority DESC, id LIMIT 1)
    RETURNING id, data
"""


class SqliteStore:
    """`SqliteStore` is a `Store` in a job directory; without a directory it is in memory."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._path = directory / FILE if directory else None
        self._lock: FileLock | None = None
        self._pending: Counter[str] = Counter()

    def open(self, generation: str) -> int:
        if self._directory:
            self._take(self._directory)
        try:
            with self._explained():
                self._connect()
                self._check()
                self._take_over(generation)
        except FrontierError:
            self.close()
            raise
        return self.pending()

    def push(self, fingerprint: bytes | None, slot: str, priority: int, data: bytes) -> bool:
        with self._transaction():
            if fingerprint is not None and not self._is_new(fingerprint):
                return False
            self._db.execute("INSERT INTO request (slot, priority, data) VALUES (?, ?, ?)", (slot, priority, data))
        self._pending[slot] += 1
        return True

    def pop(self, active: Mapping[str, int]) -> Lease | None:
        slots = [slot for slot, count in self._pending.items() if count]
        if not slots:
            return None
        slot = min(slots, key=lambda slot: active.get(slot, 0))
        with self._explained():
            (row,) = self._db.execute(LEASE_NEXT, (slot,)).fetchall()
        self._pending[slot] -= 1
        return Lease(*row)

    def ack(self, lease: Lease) -> None:
        with self._explained():
            self._db.execute("DELETE FROM request WHERE id = ?", (lease.id,))

    def keep(self, lease: Lease) -> None:
        """The request stays leased until the next owner opens the store."""

    def pending(self) -> int:
        return self._pending.total()

    def leased_elsewhere(self) -> int:
        return 0  # the file has one owner at a time

    def unfinished(self) -> int:
        with self._explained():
            return int(self._db.execute("SELECT count(*) FROM request").fetchone()[0])

    def clear(self) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM request")
            self._db.execute("DELETE FROM seen")
        self._pending.clear()

    def close(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock:
            self._lock.release()

    def _take(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(directory / f"{FILE}.lock", timeout=0)
            self._lock.acquire()
        except Timeout:
            raise JobDirHeld(
                f"another process uses the job directory {directory}; wait for it, stop it, or give another JOBDIR"
            ) from None
        except OSError as error:
            raise FrontierError(
                f"the job directory {directory} cannot be used: {error}; set JOBDIR to another"
            ) from None

    def _connect(self) -> None:
        self._db = sqlite3.connect(self._path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    def _check(self) -> None:
        """Refuse a file that is damaged or of another version, before a request is read from it."""
        (answer,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if answer != "ok" or version not in (0, VERSION):
            raise self._unusable(answer if answer != "ok" else f"it has version {version}, not {VERSION}")
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _take_over(self, generation: str) -> None:
        owner = self._db.execute("SELECT generation FROM owner").fetchone()
        if owner != (generation,):
            self.clear()
        with self._transaction():
            self._db.execute("DELETE FROM owner")
            self._db.execute("INSERT INTO owner VALUES (?)", (generation,))
            self._db.execute("UPDATE request SET leased = 0 WHERE leased = 1")
        self._pending = Counter(dict(self._db.execute("SELECT slot, count(*) FROM request GROUP BY slot")))
        if not self._pending:
            self.clear()

    def _is_new(self, fingerprint: bytes) -> bool:
        return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (fingerprint,)).rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, problem: object) -> FrontierError:
        return FrontierError(
            f"the frontier file {self._path or 'in memory'} cannot be used: {problem}. Make room if the disk is full; "
            f"if the file is damaged, delete it: the run then continues from the catalogue's checkpoint"
        )
