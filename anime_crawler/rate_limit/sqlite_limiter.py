"""One budget per upstream, shared by all processes of a machine through a SQLite file, kept over restarts.

pyrate-limiter holds several windows in SQLite under a file lock too, but by the wall clock: set forward, it bursts;
set back, it blocks for as long. It knows no penalties and no breaker either: their state would need this file anyway.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from anime_crawler.catalogue.wal import use_wal
from anime_crawler.config import ConfigError
from anime_crawler.rate_limit.clock import SharedClock, SystemClock
from anime_crawler.rate_limit.limits import Limits, Window

LONGEST_WAIT_S = 3600.0  # an hour's window is waited for; a day's quota ends the run, which can be resumed
BREAKER_THRESHOLD = 5  # failures in a row: fewer happen when one worker of the upstream restarts
FIRST_REST_S = 30.0  # long enough for a restart of the upstream
LONGEST_REST_S = 300.0  # with doubling: 5 requests and 4 probes in the first ten minutes of an outage
CLOCKS_APART_S = 0.001  # between the asker's clock and the storage's, over the length of one request
BUSY_S = 10.0  # the longest wait for other processes' transactions, of 0.1 ms each
ASK_AGAIN_S = 1.0  # who stands in line moves up when those ahead give up or die

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


class BudgetError(ConfigError):
    """The budgets cannot be opened, read or written. Without them no limit would hold, so nothing is sent."""

    exit_code = 2
    """A file that cannot be written is a matter of configuration."""


@dataclass(frozen=True)
class Wait:
    """Why a request may not be sent yet."""

    seconds: float
    """After this time ask again; others may have been faster."""
    cause: Literal["limit", "penalty", "breaker", "outage"]
    reason: str
    """For people: ``limit 30/min``."""
    place: str = ""
    """Where those who wait stand in line: the place in it. Ask again with it every `ASK_AGAIN_S`, or lose it."""

    @property
    def pause_s(self) -> float:
        """Seconds until the next time of asking."""
        return min(self.seconds, ASK_AGAIN_S) if self.place else self.seconds


class BudgetStorage(Protocol):
    """The budget storage decides who may send a request, and when, for all who share it. Every call is one step.

    An upstream is a name that `budget_of` gives. A request is remembered for as long as the longest window that
    anybody who shares the storage has for its upstream, on the card or in a setting: who has short windows, or none,
    takes nothing from the count of the others.

    Raises:
        BudgetError: from every method.
    """

    def reserve(self, upstream: str, limits: Limits, place: str = "") -> Wait | None:
        """``None``: send now, it is counted. Else nothing is counted, and how long to wait before asking again.

        Nothing is reserved ahead, so that a process that dies while waiting takes nothing with it.

        Args:
            place: of the `Wait` that the last time of asking gave.
        """
        ...

    def late(self, upstream: str, limits: Limits, ago_s: float, by_s: float) -> None:
        """The request that was let go `ago_s` ago may have arrived `by_s` late: windows count it from then."""
        ...

    def penalize(self, upstream: str, seconds: float, why: str) -> None:
        """Let nobody ask the upstream for this long; a longer penalty that holds already stays."""
        ...

    def troubled(self, upstream: str) -> None:
        """The upstream failed us once more; the breaker opens at the fifth time in a row."""
        ...

    def well(self, upstream: str) -> None:
        """The upstream answered as it should: the breaker closes."""
        ...

    def used(self, upstream: str, limits: Limits) -> dict[str, int]:
        """Requests sent in each window that ends now, by window: ``{"5/s": 0, "90/min": 12}``."""
        ...

    def resting(self, upstream: str) -> Wait | None:
        """The penalty or ban that holds now, if any."""
        ...

    def exhausted(self, upstream: str, limits: Limits) -> Wait | None:
        """The window that has no room for longer than a run waits, a day's quota, if any."""
        ...

    def close(self) -> None: ...


@dataclass
class _State:
    """Row of table ``upstream``."""

    blocked_until: float = 0.0
    blocked_why: str = ""
    troubles: int = 0
    rest_s: float = 0.0
    probe_at: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.troubles >= BREAKER_THRESHOLD


