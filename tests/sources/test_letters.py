"""Records that could not be read are set aside under the id of their item, so that a good one takes their place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from anime_crawler.catalogue.dead_letters import key_of, letter_of
from anime_crawler.items import Item, Rejected
from anime_crawler.sources.anilist import parse as anilist
from anime_crawler.sources.jikan import parse as jikan

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EPISODE = {"mal_id": 3, "title": "Part 3", "aired": "2020-01-05T00:00:00+00:00", "filler": False, "recap": False}
CHARACTER = {"character": {"mal_id": 70, "name": "Mori, Aoi"}, "role": "Main"}
PREMIERE = {
    "mal_id": 9,
    "title": "Kita",
    "type": "TV",
    "status": "Not yet aired",
    "aired": {"from": "2027-01-04T00:00:00+00:00", "to": None, "string": "Jan 4, 2027 to ?"},
    "broadcast": {"day": "Mondays", "time": "21:00", "timezone": "Asia/Tokyo"},
}
AIRING = {"id": 501, "airingAt": 1_800_000_000, "episode": 3, "mediaId": 9}
EDGE = {"role": "MAIN", "node": {"id": 70, "name": {"full": "Aoi Mori"}}}


def of_jikan_title(record: Any) -> Any:
    return jikan.items_from_titles([record], NOW)


def of_jikan_episode(record: Any) -> Any:
    return jikan.items_from_episodes([record], "9", NOW)


def of_jikan_character(record: Any) -> Any:
    return jikan.items_from_characters([record], "9", NOW)


def of_anilist_airing(record: Any) -> Any:
    return anilist.items_from_airings([record], NOW)


def of_anilist_airing_in_its_title(record: Any) -> Any:
    return anilist.items_from_media([{"id": 9, "airingSchedule": {"nodes": [record]}}], NOW)


def of_anilist_character(record: Any) -> Any:
    return anilist.items_from_media([{"id": 9, "characters": {"edges": [record]}}], NOW)


@pytest.mark.parametrize(
    ("read", "good", "damage"),
    [
        (of_jikan_title, PREMIERE, {"title": None}),
        (of_anilist_airing, AIRING, {"airingAt": "soon"}),
        (of_anilist_airing_in_its_title, AIRING, {"airingAt": "soon"}),
        (of_anilist_airing, {**AIRING, "id": None}, {"airingAt": "soon"}),
        (of_anilist_character, EDGE, {"node": {"id": 70, "name": None}}),
    ],
)
def test_a_bad_record_s_letter_has_the_kind_and_the_key_of_a_good_one_s_item(read: Any, good: Any, damage: Any) -> None:
    """Of a record that becomes several items, those of the first: a title's letter is its anime's."""
    item: Item = next(iter(read(good)))
    (letter,) = (letter_of(found) for found in read({**good, **damage}) if isinstance(found, Rejected))
    assert letter.kind == type(item).__name__.lower()
    assert letter.key in (item.source_id, key_of(item))


def test_the_premiere_of_a_title_goes_with_it() -> None:
    """The sound title gives an airing beside the anime."""
    assert [type(item).__name__ for item in of_jikan_title(PREMIERE)] == ["Anime", "Airing"]
