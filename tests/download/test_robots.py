"""robots.txt in real crawls: obeyed, reported, and never guessed."""

from __future__ import annotations

import pytest
from aiohttp import web

from anime_crawler import __version__
from tests.download.crawl import crawl

PAGES = ("/anime/1", "/secret/2", "/anime/3")


def robots(server, *answers):
    server.answers["/robots.txt"] = list(answers)


def crawled(server, plan, *pages, **options):
    return crawl(plan(*(pages or PAGES), obeys_robots=True, **options))


def test_what_robots_txt_forbids_is_not_asked_and_is_reported(server, plan):
    """One path of three is forbidden; robots.txt is read once."""
    robots(server, web.Response(text="User-agent: *\nDisallow: /secret/\n"))
    outcomes = crawled(server, plan).outcomes
    assert outcomes == {"/anime/1": ("ok", 1), "/secret/2": ("robots_forbid", 0), "/anime/3": ("ok", 1)}
    assert [a.path for a in server.arrivals].count("/robots.txt") == 1
    assert not server.at("/secret/2")


def test_rules_for_us_by_name_are_obeyed(server, plan):
    """The group with our name counts, not the one for all."""
    text = "User-agent: anime_crawler\nDisallow: /anime/\n\nUser-agent: *\nAllow: /\n"
    robots(server, web.Response(text=text))
    outcomes = crawled(server, plan).outcomes
    assert outcomes["/anime/1"] == outcomes["/anime/3"] == ("robots_forbid", 0)
    assert server.arrivals[0].headers["User-Agent"].startswith(f"anime_crawler/{__version__}")


@pytest.mark.parametrize("status", [404, 403, 410])
def test_no_robots_txt_allows_everything(server, plan, status):
    """RFC 9309: unavailable by 4xx."""
    robots(server, web.Response(status=status, text="<html>Disallow: /</html>"))
    assert set(crawled(server, plan).outcomes.values()) == {("ok", 1)}


@pytest.mark.parametrize("status", [500, 503, 301])
def test_a_robots_txt_that_cannot_be_read_forbids_everything(server, plan, status):
    """RFC 9309: unreachable; nothing but robots.txt is asked, and the reason is told."""
    robots(server, web.Response(status=status))
    result = crawled(server, plan)
    assert set(result.outcomes.values()) == {("robots_unread", 0)}
    assert {a.path for a in server.arrivals} == {"/robots.txt"}


def test_while_an_upstream_rests_neither_robots_txt_nor_a_page_is_asked_for(server, plan):
    """A ban in place of robots.txt: the next run asks nothing, and its pages stay for later: they are not forbidden."""
    robots(server, web.Response(text="banned"))
    assert set(crawled(server, plan).outcomes.values()) == {("robots_unread", 0)}
    asked = len(server.arrivals)
    assert set(crawled(server, plan).outcomes.values()) == {("resting", 0)}
    assert len(server.arrivals) == asked


def test_a_robots_txt_that_comes_at_the_second_try_is_obeyed(server, plan):
    """A 503 passes; the retry counts."""
    robots(server, web.Response(status=503), web.Response(text="User-agent: *\nDisallow: /secret/\n"))
    assert crawled(server, plan).outcomes["/secret/2"] == ("robots_forbid", 0)
    assert len(server.at("/robots.txt")) == 2
