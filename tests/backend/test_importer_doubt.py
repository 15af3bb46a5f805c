"""A player whose POST has an unknown outcome is never in flight twice, never repeated blindly, and never lost."""

from __future__ import annotations

import asyncio
import math
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import select, update

from anime_crawler.backend import client
from anime_crawler.backend.outcomes import ImportKind
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.outbox import SentPlayer
from anime_crawler.catalogue.sql import iso
from anime_crawler.catalogue.tables import delivered_player
from anime_crawler.catalogue.titles import raise_versions
from tests import processes
from tests.backend.support import TOKEN, World, anime, in_world, player_url, refuse, release, until
from tests.guard import clean_environment


def intent(number: int, age_s: float, title_id: str = "1") -> SentPlayer:
    """What a killed process leaves: a player whose POST left `age_s` seconds ago."""
    at = iso(datetime.now(UTC) - timedelta(seconds=age_s))
    return SentPlayer(title_id, number, player_url(title_id, number), 20, "sending", at, "killed")


async def states(w: World) -> set[str]:
    """States of all players in the receipts."""
    return {state for (state,) in await w.rows(select(delivered_player.c.state))}


def held(w: World, lock: str = "lock") -> int:
    """POSTs that the lock has held, whether or not their client is still there."""
    return w.backend.struck(lock)


async def kill(running: asyncio.Future[Any]) -> None:
    """End a delivery as a kill does: its POSTs are cut off, its intents stay."""
    running.cancel()
    await asyncio.wait([running])


def sound(w: World) -> None:
    """No player was sent twice at the same time, and none is stored twice."""
    stats = w.backend.stats
    assert (stats["same_key_in_flight_by_kind"].get("video", 0), stats["duplicates"]) == (0, 0)


@pytest.mark.parametrize("concurrency", ["1", "4", "7"])
def test_after_a_kill_at_a_locked_backend_the_players_in_flight_come_last(tmp_path, concurrency):
    """They wait until others were stored after them, however long the lock takes; nothing else waits for them."""

    async def story(w: World) -> None:
        for title_id in ("1", "2", "3"):
            await w.store(anime(title_id), release(title_id, range(1, 11)))
        w.backend.fail({"name": "lock", "route": "video", "skip": 3}, store_duplicates=True)
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: held(w) == int(concurrency))
        await kill(running)
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: held(w) == 2 * int(concurrency))
        await asyncio.sleep(1)  # longer than any grace
        assert held(w) == 2 * int(concurrency)
        w.backend.fail(store_duplicates=True)
        result = await running
        assert (result.pending, result.failed) == (0, 0)
        sound(w)
        assert len(await w.backend.players()) == 30
        assert await states(w) == {"done"}

    in_world(tmp_path, story, CONCURRENCY=concurrency)


@pytest.mark.parametrize("lock", ["lock", "write_lock"])
@pytest.mark.parametrize("delivered", [0, 1])
def test_when_nothing_else_is_left_something_harmless_is_sent_again_first(tmp_path, delivered, lock):
    """With a player that the backend has: that one; else the episode. Nothing new is stored by it."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 5 + delivered)))
        w.backend.fail({"name": lock, "skip": 2 + delivered}, store_duplicates=True)
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: held(w, lock) == 4)
        await kill(running)
        asked = w.backend.posts.copy()
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: held(w, lock) == 5 or w.backend.posts != asked)
        w.backend.fail(store_duplicates=True)
        assert (await running).pending == 0
        sound(w)
        assert len(await w.backend.players()) == 4 + delivered
        assert w.backend.posts["episodes"] == (1 if delivered else 2)

    in_world(tmp_path, story)


@pytest.mark.parametrize("fault", ["gateway_502", "gateway_504"])
def test_a_gateway_that_gives_up_leaves_a_doubt(tmp_path, fault):
    """The backend is still at work on the player: its intent stays, and it is sent again after others were stored."""

    async def story(w: World) -> None:
        for title_id in ("1", "2"):
            await w.store(anime(title_id), release(title_id, range(1, 9)))
        rules = [{"name": fault, "gateway_s": 0.1}, {"name": "lock", "route": "video", "skip": 2, "times": 3}]
        w.backend.fail(*rules, store_duplicates=True)
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: w.backend.posts.get("video", 0) >= 16)
        assert "sending" in await states(w)
        w.backend.fail(store_duplicates=True)
        assert (await running).pending == 0
        sound(w)
        assert len(await w.backend.players()) == 16

    in_world(tmp_path, story)


def test_a_player_in_doubt_is_never_the_one_that_tries_a_stuck_backend(tmp_path, monkeypatch):
    """All tables are locked for longer than the time-out, and nobody is killed: each player is sent once meanwhile."""
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.3)

    async def story(w: World) -> None:
        for title_id in ("1", "2", "3"):
            await w.store(anime(title_id), release(title_id, range(1, 9)))
        w.backend.fail({"name": "lock", "skip": 9}, store_duplicates=True)
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: w.report.counters["backend"]["retries"] > 4)
        w.backend.fail(store_duplicates=True)
        result = await running
        assert (result.pending, result.failed) == (0, 0)
        sound(w)
        assert len(await w.backend.players()) == 24

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.3", BACKOFF_MAX_SECONDS="4")


def test_players_that_are_ready_when_the_backend_goes_away_do_not_wait_for_ever(tmp_path):
    """None of them may try the backend, so that something it has already does."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 9)), anime("2"), release("2", [1]))
        intents = [intent(number, age_s=600) for number in range(1, 9)]
        await w.catalogue.write(lambda conn: outbox.record_players(conn, intents))
        w.backend.fail({"name": "unavailable", "route": "video", "skip": 1, "times": 5}, store_duplicates=True)
        async with asyncio.timeout(120):
            assert (await w.deliver()).pending == 0
        sound(w)
        assert len(await w.backend.players()) == 9

    in_world(tmp_path, story, CONCURRENCY="1")


