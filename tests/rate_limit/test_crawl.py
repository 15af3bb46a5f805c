"""Politeness in real crawls: limits over processes, concurrency, stopping, and where the token goes."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from contextlib import closing
from itertools import pairwise
from urllib.parse import parse_qs

import pytest

from anime_crawler.rate_limit.middleware import LATEST_S
from tests.download.crawl import FAST, TOKEN, crawl, result_of, start, stopped_crawl


def most_in_a_second(times: list[float]) -> int:
    """The largest number of arrivals in any second by the server's clock, less the time that one may be under way."""
    times = sorted(times)
    return max(bisect_right(times, at + 1 - LATEST_S) - index for index, at in enumerate(times))


def test_two_processes_keep_one_limit_together(server, plan):
    """5 a second for both: the server never sees a sixth in any second, and each gets its pages."""
    crawls = [start(plan(*(f"/{name}/{n}" for n in range(12)), limits="5/s")) for name in ("a", "b")]
    for process in crawls:
        assert set(result_of(process).outcomes.values()) == {("ok", 1)}
    assert len(server.arrivals) == 24
    assert most_in_a_second([arrival.at for arrival in server.arrivals]) <= 5


def test_a_request_whose_answer_was_slow_counts_later(server, plan, tmp_path):
    """It may have been under way for so long, up to LATEST_S: the next one comes a whole window after that."""
    one_by_one = {"CONCURRENT_REQUESTS": 1}
    crawl(plan("/ok/1", "/ok/2", "/delay/2/3", "/ok/4", limits="1/s,99/h", scrapy=one_by_one))
    arrivals = [arrival.at for arrival in server.arrivals]
    assert min(after - before for before, after in pairwise(arrivals)) >= 1 - LATEST_S
    with closing(sqlite3.connect(tmp_path / "politeness.sqlite")) as db:
        first, second, third, fourth = (at for (at,) in db.execute("SELECT at FROM sent ORDER BY at"))
    assert second - first >= 1
    assert third - second >= 1 + LATEST_S
    assert fourth - third >= 1


def test_a_rate_caps_an_upstream_without_limits(server, plan):
    """RATE_LIMIT_RPS=4."""
    crawl(plan(*(f"/ok/{n}" for n in range(12)), config={"rate_limit_rps": 4}))
    assert most_in_a_second([arrival.at for arrival in server.arrivals]) <= 4


def test_four_requests_at_once_are_the_most(server, plan):
    """Scrapy forgets a slot's concurrency when its delay is 0; the limit is exact all the same."""
    crawl(plan(*(f"/meet/4/{n}" for n in range(20)), scrapy={"DOWNLOAD_DELAY": 0, "CONCURRENT_REQUESTS": 20}))
    assert server.most_in_flight == 4


def test_more_concurrency_is_used_when_it_is_set(server, plan):
    """The limit is the setting, nothing else."""
    raised = {"CONCURRENT_REQUESTS": 9, "CONCURRENT_REQUESTS_PER_DOMAIN": 9}
    crawl(plan(*(f"/meet/9/{n}" for n in range(36)), scrapy=raised))
    assert server.most_in_flight == 9


def test_a_stop_ends_waiting_at_once_and_keeps_what_waits(server, plan, tmp_path):
    """One request a minute, two to send: stopped, then continued with a new budget, the second one arrives."""
    job_directory = {"JOBDIR": str(tmp_path / "job")}
    result = stopped_crawl(plan("/ok/1", "/ok/2", limits="1/min", scrapy=job_directory), server, arrivals=1)
    assert result.outcomes == {"/ok/1": ("ok", 1), "/ok/2": ("stopped", 0)}
    assert result.waiting == {}
    (tmp_path / "politeness.sqlite").unlink()
    result = crawl(plan("/ok/1", "/ok/2", limits="1/min", scrapy=job_directory))
    assert result.outcomes == {"/ok/2": ("ok", 1)}
    assert [arrival.path for arrival in server.arrivals] == ["/ok/1", "/ok/2"]


def test_a_stop_cuts_an_answer_that_does_not_come(server, plan):
    """After some seconds of grace, well before the timeout; the request stays pending."""
    result = stopped_crawl(plan("/silence"), server, arrivals=1)
    assert result.outcomes == {"/silence": ("stopped", 0)}  # and not ("timeout", 1)


def test_a_stop_during_the_start_is_not_forgotten(plan):
    """Scrapy alone would never end when it is stopped before its engine runs."""
    assert crawl(plan("/ok/1", stop_at_start=True)).outcomes == {"/ok/1": ("stopped", 0)}


@pytest.mark.slow
def test_a_retry_that_waits_survives_a_stop(server, plan, tmp_path):
    """It is pending; the next process has all its attempts again, for somebody may have mended something."""
    options = {
        "scrapy": {"JOBDIR": str(tmp_path / "job")},
        "config": {"backoff_base_seconds": 60, "backoff_max_seconds": 60, "max_retries": 1},
    }
    stopped_crawl(plan("/status/503", **options), server, arrivals=1)
    assert len(server.arrivals) == 1
    options["config"] |= {"backoff_base_seconds": 0.05}
    assert crawl(plan("/status/503", **options)).outcomes == {"/status/503": ("server_error", 2)}
    assert len(server.arrivals) == 3


def test_a_budget_file_that_cannot_be_written_ends_the_run_and_loses_nothing(server, plan, tmp_path):
    """Here a process holds it for ever, as a full disk would: exit code 2, nothing sent, the request pending."""
    options = {"limits": "5/s", "scrapy": {"JOBDIR": str(tmp_path / "job")}, "config": FAST}
    crawl(plan("/ok/1", **options))
    path = tmp_path / "politeness.sqlite"
    db = sqlite3.connect(path)
    db.executescript("CREATE TRIGGER full BEFORE INSERT ON sent BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    db.close()
    result = crawl(plan("/ok/2", **options))
    assert result.exit_code == 2
    assert str(path) in result.report["problems"][0]["message"]
    path.unlink()
    assert crawl(plan("/ok/2", **options)).outcomes == {"/ok/2": ("ok", 1)}
    assert [arrival.path for arrival in server.arrivals] == ["/ok/1", "/ok/2"]


def test_the_token_joins_a_request_when_it_leaves_and_is_left_nowhere(server, plan, tmp_path):
    """Form field and header reach the upstream; log at DEBUG, job directory, budgets and output hold none."""
    options = {"secrets": ["form", "header"], "log_level": "DEBUG", "scrapy": {"JOBDIR": str(tmp_path / "job")}}
    server_paths = ("/api/ok/1", "/api/status/500", "/api/drop", "/elsewhere", "/api/silence")
    made = plan(*server_paths, **options)
    made.base_url += "/api"
    made.paths = [server.url + path for path in server_paths]
    made.config = {**FAST, "http_timeout_seconds": 600}
    result = stopped_crawl(made, server, arrivals=len(server_paths) + 2)  # two are sent twice

    for arrival in server.arrivals:
        below = arrival.path.startswith("/api/")
        assert parse_qs(arrival.body).get("token", []) == ([TOKEN] if below else [])
        assert arrival.headers.get("Token") == (f"Bearer {TOKEN}" if below else None)
    assert {arrival.path for arrival in server.arrivals} == set(server_paths)
    assert (tmp_path / "job" / "frontier.sqlite").exists()
    left = [result.output, *(path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file())]
    assert all(TOKEN not in text for text in left)
    assert '"kind":"server_error"' in (tmp_path / "log.txt").read_text()  # so the log was written
