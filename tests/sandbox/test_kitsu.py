"""The simulated Kitsu: pages of 20, includes, filters, a search without misses, and its own words for errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import requests

from anime_crawler.sandbox.server.limits import kitsu_limits
from anime_crawler.sandbox.server.process import RunningSandbox
from anime_crawler.sandbox.world.elsewhere import id_at, known_at
from anime_crawler.sandbox.world.world import World
from tests.sandboxes import running_sandbox

WORLD = World(seed=2, titles=250)  # the one that the running sandbox has: same seed, same number
KNOWN = known_at("kitsu", WORLD)
ALL = "categories,genres,mappings,animeProductions.producer,mediaRelationships.destination"

Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def larger() -> Iterator[RunningSandbox]:
    """250 titles, among them one for adults and a dozen that run."""
    with running_sandbox(titles=250, seed=2, limits="off") as running:
        yield running


@pytest.fixture
def ask(larger: RunningSandbox) -> Ask:
    """Ask for a path with parameters whose brackets are written as double underscores: ``page__limit=20``."""

    def get(path: str = "/anime", **params: Any) -> requests.Response:
        query = {name.replace("__", "[", 1) + "]" * ("__" in name): value for name, value in params.items()}
        return requests.get(f"{larger.url}/kitsu{path}", query, timeout=10)

    return get


def pages(ask: Ask, **params: Any) -> list[dict[str, Any]]:
    """Every page from the first on, as ``links.next`` leads."""
    found = [ask(page__limit=20, page__offset=0, **params).json()]
    while "next" in found[-1]["links"]:
        found.append(requests.get(found[-1]["links"]["next"], timeout=10).json())
    return found


def ids(document: dict[str, Any]) -> list[str]:
    return [row["id"] for row in document["data"]]


def test_the_walk_by_id_finds_what_kitsu_knows_once_and_its_last_link_overlaps(ask: Ask) -> None:
    """Next is missing on the last page; last begins a page before the end and not where a page does."""
    found = pages(ask, sort="id", include=ALL)
    assert [number for page in found for number in ids(page)] == sorted(KNOWN, key=int)
    assert found[0]["meta"] == {"count": len(KNOWN)}
    assert f"page%5Boffset%5D={len(KNOWN) - 20}" in found[0]["links"]["last"]
    assert len(KNOWN) % 20


def test_adult_titles_do_not_exist_without_a_login(ask: Ask) -> None:
    """Other sources name their id all the same, and nobody gets anything for it."""
    hidden = [id_at("kitsu", t) for t in WORLD.titles.values() if t.rating == "rx"]
    number = next(filter(None, hidden))
    assert number not in KNOWN
    assert ask(f"/anime/{number}").status_code == 404
    assert ask(filter__id=number).json()["data"] == []


def test_included_is_there_once_each_and_missing_where_there_is_nothing(ask: Ask) -> None:
    """Relationships have data only where they were included; many rows share a genre; a bare title has no key."""
    page = ask(sort="id", page__limit=20, page__offset=0, include=ALL).json()
    keys = [(resource["type"], resource["id"]) for resource in page["included"]]
    assert len(set(keys)) == len(keys)
    row = next(row for row in page["data"] if row["relationships"]["genres"]["data"])
    assert ("genres", row["relationships"]["genres"]["data"][0]["id"]) in keys
    assert "data" not in row["relationships"]["episodes"]
    alone = {number: ask(f"/anime/{number}", include=ALL).json() for number in list(KNOWN)[:60]}
    bare = [number for number, document in alone.items() if "included" not in document]
    assert 0 < len(bare) < 10
    assert "included" not in ask(filter__id=bare[0], include=ALL).json()
    assert "included" not in ask(sort="id", page__limit=20, page__offset=0).json()


def test_productions_repeat_and_lead_to_companies(ask: Ask) -> None:
    """The same pair of role and company comes twice in some titles."""
    found = [r for page in pages(ask, sort="id", include="animeProductions.producer") for r in page["included"]]
    pairs = [
        (resource["id"][:-1], resource["attributes"]["role"], resource["relationships"]["producer"]["data"]["id"])
        for resource in found
        if resource["type"] == "animeProductions"
    ]
    assert len(set(pairs)) < len(pairs)
    assert {resource["type"] for resource in found} == {"animeProductions", "producers"}


def test_sparse_fields_take_attributes_and_relationships_away(ask: Ask) -> None:
    """Without a relationship among them the key is gone altogether."""
    row = ask(fields__anime="slug").json()["data"][0]
    assert list(row["attributes"]) == ["slug"]
    assert "relationships" not in row


def test_a_page_has_10_rows_and_links_by_number_unless_said(ask: Ask) -> None:
    """The other style of paging comes with no page parameter at all."""
    page = ask(sort="id").json()
    assert len(page["data"]) == 10
    assert "page%5Bnumber%5D=2&page%5Bsize%5D=10" in page["links"]["next"]


@pytest.mark.parametrize(
    ("params", "code", "detail"),
    [
        ({"page__limit": 21}, "118", "Limit exceeds maximum page size of 20."),
        ({"page__foo": 1}, "117", "Invalid Page Object."),
        ({"filter__foo": 1}, "102", "foo is not allowed."),
        ({"fields__anime": "foo"}, "104", "foo is not a valid field for anime."),
        ({"foo": 1}, "105", "foo is not allowed."),
        ({"include": "foo"}, "112", "foo is not a valid relationship of anime"),
        ({"sort": "foo"}, "114", "foo is not a valid sort criteria for anime"),
    ],
)
def test_a_wrong_request_is_400_and_says_what_is_wrong(ask: Ask, params: Any, code: str, detail: str) -> None:
    """Code and status are texts."""
    answer = ask(**params)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"], error["status"], error["detail"]) == (400, code, "400", detail)


def test_an_unknown_id_is_404_alone_and_left_out_of_a_list(ask: Ask) -> None:
    """200 without rows for a filter that finds nothing."""
    one = ask("/anime/999999")
    assert (one.status_code, one.json()["errors"][0]["title"]) == (404, "Record not found")
    first = min(KNOWN, key=int)
    assert ids(ask(filter__id=f"{first},999999").json()) == [first]
    nothing = ask(filter__id="999999").json()
    assert (nothing["data"], nothing["meta"], set(nothing["links"])) == ([], {"count": 0}, {"first", "last"})


def test_status_follows_from_the_dates(ask: Ask) -> None:
    """Living titles are those that run or begin within three months; a placeholder is explained in words."""
    rows = [row["attributes"] for page in pages(ask, sort="id") for row in page["data"]]
    assert {row["status"] for row in rows} >= {"finished", "current"}
    living = [row["attributes"] for page in pages(ask, filter__status="current,upcoming") for row in page["data"]]
    assert living
    assert all(row["endDate"] is None or row["endDate"] >= "2026-11-01" for row in living)
    assert all(row["startDate"] == f"{row['tba']}-12-31" for row in rows if row["status"] == "unreleased")
    assert {row["updatedAt"] for row in rows} == {"2026-11-01T00:00:00.000Z"}


def test_titles_hold_nulls(ask: Ask) -> None:
    """In abbreviations, in posters, in counts and ratings."""
    rows = [row["attributes"] for page in pages(ask, sort="id") for row in page["data"]]
    assert any(None in (row["abbreviatedTitles"] or ()) for row in rows)
    assert {"TV", "movie", "special"} <= {row["subtype"] for row in rows}
    for name in ("averageRating", "description", "ageRating", "posterImage"):
        assert any(row[name] is None for row in rows), name


def test_a_search_finds_something_for_everything_and_its_first_two_pages_are_one(ask: Ask) -> None:
    """The best hit comes first; the engine counts pages from 1."""
    title = next(t for t in KNOWN.values() if t.romaji == "Ningyou Ashita")
    assert ids(ask(filter__text=title.romaji, page__limit=20, page__offset=0).json())[0] == id_at("kitsu", title)
    found = [ids(ask(filter__text="zzzz", page__limit=20, page__offset=n).json()) for n in (0, 20, 40)]
    assert found[0] == found[1] != found[2]


def test_episodes_and_characters_belong_to_one_anime(ask: Ask) -> None:
    """Episodes in order of number; the character itself is included."""
    number = next(n for n, t in KNOWN.items() if t.episodes > 11 and t.status == "released")
    rows = ask(f"/anime/{number}/episodes", sort="number", page__limit=20, page__offset=0).json()["data"]
    assert [row["attributes"]["number"] for row in rows] == list(range(1, len(rows) + 1))
    casts = [ask(f"/anime/{n}/characters", include="character", page__limit=20).json() for n in list(KNOWN)[:9]]
    assert sum(len(document["data"]) for document in casts) == sum(len(d.get("included", ())) for d in casts) > 0


def test_a_mutation_shows(ask: Ask, larger: RunningSandbox) -> None:
    """A new title is the last by id; one whose broadcast ends is finished. The world is as it was for other tests."""
    running = next(t for t in KNOWN.values() if t.status == "ongoing" and t.at_shikimori)
    larger.post("/_sandbox/mutate", {"op": "status", "shikimori_id": str(running.id), "status": "released"})
    row = ask(f"/anime/{id_at('kitsu', running)}").json()["data"]["attributes"]
    assert row["status"] == "finished"
    count = ask(sort="-id").json()["meta"]["count"]
    added = [larger.post("/_sandbox/mutate", {"op": "new_title"}) for _ in range(3)]
    newest = ask(sort="-id").json()
    assert count < newest["meta"]["count"] <= count + len(added)
    assert int(newest["data"][0]["id"]) > int(max(KNOWN, key=int))
    larger.post("/_sandbox/reset", {"world": True})


def test_the_61st_request_in_a_minute_is_refused_in_kitsus_own_words() -> None:
    """A status that is a number, and nothing about when to come again."""
    limiter = kitsu_limits(enforced=True)
    refusals = [limiter.check() for _ in range(61)]
    assert refusals[:-1] == [None] * 60
    last = refusals[-1]
    assert last is not None
    assert (last.status, orjson.loads(last.body)["errors"][0]["status"], last.headers) == (429, 429, {})
