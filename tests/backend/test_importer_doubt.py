"""Players whose POST has an unknown outcome: never two in flight, never a blind repeat, nothing lost."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from anime_crawler.backend import client, players
from anime_crawler.backend.answer import Kind
from anime_crawler.backend.players import seconds_in_doubt
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.outbox import SentPlayer
from anime_crawler.catalogue.sql import iso
from anime_crawler.catalogue.tables import delivered_player
from anime_crawler.catalogue.titles import raise_versions
from tests.backend.support import World, anime, in_world, player_url, release


def intent(number: int, age_s: float, title_id: str = "1") -> SentPlayer:
    """What a killed process leaves: a player whose POST left `age_s` seconds ago."""
    at = iso(datetime.now(UTC) - timedelta(seconds=age_s))
    return SentPlayer(title_id, number, player_url(title_id, number), 20, "sending", at, "killed")


async def states(w: World) -> set[str]:
    """States of all players in the books."""
    return {state for (state,) in await w.rows(select(delivered_player.c.state))}


def test_a_player_in_doubt_waits_for_its_grace_and_others_go_first(tmp_path):
    """After a kill its POST may still be under way: it is sent again 3 s after it left, and not before."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1, 2]))
        await w.deliver()
        await w.store(anime("2"), release("2", [1, 2]))
        await w.catalogue.write(lambda conn: outbox.record_players(conn, [intent(1, age_s=0)]))
        await w.catalogue.write(lambda conn: raise_versions(conn, ["1"]))
        w.backend.reset_stats()
        began = time.monotonic()
        running = asyncio.ensure_future(w.deliver())
        await asyncio.sleep(1)
        assert w.backend.posts["video"] == 2  # those of the other title
        assert (await running).players == 3
        assert time.monotonic() - began >= 2.9
        assert w.backend.stats["same_key_in_flight"] == 0
        assert await states(w) == {"done"}

    in_world(tmp_path, story)


def test_an_old_doubt_is_resolved_at_once(tmp_path):
    """The process died long ago; the link may have been stored, a repeat updates it."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        await w.catalogue.write(lambda conn: outbox.record_players(conn, [intent(1, age_s=60)]))
        began = time.monotonic()
        await w.deliver()
        assert time.monotonic() - began < 2
        assert len(await w.backend.players()) == 1
        assert await states(w) == {"done"}

    in_world(tmp_path, story)


def test_a_doubtful_link_that_is_not_wanted_any_more_is_demoted(tmp_path):
    """It may be in the backend; if so it goes out of sight."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        old = SentPlayer("1", 1, "https://kodikplayer.com/old", 20, "sending", "2026-01-01T00:00:00.000000Z", "t")
        await w.catalogue.write(lambda conn: outbox.record_players(conn, [old]))
        await w.deliver()
        assert (await w.backend.players())[("1:1", old.url)] == -1000

    in_world(tmp_path, story)


def test_no_post_leaves_before_its_intent_is_written(tmp_path):
    """At each instant a kill leaves at most CONCURRENCY players in doubt, and each stored one is in the books."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 61)))
        running = asyncio.ensure_future(w.deliver())
        most_in_doubt = 0
        while not running.done():
            stored = set(await w.backend.players())
            rows = await w.rows(select(delivered_player.c.number, delivered_player.c.url, delivered_player.c.state))
            assert stored <= {(f"1:{number}", url) for number, url, _ in rows}
            most_in_doubt = max(most_in_doubt, sum(state == "sending" for _, _, state in rows))
            await asyncio.sleep(0.01)
        assert 1 <= most_in_doubt <= 4

    in_world(tmp_path, story)


@pytest.mark.parametrize("route", ["anime", "episodes", "video"])
def test_after_a_timeout_the_next_post_waits_as_long_again(tmp_path, monkeypatch, route):
    """A commit that outlives the client's patience never meets its repetition."""
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.4)

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1, 2]))
        w.backend.fail({"name": "slow", "route": route, "delay_s": 0.7, "times": 1})
        result = await w.deliver()
        assert (result.pending, result.failed) == (0, 0)
        assert result.retries
        stats = w.backend.stats
        assert (stats["same_key_in_flight"], stats["duplicates"]) == (0, 0)
        assert len(await w.backend.players()) == 2
        assert await states(w) == {"done"}

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.4")


