"""AnimeSchedule's recorded answers, field by field, against what was read from the same files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Airing, Anime
from anime_crawler.sources.animeschedule.parse import parse_file
from anime_crawler.sources.animeschedule.schema import drift

NOW = datetime(2026, 10, 1, tzinfo=UTC)
TIMETABLES = (
    "timetables_dub__2024-10-10.json",
    "timetables_dub__2024-10-16_sorted.json",
    "timetables_dub__2024-11-21_sorted_raw_rows_leaked.json",
    "timetables_raw__2026-W40_excerpt.json",
)
SHOW = "anime_by_slug__from_recorder.json"

Airings = list[Airing]


def of_one_row(airings: Airings) -> dict[tuple[str, str], Airings]:
    """Airings of each row: an anime comes at most once a week in each air type."""
    rows: dict[tuple[str, str], Airings] = {}
    for airing in airings:
        rows.setdefault((airing.anime_id, airing.kind), []).append(airing)
    return rows


def ranges(airings: Airings) -> dict[str, list[int]]:
    rows = of_one_row(airings).items()
    return {route: [its[0].number, its[-1].number] for (route, _), its in rows if len(its) > 1}


def delays(airings: Airings) -> list[str]:
    return [airing.anime_id for airing in airings if airing.delayed]


def first_row(airings: Airings) -> dict[str, Any]:
    """Of the row's fields those that an airing carries."""
    first = next(iter(of_one_row(airings).values()))
    at = first[-1].airs_at.isoformat().replace("+00:00", "Z")
    return {"route": first[0].anime_id, "episodeNumber": first[-1].number, "episodeDate": at}


FIELDS: dict[str, tuple[Callable[[Airings], Any], Callable[[Any], Any]]] = {
    "rows": (lambda airings: len(of_one_row(airings)), lambda expected: expected),
    "air_types": (lambda airings: sorted({airing.kind for airing in airings}), sorted),
    "episode_ranges": (ranges, lambda expected: expected),
    "delayed_now": (delays, lambda expected: expected),
    "airing_status_counts": (
        lambda airings: sum(1 for its in of_one_row(airings).values() if its[0].delayed),
        lambda expected: expected.get("delayed-air", 0),
    ),
    "first_row": (
        first_row,
        lambda expected: {name: expected[name] for name in ("route", "episodeNumber", "episodeDate")},
    ),
    "delay_windows_set": (
        lambda airings: {a.anime_id: f"{a.airs_at:%Y-%m-%dT%H:%M:%SZ}" for a in airings if a.delayed},
        lambda expected: expected,  # of those delayed now; see the test
    ),
}
"""What is expected of a timetable -> how our airings say it, and which part of it an airing carries."""
NOT_CARRIED = {
    "rows_without_episodes_total": "an airing has no total; the anime's own record has it",
    "first_row title, romaji, english, native, episodes, lengthMin": "fields of the anime, told by its own record",
    "airing_status_counts aired, airing, unaired": "follow from the time of the airing; only the delay is kept",
    "delay_windows_set of rows that are not delayed": "windows of former and later delays say nothing of this episode",
}
"""Expectations that no item of ours holds, and why."""


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def airings_of(folder: Path, file: str) -> Airings:
    found = list(parse_file((folder / file).read_bytes(), file, NOW))
    assert all(isinstance(item, Airing) for item in found), file
    return found  # type: ignore[return-value]


@pytest.fixture
def folder(shared: Path) -> Path:
    return shared / "samples" / "animeschedule"


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("file", TIMETABLES)
def test_a_recorded_timetable_says_what_was_read_from_it(folder, file, field):
    """Field by field: rows, air types, ranges, delays, numbers and dates."""
    expected = read(folder / "expected.json")[file]
    ours, carried = FIELDS[field]
    wanted = carried(expected[field])
    if field == "delay_windows_set":
        wanted = {route: window[1] for route, window in wanted.items() if route in expected["delayed_now"]}
    assert ours(airings_of(folder, file)) == wanted


def test_every_expectation_is_compared_or_named_with_its_reason(folder):
    """No field and no file of the expectations is left out in silence."""
    expected = read(folder / "expected.json")
    assert set(expected) == set(TIMETABLES)
    for fields in expected.values():
        assert set(fields) <= set(FIELDS) | {"rows_without_episodes_total"}
    assert all(NOT_CARRIED.values())


@pytest.mark.parametrize("file", TIMETABLES)
def test_every_recorded_row_gives_its_airings(folder, file):
    """Each row of a file against the airings it became: route, kind, numbers, date."""
    wanted = Counter()
    for row in read(folder / file):
        is_delayed = row["airingStatus"] == "delayed-air"
        at = datetime.fromisoformat(row["delayedUntil"] if is_delayed else row["episodeDate"])
        for number in range(row.get("subtractedEpisodeNumber", row["episodeNumber"]), row["episodeNumber"] + 1):
            wanted[row["route"], row["airType"], number, at, is_delayed] += 1
    ours = Counter((a.anime_id, a.kind, a.number, a.airs_at, a.delayed) for a in airings_of(folder, file))
    assert ours == wanted


