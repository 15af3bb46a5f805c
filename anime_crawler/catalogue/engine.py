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

from anime_crawler.catalogue.errors import CatalogueAwayError, CatalogueError
from anime_crawler.catalogue.migrations import migrate
from anime_crawler.catalogue.wal import use_wal
from anime_crawler.config import database_shown

BUSY_TIMEOUT_S = 30
"""How long one process waits for another's write. The longest transaction, a page of items, takes milliseconds."""

WRITER_LOCK = f"{0x616E696D6501} # hashtext(current_schema())"
"""PostgreSQL's name for "one process writes", as one does in SQLite. A catalogue is a schema of a database."""

IDLE_WRITER_S = 20
"""A writer that is paused, or whose machine is gone, in the midst of a transaction is ended by the server after this
time: nobody else could write. The longest pause of a living one, a busy interpreter, is some hundred milliseconds."""

AWAY = (
    "Connection refused",
    "timeout expired",
    "Name or service not known",
    "failed to resolve host",
    "could not translate host name",
    "Network is unreachable",
    "No route to host",
    "No such file or directory",
    "server closed the connection",
    "Connection reset",
    "starting up",
    "shutting down",
    "in recovery mode",
    "too many clients",
    "too many connections",
    "remaining connection slots",
)
"""How a failed attempt to connect is worded when the server is away or busy. It comes without an SQLSTATE; any other
words, such as those of a wrong password, mean that a person must act."""

AWAY_STATES = ("08", "57P", "25006", "25P03", "40", "55P03", "57014", "53000", "53200", "53300")
"""Beginnings of SQLSTATEs after which the same may succeed later: connection lost, server ended or restarted, a standby
that may only read, a paused transaction, deadlock, a lock or statement timeout of the server's own, no memory or no
connection left. A full disk (53100) is none of them: somebody has to make room."""

DAMAGED = ("malformed", "not a database", "file is encrypted")
"""How SQLite words a damaged file."""


def database(url: str) -> URL:
    """The database that DATABASE_URL means: driver chosen, ``~`` and relative paths resolved.

    Raises:
        CatalogueError: neither a SQLite file nor a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise CatalogueError(_say_forms("not a database address")) from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise CatalogueError(_say_forms(f"{backend} is not supported"))
    if parsed.host or parsed.username:
        raise CatalogueError(_say_forms("a SQLite file comes after three slashes"))
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
    engine = make_engine(url, create=create)
    with errors_explained(engine.url), engine.connect() as conn:
        migrate(conn)
    return engine


def make_engine(url: str, *, create: bool = True, application_name: str | None = None) -> Engine:
    """The same, not connected yet, so that locks can be taken before anything is migrated.

    Args:
        application_name: what others see of our session on PostgreSQL, which keeps 63 bytes of it. A session with a
            name holds locks: the server must not end it for being idle, and must notice when we are gone.
    """
    where = database(url)
    if where.get_backend_name() == "sqlite":
        _prepare_file(Path(where.database or ""), create)
        engine = _create(where)
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
        return engine
    if application_name:
        where = where.update_query_dict({"application_name": application_name[:63]})
    engine = _create(where)
    event.listen(engine, "connect", _check_encoding)
    event.listen(engine, "begin", _begin_postgres)
    if application_name:
        event.listen(engine, "connect", _set_session)
    return engine


def _create(where: URL) -> Engine:
    try:
        return create_engine(where, poolclass=NullPool, connect_args=_connect_args(where), hide_parameters=True)
    except (ArgumentError, ValueError):  # whose message repeats the value, which may be a password
        raise CatalogueError(_say_forms("an option after the ? has a value that it cannot have")) from None


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
        raise explained(url, error) from error


def explained(url: URL, error: DBAPIError) -> CatalogueError:
    """One message for a person: which database, what it said, what to do. The password is masked."""
    said = " ".join(str(error.orig).split())
    failed = f"the catalogue (DATABASE_URL={shown(url)}) failed: {said}."
    if _is_away(url, error, said):
        return CatalogueAwayError(f"{failed} The same command continues once the database runs and answers")
    return CatalogueError(f"{failed} {_advice(url, said)}")


def shown(url: URL) -> str:
    """The address without its password and without what we added to it."""
    return database_shown(url.difference_update_query(["application_name"]))


def _is_away(url: URL, error: DBAPIError, said: str) -> bool:
    if url.get_backend_name() == "sqlite":
        return False
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state.startswith(AWAY_STATES)
    return error.connection_invalidated or any(words in said for words in AWAY)


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
    # Seconds; a database that does not answer by then is down. What a server's own default is for us does not matter.
    return {"connect_timeout": 10, "client_encoding": "UTF8"}


def _check_encoding(connection: Any, _record: Any) -> None:
    """Titles are in every script there is: other encodings refuse them, or (SQL_ASCII) keep bytes without a meaning."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ("UTF8", None):
        name = connection.info.dbname
        raise CatalogueError(
            f"the database {name} of DATABASE_URL has the encoding {encoding}, and must have UTF8: make another with "
            f"CREATE DATABASE \"{name}_utf8\" ENCODING 'UTF8' TEMPLATE template0, and set DATABASE_URL to it"
        )


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN, see _begin; else DDL would not be transactional
    use_wal(connection, BUSY_TIMEOUT_S)
    for pragma in (
        "foreign_keys = ON",
        "cache_size = -16000",  # 16 MB; bounds memory, holds the upper index pages of 450,000 players
    ):
        connection.execute(f"PRAGMA {pragma}")


SESSION = """
    SELECT set_config(ours.name, ours.value, false) FROM pg_settings JOIN (VALUES
        ('idle_session_timeout', '0'),
        ('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '6')
    ) AS ours (name, value) ON pg_settings.name = ours.name
"""
"""Settings of a session that holds locks, those of them that this server's version knows. It stays while we wait for an
upstream; two minutes after our machine or the way to it is gone the server notices, and others may have the locks."""


def _set_session(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SESSION)
    connection.commit()


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
