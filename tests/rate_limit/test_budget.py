"""Budgets under a simulated clock: windows, quotas, penalties, the breaker, and clocks that jump; in both forms."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anime_crawler.config import ConfigError
from anime_crawler.rate_limit.limiter import LimiterError
from anime_crawler.rate_limit.limits import Limits, budget_of, parse_limits
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from tests.rate_limit.budget_bench import Bench, FakeClock, FileBench, RedisBench, send

OFF = Limits()
HOUR = 3600


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["file", "redis"])
def bench(request, clock, tmp_path):
    """One test after the other on each form."""
    if request.param == "file":
        bench: Bench = FileBench(clock, path=tmp_path / "p.sqlite")
    else:
        bench = RedisBench(clock, url=request.getfixturevalue("redis_url"))
    yield bench
    bench.close()


@pytest.fixture
def limiter(bench):
    return bench.open()


def most_in(times: list[float], seconds: float) -> int:
    """The largest number of requests in any window of this length."""
    return max(bisect_right(times, start + seconds) - index for index, start in enumerate(times))


def test_all_windows_hold_together(limiter, clock):
    """5/s and 90/min: neither is exceeded in any window, and both are used to the full."""
    times = send(limiter, clock, parse_limits("5/s,90/min"), 200)
    assert most_in(times, 1) == 5
    assert most_in(times, 60) == 90
    assert times[90] - times[0] == pytest.approx(60.5, abs=0.1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    windows=st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from(["s", "min", "h"])), min_size=1, max_size=3, unique=True
    )
)
def test_no_window_is_ever_exceeded(limiter, clock, windows):
    """Whatever the limits are."""
    limits = parse_limits(",".join(f"{count}/{unit}" for count, unit in windows))
    clock.pass_(2 * HOUR)  # the example before this one is over
    times = send(limiter, clock, limits, 30)
    assert all(most_in(times, window.seconds) <= window.count for window in limits.windows)


def test_a_request_that_may_have_arrived_late_counts_from_then(limiter, clock):
    """The second of three, and of another upstream none; the windows have room so much later."""
    limits = parse_limits("1/10s,3/min")
    send(limiter, clock, limits, 1)
    send(limiter, clock, limits, 1, upstream="b")
    clock.pass_(20)
    send(limiter, clock, limits, 1)
    clock.pass_(6)
    limiter.late("a", limits, 6, 5)
    assert limiter.acquire("a", limits, "me").seconds == pytest.approx(9.4, abs=0.01)
    clock.pass_(20)
    assert limiter.used("a", limits) == {"1/10s": 0, "3/min": 2}
    send(limiter, clock, limits, 1)
    assert limiter.acquire("a", limits, "me").seconds == pytest.approx(14.5, abs=0.01)  # the first one's minute
    assert limiter.acquire("b", limits) is None


def test_to_tell_of_a_request_that_nobody_counts_changes_nothing(limiter, clock):
    """It has left its window, or has none."""
    limits = parse_limits("1/10s")
    limiter.late("a", OFF, 1, 1)
    limiter.late("a", limits, 1, 1)
    assert limiter.used("a", limits) == {"1/10s": 0}
    assert limiter.acquire("a", limits) is None


def test_a_wait_says_which_limit_is_the_reason(limiter, clock):
    """The window that takes longest."""
    limits = parse_limits("5/s,5/min")
    send(limiter, clock, limits, 5)
    wait = limiter.acquire("a", limits)
    assert (wait.cause, wait.reason) == ("limit", "limit 5/min")
    assert wait.seconds == pytest.approx(60.5)


def test_asking_in_vain_costs_nothing(limiter, clock):
    """Who waits and dies has taken nothing with him."""
    limits = parse_limits("1/min")
    send(limiter, clock, limits, 1)
    waits = [limiter.acquire("a", limits, "me").seconds for _ in range(10)]
    assert waits == pytest.approx([waits[0]] * 10, abs=0.001)


def test_upstreams_do_not_share(limiter, clock):
    """The limit of one says nothing about another."""
    limits = parse_limits("1/day")
    assert limiter.acquire("a", limits) is None
    assert limiter.acquire("a", limits) is not None
    assert limiter.acquire("b", limits) is None


def test_without_limits_nothing_is_kept(limiter, clock):
    """No wait, however many."""
    assert send(limiter, clock, OFF, 1000) == [clock.uptime] * 1000
    assert limiter.used("a", parse_limits("1/h")) == {"1/h": 0}


def test_usage_is_told_by_window(limiter, clock):
    """For `scrapy status`."""
    limits = parse_limits("5/s,90/min")
    send(limiter, clock, limits, 5)
    clock.pass_(10)
    send(limiter, clock, limits, 2)
    assert limiter.used("a", limits) == {"5/s": 2, "90/min": 7}


def test_a_quota_that_is_used_up_is_told_without_taking_a_turn(limiter, clock):
    """For `scrapy status`: until when a day's is; a minute's is waited for and not worth telling."""
    limits = parse_limits("5/min,8/day")
    send(limiter, clock, limits, 5)
    assert limiter.exhausted("a", limits) is None
    send(limiter, clock, limits, 3)
    wait = limiter.exhausted("a", limits)
    assert (wait.cause, wait.reason) == ("limit", "limit 8/day")
    assert wait.seconds == pytest.approx(24 * HOUR, abs=90)
    clock.pass_(25 * HOUR)
    assert limiter.exhausted("a", limits) is None


def test_a_daily_quota_survives_a_new_process_and_a_new_start_of_the_machine(bench, clock):
    """200 a day are 200 a day, whatever happens in between; an hour of being off counts as an hour."""
    limits = parse_limits("200/day")
    send(bench.open(), clock, limits, 200)
    clock.restart_machine(off_s=HOUR)
    assert bench.open().acquire("a", limits).seconds == pytest.approx(23 * HOUR, abs=10)


@pytest.mark.parametrize("jump_s", [-5 * HOUR, -3, 3, 5 * HOUR, 400 * 24 * HOUR])
def test_a_clock_that_is_set_neither_blocks_nor_bursts(limiter, clock, jump_s):
    """Only time that really passed counts."""
    limits = parse_limits("5/s,90/min")
    before = send(limiter, clock, limits, 90)
    clock.set_wall(jump_s)
    after = send(limiter, clock, limits, 90)
    assert most_in(before + after, 60) == 90
    assert after[0] - before[0] == pytest.approx(60.5, abs=0.1)


def test_a_clock_set_back_while_the_machine_was_off_costs_one_window_at_most(bench, clock):
    """Nothing tells how long it was off then, so nothing is taken to have passed."""
    limits = parse_limits("5/min")
    send(bench.open(), clock, limits, 5)
    clock.restart_machine(off_s=-7 * HOUR)
    assert bench.open().acquire("a", limits).seconds == pytest.approx(60.5)


def test_a_penalty_stops_its_upstream_only_and_the_longer_one_stays(limiter, clock):
    """Retry-After of two answers that were under way at once."""
    limiter.penalize("a", 30, "Retry-After")
    limiter.penalize("a", 10, "Retry-After")
    wait = limiter.acquire("a", OFF)
    assert (wait.cause, wait.reason, wait.seconds) == ("penalty", "Retry-After", pytest.approx(30))
    assert limiter.acquire("b", OFF) is None
    clock.pass_(30)
    assert limiter.acquire("a", OFF) is None


@pytest.mark.parametrize("setting", ["1/4s", "off", "3/h"])
def test_who_has_short_windows_or_none_takes_nothing_from_the_days_count(bench, clock, setting):
    """``ANIDB_LIMITS=1/4s`` or ``off`` beside a process that keeps the card's day; what it sends itself counts too."""
    day, other = bench.open(), bench.open()
    card, short = parse_limits("1/4s,5/day"), parse_limits(setting)
    send(day, clock, card, 4)
    clock.pass_(HOUR * 4)
    send(other, clock, short, 1)
    clock.pass_(10)
    assert day.used("a", card)["5/day"] == 5
    assert day.exhausted("a", card).reason == "limit 5/day"
    assert day.acquire("a", card).reason == "limit 5/day"


