"""Asking a simulated web site without a network."""

from __future__ import annotations

from typing import Any

from parsel import Selector

from anime_crawler.sandbox.server.wire import Call, Reply

HOST = "http://127.0.0.1:8100"


def ask(site: Any, path: str, query: str = "") -> Reply:
    """The answer to a GET."""
    call = Call(service="site", method="GET", path=path, query=query, headers={}, body=b"", base_url=f"{HOST}/site")
    reply: Reply = site.answer(call)
    return reply


def page(site: Any, path: str, query: str = "") -> Selector:
    """The page at that path; it must be there."""
    reply = ask(site, path, query)
    assert reply.status == 200
    return Selector(body=reply.body)
