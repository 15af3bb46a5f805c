"""An answer's meaning follows from its status *and* text, and is named for what the importer does next.

DeliveryStoppedError   no POST can succeed until a person acts or the backend is back: end the delivery, keep the rest
└── MisdirectedError   the titles are not for this backend
NoAnswerError          one POST had no answer; its outcome says whether it may have been stored
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from enum import StrEnum

import orjson
from scrapy.http import Headers

from anime_crawler.rate_limit.headers import retry_after_s


class Kind(StrEnum):
    """The three imports."""

    ANIME = "anime"
    EPISODES = "episodes"
    PLAYER = "video"


@dataclass(frozen=True, slots=True)
class Answer:
    """An `Answer` is the backend's response to one POST."""

    status: int
    text: str
    retry_after: str | None = None
    """The header; bytes that are no UTF-8 stand in it as aiohttp leaves them, escaped."""

    @property
    def asked_s(self) -> float | None:
        """Seconds from now that the header asks for, at least 0; ``None``: there is none, or none that can be read."""
        said = (self.retry_after or "").encode("utf-8", "surrogateescape")
        return retry_after_s(Headers({"Retry-After": said}), time.time())


class Outcome(StrEnum):
    """Named outcomes of one POST."""

    DELIVERED = "delivered"
    # somebody else answered, or nobody may
    REDIRECT = "redirect"
    TOKEN_REFUSED = "token_refused"  # noqa: S105  a name, not a secret
    TOKEN_STRIPPED = "token_stripped"  # noqa: S105
    WRONG_SERVICE = "wrong_service"
    NOT_OUR_BACKEND = "not_our_backend"
    # this record
    NOT_STORED = "not_stored"
    BAD_ENCODING = "bad_encoding"
    REFUSED_PAYLOAD = "refused_payload"
    BAD_DATA = "bad_data"
    TOO_LARGE = "too_large"
    MULTIPLE_ROWS = "multiple_rows"
    REFUSED = "refused"
    # its surroundings
    PARENT_MISSING = "parent_missing"
    CONFLICT = "conflict"
    LOST_RACE = "lost_race"
    UNKNOWN_ERROR = "unknown_error"
    # not now
    SLOW_DOWN = "slow_down"
    DATABASE_TROUBLE = "database_trouble"
    UNAVAILABLE = "unavailable"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"


STOPS = frozenset({Outcome.TOKEN_REFUSED, Outcome.TOKEN_STRIPPED})
"""No POST can succeed until a setting is changed."""

FINAL = frozenset({Outcome.BAD_ENCODING, Outcome.BAD_DATA, Outcome.TOO_LARGE, Outcome.MULTIPLE_ROWS})
"""This record is refused, and will be again: dead letter."""

REFUSED_BY_BACKEND = frozenset({Outcome.REFUSED_PAYLOAD, Outcome.REFUSED})
"""The record's own fault, unless the same happens to others."""

SUSPECT_AT_ONCE = REFUSED_BY_BACKEND | {Outcome.WRONG_SERVICE, Outcome.REDIRECT}
"""A 4xx or 3xx that may be the record's own fault or the backend's; see `suspects`."""

SUSPECT = SUSPECT_AT_ONCE | {
    Outcome.UNKNOWN_ERROR,
    Outcome.UNAVAILABLE,
    Outcome.NOT_OUR_BACKEND,
    Outcome.TIMEOUT,
    Outcome.DISCONNECTED,
}
"""The same, and what may be so after all attempts."""

SPLITS = frozenset({Outcome.BAD_DATA, Outcome.TOO_LARGE})
"""One bad entry refuses its whole list: halve it until the bad one is alone."""

NEEDS_PARENT = frozenset({Outcome.PARENT_MISSING, Outcome.CONFLICT})
"""Deliver the parent once more, then this."""

TROUBLE = frozenset(
    {
        Outcome.NOT_OUR_BACKEND,
        Outcome.DATABASE_TROUBLE,
        Outcome.UNKNOWN_ERROR,
        Outcome.UNAVAILABLE,
        Outcome.UNREACHABLE,
        Outcome.TIMEOUT,
        Outcome.DISCONNECTED,
    }
)
"""The backend is not well: counts for the breaker; the same POST may succeed later."""

UNCOUNTED = frozenset({Outcome.UNREACHABLE, Outcome.UNAVAILABLE, Outcome.SLOW_DOWN})
"""Say nothing about the record: while the backend is away they do not use up its attempts."""

IN_DOUBT = frozenset({Outcome.TIMEOUT, Outcome.DISCONNECTED, Outcome.UNAVAILABLE, Outcome.NOT_OUR_BACKEND})
"""The POST may have been stored, or may still be: nobody answered, or somebody in front of a backend that goes on."""

STOP_SETTINGS = {
    Outcome.TOKEN_REFUSED: ("INTERNAL_TOKEN", "it differs from the backend's own INTERNAL_TOKEN"),
    Outcome.TOKEN_STRIPPED: (
        "BACKEND_BASE_URL",
        "the header X-Internal-Token does not arrive: a proxy strips it; let it pass, or address the backend directly",
    ),
    Outcome.REDIRECT: ("BACKEND_BASE_URL", "it redirects; the token is not sent there: set the address it leads to"),
    Outcome.WRONG_SERVICE: ("BACKEND_BASE_URL", "what answers there does not have the backend's import API"),
}
"""Outcome -> the setting that mends it, and why."""


