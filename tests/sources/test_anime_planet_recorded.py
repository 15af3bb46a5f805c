"""Anime-Planet's pages as captured, field by field against what others read from them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Absent, Anime, Character, Rejected
from anime_crawler.sources.anime_planet.parse import parse_file, snake, type_fields
from tests.conftest import SHARED

FOLDER = SHARED / "samples" / "anime_planet"
CAPTURED = datetime(2023, 4, 28, tzinfo=UTC)
"""When the pages with an expectation were captured; their status is judged at that day."""
TYPES = {"TV": "tv", "Movie": "movie", "OVA": "ova", "Web": "ona", "Music Video": "music", "Other": None}
MODB_TYPES = {"TV": "tv", "MOVIE": "movie", "OVA": "ova", "ONA": "ona"}
MODB_STATUSES = {"FINISHED": "released", "ONGOING": "ongoing", "UPCOMING": "announced", "UNKNOWN": None}


def full_size(image: str) -> str:
    return re.sub(r"-\d+x\d+(?=\.\w+$)", "", image.partition("?")[0])


def alternatives(aka: str | None) -> list[str]:
    label, _, rest = (aka or "").partition(": ")
    return rest.split(", ") if label == "Alt titles" else [rest] if rest else []


def date_or_year(day: str | None) -> str | None:
    """Ours for 1 January is the year: the site fills in what it does not know."""
    return day[:4] if day and day.endswith("-01-01") else day


# Field of `facts.json` -> (what it should be with us, what it is with us).
FACTS: dict[str, tuple[Callable[[Any], Any], Callable[[Anime], Any]]] = {
    "slug": (str, lambda a: a.source_id),
    "data_id": (str, lambda a: a.external_ids["anime_planet_number"]),
    "title": (str, lambda a: a.alternative_titles[0]),
    "aka_raw": (alternatives, lambda a: list(a.alternative_titles[1:])),
    "type_raw": (lambda raw: TYPES[raw], lambda a: a.kind and a.kind.value),
    "episodes": (lambda n: n, lambda a: a.episodes_total or a.episodes_aired or None),
    "episodes_open": (bool, lambda a: bool(a.episodes_aired) and a.episodes_total is None),
    "duration_seconds": (lambda s: s // 60 if s else None, lambda a: a.duration_min),
    "studios": (list, lambda a: list(a.studios)),
    "year_from": (lambda year: year, lambda a: a.year),
    "season": (lambda s: s, lambda a: f"{a.season.value}-{a.season_year}" if a.season else None),
    "rating": (
        lambda r: (round(2 * r["value"], 3), r["count"]) if r else (None, None),
        lambda a: (a.score, a.votes),
    ),
    "image": (lambda url: None if "/default/" in url else full_size(url), lambda a: a.poster),
    "image_is_placeholder": (bool, lambda a: a.poster is None),
    "synopsis": (
        lambda s: (s["chars"], s["starts"].strip()) if s else (0, ""),
        lambda a: (len(" ".join((a.description or "").split())), (a.description or "")[:60].replace("\n", " ").strip()),
    ),
    "manga_relations": (int, lambda a: sum(r.target == "manga" for r in a.relations)),
    "relations": (
        lambda found: [(snake(r["subtitle"] or "other"), r["slug"], r["title"]) for r in found],
        lambda a: [(r.kind, r.target_id, r.title) for r in a.relations if r.target == "anime"],
    ),
}
LINKED_DATA: dict[str, tuple[Callable[[Any], Any], Callable[[Anime], Any]]] = {
    "name": (str, lambda a: a.alternative_titles[0]),
    "startDate": (date_or_year, lambda a: a.aired_from),
    "datePublished": (date_or_year, lambda a: a.aired_from),
    "endDate": (date_or_year, lambda a: a.aired_to),
    "numberOfEpisodes": (int, lambda a: a.episodes_total or a.episodes_aired),
}
EXPECTED: dict[str, tuple[Callable[[Any], Any], Callable[[Anime], Any]]] = {
    "title": (str, lambda a: a.alternative_titles[0]),
    "type": (lambda raw: MODB_TYPES[raw], lambda a: a.kind and a.kind.value),
    "status": (lambda raw: MODB_STATUSES[raw], lambda a: a.status and a.status.value),
    "season": (lambda raw: None if raw == "UNDEFINED" else raw.lower(), lambda a: a.season and a.season.value),
    "year": (lambda year: year or None, lambda a: a.year),
    "episodes": (lambda n: n or None, lambda a: a.episodes_total or a.episodes_aired or None),
    "duration_seconds": (lambda s: s // 60 or None, lambda a: a.duration_min),
    "picture": (lambda url: None if "/default/" in url else url, lambda a: a.poster),
    "synonyms": (sorted, lambda a: sorted(a.alternative_titles[1:])),
    "studios": (sorted, lambda a: sorted(s.lower() for s in a.studios)),
    "tags": (sorted, lambda a: sorted(t.lower() for t in a.tags)),
    "relatedAnime": (
        sorted,
        lambda a: sorted(f"https://anime-planet.com/anime/{r.target_id}" for r in a.relations if r.target == "anime"),
    ),
    "score_scaled_1_to_10": (float, lambda a: a.score),
    "scores": (list, lambda a: [] if a.score is None else [a.score]),
}
NOT_CARRIED = {"scores_count", "thumbnail"}
"""How many catalogues rate it, and the small picture: nothing of ours."""
NOT_CARRIED_FACTS = {
    *("staff", "rank"),  # no item of ours has them
    *("h1", "rating_line", "type_line", "year_raw"),  # the texts that other fields are read from
    *("open_ended", "year_to"),  # decide the status, see below
    *("tags", "content_warnings", "jsonld", "characters"),  # compared together, below
}
EXCEPTIONS = {
    (
        "kubo-wont-let-me-be-invisible__status_range_to_unknown_starts_same_year.html",
        "status",
    ): "its reader ignores the exact start, which has passed; six episodes have aired: ongoing",
}


def recorded(name: str) -> dict[str, dict[str, Any]]:
    path = FOLDER / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@cache
def items(path: Path) -> list[Any]:
    return list(parse_file(path.read_bytes(), path.name, CAPTURED))


def anime(file: str) -> Anime:
    return next(item for item in items(FOLDER / file) if isinstance(item, Anime))


def table(name: str, fields: dict[str, Any]) -> list[tuple[str, str]]:
    return [(file, field) for file, its in recorded(name).items() for field in its if field in fields]


@pytest.mark.parametrize(("file", "field"), table("expected.json", EXPECTED))
def test_a_field_is_what_others_expect_of_the_same_page(file, field, shared):
    """100 %, but for the exceptions with their reasons."""
    wanted, ours = EXPECTED[field]
    agrees = wanted(recorded("expected.json")[file][field]) == ours(anime(file))
    assert agrees is ((file, field) not in EXCEPTIONS)


@pytest.mark.parametrize(("file", "field"), table("facts.json", FACTS))
def test_a_field_is_what_an_independent_reader_found(file, field, shared):
    """100 %; of manga relations those without a page of their own count, too."""
    wanted, ours = FACTS[field]
    assert ours(anime(file)) == wanted(recorded("facts.json")[file][field])


@pytest.mark.parametrize("file", recorded("facts.json"))
def test_linked_data_tags_and_characters_agree(file, shared):
    """Dates are exact but for 1 January; content warnings follow the tags; characters come in the page's order."""
    facts, ours = recorded("facts.json")[file], anime(file)
    for key, (wanted, field) in LINKED_DATA.items():
        if key in facts["jsonld"]:
            assert field(ours) == wanted(facts["jsonld"][key]), key
    assert list(ours.tags) == [*facts["tags"], *facts["content_warnings"]]
    characters = [item for item in items(FOLDER / file) if isinstance(item, Character)]
    assert [[c.source_id, c.names.romaji] for c in characters] == facts["characters"]


