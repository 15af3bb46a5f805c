"""`SharedClock` is shared by the processes of a machine, and a change of the system's time does not move it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

# This file exists on Linux. On other systems a reboot shows in the steady clock, which starts over.
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Linux's CLOCK_MONOTONIC stands still while the machine sleeps, and CLOCK_BOOTTIME does not. On other systems
# CLOCK_MONOTONIC goes on.
STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """`SystemClock` reads the machine's clocks."""

    def wall(self) -> float:
        """Unix time in seconds. People and NTP set this clock forward and back."""
        return time.time()

    def steady(self) -> float:
        """Seconds since the machine started. The clock is the same for all processes, and nobody sets it."""
        return time.clock_gettime(STEADY)

    def boot(self) -> str:
        """A text that changes with each start of the machine; empty on a system that has none."""
        return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""


class SharedClock:
    """`SharedClock` starts at the Unix time of the first call on this machine, and goes on with the steady clock.

    The anchor (Unix time minus steady time) is kept in the database whose times the clock gives.
    """

    SCHEMA = "CREATE TABLE IF NOT EXISTS clock (boot TEXT NOT NULL, anchor REAL NOT NULL, latest REAL NOT NULL)"

    def __init__(self, system: SystemClock) -> None:
        self._system = system
        self._boot = system.boot()

    def now(self, db: sqlite3.Connection) -> float:
        """The time, which is never before a time that the clock gave earlier. Call it inside a transaction."""
        steady = self._system.steady()
        boot, anchor, latest = db.execute("SELECT boot, anchor, latest FROM clock").fetchone() or ("none yet", 0.0, 0.0)
        now = anchor + steady
        if boot != self._boot or now < latest:
            # After a start of the machine only Unix time tells how long it was off. If Unix time lies before the latest
            # time, it was set back, and the clock assumes that no time has passed.
            now = max(self._system.wall(), latest)
        db.execute("DELETE FROM clock")
        db.execute("INSERT INTO clock VALUES (?, ?, ?)", (self._boot, now - steady, now))
        return now
