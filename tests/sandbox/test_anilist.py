"""The simulated AniList: as strict as GraphQL is, and as untruthful as its pages are."""

from __future__ import annotations

from itertools import count
from typing import Any

import orjson
import pytest

from anime_crawler.sandbox.server import limits
from anime_crawler.sandbox.server.limits import anilist_limits
from anime_crawler.sandbox.server.wire import Call
from anime_crawler.sandbox.upstreams.anilist import service as anilist_module
from anime_crawler.sandbox.upstreams.anilist.service import Anilist
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.mutation import Mutator
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources.anilist.schema import AIRINGS, CHARACTERS, TITLES

WORLD = World(seed=2, titles=400)
ANILIST = Anilist(WORLD)
KNOWN = sorted(map(int, known_at("anilist", WORLD)))


def ask(query: Any, anilist: Anilist = ANILIST, **variables: Any) -> tuple[int, Any]:
    """Status and body."""
    body = orjson.dumps({"query": query, "variables": variables})
    reply = anilist.answer(Call("anilist", "POST", "/", "", {}, body, "http://127.0.0.1:1/anilist"))
    return reply.status, orjson.loads(reply.body)


def page(query: str, anilist: Anilist = ANILIST, **variables: Any) -> Any:
    """The page that it answers with."""
    status, body = ask(query, anilist, **variables)
    assert status == 200, body
    return body["data"]["Page"]


def listed(anilist: Anilist = ANILIST, **variables: Any) -> list[Any]:
    """Titles of all pages."""
    found = []
    for number in count(1):
        here = page(TITLES, anilist, page=number, **variables)
        found += here["media"]
        if not here["pageInfo"]["hasNextPage"]:
            break
    return found


def ids(titles: list[Any]) -> list[int]:
    return [title["id"] for title in titles]


def message(body: Any) -> str:
    return str(body["errors"][0]["message"])


def test_sorted_by_id_every_title_comes_once():
    """And exactly the selected fields of each."""
    found = listed(sort=["ID"])
    assert ids(found) == KNOWN
    assert all(set(title["startDate"]) == {"year", "month", "day"} for title in found)


def test_a_page_lies_about_everything_but_whether_there_is_a_next_one():
    """5,000 and 100 whatever there is; more than 50 are cut without a word."""
    info = "pageInfo { total perPage currentPage lastPage hasNextPage } media(type: ANIME) { id }"
    here = page(f"{{ Page(page: 1, perPage: 500) {{ {info} }} }}")
    assert here["pageInfo"] == {"total": 5000, "perPage": 50, "currentPage": 1, "lastPage": 100, "hasNextPage": True}
    assert len(here["media"]) == 50


def test_no_list_is_deeper_than_5000_entries(monkeypatch):
    """400, and no page; a full last page still says that there is a next one."""
    status, body = ask("{ Page(page: 101) { media(type: ANIME) { id } } }")
    assert (status, body["data"]) == (400, {"Page": None})
    assert message(body) == "Page depth exceeds maximum allowed for API requests (5000 entries)"
    monkeypatch.setattr(anilist_module, "MAX_DEPTH", 100)
    assert page(TITLES, page=2, sort=["ID"])["pageInfo"]["hasNextPage"]
    assert ask(TITLES, page=3, sort=["ID"])[0] == 400


@pytest.mark.parametrize(
    "query",
    [
        "{ Page { media(type: ANIME) { id nonsense } } }",
        "{ Page { media(type: ANIME, sort: [BEST]) { id } } }",
        "{ Page { media(type: ANIME, startDate_greater: 0) { id } } }",
        "{ Page { media(type: ANIME, updatedAt_greater: 5) { id } } }",
        "{ Page { media(type: ANIME) } }",
        "{ Page {",
        "",
        None,
    ],
)
def test_a_query_that_the_schema_does_not_allow_is_refused(query):
    """400 with no data; 0 is no date."""
    status, body = ask(query)
    assert (status, body["data"], body["errors"][0]["status"]) == (400, None, 400)
    assert ask(TITLES, **{"from": 0})[0] == 400


def test_a_query_of_more_than_500_points_is_refused():
    """It says how many."""
    fields = " ".join(f"a{n}: Media(id: {KNOWN[0]}) {{ id }}" for n in range(260))
    status, body = ask(f"{{ {fields} }}")
    assert (status, message(body)) == (400, "Max query complexity should be 500 but got 520.")


def test_one_unknown_id_makes_the_whole_request_404():
    """Nothing of the others; in a page it is just not there. So is a manga's."""
    status, body = ask(f"{{ a: Media(id: {KNOWN[0]}) {{ id }} b: Media(id: 7) {{ id }} }}")
    assert (status, message(body), body["data"]) == (404, "Not Found.", {"a": None, "b": None})
    assert ids(page(TITLES, ids=[KNOWN[1], 7, KNOWN[0]], sort=["ID"])["media"]) == KNOWN[:2]
    assert ask(f"{{ Media(id: {KNOWN[0]}, type: MANGA) {{ id }} }}")[0] == 404