class Budgets:
    """The form for one machine (see `BudgetStorage`). Every call is one short transaction; nobody stands in line."""

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

    def reserve(self, upstream: str, limits: Limits, place: str = "") -> Wait | None:
        if not remembered_s(limits) and self._is_untroubled(upstream):
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

    def troubled(self, upstream: str) -> None:
        with self._transaction() as now:
            state = self._state(upstream)
            state.troubles += 1
            if state.troubles == BREAKER_THRESHOLD:
                state.rest_s, state.probe_at = FIRST_REST_S, now + FIRST_REST_S
            self._save(upstream, state)

    def well(self, upstream: str) -> None:
        with self._explained():
            if self._state(upstream).troubles:  # a read costs less, and every answer asks
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

    def _is_untroubled(self, upstream: str) -> bool:
        """A read of some microseconds, so that an upstream without limits costs no transaction per request."""
        with self._explained():
            state = self._state(upstream)
            is_counted = self._db.execute("SELECT 1 FROM remembered WHERE upstream = ?", (upstream,)).fetchone()
        return not state.is_open and not state.blocked_until and not is_counted

    def _full(self, upstream: str, limits: Limits, now: float) -> Wait | None:
        """The window that takes longest to have room again; ``None``: all have room."""
        waits = [(self._free_at(upstream, window) - now, window) for window in limits.windows]
        seconds, window = max(waits, default=(0.0, None), key=lambda wait: wait[0])
        return Wait(seconds, "limit", f"limit {window}") if seconds > 0 else None

    def _free_at(self, upstream: str, window: Window) -> float:
        """When the request that is `count` back leaves the window."""
        row = self._db.execute(
            "SELECT at FROM sent WHERE upstream = ? ORDER BY at DESC LIMIT 1 OFFSET ?", (upstream, window.count - 1)
        ).fetchone()
        return row[0] + stretched_s(window) if row else 0.0

    def _record(self, upstream: str, limits: Limits, state: _State, now: float) -> None:
        if state.is_open:
            # This one is the probe. If it fails, or its process dies, the next may go after twice the rest.
            state.rest_s = min(2 * state.rest_s, LONGEST_REST_S)
            state.probe_at = now + state.rest_s
            self._save(upstream, state)
        if keep_s := self._remembered_s(upstream, remembered_s(limits), now):
            self._db.execute("DELETE FROM sent WHERE upstream = ? AND at < ?", (upstream, now - keep_s))
            self._db.execute("INSERT INTO sent VALUES (?, ?)", (upstream, now))

    def _remembered_s(self, upstream: str, own_s: float, now: float) -> float:
        """For how long the upstream's requests are kept; who has had the longest window counts for as long as that."""
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
            (upstream, state.blocked_until, state.blocked_why, state.troubles, state.rest_s, state.probe_at),
        )

    @contextmanager
    def _transaction(self) -> Iterator[float]:
        """A transaction that no other process is in; gives the time."""
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
            raise BudgetError(
                f"the file of request budgets, {self._path}, cannot be used: {error}. Make room if the disk is full; "
                f"if the file is damaged, delete it, and wait as long as the longest limit before the next run"
            ) from error


def remembered_s(limits: Limits) -> float:
    """For how long a request is remembered for these limits: their longest window, or the card's; 0: not at all."""
    return _stretched(max([limits.card_window_s, *(window.seconds for window in limits.windows)]))


def stretched_s(window: Window) -> float:
    """Seconds after which a window is taken to have room again: 4 % more, half a second at most.

    Requests sent apart may arrive closer together. What `BudgetStorage.late` tells of makes up for long delays; this
    is for those too short to be told, 30 ms in the crawler, and leaves 95 % of every window to be used.
    """
    return _stretched(window.seconds)


def _stretched(seconds: float) -> float:
    return seconds + min(0.04 * seconds, 0.5)


def _penalty(state: _State, now: float) -> Wait | None:
    if state.blocked_until <= now:
        return None
    return Wait(state.blocked_until - now, "penalty", state.blocked_why)


def _rest(state: _State, now: float) -> Wait | None:
    if not state.is_open or state.probe_at <= now:
        return None
    why = f"{state.troubles} failures in a row; it is asked again after a rest"
    return Wait(state.probe_at - now, "breaker", why)