class DeliveryStoppedError(Exception):
    """The delivery raises this when it can send no more in this run; records that are not delivered stay pending."""

    def __init__(self, reason: str, setting: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.setting = setting


class MisdirectedError(DeliveryStoppedError):
    """The catalogue holds invented titles, and the backend is not the sandbox's: nothing was sent. Exit code 2."""


class NoAnswerError(Exception):
    """A POST without an answer: ``unreachable`` (certainly not sent), ``timeout`` or ``disconnected`` (in doubt)."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


STATUSES = {
    400: Outcome.REFUSED,
    401: Outcome.WRONG_SERVICE,
    403: Outcome.WRONG_SERVICE,
    404: Outcome.WRONG_SERVICE,
    405: Outcome.WRONG_SERVICE,
    407: Outcome.WRONG_SERVICE,
    408: Outcome.UNAVAILABLE,
    409: Outcome.CONFLICT,
    412: Outcome.CONFLICT,
    413: Outcome.TOO_LARGE,
    414: Outcome.TOO_LARGE,
    422: Outcome.REFUSED_PAYLOAD,
    425: Outcome.UNAVAILABLE,
    429: Outcome.SLOW_DOWN,
    431: Outcome.TOO_LARGE,
}
"""Status -> outcome where the text does not say more. 401, 403, 404 without the backend's own text are a proxy's."""

TEXTS = (
    (400, re.compile(r"error parsing the body"), Outcome.BAD_ENCODING),
    (403, re.compile(r"Invalid internal token"), Outcome.TOKEN_REFUSED),
    (404, re.compile(r"(Anime|Episode) not found: "), Outcome.PARENT_MISSING),
    (500, re.compile(r"Multiple rows were found"), Outcome.MULTIPLE_ROWS),
    (500, re.compile(r"uq_anime_source|ix_anime_slug|uq_episode_source"), Outcome.LOST_RACE),
    (500, re.compile(r"invalid byte sequence|out of int32 range|index row size"), Outcome.BAD_DATA),
    (500, re.compile(r"connection is closed|Connection refused|QueuePool limit|deadlock"), Outcome.DATABASE_TROUBLE),
)
"""(status, text in the answer, outcome); the first that fits. Source: the backend's error matrix."""


def classify(status: int, body_text: str) -> Outcome:
    """The meaning of one answer."""
    if status == 200:
        return _classify_200(body_text)
    said = body_text.partition("[SQL")[0]  # what follows are parameters: descriptions may hold any words
    for text_status, pattern, outcome in TEXTS:
        if status == text_status and pattern.search(said):
            return outcome
    if status in STATUSES:
        return STATUSES[status]
    if status < 300:
        return Outcome.NOT_OUR_BACKEND
    if status < 400:
        return Outcome.REDIRECT
    if status < 500:
        return Outcome.REFUSED
    return Outcome.UNKNOWN_ERROR if status == 500 else Outcome.UNAVAILABLE


def _classify_200(body_text: str) -> Outcome:
    success = _success(body_text)
    if success is True:
        return Outcome.DELIVERED
    return Outcome.NOT_STORED if success is False else Outcome.NOT_OUR_BACKEND


def _success(body_text: str) -> object:
    """The answer's ``success``; ``None`` when it has none."""
    try:
        answer = orjson.loads(body_text)
    except orjson.JSONDecodeError:
        return None
    return answer.get("success") if isinstance(answer, dict) else None


_CLASS = re.compile(r"\b\w+(?:Error|Violation|Exception)\b")
_CONSTRAINT = re.compile(r"\b(?:uq|ix|pk|fk)_\w+|\b\w+_pkey\b")
_KNOWN = re.compile(
    r"Multiple rows were found|invalid byte sequence|value out of int32 range|index row size|connection is closed"
    r"|Connection refused|QueuePool limit|deadlock"
)


def explain(status: int, body_text: str) -> str:
    """The answer in one short line, fit for logs and dead letters.

    A 500 quotes SQL with its parameters: only class names, constraints and known phrases of it are kept.
    """
    if status == 500:
        said = body_text.partition("[SQL")[0]
        found = [m.group() for p in (_CLASS, _CONSTRAINT, _KNOWN) for m in p.finditer(said)]
        return f"500 {' '.join(dict.fromkeys(found)) or 'of unknown cause'}"
    return f"{status} {_shape(body_text) if status < 300 else _message(body_text)}"


def _shape(body_text: str) -> str:
    """Describe a 200 whose body is not ``success: true``; each wrong shape has its own words."""
    text = body_text.strip()
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return f"but HTML, not JSON: {_line(text)}" if text.startswith("<") else f"but not JSON: {_line(text)!r}"
    if not isinstance(answer, dict):
        return f"but {_line(text)} where an object was expected"
    if "success" not in answer:
        return f"without `success`: {_line(text)}"
    return f"with success {answer['success']}: {_line(text)}"


def _message(body_text: str) -> str:
    try:
        answer = orjson.loads(body_text)
        return _line(str(answer["error"]["message"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _line(body_text)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
