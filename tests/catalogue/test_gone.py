"""What a source no longer has: marked with the time, back when it returns, and kept where a list came up short."""

from __future__ import annotations

from datetime import timedelta

import pytest

from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.export import rows as exported
from anime_crawler.catalogue.gone import ALWAYS_BELIEVED
from anime_crawler.catalogue.outbox import load_titles
from anime_crawler.catalogue.status import read_status
from anime_crawler.items import Absent, listing, members_of, utc_now
from tests.catalogue.support import NOW, absent, anime, character, episode, rejected, release


def gone(tables, table=t.anime, key="source_id"):
    """Keys of the rows that are gone."""
    return [own for own, at in tables.rows(table, key, "gone_at") if at]


def complete(kind, items):
    """The items of a complete list of anime 20, and what it listed."""
    return [*items, *listing(kind, "20", members_of(items), "jikan")]


def entries(*numbers, **fields):
    """Anime of MyAnimeList."""
    return [anime(str(n), "jikan", **fields) for n in numbers]


def test_what_a_complete_full_walk_no_longer_lists_is_gone_and_returns(tables):
    """A walk may have taken several runs; whatever answers with the anime again, it is back, changed or not."""
    tables.store(*entries(*range(1, 7)))
    tables.store(*entries(1, 2), run=2, listing_is_full=True)
    tables.store(*entries(3, 4), run=3, listing_is_full=True)
    assert tables.full_walk("jikan", 2, run=3) == {("anime", "gone"): 2}
    assert gone(tables) == ["5", "6"]
    assert tables.store(*entries(5), anime("6", "jikan", title="Блич"), run=4)["anime", "back"] == 2
    assert gone(tables) == []


def test_a_full_walk_of_one_source_says_nothing_of_others(tables):
    """Their anime stay."""
    tables.store(anime("1", "kitsu"), *entries(1))
    tables.full_walk("jikan", 2)
    assert tables.rows(t.anime, "source", "gone_at")[1] == ("kitsu", None)


def test_what_is_listed_is_there_though_its_page_cannot_be_read(tables):
    """The listing of a crawled site names the anime, their pages come later, or never."""
    tables.store(*entries(1, 2, 3))
    tables.full_walk("jikan", 2, listed=["1", "2"])
    assert gone(tables) == ["3"]
    assert tables.full_walk("jikan", 3, listed=["3", "1", "2"]) == {("anime", "back"): 1}


def test_what_was_listed_and_not_understood_is_there(tables):
    """Also where its record did not say which anime it is: then nothing is marked."""
    tables.store(*entries(1, 2))
    tables.store(rejected("1", source="jikan", kind="anime"), run=2)
    tables.full_walk("jikan", 2)
    assert gone(tables) == ["2"]
    tables.store(*entries(2), rejected(None, source="jikan", kind="anime"), run=3)
    assert tables.full_walk("jikan", 3) == {}
    assert gone(tables) == []


def test_a_list_that_shrank_by_too_much_is_believed_when_it_comes_again(tables):
    """One full walk that misses so many marks none, the next one marks those that it misses too."""
    many = range(1, ALWAYS_BELIEVED + 12)
    tables.store(*entries(*many))
    tables.store(*entries(*range(1, 11)), run=2, listing_is_full=True)
    assert tables.full_walk("jikan", 2) == {("anime", "not_believed"): len(many) - 10}
    assert gone(tables) == []
    tables.store(*entries(*range(1, 12)), run=3, listing_is_full=True)
    assert tables.full_walk("jikan", 3) == {("anime", "gone"): len(many) - 11}
    assert "11" not in gone(tables)


def test_releases_have_the_same_guard(tables):
    """A walk that lost most of the list takes no players away."""
    tables.store(*(release(f"serial-{n}") for n in range(40)))
    tables.store(release("serial-1"), run=2, listing_is_full=True)
    assert tables.full_walk("kodik", 2) == {("release", "not_believed"): 39}
    assert tables.store(*(release(f"serial-{n}") for n in range(40)), run=3, listing_is_full=True)
    assert tables.full_walk("kodik", 3) == {}


