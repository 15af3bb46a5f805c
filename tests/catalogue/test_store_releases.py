"""Releases, their players and episodes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anime_crawler.catalogue import tables as t
from anime_crawler.items import Checkpoint, Item, utc_now
from tests.catalogue.support import NOW, opened, player, rejected, release

LATER = NOW + timedelta(days=1)


def live(tables):
    return {(n, u) for n, u, gone in tables.rows(t.player, "source_number", "url", "gone_at") if gone is None}


def versions(tables):
    return dict(tables.rows(t.title, "title_id", "version"))


def test_a_new_release_gives_title_players_and_episodes(tables):
    """Each counted; the row keeps everything but the players."""
    counts = tables.store(release(numbers=[1, 2, 3]))
    assert counts == {("release", "new"): 1, ("player", "new"): 3, ("episode", "new"): 3, ("title", "new"): 1}
    assert tables.rows(t.player, "season_number", "source_number") == [(1, 1), (1, 2), (1, 3)]
    assert '"players"' not in tables.rows(t.release, "data")[0][0]


def test_an_unchanged_release_writes_nothing_at_all(tables):
    """Not one byte of a row, though it was fetched later and in another run."""
    tables.store(release())
    before = tables.dump()
    assert tables.store(release(fetched_at=LATER), run=2) == {("release", "unchanged"): 1, ("player", "unchanged"): 2}
    assert tables.dump() == before


def test_one_more_episode_writes_one_player_and_one_episode(tables):
    """The other players keep their rows; the title's version rises by one."""
    tables.store(release())
    old = tables.rows(t.player)
    counts = tables.store(release(numbers=[1, 2, 3], fetched_at=LATER), run=2)
    assert counts == {
        ("release", "changed"): 1,
        ("player", "new"): 1,
        ("player", "unchanged"): 2,
        ("episode", "new"): 1,
    }
    assert tables.rows(t.player)[:2] == old
    assert tables.rows(t.title, "version", "changed_in") == [(2, 2)]


@pytest.mark.parametrize("change", [{"url": "https://other.example.com/1"}, {"title": "Начало"}])
def test_a_player_that_changed_replaces_its_row(tables, change):
    """Link or title; first seen stays, last seen moves."""
    tables.store(release())
    counts = tables.store(release(numbers=[player(1, **change), 2], fetched_at=LATER))
    assert counts["player", "changed"] == 1
    row = tables.rows(t.player, *change, "first_seen", "last_seen")[0]
    assert row == (*change.values(), "2026-03-01T12:00:00.000000Z", "2026-03-02T12:00:00.000000Z")


def test_a_player_no_longer_listed_is_gone_until_it_comes_back(tables):
    """The row is kept either way; its episode too."""
    tables.store(release())
    assert tables.store(release(numbers=[2], fetched_at=LATER))["player", "gone"] == 1
    assert tables.rows(t.player, "source_number", "gone_at") == [(1, "2026-03-02T12:00:00.000000Z"), (2, None)]
    assert tables.store(release(numbers=[2], title="other", fetched_at=LATER))["player", "gone"] == 0
    assert tables.store(release(fetched_at=LATER))["player", "changed"] == 1
    assert tables.rows(t.player, "source_number", "gone_at") == [(1, None), (2, None)]
    assert len(tables.rows(t.episode)) == 2


def test_episodes_are_the_union_over_releases(tables):
    """A season's number once; the title from the first release that has one."""
    tables.store(release("a", numbers=[1, 2, player(1, season_number=3)]), release("b", numbers=[1, 3]))
    tables.store(release("c", numbers=[player(1, title="Начало"), player(3, title="Конец")]))
    tables.store(release("d", numbers=[player(1, title="Другое")]))
    assert tables.rows(t.episode, "season_number", "source_number", "title") == [
        (1, 1, "Начало"),
        (1, 2, None),
        (1, 3, "Конец"),
        (3, 1, None),
    ]


def test_what_is_listed_and_not_understood_keeps_what_is_stored(tables):
    """One episode, or a whole season; everything else that is no longer listed is gone."""
    seasons = [1, 2, 3, player(1, season_number=2), player(2, season_number=2), player(1, season_number=3)]
    tables.store(release(numbers=seasons))
    counts = tables.store(release(numbers=[1], unread_players=((1, 3), (2, None))))
    assert counts["player", "gone"] == 2
    there = [row[:2] for row in tables.rows(t.player, "season_number", "source_number", "gone_at") if row[2] is None]
    assert there == [(1, 1), (1, 3), (2, 1), (2, 2)]
    assert tables.store(release(numbers=[1], unread_players=((None, None),)))["player", "gone"] == 0
    assert tables.store(release(numbers=[1], unread_players=((2, None),)))["player", "gone"] == 1


def covered(tables):
    return dict(tables.rows(t.release, "source_id", "covered"))


def test_teams_are_ranked_when_one_comes_and_not_when_an_episode_does(tables):
    """A new episode must send its own rows alone, and teams must not pass each other to and fro with each week's."""
    tables.store(release("a"), release("b", numbers=[1]))
    assert covered(tables) == {"a": 2, "b": 1}
    tables.store(release("b", numbers=[1, 2]))
    tables.store(release("a", numbers=[1, 2, 3]))
    assert covered(tables) == {"a": 2, "b": 1}
    tables.store(release("c", numbers=[1]), release("other", "21", numbers=[1]))
    assert covered(tables) == {"a": 3, "b": 2, "c": 1, "other": 1}
    tables.store(release("c", numbers=[1, 2, 3]), release("a", numbers=[1, 2, 3, 4]))
    assert covered(tables) == {"a": 4, "b": 2, "c": 3, "other": 1}