def test_a_stuck_worker_of_several_is_given_as_long_again(tmp_path, monkeypatch):
    """Others are stored at once, which says nothing of the worker that has the player."""
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.6)

    async def story(w: World) -> None:
        for title_id in ("1", "2"):
            await w.store(anime(title_id), release(title_id, range(1, 9)))
        w.backend.fail({"name": "slow", "delay_s": 0.7, "route": "video", "times": 2}, store_duplicates=True)
        assert (await w.deliver()).pending == 0
        sound(w)
        assert len(await w.backend.players()) == 16

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.6")


def test_a_run_that_cannot_settle_its_doubts_says_so_and_keeps_them(tmp_path):
    """The backend is away for good: the run names what it waits for, ends, and the next one knows."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 4)))
        w.backend.fail({"name": "drop", "route": "video", "times": 3}, {"name": "unavailable", "skip": 2})
        result = await w.deliver()
        assert result.pending == 1
        said = [problem["message"] for problem in w.report.problems if problem["kind"] == "in_doubt"]
        assert said == ["3 players may have been stored or not; the next run sends them again, after other POSTs"]
        assert await states(w) == {"sending"}
        w.backend.fail()
        assert (await w.deliver()).pending == 0
        assert len(await w.backend.players()) == 3

    in_world(tmp_path, story, BACKOFF_MAX_SECONDS="0.4")


def test_parents_that_are_lost_do_not_make_a_doubt_forgotten(tmp_path):
    """The receipts of the title go, its intents stay: their POSTs may still be under way."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1, 2]))
        await w.deliver()
        await w.catalogue.write(lambda conn: outbox.record_players(conn, [intent(2, age_s=0)]))
        await w.catalogue.write(lambda conn: outbox.forget_anime(conn, "1", with_children=True))
        assert await w.rows(select(delivered_player.c.number, delivered_player.c.state)) == [(2, "sending")]
        await w.catalogue.write(lambda conn: outbox.forget_episode(conn, "1", 2, with_children=True))
        assert await states(w) == {"sending"}

    in_world(tmp_path, story)


def test_the_clock_that_was_set_back_does_not_keep_a_player_for_ever(tmp_path):
    """An intent from the future is as young as one can be."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1, 2]))
        await w.catalogue.write(lambda conn: outbox.record_players(conn, [intent(1, age_s=-86_400)]))
        assert (await w.deliver()).pending == 0
        assert len(await w.backend.players()) == 2

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
    """At each instant a kill leaves at most CONCURRENCY players in doubt, and each stored one is in the receipts."""

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
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.6)

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

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.6")


def test_a_timeout_is_remembered_over_a_restart(tmp_path, monkeypatch):
    """The receipts say that the player is in doubt, so that the next process does not repeat it too early."""
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.6)

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": "lock", "route": "video"}, store_duplicates=True)
        await w.deliver(stopping=lambda: bool(w.report.waiting.get("backend", "").startswith("1 players may")))
        assert await states(w) == {"sending"}
        w.backend.fail(store_duplicates=True)
        assert (await w.deliver()).pending == 0
        sound(w)

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.6")


def test_players_wait_at_least_30_s_for_their_answer(tmp_path):
    """Whatever HTTP_TIMEOUT_SECONDS says: given up too early, a player may be stored twice and is broken for ever."""
    short = client.BackendClient("http://127.0.0.1:9", "t", 1, timeout_s=5)
    assert short.timeouts_s == {ImportKind.ANIME: 5, ImportKind.EPISODES: 5, ImportKind.PLAYER: 30}
    assert client.BackendClient("http://127.0.0.1:9", "t", 1, timeout_s=60).timeouts_s[ImportKind.PLAYER] == 60


def test_a_dropped_player_is_in_doubt(tmp_path):
    """It may have been stored after all; its intent stays until it is sent again."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": "drop_after_store", "route": "video", "times": 1})
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: w.backend.posts.get("video") == 1)
        assert await states(w) == {"sending"}
        await running
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


