"""AniList's recorded answers: every field that others expect of them and that we carry, and nothing not understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Airing, Anime, Character, Item, Rejected
from anime_crawler.sources.anilist.parse import KINDS, parse_file

NOW = datetime(2026, 8, 8, tzinfo=UTC)
OTHERS_STATUSES = {"FINISHED": "released"}
OTHERS_KINDS = {"TV": "tv", "UNKNOWN": None}
EXCEPTIONS = {
    ("type__music.json", "type"): "they fold music into special; we keep it: music",
    ("tags__tags.json", "tags"): "they keep tags that spoil the title itself; we drop them",
    ("studios__multiple_studios.json", "producers"): "our item has no producers",
}
"""(file, field) whose expectation is of another convention, and which one; each has its own check below."""
CONVENTIONS: dict[str, Callable[[Anime, Any], tuple[Any, Any]]] = {
    "title": lambda anime, value: (anime.titles.romaji, value),
    "synonyms": lambda anime, value: (
        every_title(anime) - {anime.titles.romaji},
        {" ".join(v.split()) for v in value} - {anime.titles.romaji},
    ),
    "type": lambda anime, value: (anime.kind, OTHERS_KINDS[value]),
    "status": lambda anime, value: (anime.status, OTHERS_STATUSES.get(value, value)),
    "related_anime": lambda anime, value: (
        sorted(f"https://anilist.co/anime/{r.target_id}" for r in anime.relations),
        sorted(value),
    ),
    "duration_seconds": lambda anime, value: ((anime.duration_min or 0) * 60, value),
    "studios": lambda anime, value: (sorted(studio.lower() for studio in anime.studios), value),
    "year": lambda anime, value: (anime.year, value),
    "score_scaled_1_to_10": lambda anime, value: (anime.score, value),
    "kind": lambda anime, value: (anime.kind, value),
    "next_episode_number": lambda anime, value: ((anime.episodes_aired or 0) + 1, value),
}
"""Their field -> ours, and theirs in our convention. Other names are those of our item."""
REPLACED = {"episodes": "episodes_total", "picture": "poster", "thumbnail": "poster", "type": "kind"}
"""Fields that `_ours` answers under another name."""
TITLES = {
    "title_romaji": lambda anime: anime.titles.romaji,
    "title_en": lambda anime: anime.titles.en,
    "title_native": lambda anime: anime.titles.native,
    "title_ru": lambda anime: anime.titles.ru,
    "duration_minutes": lambda anime: anime.duration_min,
    "source_id": lambda anime: anime.source_id,
}


def every_title(anime: Anime) -> set[str | None]:
    return {*anime.titles.model_dump().values(), *anime.alternative_titles} - {None}


def parsed(path: Path) -> list[Item | Rejected]:
    return list(parse_file(path.read_bytes(), path.name, NOW))


def expectations(shared: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, Any] = json.loads((shared / "samples" / "anilist" / "expected.json").read_bytes())
    del found["_meta"]
    return found


def compared(anime: Anime, name: str, expected: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(field, ours, expected) of one recording; `_ours` goes before their own convention."""
    ours = expected.get("_ours", {})
    theirs = {
        field: value
        for field, value in expected.items()
        if field != "_ours" and (name, field) not in EXCEPTIONS and REPLACED.get(field, field) not in ours
    }
    rows = []
    for field, value in [*theirs.items(), *ours.items()]:
        told, wanted = CONVENTIONS[field](anime, value) if field in CONVENTIONS else (getattr(anime, field), value)
        rows.append((field, told, wanted))
    return rows


def test_every_field_that_others_expect_of_a_recording_agrees(shared):
    """Each file × field of the expectations, but for the named exceptions."""
    counted = 0
    for name, expected in expectations(shared).items():
        if "items" in expected:
            continue
        anime = parsed(shared / "samples" / "anilist" / name)[0]
        assert isinstance(anime, Anime)
        for field, ours, wanted in compared(anime, name, expected):
            assert ours == wanted, (name, field)
            counted += 1
    assert counted == 28


