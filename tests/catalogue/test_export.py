"""Exports: flat, whole, the same bytes for the same state."""

from __future__ import annotations

import csv
import io
import json
import random

import pytest

from anime_crawler.catalogue import export
from anime_crawler.items import Titles, VoiceActor
from tests.catalogue.support import airing, anime, character, episode, opened, player, release, snapshot

ITEMS = [
    anime("20", title="Наруто", genres=("Экшен",), score=7.99),
    anime("20", "kodik", title="=cmd|' /C calc'!A0", external_ids={"shikimori": "20"}),
    anime("9", title="-1", titles=Titles(ru="-1", romaji="Cowboy\r\nBebop".replace("\r\n", " "))),
    anime("x", "kodik", title="без номера"),
    release("serial-2", "20", numbers=[player(2, title="@SUM(A1)"), 10], quality="WEB-DLRip 720p"),
    release("serial-10", "20", numbers=[1, 2]),
    release("movie-1", "9", numbers=[player(1, season_number=None)]),
    release("serial-7", None, year=2001, blocked_countries=("RU",)),
    anime("1", "jikan", title="Naruto", external_ids={"shikimori": "20"}),
    episode(10, "1", titles=Titles(en="=1+1", native="再会")),
    episode(2, "1", season_number=0, is_filler=True),
    episode(2, "404"),
    character("17", "1", role="Main", voice_actors=(VoiceActor(name="竹内順子", language="Japanese"),)),
    character("17", "2", role="Supporting"),
    character("9", None, picture="https://pictures.example.com/9.jpg"),
    airing(3, "1", kind="sub", delayed=True),
    airing(3, "1", kind="raw"),
    snapshot("1", day=2),
    snapshot("1", day=1, votes=7),
]


def bytes_of(tables, kind, format_):
    file = io.BytesIO()
    with tables.conn.begin():
        count = export.WRITERS[format_](export.rows(tables.conn, kind), export.COLUMNS[kind], file)
    return file.getvalue(), count


def rows_of(tables, kind):
    return [json.loads(line) for line in bytes_of(tables, kind, "jsonl")[0].splitlines()]


def test_players_come_with_everything_about_their_release(tables):
    """In order of title, number and release; those of unmatched releases too."""
    tables.store(*ITEMS)
    rows = rows_of(tables, "players")
    assert [(r["title_id"], r["number"], r["release_id"]) for r in rows] == [
        (None, 1, "serial-7"),
        (None, 2, "serial-7"),
        ("20", 1, "serial-10"),
        ("20", 2, "serial-10"),
        ("20", 2, "serial-2"),
        ("20", 10, "serial-2"),
        ("9", 1, "movie-1"),
    ]
    assert rows[4] == {
        "title_id": "20",
        "number": 2,
        "season_number": 1,
        "source_number": 2,
        "title": "@SUM(A1)",
        "source": "kodik",
        "release_id": "serial-2",
        "translation_id": "610",
        "translation_title": "AniDUB",
        "translation_kind": "voice",
        "quality": "WEB-DLRip 720p",
        "url": "https://player.example.com/seria/2/0123456789abcdef0123456789abcdef/720p",
        "gone": False,
    }


def test_a_player_that_is_gone_says_so(tables):
    """It is kept in the export."""
    tables.store(release())
    tables.store(release(numbers=[2]))
    assert [row["gone"] for row in rows_of(tables, "players")] == [True, False]


def test_anime_have_one_row_per_title_and_source(tables):
    """With the item's fields; no time of fetching."""
    tables.store(*ITEMS)
    rows = rows_of(tables, "anime")
    assert [(r["title_id"], r["source"]) for r in rows] == [
        (None, "kodik"),
        ("20", "jikan"),
        ("20", "kodik"),
        ("20", "shikimori"),
        ("9", "shikimori"),
    ]
    assert (rows[3]["title_ru"], rows[3]["genres"], rows[3]["score"]) == ("Наруто", ["Экшен"], 7.99)
    assert "fetched_at" not in rows[3]


def test_unmatched_releases_are_listed(tables):
    """Nobody knows which anime they are."""
    tables.store(*ITEMS)
    (row,) = rows_of(tables, "unmatched")
    assert (row["source_id"], row["title"], row["year"], row["players"]) == ("serial-7", "Naruto", 2001, 2)


