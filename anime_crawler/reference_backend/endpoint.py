"""`ImportEndpoint` is one of the three import routes, in plain ASGI.

It reads the body, checks token and rules, stores and answers, in the real backend's order. FastAPI's own routes would
give the same answers (a test compares them) at three times the cost, and a benchmark of the crawler must not measure
its server.
"""

from __future__ import annotations

import asyncio
import email.message
import hmac
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from anime_crawler.reference_backend.connection import EXTENSION, connection_of
from anime_crawler.reference_backend.errors import DroppedError, RefusedError, database_text, envelope
from anime_crawler.reference_backend.faults import Fault, Switches
from anime_crawler.reference_backend.schemas import VideoImport
from anime_crawler.reference_backend.stats import Key, Post, Stats
from anime_crawler.reference_backend.store import Store

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]
JSON = b"application/json"

LOCK_POLL_S = 0.01
"""Seconds between two checks whether a lock is gone. POSTs that waited for it go on within this time."""


@dataclass(frozen=True)
class Backend:
    """A `Backend` holds what the three routes share."""

    store: Store
    stats: Stats
    switches: Switches
    token: bytes
    dev: bool = False
    """Whether a 422 tells which field is wrong."""


@dataclass(frozen=True)
class ImportRoute:
    """An `ImportRoute` holds what differs between the three routes."""

    route: str
    kind: str
    """Kind of the rows that the route stores, in the statistics."""
    model: type[BaseModel]
    keys: Callable[[Any], list[Key]]
    store: Callable[..., Counter[str]]
    """The method of `Store` that stores the payload; its arguments are connection, payload and post."""
    answer: Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """An `Answer` is the status, body and headers of a response."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Iterable[tuple[bytes, bytes]] = ()

    async def send(self, send: Send) -> None:
        headers = [(b"content-type", self.content_type), (b"content-length", b"%d" % len(self.body)), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class ImportEndpoint:
    """`ImportEndpoint` answers the POSTs of one import route."""

    def __init__(self, backend: Backend, import_: ImportRoute) -> None:
        self._backend = backend
        self._import = import_
        self._behind_gateway: set[asyncio.Task[Answer]] = set()
        self._queues: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        """For the id of each fault that is a lock, the queue of the POSTs that wait for it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one POST."""
        stats, route = self._backend.stats, self._import.route
        with stats.in_flight():
            try:
                answer = await self._answer_or_gateway(scope, receive)
            except DroppedError:
                stats.answered(route, "dropped")
                await connection_of(scope).drop(receive)
                return
            stats.answered(route, str(answer.status))
            await answer.send(send)

    async def _answer_or_gateway(self, scope: Scope, receive: Receive) -> Answer:
        """The backend's answer; the gateway's if the backend takes too long, which then goes on with the POST."""
        switches = self._backend.switches
        gateway = switches.gateway(self._import.route, _number(scope)) if switches.faults.rules else None
        if gateway is None:
            return await self._answer_or_refusal(scope, receive)
        body = await _read(receive)

        async def replay() -> Message:
            return {"type": "http.request", "body": body}

        working = asyncio.ensure_future(self._answer_or_refusal(scope, replay))
        self._behind_gateway.add(working)
        working.add_done_callback(self._behind_gateway.discard)
        working.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # the client has the gateway's answer
        done, _ = await asyncio.wait({working}, timeout=gateway.gateway_s)
        if done:
            return working.result()
        behind = ExitStack()
        behind.enter_context(self._backend.stats.in_flight())
        working.add_done_callback(lambda _: behind.close())
        assert gateway.status is not None
        return Answer(gateway.status, (gateway.body or "").encode(), gateway.content_type.encode())

    async def _answer_or_refusal(self, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._answer(scope, receive)
        except RefusedError as refusal:
            return self._refusal(refusal, scope["trace_id"])

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        switches = self._backend.switches
        if switches.concern_connections:
            connection_of(scope).count_request(switches.faults.recycle_after, switches.faults.keep_alive_s)
        body = await _read(receive)
        fault = switches.pick(self._import.route, "arrival", _number(scope)) if switches.faults.rules else None
        if fault and (answer := await self._strike(fault, scope, body)):
            return answer
        payload = self._payload(scope["headers"], body)
        with self._backend.stats.post(self._import.keys(payload)) as post:
            return await self._take(scope, payload, post)

    async def _take(self, scope: Scope, payload: Any, post: Post) -> Answer:
        switches = self._backend.switches
        fault = switches.pick(self._import.route, "store", _number(scope)) if switches.faults.rules else None
        if fault is None:
            return await self._store(payload, post)
        if fault.holds:
            await self._wait_for_lock(fault, payload)
        if fault.stored:
            await self._store(payload, post)
        return await self._strike(fault, scope, payload) or await self._store(payload, post)

    async def _wait_for_lock(self, fault: Fault, payload: Any) -> None:
        store = self._backend.store
        only_writes = fault.holds == "writes" and isinstance(payload, VideoImport)
        if only_writes and not await store.writer.run(partial(store.would_change_video, payload=payload)):
            return
        async with self._queues[id(fault)]:  # a database, too, lets requests go on in the order in which they came
            while self._backend.switches.is_held(fault):  # noqa: ASYNC110  no event tells that a lock is gone
                await asyncio.sleep(LOCK_POLL_S)

    async def _store(self, payload: Any, post: Post) -> Answer:
        backend, import_ = self._backend, self._import
        if (query_s := backend.switches.faults.slug_query_s) and import_.route == "anime":
            await asyncio.sleep(query_s * backend.store.slug_queries(payload.title))
        try:
            changes = await backend.store.writer.run(partial(import_.store, payload=payload, post=post))
        except RefusedError:
            raise
        except Exception as error:  # the driver may raise anything; the real import handlers catch everything, too
            log.exception("%s not stored", import_.route)
            raise RefusedError(500, f"Failed to import {import_.route}: {error}") from None
        backend.stats.changed(import_.kind, changes)
        return Answer(200, orjson.dumps(import_.answer(payload)))

    async def _strike(self, fault: Fault, scope: Scope, parameters: object) -> Answer | None:
        """Apply the fault to the POST and return its answer; ``None``: the POST is answered as without the fault."""
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.drop:
            raise DroppedError
        if fault.status is None:
            return None
        message = fault.message or ""
        if fault.trouble:
            message = database_text(fault.trouble, self._import.route, parameters)
        body = fault.body.encode() if fault.body is not None else envelope(fault.status, message, scope["trace_id"])
        headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
        return Answer(fault.status, body, fault.content_type.encode(), headers)

    def _payload(self, headers: Headers, body: bytes) -> Any:
        document = _document(headers, body)
        _check_token(headers, self._backend.token)
        try:
            return self._import.model.model_validate(document)
        except ValidationError as error:
            raise _invalid(error.errors(include_url=False, include_context=False)) from None

    def _refusal(self, refusal: RefusedError, trace_id: str) -> Answer:
        if refusal.status == 404:
            self._backend.stats.rejected_children += 1
        if refusal.details:
            log.debug("%s 422 trace=%s %s", self._import.route, trace_id, refusal.details)
        details = refusal.details if self._backend.dev else None
        return Answer(refusal.status, envelope(refusal.status, refusal.message, trace_id, details))


def _number(scope: Scope) -> int:
    """The number of the POST's connection; 0: the server does not show it."""
    connection = scope.get("extensions", {}).get(EXTENSION)
    return connection.number if connection is not None else 0


