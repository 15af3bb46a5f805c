"""A clock that a change of the system's time does not move, shared by the processes of a machine."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux; elsewhere a reboot shows by the steady clock starting over
# Linux's CLOCK_MONOTONIC stands still while the machine sleeps, CLOCK_BOOTTIME does not; elsewhere the first goes on.
STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Unix time in seconds; people and NTP set it forward and back."""
        return time.time()

    def steady(self) -> float:
        """Seconds since the machine started; the same for all its processes, never set."""
        return time.clock_gettime(STEADY)

    def boot(self) -> str:
        """Changes when the machine starts anew; "" where there is no such thing."""
        return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""


class SharedClock:
    """Unix time as it was when the machine's first process asked, going on with the steady clock from there.

    The anchor (Unix time minus steady time) lives in the database whose times it gives.
    """

    SCHEMA = "CREATE TABLE IF NOT EXISTS clock (boot TEXT NOT NULL, anchor REAL NOT NULL, latest REAL NOT NULL)"

    def __init__(self, system: SystemClock) -> None:
        self._system = system
        self._boot = system.boot()

    def now(self, db: sqlite3.Connection) -> float:
        """The time, never before any that it gave earlier. Call it in a transaction."""
        steady = self._system.steady()
        boot, anchor, latest = db.execute("SELECT boot, anchor, latest FROM clock").fetchone() or ("none yet", 0.0, 0.0)
        now = anchor + steady
        if boot != self._boot or now < latest:
            # After a start of the machine nothing but Unix time tells how long it was off. Where that lies before the
            # latest time it has been set back: no time has passed then, as far as we know.
            now = max(self._system.wall(), latest)
        db.execute("DELETE FROM clock")
        db.execute("INSERT INTO clock VALUES (?, ?, ?)", (self._boot, now - steady, now))
        return now
