"""A sign of life of the run, for `scrapy health`: its event loop turns, and it gets on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from anime_crawler.extensions.report import RunReport

HEARTBEAT = Path("var/heartbeat")
"""Written every `HEARTBEAT_S` seconds while a run is alive; removed when it ends. Holds the seconds since the run last
counted anything or knew what it waits for."""
HEARTBEAT_S = 5


class Heartbeat:
    """Beats from entering to leaving the context, unless the event loop is stuck."""

    def __init__(self, report: RunReport) -> None:
        self._report = report
        self._counted = -1
        self._moved_at = time.monotonic()

    def __enter__(self) -> Heartbeat:
        HEARTBEAT.parent.mkdir(parents=True, exist_ok=True)
        self._task = asyncio.ensure_future(self._beat())
        return self

    def __exit__(self, *exc: object) -> None:
        self._task.cancel()
        HEARTBEAT.unlink(missing_ok=True)

    async def _beat(self) -> None:
        while True:
            write(self._idle_s())
            await asyncio.sleep(HEARTBEAT_S)

    def _idle_s(self) -> float:
        counted = sum(sum(names.values()) for names in self._report.counters.values())
        if counted != self._counted or self._report.waiting:  # a limit that is waited for is no standstill
            self._counted, self._moved_at = counted, time.monotonic()
        return time.monotonic() - self._moved_at


def write(idle_s: float) -> None:
    """Leave the sign of life; whole at every instant, for it is read at any."""
    fresh = HEARTBEAT.with_suffix(".new")
    fresh.write_text(f"{idle_s:.0f}")
    fresh.replace(HEARTBEAT)