@pytest.mark.parametrize("setting", ["1/s", "off"])
def test_what_is_sent_under_a_setting_counts_for_the_cards_windows_later(bench, clock, setting):
    """The first process ever has a setting that replaces the card's day; the second has none."""
    card = replace(parse_limits(setting), card_window_s=24 * HOUR)
    send(bench.open(), clock, card, 5)
    clock.pass_(HOUR)
    assert bench.open().acquire("a", parse_limits("5/day")).reason == "limit 5/day"


def test_once_the_longest_window_of_another_is_over_a_setting_without_limits_keeps_nothing(bench, clock):
    """Who counted an hour ago has been gone for longer than an hour: nothing more is written down for him."""
    counting, off = bench.open(), bench.open()
    hourly = parse_limits("5/h")
    assert counting.acquire("a", hourly) is None
    assert off.acquire("a", OFF) is None
    assert counting.used("a", hourly) == {"5/h": 2}
    clock.pass_(HOUR + 10)
    assert off.acquire("a", OFF) is None
    assert counting.used("a", hourly) == {"5/h": 0}


def test_a_setting_longer_than_the_card_is_kept_for_as_long(bench, clock):
    """One process has a week, the others the card's day: they forget nothing of the week, and the week ends."""
    week, others = parse_limits("9/7d"), replace(parse_limits("9/day"), card_window_s=24 * HOUR)
    a, b = bench.open(), bench.open()
    for _ in range(5):
        send(a, clock, week, 1)
        send(b, clock, others, 1)
        clock.pass_(24 * HOUR + 60)
    assert a.used("a", week) == {"9/604800s": 10}
    clock.pass_(7 * 24 * HOUR)
    send(b, clock, others, 1)
    assert b.used("a", week) == {"9/604800s": 1}


