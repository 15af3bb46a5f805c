"""The simulated Jikan: lists that repeat and skip, episodes without end, and errors in several forms."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from anime_crawler.sandbox.server.limits import jikan_limits
from anime_crawler.sandbox.server.wire import Call, Reply
from anime_crawler.sandbox.upstreams.jikan.service import Jikan
from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sandbox.world.mutation import Mutator
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources.jikan import schema

WORLD = World(seed=2, titles=400)
JIKAN = Jikan(WORLD)
KNOWN = sorted(map(int, known_at("jikan", WORLD)))


def ask(path: str, jikan: Jikan = JIKAN, method: str = "GET", **params: Any) -> Reply:
    """What it answers."""
    query = urlencode(params)
    return jikan.answer(Call("jikan", method, path, query, {}, b"", "http://127.0.0.1:1/jikan"))


def read(path: str, jikan: Jikan = JIKAN, **params: Any) -> Any:
    """The same as JSON; it must be fine."""
    reply = ask(path, jikan, **params)
    assert reply.status == 200, reply.body
    return orjson.loads(reply.body)


def ids(page: Any) -> list[int]:
    return [title["mal_id"] for title in page["data"]]


def listed(path: str, **params: Any) -> list[int]:
    """Ids on all pages of 25, in their order."""
    first = read(path, page=1, **params)
    pages = range(2, first["pagination"]["last_visible_page"] + 1)
    return ids(first) + [number for page in pages for number in ids(read(path, page=page, **params))]


def test_sorted_by_mal_id_every_title_comes_once():
    """That is the order for a whole walk; a page past the end is empty."""
    assert listed("/anime", order_by="mal_id", sort="asc") == KNOWN
    assert read("/anime", order_by="mal_id", page=1000)["data"] == []


def test_sorted_by_anything_else_titles_come_twice_and_others_never():
    """Equal scores lie otherwise on each page: as many rows as titles, but not all of them."""
    found = listed("/anime", order_by="score", sort="desc", limit=5)
    assert len(found) == len(KNOWN)
    assert len(set(found)) < len(found)


@pytest.mark.parametrize(
    ("params", "wrong"), [({"limit": 26}, "limit"), ({"status": "current"}, "status"), ({"page": 0}, "page")]
)
def test_a_bad_parameter_is_refused_and_an_unknown_one_is_not_seen(params, wrong):
    """400 with `messages`, never a clamp."""
    reply = ask("/anime", **params)
    body = orjson.loads(reply.body)
    assert (reply.status, body["type"], list(body["messages"])) == (400, "ValidationException", [wrong])
    assert ids(read("/anime", genre="1,2")) == KNOWN[:25]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/anime/399999/full", 404, "BadResponseException"),
        ("/anime/-1", 404, "HttpException"),
        ("/seasons/-1/winter", 404, "HttpException"),
        ("/seasons/2020/monsoon", 400, "BadRequestException"),
    ],
)
def test_errors_have_the_form_that_the_crawler_knows(path, status, kind):
    """An unknown title and an unknown route are told apart by the type."""
    reply = ask(path)
    error = schema.error_from_document(orjson.loads(reply.body))
    assert error is not None
    assert (reply.status, error[0]) == (status, kind)


def test_only_get_is_allowed():
    """405."""
    assert ask("/anime", method="POST").status == 405


def test_episodes_always_promise_more():
    """100 a page, an empty one at the end, and `has_next_page` on each; some lists lack their first row."""
    long = next(n for n in KNOWN if len(read(f"/anime/{n}/episodes")["data"]) == 100)
    pages = [read(f"/anime/{long}/episodes", page=page) for page in (1, 2, 3)]
    assert [len(page["data"]) for page in pages][0::2] == [100, 0]
    assert all(page["pagination"] == {"last_visible_page": 1, "has_next_page": True} for page in pages)
    first = {page["data"][0]["mal_id"] for n in KNOWN if (page := read(f"/anime/{n}/episodes"))["data"]}
    assert first == {1, 2}


def test_only_the_full_object_has_relations_and_addresses_elsewhere():
    """Related titles that it does not know are not named."""
    related = [n for n in KNOWN if read(f"/anime/{n}/full")["data"]["relations"]]
    assert related
    full = read(f"/anime/{related[0]}/full")["data"]
    assert full.keys() - read(f"/anime/{related[0]}")["data"].keys() == {"relations", "theme", "external", "streaming"}
    entries = [e for n in related for r in read(f"/anime/{n}/full")["data"]["relations"] for e in r["entry"]]
    assert all(entry["mal_id"] in KNOWN for entry in entries if entry["type"] == "anime")


def test_only_the_words_tell_how_much_of_a_date_is_known():
    """`from` and `prop` are filled in."""
    aired = [title["aired"] for n in KNOWN if (title := read(f"/anime/{n}")["data"])]
    year_only = next(a for a in aired if a["string"] == "2027 to ?")
    assert (year_only["from"], year_only["prop"]["from"]["month"]) == ("2027-01-01T00:00:00+00:00", 1)
    assert any(a["from"] is None and a["string"] == "Not available" for a in aired)
    assert any(a["to"] is None and " to " not in a["string"] for a in aired if a["from"])


def test_long_runners_of_this_season_come_only_with_continuing():
    """Sorted by members; what is announced has a list of its own. These answers are kept for a day."""
    ongoing = {t.mal_id for t in WORLD.titles.values() if t.status == "ongoing" and t.mal_id in KNOWN}
    short, long = set(listed("/seasons/now")), set(listed("/seasons/now", continuing="true"))
    assert ongoing <= long
    assert short < long
    members = [title["members"] for title in read("/seasons/now", continuing="")["data"]]
    assert members == sorted(members, reverse=True)
    upcoming = read("/seasons/upcoming")["data"]
    assert {title["status"] for title in upcoming} == {"Not yet aired"}
    headers = ask("/seasons/now").headers
    assert headers["cache-control"] == "public, s-maxage=86400"
    assert headers["last-modified"].endswith("GMT")
    assert ask("/anime").headers["expires"] == "-1"


def test_popularity_is_a_rank_and_rankings_are_filtered():
    """1 is best; the ranking by score has the best first."""
    page = read("/anime", order_by="popularity", sort="asc", status="airing")
    places = [title["popularity"] for title in page["data"]]
    assert places == sorted(places)
    assert {title["status"] for title in page["data"]} == {"Currently Airing"}
    assert read("/top/anime")["data"][0]["rank"] == 1
    assert {t["type"] for t in read("/top/anime", type="movie", filter="bypopularity")["data"]} == {"Movie"}


def test_a_search_looks_into_all_names():
    """Whatever the case."""
    title = next(t for t in WORLD.titles.values() if t.mal_id in KNOWN and t.english)
    assert title.mal_id in listed("/anime", q=title.english.upper())
    assert read("/anime", q="no title is called so")["data"] == []


def test_a_mutation_shows():
    """A new name at once, a new title at the end."""
    world = World(seed=2, titles=30)
    jikan, mutator = Jikan(world), Mutator(world)
    before = set(map(int, known_at("jikan", world)))
    number = min(before)
    mutator.apply("rename", {"shikimori_id": number, "name": "Atarashii Na"})
    while (newest := mutator.apply("new_title", {})["shikimori_id"]) not in known_at("jikan", world):
        pass
    assert read(f"/anime/{number}", jikan)["data"]["title"] == "Atarashii Na"
    assert ids(read("/anime", jikan, order_by="mal_id", sort="desc", limit=1)) == [int(newest)]


def test_the_fourth_request_of_a_second_is_refused_without_a_time():
    """The status in the body is a text."""
    limiter = jikan_limits(enforced=True)
    replies = [limiter.check() for _ in range(4)]
    assert replies[:3] == [None] * 3
    refusal = replies[3]
    assert refusal is not None
    assert (refusal.status, orjson.loads(refusal.body)["status"], refusal.headers) == (429, "429", {})
    assert (limiter.refused, limiter.violations) == (1, 1)
