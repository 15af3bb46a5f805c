"""`Suspects` decides whether a record or the backend is at fault when the backend refuses for an unknown reason."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from anime_crawler.backend import anime_stage, sender
from anime_crawler.catalogue.tables import dead_letter
from anime_crawler.catalogue.titles import raise_versions
from anime_crawler.items import Titles
from anime_crawler.rate_limit.limits import budget_of
from tests.backend.support import World, anime, in_world, refuse, release, until

TITLES = ("1", "2", "3")


@pytest.fixture(autouse=True)
def day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order in which titles are drawn is another one each day; here it is always that of one day."""
    monkeypatch.setattr(anime_stage, "now", lambda: "2026-01-01")


def is_of_title(title_id: str) -> Any:
    """Whether a payload of any kind belongs to the title."""

    def is_bad(payload: Any) -> bool:
        ids = (getattr(payload, name, "") for name in ("source_id", "anime_source_id", "source_episode_id"))
        return any(found.partition(":")[0] == title_id for found in ids)

    return is_bad


async def fill(w: World) -> None:
    for title_id in TITLES:
        await w.store(anime(title_id), release(title_id, [1, 2]))


async def letters(w: World) -> list[tuple[str, str]]:
    """(kind, key without its address) of all dead letters."""
    rows = await w.rows(select(dead_letter.c.kind, dead_letter.c.key).order_by(dead_letter.c.key))
    return [(kind, key.partition(" ")[0]) for kind, key in rows]


@pytest.mark.parametrize("concurrency", ["1", "4"])
@pytest.mark.parametrize("title_id", ["1", "3"])
@pytest.mark.parametrize(
    ("status", "said", "attempts"),
    [(400, "no", 1), (404, "Not Found", 1), (418, "a teapot", 1), (422, "no", 1), (500, "nobody has seen this", 3)],
)
def test_one_player_that_is_refused_is_set_aside_and_costs_nobody_else(
    tmp_path, monkeypatch, status, said, attempts, title_id, concurrency
):
    """A 4xx is sent once, a 5xx MAX_RETRIES + 1 times; then it is a dead letter that no later run posts."""
    refuse(monkeypatch, "import_video", lambda p: p.source_episode_id == f"{title_id}:2", status, said)

    async def story(w: World) -> None:
        await fill(w)
        result = await w.deliver()
        assert (result.pending, result.failed, result.reason) == (0, 1, None)
        assert await letters(w) == [("player", f"{title_id}:2")]
        assert len(await w.backend.players()) == 5
        assert w.backend.posts["video"] == 5 + attempts
        w.backend.reset_stats()
        await w.catalogue.write(lambda conn: raise_versions(conn, [title_id]))
        assert (await w.deliver()).failed == 0
        assert w.backend.posts == {}

    in_world(tmp_path, story, MAX_RETRIES="2", CONCURRENCY=concurrency)


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (500, 2)])
@pytest.mark.parametrize("method", ["import_anime", "import_episodes", "import_video"])
def test_all_of_one_title_may_be_refused(tmp_path, monkeypatch, method, status, attempts):
    """Its records are set aside, those of the others are delivered."""
    refuse(monkeypatch, method, is_of_title("2"), status, "nobody has seen this")
    route, kind = {"anime": ("anime", "anime"), "episodes": ("episodes", "episode"), "video": ("video", "player")}[
        method.removeprefix("import_")
    ]

    async def story(w: World) -> None:
        await fill(w)
        result = await w.deliver()
        assert (result.pending, result.reason) == (0, None)
        keys = ["2"] if kind == "anime" else ["2:1", "2:2"]
        assert await letters(w) == [(kind, key) for key in keys]
        assert len(await w.backend.players()) == 4
        refused = {"anime": 1, "episodes": 3, "video": 2}[route]  # a list of two, and each alone
        assert w.backend.answers(route)[str(status)] == refused * attempts

    in_world(tmp_path, story, MAX_RETRIES="1")


