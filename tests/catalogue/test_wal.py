"""Files that several processes open at the same time, new or not."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from anime_crawler.catalogue.wal import use_wal


@pytest.fixture
def held(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Reads a new file, so that no other may switch it just now."""
    with closing(sqlite3.connect(tmp_path / "file", isolation_level=None, check_same_thread=False)) as db:
        db.executescript("CREATE TABLE some (n)")
        db.execute("BEGIN")
        db.execute("SELECT * FROM some").fetchall()
        yield db


def test_a_switch_waits_where_sqlite_does_not(held: sqlite3.Connection, tmp_path: Path) -> None:
    release = threading.Timer(0.2, held.rollback)
    release.start()
    with closing(sqlite3.connect(tmp_path / "file", timeout=0)) as db:
        use_wal(db, 30)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    release.join()


def test_a_switch_that_cannot_be_is_said_so(held: sqlite3.Connection, tmp_path: Path) -> None:
    """Held by another for longer than the time; no database at all."""
    with (
        closing(sqlite3.connect(tmp_path / "file", timeout=0)) as db,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        use_wal(db, 0.1)
    (tmp_path / "text").write_text("no database" * 100)
    with closing(sqlite3.connect(tmp_path / "text")) as db, pytest.raises(sqlite3.DatabaseError, match="not a data"):
        use_wal(db, 30)
