"""`Importer` delivers to a healthy backend over real HTTP, in order and only what changed; `plan` foretells it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from anime_crawler.backend.payloads import DEMOTED
from anime_crawler.catalogue.tables import dead_letter, delivered_player, title
from anime_crawler.catalogue.writer import CatalogueError
from anime_crawler.items import Absent, Titles
from anime_crawler.rate_limit.middleware import LATEST_S
from tests.backend.support import FETCHED, World, anime, in_world, player_url, release, until
from tests.rate_limit.test_budget import most_in


async def store_titles(w: World, *title_ids: int, episodes: int = 3, teams: tuple[str, ...] = ("610", "7")) -> None:
    """Put titles with two teams' releases into the catalogue."""
    for title_id in map(str, title_ids):
        await w.store(anime(title_id), *(release(title_id, range(1, episodes + 1), team) for team in teams))


def test_a_delivery_sends_everything_in_order_and_nothing_twice(tmp_path):
    """Anime, one episode list per title, one POST per player; no child before its parent, no key twice in flight."""

    async def story(w: World) -> None:
        await store_titles(w, *range(1, 8))
        result = await w.deliver()
        assert (result.anime, result.episodes, result.players) == (7, 7, 42)
        assert (result.failed, result.pending, result.retries, result.reason) == (0, 0, 0, None)
        assert w.backend.posts == {"anime": 7, "episodes": 7, "video": 42}
        stats = w.backend.stats
        assert (stats["rejected_children"], stats["same_key_in_flight"], stats["duplicates"]) == (0, 0, 0)
        assert stats["max_in_flight"] <= 4
        assert len(await w.backend.players()) == 42

    in_world(tmp_path, story)


def test_a_second_delivery_sends_nothing(tmp_path):
    """Receipts are kept; a run that changes nothing writes nothing."""

    async def story(w: World) -> None:
        await store_titles(w, 1, 2)
        await w.deliver()
        w.backend.reset_stats()
        result = await w.deliver()
        assert (result.anime, result.players, result.pending) == (0, 0, 0)
        assert w.backend.posts == {}

    in_world(tmp_path, story)


def test_one_new_episode_of_one_team_is_one_list_and_one_player(tmp_path):
    """Exactly what changed."""

    async def story(w: World) -> None:
        await store_titles(w, 1)
        await w.deliver()
        w.backend.reset_stats()
        await w.store(release("1", range(1, 5)))
        plan = await w.plan()
        assert (plan.anime, plan.episodes, plan.players) == (0, 1, 1)
        await w.deliver()
        assert w.backend.posts == {"episodes": 1, "video": 1}

    in_world(tmp_path, story)


def test_anime_leave_in_the_order_of_first_sight(tmp_path):
    """The backend's addresses depend on it: of two titles of one name, the first keeps the plain address."""

    async def story(w: World) -> None:
        for title_id in ("9", "3", "5"):
            await w.store(anime(title_id, titles=Titles(romaji="Same")), release(title_id))
        await w.deliver()
        slugs = {row["source_id"]: row["slug"] for row in (await w.backend.dump())["anime"]}
        assert slugs == {"9": "same", "3": "same-1", "5": "same-2"}

    in_world(tmp_path, story)


