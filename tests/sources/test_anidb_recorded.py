"""AniDB's recorded answers against what others read in the same files: a table of field and file."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Anime, Character, Episode, Item, Rejected
from anime_crawler.sources.anidb.parse import items_from_dump, parse_file, snake
from anime_crawler.sources.anidb.schema import anime_record, drift, dump_records, root_from_body

NOW = datetime(2026, 5, 3, tzinfo=UTC)
FOLDER = Path("samples") / "anidb"

KINDS = {"TV Series": "tv", "Movie": "movie"}


def with_apostrophes(titles: list[str]) -> list[str]:
    """AniDB writes back-ticks; we do not."""
    return [title.replace("`", "'") for title in titles]


FIELDS: dict[str, tuple[Callable[[Anime], Any], Callable[[Any], Any]]] = {
    "id": (lambda anime: anime.source_id, str),
    "restricted": (lambda anime: anime.is_adult, lambda theirs: theirs or None),
    "type": (lambda anime: anime.kind, KINDS.__getitem__),
    "episodecount": (lambda anime: anime.episodes_total, lambda theirs: theirs or None),
    "startdate": (lambda anime: anime.aired_from, lambda theirs: theirs),
    "enddate": (lambda anime: anime.aired_to, lambda theirs: theirs),
    "title_main": (lambda anime: anime.titles.romaji, lambda theirs: with_apostrophes([theirs])[0]),
    "titles_official_en": (
        lambda anime: [anime.titles.en] if anime.titles.en else [],
        lambda theirs: with_apostrophes(theirs)[:1],
    ),
    "titles_official_ja": (lambda anime: [anime.titles.native] if anime.titles.native else [], lambda theirs: theirs),
    "titles_any_ru": (lambda anime: [anime.titles.ru] if anime.titles.ru else [], lambda theirs: theirs[:1]),
    "picture": (lambda anime: anime.poster, lambda theirs: f"https://cdn.anidb.net/images/main/{theirs}"),
    "ratings": (lambda anime: [anime.score, anime.votes], lambda theirs: theirs["permanent"]),
    "mal_ids": (
        lambda anime: [anime.external_ids["mal"]] if "mal" in anime.external_ids else [],
        lambda theirs: theirs if len(theirs) == 1 else [],
    ),
    "ann_ids": (lambda anime: [anime.external_ids["ann"]], lambda theirs: theirs),
    "related": (
        lambda anime: [[relation.target_id, relation.kind] for relation in anime.relations],
        lambda theirs: [[str(aid), snake(kind)] for aid, kind in theirs],
    ),
    "regular_episode_lengths": (
        lambda anime: [anime.duration_min] if anime.duration_min else [],
        lambda theirs: theirs,
    ),
    "top_tags_by_weight": (lambda anime: set(anime.tags), set),
    "creators_animation_work": (lambda anime: anime.studios, tuple),
}
"""Their field -> what we carry of it, and what it says in our convention: unknown is ``None``, apostrophes are no
back-ticks, kinds and relations are words of ours, of two MyAnimeList ids none is taken."""
NOT_CARRIED = {
    "title_count_by_type": "items hold titles by language; compared with the record below",
    "resource_types": "items hold ids of some sites; compared with the record below",
    "episodes_by_epno_type": "credits and trailers are no episodes; compared with the episodes below",
    "episode_elements": "credits and trailers are no episodes; compared with the episodes below",
    "category_names": "the form before 2015, which the source does not send any more",
}
EXCEPTIONS = {
    ("anime_11223_trimmed.xml", "top_tags_by_weight"): "its one tag has weight 0: not rated",
    ("anime_10145.xml", "top_tags_by_weight"): "the six heaviest of the eleven that we carry",
    ("anime_5576.xml", "top_tags_by_weight"): "the six heaviest of those that we carry",
    ("anime_4726.xml", "creators_animation_work"): "Nikkatsu co-produced the animation: a further studio",
}
"""Where the values differ by more than convention."""


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Path:
    """The recorded answers of AniDB."""
    return shared / FOLDER


def read(file: Path) -> list[Item | Rejected]:
    return list(parse_file(file.read_bytes(), file.name, NOW))


def expectations(recorded: Path) -> dict[Path, dict[str, Any]]:
    """Expected values by file, of the API's answers."""
    expected = json.loads((recorded / "expected.json").read_text(encoding="utf-8"))
    return {recorded / name: values for name, values in expected.items() if name.startswith("http_api/")}


def test_every_field_that_we_carry_agrees_in_every_recorded_anime(recorded):
    """All fields of all files, but for the exceptions, each of which is one."""
    compared, differing = 0, set()
    for file, expected in expectations(recorded).items():
        anime = read(file)[0]
        assert isinstance(anime, Anime)
        assert expected.keys() <= FIELDS.keys() | NOT_CARRIED.keys()
        for field in expected.keys() & FIELDS.keys():
            ours, convert = FIELDS[field]
            theirs = expected[field]
            if theirs is None and field == "top_tags_by_weight":  # no tags of this form in the file
                theirs = []
            compared += 1
            if ours(anime) != (convert(theirs) if theirs is not None else None):
                differing.add((file.name, field))
    assert differing == EXCEPTIONS.keys()
    assert compared == 8 * len(FIELDS)