def test_dates_are_compared_as_numbers_and_a_null_matches_none():
    """Bounds are exclusive; one half of the unknown dates is 0, below every upper bound; null comes first."""
    year = listed(sort=["ID"], **{"from": 2020_00_00, "to": 2021_00_00})
    assert year
    assert {title["startDate"]["year"] for title in year} == {2020}
    undated = {title["id"] for title in listed(sort=["ID"]) if title["startDate"] == NO_DATE}
    assert undated
    below = {title["id"] for title in listed(sort=["ID"], to=1930_00_00)}
    assert undated & below
    assert undated - below
    by_date = [title["startDate"]["year"] for title in listed(sort=["START_DATE", "ID"])]
    assert by_date == sorted(by_date, key=lambda year: year or 0)


NO_DATE = {"year": None, "month": None, "day": None}


def test_a_pause_is_seen_with_version_2_only():
    """A running series without it; the filter knows the word."""
    paused = listed(sort=["ID"], status=["HIATUS"])
    assert paused
    assert {title["nextAiringEpisode"] for title in paused} == {None}
    found = f"{{ Page {{ media(type: ANIME, id_in: [{paused[0]['id']}]) {{ old: status new: status(version: 2) }} }} }}"
    assert page(found)["media"] == [{"old": "RELEASING", "new": "HIATUS"}]


def test_a_search_is_fuzzy():
    """Whatever has its first word; what has all of it comes first, however few know it."""
    world = World(seed=2, titles=30)
    called = {title.romaji: title for title in known_at("anilist", world).values()}
    name = next(name for name in called if " " in name)
    others = [title for title in called.values() if title.romaji != name][:2]
    for other in others:
        other.romaji, other.votes = f"{name.split()[0]} Zutto", 10**6
    found = page(TITLES, Anilist(world), page=1, search=name, sort=["SEARCH_MATCH"])["media"]
    assert found[0]["title"]["romaji"] == name
    assert {title["title"]["romaji"] for title in found} >= {other.romaji for other in others}


def test_what_changed_last_comes_first():
    """A change moves a title to the top of the list."""
    world = World(seed=2, titles=30)
    anilist = Anilist(world)
    number = min(map(int, known_at("anilist", world)))
    Mutator(world).apply("rename", {"shikimori_id": number - 100_000, "name": "Atarashii Na"})
    top = page(TITLES, anilist, page=1, sort=["UPDATED_AT_DESC", "ID"])["media"]
    assert (top[0]["id"], top[0]["title"]["romaji"], top[0]["updatedAt"]) == (number, "Atarashii Na", world.now)
    times = [title["updatedAt"] for title in top]
    assert times == sorted(times, reverse=True)


def test_airings_lie_between_their_bounds_and_are_those_of_the_titles():
    """The next one of a title has the same id in both."""
    week = page(AIRINGS, page=1, **{"from": WORLD.now, "to": WORLD.now + 7 * 86_400})["airingSchedules"]
    assert week
    assert all(WORLD.now < row["airingAt"] < WORLD.now + 7 * 86_400 for row in week)
    title = page(TITLES, ids=[week[0]["mediaId"]], sort=["ID"])["media"][0]
    assert title["nextAiringEpisode"] == {name: week[0][name] for name in ("id", "airingAt", "episode")}


def test_characters_come_25_at_a_time_at_most(monkeypatch):
    """Here two at a time, so that there is a second page."""
    monkeypatch.setattr("anime_crawler.sandbox.upstreams.anilist.json.MOST_NODES", 2)
    title = next(t for n, t in known_at("anilist", WORLD).items() if len(cast(t)) == 3)
    pages = [ask(CHARACTERS, id=title.id + 100_000, page=n)[1]["data"]["Media"]["characters"] for n in (1, 2)]
    assert [(len(p["edges"]), p["pageInfo"]["hasNextPage"]) for p in pages] == [(2, True), (1, False)]


def test_every_answer_says_what_is_left_and_going_over_it_costs_a_minute(monkeypatch):
    """Windows do not help: who is locked out is refused, and told for how long."""
    clock = [1000.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: clock[0])
    limiter = anilist_limits(enforced=True)
    for _ in range(30):
        clock[0] += 1
        assert limiter.check() is None
    assert limiter.headers() == {"x-ratelimit-limit": "30", "x-ratelimit-remaining": "0"}
    refusal = limiter.check()
    assert refusal is not None
    assert (refusal.status, refusal.headers["retry-after"]) == (429, "60")
    assert int(refusal.headers["x-ratelimit-reset"]) > 1_700_000_000
    clock[0] += 59
    assert limiter.check() is not None
    clock[0] += 61
    assert limiter.check() is None
    assert limiter.refused == 2


def test_a_burst_is_refused_though_much_is_left(monkeypatch):
    """Six at once."""
    monkeypatch.setattr(limits.time, "monotonic", lambda: 1000.0)
    limiter = anilist_limits(enforced=True)
    assert [limiter.check() is None for _ in range(6)] == [True] * 5 + [False]
