"""Each row of the backend's error matrix, met over real HTTP: what is sent again, what is set aside, what stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from anime_crawler.backend import sender
from anime_crawler.backend.reference.errors import RefusedError
from anime_crawler.backend.reference.store import Store
from anime_crawler.catalogue.tables import dead_letter, delivered_player
from anime_crawler.catalogue.titles import raise_versions
from anime_crawler.items import Titles
from tests.backend.support import World, anime, release, running_backend, world


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Waits of the contract, in milliseconds instead of seconds."""
    monkeypatch.setattr(sender, "LOST_RACE_S", (0.01, 0.05))
    monkeypatch.setattr(sender, "DROPPED_PLAYER_S", 0.05)


def in_world(tmp_path, story, **settings):
    """Run the story, a coroutine function, in a fresh world."""

    async def run() -> Any:
        async with world(tmp_path, **settings) as new:
            return await story(new)

    return asyncio.run(run())


async def two_titles(w: World) -> None:
    """Two titles of two episodes each."""
    for title_id in ("1", "2"):
        await w.store(anime(title_id), release(title_id, [1, 2]))


async def letters(w: World) -> dict[tuple[str, str], str]:
    """(kind, key) -> reason of all dead letters."""
    columns = (dead_letter.c.kind, dead_letter.c.key, dead_letter.c.reason)
    return {(kind, key): reason for kind, key, reason in await w.rows(select(*columns))}


def refuse(monkeypatch, method: str, is_bad: Callable[[Any], bool], status: int, said: str) -> None:
    """Let backends that are started from now on refuse some records."""
    accepting = getattr(Store, method)

    def refusing(self: Store, connection: Any, payload: Any, post: Any) -> Any:
        if is_bad(payload):
            raise RefusedError(status, said)
        return accepting(self, connection, payload, post)

    monkeypatch.setattr(Store, method, refusing)


ROUTES = ("anime", "episodes", "video")
PASSING = ("connection_closed", "deadlock", "refused", "queue_pool", "unknown", "bad_gateway", "unavailable")
PASSING += ("gateway_timeout", "drop", "html", "null", "empty_object", "not_success", "conflict", "precondition")
PASSING += ("ix_anime_slug",)


@pytest.mark.parametrize("route", ROUTES)
def test_trouble_that_passes_loses_nothing(tmp_path, route):
    """Whatever the first POST meets, in the end everything is there once, without a dead letter."""

    async def story(w: World) -> None:
        for number, fault in enumerate(PASSING, start=1):
            await w.store(anime(str(number)), release(str(number), [1, 2]))
            w.backend.fail({"name": fault, "route": route, "times": 1})
            result = await w.deliver()
            assert (result.failed, result.pending, result.reason) == (0, 0, None), fault
            assert len(await w.backend.players()) == 2 * number, fault
        assert await letters(w) == {}
        assert w.backend.stats["same_key_in_flight"] == 0
        assert {state for (state,) in await w.rows(select(delivered_player.c.state))} == {"done"}

    in_world(tmp_path, story)


FINAL = ("bad_body", "nul", "int32", "index_row", "invalid", "too_large", "uri_too_long", "headers_too_large")
FINAL += ("multiple_rows",)


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_refused_for_good_is_set_aside_at_once_and_costs_nobody_else(tmp_path, route):
    """One POST for it, one dead letter with the reason; everything that does not hang on it is delivered."""

    async def story(w: World) -> None:
        await w.store(anime("999"))
        await w.deliver()
        for number, fault in enumerate(FINAL, start=1):
            await w.store(anime(str(number)), release(str(number), [1]))
            await w.store(anime(str(100 + number)), release(str(100 + number), [1, 2]))
            w.backend.fail({"name": fault, "route": route, "times": 1})
            w.backend.reset_stats()
            result = await w.deliver()
            assert (result.failed, result.pending, result.retries) == (1, 0, 0), fault
            assert len(await w.backend.players()) == 2 * number, fault
            assert w.backend.stats["rejected_children"] == 0, fault
            w.backend.reset_stats()
            await w.deliver()
            assert w.backend.posts == {}, fault
        kind = {"episodes": "episode", "video": "player"}.get(route, route)
        assert [found for found, _ in await letters(w)] == [kind] * len(FINAL)

    in_world(tmp_path, story, CONCURRENCY="1")