def test_rows_of_another_kind_are_left_out_when_the_address_says_what_was_asked_for(folder):
    """Three raw rows leaked into a dub timetable."""
    body = (folder / TIMETABLES[2]).read_bytes()
    found = list(parse_file(body, "https://animeschedule.net/api/v3/timetables/dub?week=47&year=2024", NOW))
    assert len(found) == 29
    assert {item.kind for item in found if isinstance(item, Airing)} == {"dub"}


def names(records: list[dict[str, str]]) -> tuple[str, ...]:
    return tuple(record["name"] for record in records)


def ids(show: Any) -> dict[str, str]:
    """The last part of each address of another catalogue; its addresses are all in the usual form."""
    keys = {"mal": "mal", "aniList": "anilist", "kitsu": "kitsu", "anidb": "anidb", "animePlanet": "anime_planet"}
    elsewhere = {ours: show["websites"][key].rpartition("/")[2] for key, ours in keys.items()}
    return {"animeschedule": show["route"], **elsewhere}


SHOW_FIELDS: dict[str, Callable[[Any], Any]] = {
    "source_id": lambda show: show["route"],
    "titles.romaji": lambda show: show["names"]["romaji"],
    "titles.en": lambda show: show["names"]["english"],
    "titles.native": lambda show: show["names"]["native"],
    "titles.ru": lambda show: None,
    "alternative_titles": lambda show: (*show["names"]["synonyms"], show["names"]["abbreviation"]),
    "year": lambda show: show["year"],
    "season": lambda show: show["season"]["season"].lower(),
    "status": lambda show: "ongoing",  # delayed until 2030, the recorder's own mark for a delay without an end
    "kind": lambda show: show["mediaTypes"][0]["route"],
    "genres": lambda show: names(show["genres"]),
    "studios": lambda show: names(show["studios"]),
    "origin": lambda show: show["sources"][0]["route"].replace("-", "_"),
    "score": lambda show: pytest.approx(show["stats"]["averageScore"] / 10),
    "votes": lambda show: show["stats"]["ratingCount"],
    "episodes_total": lambda show: show["episodes"],
    "episodes_aired": lambda show: None,
    "next_episode_at": lambda show: None,
    "duration_min": lambda show: show["lengthMin"],
    "aired_from": lambda show: "2024-07",  # month and year; the recorder's object has no first day
    "aired_to": lambda show: None,
    "maturity": lambda show: None,
    "external_ids": ids,
    "description_raw": lambda show: show["description"],
}
"""Field of ours -> what the dossier's field table makes of the recorded object."""


@pytest.mark.parametrize("field", SHOW_FIELDS)
def test_the_recorded_anime_says_what_the_field_table_wants(folder, field):
    """Field by field of the one recorded object."""
    (anime,) = parse_file((folder / SHOW).read_bytes(), SHOW, NOW)
    value: Any = anime
    for name in field.split("."):
        value = getattr(value, name)
    assert value == SHOW_FIELDS[field](read(folder / SHOW))


def test_the_recorded_description_is_clean_and_the_others_are_whole(folder):
    """No tag, entity or source note; the poster on the picture host; the one relation."""
    (anime,) = parse_file((folder / SHOW).read_bytes(), SHOW, NOW)
    recorded = read(folder / SHOW)
    assert isinstance(anime, Anime)
    assert anime.description is not None
    assert not re.search(r"<|>|&#|Source:", anime.description)
    assert anime.description.count("\n\n") == 1
    assert anime.description.endswith("?")
    assert anime.poster is not None
    assert anime.poster.endswith("/assets/public/img/" + recorded["imageVersionRoute"])
    (relation,) = anime.relations
    assert (relation.kind, relation.target, relation.target_id) == (
        "prequel",
        "anime",
        *recorded["relations"]["prequels"],
    )


def test_recorded_answers_show_no_drift(folder):
    """Every field of every recording is known."""
    for file in (*TIMETABLES, SHOW):
        assert drift(read(folder / file)) == {}, file


def test_the_recorded_error_says_what_it_is(folder):
    """The text that comes with status 500."""
    (file,) = (folder / "errors").iterdir()
    with pytest.raises(ResponseError, match="without hits"):
        parse_file(file.read_bytes(), file.name, NOW)


def test_every_recorded_file_is_in_a_test(folder):
    """What is added to the recordings does not stay unread."""
    files = {path.name for path in folder.glob("*.json")}
    assert files == {*TIMETABLES, SHOW, "expected.json"}