@pytest.mark.parametrize("status", [404, 422, 500])
@pytest.mark.parametrize("method", ["import_anime", "import_episodes", "import_video"])
def test_what_also_fails_for_others_stops_the_delivery(tmp_path, monkeypatch, method, status):
    """Nothing is set aside, all stays pending, and few POSTs were wasted."""
    refuse(monkeypatch, method, lambda _: True, status, "nobody has seen this")

    async def story(w: World) -> None:
        for title_id in map(str, range(1, 13)):
            await w.store(anime(title_id), release(title_id, [1]))
        result = await w.deliver()
        assert result.pending == 12
        assert result.reason is not None
        assert await letters(w) == []
        assert (
            w.backend.answers({"import_video": "video"}.get(method, method.removeprefix("import_")))[str(status)] <= 40
        )

    in_world(tmp_path, story, MAX_RETRIES="1", BACKOFF_MAX_SECONDS="0.2")


def test_a_single_title_at_a_wrong_service_is_not_set_aside(tmp_path, monkeypatch):
    """There is nothing to compare it with, and nothing was accepted: the address is wrong."""
    refuse(monkeypatch, "import_anime", lambda _: True, 404, "Not Found")

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        result = await w.deliver()
        assert (result.pending, result.setting) == (1, "BACKEND_BASE_URL")
        assert w.backend.posts == {"anime": 1}
        assert await letters(w) == []

    in_world(tmp_path, story)


def test_the_last_player_behind_a_failing_gateway_is_judged_by_one_that_is_there(tmp_path, monkeypatch):
    """503 for one record only: the backend accepts something that it has, so that it is the record."""
    refuse(monkeypatch, "import_video", lambda p: p.source_episode_id == "3:2", 503, "no")
    monkeypatch.setattr(sender, "LOST_RACE_S", (0.01, 0.05))

    async def story(w: World) -> None:
        await fill(w)
        result = await w.deliver()
        assert (result.pending, result.failed) == (0, 1)
        assert await letters(w) == [("player", "3:2")]
        assert w.backend.answers("video")["503"] == 2

    in_world(tmp_path, story, MAX_RETRIES="1")


@pytest.mark.parametrize("status", [404, 500, 503])
@pytest.mark.parametrize("method", ["import_anime", "import_episodes"])
def test_a_record_that_is_alone_in_its_run_is_judged_by_what_the_backend_has(tmp_path, monkeypatch, method, status):
    """Else every later run, of a catalogue in which nothing changes, posts it again and ends with exit code 4."""
    refused: set[str] = set()
    refuse(monkeypatch, method, lambda p: refused and is_of_title("2")(p), status, "nobody has seen this")
    monkeypatch.setattr(sender, "LOST_RACE_S", (0.01, 0.05))

    async def story(w: World) -> None:
        await fill(w)
        await w.deliver()
        refused.add("2")
        await w.store(anime("2", titles=Titles(romaji="New")) if method == "import_anime" else release("2", [1, 2, 3]))
        result = await w.deliver()
        assert (result.pending, result.failed, result.reason) == (0, 1, None)
        assert await letters(w) == [("anime", "2") if method == "import_anime" else ("episode", "2:3")]

    in_world(tmp_path, story, MAX_RETRIES="1", BACKOFF_MAX_SECONDS="0.2")


