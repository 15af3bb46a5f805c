"""Bans and quotas: the upstream rests, the run ends and can be resumed, and nothing is asked early."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from aiohttp import web
from scrapy.http import Headers

from anime_crawler.base_spiders import Action, Verdict
from anime_crawler.rate_limit.limits import budget_of, parse_limits
from anime_crawler.rate_limit.rest import rest_after
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from anime_crawler.sources import cards
from tests.download.crawl import crawl, result_of, start

DAY_S, WEEK_S = 86_400, 604_800


def test_a_ban_is_remembered_by_the_next_process(server, plan):
    """The second crawl sends nothing and says until when."""
    server.answers["/ban"] = [web.Response(text="banned")]
    assert crawl(plan("/ban", "/ok/1", one_by_one=True)).outcomes == {"/ban": ("banned", 1), "/ok/1": ("resting", 0)}
    assert crawl(plan("/ok/1", "/ok/2")).outcomes == {"/ok/1": ("resting", 0), "/ok/2": ("resting", 0)}
    assert [a.path for a in server.arrivals] == ["/ban"]


@pytest.mark.parametrize(("status", "form"), [(403, "seconds"), (429, "date"), (503, "seconds")])
def test_a_long_pause_that_is_asked_for_is_kept_and_ends_the_run(server, plan, tmp_path, status, form):
    """Two hours: not slept through. The request stays pending, and the next process sends nothing either."""
    at = datetime.now(UTC) + timedelta(hours=2)
    headers = {"Retry-After": "7200" if form == "seconds" else format_datetime(at, usegmt=True)}
    server.answers["/refused"] = [web.Response(status=status, headers=headers)]
    job = {"JOBDIR": str(tmp_path / "job")}
    first = crawl(plan("/refused", "/ok/1", one_by_one=True, scrapy=job))
    kind = first.outcomes["/refused"][0]
    assert (kind, first.outcomes["/ok/1"]) == ("status_403" if status == 403 else "resting", ("resting", 0))
    assert "/ok/1" in crawl(plan("/never", scrapy=job)).outcomes
    assert len(server.arrivals) == 1
    wait = SqliteLimiter(tmp_path / "politeness.sqlite").resting("upstream")
    assert wait.reason == "Retry-After"
    assert 7100 < wait.seconds <= 7201


def test_a_pause_of_more_than_a_day_is_cut_to_one_and_reported(server, plan, tmp_path):
    """A year is taken for an error."""
    server.answers["/limited"] = [web.Response(status=429, headers={"Retry-After": "31536000"})]
    result = crawl(plan("/limited"))
    assert "absurd_pause" in [problem["kind"] for problem in result.report["problems"]]
    assert result.outcomes["/limited"][0] == "resting"
    assert 86_300 < SqliteLimiter(tmp_path / "politeness.sqlite").resting("upstream").seconds <= 86_400


def rest_of(kind: str, status: int = 403, rest_s: float = 0, **headers: str) -> tuple[float, str]:
    """After a refusal by an upstream whose card says that a block lasts a week."""
    card = SimpleNamespace(block_rest_s=WEEK_S)
    verdict = Verdict(Action.GIVE_UP, kind, "shut out", rest_s=rest_s)
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return rest_after(verdict, card, status, given, 1_800_000_000)


def test_a_block_lasts_as_long_as_it_says_or_else_as_the_card_says():
    """The upstream's own word first; a time that the verdict names is the least."""
    assert rest_of("blocked") == (WEEK_S, "shut out")
    assert rest_of("challenge", 200) == (WEEK_S, "shut out")
    assert rest_of("blocked", Retry_After="7200") == (7200, "Retry-After")
    assert rest_of("blocked", Retry_After=str(30 * DAY_S)) == (WEEK_S, "Retry-After")
    assert rest_of("blocked", Retry_After="soon") == (WEEK_S, "shut out")
    assert rest_of("blocked", rest_s=DAY_S, Retry_After="60") == (DAY_S, "shut out")
    assert rest_of("status_404", 404) == (0, "shut out")
    assert rest_of("server_error", 503, Retry_After=str(30 * DAY_S)) == (DAY_S, "Retry-After")
    assert rest_of("moved", 302, Retry_After="60") == (0, "shut out")


