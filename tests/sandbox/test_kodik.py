"""The simulated Kodik: its cursor, its parameters, its one status for everything that is wrong."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from anime_crawler.sandbox.server.wire import Call
from anime_crawler.sandbox.upstreams.kodik.service import Kodik
from anime_crawler.sandbox.world.mutation import Mutator
from anime_crawler.sandbox.world.world import World

WORLD = World(seed=2, titles=30)
SORTS = ["updated_at", "created_at", "year", "shikimori_rating"]


def walk(kodik: Kodik, **params: object) -> list[str]:
    """Ids of all pages, following next_page."""
    ids, query = [], urlencode({"token": "T", **params})
    while query:
        reply = kodik.answer(Call("kodik", "GET", "/list", query, {}, b"", "http://host/kodik"))
        page = orjson.loads(reply.body)
        ids += [material["id"] for material in page["results"]]
        query = page["next_page"] and urlsplit(page["next_page"]).query
    return ids


@given(st.integers(1, 120), st.sampled_from(["asc", "desc"]), st.sampled_from(SORTS))
@settings(max_examples=60)
def test_a_walk_sees_every_material_once(limit, order, sort):
    """With any page size, order and sort."""
    ids = walk(Kodik(WORLD, "T"), limit=limit, order=order, sort=sort)
    assert sorted(ids) == sorted(WORLD.materials)


@given(st.integers(0, 1000), st.integers(5, 40))
@settings(max_examples=15)
def test_an_ascending_walk_misses_nothing_that_changes_meanwhile(seed, limit):
    """Every material of the changed world has been on some page since its last change."""
    world = World(seed=seed, titles=15)
    mutator, kodik = Mutator(world), Kodik(world, "T")
    kodik.walking = mutator.draw
    seen = walk(kodik, limit=limit, order="asc")
    assert set(seen) == set(world.materials)


def test_the_cursor_is_the_last_items_time_and_id(list_page):
    """Base64 of [milliseconds, id], as recorded in 2026."""
    page = list_page(limit=7).json()
    cursor = dict(parse_qsl(urlsplit(page["next_page"]).query))["next"]
    last = page["results"][-1]
    moment, identity = json.loads(base64.b64decode(cursor))
    assert identity == last["id"]
    assert moment % 1000 == 0


def test_next_page_repeats_the_parameters_and_holds_the_token(list_page, fresh):
    """An absolute address that leaks the token, commas written as %2C, parameters in the caller's order."""
    url = list_page(limit=5, with_episodes="true").json()["next_page"]
    assert url.startswith(f"{fresh.kodik_url}/list?token={fresh.kodik_token}&types=anime%2Canime-serial&limit=5")
    assert requests.get(url, timeout=10).json()["prev_page"].startswith(fresh.kodik_url)


def test_the_envelope_ends_with_null(list_page):
    """The last page has no next one; total counts the filter's materials."""
    films = list_page(types="anime", limit=100).json()
    assert films["next_page"] is None
    assert films["prev_page"] is None
    assert films["total"] == len(films["results"])
    assert {m["type"] for m in films["results"]} == {"anime"}


def test_default_order_is_newest_first_and_50_a_page(fresh):
    """Without limit, sort and order."""
    page = requests.get(f"{fresh.kodik_url}/list", params={"token": fresh.kodik_token}, timeout=10).json()
    times = [m["updated_at"] for m in page["results"]]
    assert len(times) == 50
    assert times == sorted(times, reverse=True)


def test_limit_is_clamped_to_100(list_page):
    """More is not refused."""
    assert len(list_page(limit=1000).json()["results"]) == 100


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"token": "wrong"}, "Отсутствует или неверный токен"),
        ({"token": ""}, "Отсутствует или неверный токен"),
        ({"types": "anime-movie"}, "Неправильный тип"),
        ({"types": ""}, "Неправильный тип"),
        ({"limit": 0}, "Неправильный лимит"),
        ({"next": "nonsense"}, "Неправильный курсор"),
    ],
)
def test_everything_wrong_is_500_with_a_text(list_page, params, text):
    """There is no 400, 401 or 403."""
    answer = list_page(**params)
    assert (answer.status_code, answer.json()) == (500, {"error": text})
    assert answer.headers["content-type"] == "application/json"


def test_a_json_body_is_not_read(fresh):
    """The token in it is therefore missing."""
    answer = requests.post(f"{fresh.kodik_url}/list", json={"token": fresh.kodik_token}, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (500, "Отсутствует или неверный токен")


def test_a_wrong_path_is_404_html(fresh):
    """And says nothing about the token."""
    answer = requests.get(f"{fresh.kodik_url}/nothing", timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_parts_come_only_when_asked_for(list_page):
    """Seasons, episodes, episode objects and material data."""
    bare = list_page(types="anime-serial").json()["results"]
    assert not any("seasons" in m or "material_data" in m for m in bare)
    seasons = list_page(types="anime-serial", with_seasons="true").json()["results"][0]["seasons"]
    assert "episodes" not in next(iter(seasons.values()))
    full = list_page(types="anime-serial", with_episodes_data="true", with_material_data="true").json()["results"]
    episodes = [e for m in full for s in m["seasons"].values() for e in s["episodes"].values()]
    assert all(set(e) >= {"link", "screenshots"} for e in episodes)
    assert sum("material_data" in m for m in full) > 0.9 * len(full)


def test_films_have_no_seasons_even_when_asked(list_page):
    """Only a link."""
    films = list_page(types="anime", with_episodes="true").json()["results"]
    assert films
    assert not any("seasons" in m or "blocked_seasons" in m for m in films)


def test_has_field_leaves_out_what_nobody_can_match(list_page):
    """`has_field=shikimori_id` makes the gap explicit."""
    all_of_them, matched = list_page().json()["total"], list_page(has_field="shikimori_id").json()["total"]
    assert 0 < matched <= all_of_them


def test_search_wants_a_criterion_and_has_no_pages(fresh):
    """No next_page key at all; total is what was returned."""

    def search(**params: str) -> requests.Response:
        return requests.get(f"{fresh.kodik_url}/search", {"token": fresh.kodik_token, **params}, timeout=10)

    assert search().json() == {"error": "Не указан хотя бы один параметр для поиска"}
    some_id = fresh.get("/_sandbox/oracle?what=anime")[0]["title_id"]
    found = search(shikimori_id=some_id).json()
    assert found["total"] == len(found["results"]) > 0
    assert "next_page" not in found
    assert {m["shikimori_id"] for m in found["results"]} == {some_id}


@pytest.mark.parametrize("name", ["translations/v2", "genres", "years", "qualities/v2", "countries"])
def test_dictionaries_count_materials(fresh, list_page, name):
    """`total` is the number of materials, not of rows; the counts sum to it."""
    answer = requests.get(f"{fresh.kodik_url}/{name}", {"token": fresh.kodik_token}, timeout=10).json()
    assert answer["total"] == list_page().json()["total"] == sum(row["count"] for row in answer["results"])
