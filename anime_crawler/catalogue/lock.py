"""One run at a time: a lock that dies with its owner, so that nobody has to clean up after a crash."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from hashlib import blake2b
from pathlib import Path

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
def catalogue_lock(url: str, name: str, shared_by: str | None = None) -> Iterator[None]:
    """Hold the lock `name` of the catalogue at DATABASE_URL.

    Args:
        shared_by: what the processes that may hold it together have in common; no blanks. ``None``: it is ours alone.

    Raises:
        LockHeld: at once, when another process has it and does not share it with us.
        CatalogueError: the database, or the folder of its file, cannot be used.
    """
    where = database(url)
    hold = _hold_file if where.get_backend_name() == "sqlite" else _hold_advisory
    with hold(where, name, shared_by):
        yield


def delivery_lock(url: str) -> AbstractContextManager[None]:
    """The lock of importers: on PostgreSQL they share it, because they claim titles; on SQLite one has it."""
    is_file = database(url).get_backend_name() == "sqlite"
    return catalogue_lock(url, "deliver", None if is_file else "importers")


@contextmanager
def _hold_file(where: URL, name: str, shared_by: str | None) -> Iterator[None]:
    """A kernel lock on ``<db>.<name>.lock``; the file stays, its lock does not. Beside it, who holds it."""
    path = Path(f"{where.database}.{name}.lock")
    owner = path.with_suffix(".owner")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise CatalogueError(f"DATABASE_URL: cannot write {path}: {error.strerror}") from error
    with file:  # its end, or the death of the process, gives the lock back
        try:
            _lock_file(file.fileno(), owner, shared_by)
        except BlockingIOError:
            raise LockHeld(_say(name, owner.read_text() if owner.exists() else "an unknown process")) from None
        except OSError as error:
            raise CatalogueError(f"DATABASE_URL: cannot write {owner}: {error.strerror}") from error
        yield


def _lock_file(file: int, owner: Path, shared_by: str | None) -> None:
    """Raises BlockingIOError: somebody has it who does not share it with us."""
    try:
        flock(file, LOCK_EX | LOCK_NB)
        owner.write_text(_owner(shared_by))
    except BlockingIOError:
        if shared_by is None:
            raise
        time.sleep(0.1)  # its owner has it alone for a moment before it shares it
    if shared_by is not None:
        flock(file, LOCK_SH | LOCK_NB)
        if not owner.read_text().startswith(f"{shared_by} "):
            raise BlockingIOError


@contextmanager
def _hold_advisory(where: URL, name: str, shared_by: str | None) -> Iterator[None]:
    """A session lock on a connection of its own: the server frees it when the process or its machine dies."""
    key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
    engine = create_engine(
        where.update_query_dict({"application_name": _owner(shared_by)[:63]}),  # PostgreSQL keeps 63 bytes of it
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    take = "pg_try_advisory_lock" if shared_by is None else "pg_try_advisory_lock_shared"
    with errors_explained(where), engine.connect() as conn:
        is_taken = conn.scalar(text(f"SELECT {take}(:key)"), {"key": key})
        place = {"high": (key >> 32) & 0xFFFFFFFF, "low": key & 0xFFFFFFFF}
        holders = list(conn.scalars(text(HOLDERS), place))
        strangers = [holder for holder in holders if shared_by is None or not holder.startswith(f"{shared_by} ")]
        if not is_taken or (shared_by is not None and strangers):
            raise LockHeld(_say(name, next(iter(strangers or holders), "an unknown process")))
        yield


HOLDERS = """
    SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND classid = CAST(:high AS bigint) AND objid = CAST(:low AS bigint) AND granted
    AND pid <> pg_backend_pid()
"""


def _owner(shared_by: str | None) -> str:
    group = f"{shared_by} " if shared_by else ""
    return f"{group}process {os.getpid()} on {socket.gethostname()} since {iso(utc_now())[:19]}Z"


def _say(name: str, owner: str) -> str:
    return f"another run holds the lock {name!r} of this catalogue: {owner}. Wait for it or stop it"