def _invalid(details: Any) -> RefusedError:
    return RefusedError(422, "Invalid request data", details)


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DroppedError
        chunks.append(message["body"])
        if not message.get("more_body", False):
            return b"".join(chunks)


def _header(headers: Headers, wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)


def _document(headers: Headers, body: bytes) -> Any:
    """The body as FastAPI reads it: as JSON if the header says so, else as bytes, which no rule accepts."""
    if not body:
        return None
    if not _is_json(_header(headers, b"content-type") or b""):
        return body
    try:
        return json.loads(body)  # not orjson: it refuses NaN and lone surrogates in keys that the contract ignores
    except json.JSONDecodeError as error:
        raise _invalid([{"type": "json_invalid", "loc": ("body", error.pos), "msg": error.msg}]) from None
    except (ValueError, RecursionError):
        raise RefusedError(400, "There was an error parsing the body") from None


def _is_json(content_type: bytes) -> bool:
    if content_type == JSON:
        return True
    header = email.message.Message()
    header["content-type"] = content_type.decode("latin-1")
    subtype = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def _check_token(headers: Headers, token: bytes) -> None:
    given = _header(headers, b"x-internal-token")
    if given is None:
        raise _invalid([{"type": "missing", "loc": ("header", "x-internal-token"), "msg": "Field required"}])
    if not hmac.compare_digest(given, token):
        raise RefusedError(403, "Invalid internal token")
