"""`RedisLimiter` keeps the budgets in Redis, for workers on several machines. Each call is one Lua script.

The scripts use Redis' own clock. Requests that must wait form one queue over all workers: first come, first served.
While Redis is away all workers wait, because nothing is sent without a budget. If Redis restarts and has lost its data,
every window counts as full for its whole length, because nobody knows any more what was sent.
"""

from __future__ import annotations

import uuid
from collections import deque
from typing import Any

from redis import exceptions

from anime_crawler.rate_limit.clock import SystemClock
from anime_crawler.rate_limit.limiter import (
    ASK_AGAIN_S,
    BREAKER_THRESHOLD,
    CLOCKS_APART_S,
    FIRST_REST_S,
    LONGEST_REST_S,
    LONGEST_WAIT_S,
    LimiterError,
    Wait,
    remembered_s,
    stretched_s,
)
from anime_crawler.rate_limit.limits import Limits
from anime_crawler.rate_limit.redis_client import redis_client
from anime_crawler.rate_limit.redis_scripts import (
    ACQUIRE,
    FULL,
    LATE,
    LOOK,
    PARTS,
    PENALIZE,
    PREFIX,
    RECORD_FAILURE,
    RECORD_SUCCESS,
)
from anime_crawler.redis_words import may_pass, refusal

PLACE_KEPT_S = ASK_AGAIN_S + 2.0  # a busy event loop asks late; the place of a dead worker is free after this time
RETRY_S = 2.0  # the pause between two tries to reach Redis; each try may take as long as its timeout
# A restart of Redis takes seconds with its file, a restart of its machine takes minutes. A longer outage ends the run,
# which can be resumed.
PATIENCE_S = 300.0


class LimiterAwayError(LimiterError):
    """Redis cannot be used at the moment; the same call may succeed later."""

    exit_code = 3


class RedisLimiter:
    """The `Limiter` for several machines. It calls Redis once at the start, so that a wrong address shows at once.

    Args:
        url: the value of REDIS_URL.
    """

    def __init__(self, url: str, clock: SystemClock | None = None) -> None:
        self._redis = redis_client(url)
        self._clock = clock or SystemClock()
        self._seen = 0
        """The last time that Redis told, in microseconds of its clock."""
        self._asked_at = 0.0
        """The time of the call that gave `_seen`, in seconds of this machine's steady clock."""
        self._away_since: float | None = None
        self._retry_at = 0.0
        self._notes: deque[tuple[str, str, tuple[Any, ...]]] = deque()
        """Calls that Redis has not received yet, as (script, upstream, arguments)."""
        self.used("start", Limits())

    def close(self) -> None:
        self._redis.close()

    def acquire(self, upstream: str, limits: Limits, place: str = "") -> Wait | None:
        place = place or uuid.uuid4().hex
        rules = _micros(PLACE_KEPT_S), BREAKER_THRESHOLD, _micros(LONGEST_REST_S), _micros(remembered_s(limits))
        if self._clock.steady() < self._retry_at:
            return self._outage(place)
        try:
            self._tell()
            _, micros, cause, why = self._run(ACQUIRE, upstream, place, *rules, *_sizes(limits))
        except LimiterAwayError as error:
            self._be_patient(error)
            return self._outage(place)
        return Wait(micros / 1e6, cause.decode(), _reason(cause, why, limits), place) if micros else None

    def late(self, upstream: str, limits: Limits, ago_s: float, by_s: float) -> None:
        if remembered_s(limits):
            self._note(LATE, upstream, _micros(ago_s + CLOCKS_APART_S), _micros(by_s))

    def penalize(self, upstream: str, seconds: float, why: str) -> None:
        self._note(PENALIZE, upstream, _micros(seconds), why)

    def record_failure(self, upstream: str) -> None:
        self._note(RECORD_FAILURE, upstream, BREAKER_THRESHOLD, _micros(FIRST_REST_S))

    def record_success(self, upstream: str) -> None:
        self._note(RECORD_SUCCESS, upstream)

    def used(self, upstream: str, limits: Limits) -> dict[str, int]:
        counts = self._run(LOOK, upstream, *(_micros(window.seconds) for window in limits.windows))[3:]
        return {str(window): count for window, count in zip(limits.windows, counts, strict=True)}

    def resting(self, upstream: str) -> Wait | None:
        _, micros, why = self._run(LOOK, upstream)
        return Wait(micros / 1e6, "penalty", why.decode()) if micros else None

    def exhausted(self, upstream: str, limits: Limits) -> Wait | None:
        _, micros, cause, why = self._run(FULL, upstream, *_sizes(limits))
        return (
            Wait(micros / 1e6, cause.decode(), _reason(cause, why, limits)) if micros / 1e6 > LONGEST_WAIT_S else None
        )

    def _note(self, script: str, upstream: str, *arguments: Any) -> None:
        """Make the call now, or keep it until Redis answers; no request is sent before that."""
        self._notes.append((script, upstream, arguments))
        if self._clock.steady() >= self._retry_at:
            try:
                self._tell()
            except LimiterAwayError as error:
                self._be_patient(error)

    def _tell(self) -> None:
        while self._notes:
            script, upstream, arguments = self._notes[0]
            self._run(script, upstream, *arguments)
            self._notes.popleft()

    def _run(self, script: str, upstream: str, *arguments: Any) -> list[Any]:
        """Run the script and return its answer, whose first value is the time of Redis."""
        keys = [PREFIX + "clock", *(f"{PREFIX}{upstream}:{part}" for part in PARTS)]
        asked_at = self._clock.steady()
        since = _micros(asked_at - self._asked_at)
        try:
            answer: list[Any] = self._redis.register_script(script)(keys, [self._seen, since, *arguments])
        except (exceptions.RedisError, OSError) as error:
            if not may_pass(error):
                said = f"the Redis of REDIS_URL, which keeps the request budgets, cannot be used: {error}"
                raise LimiterError(refusal(error, "REDIS_URL") or said) from error
            raise LimiterAwayError(
                f"the Redis of REDIS_URL, which keeps the request budgets, cannot be used: {error}. Nothing is sent "
                "without them: start it, or set REDIS_URL to one that answers and may be written, and run the same "
                "command again"
            ) from error
        self._seen, self._asked_at, self._away_since = answer[0], asked_at, None
        return answer

    def _be_patient(self, error: LimiterAwayError) -> None:
        """Note the outage of Redis.

        Raises:
            LimiterAwayError: if the outage has lasted longer than `PATIENCE_S`.
        """
        now = self._clock.steady()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since > PATIENCE_S:
            raise error
        self._retry_at = now + RETRY_S

    def _outage(self, place: str) -> Wait:
        return Wait(RETRY_S, "outage", "the Redis of REDIS_URL does not answer", place)


def _reason(cause: bytes, why: bytes, limits: Limits) -> str:
    """The reason in the words of `SqliteLimiter`."""
    if cause == b"limit":
        return f"limit {limits.windows[int(why)]}"
    if cause == b"breaker":
        return f"{int(why)} failures in a row; it is asked again after a rest"
    return why.decode()


def _sizes(limits: Limits) -> list[int]:
    """Count and length in microseconds of each window, one after the other."""
    return [number for window in limits.windows for number in (window.count, _micros(stretched_s(window)))]


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)