def test_many_slow_commits_and_drops_leave_no_duplicate(tmp_path, monkeypatch):
    """Timeouts, drops with and without storing, races honestly counted: each player is there once."""
    monkeypatch.setattr(client, "PLAYER_TIMEOUT_S", 0.6)

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 6)):
            await w.store(anime(title_id), release(title_id, range(1, 13)))
        w.backend.fail(
            {"name": "slow", "delay_s": 0.7, "rate": 0.05},
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

    in_world(tmp_path, story, HTTP_TIMEOUT_SECONDS="0.6")


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


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_ended_at_a_locked_backend_leaves_no_duplicate(tmp_path, signum):
    """Its POSTs outlive it; the next process sends their players last, once others were stored."""

    def start(w: World) -> subprocess.Popen[str]:
        environment = {
            "DATABASE_URL": f"sqlite:///{tmp_path / 'catalogue.db'}",
            "BACKEND_BASE_URL": w.backend.url,
            "INTERNAL_TOKEN": TOKEN,
            "SCRAPY_SETTINGS_MODULE": "anime_crawler.settings",
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        env = clean_environment(environment)
        return processes.start("tests.backend.hasty", "deliver", cwd=tmp_path, env=env, **pipes)

    async def story(w: World) -> None:
        for title_id in ("1", "2"):
            await w.store(anime(title_id), release(title_id, range(1, 9)))
        w.backend.fail({"name": "lock", "route": "video", "skip": 2}, store_duplicates=True)
        first = start(w)
        await until(lambda: held(w) == 4)
        first.send_signal(signum)
        await asyncio.to_thread(first.communicate)
        second = start(w)
        await until(lambda: held(w) == 8)
        await asyncio.sleep(4)  # longer than an intent was trusted to be over
        w.backend.fail(store_duplicates=True)
        said, _ = await asyncio.to_thread(second.communicate)
        assert second.returncode == 0, said
        sound(w)
        assert "4 players may still be under way at the backend" in said
        assert len(await w.backend.players()) == 16

    in_world(tmp_path, story)


def refuse_repeats(monkeypatch: Any, said: str, status: int, times: float) -> list[World]:
    """Let the backend refuse lists of episodes, so many times, once it has dropped a player; put the world in here."""
    worlds: list[World] = []
    refused = count(1)
    dropped = lambda _: worlds and worlds[0].backend.struck("drop") and next(refused) <= times  # noqa: E731
    refuse(monkeypatch, "import_episodes", dropped, status, said)
    return worlds


def test_a_backend_that_refuses_whatever_is_repeated_shows_nothing(tmp_path, monkeypatch):
    """As often as any record is tried; then the run ends, its players stay in doubt, and the next run sends each."""
    worlds = refuse_repeats(monkeypatch, "nobody has seen this", 500, math.inf)

    async def story(w: World) -> None:
        worlds.append(w)
        await w.store(anime("1"), release("1", [1, 2, 3]))
        w.backend.fail({"name": "drop", "route": "video", "times": 3})
        assert (await w.deliver()).pending == 1
        assert await states(w) == {"sending"}
        assert w.backend.answers("video") == {"dropped": 3}
        worlds.clear()
        w.backend.fail()
        assert (await w.deliver()).pending == 0
        assert len(await w.backend.players()) == 3

    in_world(tmp_path, story, MAX_RETRIES="1", BACKOFF_MAX_SECONDS="0.2")


def test_a_parent_that_is_gone_shows_that_the_player_in_doubt_was_not_stored(tmp_path, monkeypatch):
    """The anime of a repeated list is not there: without it the POST that was dropped can have stored nothing."""
    worlds = refuse_repeats(monkeypatch, "Anime not found: kodik-shikimori/1", 404, 1)

    async def story(w: World) -> None:
        worlds.append(w)
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": "drop", "route": "video", "times": 1})
        assert (await w.deliver()).pending == 0
        assert w.backend.answers("episodes") == {"200": 1, "404": 1}
        assert w.backend.answers("video") == {"dropped": 1, "200": 1}
        assert len(await w.backend.players()) == 1

    in_world(tmp_path, story)
