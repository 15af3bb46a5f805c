"""`BackendClient` is tested against real sockets: the bytes it sends, and the name of every end of a POST."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from anime_crawler.backend.client import MAX_ANSWER_BYTES, BackendClient
from anime_crawler.backend.outcomes import Answer, ImportKind, NoAnswerError, Outcome
from tests.services import free_port

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"success":true}'


def post(handler: Handler, timeout_s: float = 5, kind: ImportKind = ImportKind.ANIME) -> Answer:
    """One POST to a server that answers with `handler`."""

    async def run() -> Answer:
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            await handler(head, writer)
            writer.close()
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])  # whatever the client did
            served.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            async with server, BackendClient(url, "the-token", 1, timeout_s) as client:
                return await client.post(kind, b"{}", "trace-1", "digest-1")
        finally:
            await served.wait()

    return asyncio.run(run())


def test_a_post_carries_token_trace_and_type_and_asks_for_plain_text():
    """The header the backend looks for, and no other credential."""
    heads: list[bytes] = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK)

    assert post(handler, kind=ImportKind.PLAYER) == Answer(200, '{"success":true}')
    lines = heads[0].decode().split("\r\n")
    assert lines[0] == "POST /api/v1/internal/import/video HTTP/1.1"
    assert {"X-Internal-Token: the-token", "X-Trace-ID: trace-1", "Content-Type: application/json"} <= set(lines)
    assert "Idempotency-Key: digest-1" in lines
    assert not any(line.lower().startswith(("authorization", "cookie")) for line in lines)


def test_a_redirect_is_not_followed():
    """The token is for the configured host only."""

    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")

    assert post(handler).status == 307


def test_a_huge_answer_is_cut():
    """Memory stays bounded whatever comes back."""

    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (4 * MAX_ANSWER_BYTES))

    assert len(post(handler).text) == MAX_ANSWER_BYTES


def test_an_answer_that_does_not_tell_its_length_is_read_to_its_end():
    """In chunks, as proxies send it: all of them."""

    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"suc\r\n')
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b'b\r\ncess":true}\r\n0\r\n\r\n')

    assert post(handler) == Answer(200, '{"success":true}')


def test_bytes_that_are_no_text_are_replaced():
    """An answer in another encoding is still an answer."""

    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n\xff\xfe")

    assert post(handler).text == "\ufffd\ufffd"


async def say_nothing(_head: bytes, _writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""


async def say_half(_head: bytes, writer: asyncio.StreamWriter) -> None:
    """End in the middle of the body."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


async def say_garbage(_head: bytes, writer: asyncio.StreamWriter) -> None:
    """Something that is not HTTP."""
    writer.write(b"SSH-2.0-OpenSSH\r\n")


@pytest.mark.parametrize("handler", [say_nothing, say_half, say_garbage])
def test_a_broken_answer_is_a_dropped_connection(handler):
    """The POST may have been stored."""
    with pytest.raises(NoAnswerError) as caught:
        post(handler)
    assert caught.value.outcome is Outcome.DISCONNECTED
    assert "127.0.0.1" not in str(caught.value)


def test_no_answer_in_time_is_a_timeout():
    """The outcome is unknown."""

    async def handler(_head: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)

    with pytest.raises(NoAnswerError, match=r"no answer within 0\.1 s") as caught:
        post(handler, timeout_s=0.1)
    assert caught.value.outcome is Outcome.TIMEOUT


def test_a_refused_connection_was_certainly_not_sent():
    """Nobody listens."""

    async def run() -> Any:
        async with BackendClient(f"http://127.0.0.1:{free_port()}", "t", 1, 5) as client:
            return await client.post(ImportKind.ANIME, b"{}", "t")

    with pytest.raises(NoAnswerError) as caught:
        asyncio.run(run())
    assert caught.value.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *((None, None), ("0", 0), ("120", 120), (" 7 ", 7), ("1.5", 1.5)),
        *(("soon", None), ("-5", None), ("", None), ("²", None), ("\udcb2", None)),
    ],
)
def test_retry_after_in_seconds(header, seconds):
    """What cannot be read is no hint."""
    assert Answer(429, "", header).asked_s == seconds


def test_retry_after_as_a_date():
    """A date in the past is no wait."""
    now = datetime.now(UTC)
    soon, past = (format_datetime(now + step, usegmt=True) for step in (timedelta(hours=1), timedelta(days=-1)))
    assert 3500 < (Answer(429, "", soon).asked_s or 0) <= 3600
    assert Answer(429, "", past).asked_s == 0
