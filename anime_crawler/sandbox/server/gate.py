"""The way in to one service: log, limits, faults, answer, delivery."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anime_crawler.reference_backend.connection import connection_of
from anime_crawler.sandbox.server.limits import Limiter
from anime_crawler.sandbox.server.log import Entry, Log
from anime_crawler.sandbox.server.services import Services
from anime_crawler.sandbox.server.wire import Call, Reply


class Gate:
    """ASGI application for a service that answers with plain functions."""

    def __init__(self, service: str, services: Services) -> None:
        self.service = service
        self.services = services
        self.log = services.log
        self.faults = services.faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_from(self.service, scope, await body_of(receive))
        entry = self.log.begin(self.service, call.method, call.path)
        entry.summary = call.summary
        limiter = self.services.limiters[self.service]
        try:
            reply = self._reply(call, entry, limiter)
            reply.headers = limiter.headers() | reply.headers
            entry.status, entry.bytes = reply.status, len(reply.body)
            if reply.silent or reply.dropped:
                entry.status = 0
            if reply.held:
                await self._until_let_go(receive)
            await deliver(reply, call.method, scope, receive, send)
        finally:
            self.log.end(entry)

    def _reply(self, call: Call, entry: Entry, limiter: Limiter) -> Reply:
        refusal = limiter.check()
        if refusal:
            return refusal
        fault = self.faults.pick(call)
        upstream = self.services.upstreams[self.service]  # here, because a world made anew has new ones
        if fault is None:
            return upstream.answer(call)
        entry.fault = fault.kind
        return fault.apply(call, lambda: upstream.answer(call))

    async def _until_let_go(self, receive: Receive) -> None:
        """Wait until the faults of now have been taken away, or the client has closed the connection."""
        waits = [asyncio.ensure_future(wait) for wait in (self.faults.taken_away.wait(), until_gone(receive))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class LoggingGate:
    """The same for an application of its own that has its own faults: what arrives is logged and passed on."""

    def __init__(self, service: str, app: ASGIApp, log: Log) -> None:
        self.service = service
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        entry = self.log.begin(self.service, scope["method"], path)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
            else:
                entry.bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self.log.end(entry)


def call_from(service: str, scope: Scope, body: bytes) -> Call:
    """The request as the services see it."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    root = scope.get("root_path", "")
    return Call(
        service=service,
        method=scope["method"],
        path=scope["path"].removeprefix(root),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        base_url=f"{scope['scheme']}://{headers.get('host', 'localhost')}{root}",
    )


async def body_of(receive: Receive) -> bytes:
    """The whole request body."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def deliver(reply: Reply, method: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the reply with the silences and cuts it asks for."""
    if reply.silent:
        await until_gone(receive)
        return
    if reply.dropped:
        connection_of(scope).transport.abort()
        return
    await asyncio.sleep(reply.delay_s)
    await send({"type": "http.response.start", "status": reply.status, "headers": headers_of(reply)})
    body = b"" if method == "HEAD" else reply.body
    if reply.pause_s or reply.missing:
        half = len(body) // 2
        await send({"type": "http.response.body", "body": body[:half], "more_body": True})
        await asyncio.sleep(reply.pause_s)
        body = body[half:]
    await send({"type": "http.response.body", "body": body, "more_body": bool(reply.missing)})
    if reply.missing:
        connection_of(scope).transport.close()


async def until_gone(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def headers_of(reply: Reply) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them."""
    length = str(len(reply.body) + reply.missing)
    pairs = {"content-type": reply.content_type, "content-length": length} | reply.headers
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs.items()]
