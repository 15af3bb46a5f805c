"""`SqliteLimiter` keeps one budget per upstream in a SQLite file that all processes of a machine share.

The budgets survive restarts. pyrate-limiter keeps several windows in SQLite under a file lock too, but it uses the wall
clock: it sends a burst when that clock is set forward, and blocks for as long as the clock is set back. It has neither
penalties nor a breaker, whose state would need this file anyway.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anime_crawler.catalogue.wal import use_wal
from anime_crawler.rate_limit.clock import SharedClock, SystemClock
from anime_crawler.rate_limit.limiter import (
    BREAKER_THRESHOLD,
    CLOCKS_APART_S,
    FIRST_REST_S,
    LONGEST_REST_S,
    LONGEST_WAIT_S,
    LimiterError,
    Wait,
    remembered_s,
    stretched_s,
)
from anime_crawler.rate_limit.limits import Limits, Window

BUSY_S = 10.0  # the longest wait for transactions of other processes; each takes 0.1 ms

SCHEMA = """
    CREATE TABLE IF NOT EXISTS sent (upstream TEXT NOT NULL, at REAL NOT NULL);
    CREATE INDEX IF NOT EXISTS sent_by_upstream ON sent (upstream, at);
    CREATE TABLE IF NOT EXISTS upstream (
        name TEXT PRIMARY KEY,
        blocked_until REAL NOT NULL DEFAULT 0,
        blocked_why TEXT NOT NULL DEFAULT '',
        troubles INTEGER NOT NULL DEFAULT 0,
        rest_s REAL NOT NULL DEFAULT 0,
        probe_at REAL NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS remembered (upstream TEXT PRIMARY KEY, seconds REAL NOT NULL, until REAL NOT NULL)
    WITHOUT ROWID;
"""


@dataclass
class _State:
    """A row of the table ``upstream``; `failures` is its column ``troubles``."""

    blocked_until: float = 0.0
    blocked_why: str = ""
    failures: int = 0
    rest_s: float = 0.0
    probe_at: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.failures >= BREAKER_THRESHOLD


class SqliteLimiter:
    """The `Limiter` for one machine. Every call is one short transaction, and there is no queue."""

    def __init__(self, path: Path | str, clock: SystemClock | None = None) -> None:
        self._path = path
        self._clock = SharedClock(clock or SystemClock())
        with self._explained():
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
            use_wal(self._db, BUSY_S)
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA + SharedClock.SCHEMA)

    def close(self) -> None:
        self._db.close()

    def acquire(self, upstream: str, limits: Limits, place: str = "") -> Wait | None:
        if not remembered_s(limits) and self._is_unrestricted(upstream):
            return None
        with self._transaction() as now:
            state = self._state(upstream)
            wait = _penalty(state, now) or self._full(upstream, limits, now) or _rest(state, now)
            if wait is None:
                self._record(upstream, limits, state, now)
            return wait

    def late(self, upstream: str, limits: Limits, ago_s: float, by_s: float) -> None:
        if not remembered_s(limits):
            return
        with self._transaction() as now:
            self._db.execute(
                "UPDATE sent SET at = at + ? WHERE rowid = "
                "(SELECT rowid FROM sent WHERE upstream = ? AND at >= ? ORDER BY at LIMIT 1)",
                (by_s, upstream, now - ago_s - CLOCKS_APART_S),
            )

    def penalize(self, upstream: str, seconds: float, why: str) -> None:
        with self._transaction() as now:
            state = self._state(upstream)
            if now + seconds > state.blocked_until:
                state.blocked_until, state.blocked_why = now + seconds, why
                self._save(upstream, state)

    def record_failure(self, upstream: str) -> None:
        with self._transaction() as now:
            state = self._state(upstream)
            state.failures += 1
            if state.failures == BREAKER_THRESHOLD:
                state.rest_s, state.probe_at = FIRST_REST_S, now + FIRST_REST_S
            self._save(upstream, state)

    def record_success(self, upstream: str) -> None:
        with self._explained():
            if self._state(upstream).failures:  # a read is cheaper than a write, and this runs for every answer
                self._db.execute("UPDATE upstream SET troubles = 0 WHERE name = ?", (upstream,))

    def used(self, upstream: str, limits: Limits) -> dict[str, int]:
        with self._transaction() as now:
            return {str(window): self._count_since(upstream, now - window.seconds) for window in limits.windows}

    def resting(self, upstream: str) -> Wait | None:
        with self._transaction() as now:
            return _penalty(self._state(upstream), now)

    def exhausted(self, upstream: str, limits: Limits) -> Wait | None:
        with self._transaction() as now:
            wait = self._full(upstream, limits, now)
        return wait if wait and wait.seconds > LONGEST_WAIT_S else None

    def _is_unrestricted(self, upstream: str) -> bool:
        """Whether nothing restricts or counts the upstream's requests.

        This is a read of some microseconds, so that an upstream without limits costs no transaction per request.
        """
        with self._explained():
            state = self._state(upstream)
            is_counted = self._db.execute("SELECT 1 FROM remembered WHERE upstream = ?", (upstream,)).fetchone()
        return not state.is_open and not state.blocked_until and not is_counted

    def _full(self, upstream: str, limits: Limits, now: float) -> Wait | None:
        """The wait for the window that takes longest to have room again; ``None`` if all windows have room."""
        waits = [(self._free_at(upstream, window) - now, window) for window in limits.windows]
        seconds, window = max(waits, default=(0.0, None), key=lambda wait: wait[0])
        return Wait(seconds, "limit", f"limit {window}") if seconds > 0 else None

    def _free_at(self, upstream: str, window: Window) -> float:
        """The time at which the window has room: when the request that is `window.count` back leaves it."""
        row = self._db.execute(
            "SELECT at FROM sent WHERE upstream = ? ORDER BY at DESC LIMIT 1 OFFSET ?", (upstream, window.count - 1)
        ).fetchone()
        return row[0] + stretched_s(window) if row else 0.0

    def _record(self, upstream: str, limits: Limits, state: _State, now: float) -> None:
        if state.is_open:
            # This request is the probe. If it fails, or its process dies, the next probe may go after twice the rest.
            state.rest_s = min(2 * state.rest_s, LONGEST_REST_S)
            state.probe_at = now + state.rest_s
            self._save(upstream, state)
        if keep_s := self._remembered_s(upstream, remembered_s(limits), now):
            self._db.execute("DELETE FROM sent WHERE upstream = ? AND at < ?", (upstream, now - keep_s))
            self._db.execute("INSERT INTO sent VALUES (?, ?)", (upstream, now))

    def _remembered_s(self, upstream: str, own_s: float, now: float) -> float:
        """Seconds for which the upstream's requests are kept.

        The longest window that any process has had counts, for as long as that window lasts.
        """
        row = self._db.execute("SELECT seconds, until FROM remembered WHERE upstream = ?", (upstream,)).fetchone()
        if row and row[0] > own_s and row[1] > now:
            return float(row[0])
        if own_s:
            self._db.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?, ?)", (upstream, own_s, now + own_s))
        elif row:
            self._db.execute("DELETE FROM remembered WHERE upstream = ?", (upstream,))
        return own_s

    def _count_since(self, upstream: str, since: float) -> int:
        row = self._db.execute("SELECT count(*) FROM sent WHERE upstream = ? AND at > ?", (upstream, since)).fetchone()
        return int(row[0])

    def _state(self, upstream: str) -> _State:
        row = self._db.execute(
            "SELECT blocked_until, blocked_why, troubles, rest_s, probe_at FROM upstream WHERE name = ?", (upstream,)
        ).fetchone()
        return _State(*row) if row else _State()

    def _save(self, upstream: str, state: _State) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO upstream VALUES (?, ?, ?, ?, ?, ?)",
            (upstream, state.blocked_until, state.blocked_why, state.failures, state.rest_s, state.probe_at),
        )

    @contextmanager
    def _transaction(self) -> Iterator[float]:
        """A transaction that excludes all other processes; it gives the time."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._clock.now(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LimiterError(
                f"the file of request budgets, {self._path}, cannot be used: {error}. Make room if the disk is full; "
                f"if the file is damaged, delete it, and wait as long as the longest limit before the next run"
            ) from error


def _penalty(state: _State, now: float) -> Wait | None:
    if state.blocked_until <= now:
        return None
    return Wait(state.blocked_until - now, "penalty", state.blocked_why)


def _rest(state: _State, now: float) -> Wait | None:
    if not state.is_open or state.probe_at <= now:
        return None
    why = f"{state.failures} failures in a row; it is asked again after a rest"
    return Wait(state.probe_at - now, "breaker", why)
