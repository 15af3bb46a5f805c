"""A verdict tells the caller, by status *and* body of a response, to go on, to try again, or to give up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urljoin, urlsplit

from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders.card import SourceCard
from anime_crawler.base_spiders.errors import ResponseError


class Action(StrEnum):
    """The caller's next step."""

    ACCEPT = "accept"
    """Hand the response to its callback."""
    RETRY = "retry"
    """The same request may succeed later."""
    GIVE_UP = "give_up"
    """Repeating cannot help; a person or another request must act."""


@dataclass(frozen=True)
class Verdict:
    """One response, judged."""

    action: Action
    kind: str = "ok"
    """Short name for stats and reports, the same for the same thing in all sources. For nearly all: ``rate_limited``,
    ``server_error``, ``not_json``, ``wrong_shape``, ``moved``, ``blocked``, ``refused``, ``not_found``; of lists:
    ``repeated_page``, ``endless_list``. Others are a source's own."""
    message: str = ""
    """One sentence for a person: what happened and what to do. No secrets."""
    setting: str | None = None
    """The setting that mends it, where there is one."""
    is_upstream_trouble: bool = False
    """True when it says something about the upstream's health and so counts for the circuit breaker."""
    rest_s: float = 0.0
    """Seconds for which nobody on this machine asks the upstream again, whatever is started: a ban or a block."""


ACCEPT = Verdict(Action.ACCEPT)
OUT_OF_QUOTA = "quota"
"""Kind of the verdict on a request that our own limit leaves no room for today: nobody has refused anything."""


class GivenUp(IgnoreRequest):
    """A request that will not be tried again in this run; raised to its errback.

    Args:
        verdict: why; ``verdict.kind`` is ``stopped`` when the run is being stopped, and the request stays pending.
        attempts: how often it was sent.
        response: the last answer, for the dead letter of one that could not be read; ``None``: there was none.
    """

    def __init__(self, verdict: Verdict, attempts: int, response: Response | None = None) -> None:
        super().__init__(f"{verdict.kind} after {attempts} attempts: {verdict.message}")
        self.verdict = verdict
        self.attempts = attempts
        self.response = response


def kind_of(failure: Failure) -> str | None:
    """Kind of the verdict for which a request was given up; ``None``: it failed in another way, by a bug of ours."""
    return failure.value.verdict.kind if isinstance(failure.value, GivenUp) else None


def request_of(failure: Failure) -> Request:
    """The request that an errback is told of."""
    request: Request = failure.request  # type: ignore[attr-defined]
    return request


RETRIABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 530})
"""RFC 9110's and Cloudflare's "not now" answers; every other status >= 400 is final unless a source knows better."""


def verdict_by_status(status: int) -> Verdict:
    """The verdict where nothing is known about the body."""
    if status == 429:
        return Verdict(Action.RETRY, "rate_limited", "the upstream asks us to slow down", is_upstream_trouble=True)
    if status in RETRIABLE_STATUSES:
        return Verdict(Action.RETRY, "server_error", f"status {status}", is_upstream_trouble=True)
    if status >= 300:
        return Verdict(Action.GIVE_UP, f"status_{status}", f"status {status}")
    return ACCEPT


def unreadable(error: ResponseError) -> Verdict:
    """The verdict on an answer that cannot be read: it may have been cut, or damaged on its way."""
    return Verdict(Action.RETRY, error.kind, str(error), is_upstream_trouble=True)


def moved(response: Response, card: SourceCard) -> Verdict:
    """The verdict on a redirect: nothing is sent after it, so that no token or query goes to a host nobody named."""
    here, there = urlsplit(response.url).hostname, urlsplit(location_of(response)).hostname
    where = f"another page of {here}" if there == here else there
    message = f"{card.title} redirects to {where}; no redirect is followed"
    return Verdict(Action.GIVE_UP, "moved", message, card.base_url_setting)


def location_of(response: Response) -> str:
    """The whole address that a redirect leads to; the response's own where it names none that can be read."""
    try:
        return urljoin(response.url, (response.headers.get("Location") or b"").decode("latin-1"))
    except ValueError:
        return response.url


def wrong_address(card: SourceCard) -> Verdict:
    """The verdict on a 404 for what the upstream always has: somebody else answers at this address."""
    message = f"status 404: this is not {card.title}"
    return Verdict(Action.GIVE_UP, "status_404", message, card.base_url_setting)
