"""`classify` names the outcome of a POST from the status *and* the text of its answer, for what the importer does next.

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


class ImportKind(StrEnum):
    """An `ImportKind` is one of the three imports; its value is the last part of the import's path."""

    ANIME = "anime"
    EPISODES = "episodes"
    PLAYER = "video"


@dataclass(frozen=True, slots=True)
class Answer:
    """An `Answer` is the backend's response to one POST."""

    status: int
    text: str
    retry_after: str | None = None
    """The header ``Retry-After``. aiohttp escapes bytes that are not UTF-8."""

    @property
    def asked_s(self) -> float | None:
        """Seconds from now that the header asks to wait, at least 0; ``None``: it is absent or not understood."""
        said = (self.retry_after or "").encode("utf-8", "surrogateescape")
        return retry_after_s(Headers({"Retry-After": said}), time.time())


class Outcome(StrEnum):
    """An `Outcome` says how one POST ended."""

    DELIVERED = "delivered"
    # another service answered, or the token was refused
    REDIRECT = "redirect"
    TOKEN_REFUSED = "token_refused"  # noqa: S105  a name, not a secret
    TOKEN_STRIPPED = "token_stripped"  # noqa: S105
    WRONG_SERVICE = "wrong_service"
    NOT_OUR_BACKEND = "not_our_backend"
    # the record is at fault, or may be
    NOT_STORED = "not_stored"
    BAD_ENCODING = "bad_encoding"
    REFUSED_PAYLOAD = "refused_payload"
    BAD_DATA = "bad_data"
    TOO_LARGE = "too_large"
    MULTIPLE_ROWS = "multiple_rows"
    REFUSED = "refused"
    # the record's parent or another record is at fault, or the cause is unknown
    PARENT_MISSING = "parent_missing"
    CONFLICT = "conflict"
    LOST_RACE = "lost_race"
    UNKNOWN_ERROR = "unknown_error"
    # the backend cannot take the record now
    SLOW_DOWN = "slow_down"
    DATABASE_TROUBLE = "database_trouble"
    UNAVAILABLE = "unavailable"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"


STOPS = frozenset({Outcome.TOKEN_REFUSED, Outcome.TOKEN_STRIPPED})
"""Outcomes after which no POST can succeed until a setting is changed."""

FINAL = frozenset({Outcome.BAD_ENCODING, Outcome.BAD_DATA, Outcome.TOO_LARGE, Outcome.MULTIPLE_ROWS})
"""Outcomes of a record that would be refused again: it becomes a dead letter."""

REFUSED_BY_BACKEND = frozenset({Outcome.REFUSED_PAYLOAD, Outcome.REFUSED})
"""Outcomes for which the record is at fault, unless other records have the same outcome."""

SUSPECT_AT_ONCE = REFUSED_BY_BACKEND | {Outcome.WRONG_SERVICE, Outcome.REDIRECT}
"""Outcomes of a 4xx or 3xx for which the record or the backend may be at fault; see `suspects`."""

SUSPECT = SUSPECT_AT_ONCE | {
    Outcome.UNKNOWN_ERROR,
    Outcome.UNAVAILABLE,
    Outcome.NOT_OUR_BACKEND,
    Outcome.TIMEOUT,
    Outcome.DISCONNECTED,
}
"""`SUSPECT_AT_ONCE`, and outcomes for which either may be at fault once a record has used up its attempts."""

SPLITS = frozenset({Outcome.BAD_DATA, Outcome.TOO_LARGE})
"""Outcomes of a list in which one bad entry is enough: the list is halved until the bad entry is alone."""

NEEDS_PARENT = frozenset({Outcome.PARENT_MISSING, Outcome.CONFLICT})
"""Outcomes after which the record's parent is delivered once more, and then the record."""

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
"""Outcomes that say that the backend does not work. They count for the circuit breaker, and the POST may succeed
later."""

UNCOUNTED = frozenset({Outcome.UNREACHABLE, Outcome.UNAVAILABLE, Outcome.SLOW_DOWN})
"""Outcomes that say nothing about the record. While the backend is away they do not use up the record's attempts."""

IN_DOUBT = frozenset({Outcome.TIMEOUT, Outcome.DISCONNECTED, Outcome.UNAVAILABLE, Outcome.NOT_OUR_BACKEND})
"""Outcomes after which the POST may have been stored, or may still be: there was no answer, or a gateway gave it while
the backend goes on with the request."""

STOP_SETTINGS = {
    Outcome.TOKEN_REFUSED: ("INTERNAL_TOKEN", "it differs from the backend's own INTERNAL_TOKEN"),
    Outcome.TOKEN_STRIPPED: (
        "BACKEND_BASE_URL",
        "the header X-Internal-Token does not arrive: a proxy strips it; let it pass, or address the backend directly",
    ),
    Outcome.REDIRECT: ("BACKEND_BASE_URL", "it redirects; the token is not sent there: set the address it leads to"),
    Outcome.WRONG_SERVICE: ("BACKEND_BASE_URL", "what answers there does not have the backend's import API"),
}
"""Outcome -> the setting to change, and why."""


class DeliveryStoppedError(Exception):
    """The delivery raises this when it can send no more in this run; records that are not delivered stay pending."""

    def __init__(self, reason: str, setting: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.setting = setting


class MisdirectedError(DeliveryStoppedError):
    """The delivery raises this if the catalogue holds invented titles and the backend is not the sandbox's.

    No POST was sent. The command ends with exit code 2.
    """


class NoAnswerError(Exception):
    """`BackendClient` raises this if a POST gets no answer.

    The outcome is ``unreachable`` (certainly not sent), ``timeout`` or ``disconnected`` (both in doubt).
    """

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
"""Status -> outcome, if `TEXTS` does not say more. A 401, 403 or 404 without the backend's own text is a proxy's."""

TEXTS = (
    (400, re.compile(r"error parsing the body"), Outcome.BAD_ENCODING),
    (403, re.compile(r"Invalid internal token"), Outcome.TOKEN_REFUSED),
    (404, re.compile(r"(Anime|Episode) not found: "), Outcome.PARENT_MISSING),
    (500, re.compile(r"Multiple rows were found"), Outcome.MULTIPLE_ROWS),
    (500, re.compile(r"uq_anime_source|ix_anime_slug|uq_episode_source"), Outcome.LOST_RACE),
    (500, re.compile(r"invalid byte sequence|out of int32 range|index row size"), Outcome.BAD_DATA),
    (500, re.compile(r"connection is closed|Connection refused|QueuePool limit|deadlock"), Outcome.DATABASE_TROUBLE),
)
"""(status, text in the answer, outcome); the first entry that fits counts. Source: the backend's error matrix."""


def classify(status: int, body_text: str) -> Outcome:
    """The outcome that one answer means."""
    if status == 200:
        return _classify_200(body_text)
    said = body_text.partition("[SQL")[0]  # after it come the parameters, whose descriptions may hold any words
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
    """The value of ``success`` in the answer; ``None``: the answer does not have the key."""
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
    """The answer in one short line, for logs and dead letters.

    The text of a 500 quotes SQL with its parameters. Only its class names, constraints and known phrases are kept.
    """
    if status == 500:
        said = body_text.partition("[SQL")[0]
        found = [m.group() for p in (_CLASS, _CONSTRAINT, _KNOWN) for m in p.finditer(said)]
        return f"500 {' '.join(dict.fromkeys(found)) or 'of unknown cause'}"
    return f"{status} {_shape(body_text) if status < 300 else _message(body_text)}"


def _shape(body_text: str) -> str:
    """Describe an answer below 300 whose body is not ``success: true``; each wrong shape has its own description."""
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
