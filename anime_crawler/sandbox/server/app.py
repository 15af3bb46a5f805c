"""The whole sandbox as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anime_crawler.rate_limit.sandbox_header import SANDBOX_HEADER
from anime_crawler.reference_backend.app import create_app as create_backend
from anime_crawler.sandbox.server.control import Control
from anime_crawler.sandbox.server.gate import Gate, LoggingGate
from anime_crawler.sandbox.server.services import Options, Services
from anime_crawler.sandbox.upstreams.robots import ROBOTS

MARK = (SANDBOX_HEADER.lower().encode(), b"1")


def create_app(options: Options, directory: Path) -> ASGIApp:
    """Each upstream below its name (``/kodik``, ``/shikimori``, …), ``/robots.txt``, ``/backend``, and ``/_sandbox``.

    Args:
        directory: where the backend's database goes when the options name none.

    Serve it with the reference backend's ``make_server``: faults need its connection.
    """
    services = Services(options)
    database = options.backend_database or f"sqlite:///{directory / 'backend.db'}"
    backend = create_backend(database, options.internal_token)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        backend.state.backend.store.writer.close()

    others = Starlette(routes=[Mount("/_sandbox", Control(services).router())], lifespan=lifespan)
    gates: dict[str, ASGIApp] = {name: Gate(name, services) for name in services.upstreams}
    gates["robots.txt"] = gates.pop(ROBOTS)
    gates["backend"] = LoggingGate("backend", backend, services.log)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # By hand: Starlette's own layers would cost each of a backend's POSTs 50 µs more.
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), MARK]}
            await send(message)

        name = scope["path"].split("/", 2)[1] if scope["type"] == "http" else ""
        if name in gates:
            await gates[name]({**scope, "root_path": f"/{name}"}, receive, send_marked)
        else:
            await others(scope, receive, send)

    return app
