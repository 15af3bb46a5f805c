"""`SqliteStorage` keeps the caches, and the leases of fetches under way, in a SQLite file that processes share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anime_crawler.cache.entry import Key, stored_at
from anime_crawler.cache.storage import LEASE_S, CacheError, SourceStats
from anime_crawler.catalogue.wal import use_wal

BUSY_S = 5.0  # the longest wait for writes of other processes; each takes 0.1 ms
MOST_BYTES = 2 * 2**30  # compressed; room for 30,000 detail pages of 10 KB from each of seven sources
PRUNE_EVERY = 200  # the size is checked once in so many stores

SCHEMA = """
    CREATE TABLE IF NOT EXISTS kept (
        family TEXT NOT NULL, source TEXT NOT NULL, digest TEXT NOT NULL,
        stored_at REAL NOT NULL, expires_at REAL NOT NULL, bytes INTEGER NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (family, source, digest)
    );
    CREATE INDEX IF NOT EXISTS kept_by_age ON kept (stored_at, expires_at, family, source, bytes);
    CREATE TABLE IF NOT EXISTS lease (
        source TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL, until REAL NOT NULL,
        PRIMARY KEY (source, digest)
    ) WITHOUT ROWID;
"""


class SqliteStorage:
    """The `CacheStorage` for one machine, in one file.

    A call takes about 0.1 ms, so it is made on the event loop. A full file loses its oldest tenth.
    """

    def __init__(self, path: Path | str, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._stores = 0
        with self._explained():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
        try:
            with self._explained():
                use_wal(self._db, BUSY_S)
                self._db.execute("PRAGMA synchronous = OFF")  # entries that a power cut destroys are fetched again
                self._db.executescript(SCHEMA)
        except CacheError:
            self._db.close()
            raise

    async def get(self, key: Key) -> bytes | None:
        question = "SELECT value FROM kept WHERE family = ? AND source = ? AND digest = ? AND expires_at > ?"
        with self._explained():
            row = self._db.execute(question, (key.family, key.source, key.digest, time.time())).fetchone()
        return row[0] if row else None

    async def put(self, key: Key, value: bytes, keep_s: float) -> None:
        row = (key.family, key.source, key.digest, stored_at(value), time.time() + keep_s, len(value), value)
        with self._explained():
            self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            if self._stores % PRUNE_EVERY == 0:
                self._prune()
        self._stores += 1

    async def drop(self, key: Key) -> None:
        statement = "DELETE FROM kept WHERE family = ? AND source = ? AND digest = ?"
        with self._explained():
            self._db.execute(statement, (key.family, key.source, key.digest))

    async def acquire(self, key: Key, owner: str) -> bool:
        """Lease the key as `CacheStorage.acquire` says.

        A lease that ends later than a new one may end was taken before the clock was set back, and counts as ended. The
        limit leaves room of `BUSY_S` for a lease that another process took while this one waited for the file.
        """
        now = time.time()
        statement = """
            INSERT INTO lease VALUES (?, ?, ?, ?)
            ON CONFLICT (source, digest) DO UPDATE SET owner = excluded.owner, until = excluded.until
            WHERE lease.owner = excluded.owner OR lease.until NOT BETWEEN ? AND ?
        """
        with self._explained():
            row = (key.source, key.digest, owner, now + LEASE_S, now, now + LEASE_S + BUSY_S)
            return self._db.execute(statement, row).rowcount == 1

    async def release(self, key: Key, owner: str) -> None:
        statement = "DELETE FROM lease WHERE source = ? AND digest = ? AND owner = ?"
        with self._explained():
            self._db.execute(statement, (key.source, key.digest, owner))

    async def stats(self) -> list[SourceStats]:
        now = time.time()
        question = """
            SELECT family, source, count(*), sum(bytes), min(stored_at), max(stored_at), min(expires_at) - :now,
            max(expires_at) - :now FROM kept WHERE expires_at > :now GROUP BY family, source ORDER BY source, family
        """
        with self._explained():
            return [SourceStats(*row) for row in self._db.execute(question, {"now": now})]

    async def clear(self, source: str | None) -> int:
        with self._explained():
            if source is not None:
                return self._db.execute("DELETE FROM kept WHERE source = ?", (source,)).rowcount
            return self._db.execute("DELETE FROM kept").rowcount

    async def close(self) -> None:
        self._db.close()

    def _prune(self) -> None:
        """Remove expired entries, then the oldest entries until nine tenths of the permitted size are left."""
        self._db.execute("DELETE FROM kept WHERE expires_at <= ?", (time.time(),))
        self._db.execute("DELETE FROM lease WHERE until <= ?", (time.time(),))
        size = self._db.execute("SELECT coalesce(sum(bytes), 0) FROM kept").fetchone()[0]
        if size > self._most_bytes:
            surplus = size - 0.9 * self._most_bytes
            oldest = "SELECT rowid AS id, sum(bytes) OVER (ORDER BY stored_at, rowid) - bytes AS before FROM kept"
            self._db.execute(
                f"DELETE FROM kept WHERE rowid IN (SELECT id FROM ({oldest}) WHERE before < ?)",  # noqa: S608
                (surplus,),
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise CacheError(f"the file of the HTTP cache, {self._path}, cannot be used: {error}") from error
