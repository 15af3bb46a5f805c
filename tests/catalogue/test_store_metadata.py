"""Episodes, characters, airings and snapshots of metadata sources."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.status import read_status
from anime_crawler.items import Titles, VoiceActor
from tests.catalogue.support import NOW, airing, anime, character, episode, release, snapshot

KINDS = {
    "episode": (t.episode_info, episode(), episode(titles=Titles(en="Homecoming"))),
    "character": (t.character, character(), character(names=Titles(romaji="Uzumaki Naruto"))),
    "appearance": (t.appearance, character(), character(role="main")),
    "airing": (t.airing, airing(), airing(airs_at=NOW + timedelta(days=7))),
    "snapshot": (t.snapshot, snapshot(), snapshot(rank=2)),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_a_record_is_stored_and_comes_back_as_it_was(tables, kind):
    """With the run that wrote it."""
    table, item, _ = KINDS[kind]
    assert tables.store(item, run=4)[kind, "new"] == 1
    ((source, changed_in, version, data),) = tables.rows(table, "source", "changed_in", "schema_version", "data")
    assert (source, changed_in, version) == ("jikan", 4, item.schema_version)
    if kind not in ("character", "appearance"):
        assert type(item).model_validate_json(data) == item


@each_kind
def test_an_unchanged_record_writes_nothing(tables, kind):
    """Also when it was fetched later, in another run."""
    _, item, _ = KINDS[kind]
    tables.store(item)
    before = tables.dump()
    assert tables.store(item.model_copy(update={"fetched_at": NOW + timedelta(days=1)}), run=2)[kind, "unchanged"] == 1
    assert tables.dump() == before


@each_kind
def test_a_changed_record_replaces_the_old_one(tables, kind):
    """One row, of the run that changed it."""
    table, item, other = KINDS[kind]
    tables.store(item)
    assert tables.store(other, run=2)[kind, "changed"] == 1
    assert tables.rows(table, "changed_in") == [(2,)]


@each_kind
def test_of_several_versions_in_one_batch_the_newest_counts(tables, kind):
    """By the time of fetching; of the same time, the last."""
    table, item, other = KINDS[kind]
    older = item.model_copy(update={"fetched_at": NOW - timedelta(hours=1)})
    counts = tables.store(item, other, older)
    assert (counts[kind, "new"], counts[kind, "unchanged"]) == (1, 2)
    stored = tables.rows(table)
    tables.store(other, run=2)
    assert tables.rows(table) == stored


@each_kind
def test_an_answer_out_of_a_cache_replaces_nothing_newer(tables, kind):
    """Not in another batch either; what was fetched later does."""
    _, item, other = KINDS[kind]
    tables.store(item)
    kept = other.model_copy(update={"fetched_at": NOW - timedelta(hours=20)})
    assert tables.store(kept, run=2)[kind, "unchanged"] == 1
    assert tables.store(other.model_copy(update={"fetched_at": NOW + timedelta(hours=1)}))[kind, "changed"] == 1


@each_kind
def test_sources_of_one_batch_do_not_meet(tables, kind):
    """Their ids are their own."""
    table, item, other = KINDS[kind]
    tables.store(item, other.model_copy(update={"source": "kitsu"}))
    assert tables.rows(table, "source") == [("jikan",), ("kitsu",)]
    assert tables.store(item)[kind, "unchanged"] == 1


def test_an_episode_is_known_by_season_and_number(tables):
    """No season is another than season 0."""
    counts = tables.store(episode(1), episode(1, season_number=0), episode(1, season_number=2), episode(2))
    assert counts == {("episode", "new"): 4}
    rows = tables.rows(t.episode_info, "anime_id", "season_number", "number")
    assert rows == [("20", t.NO_SEASON, 1), ("20", t.NO_SEASON, 2), ("20", 0, 1), ("20", 2, 1)]


def test_what_sources_say_of_episodes_is_not_delivered(tables):
    """The episodes of a title are those of its releases."""
    tables.store(release(numbers=[1]), anime())
    before = tables.rows(t.episode), tables.rows(t.title)
    tables.store(episode(2), episode(2, source="shikimori"), run=2)
    assert (tables.rows(t.episode), tables.rows(t.title)) == before


def test_a_character_in_several_anime_is_one_character_with_several_appearances(tables):
    """Role and voices belong to the anime; none overwrites another, whichever comes last."""
    main = character(anime_id="20", role="Main", voice_actors=(VoiceActor(name="竹内順子", language="Japanese"),))
    guest = character(anime_id="1735", role="Supporting")
    alone = character(anime_id=None)
    assert tables.store(main, guest, alone) == {
        ("character", "new"): 1,
        ("character", "unchanged"): 2,
        ("appearance", "new"): 3,
    }
    assert [row[0] for row in tables.rows(t.appearance, "anime_id")] == [t.NO_ANIME, "1735", "20"]
    before = tables.dump()
    assert tables.store(guest, alone, main, run=2) == {("character", "unchanged"): 3, ("appearance", "unchanged"): 3}
    assert tables.dump() == before


def test_days_types_and_kinds_have_rows_of_their_own(tables):
    """History is kept."""
    tables.store(snapshot(day=1), snapshot(day=2), snapshot(day=2, snapshot_type="upcoming"))
    tables.store(airing(kind="raw"), airing(kind="sub"), airing(kind="dub"))
    assert tables.rows(t.snapshot, "snapshot_type", "day") == [
        ("top", "2026-03-01"),
        ("top", "2026-03-02"),
        ("upcoming", "2026-03-02"),
    ]
    assert [row[0] for row in tables.rows(t.airing, "kind")] == ["dub", "raw", "sub"]


def test_texts_of_any_script_come_back(tables):
    """Also what JSON has to escape."""
    text = 'Ё"\\\n鋼の錬金術師 🎬 \u2028 %s :x'
    tables.store(episode(titles=Titles(native=text)))
    (data,) = tables.rows(t.episode_info, "data")[0]
    assert type(episode()).model_validate_json(data).titles.native == text


def test_the_status_counts_them(tables):
    """Rows of each table; a character that was told of without an anime appears nowhere."""
    tables.store(episode(), airing(1), airing(2), snapshot(), character(), character("9", None))
    counts = tables.run(read_status)["counts"]
    found = {name: counts[name] for name in ("episode_info", "characters", "appearances", "airings", "snapshots")}
    assert found == {"episode_info": 1, "characters": 2, "appearances": 1, "airings": 2, "snapshots": 1}
    assert (counts["episodes"], counts["titles"]) == (0, 0)


@pytest.mark.parametrize(
    ("full", "odd"),
    [
        (episode(titles=Titles(en="Homecoming"), duration_min=24, is_filler=False), episode(titles=Titles(ru="Домой"))),
        (character(role="main", voice_actors=(VoiceActor(name="A"),), picture="https://x.example/a.png"), character()),
        (airing(delayed=True), airing(delayed=None)),
        (snapshot(rank=2, votes=5), snapshot(rank=3, votes=None, popularity=None, score=None)),
    ],
)
def test_a_field_that_was_not_understood_erases_nothing(tables, full, odd):
    """What is stored of it stays; what the record tells is taken; also within one batch."""
    kinds = {"Episode": (t.episode_info,), "Character": (t.character, t.appearance), "Airing": (t.airing,)}
    its_tables = kinds.get(type(full).__name__, (t.snapshot,))

    def contents():
        rows = [orjson.loads(data) for table in its_tables for (data,) in tables.rows(table, "data")]
        return [{name: value for name, value in row.items() if name != "fetched_at"} for row in rows]

    told = odd.model_copy(update={"fetched_at": NOW + timedelta(hours=1)}).noting(["x: unknown"])
    tables.store(full)
    tables.store(told, run=2)
    separate = contents()
    whole = told.completed_by(full)
    for field, value in whole.model_dump(mode="json", exclude=whole.volatile).items():
        assert value in [data.get(field, value) for data in separate]
    assert separate[0].get("titles", {"en": "Homecoming"})["en"] == "Homecoming"
    for table in its_tables:
        tables.conn.execute(table.delete())
    tables.conn.commit()
    tables.store(full, told)
    assert contents() == separate
