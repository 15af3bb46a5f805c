"""Scrapy, Twisted and the event loop log errors that they cannot handle, and go on; such a run does not end as done."""

from __future__ import annotations

import logging
from typing import Self

ENGINES = ("scrapy", "twisted", "asyncio")
"""Loggers of those who log what they cannot handle: a request, an item, a signal's receiver, a task that failed. Other
libraries log errors that whoever called them handles."""


class LoggedErrors(logging.Handler):
    """Counts them from entering to leaving the context."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0

    def __enter__(self) -> Self:
        logging.root.addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += record.name.partition(".")[0] in ENGINES
