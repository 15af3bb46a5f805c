"""The sandbox as a function of Scrapy's requests, in this process: real answers of a world that tests move."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.http import HtmlResponse, TextResponse

from anime_crawler.sandbox.server.faults import Fault
from anime_crawler.sandbox.server.services import TOKENS, Options, Services
from anime_crawler.sandbox.server.wire import Call
from anime_crawler.sandbox.world.elsewhere import SHARES, known_at
from anime_crawler.sources import cards


class Upstream:
    """One upstream of a sandbox.

    Args:
        before: called before each answer with the request; moves the world.
        now: the world's present in seconds since 1970; a moment ago unless it is said.
    """

    base_url = "https://x.test"
    """What the upstream takes for its own address, in links and redirects."""

    def __init__(
        self,
        source: str,
        titles: int,
        before: Callable[[Request], None] = lambda request: None,
        now: int | None = None,
    ) -> None:
        self.source = source
        self.before = before
        self.services = Services(Options(titles=titles, seed=2, enforced=False, now=now or int(time.time()) - 300))
        self.base_path = urlsplit(cards()[source].base_url).path
        self.asked: list[Request] = []

    def known(self) -> set[str]:
        """Ids of what the source lists: materials of Kodik, titles of all others."""
        world = self.services.world
        if self.source == "kodik":
            return set(world.materials)
        if self.source in SHARES:
            return set(known_at(self.source, world))
        return {str(title.id) for title in world.titles.values() if title.at_shikimori}

    def remove(self) -> None:
        """One title is no more."""
        self.services.mutator.apply("remove_title", {})

    def add(self, count: int = 1) -> None:
        """New titles, that many of which the source knows."""
        before = len(self.known())
        while len(self.known()) < before + count:
            self.services.mutator.apply("new_title", {})

    def fault(self, kind: str, **options: object) -> None:
        """Trouble from now on; see `Fault`."""
        self.services.faults.active.append(Fault(service=self.source, kind=kind, **options))  # type: ignore[arg-type]

    def calm(self) -> None:
        """No more trouble."""
        self.services.faults.active.clear()

    def __call__(self, request: Request) -> TextResponse:
        self.before(request)
        self.asked.append(request)
        parts = urlsplit(request.url)
        headers = {name.decode().lower(): values[0].decode() for name, values in request.headers.items()}
        headers |= {"user-agent": "anime_crawler tests"}
        body = request.body
        if self.source in TOKENS:
            headers["authorization"] = f"Bearer {TOKENS[self.source]}"
        if self.source == "kodik":
            body += f"&token={TOKENS[self.source]}".encode()
        path = parts.path.removeprefix(self.base_path)
        call = Call(self.source, request.method, path, parts.query, headers, body, self.base_url)
        fault, upstream = self.services.faults.pick(call), self.services.upstreams[self.source]
        reply = fault.apply(call, lambda: upstream.answer(call)) if fault else upstream.answer(call)
        kind = HtmlResponse if "html" in reply.content_type else TextResponse
        return kind(request.url, status=reply.status, body=reply.body, headers=reply.headers, request=request)
