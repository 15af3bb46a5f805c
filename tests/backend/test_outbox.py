"""`outbox` reads the same titles to deliver from SQLite and from PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from anime_crawler.catalogue import dead_letters, outbox
from anime_crawler.catalogue.outbox import LivePlayer, SentPlayer
from anime_crawler.catalogue.store.items import store_items
from anime_crawler.catalogue.titles import raise_versions
from anime_crawler.catalogue.writer import Catalogue
from tests.backend.support import anime, player_url, release

IDENTITY = "shikimori"


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty catalogue of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.db'}"
    new_url: Callable[[], str] = request.getfixturevalue("new_postgres_url")
    return new_url()


def in_catalogue(url: str, story: Callable[[Connection], Any]) -> Any:
    """Run the story in one transaction."""

    async def run() -> Any:
        catalogue = await Catalogue.open(url)
        try:
            return await catalogue.write(story)
        finally:
            await catalogue.close()

    return asyncio.run(run())


def store(conn: Connection, run_id: int, *items: Any) -> None:
    store_items(conn, run_id, items, identity_source=IDENTITY, source_priority=(IDENTITY, "kodik"))


def ids(conn: Connection, **options: Any) -> list[str]:
    return [
        title_id for title_id, _ in outbox.titles_to_deliver(conn, **{"limit": 100, "ready_only": False, **options})
    ]


def test_a_titles_state_is_everything_that_decides_its_next_posts(catalogue_url):
    """Records by source, episodes by number, live links with their translation, receipts, dead letters."""

    def story(conn: Connection) -> None:
        store(conn, 1, release("5", [2, 1]), release("5", [1, 3], team="7"), release("6"))
        store(conn, 1, anime("5"), anime("5", source="kodik", year=2001))
        outbox.record_anime(conn, "5", "sum", "now", "t")
        outbox.record_episodes(conn, "5", [(1, "e1"), (2, "e2")], "now", "t")
        done = SentPlayer("5", 1, "https://x.com/y", 20, "done", "now", "t")
        outbox.record_players(conn, [done])
        letter = dead_letters.Letter("deliver", "backend", "episode", "5:1", "why", "raw", "sum")
        other = dead_letters.Letter("deliver", "backend", "episode", "55:1", "why", "raw", "sum")
        dead_letters.put(conn, 1, [letter, other])
        state, neighbour = outbox.load_titles(conn, ["5", "404", "6"])
        assert (state.title_id, neighbour.title_id) == ("5", "6")
        assert {source: len(records) for source, records in state.anime.items()} == {"shikimori": 1, "kodik": 1}
        assert state.anime["kodik"][0]["year"] == 2001
        assert [(e.number, e.season, e.source_number) for e in state.episodes] == [(n, 1, n) for n in (1, 2, 3)]
        assert state.players[0] == LivePlayer(1, player_url("5", 1), "610", "Team 610", "voice", "serial-5-610", 2)
        assert [(p.number, p.translation_id) for p in state.players] == [(1, "610"), (1, "7"), (2, "610"), (3, "7")]
        assert (state.delivered_anime, state.delivered_episodes) == ("sum", {1: "e1", 2: "e2"})
        assert state.delivered_players == {(1, "https://x.com/y"): done}
        assert state.dead == {("episode", "5:1"): "sum"}

    in_catalogue(catalogue_url, story)


def test_links_that_are_gone_are_not_live(catalogue_url):
    """A release that no longer lists an episode takes its link along."""

    def story(conn: Connection) -> None:
        store(conn, 1, release("5", [1, 2]))
        store(conn, 2, release("5", [1]))
        (state,) = outbox.load_titles(conn, ["5"])
        assert [player.number for player in state.players] == [1]
        assert [episode.number for episode in state.episodes] == [1, 2]

    in_catalogue(catalogue_url, story)


def test_titles_come_in_the_order_of_first_sight_page_by_page(catalogue_url):
    """And leave when they are delivered in their newest version."""

    def story(conn: Connection) -> None:
        store(conn, 1, *(release(title_id) for title_id in ("9", "3", "5")))
        found = outbox.titles_to_deliver(conn, 2, ready_only=False)
        assert [title_id for title_id, _ in found] == ["9", "3"]
        assert ids(conn, after_seq=found[-1][1]) == ["5"]
        assert outbox.count_pending(conn) == 3
        versions = {state.title_id: state.version for state in outbox.load_titles(conn, ["9", "3"])}
        outbox.mark_delivered(conn, [("9", versions["9"]), ("3", versions["3"] - 1)])
        assert ids(conn) == ["3", "5"]
        raise_versions(conn, ["9"])
        assert ids(conn) == ["9", "3", "5"]

    in_catalogue(catalogue_url, story)


def test_only_titles_before_the_first_that_waits_are_ready(catalogue_url):
    """Waiting: never asked about, or changed since."""

    def story(conn: Connection) -> None:
        store(conn, 1, release("1"), anime("1"), release("2"), release("3"), anime("3"))
        assert ids(conn, ready_only=True) == ["1"]
        store(conn, 1, anime("2"))
        assert ids(conn, ready_only=True) == ["1", "2", "3"]
        store(conn, 2, release("2", [1, 2]))
        assert ids(conn, ready_only=True) == ["1"]
        assert ids(conn) == ["1", "2", "3"]

    in_catalogue(catalogue_url, story)


def test_an_intent_becomes_a_receipt_or_is_withdrawn(catalogue_url):
    """Of one link the last row counts, and what was before comes back."""
    sending = SentPlayer("5", 1, "https://x.com/y", 20, "sending", "now", "t1")
    done = SentPlayer("5", 1, "https://x.com/y", 20, "done", "now", "t1")
    again = SentPlayer("5", 1, "https://x.com/y", -1000, "sending", "later", "t2")

    def story(conn: Connection) -> None:
        store(conn, 1, release("5"))

        def rows() -> list[SentPlayer]:
            return list(outbox.load_titles(conn, ["5"])[0].delivered_players.values())

        outbox.record_players(conn, [sending])
        outbox.withdraw_player(conn, sending, None)
        assert rows() == []
        outbox.record_players(conn, [sending, done])
        assert rows() == [done]
        outbox.record_players(conn, [again])
        outbox.withdraw_player(conn, again, done)
        assert rows() == [done]

    in_catalogue(catalogue_url, story)


def test_what_the_backend_lost_is_forgotten_with_what_was_below_it(catalogue_url):
    """An episode with its players, an anime with everything; or the one receipt alone."""

    def story(conn: Connection) -> None:
        store(conn, 1, release("5", [1, 2]))

        def fill() -> None:
            outbox.record_anime(conn, "5", "sum", "now", "t")
            outbox.record_episodes(conn, "5", [(1, "e1"), (2, "e2")], "now", "t")
            outbox.record_players(conn, [SentPlayer("5", n, f"u{n}", 0, "done", "now", "t") for n in (1, 2)])

        def left() -> tuple[str | None, list[int], list[int]]:
            (state,) = outbox.load_titles(conn, ["5"])
            return (
                state.delivered_anime,
                sorted(state.delivered_episodes),
                sorted(number for number, _ in state.delivered_players),
            )

        fill()
        outbox.forget_episode(conn, "5", 1, with_children=True)
        assert left() == ("sum", [2], [2])
        fill()
        outbox.forget_episode(conn, "5", 1, with_children=False)
        assert left() == ("sum", [2], [1, 2])
        outbox.forget_anime(conn, "5", with_children=False)
        assert left() == (None, [2], [1, 2])
        outbox.forget_anime(conn, "5", with_children=True)
        assert left() == (None, [], [])

    in_catalogue(catalogue_url, story)


def test_a_dead_letter_written_anew_is_not_cleared_for_its_old_content(catalogue_url):
    """Cleared is what was read, not what came meanwhile."""

    def story(conn: Connection) -> None:
        letter = dead_letters.Letter("deliver", "backend", "anime", "5", "why", "raw", "new")
        dead_letters.put(conn, 1, [letter])
        outbox.clear_dead_letter(conn, "anime", "5", "old")
        assert dead_letters.count_open(conn) == 1
        outbox.clear_dead_letter(conn, "anime", "5", "new")
        assert dead_letters.count_open(conn) == 0

    in_catalogue(catalogue_url, story)
