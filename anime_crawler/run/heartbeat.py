"""A sign of life of each run, for `scrapy health`: its event loop turns, and it gets on."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from anime_crawler.run.report import RunReport

HEARTBEAT = Path("var/heartbeat")
"""Folder with one file for each run that is alive, ``<host>-<process id>``: several may work in one directory, and
several containers on one volume. Written every `HEARTBEAT_S` seconds, removed when the run ends. Holds the seconds
since the run last counted anything or knew what it waits for."""
HEARTBEAT_S = 5


class Heartbeat:
    """Beats from entering to leaving the context, unless the event loop is stuck."""

    def __init__(self, report: RunReport) -> None:
        self._report = report
        self._counted = -1
        self._moved_at = time.monotonic()

    def __enter__(self) -> Heartbeat:
        self._path = HEARTBEAT / f"{socket.gethostname()}-{os.getpid()}"
        self._file = self._open()
        # Whoever can have the lock knows that this process is gone; ids of processes come again.
        flock(self._file, LOCK_EX)
        self._task = asyncio.ensure_future(self._beat())
        return self

    def __exit__(self, *exc: object) -> None:
        self._task.cancel()
        self._path.unlink(missing_ok=True)
        os.close(self._file)
        with suppress(OSError):  # others are there
            HEARTBEAT.rmdir()

    def _open(self) -> int:
        while True:
            if HEARTBEAT.is_file():  # the one file of the version before
                HEARTBEAT.unlink(missing_ok=True)
            HEARTBEAT.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another run has just ended and removed the empty folder
                return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)

    async def _beat(self) -> None:
        while True:
            # One write of one width: whole at every instant, for it is read at any.
            os.pwrite(self._file, b"%010d" % self._idle_s(), 0)
            await asyncio.sleep(HEARTBEAT_S)

    def _idle_s(self) -> float:
        counted = sum(sum(names.values()) for names in self._report.counters.values())
        if counted != self._counted or self._report.waiting:  # a limit that is waited for is no standstill
            self._counted, self._moved_at = counted, time.monotonic()
        return time.monotonic() - self._moved_at


def heartbeats() -> Iterator[Path]:
    """The files of the runs on this machine that are alive; those of processes that are gone are removed."""
    if HEARTBEAT.is_file():  # of a run of the version before
        yield HEARTBEAT
        return
    for path in sorted(HEARTBEAT.glob(f"{socket.gethostname()}-*")):
        with suppress(FileNotFoundError), path.open() as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                yield path
            else:
                path.unlink(missing_ok=True)
