"""These functions follow RFC 9111. They say whether a private cache may keep an answer, and whether it is fresh."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

from scrapy import Request
from scrapy.http import Headers, Response

from anime_crawler.rate_limit.upstream import PART

LONGEST_S = 365 * 86_400.0  # a longer lifetime is an error of the server; the RFC advises at most a year
STALE_KEPT_S = 7 * 86_400.0  # for a stale answer with a validator: an incremental walk returns within a week
DIRECTIVE = re.compile(r'([^\s,=]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,]*)))?')
OWN_CONDITIONS = ("If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range")
OF_THE_BODY = ("Content-Encoding", "Content-Length", "Content-Range", "Transfer-Encoding")


def cache_ttl_of(config: Any, card: Any) -> int | None:
    """Seconds for which the source's answers are fresh if the server says nothing: from the setting, else the card."""
    given: int | None = getattr(config, card.cache_ttl_setting.lower(), None)
    ttl_s: int | None = card.cache_ttl_s if given is None else given
    return ttl_s or None


def directives(headers: Headers) -> dict[str, str | None]:
    """The names and values of ``Cache-Control``. If a name comes twice, the first value counts."""
    found: dict[str, str | None] = {}
    for line in headers.getlist("Cache-Control"):
        for match in DIRECTIVE.finditer(line.decode("latin-1")):
            found.setdefault(match[1].lower(), match[3] if match[2] is None else match[2])
    return found


def may_be_cached(request: Request) -> bool:
    """Whether the cache may answer the request. A request with conditions of its own never is.

    A POST may be cached, because GraphQL and search forms *read* with POST.
    """
    if request.method not in ("GET", "POST") or request.meta.get("dont_cache"):
        return False
    return "no-store" not in directives(request.headers) and not any(n in request.headers for n in OWN_CONDITIONS)


def is_storable(request: Request, response: Response, ttl_s: int | None) -> bool:
    """Whether the cache may keep the answer and can use it. It keeps no error, even one that a source expects."""
    if response.status not in (200, 203, 204) or "no-store" in directives(response.headers):
        return False
    if "*" in vary_of(response.headers):
        return False
    return lifetime_s(response.headers, ttl_s, time.time()) > 0 or bool(conditions(request, response.headers))


def vary_of(headers: Headers) -> list[str]:
    """Names of the request headers that the answer depends on, in lower case and order."""
    text = b",".join(headers.getlist("Vary")).decode("latin-1")
    return sorted({name.strip().lower() for name in text.split(",") if name.strip()})


def lifetime_s(headers: Headers, ttl_s: int | None, received_at: float) -> float:
    """Seconds for which an answer is fresh: as the server says, or `ttl_s` only if the server says nothing."""
    given = directives(headers)
    if "no-cache" in given or "no-store" in given:
        return 0.0
    if "max-age" in given:
        return min(_seconds(given["max-age"]), LONGEST_S)
    if "Expires" in headers:
        expires, date = _time(headers, "Expires"), _time(headers, "Date")
        return max(0.0, min(expires - (received_at if date is None else date), LONGEST_S)) if expires else 0.0
    return float(ttl_s or 0)


def initial_age_s(headers: Headers, received_at: float, delay_s: float) -> float:
    """Age of an answer in seconds when it came: by its ``Date`` or by the ``Age`` of caches on its way, the greater."""
    date = _time(headers, "Date")
    apparent_s = 0.0 if date is None else max(0.0, received_at - date)
    by_caches_s = _seconds(_text(headers, "Age")) + delay_s if "Age" in headers else 0.0
    return max(apparent_s, by_caches_s)


def takes_kept(request: Request, spider: Any) -> bool:
    """Whether the request takes kept answers at all. It takes none if it, or its spider's walk, looks for news."""
    takes_any = spider.is_lookup or spider.oldest_in_walks_s > 0 or _is_script(request)
    return "no-cache" not in directives(request.headers) and takes_any


def is_young(request: Request, spider: Any, age_s: float) -> bool:
    """Whether a request that takes kept answers takes one of this age, provided that it is fresh."""
    given = directives(request.headers)
    oldest_s = LONGEST_S if spider.is_lookup or _is_script(request) else spider.oldest_in_walks_s
    return age_s <= oldest_s and ("max-age" not in given or age_s <= _seconds(given["max-age"]))


def _is_script(request: Request) -> bool:
    """Whether the request asks for a page's script. A walk takes kept scripts, which are not news: each page asks for
    them again."""
    return bool(request.meta.get(PART) == "script")


def conditions(request: Request, headers: Headers) -> dict[str, bytes]:
    """Headers that ask "changed since?". A POST gets none: there they mean "do it only if" (RFC 9110, 13.1)."""
    if request.method != "GET":
        return {}
    pairs = (("If-None-Match", headers.get("ETag")), ("If-Modified-Since", headers.get("Last-Modified")))
    return {name: value for name, value in pairs if value}


def freshened(kept: Headers, news: Headers) -> Headers:
    """The kept headers with the corrections of a 304. Headers that describe the body's form stay, as the body does."""
    headers: Headers = kept.copy()
    for name, values in news.items():
        if name.decode("latin-1") not in OF_THE_BODY:
            headers[name] = values
    return headers


def _text(headers: Headers, name: str) -> str:
    return (headers.get(name) or b"").decode("latin-1")


def _seconds(text: str | None) -> float:
    """The text as a number of seconds; 0, which means stale, if it is not a number."""
    digits = (text or "").strip()
    return float(digits) if digits.isascii() and digits.isdigit() else 0.0


def _time(headers: Headers, name: str) -> float | None:
    try:
        return parsedate_to_datetime(_text(headers, name)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
