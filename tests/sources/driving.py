"""Drives a spider request by request, without a network: what it yields goes where the crawl would take it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from scrapy import Request
from scrapy.http import TextResponse
from scrapy.utils.asyncgen import as_async_generator
from scrapy.utils.request import fingerprint
from twisted.python.failure import Failure

from anime_crawler.base_spiders import OUT_OF_QUOTA, Action, GivenUp, SourceSpider, Verdict
from anime_crawler.catalogue.details import UNFINISHED
from anime_crawler.items import Absent, Anime, Checkpoint, Item, Rejected

Answer = Callable[[Request], TextResponse | None]
"""``None``: our own limits leave no room for the request, and it is not sent."""
OVER = Verdict(Action.GIVE_UP, OUT_OF_QUOTA, "rests until tomorrow")


class RecordingRun:
    """The `Run` protocol over plain Python values; the catalogue's rules for checkpoints are kept."""

    def __init__(self) -> None:
        self.id = 1
        self.is_new = True
        self.full_listing = False
        self.state: dict[str, Any] | None = None
        self.full_since: list[int] = []
        self.items: list[Item] = []
        self.rejected: list[Rejected] = []
        self.failures: list[Verdict] = []
        self.missed: list[tuple[str, str]] = []
        self.enoughs: list[str] = []
        self.drifted: Counter[tuple[str, str]] = Counter()
        self.wants: list[str] = []
        self.others = False
        self.asked: list[str] = []

    async def checkpoint(self) -> dict[str, Any] | None:
        return self.state

    async def wanted(self, limit: int, exclude: frozenset[str]) -> list[str]:
        known = {item.source_id for item in self.items}
        return [i for i in self.wants if i not in known and i not in exclude][:limit]

    async def unfinished(self) -> list[str]:
        last = {
            item.source_id: getattr(item, "status", None) for item in self.items if isinstance(item, Anime | Absent)
        }
        return sorted(own for own, status in last.items() if status in UNFINISHED)

    def more_may_come(self) -> bool:
        return self.others

    def progress(self, done: int, total: int | None) -> None:
        assert total is None or done >= 0

    def drift(self, path: str, change: str, count: int) -> None:
        self.drifted[path, change] += count

    def fail(self, verdict: Verdict) -> None:
        self.failures.append(verdict)

    def missing(self, kind: str, message: str) -> None:
        self.missed.append((kind, message))

    def enough(self, message: str) -> None:
        self.enoughs.append(message)

    def take(self, yielded: Item | Rejected | Checkpoint) -> None:
        """Store it as the catalogue does."""
        if isinstance(yielded, Rejected):
            self.rejected.append(yielded)
        elif isinstance(yielded, Item):
            self.items.append(yielded)
            self.drifted.update((problem, "unknown") for problem in yielded.not_understood)
        elif yielded.previous == self.state:
            self.asked += yielded.asked
            self.state = json.loads(json.dumps(yielded.state))
            self.full_since += [yielded.full_since] if yielded.full_since else []


def drive(spider: SourceSpider, run: RecordingRun, answer: Answer, *, kill_after: int = 10_000) -> list[Request]:
    """Let the spider make its requests until it has none, or until the process "dies".

    Args:
        kill_after: number of the request whose answer is stored, but whose following requests are lost.

    Returns:
        The requests that were made; those left `unfinished` say so in their meta.
    """
    return asyncio.run(_drive(spider, run, answer, kill_after))


async def _drive(spider: SourceSpider, run: RecordingRun, answer: Answer, kill_after: int) -> list[Request]:
    spider.run = run
    spider.crawler = SimpleNamespace(engine=SimpleNamespace(scheduler=SimpleNamespace(resumed=False)))  # type: ignore
    pending: list[Request] = []
    made: list[Request] = []
    known: set[bytes] = set()

    def add(request: Request) -> None:
        """As the frontier does: what was asked for before is dropped, unless it is not to be filtered."""
        if request.dont_filter or fingerprint(request) not in known:
            known.add(fingerprint(request))
            pending.append(request)

    async for first in spider.start():
        if isinstance(first, Request):
            add(first)
        else:
            run.take(first)
        while pending and len(made) < kill_after:
            made.append(pending.pop(0))
            async for yielded in as_async_generator(outcome_of(spider, made[-1], answer(made[-1]))):
                if isinstance(yielded, Request):
                    add(yielded)
                else:
                    run.take(yielded)
    return made


def outcome_of(spider: SourceSpider, request: Request, response: TextResponse | None) -> Any:
    """What the callback or the errback of the request gives for this answer: an iterable, perhaps an async one."""
    if response is None:
        request.meta["unfinished"] = True
        verdict = OVER
    else:
        response.request = request
        verdict = spider.judge(response)
    if verdict.action is Action.ACCEPT:
        return request.callback(response, **request.cb_kwargs)  # type: ignore[misc]
    failure = Failure(GivenUp(verdict, 1, response))
    failure.request = request  # type: ignore[attr-defined]
    return request.errback(failure)  # type: ignore[misc]


def json_response(document: Any, status: int = 200) -> TextResponse:
    """An answer of an API."""
    return TextResponse("https://x.test/", status=status, body=json.dumps(document).encode())