@pytest.mark.parametrize(
    ("status", "bad", "has_delivered"),
    [
        *((status, bad, False) for status in (404, 422) for bad in (8, 30)),
        *((500, 8, False), (500, 30, True), (503, 8, True), (503, 30, True)),
    ],
)
@pytest.mark.parametrize("method", ["import_anime", "import_episodes", "import_video"])
def test_refused_titles_at_the_head_of_the_queue_cost_nobody_else(
    tmp_path, monkeypatch, method, status, bad, has_delivered
):
    """However many come before the first that the backend takes: each is a dead letter, all others are delivered."""
    refused = set(map(str, range(1, bad + 1)))
    refuse(monkeypatch, method, lambda p: any(is_of_title(t)(p) for t in refused), status, "nobody has seen this")

    async def story(w: World) -> None:
        if has_delivered:
            await w.store(anime("0"), release("0", [1]))
            await w.deliver()
        for title_id in map(str, range(1, bad + 11)):
            await w.store(anime(title_id), release(title_id, [1]))
        result = await w.deliver()
        assert (result.pending, result.failed, result.reason) == (0, bad, None)
        assert {key.partition(":")[0] for _, key in await letters(w)} == refused
        assert len(await w.backend.players()) == 10 + has_delivered
        w.backend.reset_stats()
        assert (await w.deliver()).pending == 0
        assert w.backend.posts == {}

    in_world(tmp_path, story, MAX_RETRIES="1")


@pytest.mark.parametrize("bad", [8, 12])
@pytest.mark.parametrize("status", [404, 422])
@pytest.mark.parametrize("method", ["import_anime", "import_episodes", "import_video"])
def test_refused_titles_that_are_alone_in_their_run_are_judged_by_what_the_backend_has(
    tmp_path, monkeypatch, method, status, bad
):
    """A 4xx is their own fault when the same kind of record is still accepted; one is sent once more to see that."""
    refused = set(map(str, range(11, 11 + bad)))
    refuse(monkeypatch, method, lambda p: any(is_of_title(t)(p) for t in refused), status, "nobody has seen this")
    route = {"import_video": "video"}.get(method, method.removeprefix("import_"))

    async def story(w: World) -> None:
        await fill(w)
        await w.deliver()
        for title_id in sorted(refused):
            await w.store(anime(title_id), release(title_id, [1]))
        for run in range(2):
            w.backend.reset_stats()
            result = await w.deliver()
            assert (result.pending, result.failed, result.reason) == (0, 0 if run else bad, None)
            assert w.backend.answers(route).get(str(status), 0) == (0 if run else bad)
            assert w.backend.answers(route).get("200", 0) <= (0 if run else 1)
        await w.store(anime("31"), release("31", [1]))
        assert (await w.deliver()).pending == 0
        assert {key.partition(":")[0] for _, key in await letters(w)} == refused

    in_world(tmp_path, story, MAX_RETRIES="1", BACKOFF_MAX_SECONDS="0.5")


@pytest.mark.parametrize("status", [404, 422, 500])
@pytest.mark.parametrize("method", ["import_anime", "import_episodes", "import_video"])
def test_a_backend_that_refuses_all_of_many_titles_is_not_asked_for_each(tmp_path, monkeypatch, method, status):
    """Nothing is set aside, though it accepts what it has already; the next titles and some drawn ones are tried."""
    refused: set[str] = set()
    refuse(monkeypatch, method, lambda _: bool(refused), status, "nobody has seen this")

    async def story(w: World) -> None:
        await fill(w)
        await w.deliver()
        refused.add("all")
        w.backend.reset_stats()
        for title_id in map(str, range(11, 111)):
            await w.store(anime(title_id), release(title_id, [1]))
        result = await w.deliver()
        assert (result.pending, result.failed) == (100, 0)
        assert result.reason is not None
        assert await letters(w) == []
        route = {"import_video": "video"}.get(method, method.removeprefix("import_"))
        assert w.backend.answers(route)[str(status)] < 100

    in_world(tmp_path, story, MAX_RETRIES="1", BACKOFF_MAX_SECONDS="0.2")


