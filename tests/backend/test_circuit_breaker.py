"""`CircuitBreaker` limits how many POSTs an outage costs, and ends a delivery whose backend stays away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from anime_crawler.backend import circuit_breaker as gate_module
from anime_crawler.backend.circuit_breaker import CircuitBreaker
from anime_crawler.backend.outcomes import DeliveryStoppedError, Outcome
from anime_crawler.config import Config
from anime_crawler.run.report import RunReport


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The breaker's clock, and nobody else's: servers of other tests sleep in threads of this process."""
    clock = Clock()
    monkeypatch.setattr(gate_module, "time", clock)
    monkeypatch.setattr(gate_module, "asyncio", clock)
    return clock


def new_breaker(
    more_may_come: Callable[[], bool] = lambda: False, stopping: Callable[[], bool] = lambda: False
) -> CircuitBreaker:
    """A breaker with the default settings: back-off of 1 to 60 s."""
    return CircuitBreaker(Config.load(), RunReport(), more_may_come, stopping)


async def post_until_stopped(breaker: CircuitBreaker, clock: Clock, outcome: Outcome, most_s: float = 1e9) -> int:
    """How many POSTs leave, all of them failing, until the breaker gives up or the time is over."""
    posts, ends = 0, clock.now + most_s
    try:
        while clock.now < ends:
            await breaker.acquire()
            posts += 1
            breaker.record_failure(outcome, str(posts))
            clock.now += breaker.backoff_s(0)
    except DeliveryStoppedError:
        pass
    return posts


@pytest.mark.parametrize(("outcome", "patience_s"), [(Outcome.UNAVAILABLE, 90), (Outcome.UNREACHABLE, 15)])
def test_an_outage_is_given_up_after_its_deadline(clock, outcome, patience_s):
    """90 s without an answer, 15 s when nobody listens; within 2 s, with few POSTs, naming the setting."""
    breaker, began = new_breaker(), clock.now
    posts = asyncio.run(post_until_stopped(breaker, clock, outcome))
    assert abs(clock.now - began - patience_s) <= 2
    assert posts <= 14
    assert breaker.stopped.setting == "BACKEND_BASE_URL"


def test_while_the_crawl_runs_an_outage_is_probed_rarely_and_never_given_up(clock):
    """At most 20 POSTs in ten minutes."""
    breaker = new_breaker(more_may_come=lambda: True)
    assert asyncio.run(post_until_stopped(breaker, clock, Outcome.UNAVAILABLE, most_s=600)) <= 20
    assert breaker.stopped is None


def test_patience_begins_when_the_crawl_ends(clock):
    """An outage during the crawl does not count against the time after it."""
    ends = clock.now + 600
    breaker = new_breaker(more_may_come=lambda: clock.now < ends)
    asyncio.run(post_until_stopped(breaker, clock, Outcome.UNAVAILABLE))
    assert 85 <= clock.now - ends <= 95


def test_one_answer_opens_the_gate(clock):
    """The probe that succeeds lets everybody through."""

    async def story() -> None:
        breaker = new_breaker()
        for number in range(5):
            await breaker.acquire()
            breaker.record_failure(Outcome.UNAVAILABLE, str(number))
        assert breaker.is_open
        await breaker.acquire()
        breaker.record_success()
        assert breaker.may_send_now

    asyncio.run(story())


def test_an_open_breaker_lets_one_through_at_a_time(clock):
    """While one tries, the others wait."""
    breaker = new_breaker()
    for number in range(5):
        breaker.record_failure(Outcome.UNAVAILABLE, str(number))
    clock.now += 60
    assert breaker._begin_post(clock.now)
    assert not breaker._begin_post(clock.now)


def test_a_pause_without_a_hint_grows_and_ends(clock):
    """A proxy that only ever says 429 is given up."""

    async def story() -> int:
        breaker, pauses = new_breaker(), 0
        try:
            while True:
                await breaker.acquire()
                breaker.pause(None)
                pauses += 1
        except DeliveryStoppedError as stopped:
            assert stopped.setting == "BACKEND_LIMITS"
            return pauses

    assert asyncio.run(story()) <= 7


def test_a_stop_is_seen_by_who_waits(clock):
    """No waiting outlives the run."""
    breaker = new_breaker(stopping=lambda: clock.now > 1003)
    breaker.pause(300)
    with pytest.raises(DeliveryStoppedError, match="interrupted"):
        asyncio.run(breaker.acquire())
    assert clock.now < 1004


def test_back_off_doubles_has_jitter_and_a_limit(clock):
    """Between half and all of 1, 2, 4, … 60 s; never 0."""
    breaker = new_breaker()
    for failures in range(12):
        full = min(60, 2**failures)
        assert all(full / 2 <= breaker.backoff_s(failures) <= full for _ in range(100))


def test_a_burst_of_pauses_counts_as_one(clock):
    """Ten POSTs were on their way when the backend first said 429: that is one refusal, not ten."""
    breaker = new_breaker()
    for _ in range(10):
        breaker.pause(None)
    clock.now += 120
    asyncio.run(breaker.acquire())


def test_who_may_not_try_is_turned_away_at_an_open_breaker(clock):
    """A player in doubt does not wait in line: others are to show first that the backend is back."""
    breaker = new_breaker()
    assert asyncio.run(breaker.acquire(may_probe=False))
    for number in range(5):
        breaker.record_failure(Outcome.UNAVAILABLE, str(number))
    before = clock.now
    assert not asyncio.run(breaker.acquire(may_probe=False))
    assert clock.now == before
