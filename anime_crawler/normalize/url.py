"""Addresses from outside: https to a public name, or none at all."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

PUBLIC_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:[a-z]{2,}|xn--[a-z0-9-]+)")
"""A name below a top-level domain. Any way to write an IP address ends in a number."""
PRIVATE = (".localhost", ".localdomain", ".local", ".internal", ".lan", ".home", ".arpa", ".onion", ".test", ".invalid")
"""RFC 6761, 6762, 7686 and what routers and clouds hand out: nothing a viewer could open."""
UNSAFE = re.compile(r"[\s<>\"'`\\\x00-\x1f\x7f-\x9f]|[^\x00-\uffff]")


@lru_cache(1000)  # a source has a handful of hosts
def is_public_host(host: str) -> bool:
    """Whether a viewer could reach it: a public name, no address, nothing inside somebody's network."""
    return PUBLIC_NAME.fullmatch(host) is not None and not host.endswith(PRIVATE)


def normalize_https_url(url: str | None) -> str | None:
    """The address with a lower-case host; ``None`` when it is not plain https to a public host.

    ``//host/path`` counts as https; http does not: nothing is known of what answers there by https.
    """
    if not url:
        return None
    url = url.strip()
    if url.startswith("//"):
        url = f"https:{url}"
    if UNSAFE.search(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or parts.username is not None or port or not is_public_host(host):
        return None
    netloc = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=netloc, path=parts.path or "/", fragment="").geturl()
