"""`BackendClient` is one HTTP session to the backend. It sends each POST exactly once and names how the POST ended.

aiohttp repeats idempotent requests on a dropped connection by itself, but never a POST. `BackendClient` follows no
redirect, because the token would be sent along.
"""

from __future__ import annotations

from types import TracebackType

import aiohttp
from yarl import URL

from anime_crawler.backend.outcomes import Answer, ImportKind, NoAnswerError, Outcome
from anime_crawler.download.proxy import proxy_of
from anime_crawler.rate_limit.sandbox_header import SANDBOX_HEADER

MAX_ANSWER_BYTES = 64 * 1024
"""Most bytes of an answer that are read. The backend's own answers have one line; a 500 quotes the SQL of a list of
200 entries."""

IDLE_S = 1.5
"""Seconds after which an idle connection is closed. The shipped container of the backend closes it after 2 s."""

CONNECT_S = 10
"""Longest wait for a connection, in seconds. It may be short, because nothing has been sent by then."""

PLAYER_TIMEOUT_S = 30
"""Lower bound of the time-out for a player, in seconds. A player that is given up too early and sent again may be
stored twice, and the backend never accepts it again."""


class BackendClient:
    """`BackendClient` sends bodies to the three imports. Use it as an async context manager.

    Args:
        base_url: BACKEND_BASE_URL.
        token: INTERNAL_TOKEN.
        connections: the most POSTs that are in flight at once.
        timeout_s: HTTP_TIMEOUT_SECONDS.
    """

    def __init__(self, base_url: str, token: str, connections: int, timeout_s: float) -> None:
        self._urls = {kind: URL(f"{base_url}/api/v1/internal/import/{kind}") for kind in ImportKind}
        self._health = URL(f"{base_url}/health")
        self._token = token
        self._connections = connections
        self.timeouts_s = dict.fromkeys(ImportKind, timeout_s) | {ImportKind.PLAYER: max(timeout_s, PLAYER_TIMEOUT_S)}
        self._timeouts = {
            kind: aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_S, seconds))
            for kind, seconds in self.timeouts_s.items()
        }
        proxy = proxy_of(base_url)
        self._proxy = proxy.url_with_password if proxy else None
        self._session: aiohttp.ClientSession | None = None

    def url(self, kind: ImportKind) -> str:
        """The address to which POSTs of this kind go."""
        return str(self._urls[kind])

    async def __aenter__(self) -> BackendClient:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=IDLE_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(self, kind: ImportKind, body: bytes, trace_id: str, idempotency_key: str | None = None) -> Answer:
        """Send one POST and return the backend's answer.

        Args:
            idempotency_key: digest of the content; today's backend ignores it.

        Raises:
            NoAnswerError: if there is no answer.
        """
        headers = {"X-Internal-Token": self._token, "X-Trace-ID": trace_id}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        return await self._send(kind, body, headers)

    async def is_sandbox(self) -> bool:
        """Whether the backend's answer to ``GET /health``, of any status, has the sandbox's header.

        Raises:
            NoAnswerError: if there is no answer.
        """
        assert self._session is not None
        try:
            async with self._session.get(
                self._health, allow_redirects=False, proxy=self._proxy, timeout=aiohttp.ClientTimeout(total=CONNECT_S)
            ) as response:
                return SANDBOX_HEADER in response.headers
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswerError(Outcome.UNREACHABLE, f"no answer: {_describe(error)}") from error

    async def accepts_any_token(self, trace_id: str) -> bool:
        """Whether a wrong token gets past the backend's check, which happens when its header does not arrive at all.

        Raises:
            NoAnswerError: if there is no answer.
        """
        headers = {"X-Internal-Token": f"not-the-token-{trace_id}", "X-Trace-ID": trace_id}
        return (await self._send(ImportKind.ANIME, b"{}", headers)).status == 422

    async def _send(self, kind: ImportKind, body: bytes, headers: dict[str, str]) -> Answer:
        assert self._session is not None
        timeout = self._timeouts[kind]
        try:
            async with self._session.post(
                self._urls[kind],
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                text = await _read(response)
                return Answer(response.status, text, response.headers.get("Retry-After"))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            raise NoAnswerError(Outcome.UNREACHABLE, f"no connection: {_describe(error)}") from error
        except TimeoutError as error:
            raise NoAnswerError(Outcome.TIMEOUT, f"no answer within {timeout.total:g} s") from error
        except aiohttp.ClientError as error:
            raise NoAnswerError(Outcome.DISCONNECTED, f"connection dropped: {_describe(error)}") from error


async def _read(response: aiohttp.ClientResponse) -> str:
    """The body as text, at most MAX_ANSWER_BYTES of it."""
    if response.content_length is not None and response.content_length <= MAX_ANSWER_BYTES:
        body = await response.read()
    else:
        body = await _read_some(response)
    return body.decode("utf-8", "replace")


async def _read_some(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            break
    return bytes(body[:MAX_ANSWER_BYTES])


def _describe(error: Exception) -> str:
    """The error's class and the text of an operating system error, but never the address (it may hold a password)."""
    words = getattr(error, "strerror", None) or getattr(getattr(error, "os_error", None), "strerror", None)
    return f"{type(error).__name__}{f' ({words})' if words else ''}"
