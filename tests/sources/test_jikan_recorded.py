"""Recorded answers, field by field against what the dossier's field table says of the same records.

There is no list of expectations for these recordings, so each field is worked out here from the raw record by other
means than the parser's: dates from the text, next episodes by a calendar, durations by words.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Airing, Anime, Character, Episode, Rejected, Snapshot
from anime_crawler.sources.jikan import parse

NOW = datetime(2022, 12, 9, 22, 45, tzinfo=UTC)  # when most of them were recorded
TITLES = (
    *("anime_2076.json", "anime_21_full.altered.json", "anime_457.json", "anime_48417_not_yet_aired.cut.json"),
    *("schedules_monday_2022-12-05.json", "search_kindaichi.json", "search_naruto.json"),
    *("search_toriko_items.cut.json", "seasons_2018_winter.json", "seasons_now_2022-12-09.json"),
    "top_anime_tv_page1.json",
)
EPISODES = ("anime_457_episodes.json", "anime_457_episode_1.json", "anime_2076_episode_143.json")
CHARACTERS = ("anime_characters_sample.json",)
WITHOUT_ITEMS = {
    "anime_2076_relations.json": "relations",
    "genres_anime.json": "genres",
    "seasons_archive.json": "archive",
    "openapi.json": "not an answer",
}
Record = dict[str, Any]
STATUS = {"Not yet aired": "announced", "Currently Airing": "ongoing", "Finished Airing": "released"}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
WEEKDAYS = ["Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"]


def names(entities: list[Record]) -> list[str]:
    return [entity["name"] for entity in entities]


def named(record: Record, language: str, plain: str) -> str | None:
    found = [t["title"] for t in record.get("titles", []) if t["type"] == language]
    return found[0] if found else record[plain]


def others(record: Record) -> set[str]:
    main = {named(record, *pair) for pair in (("Default", "title"), ("English", "title_english"))}
    main |= {named(record, "Japanese", "title_japanese")}
    found = {t["title"] for t in record["titles"]} | set(record["title_synonyms"])
    return {name.strip().casefold() for name in found} - {name.casefold() for name in main if name}


def date(words: str) -> str | None:
    """``Oct 3, 2022`` -> ``2022-10-03``; nothing is filled in."""
    match = re.match(r"(?:(\w{3}) )?(?:(\d+), )?(\d{4})$", words)
    if not match:
        return None
    month, day, year = match.groups()
    return "-".join([year, *([f"{MONTHS.index(month) + 1:02}"] if month else []), *([f"{int(day):02}"] if day else [])])


def aired_to(record: Record) -> str | None:
    halves = record["aired"]["string"].split(" to ")
    if len(halves) == 1 and record["status"] != "Finished Airing":
        return None
    return date(halves[-1])


def minutes(record: Record) -> int | None:
    words = record["duration"].split()
    units = {"hr": 60, "min": 1}
    return sum(int(n) * units[unit] for n, unit in itertools.pairwise(words) if unit in units) or None


def season(record: Record) -> str | None:
    if record["season"]:
        return str(record["season"])
    day = date(record["aired"]["string"].split(" to ")[0])
    quarters = ["winter", "spring", "summer", "fall"]
    if day and day[5:] >= "12-23":
        return "winter"
    return quarters[(int(day[5:7]) - 1) // 3] if day and len(day) > 4 else None


def season_year(record: Record) -> int | None:
    day = date(record["aired"]["string"].split(" to ")[0])
    if not season(record) or (not day and not record["year"]):
        return None
    is_december = season(record) == "winter" and day and day[5:7] == "12"
    return int(day[:4]) + 1 if day and is_december else record["year"] or int(str(day)[:4])


def next_episode(record: Record) -> datetime | None:
    """Minute by minute there is no need: the first of the next eight days, in Japan, that is the weekday."""
    slot, last = record["broadcast"], aired_to(record)
    if record["status"] != "Currently Airing" or not slot["day"] or not slot["time"]:
        return None
    hour, minute = map(int, slot["time"].split(":"))
    japan = NOW.replace(tzinfo=None) + timedelta(hours=9)
    days = [(japan + timedelta(days=n)).replace(hour=hour, minute=minute) for n in range(8)]
    found = next(day for day in days if day.weekday() == WEEKDAYS.index(slot["day"]) and day >= japan)
    return None if last and f"{found:%Y-%m-%d}" > last else (found - timedelta(hours=9)).replace(tzinfo=UTC)


def description(record: Record) -> str | None:
    """Compared without blanks; credits are cut where they are the last lines, and stay before a note."""
    lines = (record["synopsis"] or "").split("\n")
    while lines and re.match(r"\[Written by MAL Rewrite\]|\(Source: |$", lines[-1].strip()):
        lines.pop()
    return "".join("".join(lines).split()) or None


def adult(record: Record) -> bool | None:
    """The dossier calls only Rx adult; with us (`Anime.is_adult`) R+ is, too."""
    is_hentai = any(genre["mal_id"] == 12 for genre in record["genres"] + record["explicit_genres"])
    return True if is_hentai else record["rating"].startswith(("R+", "Rx")) if record["rating"] else None


def aired(record: Record) -> int | None:
    return {"announced": 0, "ongoing": None, "released": record["episodes"]}[STATUS[record["status"]]]


def relations(record: Record) -> list[tuple[str, str, str]]:
    groups = record.get("relations", [])
    return [(g["relation"].lower().replace(" ", "_"), e["type"], str(e["mal_id"])) for g in groups for e in g["entry"]]


EXPECTED: dict[str, Callable[[Record], Any]] = {
    "source_id": lambda r: str(r["mal_id"]),
    "url": lambda r: r["url"],
    "titles.ru": lambda r: None,
    "titles.en": lambda r: named(r, "English", "title_english"),
    "titles.romaji": lambda r: named(r, "Default", "title"),
    "titles.native": lambda r: named(r, "Japanese", "title_japanese"),
    "alternative_titles": others,
    "description": description,
    "year": lambda r: int((r["aired"]["from"] or "0")[:4]) or r["year"],
    "season": season,
    "season_year": season_year,
    "next_episode_is_estimated": lambda r: True if next_episode(r) else None,
    "status": lambda r: STATUS[r["status"]],
    "kind": lambda r: r["type"].lower().replace(" ", "_"),
    "poster": lambda r: r["images"]["webp"]["large_image_url"],
    "genres": lambda r: names(r["genres"]),
    "themes": lambda r: names(r["themes"]),
    "demographics": lambda r: names(r["demographics"]),
    "tags": lambda r: names(r["explicit_genres"]),
    "studios": lambda r: names(r["studios"]),
    "origin": lambda r: r["source"].lower().replace(" ", "_").replace("-", "_"),
    "score": lambda r: r["score"] or None,
    "votes": lambda r: r["scored_by"] or None,
    "maturity": lambda r: r["rating"].split()[0].lower().replace("-", "_").replace("+", "_plus"),
    "is_adult": adult,
    "episodes_total": lambda r: r["episodes"],
    "episodes_aired": aired,
    "next_episode_at": next_episode,
    "duration_min": minutes,
    "aired_from": lambda r: date(r["aired"]["string"].split(" to ")[0]),
    "aired_to": aired_to,
    "external_ids": lambda r: {"mal": str(r["mal_id"]), "shikimori": str(r["mal_id"])},
    "relations": relations,
}
OURS: dict[str, Callable[[Anime], Any]] = {
    "alternative_titles": lambda a: {name.casefold() for name in a.alternative_titles},
    "description": lambda a: "".join(a.description.split()) if a.description else None,
    "relations": lambda a: [(r.kind, r.target, r.target_id) for r in a.relations],
    **{f"titles.{name}": lambda a, name=name: getattr(a.titles, name) for name in ("ru", "en", "romaji", "native")},
    **{
        field: lambda a, field=field: list(getattr(a, field))
        for field in ("genres", "themes", "demographics", "tags", "studios")
    },
}


def read(folder: Any, file: str) -> tuple[list[Record], list[Any]]:
    """The raw records of a file, and our items."""
    body = (folder / "samples" / "jikan" / file).read_bytes()
    data = json.loads(body)["data"]
    return data if isinstance(data, list) else [data], list(parse.parse_file(body, file, NOW))


@pytest.mark.parametrize("file", TITLES)
@pytest.mark.parametrize("field", EXPECTED)
def test_every_field_of_every_recorded_title_is_what_the_field_table_says(file, field, shared):
    """One case per field and file; no exceptions but the convention that `adult` names."""
    records, items = read(shared, file)
    ours = OURS.get(field, lambda anime: getattr(anime, field))
    found = {item.source_id: ours(item) for item in items if isinstance(item, Anime)}
    assert found == {str(record["mal_id"]): EXPECTED[field](record) for record in records}


@pytest.mark.parametrize("file", TITLES)
def test_every_recorded_title_becomes_an_anime_without_a_dead_letter(file, shared):
    """As many as there are, in their order; rankings are snapshots too."""
    records, items = read(shared, file)
    assert not [item for item in items if isinstance(item, Rejected)]
    anime = [item.source_id for item in items if isinstance(item, Anime)]
    assert anime == [str(record["mal_id"]) for record in records]
    snapshots = [(s.source_id, s.rank, s.score, s.votes, s.popularity) for s in items if isinstance(s, Snapshot)]
    fields = ("rank", "score", "scored_by", "popularity")
    expected = [(str(r["mal_id"]), *(r[field] for field in fields)) for r in records]
    assert snapshots == (expected if file.startswith("top_") else [])


def test_fields_that_an_anime_has_are_all_in_the_table():
    """What is not compared has its reason here."""
    not_compared = {
        *("source", "fetched_at"),  # ours
        "source_updated_at",  # from a header of the response
        "description_raw",  # the synopsis itself, or nothing
        "franchise",  # Jikan has none
        *("untold", "not_understood", "unread"),  # what the answer lacks
    }
    assert {field.split(".")[0] for field in EXPECTED} == set(Anime.model_fields) - not_compared


def test_a_recorded_month_is_not_taken_for_a_day(shared):
    """Its `from` and its `prop` say the first of January; nothing else is known of it but the month."""
    (anime,) = read(shared, "anime_48417_not_yet_aired.cut.json")[1]
    assert (anime.aired_from, anime.aired_to, anime.season, anime.year) == ("2023-01", None, "winter", 2023)
    assert (anime.score, anime.episodes_total, anime.duration_min, anime.next_episode_at) == (None, None, None, None)


def test_premieres_of_recorded_titles_are_on_their_stated_day(shared):
    """Those under way whose first day has the weekday of their broadcast; the day in Japan is the stated one."""
    found = 0
    for file in TITLES:
        records, items = read(shared, file)
        raw = {str(record["mal_id"]): record for record in records}
        for airing in (item for item in items if isinstance(item, Airing)):
            record = raw[airing.anime_id]
            japan = airing.airs_at + timedelta(hours=9)
            assert record["status"] != "Finished Airing"
            assert f"{japan:%Y-%m-%d}" == record["aired"]["from"][:10]
            assert f"{japan:%H:%M}" == record["broadcast"]["time"]
            assert WEEKDAYS[japan.weekday()] == record["broadcast"]["day"]
            found += 1
    assert found


@pytest.mark.parametrize("file", EPISODES)
def test_every_field_of_every_recorded_episode(file, shared):
    """Numbers, titles without trailing blanks, days that no time zone moves, minutes of seconds."""
    records, items = read(shared, file)
    assert len(items) == len(records)
    for raw, episode in zip(records, items, strict=True):
        assert isinstance(episode, Episode)
        assert episode.anime_id == re.findall(r"\d+", file)[0]
        assert episode.number == raw["mal_id"]
        assert episode.titles.en == raw["title"].strip()
        assert episode.titles.native == raw["title_japanese"]
        assert episode.titles.romaji == raw["title_romanji"].replace("\xa0", " ").strip()
        assert (episode.aired_on, episode.aired_at) == (raw["aired"][:10], None)
        assert (episode.is_filler, episode.is_recap) == (raw["filler"], raw["recap"])
        assert episode.duration_min == (raw["duration"] / 60 if "duration" in raw else None)


@pytest.mark.parametrize("file", CHARACTERS)
def test_every_field_of_every_recorded_character(file, shared):
    """Names as they are, role, picture with its hash, voices."""
    records, items = read(shared, file)
    assert len(items) == len(records)
    for raw, character in zip(records, items, strict=True):
        assert isinstance(character, Character)
        assert character.source_id == str(raw["character"]["mal_id"])
        assert character.names.romaji == raw["character"]["name"]
        assert character.role == raw["role"].lower()
        assert character.picture == raw["character"]["images"]["webp"]["image_url"]
        voices = [(voice["person"]["name"], voice["language"]) for voice in raw["voice_actors"]]
        assert [(voice.name, voice.language) for voice in character.voice_actors] == voices


def test_every_other_recorded_file_says_why_it_holds_no_items(shared):
    """Relations, dictionaries, the API's description, every kind of error."""
    folder = shared / "samples" / "jikan"
    files = [f for f in folder.rglob("*.json") if not f.name.endswith(".headers.json")]
    rest = [f for f in files if f.name not in (*TITLES, *EPISODES, *CHARACTERS)]
    for file in rest:
        with pytest.raises(ResponseError) as refused:
            list(parse.parse_file(file.read_bytes(), file.name, NOW))
        assert WITHOUT_ITEMS.get(file.name, "is Jikan's error: ") in str(refused.value)
    assert len(rest) == len(WITHOUT_ITEMS) + 9
