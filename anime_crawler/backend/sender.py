"""`Sender` sends every POST of a delivery: it waits for a free slot, the circuit breaker and the rate limit, sends the
POST, and names its outcome."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING

from anime_crawler.backend.circuit_breaker import LONGEST_PAUSE_S, POLL_S, CircuitBreaker
from anime_crawler.backend.lease_keeper import LeaseKeeper
from anime_crawler.backend.outcomes import (
    STOP_SETTINGS,
    STOPS,
    TROUBLE,
    UNCOUNTED,
    Answer,
    ImportKind,
    NoAnswerError,
    Outcome,
    classify,
    explain,
)
from anime_crawler.catalogue.origin import origin_of
from anime_crawler.catalogue.writer import Catalogue
from anime_crawler.config import Config
from anime_crawler.failure import Failure, log_failure
from anime_crawler.rate_limit.limiter import Limiter
from anime_crawler.rate_limit.limits import Limits, budget_of, with_rate
from anime_crawler.rate_limit.rest import LONGEST_ASKED_S
from anime_crawler.run.report import RunReport

if TYPE_CHECKING:
    from anime_crawler.backend.client import BackendClient

logger = logging.getLogger(__name__)

LOST_RACE_S = (0.1, 1.0)
"""Shortest and longest pause after a lost race, in seconds. The other POST is committed by then. The pause is random,
so that not all losers come back at once."""

SLOT_BACK_S = 60.0
"""Seconds after a 429, or after the last slot came back, before one more POST may be in flight again. Where the
backend's limit still holds, this costs one 429 and its pause a minute."""

