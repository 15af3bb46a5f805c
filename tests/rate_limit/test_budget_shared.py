"""Real processes on one budget: never above a window, each gets turns; Redis that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from anime_crawler.rate_limit import redis_limiter
from anime_crawler.rate_limit.limiter import stretched_s
from anime_crawler.rate_limit.limits import Limits, parse_limits
from anime_crawler.rate_limit.redis_limiter import LimiterAwayError, RedisLimiter
from anime_crawler.sources import cards
from tests.rate_limit.budget_bench import FakeClock, RedisBench, send
from tests.rate_limit.budget_hammer import Turns, start, turns_of
from tests.rate_limit.test_budget import most_in
from tests.services import RedisServer, free_port, start_redis, stop_redis

OFF = Limits()


@pytest.fixture(params=[pytest.param("file", marks=pytest.mark.slow), "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file or an address."""
    return request.getfixturevalue("redis_url") if request.param == "redis" else str(tmp_path / "p.sqlite")


def enough(count: int) -> Callable[[Turns], bool]:
    """So many turns in all, and some for each."""
    return lambda turns: all(turns) and sum(map(len, turns)) >= count


def test_four_processes_keep_two_windows_together_and_each_gets_turns(place):
    """Until they have filled the longer window twice, however long that takes on a busy machine."""
    limits = parse_limits("6/s,11/2s")
    turns = turns_of(start(place, "6/s,11/2s", processes=4), enough(2 * 11 + 1))
    times = sorted(time for own in turns for time in own)
    assert all(most_in(times, window.seconds) <= window.count for window in limits.windows)


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_requests_break_no_window(redis_url, count):
    """Four workers in turn, on a clock that does not wait."""
    clock, limits = FakeClock(), parse_limits("5/s,90/min,300/h")
    bench = RedisBench(clock, url=redis_url)
    workers = [bench.open() for _ in range(4)]
    times = [send(workers[n % 4], clock, limits, 1)[0] for n in range(count)]
    bench.close()
    assert [most_in(times, window.seconds) for window in limits.windows] == [5, 90, 300]
    assert (count / 300 - 1) * 3600 <= times[-1] - times[0] <= count / 300 * 3600  # and nearly all of them is used


def test_who_came_first_is_served_first(redis_url):
    """Who comes when there is room again stands behind those who waited; who does not ask again loses the place."""
    clock, limits = FakeClock(), parse_limits("1/10s")
    bench = RedisBench(clock, url=redis_url)
    one, two = bench.open(), bench.open()
    send(one, clock, limits, 1)
    first, second = one.acquire("a", limits), two.acquire("a", limits)
    assert second.seconds - first.seconds == pytest.approx(stretched_s(limits.windows[0]), abs=0.01)
    for _ in range(12):  # the room is there after 10.5 seconds; the first is late, but not by too much
        clock.pass_(1)
        assert two.acquire("a", limits) is not None
        assert two.acquire("a", limits, second.place) is not None
        if clock.uptime <= 1010:
            assert one.acquire("a", limits, first.place) is not None
    assert one.acquire("a", limits, first.place) is None
    third = one.acquire("a", limits)
    for _ in range(14):  # the second's process has died
        clock.pass_(1)
        assert one.acquire("a", limits, third.place) is not None or clock.uptime > 1022
    bench.close()


def test_what_redis_keeps_is_bounded_and_goes_away_by_itself(redis_url):
    """Under one prefix, every key with an end; as many times as the longest window holds."""
    clock, limits = FakeClock(), parse_limits("5/s,90/min")
    bench = RedisBench(clock, url=redis_url)
    limiter = bench.open()
    send(limiter, clock, limits, 500)
    limiter.penalize("a", 30, "Retry-After")
    limiter.record_failure("a")
    limiter.acquire("a", limits)
    bench.client.delete("clock")  # the test's own
    keys = bench.client.keys()
    assert {key.decode() for key in keys} == {
        *("anime_crawler:budget:clock", "anime_crawler:budget:a:sent", "anime_crawler:budget:a:state"),
        *("anime_crawler:budget:a:line", "anime_crawler:budget:a:due"),
    }
    assert all(bench.client.pttl(key) > 0 for key in keys)
    assert bench.client.zcard("anime_crawler:budget:a:sent") <= 91
    bench.close()


