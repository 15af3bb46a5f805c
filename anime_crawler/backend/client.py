"""One HTTP session to the backend: a POST goes out exactly once, and every end of it has a name.

aiohttp repeats idempotent requests on a dropped connection by itself, never a POST; redirects are not followed,
because they would take the token along.
"""

from __future__ import annotations

from types import TracebackType

import aiohttp
from yarl import URL

from anime_crawler.backend.outcomes import Answer, Kind, NoAnswerError, Outcome
from anime_crawler.download.proxy import proxy_of
from anime_crawler.rate_limit.sandbox_header import SANDBOX_HEADER

MAX_ANSWER_BYTES = 64 * 1024
"""The backend's own answers are a line; a 500 quotes the SQL of a list of 200 entries. The rest is not read."""

IDLE_S = 1.5
"""Idle connections are dropped before the shipped container does it, after 2 s."""

CONNECT_S = 10
"""Longest wait for a connection; nothing has been sent by then, so it may be short."""

PLAYER_TIMEOUT_S = 30
"""Shortest wait for the answer to a player: a POST given up too early may be stored twice, and is broken for ever."""


class BackendClient:
    """Sends bodies. Use as an async context manager.

    Args:
        base_url: BACKEND_BASE_URL.
        token: INTERNAL_TOKEN.
        connections: most POSTs at once.
        timeout_s: HTTP_TIMEOUT_SECONDS.
    """

    def __init__(self, base_url: str, token: str, connections: int, timeout_s: float) -> None:
        self._urls = {kind: URL(f"{base_url}/api/v1/internal/import/{kind}") for kind in Kind}
        self._health = URL(f"{base_url}/health")
        self._token = token
        self._connections = connections
        self.timeouts_s = dict.fromkeys(Kind, timeout_s) | {Kind.PLAYER: max(timeout_s, PLAYER_TIMEOUT_S)}
        self._timeouts = {
            kind: aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_S, seconds))
            for kind, seconds in self.timeouts_s.items()
        }
        proxy = proxy_of(base_url)
        self._proxy = proxy.url_with_password if proxy else None
        self._session: aiohttp.ClientSession | None = None

    def url(self, kind: Kind) -> str:
        """Where POSTs of this kind go."""
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

    async def post(self, kind: Kind, body: bytes, trace_id: str, idempotency_key: str | None = None) -> Answer:
        """The answer to one POST.

        Args:
            idempotency_key: digest of the content; today's backend ignores it.

        Raises:
            NoAnswerError: there was none.
        """
        headers = {"X-Internal-Token": self._token, "X-Trace-ID": trace_id}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        return await self._send(kind, body, headers)

    async def is_sandbox(self) -> bool:
        """Whether the backend says that it is the sandbox's. Any answer will do; nothing is stored by this question.

        Raises:
            NoAnswerError: there was none.
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
        """Whether a token that is surely wrong gets past the check: then the header does not arrive at all.

        Raises:
            NoAnswerError: there was none.
        """
        headers = {"X-Internal-Token": f"not-the-token-{trace_id}", "X-Trace-ID": trace_id}
        return (await self._send(Kind.ANIME, b"{}", headers)).status == 422

    async def _send(self, kind: Kind, body: bytes, headers: dict[str, str]) -> Answer:
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
    """The class and, for an operating system error, its words; never the address with its parts."""
    words = getattr(error, "strerror", None) or getattr(getattr(error, "os_error", None), "strerror", None)
    return f"{type(error).__name__}{f' ({words})' if words else ''}"
