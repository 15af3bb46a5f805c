"""These functions read from response headers when a client may come again. They are pure."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from scrapy.http.headers import Headers

SMALLEST_UNIX_TIME = 1_000_000_000  # in 2001; a smaller X-RateLimit-Reset counts seconds from now


def retry_after_s(headers: Headers, now: float) -> float | None:
    """Seconds for which ``Retry-After`` asks, as a number or as a date; ``None`` if it is absent or not understood.

    Args:
        now: Unix time. It is used only if the response states no ``Date`` of its own: a date is compared with the
            server's clock, so that a wrong clock on this machine changes nothing.
    """
    text = _text(headers, "Retry-After")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    until = _unix_time(text)
    return None if until is None else max(0.0, until - _server_time(headers, now))


def rate_limit_reset_s(
    headers: Headers, now: float, *, reserve: int = 0, unsaid_s: float | None = None
) -> float | None:
    """Seconds until ``X-RateLimit-Reset`` if ``X-RateLimit-Remaining`` is low; ``None`` if no wait is needed.

    Some upstreams send Unix time in ``X-RateLimit-Reset``, others send seconds from now; the size of the number tells
    which. A value of 0 states no time.

    Args:
        reserve: ``X-RateLimit-Remaining`` is low if it is at most this number of requests.
        unsaid_s: the result if the headers state no time.
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