def test_a_redis_that_has_forgotten_costs_one_window_and_no_violation(redis_url):
    """What was sent is not known any more, so every window counts as full; a day's quota ends the run."""
    clock, limits = FakeClock(), parse_limits("5/min,200/day")
    bench = RedisBench(clock, url=redis_url)
    limiter, other = bench.open(), bench.open()
    send(limiter, clock, limits, 5)
    bench.client.flushdb()
    limiter._told = other._told = 0
    wait = limiter.acquire("a", limits)
    assert (wait.cause, wait.reason) == ("limit", "limit 200/day")
    assert wait.seconds == pytest.approx(86400.5)
    assert other.acquire("a", parse_limits("5/min")).seconds == pytest.approx(60.5)
    assert bench.open().acquire("b", parse_limits("5/min")).seconds == pytest.approx(60.5)
    bench.close()


@pytest.fixture
def own_redis(tmp_path: Path):
    """A Redis of this test's own, to be stopped and started."""
    state = tmp_path / "redis.json"
    server = start_redis(state)
    yield server, state
    stop_redis(state)


def away(limiter: RedisLimiter, clock: FakeClock, limits: Limits) -> None:
    """Redis does not answer: everybody waits, and nobody asks it at every call."""
    for _ in range(3):
        wait = limiter.acquire("a", limits)
        assert (wait.cause, wait.reason) == ("outage", "the Redis of REDIS_URL does not answer")
    clock.pass_(wait.seconds)


def test_redis_that_comes_back_is_used_again_and_told_what_it_missed(own_redis):
    """Nothing is sent meanwhile; a penalty of that time holds."""
    server, state = own_redis
    clock = FakeClock()
    limiter = RedisLimiter(server.url(), clock)
    assert limiter.acquire("a", OFF) is None
    stop_redis(state)
    away(limiter, clock, OFF)
    limiter.penalize("a", 20, "an earlier answer")
    limiter.penalize("a", 30, "Retry-After")
    away(limiter, clock, OFF)
    restart(server, state)
    assert limiter.acquire("a", OFF).reason == "Retry-After"
    limiter.close()


def restart(server: RedisServer, state: Path) -> None:
    """The same address again."""
    import tests.services as services

    port, services.free_port = services.free_port, lambda: server.port
    try:
        start_redis(state)
    finally:
        services.free_port = port


def test_redis_that_stays_away_ends_the_run_with_one_sentence(own_redis):
    """After five minutes, naming the setting; exit code 3, for the run can be resumed."""
    server, state = own_redis
    clock = FakeClock()
    limiter = RedisLimiter(server.url(), clock)
    stop_redis(state)
    away(limiter, clock, OFF)
    clock.pass_(redis_limiter.PATIENCE_S)
    with pytest.raises(LimiterAwayError, match="REDIS_URL") as caught:
        limiter.acquire("a", OFF)
    assert caught.value.exit_code == 3
    limiter.close()


@pytest.mark.parametrize("harm", ["out of memory", "read-only"])
def test_a_redis_that_cannot_be_written_is_as_good_as_none(own_redis, harm):
    """Nothing is sent on a count that is not kept."""
    server, _ = own_redis
    clock = FakeClock()
    limiter = RedisLimiter(server.url(), clock)
    with redis.Redis.from_url(server.url()) as client:
        hurt: dict[str, Callable[[], object]] = {
            "out of memory": lambda: client.config_set("maxmemory", 1),
            "read-only": lambda: client.replicaof("127.0.0.1", str(free_port())),
        }
        hurt[harm]()
        away(limiter, clock, parse_limits("5/s"))
        client.config_set("maxmemory", 0)
        client.replicaof("NO", "ONE")
    assert limiter.acquire("b", parse_limits("5/s")) is None or harm == "read-only"
    limiter.close()


def test_a_wrong_address_is_told_at_once_and_without_its_password():
    """At the start nobody waits."""
    with pytest.raises(LimiterAwayError) as caught:
        RedisLimiter(f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    assert "REDIS_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(cards()))
def test_four_processes_keep_and_use_the_windows_of_every_card(redis_url, name):
    """Until each has had a turn, and all more than one of the windows below a quarter of an hour takes."""
    limits = parse_limits(cards()[name].limits)
    most = max(window.count for window in limits.windows if window.seconds < 900)
    turns = turns_of(start(redis_url, cards()[name].limits, processes=4), enough(max(most + 1, 10)))
    times = sorted(time for own in turns for time in own)
    assert all(most_in(times, window.seconds) <= window.count for window in limits.windows)
