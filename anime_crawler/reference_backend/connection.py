"""uvicorn's connection, with the handle that the fault switches need: to drop it, and to set its idle time."""

from __future__ import annotations

import itertools

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anime_crawler.reference_backend.errors import DroppedError

EXTENSION = "anime_crawler.connection"


class DroppableConnection(HttpToolsProtocol):
    """Pass it to uvicorn as ``http=``. Requests find it in their scope."""

    numbers = itertools.count()
    requests_carried = 0
    """Since it was accepted."""
    number: int | None = None
    """In the order of first requests; connections are dealt to workers by it."""

    def on_message_begin(self) -> None:
        """Put the handle into the new request's scope."""
        super().on_message_begin()
        if self.number is None:
            self.number = next(self.numbers)
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # a handle, not options

    def count_request(self, recycle_after: int | None, keep_alive_s: float | None) -> None:
        """Take note of a request.

        Raises:
            DroppedError: the connection has carried its share.
        """
        self.requests_carried += 1
        if keep_alive_s is not None:
            self.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]  # call_later takes any number
        if recycle_after is not None and self.requests_carried > recycle_after:
            raise DroppedError

    async def drop(self, receive: Receive) -> None:
        """Reset the connection; the request in hand gets no answer."""
        self.transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def connection_of(scope: Scope) -> DroppableConnection:
    """The connection a request came on.

    Raises:
        RuntimeError: the server was started without this protocol, so no fault could be kept.
    """
    connection = scope.get("extensions", {}).get(EXTENSION)
    if connection is None:
        raise RuntimeError("start uvicorn with http=anime_crawler.reference_backend.connection.DroppableConnection")
    return connection  # type: ignore[no-any-return]