def test_the_tags_that_others_put_first_are_among_ours(recorded):
    """The six heaviest, where the file has weights at all."""
    for file, expected in expectations(recorded).items():
        anime = read(file)[0]
        assert isinstance(anime, Anime)
        if file.name != "anime_11223_trimmed.xml":
            assert set(expected["top_tags_by_weight"] or []) <= set(anime.tags)


def test_studios_of_recorded_anime_begin_with_theirs(recorded):
    """A co-producing studio comes as a further one."""
    for file, expected in expectations(recorded).items():
        anime = read(file)[0]
        assert isinstance(anime, Anime)
        theirs = tuple(expected["creators_animation_work"])
        assert anime.studios[: len(theirs)] == theirs


def test_what_items_do_not_carry_is_read_all_the_same(recorded):
    """Titles by type, types of resources, episodes by type."""
    for file, expected in expectations(recorded).items():
        root = root_from_body(file.read_bytes())
        record, items = anime_record(root), read(file)
        types = [title["type"] for title in record["titles"]]
        assert {kind: types.count(kind) for kind in set(types)} == expected["title_count_by_type"]
        assert {r["type"] for r in record["resources"]} == set(expected["resource_types"])
        counted = expected["episodes_by_epno_type"]
        seasons = [item.season_number for item in items if isinstance(item, Episode)]
        assert seasons.count(None) == counted.get("1", 0)
        assert seasons.count(0) == counted.get("2", 0)
        assert len(list(root.iterfind("episodes/episode"))) == expected["episode_elements"]


@pytest.mark.parametrize(
    ("file", "status", "aired", "season", "year"),
    [
        ("anime_4726.xml", "released", 1, "summer", 1981),
        ("anime_6022.xml", "released", 130, "winter", 1980),
        ("anime_9771.xml", "ongoing", 12, "summer", 2013),
        ("anime_5081.xml", "released", 26, "fall", 1982),
        ("anime_4555.xml", "released", 11, "fall", 2006),
        ("anime_10145.xml", "released", 25, "spring", 2014),
        ("anime_5576.xml", "released", 13, "winter", 2008),
        ("anime_11223_trimmed.xml", "ongoing", 1, "spring", 2017),
    ],
)
def test_what_follows_from_the_dates_of_recorded_anime(recorded, file, status, aired, season, year):
    """Status, aired episodes, season and year by the source's own rules; no end date means airing."""
    anime = read(recorded / "http_api" / file)[0]
    assert isinstance(anime, Anime)
    assert (anime.status, anime.episodes_aired, anime.season, anime.year) == (status, aired, season, year)


def test_every_recorded_answer_is_understood_without_a_dead_letter(recorded):
    """Eight anime and both forms of the dump; nothing in them is unknown to the schema."""
    files = [*expectations(recorded), *recorded.glob("titles_dump_slice.*")]
    for file in files:
        found = read(file)
        assert not [item for item in found if isinstance(item, Rejected)], file.name
        if file.suffix == ".xml":
            assert not drift(root_from_body(file.read_bytes())), file.name
    assert len(files) == 10


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("http_api/error_*.xml", "AniDB's error"),
        ("http_api/anime_22_empty.xml", "without anything in it"),
        ("web_html/*.html", "a web page"),
    ],
)
def test_recorded_answers_without_items_say_what_they_are(recorded, names, says):
    """Errors, an empty anime; and the web pages, which must not be crawled and so have no parser: all their fields."""
    files = list(recorded.glob(names))
    for file in files:
        with pytest.raises(ResponseError, match=says):
            read(file)
    assert files


def test_the_recorded_dumps_give_every_anime_once(recorded):
    """40 entries of XML; of the plain form six ids, whose titles agree with the answers of the API."""
    dump, plain = read(recorded / "titles_dump_slice.xml"), read(recorded / "titles_dump_slice.dat")
    assert len({item.source_id for item in dump}) == len(dump) == 40
    assert sorted(item.source_id or "" for item in plain) == ["1", "23", "4726", "5101", "6022", "959"]
    for item in plain:
        if item.source_id in ("4726", "6022"):
            anime = read(recorded / "http_api" / f"anime_{item.source_id}.xml")[0]
            assert isinstance(anime, Anime)
            assert isinstance(item, Anime)
            assert item.titles == anime.titles
            assert set(item.alternative_titles) == set(anime.alternative_titles)


def test_a_recorded_dump_has_the_titles_of_all_languages(recorded):
    """Seikai no Monshou: main, English, Japanese; the rest beside them."""
    root = root_from_body((recorded / "titles_dump_slice.xml").read_bytes())
    first = next(items_from_dump(dump_records(root), NOW))
    assert isinstance(first, Anime)
    assert first.titles.model_dump() == {
        "ru": None,
        "en": "Crest of the Stars",
        "romaji": "Seikai no Monshou",
        "native": "星界の紋章",
    }
    assert first.alternative_titles == ("CotS", "SnM", "Hvězdný erb", "星界之纹章")


def test_a_recorded_serial_has_its_episodes_and_characters(recorded):
    """Haikyuu!!: 25 episodes, no credits or trailer among them, 67 characters."""
    items = read(recorded / "http_api" / "anime_10145.xml")
    episodes = [item for item in items if isinstance(item, Episode)]
    assert sorted(episode.number for episode in episodes) == list(range(1, 26))
    characters = [item for item in items if isinstance(item, Character)]
    assert len(characters) == 67
    assert characters[0].names.romaji == "Kageyama Tobio"
    assert characters[0].voice_actors[0].name == "Ishikawa Kaito"
