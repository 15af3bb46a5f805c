"""Runs `scrapy` in this process as if some days had gone by: ``python -m tests.e2e.later DAYS scrapy-arguments…``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

DAYS = timedelta(days=int(sys.argv[1]))


class Later(datetime):
    """The class whose `now` is later."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + DAYS


def set_forward(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() + DAYS.total_seconds()


def main() -> None:
    time.time = set_forward(time.time)
    from scrapy.cmdline import execute

    from anime_crawler.items import base
    from anime_crawler.run import job

    base.datetime = job.datetime = Later  # type: ignore[attr-defined,misc]
    execute(["scrapy", *sys.argv[2:]])


if __name__ == "__main__":
    main()
