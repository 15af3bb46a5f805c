"""What a paused worker brings late takes nothing back that others have stored meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from anime_crawler.catalogue import tables as t
from anime_crawler.items import Checkpoint, utc_now
from tests.catalogue.support import absent, airing, anime, character, episode, rejected, release, snapshot

AGO = timedelta(seconds=25)
"""How long the worker was paused."""


def at(item, ago=timedelta(0), **fields):
    """The item as it was fetched so long ago."""
    return item.model_copy(update={"fetched_at": utc_now() - ago, **fields})


def live(tables):
    return [number for number, gone in tables.rows(t.player, "source_number", "gone_at") if gone is None]


@pytest.mark.parametrize("versions", [(None, None), (timedelta(0), timedelta(hours=1))], ids=["untold", "told"])
def test_an_older_release_takes_no_player_away(tables, versions):
    """By the source's time of change, and where it tells none by the time of fetching."""
    new_version, old_version = (utc_now() - v if v is not None else None for v in versions)
    tables.store(at(release(numbers=[1, 2, 3]), updated_at=new_version))
    before = tables.dump()
    late = at(release(numbers=[1, 2]), AGO, updated_at=old_version)
    assert tables.store(late) == {("release", "unchanged"): 1, ("player", "unchanged"): 2}
    assert tables.dump() == before


def test_of_two_releases_in_one_batch_the_newer_counts_and_one_that_has_just_come_needs_an_older_version(tables):
    """However they are ordered; a worker that was paused for a second only is told by the source's time."""
    newer = at(release(numbers=[1, 2, 3]), updated_at=utc_now())
    older = at(release(numbers=[1]), updated_at=utc_now() - timedelta(hours=1))
    tables.store(newer, older)
    assert live(tables) == [1, 2, 3]
    tables.store(older)
    assert live(tables) == [1, 2, 3]
    tables.store(at(release(numbers=[1, 2]), updated_at=utc_now()))
    assert live(tables) == [1, 2]


def test_a_release_that_a_walk_no_longer_found_does_not_come_back_by_a_page_of_before(tables):
    """One that is listed again later does."""
    tables.store(at(release(), 2 * AGO))
    tables.store(Checkpoint(source="kodik", previous=None, state={}, full_since=2), run=2)
    tables.store(at(release(numbers=[1, 2, 3]), AGO), run=2, listing_is_full=True)
    assert tables.rows(t.release, "gone_at") != [(None,)]
    tables.store(at(release()), run=3)
    assert tables.rows(t.release, "gone_at") == [(None,)]


def test_a_time_of_change_in_the_future_hides_no_later_version(tables):
    """A source whose clock was wrong for an hour."""
    tables.store(at(release(numbers=[1]), AGO, updated_at=utc_now() + timedelta(days=1)))
    tables.store(at(release(numbers=[1, 2]), updated_at=utc_now()))
    assert live(tables) == [1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: anime("20", title=f"Title {n}"),
        lambda n: episode(1, titles={"ru": f"Title {n}"}),
        lambda n: character("17", picture=f"https://x.example/{n}.jpg", role=f"role {n}"),
        lambda n: airing(1, delayed=n == 1),
        lambda n: snapshot("20", 1, rank=n),
    ],
    ids=["anime", "episode", "character", "airing", "snapshot"],
)
def test_an_older_item_of_any_kind_takes_nothing_back(tables, make):
    """The row is as the newer one left it."""
    tables.store(at(make(1)))
    before = tables.dump()
    tables.store(at(make(2), AGO))
    assert tables.dump() == before


def test_an_older_answer_of_the_identity_source_is_passed_over(tables):
    """That it does not know a title which it has described since; and the other way round."""
    tables.store(release())
    tables.store(at(anime()))
    tables.store(at(absent(), AGO))
    assert tables.rows(t.title, "metadata_state") == [("known",)]
    tables.store(at(absent()))
    tables.store(at(anime(), AGO))
    assert tables.rows(t.title, "metadata_state") == [("unknown",)]


def test_who_asked_for_details_in_a_later_run_has_asked(tables):
    """An older run's checkpoint does not make the later one ask again."""
    asked = Checkpoint(source="anidb", previous=None, state={"n": 1}, asked=("1",))
    tables.store(asked, run=6)
    tables.store(asked, run=5)
    assert tables.rows(t.detail, "asked_in") == [(6,)]


def test_a_record_that_was_understood_since_is_not_set_aside_again(tables):
    """Nor does an older version that is understood hide that the newer one is not."""
    tables.store(at(release("serial-1")))
    tables.store(at(rejected("serial-1"), AGO))
    assert tables.rows(t.dead_letter) == []
    tables.store(at(rejected("serial-1", reason="new")))
    tables.store(at(release("serial-1"), AGO))
    tables.store(at(rejected("serial-1", reason="old"), AGO))
    assert tables.rows(t.dead_letter, "reason", "seen") == [("new", 1)]
    tables.store(at(release("serial-1", numbers=[1, 2, 3])))
    assert tables.rows(t.dead_letter) == []