def test_a_file_of_an_older_release_keeps_its_count_and_its_rests(tmp_path, clock):
    """The day's quota that was used before an upgrade is used after it."""
    path = tmp_path / "p.sqlite"
    db = sqlite3.connect(path)
    db.executescript("""
        CREATE TABLE sent (upstream TEXT NOT NULL, at REAL NOT NULL);
        CREATE TABLE upstream (name TEXT PRIMARY KEY, blocked_until REAL NOT NULL DEFAULT 0, blocked_why TEXT NOT NULL
            DEFAULT '', troubles INTEGER NOT NULL DEFAULT 0, rest_s REAL NOT NULL DEFAULT 0, probe_at REAL NOT NULL
            DEFAULT 0) WITHOUT ROWID;
        CREATE TABLE clock (boot TEXT NOT NULL, anchor REAL NOT NULL, latest REAL NOT NULL);
    """)
    now = clock.wall()
    db.executemany("INSERT INTO sent VALUES ('anidb', ?)", [(now - HOUR + n,) for n in range(5)])
    db.execute("INSERT INTO upstream VALUES ('kodik', ?, 'banned', 0, 0, 0)", (now + HOUR,))
    db.execute("INSERT INTO clock VALUES (?, ?, ?)", (clock.boot(), now - clock.steady(), now))
    db.commit()
    db.close()
    limiter = SqliteLimiter(path, clock)
    assert limiter.acquire("anidb", parse_limits("5/day")).reason == "limit 5/day"
    assert limiter.resting("kodik").reason == "banned"
    limiter.close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://anidb.net", "anidb"),
        ("https://ANIDB.net.:443/api", "anidb"),
        ("http://anidb.net:80", "anidb"),
        ("http://anidb.net:9001", "anidb@anidb.net:9001"),
        *(
            (f"http://{host}:8100/anidb", "anidb@localhost:8100")
            for host in ("LocalHost", "127.0.0.1", "127.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]")
        ),
        ("http://127.0.0.2:8100", "anidb@127.0.0.2:8100"),
        ("http://[0:0:0:0:0:0:0:2]:8100", "anidb@[::2]:8100"),
        ("http://[2001:DB8::0]", "anidb@[2001:db8::]"),
        ("https://пример.рф", "anidb@xn--e1afmkfd.xn--p1ai"),
    ],
)
def test_a_budget_belongs_to_the_host_that_is_asked(address, name):
    """In whatever way its address is written; the source's own host has the plain name."""
    assert budget_of("anidb", address, "https://anidb.net") == name


def test_the_source_that_an_address_replaces_is_not_charged(scrapy, project):
    """``status`` shows the count of the host that is asked; the real one's stays its own."""
    limiter = SqliteLimiter(project / "var" / "politeness.sqlite")
    limiter.acquire(budget_of("jikan", "http://127.0.0.1:8100"), parse_limits("1/day"))
    limiter.close()
    jikan = [json.loads(scrapy("status", "--json", JIKAN_LIMITS="1/day", **env).stdout)["budgets"]["jikan"]
             for env in ({}, {"JIKAN_BASE_URL": "http://127.0.0.1:8100"})]  # fmt: skip
    assert jikan == [{"1/day": 0}, {"1/day": 1}]


