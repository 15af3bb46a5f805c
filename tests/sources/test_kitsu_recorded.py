"""Kitsu's recorded answers, against what others expect of the very same files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Anime
from anime_crawler.sources.kitsu.parse import parse_file
from anime_crawler.sources.kitsu.schema import drift

NOW = datetime(2026, 5, 3, tzinfo=UTC)
LATER = datetime(2027, 11, 1, tzinfo=UTC)

STATUSES = {"FINISHED": "released", "ONGOING": "ongoing", "UPCOMING": "announced", "UNKNOWN": None}
KINDS = {"TV": "tv", "MOVIE": "movie", "OVA": "ova", "ONA": "ona", "SPECIAL": "special"}
SITE = "https://kitsu.app/anime/"


def names(anime: Anime) -> set[str]:
    """All titles of an anime."""
    return {*anime.alternative_titles, *filter(None, anime.titles.model_dump().values())}


def lowered(texts: tuple[str, ...]) -> list[str]:
    return sorted(text.lower() for text in texts)


# Their field -> whether ours agrees. Unknown is 0, UNKNOWN or UNDEFINED with them and None with us; they write names in
# lower case, durations in seconds, relations as addresses, and keep genres and categories in one list.
AGREES: dict[str, Callable[[Anime, Any], bool]] = {
    "title": lambda anime, value: value in names(anime),
    "episodes": lambda anime, value: (anime.episodes_total or 0) == value,
    "type": lambda anime, value: anime.kind == KINDS[value],
    "synonyms": lambda anime, value: set(value) < names(anime) and len(names(anime)) == len(value) + 1,  # the title
    "related_anime": lambda anime, value: sorted({SITE + r.target_id for r in anime.relations}) == value,
    "studios": lambda anime, value: lowered(anime.studios) == value,
    "tags": lambda anime, value: lowered((*anime.genres, *anime.tags)) == value,
    "year": lambda anime, value: (anime.year or 0) == value,
    "season": lambda anime, value: (anime.season or "undefined") == value.lower(),
    "status": lambda anime, value: anime.status == STATUSES[value],
    "duration_seconds": lambda anime, value: (anime.duration_min or 0) * 60 == value,
}
OURS = {"duration_minutes": "duration_min"}
"""Names of `_ours` that our items call otherwise; the others are the items' own."""
NOT_CARRIED = {"picture", "thumbnail", "producers"}
"""Placeholder pictures are None with us (`_ours` says so), thumbnails and producers no field of an item."""
EXCEPTIONS = {
    ("type__music.json", "type"): "they fold music into SPECIAL; we have a kind for it",
    ("status__null.json", "status"): "unknown with them; both dates are past, as `_ours` says",
    ("status__tba.json", "status"): "unknown with them; announced with us, as `_ours` says",
}


def anime_of(path: Path, now: datetime = NOW) -> Anime:
    (anime,) = parse_file(path.read_bytes(), path.name, now)
    assert isinstance(anime, Anime), anime
    return anime


@pytest.mark.parametrize("now", [NOW, LATER], ids=["next-year", "much-later"])
def test_every_recorded_title_agrees_with_what_others_expect_of_it(shared, now):
    """Field by file: each agrees, or is an exception with a reason; whenever the file is read."""
    folder = shared / "samples" / "kitsu"
    expected = orjson.loads((folder / "expected.json").read_bytes())
    compared, differing = 0, set()
    for file, fields in expected.items():
        for field in fields.keys() - {"_ours", "_about", "_source"} - NOT_CARRIED if file != "_meta" else ():
            compared += 1
            if not AGREES[field](anime_of(folder / file, now), fields[field]):
                differing.add((file, field))
    assert compared == 19
    assert differing == EXCEPTIONS.keys()
    assert anime_of(folder / "type__music.json", now).kind == "music"


@pytest.mark.parametrize("now", [NOW, LATER], ids=["next-year", "much-later"])
def test_every_value_that_is_said_to_be_ours_is_ours(shared, now):
    """The `_ours` of each file, field by field."""
    folder = shared / "samples" / "kitsu"
    compared = 0
    for file, fields in orjson.loads((folder / "expected.json").read_bytes()).items():
        for field, value in fields.get("_ours", {}).items():
            compared += 1
            assert getattr(anime_of(folder / file, now), OURS.get(field, field)) == value, (file, field)
    assert compared == 13


def test_every_recorded_answer_is_understood_without_a_dead_letter(shared):
    """Fifteen single titles, a list page of twenty; nobody was found for the seventeenth."""
    counts = {}
    for path in sorted((shared / "samples" / "kitsu").glob("*.json")):
        if path.name != "expected.json":
            found = list(parse_file(path.read_bytes(), path.name, NOW))
            assert all(isinstance(item, Anime) for item in found), path.name
            counts[path.name] = len(found)
    assert counts.pop("list_page__filter_id_no_hit.json") == 0
    assert counts.pop("list_page__sort_created_at_desc_limit_20.json") == 20
    assert list(counts.values()) == [1] * 15


def test_recorded_answers_without_items_say_what_they_are(shared):
    """Errors, and the file of expectations."""
    folder = shared / "samples" / "kitsu"
    for path in [*(folder / "errors").iterdir(), folder / "expected.json"]:
        with pytest.raises(ResponseError) as refused:
            parse_file(path.read_bytes(), path.name, NOW)
        assert len(str(refused.value)) > 20


def test_recorded_answers_hold_no_word_that_the_schema_does_not_know(shared):
    """All attributes, roles and types are listed; what vanished was left out by the request."""
    paths = list((shared / "samples" / "kitsu").glob("*__*.json"))
    assert len(paths) > 10
    for path in paths:
        changes = {change for (_, change) in drift(orjson.loads(path.read_bytes()))}
        assert changes <= ({"vanished"} if path.name.startswith("list_page") else set()), path.name


def test_recorded_titles_have_everything_that_their_answers_tell(shared):
    """One file in full, by what can be read in it."""
    anime = anime_of(shared / "samples" / "kitsu" / "related_anime__has_adaption_multiple_relations.json")
    assert (anime.source_id, anime.kind, anime.status, anime.season) == ("1415", "tv", "released", "fall")
    assert (anime.aired_from, anime.aired_to, anime.year) == ("2006-10-06", "2007-07-29", 2006)
    assert (anime.episodes_total, anime.episodes_aired, anime.duration_min, anime.score) == (25, 25, 24, 8.228)
    assert (anime.maturity, anime.is_adult) == ("r", False)
    assert anime.titles.native == "コードギアス 反逆のルルーシュ"
    assert anime.description
    assert not anime.description.endswith(")")
    assert {relation.target for relation in anime.relations} == {"anime"}


def test_recorded_dates_that_stand_for_less_are_cut(shared):
    """A month, a year, a year by the last of December, and a year that cannot be."""
    folder = shared / "samples" / "kitsu"
    assert anime_of(folder / "episodes__null.json").aired_from == "2025-10"
    assert anime_of(folder / "status__unreleased.json").aired_from == "2026"
    assert anime_of(folder / "anime_season__invalid_format.json").aired_from is None
    page = (folder / "list_page__sort_created_at_desc_limit_20.json").read_bytes()
    starts = [item.aired_from for item in parse_file(page, "page", NOW) if isinstance(item, Anime)]
    assert [start for start in starts if start and len(start) < 10] == ["2025", "2024", "2025", "2025"]