@pytest.mark.parametrize("bad", [1, 8])
def test_a_first_delivery_gets_past_anime_that_a_gateway_answers_with_503(tmp_path, monkeypatch, bad):
    """Nothing is there to compare them with until others are accepted. (Where the backend takes few of all, patience
    may end before one of those is drawn.)"""
    monkeypatch.setattr(anime_stage, "now", lambda: "2026-01-03")  # the first five that are drawn are accepted
    refused = set(map(str, range(1, bad + 1)))
    refuse(monkeypatch, "import_anime", lambda p: any(is_of_title(t)(p) for t in refused), 503, "no")

    async def story(w: World) -> None:
        for title_id in map(str, range(1, bad + 41)):
            await w.store(anime(title_id), release(title_id, [1]))
        result = await w.deliver()
        assert (result.pending, result.failed, result.reason) == (0, bad, None)
        assert len(await w.backend.players()) == 40

    in_world(tmp_path, story, MAX_RETRIES="1", BACKOFF_MAX_SECONDS="8")


@pytest.mark.parametrize("killed_at", [None, *range(1, 30, 4)])
def test_the_addresses_of_anime_do_not_depend_on_kills_though_many_are_refused(tmp_path, monkeypatch, killed_at):
    """All have one title, so that each address says when its anime came. Titles are read in batches of eight."""
    monkeypatch.setattr(anime_stage, "TITLES_PER_QUERY", 8)
    bad = {*range(1, 8), *range(12, 20)}
    refuse(monkeypatch, "import_anime", lambda p: int(p.source_id) in bad, 422, "no")

    async def story(w: World) -> None:
        for number in range(1, 31):
            await w.store(anime(str(number), titles=Titles(romaji="Same")), release(str(number), [1]))
        if killed_at:
            running = asyncio.ensure_future(w.deliver())
            await until(lambda: w.backend.posts.get("anime", 0) >= killed_at)
            running.cancel()
            await asyncio.wait([running])
        result = await w.deliver()
        assert (result.pending, result.reason) == (0, None)
        assert {key for _, key in await letters(w)} == set(map(str, bad))
        rows = (await w.backend.dump())["anime"]
        came = sorted(rows, key=lambda row: int(row["slug"].removeprefix("same").removeprefix("-") or 0))
        drawn = ([9], [28])
        in_order = ([8, 10, 11], [*range(20, 28), 29, 30])
        assert [int(row["source_id"]) for row in came] == drawn[0] + in_order[0] + drawn[1] + in_order[1]

    in_world(tmp_path, story)


@pytest.mark.parametrize("method", ["import_anime", "import_episodes", "import_video"])
def test_a_record_that_fails_while_the_backend_goes_away_is_not_set_aside(tmp_path, monkeypatch, method):
    """From its 503 on nothing is accepted, not even what the backend has: nobody can say whose fault it is."""
    away, can_go = set[str](), ["2"]

    def is_bad(payload: Any) -> bool:
        away.update(title_id for title_id in can_go if is_of_title(title_id)(payload))
        return bool(away)

    for each in {method, "import_video"}:
        refuse(monkeypatch, each, is_bad, 503, "no")
    monkeypatch.setattr(sender, "LOST_RACE_S", (0.01, 0.05))

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1, 2]))
        assert (await w.deliver()).pending == 0
        await w.store(anime("2"), release("2", [1]))
        result = await w.deliver()
        assert (result.pending, result.failed, await letters(w)) == (1, 0, [])
        can_go.clear()
        away.clear()
        assert (await w.deliver()).pending == 0
        assert len(await w.backend.players()) == 3

    in_world(tmp_path, story, MAX_RETRIES="1", BACKOFF_MAX_SECONDS="0.2")


def test_a_long_pause_that_another_process_was_told_ends_the_delivery_before_its_first_post(tmp_path):
    """The budgets are everybody's: the run does not wait for a quarter of an hour, and its titles stay pending."""

    async def story(w: World) -> None:
        await w.store(anime("1"), release("1", [1]))
        w.limiter.penalize(budget_of("backend", w.backend.url), 1000, "Retry-After")
        result = await w.deliver()
        assert (result.pending, result.reason is None, result.setting) == (1, False, "BACKEND_LIMITS")
        assert w.backend.posts == {}

    in_world(tmp_path, story)