def test_a_timeout_is_remembered_over_a_restart(tmp_path, monkeypatch):
    """The books say how long the player stays in doubt, so that the next process does not repeat it too early."""
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.4)
    monkeypatch.setattr(players, "GRACE_S", 0.1)

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": "slow", "route": "video", "delay_s": 0.7, "times": 1})
        began = time.monotonic()
        await w.deliver(stopping=lambda: w.report.counters["backend"]["posts"] and time.monotonic() > began + 0.6)
        rows = await w.rows(select(delivered_player.c.state, delivered_player.c.sent_at))
        assert rows[0].state == "sending"
        assert (await w.deliver()).pending == 0
        assert w.backend.stats["same_key_in_flight"] == 0

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.4")


def test_players_wait_at_least_30_s_for_their_answer(tmp_path):
    """Whatever HTTP_TIMEOUT_SECONDS says: given up too early, a player may be stored twice and is broken for ever."""
    short = client.BackendClient("http://127.0.0.1:9", "t", 1, timeout_s=5)
    assert short.timeouts_s == {Kind.ANIME: 5, Kind.EPISODES: 5, Kind.PLAYER: 30}
    assert client.BackendClient("http://127.0.0.1:9", "t", 1, timeout_s=60).timeouts_s[Kind.PLAYER] == 60


def test_a_dropped_player_waits_a_second_before_it_is_sent_again(tmp_path):
    """It may have been stored after all; its intent stays until then."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": "drop_after_store", "route": "video", "times": 1})
        began = time.monotonic()
        running = asyncio.ensure_future(w.deliver())
        await asyncio.sleep(0.5)
        assert await states(w) == {"sending"}
        await running
        assert time.monotonic() - began >= 1
        assert len(await w.backend.players()) == 1

    in_world(tmp_path, story)


def test_a_failed_update_leaves_the_old_receipt(tmp_path):
    """A refused change of priority does not forget what the backend holds."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        await w.deliver()
        w.backend.fail({"name": "connection_closed", "route": "video"})
        await w.catalogue.write(lambda conn: raise_versions(conn, ["1"]))
        result = await w.deliver(TRANSLATION_PRIORITY="610,voice,subtitles")
        assert result.pending == 1
        row = (await w.rows(select(delivered_player.c.state, delivered_player.c.priority)))[0]
        before = list((await w.backend.players()).values())
        assert tuple(row) == ("done", *before)
        w.backend.fail()
        await w.deliver(TRANSLATION_PRIORITY="610,voice,subtitles")
        assert list((await w.backend.players()).values()) > before

    in_world(tmp_path, story)


def test_a_clock_that_was_set_back_does_not_keep_a_player_for_ever():
    """An intent from the future is waited for two minutes at most."""
    assert seconds_in_doubt(intent(1, age_s=-86_400)) == 120
    assert seconds_in_doubt(intent(1, age_s=10)) < 0
    assert seconds_in_doubt(None) == 0


def test_many_slow_commits_and_drops_leave_no_duplicate(tmp_path, monkeypatch):
    """Timeouts, drops with and without storing, races honestly counted: each player is there once."""
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.3)

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 6)):
            await w.store(anime(title_id), release(title_id, range(1, 13)))
        w.backend.fail(
            {"name": "slow", "delay_s": 0.5, "rate": 0.05},
            {"name": "drop", "rate": 0.05},
            {"name": "drop_after_store", "rate": 0.05},
            store_duplicates=True,
            lose_races=True,
        )
        result = await w.deliver()
        assert (result.pending, result.failed) == (0, 0)
        stats = w.backend.stats
        assert (stats["same_key_in_flight"], stats["duplicates"]) == (0, 0)
        assert len(await w.backend.players()) == 60

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.3")


def test_receipts_survive_in_postgresql_too(tmp_path, postgres_url):
    """The same statements, the same result."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 21)), release("1", range(1, 21), "7"))
        assert (await w.deliver()).players == 40
        await w.catalogue.write(lambda conn: conn.execute(update(delivered_player).values(state="sending")))
        await w.catalogue.write(lambda conn: raise_versions(conn, ["1"]))
        assert (await w.plan()).players == 40
        assert (await w.deliver()).players == 40
        assert (await w.plan()).players == 0

    in_world(tmp_path, story, database_url=postgres_url)
