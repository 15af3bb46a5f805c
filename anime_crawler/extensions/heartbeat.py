"""A sign of life of the run's event loop, for `scrapy health`."""

from __future__ import annotations

import asyncio
from pathlib import Path

HEARTBEAT = Path("var/heartbeat")
"""Touched every `HEARTBEAT_S` seconds while a run is alive; removed when it ends."""
HEARTBEAT_S = 5


class Heartbeat:
    """Beats from entering to leaving the context, unless the event loop is stuck."""

    def __enter__(self) -> Heartbeat:
        HEARTBEAT.parent.mkdir(parents=True, exist_ok=True)
        self._task = asyncio.ensure_future(self._beat())
        return self

    def __exit__(self, *exc: object) -> None:
        self._task.cancel()
        HEARTBEAT.unlink(missing_ok=True)

    async def _beat(self) -> None:
        while True:
            touch()
            await asyncio.sleep(HEARTBEAT_S)


def touch() -> None:
    """Leave the sign of life."""
    HEARTBEAT.touch()
