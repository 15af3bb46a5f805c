"""A real reference backend on a real port, and payloads that it accepts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import aiohttp
import requests
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from anime_crawler.reference_backend import Faults, create_app
from anime_crawler.reference_backend.server import listen, make_server

END_S = 30
TOKEN = "correct-horse-battery-staple"
IMPORT = "/api/v1/internal/import"
SOURCE = "kodik-shikimori"


class Client:
    """Talks to one running backend as its importer and as its administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["X-Internal-Token"] = TOKEN

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Any request; redirects are not followed."""
        return self.session.request(method, self.url + path, allow_redirects=False, timeout=30, **options)

    def post(self, route: str, body: Any, **options: Any) -> requests.Response:
        """An import POST."""
        return self.send("POST", f"{IMPORT}/{route}", json=body, **options)

    def ok(self, route: str, body: Any) -> Any:
        """An import POST that must succeed; its answer."""
        answer = self.post(route, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, **query: str) -> Any:
        """Something below ``/_reference``."""
        answer = self.send("GET", f"/_reference/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def anime(self, source_id: str = "1") -> Any:
        """The stored anime; None: there is none."""
        found = self.get("anime", source_name=SOURCE, source_id=source_id)
        return found[0] if found else None

    def episodes(self, source_id: str = "1") -> Any:
        """The stored episodes."""
        return self.get("episodes", source_name=SOURCE, source_id=source_id)

    def videos(self, episode_id: str = "1:1") -> Any:
        """The stored players of an episode, in public order."""
        return self.get("videos", source_name=SOURCE, source_episode_id=episode_id)

    def dump(self, **query: str) -> bytes:
        """The dump's bytes."""
        return self.send("GET", "/_reference/dump", params=query).content

    def stats(self) -> Any:
        """The counters."""
        return self.get("stats")

    def faults(self, **faults: Any) -> None:
        """Replace the fault switches."""
        answer = self.send("POST", "/_reference/faults", json=faults)
        assert answer.status_code == 200, answer.text

    def rule(self, name: str, **more: Any) -> None:
        """One fault rule."""
        self.faults(rules=[{"name": name, **more}])

    def admin(self, **change: Any) -> None:
        """Flip an administrator's switch."""
        answer = self.send("POST", "/_reference/admin", json={"source_name": SOURCE, **change})
        assert answer.status_code == 200, answer.text

    def title(self, source_id: str = "1", episodes: int = 1) -> None:
        """An anime with episodes 1, 2, …"""
        self.ok("anime", anime(source_id))
        self.ok("episodes", episode_list(source_id, *range(1, episodes + 1)))

    def at_once(self, *posts: tuple[str, Any]) -> list[tuple[int, str]]:
        """Status and body of POSTs that are all sent before one is answered; ``(0, error)``: no answer."""
        return asyncio.run(self._at_once(posts))

    def meeting(self, *posts: tuple[str, Any], **faults: Any) -> list[tuple[int, str]]:
        """The same of POSTs that certainly meet: a lock holds them until all have come to it.

        Args:
            faults: further switches that are in force, then and afterwards.
        """
        self.faults(rules=[{"name": "lock"}], **faults)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.at_once, *posts)
            self.until_held(len(posts))
            self.faults(**faults)
            return waiting.result()

    def until_held(self, posts: int) -> None:
        """Wait until the lock has so many."""
        until(lambda: self.stats()["faults"].get("lock", 0) == posts)

    async def _at_once(self, posts: tuple[tuple[str, Any], ...]) -> list[tuple[int, str]]:
        headers = {"X-Internal-Token": TOKEN}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            return await asyncio.gather(*(_send(session, route, body) for route, body in posts))


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to happen; not for ever, so that a test that hangs says where."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


async def _send(session: aiohttp.ClientSession, route: str, body: Any) -> tuple[int, str]:
    try:
        async with session.post(f"{IMPORT}/{route}", json=body) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientError as error:
        return 0, type(error).__name__


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The address of an application that a thread serves."""
    with listen("127.0.0.1", 0) as listener:
        server = make_server(app, log_level="error")
        # A daemon: should it ever hang, its tests fail, and the process still ends.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(END_S)
            assert not thread.is_alive(), "the server did not end"


@contextmanager
def running(
    database_url: str = "sqlite://", prefix: str = "", faults: Faults | None = None, dev: bool = False
) -> Iterator[Client]:
    """A backend, mounted under `prefix` if there is one."""
    app = create_app(database_url, TOKEN, faults, dev=dev)
    outer = Starlette(routes=[Mount(prefix, app)]) if prefix else app
    with serving(outer) as url:
        client = Client(url + prefix)
        try:
            yield client
        finally:
            client.session.close()
    if prefix:
        app.state.backend.store.writer.close()


def anime(source_id: str = "1", **values: Any) -> dict[str, Any]:
    """A body for ``anime``."""
    return {"source_name": SOURCE, "source_id": source_id, "title": f"Title {source_id}", **values}


def episode_list(source_id: str, *numbers: int, **values: Any) -> dict[str, Any]:
    """A body for ``episodes``."""
    entries = [{"source_episode_id": f"{source_id}:{number}", "number": number, **values} for number in numbers]
    return {"source_name": SOURCE, "anime_source_id": source_id, "episodes": entries}


def video(
    episode_id: str = "1:1", url: str = "https://player.example/seria/1/ab/720p", **player: Any
) -> dict[str, Any]:
    """A body for ``video``."""
    values = {"type": "iframe", "url": url, "source_name": "kodik", **player}
    return {"source_name": SOURCE, "source_episode_id": episode_id, "player": values}
