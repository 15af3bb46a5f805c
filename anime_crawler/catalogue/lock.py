"""One run at a time: locks that die with their owner, so that nobody has to clean up after a crash.

On SQLite a lock is the kernel's, on a file beside the database. On PostgreSQL it belongs to a session of the server: a
session that ends loses all its locks at once, so whoever writes does so in the very session that holds them.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from anime_crawler.catalogue.engine import connect, database, errors_explained, make_engine
from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.sql import iso
from anime_crawler.items import utc_now


class LockHeld(Exception):  # noqa: N818  it is no fault: the other run is well
    """Another process holds the lock; the message says which."""


class Lock(NamedTuple):
    """One lock of a catalogue: of a database, and on PostgreSQL of the schema that our tables are in."""

    name: str
    shared_by: str | None = None
    """A name without blanks: processes with the same name hold the lock together. ``None``: one holds it alone."""


def delivery_lock(url: str, backend_address: str) -> Lock:
    """The lock of importers: on PostgreSQL those of one backend share it, because they lease titles; on SQLite one has
    it."""
    is_file = database(url).get_backend_name() == "sqlite"
    digest = blake2b(backend_address.encode(), digest_size=4).hexdigest()
    return Lock("deliver", None if is_file else f"importers-{digest}")


@contextmanager
def catalogue_lock(url: str, name: str, shared_by: str | None = None) -> Iterator[None]:
    """Hold a lock of the catalogue at DATABASE_URL, on PostgreSQL in a session of its own.

    Raises:
        LockHeld: at once, when another process has it and does not share it with us.
        CatalogueError: the database, or the folder of its file, cannot be used.
        CatalogueAwayError: at the end, when the session was lost meanwhile, and the lock with it.
    """
    where = database(url)
    if where.get_backend_name() == "sqlite":
        with hold_file(where, Lock(name, shared_by)):
            yield
        return
    engine = make_engine(url, application_name=owner())
    with errors_explained(engine.url), engine.connect() as conn:
        with conn.begin():
            take(conn, Lock(name, shared_by))
        yield
        conn.scalar(text("SELECT 1"))


@contextmanager
def connect_alone(url: str, name: str) -> Iterator[Connection]:
    """A write transaction on a catalogue that exists, for commands, in the session that holds the lock.

    Raises:
        LockHeld: another process has it.
    """
    where = database(url)
    is_file = where.get_backend_name() == "sqlite"
    with hold_file(where, Lock(name)) if is_file else nullcontext(), connect(url, writes=True) as conn:
        if not is_file:
            take(conn, Lock(name))
        yield conn


@contextmanager
def hold_file(where: URL, lock: Lock) -> Iterator[None]:
    """A kernel lock on ``<db>.<name>.lock``; the file stays, its lock does not. Beside it, who holds it.

    The database's own path, not that of a link to it: two names of one catalogue have one lock.
    """
    path = Path(f"{Path(where.database or '').resolve()}.{lock.name}.lock")
    holder = path.with_suffix(".owner")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise CatalogueError(f"DATABASE_URL: cannot write {path}: {error.strerror}") from error
    with file:  # its end, or the death of the process, gives the lock back
        try:
            _lock_file(file.fileno(), holder, lock.shared_by)
        except BlockingIOError:
            held_by = holder.read_text() if holder.exists() else "an unknown process"
            raise LockHeld(_say(lock.name, held_by)) from None
        except OSError as error:
            raise CatalogueError(f"DATABASE_URL: cannot write {holder}: {error.strerror}") from error
        yield


def _lock_file(file: int, holder: Path, shared_by: str | None) -> None:
    """Raises BlockingIOError: somebody has it who does not share it with us."""
    try:
        flock(file, LOCK_EX | LOCK_NB)
        holder.write_text(f"{shared_by} {owner()}" if shared_by else owner())
    except BlockingIOError:
        if shared_by is None:
            raise
        time.sleep(0.1)  # its owner has it alone for a moment before it shares it
    if shared_by is not None:
        flock(file, LOCK_SH | LOCK_NB)
        if not holder.read_text().startswith(f"{shared_by} "):
            raise BlockingIOError


HELD = """
    FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND CAST(classid AS bigint) << 32 | CAST(objid AS bigint) =
"""
"""Sessions that hold the lock of a number; `pg_locks` shows those of all databases, and a number in two halves."""

STRANGERS = text(f"""
    SELECT COALESCE(application_name, 'an unknown process') FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND pid IN (SELECT pid {HELD} :lock) AND pid NOT IN (SELECT pid {HELD} :group_lock)
""")  # noqa: S608  all of these are put together from our own words


def take(conn: Connection, lock: Lock) -> None:
    """Let the session of a PostgreSQL connection hold the lock until it gives it back or ends.

    Who shares it holds a second one that says by what: those who hold the first without it are strangers.

    Raises:
        LockHeld: see `catalogue_lock`.
    """
    numbers = _numbers(conn, lock)
    if lock.shared_by is not None:
        conn.execute(text("SELECT pg_advisory_lock_shared(:group_lock)"), numbers)
    shared = "" if lock.shared_by is None else "_shared"
    is_taken = conn.scalar(text(f"SELECT pg_try_advisory_lock{shared}(:lock)"), numbers)
    strangers = list(conn.scalars(STRANGERS, numbers))
    if is_taken and not strangers:
        return
    if is_taken:
        give_back(conn, lock)
    elif lock.shared_by is not None:
        conn.execute(text("SELECT pg_advisory_unlock_shared(:group_lock)"), numbers)
    raise LockHeld(_say(lock.name, next(iter(strangers), "an unknown process")))


def give_back(conn: Connection, lock: Lock) -> None:
    """Undo `take`."""
    if lock.shared_by is None:
        conn.execute(text("SELECT pg_advisory_unlock(:lock)"), _numbers(conn, lock))
        return
    unlock = text("SELECT pg_advisory_unlock_shared(:lock), pg_advisory_unlock_shared(:group_lock)")
    conn.execute(unlock, _numbers(conn, lock))


def _numbers(conn: Connection, lock: Lock) -> dict[str, int]:
    """PostgreSQL's names for the lock and for what it is shared by: advisory locks have numbers."""
    schema = conn.scalar(text("SELECT current_schema()"))
    words = {"lock": f"{schema} {lock.name}", "group_lock": f"{schema} {lock.name} shared by {lock.shared_by}"}
    return {
        name: int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), signed=True)
        for name, word in words.items()
    }


def owner() -> str:
    """This process, for those who are kept out."""
    return f"process {os.getpid()} on {socket.gethostname()} since {iso(utc_now())[:19]}Z"


def _say(name: str, held_by: str) -> str:
    return f"another run holds the lock {name!r} of this catalogue: {held_by}. Wait for it or stop it"
