"""`rest_after` says for how long no process asks an upstream that has refused an answer. It is pure."""

from __future__ import annotations

from typing import Any

from scrapy.http.headers import Headers

from anime_crawler.base_spiders import Verdict
from anime_crawler.rate_limit.headers import retry_after_s

LONGEST_ASKED_S = 86_400.0
"""A day. A longer ``Retry-After`` is taken for an error; the card of a source states a ban that is longer."""
LONGEST_SLEEP_S = 900.0
"""A quarter of an hour. A run does not sleep through a longer rest: it ends incomplete, and the next run continues."""
BLOCKS = frozenset({"blocked", "challenge"})
"""Verdicts of these kinds say that the upstream shuts out this address or this program."""


def rest_after(verdict: Verdict, card: Any, status: int, headers: Headers, now: float) -> tuple[float, str]:
    """Seconds for which no process may ask the upstream after this refusal, and the reason; 0 seconds mean no rest.

    ``Retry-After`` counts with every status but a redirect's, for a day at most. Without it, a block lasts as long as
    the card says. A time that the verdict names is a lower bound for both.

    Args:
        card: a `SourceCard`.
        now: Unix time.
    """
    asked_s = 0.0 if 300 <= status < 400 else retry_after_s(headers, now) or 0.0
    block_s = card.block_rest_s if verdict.kind in BLOCKS else 0.0
    known_s = verdict.rest_s or (0.0 if asked_s else block_s)
    if known_s >= asked_s:
        return known_s, verdict.message
    return min(asked_s, max(LONGEST_ASKED_S, block_s)), "Retry-After"
