"""`Writer` runs the transactions of POSTs one after the other.

POSTs that come together are committed together, and each is answered after its commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, MetaData, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from anime_crawler.catalogue.wal import use_wal
from anime_crawler.reference_backend.errors import RefusedError

T = TypeVar("T")
Work = Callable[[Connection], Any]

BUSY_S = 30  # as long as the catalogue waits
SQLITE_PRAGMAS = (
    "synchronous=NORMAL",  # a committed row survives the death of the process; 20 times faster than FULL
    f"busy_timeout={1000 * BUSY_S}",  # the catalogue may live in the same file and write too
    "wal_autocheckpoint=16000",  # pages; a checkpoint waits for the disk, which at the default 1,000 halves the speed
    "cache_size=-32000",  # KiB; the index of 450,000 players stays in memory
)


class DatabaseError(Exception):
    """`Writer` raises this if the database cannot be opened.

    The message names DATABASE_URL, without its password, and the cause.
    """


class Writer:
    """`Writer` runs functions on the database in the order in which they come.

    Args:
        url: address of a SQLite file, ``sqlite://`` (memory) or PostgreSQL.
        metadata: tables to create if they are missing.
        on_rollback: is called at the start of the next transaction after one that was undone.

    Raises:
        DatabaseError: if the database cannot be opened.
    """

    def __init__(self, url: str, metadata: MetaData, on_rollback: Callable[[Connection], None]) -> None:
        self._on_rollback = on_rollback
        self._undone = False
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._draining: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reference-backend")
        self._engine: Engine = self._thread.submit(_open, url, metadata).result()

    @property
    def dialect(self) -> Dialect:
        """The database's dialect, for which statements are compiled."""
        return self._engine.dialect

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, and return its result once it is committed.

        Raises:
            RefusedError: if `work` raised it, before it wrote anything.
            Exception: the driver's or SQLAlchemy's, if either failed; then nothing of `work` is stored.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await future

    def run_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as `run` does, for code outside an event loop."""
        (outcome,) = self._thread.submit(self._commit, [work]).result()
        return _unwrap(outcome)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connection and end the thread."""
        self._thread.submit(self._engine.dispose)
        self._thread.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            works = [work for work, _ in batch]
            # A commit to a file takes less time than a thread's hand-over. For a server, the thread does the waiting.
            in_place = self._engine.dialect.name == "sqlite" and self._engine.url.database
            outcomes = (
                self._commit(works) if in_place else await loop.run_in_executor(self._thread, self._commit, works)
            )
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                _settle(future, outcome)
        self._draining = None

    def _commit(self, works: list[Work]) -> list[Any]:
        """The result of each function, or the exception that it raised. One that fails does not undo the others."""
        try:
            with self._engine.begin() as connection:
                if self._undone:
                    self._on_rollback(connection)
                    self._undone = False
                return [_outcome(work, connection) for work in works]
        except Exception as error:
            self._undone = True
            if len(works) == 1:
                return [error]
            return [outcome for work in works for outcome in self._commit([work])]


def _outcome(work: Work, connection: Connection) -> Any:
    try:
        return work(connection)
    except RefusedError as refusal:
        return refusal


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():  # the request was cancelled, which does not undo the commit
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _unwrap(outcome: Any) -> Any:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _open(url: str, metadata: MetaData) -> Engine:
    try:
        engine = _engine(make_url(url))
        metadata.create_all(engine)
    except (ArgumentError, SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise DatabaseError(f"DATABASE_URL: cannot open {_shown(url)}: {cause}") from None
    return engine


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the given text"


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        driver = "postgresql+psycopg" if url.drivername == "postgresql" else url.drivername
        return create_engine(url.set(drivername=driver), pool_pre_ping=True)  # the server may have been restarted
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, paramstyle="named")
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins transactions, not the driver
    use_wal(connection, BUSY_S)
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE waits for another writer here, where busy_timeout holds, and not in mid-transaction, where it does not.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