def test_episodes_are_listed_by_title_and_number(tables):
    """The union, as the backend gets it."""
    tables.store(*ITEMS)
    assert [(r["title_id"], r["number"]) for r in rows_of(tables, "episodes")] == [
        ("20", 1),
        ("20", 2),
        ("20", 10),
        ("9", 1),
    ]


def test_what_sources_say_of_episodes_comes_by_their_own_anime_ids(tables):
    """With the title where the source's anime has one; a source without seasons has none here either."""
    tables.store(*ITEMS)
    rows = rows_of(tables, "episode_info")
    assert [(r["title_id"], r["source"], r["anime_id"], r["season_number"], r["number"]) for r in rows] == [
        ("20", "jikan", "1", None, 10),
        ("20", "jikan", "1", 0, 2),
        (None, "jikan", "404", None, 2),
    ]
    assert (rows[0]["title_native"], rows[1]["is_filler"]) == ("再会", True)


def test_a_character_has_a_row_for_each_anime_it_is_in(tables):
    """With its role and voices there."""
    tables.store(*ITEMS)
    first, second, third = rows_of(tables, "characters")
    assert first == {
        "title_id": "20",
        "source": "jikan",
        "source_id": "17",
        "name_ru": None,
        "name_en": None,
        "name_romaji": "Naruto Uzumaki",
        "name_native": None,
        "picture": None,
        "anime_id": "1",
        "role": "Main",
        "voice_actors": [{"name": "竹内順子", "language": "Japanese"}],
        "gone_at": None,
    }
    assert (second["title_id"], second["anime_id"], second["role"]) == (None, "2", "Supporting")
    assert (third["source_id"], third["anime_id"], third["picture"]) == (
        "9",
        None,
        "https://pictures.example.com/9.jpg",
    )


def test_airings_and_snapshots_are_listed_in_order(tables):
    """Of number and kind, of type and day."""
    tables.store(*ITEMS)
    airings, snapshots = rows_of(tables, "airings"), rows_of(tables, "snapshots")
    assert [(r["title_id"], r["number"], r["kind"], r["delayed"]) for r in airings] == [
        ("20", 3, "raw", None),
        ("20", 3, "sub", True),
    ]
    assert [(r["title_id"], r["day"], r["votes"]) for r in snapshots] == [
        ("20", "2026-03-01", 7),
        ("20", "2026-03-02", None),
    ]


@pytest.mark.parametrize("kind", export.KINDS)
def test_what_belongs_to_adult_anime_can_be_left_out(tables, kind):
    """Whichever source says so; of an anime that nobody else knows, by the source's own id."""
    tables.store(*ITEMS, anime("20", is_adult=True), anime("404", "jikan", is_adult=True))
    with tables.conn.begin():
        kept = list(export.rows(tables.conn, kind, with_adult=False))
    assert [row for row in kept if row.get("title_id") == "20" or row.get("anime_id") == "404"] == []
    assert bool(kept) == (kind not in ("episode_info", "airings", "snapshots"))


@pytest.mark.parametrize("kind", export.KINDS)
def test_csv_has_a_header_utf8_and_no_formulas(tables, kind):
    """What a spreadsheet would run gets an apostrophe; every line has every column."""
    tables.store(*ITEMS)
    data, count = bytes_of(tables, kind, "csv")
    header, *lines = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
    assert header == list(export.COLUMNS[kind])
    assert {len(line) for line in lines} == {len(header)}
    assert len(lines) == count == len(rows_of(tables, kind))
    assert not [cell for line in lines for cell in line if cell.startswith(("=", "+", "-", "@"))]
    if kind == "anime":
        assert "'=cmd|' /C calc'!A0" in {cell for line in lines for cell in line}
        assert "Наруто" in data.decode("utf-8")


def test_catalogues_of_one_state_export_the_same_bytes(tables, tmp_path):
    """In any order of arrival, in batches of any size, twice over, on either database, in any run."""
    tables.store(*ITEMS)
    order = random.Random(5).sample(ITEMS, len(ITEMS))
    with opened(f"sqlite:///{tmp_path}/other.db") as other:
        for item in [*order, *order]:
            other.store(item, run=9)
        for kind in export.KINDS:
            for format_ in export.WRITERS:
                assert bytes_of(tables, kind, format_) == bytes_of(other, kind, format_)


def test_an_empty_catalogue_exports_a_header_only(tables):
    """Not an error: there is nothing yet."""
    assert bytes_of(tables, "players", "jsonl") == (b"", 0)
    assert bytes_of(tables, "players", "csv")[0].count(b"\r\n") == 1
