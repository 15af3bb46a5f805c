"""From DATABASE_URL to a database at the newest schema: one SQLAlchemy engine for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.migrations import migrate
from anime_crawler.wal import use_wal

BUSY_TIMEOUT_S = 30
"""How long one process waits for another's write. The longest transaction, a page of items, takes milliseconds."""

WRITER_LOCK = 0x616E696D6501
"""PostgreSQL's name for "one process writes", as one does in SQLite."""

IDLE_WRITER_S = 20
"""A writer that is paused, or whose machine is gone, in the midst of a transaction is ended by the server after this
time: nobody else could write. The longest pause of a living one, a busy interpreter, is some hundred milliseconds."""

DAMAGED = ("malformed", "not a database", "file is encrypted")
"""How SQLite words a damaged file."""


def database(url: str) -> URL:
    """The database that DATABASE_URL means: driver chosen, ``~`` and relative paths resolved.

    Raises:
        CatalogueError: neither a SQLite file nor a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise CatalogueError(_say_forms("not a database address")) from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise CatalogueError(_say_forms(f"{backend} is not supported"))
    if not parsed.database or parsed.database == ":memory:":
        raise CatalogueError(_say_forms("a SQLite catalogue needs a file"))
    return parsed.set(drivername="sqlite", database=str(Path(parsed.database).expanduser().absolute()))


def open_engine(url: str, *, create: bool = True) -> Engine:
    """An engine on the catalogue, its schema at head.

    Args:
        url: DATABASE_URL.
        create: make the file and its folders when missing; commands that only look pass False.

    Raises:
        CatalogueError: no such catalogue, damaged, newer than this program, or not reachable.
    """
    where = database(url)
    if where.database and where.get_backend_name() == "sqlite":
        _prepare_file(Path(where.database), create)
    engine = create_engine(where, poolclass=NullPool, connect_args=_connect_args(where))
    if where.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    else:
        event.listen(engine, "begin", _begin_postgres)
    with errors_explained(where), engine.connect() as conn:
        migrate(conn)
    return engine


@contextmanager
def connect(url: str, *, writes: bool = False) -> Iterator[Connection]:
    """A transaction on a catalogue that exists, for commands: committed at the end, rolled back on an exception."""
    engine = open_engine(url, create=False)
    with errors_explained(engine.url), engine.connect() as conn, conn.execution_options(writes=writes).begin():
        yield conn


@contextmanager
def errors_explained(url: URL) -> Iterator[None]:
    """Turns database errors into `CatalogueError`, with the database named and what to do about it."""
    try:
        yield
    except DBAPIError as error:
        raise CatalogueError(explain(url, error)) from error


def explain(url: URL, error: DBAPIError) -> str:
    """One message for a person: which database, what it said, what to do. The password is masked."""
    said = " ".join(str(error.orig).split())
    return (
        f"the catalogue (DATABASE_URL={url.render_as_string(hide_password=True)}) failed: {said}. {_advice(url, said)}"
    )


def _advice(url: URL, said: str) -> str:
    if url.get_backend_name() != "sqlite":
        return "See whether the database runs, its disk has room, and user and password are right; then start again"
    if any(word in said for word in DAMAGED):
        path = url.database
        return (
            f"The file is damaged. Save what is left with `sqlite3 {path} .recover | sqlite3 recovered.db` and put "
            f"recovered.db in its place, or move {path} and its -wal and -shm files away: the next run builds it anew"
        )
    if "locked" in said:
        return "Another program holds it; end that one, then start again"
    return (
        "See whether the disk has room and the file is writable, then start again: the run continues where it stopped"
    )


def _say_forms(why: str) -> str:
    return (
        f"DATABASE_URL: {why}; wanted is a SQLite file or a PostgreSQL database, "
        "for example sqlite:///var/anime.db or postgresql://user:password@localhost/anime"
    )


def _prepare_file(path: Path, create: bool) -> None:
    if not create and not path.exists():
        raise CatalogueError(
            f"there is no catalogue at {path} (DATABASE_URL): run `scrapy crawl` first, or set DATABASE_URL to yours"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogueError(f"DATABASE_URL: cannot make the folder of {path}: {error.strerror}") from error


def _connect_args(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        # Opened in one thread, used by the writer thread, never by two at once.
        return {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    return {"connect_timeout": 10}  # seconds; a database that does not answer by then is down


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN, see _begin; else DDL would not be transactional
    use_wal(connection, BUSY_TIMEOUT_S)
    for pragma in (
        "foreign_keys = ON",
        "cache_size = -16000",  # 16 MB; bounds memory, holds the upper index pages of 450,000 players
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(conn: Connection) -> None:
    # A writer must say so at once: a read transaction that turns writer fails without waiting when another wrote.
    options = conn.get_execution_options()
    # FULL is durable over a power cut too, for an fsync a commit; NORMAL over the death of the process.
    synchronous = "FULL" if options.get("durable", True) else "NORMAL"
    if conn.info.get("synchronous") != synchronous:
        conn.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
        conn.info["synchronous"] = synchronous
    conn.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")


def _begin_postgres(conn: Connection) -> None:
    """One writer at a time: then no two can wait for each other, and what was read holds until it is written."""
    options = conn.get_execution_options()
    if options.get("writes"):
        commit = "on" if options.get("durable", True) else "off"  # off: a power cut may take the last 0.6 s
        conn.exec_driver_sql(
            f"SELECT set_config('idle_in_transaction_session_timeout', '{IDLE_WRITER_S}s', true), "
            f"set_config('synchronous_commit', '{commit}', true), pg_advisory_xact_lock({WRITER_LOCK})"
        )
