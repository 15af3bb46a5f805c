"""How the world moves on, and that the oracle moves with it."""

from __future__ import annotations

import pytest
import requests


def players(sandbox):
    return {(row["source_episode_id"], row["url"]) for row in sandbox.get("/_sandbox/oracle?what=players")}


def newest(list_page):
    return list_page(limit=1, sort="updated_at", order="desc").json()["results"][0]


def test_a_new_episode_is_one_player_and_one_episode_more(fresh, list_page):
    """In a material that becomes the newest of the list."""
    before = players(fresh)
    counts = fresh.get("/_sandbox/oracle")
    change = fresh.post("/_sandbox/mutate", {"op": "new_episode"})
    added = players(fresh) - before
    assert [source for source, _ in added] == [f"{change['shikimori_id']}:{change['number']}"] or len(added) == 1
    assert fresh.get("/_sandbox/oracle")["episodes"] == counts["episodes"] + 1
    assert newest(list_page)["id"] == change["material"]


def test_titles_and_translations_are_added_and_go(fresh, list_page):
    """A title with as many materials as wished, one more translation, and one that vanishes."""
    total = list_page().json()["total"]
    title = fresh.post("/_sandbox/mutate", {"op": "new_title", "materials": 3})
    assert len(title["materials"]) == 3
    one = fresh.post("/_sandbox/mutate", {"op": "new_material", "shikimori_id": title["shikimori_id"]})
    assert list_page().json()["total"] == total + 4
    assert newest(list_page)["id"] == one["material"]
    fresh.post("/_sandbox/mutate", {"op": "remove_material", "material": one["material"]})
    assert list_page().json()["total"] == total + 3
    titles = fresh.get("/_sandbox/")["titles"]
    fresh.post("/_sandbox/mutate", {"op": "remove_title", "shikimori_id": title["shikimori_id"]})
    assert (list_page().json()["total"], fresh.get("/_sandbox/")["titles"]) == (total, titles - 1)
    assert title["shikimori_id"] not in {str(row["title_id"]) for row in fresh.get("/_sandbox/oracle?what=anime")}


def test_links_and_hosts_change(fresh, list_page):
    """One episode's link; all links of a material at once, with or without a new update time."""
    before = players(fresh)
    fresh.post("/_sandbox/mutate", {"op": "change_link"})
    assert len(before ^ players(fresh)) in (0, 2)
    some = newest(list_page)
    wish = {"op": "change_host", "material": some["id"], "host": "player.example.org", "touch": False}
    fresh.post("/_sandbox/mutate", wish)
    again = newest(list_page)
    assert again["updated_at"] == some["updated_at"]
    assert again["link"].split("/")[2] == "player.example.org"


@pytest.mark.parametrize("op", ["drop_episode", "touch", "status", "rename"])
def test_every_other_change_moves_its_material_to_the_front(fresh, list_page, op):
    """And raises updated_at, which only ever grows."""
    last = newest(list_page)["updated_at"]
    change = fresh.post("/_sandbox/mutate", {"op": op})
    assert newest(list_page)["id"] == change["material"]
    assert newest(list_page)["updated_at"] > last


def test_the_world_changes_while_it_is_walked(fresh, list_page):
    """So many changes before each page, until told to stop; the same ones every time."""
    fresh.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 4})
    first = [list_page(sort="updated_at").json()["results"][:5] for _ in range(3)]
    fresh.post("/_sandbox/reset", {"world": True})
    fresh.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 4})
    assert [list_page(sort="updated_at").json()["results"][:5] for _ in range(3)] == first
    fresh.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 0})
    assert list_page().json()["results"] == list_page().json()["results"]


def test_time_goes_forward_only(fresh):
    """The world's present can be set, never back."""
    now = fresh.get("/_sandbox/")["now"]
    assert fresh.post("/_sandbox/time", {"now": now + 3600})["now"] == now + 3600
    with pytest.raises(requests.HTTPError, match="already"):
        fresh.post("/_sandbox/time", {"now": now})


def test_what_does_not_exist_is_refused(fresh):
    """An unknown operation, a material that is not there."""
    for wish in ({"op": "explode"}, {"op": "touch", "material": "serial-0"}):
        with pytest.raises(requests.HTTPError, match="400"):
            fresh.post("/_sandbox/mutate", wish)
