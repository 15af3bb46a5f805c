"""What happens to a request whose upstream misbehaves: real crawls against a real server."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from aiohttp import web

from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from tests.download.crawl import FAST, Plan, Result, crawl, stopped_crawl
from tests.download.upstream_server import UpstreamServer, running_server

RETRIED = {
    "/status/429": "rate_limited",
    "/status/500": "server_error",
    "/status/503": "server_error",
    "/silence": "timeout",
    "/drip": "timeout",
    "/drop": "connection_lost",
    "/truncated": "truncated",
    "/not_gzip": "broken_encoding",
}
GIVEN_UP = {
    **{f"/status/{status}": f"status_{status}" for status in (301, 400, 401, 403, 404, 422)},
    "/bomb": "too_large",
    "/large": "too_large",
}
NEVER_SENT = ("file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x")


@dataclass
class Day:
    """One crawl of everything that can go wrong, a good answer after each."""

    result: Result
    server: UpstreamServer
    elsewhere: UpstreamServer
    log: str


@pytest.fixture(scope="module")
def bad_day(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bad_day")
    with running_server() as server, running_server() as elsewhere:
        bad = [*RETRIED, *GIVEN_UP, *NEVER_SENT, f"{elsewhere.url}/stolen"]
        paths = [path for index, path in enumerate(bad) for path in (path, f"/ok/{index}")]
        config = {**FAST, "http_timeout_seconds": 2}
        plan = Plan(server.url, paths, str(directory), one_by_one=True, config=config, log_level="DEBUG")
        result = crawl(plan)
        yield Day(result, server, elsewhere, (directory / "log.txt").read_text())


@pytest.mark.parametrize("path", RETRIED)
def test_what_may_pass_is_tried_again_and_then_given_up(bad_day, path):
    """MAX_RETRIES is 1 here, so each is sent twice, and the errback hears why it failed."""
    assert bad_day.result.outcomes[path] == (RETRIED[path], 2)
    assert len(bad_day.server.at(path)) == 2


@pytest.mark.parametrize("path", GIVEN_UP)
def test_what_cannot_pass_is_sent_once(bad_day, path):
    """A client error, a move, or a body beyond the limit is final."""
    assert bad_day.result.outcomes[path] == (GIVEN_UP[path], 1)
    assert len(bad_day.server.at(path)) == 1


@pytest.mark.parametrize("path", NEVER_SENT)
def test_only_http_is_spoken(bad_day, path):
    """An address of another scheme, as a broken upstream could state it, is refused by name."""
    assert bad_day.result.outcomes[path] == ("foreign_host", 1)


def test_a_host_that_is_not_configured_is_never_asked(bad_day):
    """Another port is another host; the request ends with its own kind of verdict."""
    path = f"{bad_day.elsewhere.url}/stolen"
    assert bad_day.result.outcomes[path] == ("foreign_host", 1)
    assert bad_day.elsewhere.arrivals == []


def test_good_answers_between_failures_arrive(bad_day):
    """One bad request does not hold up the next."""
    good = {path: outcome for path, outcome in bad_day.result.outcomes.items() if path.startswith("/ok/")}
    assert len(good) == len(RETRIED) + len(GIVEN_UP) + len(NEVER_SENT) + 1
    assert set(good.values()) == {("ok", 1)}


def test_a_bomb_does_not_fill_the_memory(bad_day):
    """The limit is 1 MB here; the bomb holds 64 MB and the endless body 200."""
    assert bad_day.result.report["peak_memory_mb"] < 165


def test_the_report_counts_what_the_upstream_saw(bad_day):
    """Requests, retries, 429s and bytes, and each kind of failure."""
    counters = bad_day.result.counters
    assert counters["requests"] == len(bad_day.server.arrivals)
    assert counters["retries"] == len(RETRIED)
    assert counters["429"] == 2
    assert counters["bytes"] > 0
    assert counters["failed timeout"] == 4


def test_each_failure_is_one_structured_line(bad_day):
    """JSON with service, kind, status, attempt and address."""
    assert '"service":"upstream","kind":"server_error","status":503,"attempt":2,"url":"http://127.0.0.1' in bad_day.log
    assert "Traceback" not in bad_day.log


def test_pauses_between_attempts_grow_and_are_never_skipped(server, plan):
    """Base 0.2 s, three retries: gaps of at least 0.9 times 0.2, 0.4 and 0.8 s, four attempts in all."""
    config = {"backoff_base_seconds": 0.2, "backoff_max_seconds": 5}
    assert crawl(plan("/status/503", config=config)).outcomes["/status/503"] == ("server_error", 4)
    times = [arrival.at for arrival in server.arrivals]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap >= 0.9 * pause for gap, pause in zip(gaps, (0.2, 0.4, 0.8), strict=True))


def test_a_request_fails_for_90_s_at_most(server, plan):
    """With 89 of them gone and many retries left, it is given up for its own failure, before the breaker opens."""
    config = {"backoff_base_seconds": 0.2, "backoff_max_seconds": 0.3, "max_retries": 20}
    kind, attempts = crawl(plan("/status/503", config=config, meta={"spent_s": 89.0})).outcomes["/status/503"]
    assert kind == "server_error"
    assert attempts <= 6


def test_while_the_breaker_is_open_a_request_waits_and_is_then_given_up_unsent(server, plan, tmp_path):
    """Five failures are on record; the request has half a second of its 90 left."""
    limiter = SqliteLimiter(tmp_path / "politeness.sqlite")
    for _ in range(5):
        limiter.record_failure("upstream")
    limiter.close()
    result = crawl(plan("/ok/1", meta={"spent_s": 89.5}))
    assert result.outcomes == {"/ok/1": ("upstream_down", 0)}
    assert server.arrivals == []


def test_retry_after_makes_everybody_wait(server, plan):
    """Seconds: the path that was refused and the others come a second later at the earliest."""
    server.answers["/limited"] = [_limited("1"), _fine()]
    paths = ["/limited", *(f"/ok/{n}" for n in range(3))]
    result = crawl(plan(*paths, scrapy={"CONCURRENT_REQUESTS": 1}))
    assert set(result.outcomes.values()) == {("ok", 1), ("ok", 2)}
    first, *others = server.arrivals
    assert first.path == "/limited"
    assert min(arrival.at for arrival in others) >= first.at + 1


def test_a_spent_rate_limit_header_is_obeyed_on_good_answers_too(server, plan):
    """X-RateLimit-Remaining: 0 with a reset in one second holds the next request back."""
    server.answers["/last"] = [_fine({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"})]
    crawl(plan("/last", "/ok/1", one_by_one=True))
    first, second = server.arrivals
    assert second.at >= first.at + 1


def test_a_limit_that_is_nearly_spent_is_a_rest_too_where_the_card_says_so(server, plan, tmp_path):
    """Two remaining, no reset; and a 429 without a time: the rest is the card's, and everybody's."""
    server.answers["/low"] = [_fine({"X-RateLimit-Remaining": "2", "X-RateLimit-Reset": "0"})]
    server.answers["/limited"] = [web.Response(status=429)]
    for path in ("/low", "/limited"):
        (tmp_path / path[1:]).mkdir()
        options = {"directory": str(tmp_path / path[1:]), "one_by_one": True}
        result = stopped_crawl(plan(path, "/ok", limit_reserve=2, limit_rest_s=250.0, **options), server, arrivals=1)
        server.arrivals.clear()
        assert list(result.outcomes.values())[-1][0] == "stopped"
        wait = SqliteLimiter(tmp_path / path[1:] / "politeness.sqlite").resting("upstream")
        assert wait is not None
        assert 100 < wait.seconds <= 250


def _limited(retry_after: str):
    return web.Response(status=429, headers={"Retry-After": retry_after}, body=b"slow down")


def _fine(headers=None):
    return web.Response(body=b"{}", headers=headers)
