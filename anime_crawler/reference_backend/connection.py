"""`DroppableConnection` is uvicorn's connection, which faults can also drop and give another idle time."""

from __future__ import annotations

import itertools

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anime_crawler.reference_backend.errors import DroppedError

EXTENSION = "anime_crawler.connection"


class DroppableConnection(HttpToolsProtocol):
    """`DroppableConnection` puts itself into the scope of its requests. Pass the class to uvicorn as ``http=``."""

    numbers = itertools.count()
    requests_carried = 0
    """Number of requests since the connection was accepted."""
    number: int | None = None
    """Number of the connection in the order of first requests. `Switches` deals connections to workers by it."""

    def on_message_begin(self) -> None:
        """Put this connection into the new request's scope."""
        super().on_message_begin()
        if self.number is None:
            self.number = next(self.numbers)
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # a handle, not options

    def count_request(self, recycle_after: int | None, keep_alive_s: float | None) -> None:
        """Count a request.

        Args:
            recycle_after: most requests that the connection carries; ``None``: no limit.
            keep_alive_s: seconds after which the idle connection is closed; ``None``: uvicorn's.

        Raises:
            DroppedError: if the connection has carried more than `recycle_after` requests.
        """
        self.requests_carried += 1
        if keep_alive_s is not None:
            self.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]  # call_later takes any number
        if recycle_after is not None and self.requests_carried > recycle_after:
            raise DroppedError

    async def drop(self, receive: Receive) -> None:
        """Reset the connection, so that the current request gets no answer."""
        self.transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def connection_of(scope: Scope) -> DroppableConnection:
    """The connection on which a request came.

    Raises:
        RuntimeError: if uvicorn was started without ``http=DroppableConnection``, so that faults would do nothing.
    """
    connection = scope.get("extensions", {}).get(EXTENSION)
    if connection is None:
        raise RuntimeError("start uvicorn with http=anime_crawler.reference_backend.connection.DroppableConnection")
    return connection  # type: ignore[no-any-return]
