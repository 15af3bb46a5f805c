"""Bans and quotas: the upstream rests, the run ends and can be resumed, and nothing is asked early."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from aiohttp import web

from anime_crawler.politeness.budget import Budgets
from anime_crawler.politeness.limits import parse_limits
from tests.politeness.crawl import crawl, result_of, start


def test_a_ban_is_remembered_by_the_next_process(server, plan):
    """The second crawl sends nothing and says until when."""
    server.answers["/ban"] = [web.Response(text="banned")]
    assert crawl(plan("/ban", "/ok/1", one_by_one=True)).outcomes == {"/ban": ("banned", 1), "/ok/1": ("resting", 0)}
    assert crawl(plan("/ok/1", "/ok/2")).outcomes == {"/ok/1": ("resting", 0), "/ok/2": ("resting", 0)}
    assert [a.path for a in server.arrivals] == ["/ban"]


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
    budgets = Budgets(project / "var" / "politeness.sqlite")
    budgets.penalize("shikimori", 86400, "banned by the upstream")
    budgets.penalize("kodik", -1, "long over")
    budgets.reserve("jikan", parse_limits("1/day"))
    budgets.reserve("kitsu", parse_limits("1/min"))
    budgets.close()
    limits = {"JIKAN_LIMITS": "1/day", "KITSU_LIMITS": "1/min"}
    resting = json.loads(scrapy("status", "--json", **limits).stdout)["resting"]
    whys = [("jikan", "limit 1/day"), ("shikimori", "banned by the upstream")]
    assert [(one["upstream"], one["why"]) for one in resting] == whys
    for one in resting:
        left = datetime.fromisoformat(one["until"]) - datetime.now(UTC)
        assert timedelta(hours=23) < left <= timedelta(hours=24, seconds=1)
    assert "banned by the upstream" in scrapy("status").stdout