def test_two_rows_where_one_may_be_name_what_to_delete(tmp_path):
    """A person has to clean the backend; the letter says what."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": "multiple_rows", "route": "video", "times": 1})
        await w.deliver()
        (reason,) = (await letters(w)).values()
        assert "Delete all but one of the backend's video sources of episode 1:1 with url https://" in reason

    in_world(tmp_path, story)


def test_a_replayed_letter_is_sent_again(tmp_path):
    """After the fix: the letter goes, the title is looked at again, only what is missing is sent."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1, 2]))
        w.backend.fail({"name": "multiple_rows", "route": "video", "times": 1})
        await w.deliver()
        w.backend.reset_stats()

        def replay(conn: Any) -> None:
            conn.execute(dead_letter.delete())
            raise_versions(conn, ["1"])

        await w.catalogue.write(replay)
        await w.deliver()
        assert w.backend.posts == {"video": 1}
        assert len(await w.backend.players()) == 2

    in_world(tmp_path, story)


@pytest.mark.parametrize("fault", ["invalid", "int32", "too_large"])
def test_a_refused_list_is_halved_until_the_bad_entry_is_alone(tmp_path, monkeypatch, fault):
    """One entry is set aside with its reason; the other 99 and their players are delivered."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 101)))
        result = await w.deliver()
        assert (result.failed, result.pending) == (1, 0)
        assert list(await letters(w)) == [("episode", "1:77")]
        assert len((await w.backend.dump())["episodes"]) == 99
        assert len(await w.backend.players()) == 99
        assert w.backend.posts["episodes"] < 2 * 8

    said = {
        "invalid": (422, "Invalid request data"),
        "int32": (500, "value out of int32 range"),
        "too_large": (413, ""),
    }
    refuse(monkeypatch, "import_episodes", has_episode_77, *said[fault])
    in_world(tmp_path, story)


def has_episode_77(payload: Any) -> bool:
    return any(entry.number == 77 for entry in payload.episodes)


@pytest.mark.parametrize("route", ["episodes", "video"])
def test_a_backend_that_lost_everything_gets_the_parents_again(tmp_path, route):
    """404 for a child: the receipts of what is gone are forgotten, the parent goes first, then the child once more."""

    async def story(w: World) -> None:
        await two_titles(w)
        await w.deliver()
        await w.backend.wipe()
        w.backend.reset_stats()
        if route == "episodes":
            for title_id in ("1", "2"):
                await w.store(release(title_id, [1, 2, 3]))
        else:
            for title_id in ("1", "2"):
                await w.store(release(title_id, [1, 2], team="7"))
        result = await w.deliver()
        assert (result.failed, result.pending) == (0, 0)
        dump = await w.backend.dump()
        assert len(dump["anime"]) == 2
        assert len(dump["videos"]) == {"episodes": 6, "video": 8}[route]

    in_world(tmp_path, story)


def test_a_second_404_for_the_same_child_is_set_aside(tmp_path):
    """The parent was delivered again and still is not there: a person must look."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1, 2]))
        w.backend.fail({"name": "no_episode", "route": "video", "at": "arrival"})
        result = await w.deliver()
        assert result.pending == 0
        assert {kind for kind, _ in await letters(w)} == {"player"}
        assert result.failed == 2
        assert w.backend.posts["video"] <= 6

    in_world(tmp_path, story)


