"""One run at a time: a lock that dies with its owner, so that nobody has to clean up after a crash."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from anime_crawler.catalogue.engine import database, errors_explained
from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.sql import iso
from anime_crawler.items import utc_now


class LockHeld(Exception):  # noqa: N818  it is no fault: the other run is well
    """Another process holds the lock; the message says which."""


@contextmanager
def catalogue_lock(url: str, name: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock `name` of the catalogue at DATABASE_URL.

    Args:
        shared: where the database can, on PostgreSQL, others who say so too may hold it at the same time.

    Raises:
        LockHeld: at once, when another process has it.
        CatalogueError: the database, or the folder of its file, cannot be used.
    """
    where = database(url)
    is_file = where.get_backend_name() == "sqlite"
    with _hold_file(where, name) if is_file else _hold_advisory(where, name, shared):
        yield


@contextmanager
def _hold_file(where: URL, name: str) -> Iterator[None]:
    """A kernel lock on ``<db>.<name>.lock``; the file stays, its lock does not. Beside it, who holds it."""
    path = Path(f"{where.database}.{name}.lock")
    owner = path.with_suffix(".owner")
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        owner.write_text(_owner())
    except Timeout:
        raise LockHeld(_say(name, owner.read_text() if owner.exists() else "an unknown process")) from None
    except OSError as error:
        raise CatalogueError(f"DATABASE_URL: cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _hold_advisory(where: URL, name: str, shared: bool) -> Iterator[None]:
    """A session lock on a connection of its own: the server frees it when the process or its machine dies."""
    key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
    engine = create_engine(
        where.update_query_dict({"application_name": _owner()[:63]}),  # PostgreSQL keeps 63 bytes of it
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with errors_explained(where), engine.connect() as conn:
        attempt = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
        if not conn.scalar(text(f"SELECT {attempt}(:key)"), {"key": key}):
            holder = conn.scalar(text(HOLDER), {"high": (key >> 32) & 0xFFFFFFFF, "low": key & 0xFFFFFFFF})
            raise LockHeld(_say(name, holder or "an unknown process"))
        yield


HOLDER = """
    SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND classid = CAST(:high AS bigint) AND objid = CAST(:low AS bigint) AND granted
"""


def _owner() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {iso(utc_now())[:19]}Z"


def _say(name: str, owner: str) -> str:
    return f"another run holds the lock {name!r} of this catalogue: {owner}. Wait for it or stop it"
