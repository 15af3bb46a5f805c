"""A request and an answer as the simulated services see them: plain values, no sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson


@dataclass
class Call:
    """One request. `summary` is what the log keeps of it; services put no secret in there."""

    service: str
    method: str
    path: str
    """Below the service's mount point: ``/list``."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    base_url: str
    """Address of the service: ``http://127.0.0.1:8100/kodik``."""
    summary: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Parameters of the query string and of a form body, in the caller's order, blanks kept."""
        found = parse_qsl(self.query, keep_blank_values=True)
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            found += parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return found

    @cached_property
    def params(self) -> dict[str, str]:
        """The parameters by name; the last one wins."""
        return dict(self.pairs)


@dataclass
class Reply:
    """One answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0
    """Silence before the first byte."""
    pause_s: float = 0
    """Silence in the middle of the body."""
    missing: int = 0
    """Bytes that the header announces and that never come; the connection is closed instead."""
    held: bool = False
    """The answer waits until the faults are taken away, and is sent then."""
    silent: bool = False
    """Never answered: the connection stays open until the client gives up."""
    dropped: bool = False
    """The connection is cut without a byte."""


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """`value` as JSON."""
    return Reply(status, orjson.dumps(value), headers={k.replace("_", "-"): v for k, v in headers.items()})


def html_reply(status: int, title: str) -> Reply:
    """An HTML page where a client hopes for JSON."""
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, page.encode(), "text/html; charset=utf-8")


def cloudflare_reply(status: int) -> Reply:
    """Cloudflare's challenge in front of a site."""
    reply = html_reply(status, "Just a moment...")
    return replace(reply, headers={"server": "cloudflare", "cf-mitigated": "challenge"})