def test_nothing_that_is_recorded_goes_uncompared(shared):
    """Each field is compared, or named with the reason why it is not carried."""
    expected = {field for its in recorded("expected.json").values() for field in its if not field.startswith("_")}
    facts = {field for its in recorded("facts.json").values() for field in its}
    assert expected <= EXPECTED.keys() | NOT_CARRIED
    assert facts <= FACTS.keys() | NOT_CARRIED_FACTS
    assert {(file, field) for file, field in EXCEPTIONS} <= set(table("expected.json", EXPECTED))


def test_every_other_recorded_file_is_understood_or_says_why_not(shared):
    """A listing of 35 cards, a character, a removed slug; texts that somebody cut out of a page are no page."""
    others = [p for p in sorted(FOLDER.iterdir()) if p.suffix == ".html" and p.name not in recorded("facts.json")]
    for path in others:
        assert items(path), path.name
        assert not [item for item in items(path) if isinstance(item, Rejected)], path.name
    cards = items(FOLDER / "list_all.html")
    assert len(cards) == 35
    assert all(isinstance(card, Anime) and card.score and card.poster for card in cards)
    assert sum(card.description is None for card in cards) == 1  # the placeholder
    assert [type(item) for item in items(FOLDER / "dead_entry_search_results.html")] == [Absent]
    assert len(others) == 3
    for path in FOLDER.glob("*.json"):
        with pytest.raises(ResponseError, match=r"is no page of an anime"):
            parse_file(path.read_bytes(), path.name, CAPTURED)


def test_a_recorded_character_has_its_voices(shared):
    """Fourteen names in six languages, in all its anime together; role and voices are those of each anime."""
    parts = items(FOLDER / "character_monkey_d_luffy.html")
    assert {(part.source_id, part.names.romaji) for part in parts} == {("monkey-d-luffy", "Monkey D. Luffy")}
    assert len({part.anime_id for part in parts}) == len(parts) > 10
    assert {part.role for part in parts if part.anime_id == "one-piece"} == {"main"}
    assert {a.language for part in parts for a in part.voice_actors} == {"ja", "en", "es", "fr", "de", "ko"}
    assert ("Mayumi TANAKA", "ja") in {(actor.name, actor.language) for part in parts for actor in part.voice_actors}


def test_a_type_line_of_2026_is_understood(shared):
    """It is spread over lines; the long runner has 1,157 episodes so far and no planned number."""
    texts = recorded("one_piece_detail_fields.json")
    found = type_fields(str(texts["type_raw"]))
    assert (found["kind"], found["episodes_total"], found["episodes_aired"]) == ("tv", None, 1157)
