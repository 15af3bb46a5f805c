"""Write-ahead logging of the SQLite files that processes share: who reads does not wait for who writes."""

from __future__ import annotations

import sqlite3
import time

PAUSE_S = 0.02  # the switch takes some 2 ms


def use_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    """Switch the file to write-ahead logging, for good.

    Where processes that open a new file at the same time meet in this, SQLite says "locked" without waiting, whatever
    the connection's timeout: then it is tried again.

    Raises:
        sqlite3.OperationalError: it cannot be done, or is not within the time.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(PAUSE_S)
