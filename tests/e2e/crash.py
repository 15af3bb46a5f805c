"""Runs `scrapy` in this process and kills it at the n-th time a durable step is reached.

    python -m tests.e2e.crash STEP N scrapy-arguments…      kill at the n-th arrival at STEP
    python -m tests.e2e.crash count FILE scrapy-arguments…  run to the end, write how often each step was reached

The steps are wrapped from outside, so that the program has no switch for its own death.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STEPS = (
    "catalogue commit before",
    "catalogue commit after",
    "frontier commit before",
    "frontier commit after",
    "post before",
    "post after",
    "ack before",
    "ack after",
)

reached: Counter[str] = Counter()


def at(step: str) -> None:
    """Note that `step` was reached; die if this is the time."""
    reached[step] += 1
    if step == sys.argv[1] and reached[step] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, step: str) -> None:
    """Pass `step` before and after every call of a method."""
    method: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        at(f"{step} before")
        result = method(*args, **kwargs)
        at(f"{step} after")
        return result

    setattr(owner, name, wrapped)


def around_async(owner: Any, name: str, step: str) -> None:
    """The same for a coroutine method."""
    method: Callable[..., Any] = getattr(owner, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        at(f"{step} before")
        result = await method(*args, **kwargs)
        at(f"{step} after")
        return result

    setattr(owner, name, wrapped)


def around_transaction(owner: Any, name: str, step: str) -> None:
    """Pass `step` before and after the commit that ends each use of a context manager."""
    method: Callable[..., Any] = getattr(owner, name)

    @contextmanager
    def wrapped(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with method(*args, **kwargs) as value:
            yield value
            at(f"{step} before")
        at(f"{step} after")

    setattr(owner, name, wrapped)


def main() -> None:
    from sqlalchemy.engine.default import DefaultDialect

    from anime_crawler.backend.client import BackendClient
    from anime_crawler.frontier.sqlite_store import SqliteStore

    around(DefaultDialect, "do_commit", "catalogue commit")
    around_transaction(SqliteStore, "_transaction", "frontier commit")
    around(SqliteStore, "ack", "ack")
    around_async(BackendClient, "post", "post")

    from scrapy.cmdline import execute

    try:
        execute(["scrapy", *sys.argv[3:]])
    finally:
        if sys.argv[1] == "count":
            Path(sys.argv[2]).write_text(json.dumps(reached))


if __name__ == "__main__":
    main()