def test_a_block_is_remembered_for_as_long_as_the_card_says(server, plan, tmp_path):
    """A week, over processes; the run says until when."""
    server.answers["/blocked"] = [web.Response(text="blocked")]
    first = crawl(plan("/blocked", "/ok/1", one_by_one=True, block_rest_s=WEEK_S))
    assert first.outcomes == {"/blocked": ("blocked", 1), "/ok/1": ("resting", 0)}
    assert crawl(plan("/ok/1", block_rest_s=WEEK_S)).outcomes == {"/ok/1": ("resting", 0)}
    assert WEEK_S - 600 < SqliteLimiter(tmp_path / "politeness.sqlite").resting("upstream").seconds <= WEEK_S


@pytest.mark.parametrize(("source", "seconds"), [("anidb", DAY_S), ("anisearch", WEEK_S), ("jikan", 3600)])
def test_the_cards_know_how_long_a_block_lasts(source, seconds):
    """What their users have seen; an hour where nobody knows."""
    assert cards()[source].block_rest_s == seconds


def test_a_quota_of_a_day_ends_the_run_and_holds_over_restarts(server, plan, tmp_path):
    """Three a day: the fourth is not waited for; it stays pending and is not sent by the next process either."""
    paths = [f"/ok/{n}" for n in range(4)]
    options = {"limits": "3/day", "one_by_one": True, "scrapy": {"JOBDIR": str(tmp_path / "job")}}
    result = crawl(plan(*paths, **options))
    assert [kind for kind, _ in result.outcomes.values()] == ["ok", "ok", "ok", "quota"]
    assert crawl(plan(*paths, **options)).outcomes == {"/ok/3": ("quota", 0)}
    assert len(server.arrivals) == 3


def test_two_processes_share_a_quota(server, plan):
    """Five a day for both."""
    crawls = [start(plan(*(f"/{name}/{n}" for n in range(5)), limits="5/day")) for name in ("a", "b")]
    outcomes = [kind for process in crawls for kind, _ in result_of(process).outcomes.values()]
    assert sorted(outcomes) == ["ok"] * 5 + ["quota"] * 5
    assert len(server.arrivals) == 5


def test_status_says_who_rests_and_until_when(scrapy, project):
    """As a table and as JSON: a ban, and a quota that is used up; a penalty that is over is gone."""
    limiter = SqliteLimiter(project / "var" / "politeness.sqlite")
    limiter.penalize("shikimori", 86400, "banned by the upstream")
    limiter.penalize("kodik", -1, "long over")
    limiter.acquire("jikan", parse_limits("1/day"))
    limiter.acquire("kitsu", parse_limits("1/min"))
    limiter.penalize(budget_of("backend", "http://localhost:8000"), 86400, "429")
    limiter.close()
    backend = {"BACKEND_BASE_URL": "http://localhost:8000", "INTERNAL_TOKEN": "0123456789abcdef"}
    limits = {"JIKAN_LIMITS": "1/day", "KITSU_LIMITS": "1/min", **backend}
    resting = json.loads(scrapy("status", "--json", **limits).stdout)["resting"]
    whys = [("jikan", "limit 1/day"), ("shikimori", "banned by the upstream"), ("backend", "429")]
    assert [(one["upstream"], one["why"]) for one in resting] == whys
    for one in resting:
        left = datetime.fromisoformat(one["until"]) - datetime.now(UTC)
        assert timedelta(hours=23) < left <= timedelta(hours=24, seconds=1)
    assert "banned by the upstream" in scrapy("status").stdout
