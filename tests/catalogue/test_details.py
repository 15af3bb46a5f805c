"""Which anime a source that is asked for one at a time is to be asked about, and in which order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from anime_crawler.catalogue.details import Asker, unfinished, wanted_details
from anime_crawler.catalogue.tables import external_id
from anime_crawler.items import Absent, AiringStatus, Anime, Checkpoint, utc_now
from tests.catalogue.support import Tables, anime, release

ASKER = Asker("anidb", "anidb", ongoing_age=timedelta(days=7), other_age=timedelta(days=60))


def named(aid: str, source_id: str, source: str = "kitsu", **fields: Any) -> Anime:
    """An anime that says what its id at AniDB is."""
    return anime(source_id, source, external_ids={source: source_id, "anidb": aid}, **fields)


def ask(tables: Tables, run_id: int = 9, limit: int = 100, exclude: tuple[str, ...] = (), days: int = 0) -> list[str]:
    """What is wanted, so many days from now."""
    now = utc_now() + timedelta(days=days)
    found: list[str] = tables.run(lambda conn: wanted_details(conn, ASKER, run_id, now, limit, exclude))
    return found


def answered(*aids: str, source: str = "anidb") -> Checkpoint:
    return Checkpoint(source=source, previous=None, state={}, asked=aids)


def links(conn: Connection) -> list[tuple[str, ...]]:
    columns = [external_id.c[name] for name in ("source", "source_id", "target", "target_id")]
    return [tuple(row) for row in conn.execute(select(*columns).order_by(*columns))]


def test_only_ids_that_another_source_names_are_wanted_each_once(tables):
    """An id that three name is one; a source's own anime, and ids in other catalogues, are none."""
    tables.store(named("11", "1"), named("11", "2"), named("11", "x", "jikan"), named("12", "3"))
    tables.store(anime("99", "anidb", external_ids={"anidb": "99", "mal": "13"}), anime("4", "kitsu"))
    assert ask(tables) == ["11", "12"]
    assert ask(tables, limit=1) == ["11"]
    assert ask(tables, exclude=("11",)) == ["12"]


def test_airing_ones_come_first_the_next_episode_soonest_then_new_ones_in_the_catalogues_order(tables):
    """An announced one that begins within a week is airing; of the rest those of titles come before those of none."""
    soon = utc_now() + timedelta(days=2)
    tables.store(release("r1", "500"), release("r2", "501"))
    tables.store(
        named("1", "1"),
        named("2", "2", status=AiringStatus.ONGOING),
        named("3", "3", status=AiringStatus.ONGOING, next_episode_at=soon + timedelta(days=1)),
        named("4", "4", status=AiringStatus.ANNOUNCED, next_episode_at=soon),
        named("5", "5", status=AiringStatus.ANNOUNCED, next_episode_at=soon + timedelta(days=30)),
        anime("501", external_ids={"anidb": "6"}),
        anime("500", external_ids={"anidb": "7"}, status=AiringStatus.RELEASED),
    )
    assert ask(tables) == ["4", "3", "2", "7", "6", "1", "5"]


def test_what_was_asked_about_is_wanted_again_when_its_details_are_old_and_never_twice_in_a_run(tables):
    """An airing one after a week, the rest after sixty days, the longest ago first, after new ones."""
    tables.store(*(named(str(n), str(n)) for n in range(1, 4)), named("9", "9", status=AiringStatus.ONGOING))
    tables.store(answered("9", "1"), run=5)
    tables.store(answered("2"), run=5)
    assert ask(tables) == ["3"]
    assert ask(tables, days=8) == ["9", "3"]
    assert ask(tables, days=61) == ["9", "3", "1", "2"]
    assert ask(tables, run_id=5, days=61) == ["3"]


def test_each_source_has_ages_of_its_own(tables):
    """That another source, or the identity source, was asked about the work says nothing."""
    tables.store(named("1", "1"), answered("1", source="kitsu"))
    assert ask(tables) == ["1"]


def test_a_changed_anime_takes_its_old_ids_elsewhere_with_it(tables):
    """A link that it no longer tells is gone, one that it corrects is another; those of others stay."""
    others = [named(str(n), str(n)) for n in range(5, 9)]  # enough for an id that is missing to be no renamed key
    tables.store(named("1", "1"), named("2", "2"), *others)
    tables.store(anime("1", "kitsu", external_ids={"anidb": "3"}), anime("2", "kitsu", title="Блич"), *others)
    assert tables.run(links) == [("kitsu", "1", "anidb", "3"), *(("kitsu", n, "anidb", n) for n in "5678")]
    assert ask(tables) == ["3", "5", "6", "7", "8"]


def test_unfinished_are_a_source_s_own_that_may_change_and_are_there(tables):
    """Announced, running and paused ones; none that has ended, is unknown, is gone, or is another source's."""
    kinds = [*AiringStatus, None]
    tables.store(*(anime(f"slug-{n}", "anime_planet", status=status) for n, status in enumerate(kinds)))
    tables.store(anime("other", "kitsu", status=AiringStatus.ONGOING), anime("left", "anime_planet", status="ongoing"))
    tables.store(Absent(source="anime_planet", source_id="left", fetched_at=utc_now()))
    expected = [f"slug-{n}" for n, status in enumerate(kinds) if status in ("announced", "ongoing", "paused")]
    assert tables.run(lambda conn: unfinished(conn, "anime_planet")) == expected
