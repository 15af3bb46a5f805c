"""A backend may be slow, throttled, flaky, restarting or down: no record is lost, and no run waits for ever."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from anime_crawler.backend import sender
from anime_crawler.items import Titles
from anime_crawler.rate_limit.limits import budget_of
from tests.backend.support import World, anime, in_world, refuse, release, running_backend, two_titles, until


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Waits of the contract, in milliseconds instead of seconds."""
    monkeypatch.setattr(sender, "LOST_RACE_S", (0.01, 0.05))


def test_a_throttled_post_waits_as_long_as_it_is_told(tmp_path):
    """Retry-After is obeyed by all POSTs, and fewer are in flight afterwards."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail({"name": "throttled", "route": "video", "times": 1})
        result = await w.deliver()
        assert max(later - earlier for earlier, later in pairwise(w.backend.arrivals)) >= 1
        assert (result.pending, result.failed) == (0, 0)
        assert w.report.counters["backend"]["429"] == 1

    in_world(tmp_path, story)


@pytest.mark.parametrize(("slot_back_s", "most_in_flight"), [(0, 4), (1000, 1)], ids=["later", "at first"])
def test_posts_that_throttling_has_cost_come_back(tmp_path, monkeypatch, slot_back_s, most_in_flight):
    """One after the other, once the backend has borne fewer for a while; until then fewer are in flight."""
    monkeypatch.setattr(sender, "SLOT_BACK_S", slot_back_s)

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 81)))
        throttled = {"name": "throttled", "route": "video", "times": 4, "headers": {"retry-after": "0"}}
        w.backend.fail(throttled, {"name": "slow", "route": "video", "delay_s": 0.01})
        delivery = asyncio.ensure_future(w.deliver(CONCURRENCY=4))
        while w.backend.answers("video").get("200", 0) < 10:
            await asyncio.sleep(0.005)
        w.backend.reset_stats()
        assert (await delivery).pending == 0
        assert w.backend.stats["max_in_flight"] == most_in_flight

    in_world(tmp_path, story)


@pytest.mark.parametrize(
    ("fault", "retry_after", "kept_s"), [("throttled", "31536000", 86_400), ("unavailable", "7200", 7200)]
)
def test_a_long_retry_after_ends_the_delivery_and_holds_for_the_next(tmp_path, fault, retry_after, kept_s):
    """Nobody sleeps for two hours, nor asks before they are over, however the backend's address is spelled; what is not
    delivered stays pending."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail({"name": fault, "headers": {"retry-after": retry_after}})
        for url in (w.backend.url, w.backend.url, w.backend.url.replace("127.0.0.1", "LocalHost")):
            result = await w.deliver(BACKEND_BASE_URL=url)
            assert result.reason.startswith("slow_down: ")
            assert result.pending == 2
        assert w.backend.posts == {"anime": 1}
        assert kept_s - 600 < w.limiter.resting(budget_of("backend", w.backend.url)).seconds <= kept_s

    in_world(tmp_path, story)


@pytest.mark.parametrize("retries", ["1", "3"])
def test_one_post_in_five_failing_at_random_loses_nothing(tmp_path, retries):
    """Failed POSTs wait while others go on; at the end everything is there, in the same order."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 31)):
            await w.store(anime(title_id, titles=Titles(romaji="Same")), release(title_id, range(1, 11)))
        w.backend.fail({"name": "connection_closed", "rate": 0.2}, seed=4)
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
    """It is set aside, the others are delivered."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 6)):
            await w.store(anime(title_id), release(title_id, [1]))
        result = await w.deliver()
        assert (result.anime, result.pending, result.failed) == (4, 0, 1)
        assert len(await w.backend.players()) == 4

    refuse(monkeypatch, "import_anime", lambda payload: payload.source_id == "2", 500, "nobody has seen this before")
    in_world(tmp_path, story, MAX_RETRIES="2")


def test_a_backend_that_is_down_is_given_up_after_the_deadline(tmp_path):
    """Few POSTs, a clear reason, everything pending; connections refused outright are given up sooner."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail("unavailable")
        result = await w.deliver()
        assert result.reason.startswith("unavailable: the backend stayed away")
        assert (result.setting, result.pending, result.failed) == ("BACKEND_BASE_URL", 2, 0)
        assert w.backend.posts["anime"] <= 10

        result = await w.deliver(BACKEND_BASE_URL="http://127.0.0.1:9")
        assert result.reason.startswith("unreachable: ")

    in_world(tmp_path, story, BACKOFF_MAX_SECONDS="0.4")


def test_while_the_crawl_runs_a_backend_is_waited_for_and_everything_is_delivered_on_its_return(tmp_path):
    """Down time longer than the deadline costs nothing but time."""

    async def story(w: World) -> None:
        await two_titles(w)
        w.backend.fail("unavailable")
        crawling = True
        running = asyncio.ensure_future(w.deliver(more_may_come=lambda: crawling))
        await until(lambda: w.backend.answers("anime").get("503", 0) >= 15)  # ten longest pauses; the deadline is 1.5
        w.backend.fail()
        await until(lambda: w.backend.posts.get("video") == 4)
        crawling = False
        result = await running
        assert (result.pending, result.reason) == (0, None)
        assert len(await w.backend.players()) == 4

    in_world(tmp_path, story, BACKOFF_MAX_SECONDS="0.1")


def test_a_backend_that_goes_and_comes_back_on_its_port_gets_the_rest(tmp_path):
    """A restart in the middle: refused connections, then the same database again."""

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 11)):
            await w.store(anime(title_id), release(title_id, range(1, 21)))
        database = f"sqlite:///{tmp_path / 'backend.db'}"
        async with running_backend(database) as first:
            w.backend = first
            running = asyncio.ensure_future(w.deliver(BACKOFF_MAX_SECONDS="480"))
            await until(lambda: first.posts.get("video", 0) >= 50)
        port = int(first.url.rsplit(":", 1)[1])
        await until(lambda: w.report.waiting.get("backend", "").startswith("unreachable"))
        async with running_backend(database, port) as second:
            result = await running
            assert (result.pending, result.failed) == (0, 0)
            assert len(await second.players()) == 200

    in_world(tmp_path, story)
