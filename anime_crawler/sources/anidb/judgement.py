"""What AniDB's answers mean: the root element says it, for each of its errors has the status 200."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from scrapy.http import Response

from anime_crawler.base_spiders import ACCEPT, Action, ResponseError, Verdict
from anime_crawler.items import utc_now
from anime_crawler.sources.anidb import CARD
from anime_crawler.sources.anidb.schema import ANIME, DUMP, WebPageError, root_from_body

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

BAN = timedelta(hours=24)
"""Bans last 6 to 24 hours, seldom longer, and begin anew with each request."""
PAUSE_S = 900.0
"""After an overload, or a block in front of AniDB; a lower bound."""


def judged(response: Response) -> Verdict:
    """The root element decides before the status. None is asked again at once."""
    if response.status == 304:
        return ACCEPT
    try:
        root = root_of(response)
    except ResponseError as error:
        return _judge_unreadable(response, error)
    if root.tag == "error":
        return _judge_error(root.get("code") or "", (root.text or "").strip())
    return _judge_root(root) if response.status == 200 else _judge_status(response)


_roots: WeakKeyDictionary[Response, Any] = WeakKeyDictionary()
"""Parsed bodies of the responses that are alive: judged first, then read by the callback."""


def root_of(response: Response) -> Element:
    """The root element of an answer.

    Raises:
        ResponseError: the answer is none of AniDB's.
    """
    if response not in _roots:
        _roots[response] = root_from_body(response.body)
    root: Element = _roots[response]
    return root


def _judge_error(code: str, text: str) -> Verdict:
    words = text.casefold()
    if "banned" in words:
        return _blocked("AniDB has banned this address")
    if code == "302" or "client version" in words:
        message = f"AniDB does not know this client or its version ({text[:100]}); the version is a whole number"
        return Verdict(Action.GIVE_UP, "client_refused", message, "ANIDB_CLIENT")
    if code == "330" or "anime not found" in words:
        return Verdict(Action.GIVE_UP, "not_found", "AniDB has no such anime")
    if code == "998" or "aid missing" in words:
        return Verdict(Action.GIVE_UP, "bad_request", f"AniDB takes the request for wrong: {text[:200]}")
    return Verdict(Action.GIVE_UP, "refused", f"AniDB says: {text[:200]}")


def _blocked(what: str) -> Verdict:
    message = f"{what}; each request makes it longer, so nothing is asked before {utc_now() + BAN:%Y-%m-%d %H:%M} UTC"
    return Verdict(Action.GIVE_UP, "blocked", message, rest_s=BAN.total_seconds())


def _judge_root(root: Element) -> Verdict:
    if root.tag == ANIME:
        empty = Verdict(Action.GIVE_UP, "empty_anime", "AniDB sends an anime with nothing in it; try it another day")
        return ACCEPT if len(root) else empty
    if root.tag == DUMP and len(root):
        return ACCEPT
    return _wrong_shape(f"<{root.tag[:40]}> with {len(root)} children is no answer of AniDB's")


def _judge_unreadable(response: Response, error: ResponseError) -> Verdict:
    if isinstance(error, WebPageError) and response.status in (200, 403):
        return _blocked("AniDB sends a web page, its robot check or a block")
    if response.status != 200:
        return _judge_status(response)
    is_probe = urlsplit(response.url).path.endswith(CARD.probe.path) and response.body
    return ACCEPT if is_probe else _wrong_shape(str(error))


def _wrong_shape(message: str) -> Verdict:
    """Not tried again at once: the same anime twice in a day, or a second dump, is a reason for a ban."""
    return Verdict(Action.GIVE_UP, "wrong_shape", message, is_upstream_trouble=True)


def _judge_status(response: Response) -> Verdict:
    status = response.status
    if status == 403:
        return _blocked("AniDB refuses this address or its user agent (status 403)")
    if status == 429 or status >= 500:
        message = f"status {status}: AniDB wants a pause of a quarter of an hour at least"
        return Verdict(Action.GIVE_UP, "overloaded", message, is_upstream_trouble=True, rest_s=PAUSE_S)
    if 300 <= status < 400:
        host = urlsplit((response.headers.get("Location") or b"").decode("latin-1")).hostname
        return Verdict(Action.GIVE_UP, "moved", f"AniDB redirects to {host}", "ANIDB_BASE_URL")
    return Verdict(Action.GIVE_UP, f"status_{status}", f"status {status}: this is not AniDB's API", "ANIDB_BASE_URL")