MISDIRECTED = (
    "the catalogue holds invented titles of the sandbox, and this backend is not the sandbox's, so nothing is sent: "
    "set DATABASE_URL to the catalogue that is meant, or BACKEND_BASE_URL to the sandbox's backend"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A `Reply` says how one POST ended."""

    outcome: Outcome
    trace_id: str
    reason: str = ""
    delay_s: float = 0.0
    """Seconds before the same record may be sent again."""
    left_at: float = 0.0
    """Monotonic time at which the POST was sent."""


class Sender:
    """`Sender` is the only way to the backend. Call `send` once inside ``async with sender:``.

    Args:
        limiter: counts POSTs if BACKEND_LIMITS or RATE_LIMIT_RPS states a limit, and keeps the pauses that the backend
            asked for. All importers obey it.
    """

    def __init__(
        self,
        client: BackendClient,
        breaker: CircuitBreaker,
        config: Config,
        report: RunReport,
        limiter: Limiter,
        leases: LeaseKeeper,
        catalogue: Catalogue,
    ) -> None:
        self._client = client
        self.leases = leases
        self.breaker = breaker
        self._config = config
        self._report = report
        self._limiter = limiter
        self._budget = budget_of("backend", config.backend_base_url or "")
        self._limits = with_rate(config.backend_limits or Limits(), config.rate_limit_rps)
        self._slots = config.concurrency
        self._retiring = 0
        self._slot_back_at = 0.0
        self._free = asyncio.Semaphore(config.concurrency)
        self._traces = count()
        self._trace_prefix = secrets.token_hex(6)
        self._token_arrives = False
        self._probing = asyncio.Lock()
        self._catalogue = catalogue
        self._is_right_backend = False

    async def __aenter__(self) -> Sender:
        await self.acquire()
        return self

    async def acquire(self, *, may_probe: bool = True) -> bool:
        """Wait until one POST may leave, and take a slot for it; `release` gives the slot back.

        Args:
            may_probe: whether this POST may be the one that probes a backend that is thought to be away.

        Returns:
            False: the backend is thought to be away and the POST may not probe. No slot was taken.
        """
        await self._free.acquire()
        try:
            may_leave = await self.breaker.acquire(may_probe=may_probe)
            if may_leave and not self._is_right_backend:
                async with self._probing:
                    await self._check_backend()
            if may_leave:
                await self._wait_for_budget()
                may_leave = may_probe or not self.breaker.is_open
        except BaseException:
            self._free.release()
            raise
        if not may_leave:
            self._free.release()
        return may_leave

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give back the slot of one POST."""
        if self._retiring:
            self._retiring -= 1
        else:
            self._free.release()

    async def check_backend(self) -> None:
        """Return once the backend is known to be one for the catalogue's titles.

        Invented titles go to the sandbox's own backend and to no other. Before this returns, no receipts are kept for
        the backend.

        Raises:
            MisdirectedError: if the catalogue holds invented titles and the backend is not the sandbox's.
            DeliveryStoppedError: if the backend does not answer.
        """
        if await self._catalogue.read(origin_of) == "sandbox":
            await self.breaker.acquire()
            await self._check_backend()
            self.breaker.record_success()

    async def _check_backend(self) -> None:
        """Check the backend once. It is also called before the first POST: the catalogue may have been empty before."""
        failures = 0
        while not self._is_right_backend:
            try:
                if await self._catalogue.read(origin_of) == "sandbox" and not await self._client.is_sandbox():
                    self.breaker.misdirect(MISDIRECTED)
                self._is_right_backend = True
            except NoAnswerError as error:
                self.breaker.record_failure(error.outcome, "the backend's health")
                await self.rest(self.breaker.backoff_s(failures))
                await self.breaker.acquire()
                failures += 1

    async def _wait_for_budget(self) -> None:
        place = ""
        while wait := self._limiter.acquire(self._budget, self._limits, place):
            place = wait.place
            if wait.cause == "penalty" and wait.seconds > LONGEST_PAUSE_S:
                self.breaker.hold(wait.seconds)
                self.breaker.check()
            self._report.waiting["backend"] = wait.reason
            await self.rest(wait.pause_s)
        self._report.waiting.pop("backend", None)

    def new_trace_id(self) -> str:
        """A trace id that no other POST has."""
        return f"{self._trace_prefix}-{next(self._traces):x}"

    async def rest(self, seconds: float) -> None:
        """Sleep for so many seconds.

        Raises:
            DeliveryStoppedError: if the delivery is stopped meanwhile.
        """
        ends = asyncio.get_running_loop().time() + seconds
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, POLL_S))
            self.breaker.check()

    async def send(
        self, kind: ImportKind, key: str, body: bytes, attempt: int, trace_id: str, digest: str = "", title_id: str = ""
    ) -> Reply:
        """Send one POST, tell the circuit breaker and the report how it ended, and return that.

        Args:
            key: the record's key, for the log.
            attempt: number of earlier attempts.
            digest: digest of the content, which is sent as the idempotency key.
            title_id: id of the record's title, if `key` is not that id.

        Raises:
            LeasesLostError: if the leases do not hold before the POST, which is then not sent, or after it; then other
                importers treat it as in doubt.
        """
        self.leases.check()
        self._report.count("backend", "posts")
        self._report.count("backend", "requests")
        if attempt:
            self._report.count("backend", "retries")
        left_at = time.monotonic()
        try:
            answer = await self._client.post(kind, body, trace_id, digest)
            outcome = await self._classified(answer)
            reason = "" if outcome is Outcome.DELIVERED else explain(answer.status, answer.text)
        except NoAnswerError as error:
            answer, outcome, reason = None, error.outcome, str(error)
        self._tell_breaker(outcome, title_id or key, reason, answer)
        self.leases.check()
        reply = Reply(outcome, trace_id, reason, self._delay_s(kind, outcome, attempt), left_at)
        if outcome is not Outcome.DELIVERED:
            self._log(kind, key, attempt, trace_id, reply, answer)
        return reply

    def may_repeat(self, outcome: Outcome, attempts: int) -> bool:
        """Whether a POST that failed with this outcome at its `attempts`-th attempt is sent again in this pass."""
        return attempts <= self._config.max_retries or (outcome in UNCOUNTED and self.breaker.is_open)

    async def _classified(self, answer: Answer) -> Outcome:
        outcome = classify(answer.status, answer.text)
        if outcome is Outcome.DELIVERED:
            self._token_arrives = True
        elif outcome is Outcome.REFUSED_PAYLOAD and not self._token_arrives:
            return await self._refused_or_stripped()
        return outcome

    async def _refused_or_stripped(self) -> Outcome:
        """Find out what a 422 means before any record was accepted.

        It may mean that a proxy strips the token: then a wrong token gets a 422, too.
        """
        async with self._probing:
            if not self._token_arrives and await self._client.accepts_any_token(self.new_trace_id()):
                return Outcome.TOKEN_STRIPPED
            self._token_arrives = True
            return Outcome.REFUSED_PAYLOAD

    def _tell_breaker(self, outcome: Outcome, key: str, reason: str, answer: Answer | None) -> None:
        if outcome in TROUBLE:
            self.breaker.record_failure(outcome, key)
            if answer and answer.asked_s:
                self.breaker.hold(answer.asked_s)
                self._limiter.penalize(self._budget, min(answer.asked_s, LONGEST_ASKED_S), "Retry-After")
        elif outcome is Outcome.SLOW_DOWN and answer:
            self._slow_down(answer)
        else:
            self.breaker.record_success()
            self._speed_up()
        if outcome in STOPS:
            setting, why = STOP_SETTINGS[outcome]
            self.breaker.stop(outcome, f"{why} ({reason})", setting)

    def _slow_down(self, answer: Answer) -> None:
        """Pause all POSTs after a 429, and let one POST fewer be in flight for at least `SLOT_BACK_S` after that."""
        self._report.count("backend", "429")
        is_first = self.breaker.may_send_now  # else this POST left before the first 429 came
        pause_s = self.breaker.pause(answer.asked_s)
        self._limiter.penalize(self._budget, min(pause_s, LONGEST_ASKED_S), "429")
        self._slot_back_at = time.monotonic() + pause_s + SLOT_BACK_S
        if is_first and self._slots > 1:
            self._slots -= 1
            self._retiring += 1

    def _speed_up(self) -> None:
        """Take back one of the slots that 429s have cost, if the last change is `SLOT_BACK_S` ago."""
        if self._slots == self._config.concurrency or time.monotonic() < self._slot_back_at:
            return
        self._slots += 1
        self._slot_back_at = time.monotonic() + SLOT_BACK_S
        if self._retiring:
            self._retiring -= 1
        else:
            self._free.release()

    def _delay_s(self, kind: ImportKind, outcome: Outcome, attempt: int) -> float:
        if outcome is Outcome.LOST_RACE:
            return random.uniform(*LOST_RACE_S)  # noqa: S311  jitter, not a secret
        if outcome is Outcome.TIMEOUT:
            return self._client.timeouts_s[kind]  # the backend goes on with it, so wait as long again
        if outcome is Outcome.DISCONNECTED and attempt == 0:
            return 0.0
        if outcome is Outcome.DELIVERED or outcome is Outcome.SLOW_DOWN:
            return 0.0
        return self.breaker.backoff_s(attempt)

    def _log(
        self, kind: ImportKind, key: str, attempt: int, trace_id: str, reply: Reply, answer: Answer | None
    ) -> None:
        failure = Failure(
            service="backend",
            kind=reply.outcome,
            status=answer.status if answer else None,
            attempt=attempt + 1,
            url=self._client.url(kind),
            key=key,
            reason=reply.reason,
            trace_id=trace_id,
        )
        log_failure(logger, failure)