def test_a_title_that_waits_for_its_metadata_holds_back_those_behind_it(tmp_path):
    """Its place among the addresses is kept, whenever the answer comes, or the process is killed."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1"))
        await w.store(release("2"), anime("2", source="kodik"))
        await w.store(anime("3"), release("3"))
        coming = [True, True, True, False]
        result = await w.deliver(lambda: coming.pop(0) if coming[1:] else coming[0], ready_only=lambda: True)
        assert result.anime == 3  # nothing more may come, so nothing is waited for

        await w.store(release("4"), anime("4", source="kodik"))
        await w.store(anime("5"), release("5"))
        looks: list[bool] = []  # for titles that are ready
        await w.deliver(lambda: True, lambda: looks.append(True) or True, stopping=lambda: len(looks) > 5)
        assert {row["source_id"] for row in (await w.backend.dump())["anime"]} == {"1", "2", "3"}

        await w.store(Absent(source="shikimori", source_id="4", fetched_at=FETCHED))
        await w.deliver(ready_only=lambda: True)
        assert {row["source_id"] for row in (await w.backend.dump())["anime"]} == {"1", "2", "3", "4", "5"}

    in_world(tmp_path, story)


def test_a_title_without_episodes_is_metadata_alone(tmp_path):
    """An empty episode list would be refused, so none is sent."""

    async def story(w: World) -> None:
        await w.store(anime("1"))
        result = await w.deliver()
        assert (result.anime, result.pending) == (1, 0)
        assert w.backend.posts == {"anime": 1}

    in_world(tmp_path, story)


def test_a_change_of_one_field_sends_the_full_record(tmp_path):
    """A missing key erases, so there is no partial update."""

    async def story(w: World) -> None:
        await w.store(anime("1", year=2001, genres=("Drama",), description="Old"))
        await w.deliver()
        await w.store(anime("1", year=2001, genres=("Drama",), description="New"))
        await w.deliver()
        row = (await w.backend.dump())["anime"][0]
        assert (row["description"], row["year"], row["genres"]) == ("New", 2001, ["Drama"])
        assert w.backend.posts == {"anime": 2}

    in_world(tmp_path, story)


def test_a_changed_link_replaces_the_old_one_in_the_public_order(tmp_path):
    """The new link is there, the old one far below; nobody can remove it through the contract."""

    async def story(w: World) -> None:
        new = "https://kodikplayer.com/seria/99/new/720p"
        await w.store(anime("1"), release("1", [1]))
        await w.deliver()
        await w.store(release("1", [1], urls={1: new}))
        await w.deliver()
        priorities = await w.backend.players()
        assert priorities.pop(("1:1", player_url("1", 1))) == DEMOTED
        assert priorities.pop(("1:1", new)) > 0
        assert priorities == {}
        w.backend.reset_stats()
        await w.deliver()
        assert w.backend.posts == {}

    in_world(tmp_path, story)


def test_a_long_episode_list_goes_in_pieces_of_200(tmp_path):
    """One bad entry then costs a piece, not the title; the plan counts the same pieces."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", range(1, 451)))
        assert (await w.plan()).episodes == 3
        await w.deliver()
        assert w.backend.posts["episodes"] == 3
        assert len((await w.backend.dump())["episodes"]) == 450

    in_world(tmp_path, story, CONCURRENCY="16")


def test_the_plan_is_what_a_delivery_then_sends(tmp_path):
    """Counted from the same difference."""

    async def story(w: World) -> None:
        await store_titles(w, *range(1, 30))
        await w.store(anime("90", titles=Titles()), release("90"))
        plan = await w.plan()
        assert w.backend.posts == {}
        result = await w.deliver()
        assert (plan.anime, plan.episodes, plan.players) == (result.anime, result.episodes, result.players)
        assert plan.refused == result.failed == 1

    in_world(tmp_path, story)


def test_what_our_own_rules_refuse_is_a_dead_letter_and_the_rest_is_delivered(tmp_path):
    """The letter names the field; the next run does not try again; a better record is delivered and clears it."""

    async def story(w: World) -> None:
        await store_titles(w, 1, 2)
        await w.store(anime("3", titles=Titles()), release("3"))
        bad = "https://kodikplayer.com/seria/1?x=1"
        await w.store(anime("4"), release("4", [1, 2], urls={2: bad}))
        result = await w.deliver()
        assert (result.anime, result.failed, result.pending) == (3, 2, 0)
        letters = await w.rows(select(dead_letter.c.kind, dead_letter.c.key, dead_letter.c.reason))
        assert {(kind, key) for kind, key, _ in letters} == {("anime", "3"), ("player", f"4:2 {bad}")}
        assert {reason.split(":")[0] for _, _, reason in letters} == {"title", "url"}

        assert (await w.deliver()).failed == 0
        await w.store(anime("3"))
        await w.store(release("4", [1, 2]))
        assert (await w.deliver()).anime == 1
        assert await w.rows(select(dead_letter.c.key)) == []
        assert len(await w.backend.players()) == 12 + 1 + 2

    in_world(tmp_path, story)


def test_what_comes_while_the_crawl_runs_is_delivered_before_the_end(tmp_path):
    """The importer waits for more as long as there may be more."""

    async def story(w: World) -> None:
        crawling = True
        looks: list[bool] = []  # for more
        running = asyncio.ensure_future(w.deliver(more_may_come=lambda: looks.append(crawling) or crawling))
        await until(lambda: len(looks) > 2)
        await store_titles(w, 1)
        await until(lambda: w.backend.posts.get("video") == 6)
        seen = len(looks)
        await until(lambda: len(looks) > seen + 2)
        assert not running.done()
        await store_titles(w, 2)
        crawling = False
        assert (await running).anime == 2

    in_world(tmp_path, story)