def test_processes_share_penalties_and_breaker(bench, clock):
    """Two handles on one storage, as two processes have."""
    here, there = bench.open(), bench.open()
    here.penalize("a", 5, "Retry-After")
    assert there.acquire("a", OFF).cause == "penalty"
    clock.pass_(5)
    for limiter in (here, there, here, there, here):
        limiter.record_failure("a")
    assert there.acquire("a", OFF).cause == "breaker"


def test_a_good_answer_takes_no_penalty_back_that_another_was_given_meanwhile(tmp_path, clock, monkeypatch):
    """Between the read that finds troubles and the write that ends them."""
    ours, other = (SqliteLimiter(tmp_path / "p.sqlite", clock) for _ in range(2))
    ours.record_failure("kodik")
    read = ours._state

    def read_then_the_other_is_refused(upstream):
        state = read(upstream)
        other.penalize(upstream, 60, "status 429")
        return state

    with monkeypatch.context() as patch:
        patch.setattr(ours, "_state", read_then_the_other_is_refused)
        ours.record_success("kodik")
    assert ours.resting("kodik").reason == "status 429"
    ours.close()
    other.close()


def test_an_upstream_that_always_fails_is_asked_20_times_in_ten_minutes_at_most(limiter, clock):
    """Asked by four at once, each as often as allowed."""
    asked, end = 0, clock.uptime + 600
    while clock.uptime < end:
        sent = [wait for wait in (limiter.acquire("a", OFF) for _ in range(4)) if wait is None]
        asked += len(sent)
        for _ in sent:
            limiter.record_failure("a")
        clock.pass_(0.5)
    assert 5 < asked <= 20


def test_rests_double_up_to_five_minutes(limiter, clock):
    """30, 60, 120, 240, 300, 300 seconds between probes."""
    for _ in range(5):
        limiter.record_failure("a")
    rests = []
    for _ in range(6):
        start = clock.uptime
        send(limiter, clock, OFF, 1)
        rests.append(clock.uptime - start)
        limiter.record_failure("a")
    assert rests == pytest.approx([30, 60, 120, 240, 300, 300])


def test_one_good_answer_closes_the_breaker(limiter, clock):
    """And the count of failures begins anew."""
    for _ in range(5):
        limiter.record_failure("a")
    clock.pass_(30)
    assert limiter.acquire("a", OFF) is None
    limiter.record_success("a")
    for _ in range(4):
        limiter.record_failure("a")
    assert limiter.acquire("a", OFF) is None


def test_a_probe_whose_process_died_is_followed_by_another(limiter, clock):
    """One probe at a time; nobody waits for a dead one for ever."""
    for _ in range(5):
        limiter.record_failure("a")
    clock.pass_(30)
    assert limiter.acquire("a", OFF) is None
    assert limiter.acquire("a", OFF).cause == "breaker"
    clock.pass_(60)
    assert limiter.acquire("a", OFF) is None


def test_a_damaged_file_is_named_and_nothing_is_sent(tmp_path):
    """Exit code 2, as for other settings: a limit that is not kept would be worse than no crawl."""
    path = tmp_path / "p.sqlite"
    path.write_bytes(b"not a database, but long enough to be read as one" * 50)
    with pytest.raises(LimiterError, match="delete it") as caught:
        SqliteLimiter(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ConfigError)


def test_a_file_that_cannot_grow_is_named_and_nothing_is_sent(tmp_path):
    """Whether writing or its commit is refused: no request counts as sent, and the next one is told the same."""
    with closing(SqliteLimiter(tmp_path / "p.sqlite")) as limiter:
        limits = parse_limits("5000/h")
        limiter._db.execute(f"PRAGMA max_page_count = {limiter._db.execute('PRAGMA page_count').fetchone()[0]}")
        sent = 0
        with pytest.raises(LimiterError, match="Make room"):
            while True:
                assert limiter.acquire("a" * 2000, limits) is None
                sent += 1
        with pytest.raises(LimiterError, match="Make room"):
            limiter.penalize("b" * 4000, 60, "why" * 2000)
        assert limiter.used("a" * 2000, limits) == {"5000/h": sent}


def test_the_folder_is_made(tmp_path):
    """A fresh clone has no ``var``."""
    SqliteLimiter(tmp_path / "var" / "p.sqlite").close()
    assert (tmp_path / "var" / "p.sqlite").exists()
