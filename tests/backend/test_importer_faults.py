"""Rows of the backend's error matrix met over real HTTP: a record is sent again or set aside, or the delivery ends."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from anime_crawler.backend import sender
from anime_crawler.catalogue.tables import dead_letter, delivered_player
from anime_crawler.catalogue.titles import raise_versions
from tests.backend.support import World, anime, in_world, refuse, release, two_titles


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Waits of the contract, in milliseconds instead of seconds."""
    monkeypatch.setattr(sender, "LOST_RACE_S", (0.01, 0.05))


async def letters(w: World) -> dict[tuple[str, str], str]:
    """(kind, key) -> reason of all dead letters."""
    columns = (dead_letter.c.kind, dead_letter.c.key, dead_letter.c.reason)
    return {(kind, key): reason for kind, key, reason in await w.rows(select(*columns))}


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
def test_what_a_setting_must_mend_stops_the_delivery(tmp_path, route):
    """A wrong token at once, what might be one record's fault once it is all titles'; the setting is named, nothing is
    lost or set aside."""

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
            assert w.backend.posts[route] <= (4 if kind == "token_refused" else 30 if route == "video" else 10)
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
