"""AniSearch's recorded pages, field by field, against what others read from the same pages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import AiringStatus, Anime, Character, Kind, Rejected
from anime_crawler.sources.anisearch.parse import character_from_link, episode_from_row, is_native, made, parse_file

NOW = datetime(2026, 5, 3, tzinfo=UTC)
STATUSES = {
    AiringStatus.RELEASED: ("FINISHED", "Completed"),
    AiringStatus.ANNOUNCED: ("UPCOMING", "Upcoming"),
    AiringStatus.DISCONTINUED: ("UNKNOWN", "Canceled"),  # modb-app has no word for it
}
KINDS = {Kind.TV: "TV-Series", Kind.MOVIE: "Movie", Kind.OVA: "OVA", Kind.ONA: "Web", None: "Unknown"}
ORIGINS = {"original": "Original Work", "game": "Video Game"}  # our words, as the other sources have them
Pair = tuple[Any, Any]


def origin_of(facts: Any) -> Any:
    """The block of the country of origin. The facts are sorted by language, so it is the one with a studio, or ja."""
    languages = facts["languages"]
    return languages.get("ja") or next(iter(languages.values()))


def names(anime: Anime) -> set[str | None]:
    return {anime.titles.en, anime.titles.romaji, anime.titles.native, *anime.alternative_titles} - {None}


def folded(texts: Any) -> set[str]:
    return {" ".join(text.split()).casefold() for text in texts}


def rating(facts: Any) -> float | None:
    """Ours is out of 10, from the number with two digits; 0.00 is no rating."""
    return round(facts["calculated_value"] * 2, 2) or None


EXPECTED: dict[str, Callable[[Anime, Any], Pair]] = {
    # modb-app merges all other names and genres; ours are in several fields
    "synonyms": lambda a, x: (folded(names(a) - {a.titles.romaji}) >= folded(set(x) - {a.titles.romaji}), True),
    "tags": lambda a, x: (sorted(name.lower() for name in {*a.genres, *a.tags}), x),
    "studios": lambda a, x: (sorted(name.lower() for name in a.studios), sorted(x)),
    "status": lambda a, x: (STATUSES[a.status][0], x),
    "season": lambda a, x: ((a.season or "undefined").upper(), x),
    "year": lambda a, x: (a.year, x),
    "title": lambda a, x: (a.titles.romaji, x),
    "episodes": lambda a, x: (a.episodes_total, x),
    "duration_seconds": lambda a, x: ((a.duration_min or 0) * 60, x),
    "picture": lambda a, x: (a.poster or "NO_PICTURE", x),
    "thumbnail": lambda a, x: (a.poster.replace("_600.", "_300.") if a.poster else "NO_PICTURE_THUMBNAIL", x),
    # 1-10 of the one digit in JSON-LD; ours is 0-10 of the two digits in the table
    "score_scaled_1_to_10": lambda a, x: (abs(1 + ((a.score or 0) / 2 - 0.1) / 4.9 * 9 - x) < 0.1, True),
    "relatedAnime": lambda a, x: (
        {f"https://anisearch.com/anime/{r.target_id}" for r in a.relations if r.target == "anime"},
        set(x),
    ),
}
NOT_CARRIED = {"scores_count"}  # how many sites modb-app has a score from


FACTS: dict[str, Callable[[Anime, Any], Pair]] = {
    "id": lambda a, f: (a.source_id, f["id"]),
    "adapted_from": lambda a, f: (
        a.origin and ORIGINS.get(a.origin, a.origin.replace("_", " ").title()),
        f["adapted_from"],
    ),
    "calculated_value": lambda a, f: (a.score, rating(f)),
    "rating": lambda a, f: (a.votes, None if f["rating_is_placeholder"] else f["rating"]["count"]),
    "canonical": lambda a, f: (a.url, f["canonical"].split(",")[0]),
    "cover": lambda a, f: (a.poster, None if "/cover/0_" in f["cover"] else f["cover"]),
    "descriptions": lambda a, f: (
        (a.description or "")[:25].strip(),
        f["descriptions"].get("en", {}).get("starts", "")[:25].strip(),
    ),
    "duration_seconds": lambda a, f: (a.duration_min and a.duration_min * 60, f.get("duration_seconds")),
    "episodes": lambda a, f: (a.episodes_total, f["episodes"]),
    "genres": lambda a, f: (set(a.genres), {*f["main_genres"], *f["subsidiary_genres"]}),
    "tags": lambda a, f: (set(a.tags), set(f["tags"])),
    "target_group": lambda a, f: (", ".join(a.demographics) or None, f["target_group"]),
    "type_raw": lambda a, f: (KINDS[a.kind], f["type_raw"]),
    "title": lambda a, f: (a.titles.romaji, origin_of(f)["title"]),
    "jsonld.name": lambda a, f: (a.titles.romaji, f["jsonld"].get("name") or a.titles.romaji),
    "og_title": lambda a, f: (a.titles.en or a.titles.romaji, f["og_title"].removesuffix(" (Anime)")),
    "native": lambda a, f: (a.titles.native, next(filter(is_native, origin_of(f)["native"]), None)),
    "spellings": lambda a, f: (folded(names(a)) >= folded(origin_of(f)["native"]), True),
    "languages": lambda a, f: (folded(names(a)) >= folded(b["title"] for b in f["languages"].values()), True),
    "synonyms_italic": lambda a, f: (folded(names(a)) >= folded(f["synonyms_italic"]), True),
    # the facts hold text between italics unsplit; with one title in it, it is that title
    "synonyms_plain_raw": lambda a, f: (folded(names(a)) >= folded(f["synonyms_plain_raw"]), True),
    "status": lambda a, f: (STATUSES[a.status][1], origin_of(f)["status"]),
    "start": lambda a, f: (a.aired_from, origin_of(f)["start"]),
    "end": lambda a, f: (a.aired_to, origin_of(f)["end"]),
    "jsonld.startDate": lambda a, f: (
        a.aired_from,
        f["jsonld"].get("startDate", "").replace("-00", "") or a.aired_from,
    ),
    "companies": lambda a, f: (list(a.studios), origin_of(f).get("companies", {}).get("names", [])),
}


@cache
def recorded(folder: Path, name: str) -> Any:
    (item,) = parse_file((folder / name).read_bytes(), name, NOW)
    return item


def differences(pairs: dict[tuple[str, str], Pair]) -> dict[tuple[str, str], Pair]:
    return {where: pair for where, pair in pairs.items() if pair[0] != pair[1]}


def test_every_field_that_modb_app_expects_is_ours(shared):
    """All files with an expectation; an unknown field in them fails."""
    folder = shared / "samples" / "anisearch"
    expected = json.loads((folder / "expected.json").read_text())
    pairs = {
        (file, field): EXPECTED[field](recorded(folder, file), value)
        for file, fields in expected.items()
        for field, value in fields.items()
        if not field.startswith("_") and field not in NOT_CARRIED
    }
    assert differences(pairs) == {}
    assert (len(expected), len(pairs)) == (18, 20)


def test_every_fact_of_a_detail_page_that_we_carry_is_ours(shared):
    """Every page by every field."""
    folder = shared / "samples" / "anisearch"
    facts = json.loads((folder / "facts.json").read_text())
    details = {file: fact for file, fact in facts.items() if fact["page"] == "detail"}
    pairs = {
        (file, field): FACTS[field](recorded(folder, file), fact) for file, fact in details.items() for field in FACTS
    }
    assert differences(pairs) == {}
    assert (len(details), len(pairs)) == (18, 18 * len(FACTS))


def test_relations_are_the_same_on_the_page_of_relations_and_in_the_preview(shared):
    """Id, label and kind of work; the page of relations has the title and rating of its anime."""
    folder = shared / "samples" / "anisearch"
    preview = recorded(folder, "4942__related_anime_multiple_related_anime_main.html")
    page = recorded(folder, "4942__related_anime_multiple_related_anime.html")
    rows = json.loads((folder / "facts.json").read_text())["4942__related_anime_multiple_related_anime.html"]["rows"]
    ours = [(r.target, r.target_id, r.kind, r.title) for r in page.relations]
    assert ours == [("anime", row["id"], row["relation"].lower(), row["title"]) for row in rows]
    assert page.relations == preview.relations
    assert (page.titles.romaji, page.score, page.votes) == (preview.titles.romaji, preview.score, preview.votes)


def test_the_index_page_has_a_hundred_anime_and_every_one_is_understood(shared):
    """Kinds, years, episodes, ratings and covers; the placeholder covers are left out."""
    body = (shared / "samples" / "anisearch" / "list_page_1.html").read_bytes()
    found = list(parse_file(body, "list_page_1.html", NOW))
    assert len({item.source_id for item in found}) == 100
    assert [item for item in found if isinstance(item, Rejected)] == []
    first = found[0]
    assert (first.source_id, first.titles.romaji, first.kind, first.episodes_total) == ("3733", "_Summer", Kind.OVA, 2)
    assert (first.year, first.score) == (2006, 4.28)
    assert Counter(bool(item.year) for item in found)[True] > 90
    assert not [item.poster for item in found if item.poster and ("ecchi" in item.poster or "/0_" in item.poster)]


def test_a_recorded_character_has_its_names_and_voices_and_no_spoilers(shared):
    """Native name, eleven voices in six languages."""
    found = recorded(shared / "samples" / "anisearch", "character_4852_monkey_d_luffy.html")
    assert isinstance(found, Character)
    assert (found.names.romaji, found.names.native) == ("Monkey D. Luffy", "モンキー・D・ルフィ")
    assert "太郎" not in found.model_dump_json()
    assert Counter(voice.language for voice in found.voice_actors)["ja"] == 2
    assert len(found.voice_actors) == 11


def test_texts_cut_out_of_episode_and_character_pages_are_understood(shared):
    """Numbers with flags, days, titles in brackets; all roles of a characters page."""
    folder = shared / "samples" / "anisearch"
    (page,) = json.loads((folder / "one_piece_episodes_page_fields.json").read_text())
    episodes = [made(episode_from_row, episode_row(fields), NOW) for fields in page["episodes"]]
    assert [episode.number for episode in episodes] == [1, 2, 279, 457, 50, 1144, 1200]
    assert [bool(episode.is_filler) for episode in episodes] == [False, False, True, False, True, False, False]
    assert episodes[0].titles.native == "俺はルフィ!海賊王になる男だ!"
    assert (episodes[0].aired_on, episodes[0].aired_at) == ("1999-10-20", None)
    sections = json.loads((folder / "one_piece_characters_page_fields.json").read_text())
    links = [
        {"id": link["url"].split("/")[1].split(",")[0], "section": section, "name": "x", "picture": None}
        for section, group in sections.items()
        for link in group
    ]
    found = [made(character_from_link, {"kind": "character", "anime_id": "2227", **link}, NOW) for link in links]
    assert len(found) > 700
    assert {getattr(item, "role", item) for item in found} >= {"main", "secondary", "extra"}
    assert not [item for item in found if isinstance(item, Rejected)]


def episode_row(fields: dict[str, str]) -> dict[str, Any]:
    """A row as the page would have it, from the texts of its cells."""
    titles = {key.removeprefix("title_"): text for key, text in fields.items() if key.startswith("title_")}
    row = {"kind": "episode", "id": "x", "anime_id": "2227", "number": fields["episode_number_raw"], "Title": titles}
    runtime, day = fields.get("runtime"), fields.get("release_date")
    return row | {"Runtime": {"ja": runtime}, "Date of Original Release": {"ja": day}}


def test_every_other_recording_is_understood_or_says_why_not(shared):
    """No dead letter on any page; texts that others have cut out are no pages."""
    files = sorted((shared / "samples" / "anisearch").iterdir())
    for file in files:
        if file.suffix == ".html":
            found = list(parse_file(file.read_bytes(), file.name, NOW))
            assert found
            assert not [item.reason for item in found if isinstance(item, Rejected)], file.name
        else:
            with pytest.raises(ResponseError, match="no content-outer"):
                parse_file(file.read_bytes(), file.name, NOW)
    assert len(files) > 20
