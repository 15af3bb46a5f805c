"""Running a source's spider against recorded answers, without an engine: its own requests, its own callbacks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import requests
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import Action, SourceSpider, Verdict


@dataclass
class FakeRun:
    """A first run, with nothing stored yet, that remembers what the spider says."""

    ids: list[str] = field(default_factory=list)
    failures: list[Verdict] = field(default_factory=list)
    drifted: dict[str, str] = field(default_factory=dict)
    id: int = 1
    is_new: bool = True
    full_listing: bool = False

    async def checkpoint(self) -> None:
        return None

    async def unfinished(self) -> list[str]:
        return []

    async def wanted(self, limit: int, exclude: frozenset[str]) -> list[str]:
        return [i for i in self.ids if i not in exclude][:limit]

    def more_may_come(self) -> bool:
        return False

    def progress(self, done: int, total: int | None) -> None:
        """Nobody watches."""

    def drift(self, path: str, change: str, count: int) -> None:
        self.drifted[path] = change

    def fail(self, verdict: Verdict) -> None:
        self.failures.append(verdict)


@dataclass
class Upstream:
    """Where a source's answers come from: a recorded session, its address, its credentials by field name."""

    session: requests.Session
    base_url: str
    form_secrets: dict[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> TextResponse:
        """The answer to a spider's request, sent as the download handler would."""
        body = request.body
        if self.form_secrets:
            body += b"&" + urlencode(self.form_secrets).encode()
        headers = {name.decode(): b",".join(values).decode() for name, values in request.headers.items()}
        # Compressed, a token in the body would not be seen and so not be taken out of the cassette.
        headers |= {"Accept-Encoding": "identity", "User-Agent": "anime_crawler/contract-test"}
        got = self.session.request(request.method, request.url, data=body, headers=headers, timeout=30)
        return TextResponse(request.url, got.status_code, dict(got.headers), got.content, request=request)


def crawl(spider: SourceSpider, upstream: Upstream, run: FakeRun) -> Iterator[Any]:
    """What the spider yields, request by request; an answer that its judge does not accept ends it."""
    spider.run, spider.base_url = run, upstream.base_url
    spider.crawler = SimpleNamespace(engine=SimpleNamespace(scheduler=None))  # nothing is resumed
    waiting = deque(asyncio.run(gather(spider.start())))
    while waiting:
        request = waiting.popleft()
        response = upstream.answer(request)
        verdict = spider.judge(response)
        if verdict.action is not Action.ACCEPT:
            run.fail(verdict)
            return
        for thing in results(request, response):
            if isinstance(thing, Request):
                waiting.append(thing)
            else:
                yield thing


def results(request: Request, response: TextResponse) -> Iterable[Any]:
    """What the request's callback gives, whatever kind of function it is."""
    assert request.callback is not None
    given = request.callback(response, **request.cb_kwargs)
    return asyncio.run(gather(given)) if hasattr(given, "__aiter__") else given or []


async def gather(things: Any) -> list[Any]:
    """All of an asynchronous iterator."""
    return [thing async for thing in things]
