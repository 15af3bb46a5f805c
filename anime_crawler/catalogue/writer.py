"""The catalogue as the event loop sees it: one writer thread, group commit, resolved only after COMMIT."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio import AbstractEventLoop, Future
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from anime_crawler.catalogue.engine import errors_explained, explained, make_engine, shown
from anime_crawler.catalogue.errors import CatalogueAwayError, CatalogueError
from anime_crawler.catalogue.lock import Lock, give_back, hold_file, owner, take
from anime_crawler.catalogue.migrations import migrate

__all__ = ["Catalogue", "CatalogueAwayError", "CatalogueError"]

T = TypeVar("T")

GROUP_SIZE = 500
"""Most tasks in one transaction. The backend's receipts come by the thousand a second and share commits; a page of
items is one task."""

SWITCH_INTERVAL_S = 0.0005
"""How long a busy event loop may keep the interpreter lock that the writer waits for, several times a statement.
Python's 5 ms let four importers beside a busy loop commit 200 times a second, 0.5 ms 570 times (two cores)."""

PING_S = 5.0
"""How often a PostgreSQL server is asked whether our session still lives, so that a run that only waits hears of it."""

SILENT_S = 120.0
"""Longest time without any answer before the session counts as lost. The longest statement, one over all titles, takes
seconds; who waits for another writer does so for 20 s at most."""

LOST = (
    "Our session at the database is lost, and with it the locks and leases of this run, which therefore ends here. "
    "What is stored stays; the same command continues"
)


@dataclass(eq=False)
class _Task:
    """A function to run on the connection, and where its outcome goes."""

    run: Callable[[Connection], Any]
    writes: bool
    durable: bool
    done: Future[Any]
    result: Any = None
    error: Exception | None = None