def test_an_unmatched_release_gets_its_title_when_the_id_appears(tables):
    """Its players were stored before; the episodes come now."""
    assert ("title", "new") not in tables.store(release(title_id=None))
    assert tables.rows(t.episode) == []
    counts = tables.store(release())
    assert (counts["title", "new"], counts["episode", "new"], counts["player", "unchanged"]) == (1, 2, 2)


def test_a_release_that_moves_changes_both_titles(tables):
    """The old title must be looked at again too."""
    tables.store(release(), release("other"))
    tables.store(release(title_id="21"), run=2)
    assert versions(tables) == {"20": 2, "21": 1}
    assert tables.rows(t.title, "title_id", "changed_in") == [("20", 2), ("21", 2)]


def test_the_last_version_in_a_batch_counts(tables):
    """The same release twice on a page that moved while it was read."""
    counts = tables.store(release(), release(numbers=[1, 2, 3]))
    assert (counts["release", "new"], counts["release", "unchanged"]) == (1, 1)
    assert len(live(tables)) == 3


def test_releases_of_two_sources_with_one_id_are_two(tables):
    """Identity is source and id."""
    tables.store(release(), release().model_copy(update={"source": "other"}))
    assert tables.rows(t.release, "source", "source_id") == [("kodik", "serial-1"), ("other", "serial-1")]
    assert len(tables.rows(t.player)) == 4


def test_an_item_without_a_table_is_refused_loudly(tables):
    """Nothing of its batch is stored."""
    song = type("Song", (Item,), {})(source="s", source_id="1", fetched_at=NOW)
    with pytest.raises(TypeError, match="no table for Song"):
        tables.store(release(), song)
    assert tables.rows(t.release) == []


def test_a_full_walk_marks_gone_what_it_did_not_list(tables):
    """With the last checkpoint, in its transaction; what comes back is there again."""
    tables.store(release("a"), release("b", "21"), run=1)
    end = Checkpoint(source="kodik", previous=None, state={"done": 1}, full_since=2)
    tables.store(release("a"), end, run=2, listing_is_full=True)
    gone = {id_: at is not None for id_, at in tables.rows(t.release, "source_id", "gone_at")}
    assert gone == {"a": False, "b": True}
    assert versions(tables) == {"20": 1, "21": 2}
    assert tables.store(release("b", "21", fetched_at=utc_now()), run=3)["release", "changed"] == 1
    assert versions(tables) == {"20": 1, "21": 3}


def test_a_listed_release_that_was_not_understood_is_not_gone(tables):
    """Dummies instead of links: what was good before is kept."""
    tables.store(release("a"), release("b"), run=1)
    end = Checkpoint(source="kodik", previous=None, state={"done": 1}, full_since=2)
    tables.store(rejected("a"), end, run=2, listing_is_full=True)
    assert [id_ for id_, at in tables.rows(t.release, "source_id", "gone_at") if at] == ["b"]


def test_a_full_walk_continued_by_a_later_run_keeps_what_the_first_saw(tables):
    """The walk began in run 2 and ended in run 3."""
    tables.store(release("a"), release("b"), release("c"), run=1)
    tables.store(release("a"), run=2, listing_is_full=True)
    tables.store(release("b"), run=3, listing_is_full=True)
    assert tables.full_walk("kodik", 2)["release", "gone"] == 1
    assert [id_ for id_, at in tables.rows(t.release, "source_id", "gone_at") if at] == ["c"]


def test_a_full_walk_of_unchanged_releases_only_notes_that_it_saw_them(tables):
    """No version rises."""
    tables.store(release())
    before = tables.dump()
    tables.store(release(), run=2, listing_is_full=True)
    after = tables.dump()
    assert tables.rows(t.release, "seen_in") == [(2,)]
    del before["release"], after["release"]
    assert before == after


NUMBERS = st.lists(st.integers(0, 6), unique=True, min_size=1).map(sorted)
"""At least one: what a release without any means is told in ``test_vanished``."""
LINKS = st.sampled_from(["a", "b"])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(NUMBERS, LINKS), min_size=1, max_size=5), size=st.integers(1, 3))
def test_whatever_the_history_the_last_version_is_what_is_there(tmp_path_factory, history, size):
    """Live players are the last version's, episodes the union, in batches of any size."""
    items = [
        release(numbers=[player(n, url=f"https://player.example.com/{link}/{n}") for n in numbers])
        for numbers, link in history
    ]
    with opened(f"sqlite:///{tmp_path_factory.mktemp('history')}/a.db") as tables:
        for i in range(0, len(items), size):
            tables.store(*items[i : i + size])
        stored = [items[min(i + size, len(items)) - 1] for i in range(0, len(items), size)]
        assert live(tables) == {(p.source_number, p.url) for p in items[-1].players}
        union = {p.source_number for item in stored for p in item.players}
        assert [n for (n,) in tables.rows(t.episode, "source_number")] == sorted(union)


def test_what_was_not_understood_of_a_release_erases_nothing(tables):
    """An unknown form of blocking leaves the blocking that is stored; players are as listed."""
    known = {"blocked_seasons": {"1": ("all",)}, "quality": "WEB-DLRip", "blocked_countries": ("UA",)}
    tables.store(release(numbers=[1, 2], **known))
    odd = release(numbers=[1], quality="BDRip", fetched_at=LATER).noting(["blocked_seasons: an unknown form"])
    tables.store(odd, run=2)
    ((data,),) = tables.rows(t.release, "data")
    assert '"blocked_seasons":{"1":["all"]}' in data
    assert '"quality":"BDRip"' in data
    assert '"blocked_countries":["UA"]' in data
    assert [number for number, _ in live(tables)] == [1]