def test_a_title_that_changes_while_it_is_delivered_is_looked_at_again(tmp_path):
    """The receipt is for the version that was read."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.backend.fail({"name": "lock", "route": "video"})
        running = asyncio.ensure_future(w.deliver())
        await until(lambda: w.backend.struck("lock") == 1)
        await w.store(release("1", [1, 2]))
        w.backend.fail()
        assert (await running).pending == 0
        assert len(await w.backend.players()) == 2

    in_world(tmp_path, story)


def test_a_stop_ends_the_delivery_soon_and_keeps_the_receipts(tmp_path):
    """POSTs in flight end, nothing new begins; the rest is delivered by the next run, nothing twice."""

    async def story(w: World) -> None:
        await store_titles(w, *range(1, 6), episodes=20)
        result = await w.deliver(stopping=lambda: len(w.report.counters["backend"]) and sent(w) > 40)
        assert result.reason == "interrupted"
        assert result.pending > 0
        rows = await w.rows(select(delivered_player.c.state))
        assert {state for (state,) in rows} == {"done"}
        await w.deliver()
        assert w.backend.posts["video"] == 5 * 40

    def sent(w: World) -> int:
        return w.report.counters["backend"]["posts"]

    in_world(tmp_path, story)


def test_a_stop_does_not_wait_for_a_slow_backend(tmp_path):
    """What is cut off is in doubt, and sent again by the next run."""

    async def story(w: World) -> None:
        await store_titles(w, 1)
        w.backend.fail({"name": "slow", "delay_s": 60, "route": "video"})
        await w.deliver(stopping=lambda: w.backend.struck("slow") > 0)
        assert w.backend.answers("video") == {}
        assert {state for (state,) in await w.rows(select(delivered_player.c.state))} == {"sending"}

    in_world(tmp_path, story)


def test_without_a_receipt_nothing_more_is_sent(tmp_path):
    """When the catalogue cannot be written, delivery ends with its error: no POST without an intent."""

    async def story(w: World) -> None:
        await store_titles(w, 1, episodes=30)
        write = w.catalogue.write
        calls = 0

        async def full_disk(fn: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > 5:
                raise CatalogueError("disk full")
            return await write(fn, **options)

        w.catalogue.write = full_disk
        with pytest.raises(CatalogueError, match="disk full"):
            await w.deliver()
        assert w.backend.posts["video"] <= 3 * 4  # three commits of four intents

    in_world(tmp_path, story)


def test_the_limit_for_the_backend_holds_for_all_posts(tmp_path):
    """BACKEND_LIMITS and RATE_LIMIT_RPS are windows like any upstream's."""

    async def story(w: World) -> None:
        await store_titles(w, 1, episodes=4)
        await w.deliver(BACKEND_LIMITS="5/s")
        assert most_in(w.backend.arrivals, 1 - LATEST_S) <= 5
        assert w.backend.posts == {"anime": 1, "episodes": 1, "video": 8}

    in_world(tmp_path, story)


def test_progress_counts_a_title_once_however_often_it_is_delivered(tmp_path):
    """A title that gets a release while the crawl runs is delivered anew, and is one title all the same."""

    async def story(w: World) -> None:
        await store_titles(w, 1, 2)
        numbers = iter(range(4, 7))

        async def changes() -> None:
            while w.report.progress["backend"].done < 2:
                await asyncio.sleep(0.01)
            for number in numbers:
                before = w.report.counters["backend"]["players"]
                await w.store(release("1", range(1, number + 1)))
                while w.report.counters["backend"]["players"] == before:
                    await asyncio.sleep(0.01)

        changing: list[asyncio.Future[None]] = []

        def more_may_come() -> bool:
            if not changing:
                changing.append(asyncio.ensure_future(changes()))
            return not changing[0].done()

        await w.deliver(more_may_come)
        progress = w.report.progress["backend"]
        assert (progress.done, progress.total) == (2, 2)

    in_world(tmp_path, story)


def test_progress_counts_titles(tmp_path):
    """Done and total, for the live line."""

    async def story(w: World) -> None:
        await store_titles(w, 1, 2, 3)
        await w.deliver()
        progress = w.report.progress["backend"]
        assert (progress.done, progress.total) == (3, 3)
        versions = await w.rows(select(title.c.version, title.c.delivered_version))
        assert all(version == delivered for version, delivered in versions)

    in_world(tmp_path, story)