def test_a_lookup_that_finds_nothing_marks_the_anime_gone(tables):
    """Not one that is newer than the answer, which may come out of a cache; what was never stored is no row."""
    tables.store(*entries(1, 2, fetched_at=NOW))
    unknown = {"source": "jikan", "fetched_at": NOW + timedelta(hours=1)}
    tables.store(Absent(source_id="1", **unknown), Absent(source_id="9", **unknown), run=2)
    tables.store(Absent(source_id="2", source="jikan", fetched_at=NOW - timedelta(days=1)), run=2)
    assert gone(tables) == ["1"]
    assert tables.store(Absent(source_id="1", **unknown), run=3) == {("anime", "absent"): 1}


def test_an_answer_that_knows_none_of_many_ids_is_not_believed(tables):
    """A filter that is out of order answers so."""
    tables.store(*entries(*range(20)))
    nothing = [Absent(source="jikan", source_id=str(n), fetched_at=utc_now()) for n in range(20)]
    assert tables.store(*nothing, run=2) == {("anime", "absent"): 20, ("anime", "not_believed"): 20}
    assert gone(tables) == []


def test_an_answer_that_knows_none_of_many_ids_is_believed_where_few_of_them_were_stored(tables):
    """A dozen numbers that never were anime, and one that no longer is."""
    tables.store(*entries(3))
    nothing = [Absent(source="jikan", source_id=str(n), fetched_at=utc_now()) for n in range(20)]
    assert tables.store(*nothing, run=2) == {("anime", "absent"): 20, ("anime", "gone"): 1}
    assert gone(tables) == ["3"]


def test_titles_keep_what_they_have_of_an_anime_that_is_gone(tables):
    """Nothing is sent, and nothing that is sent later lacks it."""
    tables.store(anime("20"), release())
    before = tables.run(load_titles, ["20"])[0]
    tables.store(absent("20").model_copy(update={"fetched_at": NOW + timedelta(days=1)}), run=2)
    after = tables.run(load_titles, ["20"])[0]
    assert gone(tables) == ["20"]
    assert (after.version, after.anime) == (before.version, before.anime)


@pytest.mark.parametrize("season", [None, 2])
def test_an_episode_that_a_complete_list_no_longer_has_is_gone(tables, season):
    """And returns with a list that has it; a list of fewer than half is not believed, nor one not understood."""
    episodes = [episode(n, season_number=season) for n in range(1, 5)]
    tables.store(*complete("episode", episodes))
    tables.store(*complete("episode", episodes[:3]), run=2)
    assert gone(tables, t.episode_info, "number") == [4]
    assert tables.store(*complete("episode", episodes), run=3)["episode", "back"] == 1
    assert tables.store(*complete("episode", episodes[:1]), run=4)["episode", "not_believed"] == 3
    tables.store(*complete("episode", [*episodes[:3], rejected(kind="episode", source="jikan")]), run=5)
    assert gone(tables, t.episode_info, "number") == []


def test_a_character_leaves_one_anime_and_stays_in_others(tables):
    """Only the list of that anime is known."""
    cast = [character(str(n), "20") for n in range(1, 4)]
    tables.store(*cast, character("1", "1735"), *listing("character", "20", ["1", "2", "3"], "jikan"))
    tables.store(*listing("character", "20", ["2", "3"], "jikan"), run=2)
    assert [row[1:] for row in tables.rows(t.appearance, "gone_at", "source_id", "anime_id") if row[0]] == [("1", "20")]
    assert tables.store(*cast, run=3)["appearance", "back"] == 1


def test_exports_have_the_time_and_status_the_counts(tables):
    """Of anime, episodes and characters."""
    tables.store(*entries(20, 21), episode(1, "20"), episode(2, "20"), character("1", "20"), character("2", "20"))
    tables.store(*listing("episode", "20", ["None/1"], "jikan"), *listing("character", "20", ["1"], "jikan"), run=2)
    tables.full_walk("jikan", 2, listed=["20"])
    for kind, key in (("anime", "21"), ("episode_info", "2"), ("characters", "2")):
        found = {row["source_id"]: row["gone_at"] for row in tables.run(lambda conn, k=kind: list(exported(conn, k)))}
        assert [own for own, at in found.items() if at] == [key]
    counts = tables.run(read_status)["counts"]
    names = ("anime_records", "anime_records_gone", "episode_info", "episode_info_gone", "appearances_gone")
    assert [counts[name] for name in names] == [1, 1, 1, 1, 1]
