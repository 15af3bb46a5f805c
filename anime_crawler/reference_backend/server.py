"""`make_server` and `listen` serve an application with uvicorn as the reference backend needs it."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from anime_crawler.reference_backend.connection import DroppableConnection

BACKLOG = 2048
"""Connections that may wait to be accepted; uvicorn's own default."""


def make_server(app: ASGIApp, **options: Any) -> uvicorn.Server:
    """A server whose connections faults can drop, without access log and with uvicorn's 5 s of keep-alive.

    Args:
        options: further options of `uvicorn.Config`.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app, http=DroppableConnection, access_log=False, proxy_headers=False, server_header=False, **options
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free port.

    Raises:
        OSError: if the port is in use, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
