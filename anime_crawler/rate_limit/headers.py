"""These functions read from response headers when a client may come again. They are pure."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from scrapy.http.headers import Headers

SMALLEST_UNIX_TIME = 1_000_000_000  # 2001; a smaller X-RateLimit-Reset counts seconds from now


def retry_after_s(headers: Headers, now: float) -> float | None:
    """Seconds that ``Retry-After`` asks for, given in seconds or as a date; ``None``: absent or not understood.

    Args:
        now: Unix time, used where the response does not state its own ``Date``; dates are taken against the server's
            clock, so that a wrong clock here changes nothing.
    """
    text = _text(headers, "Retry-After")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    until = _unix_time(text)
    return None if until is None else max(0.0, until - _server_time(headers, now))


def rate_limit_reset_s(
    headers: Headers, now: float, *, reserve: int = 0, unsaid_s: float | None = None
) -> float | None:
    """Seconds until ``X-RateLimit-Reset`` when ``X-RateLimit-Remaining`` is low; ``None``: nothing to wait for.

    Upstreams differ: the header is Unix time or seconds from now, and the size of the number tells which. 0 is no time.

    Args:
        reserve: how many remaining requests are low.
        unsaid_s: what to give where no time is stated.
    """
    remaining, reset = _text(headers, "X-RateLimit-Remaining"), _text(headers, "X-RateLimit-Reset")
    if not re.fullmatch(r"\d{1,9}", remaining) or int(remaining) > reserve:
        return None
    seconds = float(reset) if re.fullmatch(r"\d+(\.\d+)?", reset) else 0.0
    if not seconds:
        return unsaid_s
    return seconds if seconds < SMALLEST_UNIX_TIME else max(0.0, seconds - _server_time(headers, now))


def _server_time(headers: Headers, now: float) -> float:
    date = _unix_time(_text(headers, "Date"))
    return now if date is None else date


def _unix_time(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _text(headers: Headers, name: str) -> str:
    value: bytes | None = headers.get(name)
    return (value or b"").decode("latin-1").strip()
