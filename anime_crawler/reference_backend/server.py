"""Serving an application with uvicorn the way the reference backend needs it."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from anime_crawler.reference_backend.connection import DroppableConnection

BACKLOG = 2048
"""uvicorn's own."""


def make_server(app: ASGIApp, **options: Any) -> uvicorn.Server:
    """A server whose connections can be dropped by fault switches; no access log, uvicorn's 5 s of keep-alive.

    Args:
        options: further ones of `uvicorn.Config`.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app, http=DroppableConnection, access_log=False, proxy_headers=False, server_header=False, **options
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the port is in use, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
