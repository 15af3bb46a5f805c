"""The simulated AnimeSchedule: a token, a list that fails where it ends, and timetables that are not what was asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from anime_crawler.sandbox.server.limits import animeschedule_limits
from anime_crawler.sandbox.server.process import RunningSandbox
from anime_crawler.sandbox.server.services import TOKEN_SETTINGS
from anime_crawler.sandbox.world.elsewhere import id_at, known_at
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources import cards
from tests.sandboxes import running_sandbox

WORLD = World(seed=2, titles=500)
KNOWN = known_at("animeschedule", WORLD)
WEEKS = range(35, 54)
"""Weeks of 2026 around the world's present, which is in the 44th."""

Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def larger() -> Iterator[RunningSandbox]:
    """500 titles, of which a dozen run."""
    with running_sandbox(titles=500, seed=2, limits="off") as running:
        yield running


@pytest.fixture
def ask(larger: RunningSandbox) -> Ask:
    """Ask with the token, unless another one is given; ``None``: without any."""
    right = larger.environment["ANIMESCHEDULE_TOKEN"]

    def get(path: str, token: str | None = right, **params: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(f"{larger.url}/animeschedule{path}", params, headers=headers, timeout=10)

    return get


def rows(ask: Ask, kind: str) -> list[dict[str, Any]]:
    """All rows of the weeks around now in one timetable; weeks without data are 404."""
    answers = [ask(f"/timetables/{kind}", year=2026, week=week, tz="UTC") for week in WEEKS]
    assert {answer.status_code for answer in answers} <= {200, 404}
    return [row for answer in answers if answer.ok for row in answer.json()]


def test_every_upstream_that_wants_a_token_has_one() -> None:
    """By the setting that its source card names."""
    wanted = {name: card.secrets[0].setting for name, card in cards().items() if card.secrets}
    assert wanted == TOKEN_SETTINGS


def test_a_wrong_token_is_refused_and_timetables_want_one(ask: Ask) -> None:
    """401 in plain text; the list answers without a token too."""
    for answer in (ask("/anime", token="wrong"), ask("/timetables/raw", token="wrong"), ask("/timetables", token=None)):
        assert (answer.status_code, answer.text) == (401, "Unauthorized")
        assert answer.headers["content-type"].startswith("text/plain")
    assert ask("/anime", token=None).ok


def test_the_list_has_18_a_page_in_order_of_titles_and_fails_behind_its_end(ask: Ask) -> None:
    """Every title once; the page after the last, and a search without hits, are 500 with a text."""
    last = -(-len(KNOWN) // 18)
    pages = [ask("/anime", st="alphabetic", page=n).json() for n in range(1, last + 1)]
    shows = [show for page in pages for show in page["anime"]]
    assert {page["totalAmount"] for page in pages} == {len(KNOWN)}
    assert sorted(show["route"] for show in shows) == sorted(KNOWN)
    assert [show["title"].casefold() for show in shows] == sorted(show["title"].casefold() for show in shows)
    for answer in (ask("/anime", page=last + 1), ask("/anime", q="zzzz"), ask("/anime", page=0)):
        assert (answer.status_code, answer.text) == (500, "Something went wrong")


def test_the_list_is_by_popularity_unless_said(ask: Ask) -> None:
    """An order that moves by itself."""
    votes = [KNOWN[show["route"]].votes for show in ask("/anime").json()["anime"]]
    assert votes == sorted(votes, reverse=True)


def test_what_is_unknown_is_missing_or_zero(ask: Ask) -> None:
    """Zero dates, seasons without a name, titles without votes."""
    shows = [show for n in range(1, -(-len(KNOWN) // 18) + 1) for show in ask("/anime", page=n).json()["anime"]]
    assert any(show["premier"].startswith("0001") for show in shows)
    assert any("description" not in show for show in shows)
    assert any(show["stats"]["ratingCount"] == 0 for show in shows)
    assert any(show.get("season", {"season": "-"})["season"] == "" for show in shows)
    assert all(isinstance(show["season"]["year"], str) for show in shows if "season" in show)
    assert not any("://" in address for show in shows for address in show["websites"].values())
    assert {show["status"] for show in shows} == {"Finished", "Ongoing", "Upcoming", "Delayed"}


def test_ids_of_other_sites_are_looked_up_several_at_once(ask: Ask) -> None:
    """The parameter is repeated."""
    wanted = [t for t in KNOWN.values() if t.mal_id][:3]
    found = ask("/anime", **{"mal-ids": [t.mal_id for t in wanted]}).json()
    assert {show["route"] for show in found["anime"]} == {id_at("animeschedule", t) for t in wanted}


def test_a_year_alone_leaves_out_what_has_a_season(ask: Ask) -> None:
    """The seasonal ones come with `seasons`."""
    year = next(str(t.aired_on[0]) for t in KNOWN.values() if t.season and t.aired_on[0])
    alone = ask("/anime", years=year)
    seasonal = ask("/anime", years=year, seasons=["winter", "spring", "summer", "fall"]).json()["anime"]
    assert all(KNOWN[show["route"]].season for show in seasonal)
    assert alone.status_code == 500 or not any(KNOWN[s["route"]].season for s in alone.json()["anime"])


def test_an_unknown_route_is_404(ask: Ask) -> None:
    """In plain text."""
    answer = ask("/anime/no-such-anime")
    assert (answer.status_code, answer.text) == (404, "Not Found")


def test_a_running_title_airs_weekly_and_keeps_its_number(ask: Ask) -> None:
    """What has aired, what is planned; each episode in one week."""
    raw = [row for row in rows(ask, "raw") if row["airType"] == "raw"]
    assert raw
    assert len({(row["route"], row["episodeNumber"]) for row in raw}) == len(raw)
    assert {row["airingStatus"] for row in raw} >= {"aired", "unaired"}
    for row in raw:
        has_aired = row["episodeNumber"] <= KNOWN[row["route"]].aired
        assert has_aired == (row["airingStatus"] == "aired")


def test_timetables_hold_rows_of_another_kind(ask: Ask) -> None:
    """Raw rows where there are no subtitles, and some among the dubs."""
    assert {row["airType"] for row in rows(ask, "raw")} == {"raw"}
    assert {row["airType"] for row in rows(ask, "sub")} == {"raw", "sub"}
    assert "dub" in {row["airType"] for row in rows(ask, "dub")}


def test_a_delayed_episode_keeps_its_date_and_may_have_no_new_one(ask: Ask) -> None:
    """From set and until zero: nobody knows."""
    late = [row for row in rows(ask, "raw") if row["airingStatus"] == "delayed-air"]
    assert late
    assert all(row["status"] == "Delayed" and row["delayedFrom"] == row["episodeDate"] for row in late)


def test_times_are_londons_unless_said(ask: Ask) -> None:
    """One hour off in summer, with the same Z; an ISO week has a year of its own."""
    here, there = (ask("/timetables/raw", year=2026, week=40, **tz).json() for tz in ({"tz": "UTC"}, {}))
    moments = [datetime.fromisoformat(rows[0]["episodeDate"]) for rows in (here, there)]
    assert (moments[1] - moments[0]).total_seconds() == 3600
    assert ask("/timetables/raw", week=40).status_code == 400


def test_every_answer_says_how_much_is_left_until_when(ask: Ask) -> None:
    """Unix seconds; without limits nothing is ever used up."""
    began = int(time.time())
    headers = [ask(path).headers for path in ("/anime", "/anime/none", "/anime")]
    assert {(h["x-ratelimit-limit"], h["x-ratelimit-remaining"]) for h in headers} == {("120", "120")}
    assert began <= int(headers[0]["x-ratelimit-reset"]) <= time.time() + 61


def test_the_121st_request_in_a_minute_is_refused() -> None:
    """The one before it has read that none is left."""
    limiter = animeschedule_limits(enforced=True)
    left = []
    for _ in range(120):
        assert limiter.check() is None
        left.append(limiter.headers()["x-ratelimit-remaining"])
    assert left == [str(n) for n in range(119, -1, -1)]
    refusal = limiter.check()
    assert refusal is not None
    assert (refusal.status, refusal.body, limiter.violations) == (429, b"Too Many Requests", 1)