class Catalogue:
    """All access of one process to its catalogue, in the order of the calls.

    With ``dry_run`` everything happens in one transaction that is rolled back at close: reads see what was written,
    and the database stays as it was.

    On PostgreSQL one session does everything and holds the run's locks and leases. When it is lost, nothing more can be
    written or read: a new session would go on without them, and nobody would know.
    """

    def __init__(self, conn: Connection, held: ExitStack, loop: AbstractEventLoop, dry_run: bool) -> None:
        self._conn = conn
        self._held = held
        self._loop = loop
        self._dry_run = dry_run
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="catalogue", daemon=True)
        self._closed = False
        self._lost: str | None = None
        self._pending: set[_Task] = set()
        self._watch: asyncio.Task[None] | None = None
        self.on_lost: Callable[[CatalogueAwayError], None] = lambda error: None
        """Called once, from the event loop, when the session is lost."""

    @classmethod
    async def open(cls, url: str, *, dry_run: bool = False, locks: Sequence[Lock] = ()) -> Catalogue:
        """The catalogue at DATABASE_URL, made or migrated when needed.

        Args:
            locks: held from before the migration until the catalogue is closed or its session is lost.

        Raises:
            CatalogueError: it cannot be opened, is damaged, or is newer than this program.
            LockHeld: another process has one of the locks.
        """
        engine = make_engine(url, application_name=owner())
        is_file = engine.dialect.name == "sqlite"
        with ExitStack() as held, errors_explained(engine.url):
            if is_file:
                for lock in locks:
                    held.enter_context(hold_file(engine.url, lock))
            conn = held.enter_context(engine.connect())
            if not is_file:
                with conn.begin():
                    for lock in locks:
                        take(conn, lock)
            migrate(conn)
            if dry_run:
                # It lasts as long as the run: on PostgreSQL, where it need not, it keeps no other writer waiting.
                conn.execution_options(writes=is_file).begin()
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            catalogue = cls(conn, held.pop_all(), asyncio.get_running_loop(), dry_run)
        catalogue._thread.start()
        if not is_file:
            catalogue._watch = asyncio.ensure_future(catalogue._watch_session())
        return catalogue

    @asynccontextmanager
    async def holding(self, lock: Lock) -> AsyncIterator[None]:
        """Hold one more lock for a while.

        Raises:
            LockHeld: another process has it.
        """
        if self._conn.dialect.name == "sqlite":
            with hold_file(self._conn.engine.url, lock):
                yield
            return
        await self.read(partial(take, lock=lock))
        try:
            yield
        finally:
            if self._lost is None:
                await self.read(partial(give_back, lock=lock))

    def check(self) -> None:
        """Raises CatalogueAwayError when the session is lost."""
        if self._lost is not None:
            raise CatalogueAwayError(self._lost)

    async def write(self, fn: Callable[[Connection], T], *, durable: bool = True) -> T:
        """`write` runs `fn` in a transaction and gives its result once everything it did is committed.

        Args:
            durable: over a power cut too. The frontier must never know more than the catalogue, so items are; a
                receipt need not be, for without it the same POST is sent again and changes nothing.

        Functions that wait at the same time share one transaction. When one of them raises, all are rolled back and
        each runs again alone: `fn` may run twice and must have no effects beyond the connection.

        Raises:
            CatalogueError: nothing of `fn` is stored: disk full, database gone or locked.
            CatalogueAwayError: the same; only when the session was lost during the commit itself nobody knows.
        """
        return await self._submit(fn, writes=True, durable=durable)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """`read` runs `fn`, which sees everything written before, and gives its result."""
        return await self._submit(fn, writes=False, durable=False)

    async def close(self) -> None:
        """Finish what waits, close the database, and give back all locks."""
        if not self._closed:
            self._closed = True
            if self._watch is not None:
                self._watch.cancel()
            self._tasks.put(None)
            await asyncio.to_thread(self._thread.join, SILENT_S if self._watch else None)
            if self._thread.is_alive():
                self._cut()
                await asyncio.to_thread(self._thread.join)
            self._held.close()

    async def _submit(self, fn: Callable[[Connection], T], writes: bool, durable: bool) -> T:
        if self._closed:
            raise CatalogueError("the catalogue is closed")
        self.check()
        task = _Task(fn, writes, durable, self._loop.create_future())
        self._pending.add(task)
        self._tasks.put(task)
        try:
            result: T = await task.done
        finally:
            self._pending.discard(task)
        return result

    async def _watch_session(self) -> None:
        """Ask for a sign of life now and then, until the session is lost."""
        try:
            while True:
                await asyncio.sleep(PING_S)
                async with asyncio.timeout(SILENT_S):
                    await self.read(lambda conn: conn.scalar(text("SELECT 1")))
        except CatalogueError:
            return
        except TimeoutError:
            address = shown(self._conn.engine.url)
            self._lose(f"the catalogue (DATABASE_URL={address}) has not answered for {SILENT_S:.0f} s. {LOST}")
            for task in self._pending:
                if not task.done.done():
                    task.done.set_exception(CatalogueAwayError(self._lost or LOST))
            self._cut()

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            self.on_lost(CatalogueAwayError(why))

    def _cut(self) -> None:
        """End the connection that the writer thread waits at: its socket, for nothing else can be done from here."""
        raw: Any = self._conn.connection.dbapi_connection
        with socket.socket(fileno=os.dup(raw.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)

    # --- from here on: the writer thread ---

    def _work(self) -> None:
        is_open = True
        while is_open:
            group = self._next_group()
            is_open = group[-1] is not None  # nothing comes after close
            tasks = [task for task in group if task is not None]
            self._run(tasks)
            self._loop.call_soon_threadsafe(_resolve, tasks)
        self._conn.close()  # rolls a dry run back

    def _next_group(self) -> Sequence[_Task | None]:
        group = [self._tasks.get()]
        while len(group) < GROUP_SIZE and not self._tasks.empty():
            group.append(self._tasks.get())
        return group

    def _run(self, tasks: Sequence[_Task]) -> None:
        try:
            self.check()  # SQLAlchemy would open a new session by itself
            with self._transaction(any(task.writes for task in tasks), any(task.durable for task in tasks)):
                for task in tasks:
                    task.result = task.run(self._conn)
        except Exception as error:  # whatever it is, it belongs to the one who waits for the task
            if self._conn.invalidated and self._lost is None:
                self._lose_from_thread(error)
            if len(tasks) == 1:
                tasks[0].error = self._explained(error)
                return
            for task in tasks:
                self._run([task])

    def _lose_from_thread(self, error: Exception) -> None:
        said = " ".join(str(getattr(error, "orig", error)).split())
        self._lost = f"the catalogue (DATABASE_URL={shown(self._conn.engine.url)}) failed: {said}. {LOST}"
        lost = CatalogueAwayError(self._lost)
        self._loop.call_soon_threadsafe(lambda: self.on_lost(lost))

    @contextmanager
    def _transaction(self, writes: bool, durable: bool) -> Iterator[None]:
        if self._dry_run:
            with self._conn.begin_nested():
                yield
        else:
            with self._conn.execution_options(writes=writes, durable=durable).begin():
                yield

    def _explained(self, error: Exception) -> Exception:
        if self._lost is not None:
            return CatalogueAwayError(self._lost)
        if not isinstance(error, DBAPIError):
            return error
        found = explained(self._conn.engine.url, error)
        found.__cause__ = error
        return found


def _resolve(tasks: Sequence[_Task]) -> None:
    for task in tasks:
        if task.done.done():  # the one who waited was cancelled
            continue
        if task.error is not None:
            task.done.set_exception(task.error)
        else:
            task.done.set_result(task.result)