@pytest.mark.parametrize("route", ROUTES)
def test_a_conflict_refreshes_the_parent_and_is_tried_once_more(tmp_path, route, fault="conflict"):
    """One logical row, correct final state; a second conflict is set aside."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": fault, "route": route, "times": 1})
        assert (await w.deliver()).pending == 0
        parents = {"episodes": "anime", "video": "episodes"}
        if route in parents:
            assert w.backend.posts[parents[route]] == 2
        assert w.backend.posts[route] == 2
        assert len(await w.backend.players()) == 1

        await w.store(anime("2"), release("2", [1]))
        w.backend.fail({"name": fault, "route": route})
        assert (await w.deliver()).failed == 1

    in_world(tmp_path, story)


STOPS = {
    "wrong_token": ("token_refused", "INTERNAL_TOKEN"),
    "redirect_307": ("redirect", "BACKEND_BASE_URL"),
    "redirect_308": ("redirect", "BACKEND_BASE_URL"),
    "wrong_service": ("wrong_service", "BACKEND_BASE_URL"),
    "wrong_method": ("wrong_service", "BACKEND_BASE_URL"),
}


@pytest.mark.parametrize("route", ROUTES)
def test_what_a_setting_must_mend_stops_the_delivery_at_once(tmp_path, route):
    """At most the POSTs in flight are sent; the setting is named; nothing is lost, and nothing set aside."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 11)):
            await w.store(anime(title_id), release(title_id, [1, 2, 3]))
        for fault, (kind, setting) in STOPS.items():
            w.backend.fail({"name": fault, "route": route})
            w.backend.reset_stats()
            result = await w.deliver()
            assert (result.setting, result.failed) == (setting, 0)
            assert result.reason.startswith(f"{kind}: ")
            assert result.pending > 0
            assert w.report.problems[0]["setting"] == setting
            assert w.backend.posts[route] <= 4
        assert await letters(w) == {}

        w.backend.fail()
        assert (await w.deliver()).pending == 0
        assert len(await w.backend.players()) == 30

    in_world(tmp_path, story)


def test_a_wrong_token_stops_after_one_post(tmp_path):
    """The real check, with the real header."""

    async def story(w: World) -> None:
        await two_titles(w)
        result = await w.deliver(INTERNAL_TOKEN="some-other-secret")
        assert result.setting == "INTERNAL_TOKEN"
        assert w.backend.posts == {"anime": 1}
        assert "some-other-secret" not in str(result) + str(w.report.as_dict())

    in_world(tmp_path, story)


def test_a_proxy_that_strips_the_token_is_recognised(tmp_path):
    """Every POST gets 422, and so does one whose token is surely wrong."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail({"name": "invalid"})
        result = await w.deliver()
        assert result.reason.startswith("token_stripped: ")
        assert (result.setting, result.failed, result.pending) == ("BACKEND_BASE_URL", 0, 2)
        assert w.backend.posts == {"anime": 2}

    in_world(tmp_path, story)


def test_a_refused_payload_of_a_good_backend_is_not_taken_for_a_stripped_token(tmp_path):
    """The probe with a wrong token gets 403: the header arrives, the record is to blame."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail({"name": "invalid", "times": 1})
        result = await w.deliver()
        assert (result.anime, result.failed, result.reason) == (1, 1, None)
        assert w.backend.answers("anime") == {"422": 1, "403": 1, "200": 1}

    in_world(tmp_path, story)


def test_a_throttled_post_waits_as_long_as_it_is_told(tmp_path):
    """Retry-After is obeyed by all POSTs, and fewer are in flight afterwards."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail({"name": "throttled", "route": "video", "times": 1})
        began = time.monotonic()
        result = await w.deliver()
        assert time.monotonic() - began >= 1
        assert (result.pending, result.failed) == (0, 0)
        assert w.report.counters["backend"]["429"] == 1

    in_world(tmp_path, story)


def test_an_absurd_retry_after_ends_the_delivery(tmp_path):
    """Nobody waits for a year; what is not delivered stays pending."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail({"name": "throttled", "headers": {"retry-after": "31536000"}})
        result = await w.deliver()
        assert result.reason.startswith("slow_down: ")
        assert result.pending == 2
        assert w.backend.posts == {"anime": 1}

    in_world(tmp_path, story)