def test_every_field_of_the_recorded_page_agrees(shared):
    """12 airing titles: titles, kind, duration, MyAnimeList's id, and each listed airing."""
    name = "page_of_media__airing_2026-08-08.json"
    found, expected = parsed(shared / "samples" / "anilist" / name), expectations(shared)[name]
    animes = {item.source_id: item for item in found if isinstance(item, Anime)}
    assert len(animes) == expected["count"]
    assert animes.keys() == expected["items"].keys()
    for own, fields in expected["items"].items():
        anime = animes[own]
        airings = [item for item in found if isinstance(item, Airing) and item.anime_id == own]
        for field, ours in TITLES.items():
            assert ours(anime) == fields[field], (own, field)
        assert anime.kind is KINDS[fields["kind_upstream"]]
        assert anime.external_ids.get("mal") == (str(fields["external_mal"]) if fields["external_mal"] else None)
        assert len(airings) == fields["listed_airings"]
        assert airings[0].number == fields["first_listed_episode"]
        assert airings[0].airs_at.timestamp() == fields["first_listed_airing_at_unix"]


def test_the_exceptions_are_what_they_are_said_to_be(shared):
    """Music stays music; of the tags only those that spoil the title are missing; producers are no studios."""
    folder, expected = shared / "samples" / "anilist", expectations(shared)
    music, tagged, made = (parsed(folder / name)[0] for name, _ in EXCEPTIONS)
    assert isinstance(music, Anime)
    assert isinstance(tagged, Anime)
    assert isinstance(made, Anime)
    assert music.kind == "music"
    media = json.loads((folder / "tags__tags.json").read_bytes())["data"]["Media"]
    spoilers = {tag["name"].lower() for tag in media["tags"] if tag["isMediaSpoiler"]}
    told = {name.lower() for name in (*tagged.genres, *tagged.tags)}
    assert told == set(expected["tags__tags.json"]["tags"]) - spoilers
    assert not {s.lower() for s in made.studios} & set(expected["studios__multiple_studios.json"]["producers"])


def test_every_recording_is_understood_without_a_dead_letter(shared):
    """Titles and pages of 2023 to 2026; each title of the web site brings its first characters."""
    files = [f for f in (shared / "samples" / "anilist").glob("*.json") if f.name != "expected.json"]
    with_items = [file for file in files if not file.name.startswith("page_of_ids")]
    for file in with_items:
        found = parsed(file)
        assert not [item.reason for item in found if isinstance(item, Rejected)], file.name
        assert any(isinstance(item, Anime) for item in found), file.name
    assert len(with_items) == 16


def test_recorded_characters_have_names_roles_pictures_and_voices(shared):
    """Cowboy Bebop's first six."""
    found = parsed(shared / "samples" / "anilist" / "tags__tags.json")
    characters = [item for item in found if isinstance(item, Character)]
    assert [c.names.romaji for c in characters][:2] == ["Spike Spiegel", "Faye Valentine"]
    assert {c.role for c in characters} <= {"main", "supporting", "background"}
    assert characters[0].voice_actors[0].model_dump() == {"name": "Kouichi Yamadera", "language": "Japanese"}
    assert all(c.picture and c.anime_id == "1" for c in characters)


def test_recorded_descriptions_are_clean(shared):
    """No tags, no entities, no credit of the source, wherever it stands."""
    files = [file for file in (shared / "samples" / "anilist").glob("*__*.json") if "page_of_ids" not in file.name]
    found = [item.description for file in files for item in parsed(file) if isinstance(item, Anime)]
    descriptions = [text for text in found if text]
    assert len(descriptions) > 5
    for text in descriptions:
        assert not any(mark in text for mark in ("<br", "<i>", "(Source:", "~!", "&deg;", "\n\n\n"))


def test_recordings_without_items_say_what_they_are(shared):
    """Errors by their own words, a list of ids by what it lacks."""
    folder = shared / "samples" / "anilist"
    for file in (*(folder / "errors").glob("4*.json"), folder / "page_of_ids__perPage_20.json"):
        with pytest.raises(ResponseError) as refused:
            parsed(file)
        assert file.name in str(refused.value)
    assert len(parsed(folder / "errors" / "200_page_example_from_docs.json")) == 3
