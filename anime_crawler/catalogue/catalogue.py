"""The catalogue as the event loop sees it: one writer thread, group commit, resolved only after COMMIT."""

from __future__ import annotations

import asyncio
import sys
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from anime_crawler.catalogue.engine import errors_explained, explain, open_engine
from anime_crawler.catalogue.errors import CatalogueError

__all__ = ["Catalogue", "CatalogueError"]

T = TypeVar("T")

GROUP_SIZE = 500
"""Most tasks in one transaction. The backend's receipts come by the thousand a second and share commits; a page of
items is one task."""

SWITCH_INTERVAL_S = 0.0005
"""How long a busy event loop may keep the interpreter lock that the writer waits for, several times a statement.
Python's 5 ms let four importers beside a busy loop commit 200 times a second, 0.5 ms 570 times (two cores)."""


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
    """

    def __init__(self, conn: Connection, loop: AbstractEventLoop, dry_run: bool) -> None:
        self._conn = conn
        self._loop = loop
        self._dry_run = dry_run
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="catalogue", daemon=True)
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, dry_run: bool = False) -> Catalogue:
        """The catalogue at DATABASE_URL, made or migrated when needed.

        Raises:
            CatalogueError: it cannot be opened, is damaged, or is newer than this program.
        """
        engine = open_engine(url)
        with errors_explained(engine.url):
            conn = engine.connect()
            if dry_run:
                # It lasts as long as the run: on PostgreSQL, where it need not, it keeps no other writer waiting.
                conn.execution_options(writes=conn.dialect.name == "sqlite").begin()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        catalogue = cls(conn, asyncio.get_running_loop(), dry_run)
        catalogue._thread.start()
        return catalogue

    async def write(self, fn: Callable[[Connection], T], *, durable: bool = True) -> T:
        """What `fn` gives back, once all it did is committed.

        Args:
            durable: over a power cut too. The frontier must never know more than the catalogue, so items are; a
                receipt need not be, for without it the same POST is sent again and changes nothing.

        Functions that wait at the same time share one transaction. When one of them raises, all are rolled back and
        each runs again alone: `fn` may run twice and must have no effects beyond the connection.

        Raises:
            CatalogueError: nothing of `fn` is stored: disk full, database gone or locked.
        """
        return await self._submit(fn, writes=True, durable=durable)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` gives back; it sees everything written before."""
        return await self._submit(fn, writes=False, durable=False)

    async def close(self) -> None:
        """Finish what waits, then close the database."""
        if not self._closed:
            self._closed = True
            self._tasks.put(None)
            await asyncio.to_thread(self._thread.join)

    async def _submit(self, fn: Callable[[Connection], T], writes: bool, durable: bool) -> T:
        if self._closed:
            raise CatalogueError("the catalogue is closed")
        task = _Task(fn, writes, durable, self._loop.create_future())
        self._tasks.put(task)
        result: T = await task.done
        return result

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
            with self._transaction(any(task.writes for task in tasks), any(task.durable for task in tasks)):
                for task in tasks:
                    task.result = task.run(self._conn)
        except Exception as error:  # whatever it is, it belongs to the one who waits for the task
            if len(tasks) == 1:
                tasks[0].error = self._explained(error)
                return
            for task in tasks:
                self._run([task])

    @contextmanager
    def _transaction(self, writes: bool, durable: bool) -> Iterator[None]:
        if self._dry_run:
            with self._conn.begin_nested():
                yield
        else:
            with self._conn.execution_options(writes=writes, durable=durable).begin():
                yield

    def _explained(self, error: Exception) -> Exception:
        if not isinstance(error, DBAPIError):
            return error
        explained = CatalogueError(explain(self._conn.engine.url, error))
        explained.__cause__ = error
        return explained


def _resolve(tasks: Sequence[_Task]) -> None:
    for task in tasks:
        if task.done.done():  # the one who waited was cancelled
            continue
        if task.error is not None:
            task.done.set_exception(task.error)
        else:
            task.done.set_result(task.result)