@pytest.mark.parametrize("retries", ["1", "3"])
def test_one_post_in_five_failing_at_random_loses_nothing(tmp_path, retries):
    """Failed POSTs wait while others go on; at the end everything is there, in the same order."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 31)):
            await w.store(anime(title_id, titles=Titles(romaji="Same")), release(title_id, range(1, 11)))
        w.backend.fail({"name": "unknown", "rate": 0.2}, seed=4)
        result = await w.deliver()
        assert (result.failed, result.pending) == (0, 0)
        assert len(await w.backend.players()) == 300
        assert w.backend.stats["same_key_in_flight"] == 0
        if retries == "3":
            slugs = [
                row["slug"] for row in sorted((await w.backend.dump())["anime"], key=lambda a: int(a["source_id"]))
            ]
            assert slugs == ["same", *(f"same-{n}" for n in range(1, 30))]

    in_world(tmp_path, story, MAX_RETRIES=retries)


def test_recycled_workers_and_dropped_connections_are_normal(tmp_path):
    """Each connection carries 20 POSTs; players are sent again only after a pause."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 6)):
            await w.store(anime(title_id), release(title_id, range(1, 41)))
        w.backend.fail(recycle_after=20)
        result = await w.deliver()
        assert (result.failed, result.pending) == (0, 0)
        assert result.retries > 3
        assert len(await w.backend.players()) == 200
        assert w.backend.stats["duplicates"] == 0

    in_world(tmp_path, story)


def test_a_title_that_always_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    """It stays pending, the others are delivered."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 6)):
            await w.store(anime(title_id), release(title_id, [1]))
        result = await w.deliver()
        assert (result.anime, result.pending, result.failed) == (4, 1, 0)
        assert len(await w.backend.players()) == 4

    refuse(monkeypatch, "import_anime", lambda payload: payload.source_id == "2", 500, "nobody has seen this before")
    in_world(tmp_path, story, MAX_RETRIES="2")


def test_a_backend_that_is_down_is_given_up_after_the_deadline(tmp_path):
    """Few POSTs, a clear reason, everything pending; connections refused outright are given up sooner."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail("unavailable")
        began = time.monotonic()
        result = await w.deliver()
        assert 0.5 <= time.monotonic() - began < 3
        assert result.reason.startswith("unavailable: the backend stayed away")
        assert (result.setting, result.pending, result.failed) == ("BACKEND_BASE_URL", 2, 0)
        assert w.backend.posts["anime"] <= 10

        began = time.monotonic()
        result = await w.deliver(BACKEND_BASE_URL="http://127.0.0.1:9")
        assert time.monotonic() - began < 2
        assert result.reason.startswith("unreachable: ")

    in_world(tmp_path, story, BACKOFF_MAX_SECONDS="0.4")


def test_while_the_crawl_runs_a_backend_is_waited_for_and_everything_is_delivered_on_its_return(tmp_path):
    """Down time longer than the deadline costs nothing but time."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail({"name": "unavailable", "lasts_s": 2})
        ends = time.monotonic() + 2.2
        result = await w.deliver(more_may_come=lambda: time.monotonic() < ends)
        assert (result.pending, result.reason) == (0, None)
        assert len(await w.backend.players()) == 4
        assert w.backend.answers("anime")["503"] < 30

    in_world(tmp_path, story)


def test_a_backend_that_goes_and_comes_back_on_its_port_gets_the_rest(tmp_path):
    """A restart in the middle: refused connections, then the same database again."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 11)):
            await w.store(anime(title_id), release(title_id, range(1, 21)))
        database = f"sqlite:///{tmp_path / 'backend.db'}"
        async with running_backend(database) as first:
            w.backend = first
            running = asyncio.ensure_future(w.deliver(BACKOFF_MAX_SECONDS="16"))
            while first.posts.get("video", 0) < 50:
                await asyncio.sleep(0.01)
        port = int(first.url.rsplit(":", 1)[1])
        await asyncio.sleep(0.5)
        async with running_backend(database, port) as second:
            result = await running
            assert (result.pending, result.failed) == (0, 0)
            assert len(await second.players()) == 200

    in_world(tmp_path, story)
