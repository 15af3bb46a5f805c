"""A real HTTP server on loopback that behaves as badly as a test asks."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BOMB = gzip.compress(gzip.compress(bytes(64 * 2**20)))  # 64 MB of zeros in some hundred bytes, packed twice


@dataclass
class Arrival:
    """One request as the server saw it."""

    at: float
    path: str
    body: str
    headers: dict[str, str]


@dataclass
class UpstreamServer:
    """What it was asked; answers of paths that the test has set, else by the first part below ``/`` or ``/api/``."""

    url: str = ""
    arrivals: list[Arrival] = field(default_factory=list)
    answers: dict[str, list[web.Response]] = field(default_factory=dict)
    """Path -> answers, given in turn; the last one stays."""
    in_flight: int = 0
    most_in_flight: int = 0

    def at(self, path: str) -> list[Arrival]:
        """Requests for one path."""
        return [arrival for arrival in self.arrivals if arrival.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        self.arrivals.append(Arrival(time.monotonic(), request.path, body, dict(request.headers)))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        _, kind, *rest = request.path.removeprefix("/api").split("/")
        if request.path in self.answers:
            turns = self.answers[request.path]
            return _copy(turns.pop(0) if len(turns) > 1 else turns[0])
        if kind == "status":
            return web.Response(status=int(rest[0]), text="{}")
        if kind == "delay":
            await asyncio.sleep(float(rest[0]))
        if kind == "meet":  # so many are here at once, or come within a minute; then time for one too many
            async with asyncio.timeout(60):
                while self.most_in_flight < int(rest[0]):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
        if kind in BAD:
            return await BAD[kind](request)
        return web.Response(text="{}")


def _copy(answer: web.Response) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


async def _silence(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def _drip(request: web.Request) -> web.StreamResponse:
    """Headers at once, then a byte every 0.2 s: no pause is long, the whole is."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    for _ in range(1000):
        await response.write(b"x")
        await asyncio.sleep(0.2)
    return response


async def _drop(request: web.Request) -> web.StreamResponse:
    request.transport.abort()
    return web.Response()


async def _truncate(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half")
    request.transport.close()
    return response


async def _bomb(request: web.Request) -> web.StreamResponse:
    return web.Response(body=BOMB, headers={"Content-Encoding": "gzip, gzip"})


async def _not_gzip(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\x1f\x8bthis is not gzip", headers={"Content-Encoding": "gzip"})


async def _large(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for _ in range(200):
        await response.write(bytes(2**20))
    return response


BAD: dict[str, Any] = {
    "silence": _silence,
    "drip": _drip,
    "drop": _drop,
    "truncated": _truncate,
    "bomb": _bomb,
    "not_gzip": _not_gzip,
    "large": _large,
}


@contextmanager
def running_server() -> Iterator[UpstreamServer]:
    """A server in a thread of its own."""
    server = UpstreamServer()
    loop = asyncio.new_event_loop()
    runner = loop.run_until_complete(_start(server))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_end(runner), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(runner: web.AppRunner) -> None:
    await runner.cleanup()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)


async def _start(server: UpstreamServer) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner
