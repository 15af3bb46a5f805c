"""Every fault switch does to a real connection what its name says."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from anime_crawler.reference_backend import Fault, Faults, create_app, endpoint, faults
from anime_crawler.reference_backend.faults import PRESETS
from tests.reference_backend.support import IMPORT, TOKEN, Client, anime, running, until, video

ANSWERED = sorted(name for name, values in PRESETS.items() if "status" in values and "gateway_s" not in values)
NO_ANSWER = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)

TEXTS = {
    "bad_body": "There was an error parsing the body",
    "wrong_token": "Invalid internal token",
    "wrong_service": "Not Found",
    "no_anime": "Anime not found: ",
    "no_episode": "Episode not found: ",
    "invalid": "Invalid request data",
    "uq_anime_source": 'UniqueViolationError\'>: duplicate key value violates unique constraint "uq_anime_source"',
    "ix_anime_slug": '"ix_anime_slug"',
    "uq_episode_source": '"uq_episode_source"',
    "multiple_rows": "Multiple rows were found when one or none was required",
    "nul": 'invalid byte sequence for encoding "UTF8": 0x00',
    "int32": "value out of int32 range",
    "index_row": "index row size 2744 exceeds btree version 4 maximum 2704",
    "connection_closed": "connection is closed",
    "refused": "Connection refused",
    "queue_pool": "QueuePool limit",
    "deadlock": "deadlock detected",
}


@pytest.mark.parametrize("name", ANSWERED)
def test_every_row_of_the_error_matrix_can_be_produced(backend: Client, name):
    """Its status, its exact text, nothing stored; and as often as asked."""
    backend.rule(name, times=1)
    answer = backend.post("anime", anime(description="secret words"))
    assert answer.status_code == PRESETS[name]["status"]
    if name in TEXTS:
        assert TEXTS[name] in answer.json()["error"]["message"]
    assert backend.anime() is None
    assert backend.stats()["faults"] == {name: 1}
    backend.ok("anime", anime())


def test_the_texts_of_the_database_carry_the_parameters(backend: Client):
    """As the real ones do: what a client logs of them must be cut."""
    backend.rule("deadlock")
    assert "secret words" in backend.post("anime", anime(description="secret words")).text


def test_answers_with_200_that_are_no_success_can_be_produced(backend: Client):
    """HTML, null, an empty object, nothing, and `success` false."""
    for name, body in (("html", "<!doctype"), ("null", "null"), ("empty_object", "{}"), ("no_body", "")):
        backend.rule(name)
        assert backend.post("anime", anime()).text.startswith(body)
    backend.rule("not_success")
    assert backend.post("anime", anime()).json()["success"] is False


def test_a_limit_tells_when_to_come_back(backend: Client):
    """In seconds, or whatever else is set."""
    backend.rule("throttled")
    assert backend.post("anime", anime()).headers["retry-after"] == "1"
    backend.rule("throttled", headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert backend.post("anime", anime()).headers["retry-after"].startswith("Wed")


def test_a_rule_strikes_its_route_only_after_those_it_skips_and_as_often_as_asked(backend: Client):
    """The other POSTs are what they would have been."""
    backend.title()
    backend.rule("unavailable", route="video", skip=1, times=2)
    assert backend.post("anime", anime()).status_code == 200
    assert [backend.post("video", video()).status_code for _ in range(4)] == [200, 503, 503, 200]


def test_a_share_of_the_posts_fails_the_same_way_for_the_same_seed(backend: Client):
    """About 20 of 100; another seed, other ones."""
    backend.title()

    def pattern(seed: int) -> list[int]:
        backend.faults(seed=seed, rules=[{"name": "unknown", "rate": 0.2}])
        return [backend.post("video", video()).status_code for _ in range(100)]

    first = pattern(1)
    assert 8 <= first.count(500) <= 35
    assert first.count(500) + first.count(200) == 100
    assert pattern(1) == first
    assert pattern(2) != first


def test_a_backend_that_is_down_comes_back_by_itself(backend: Client, monkeypatch):
    """503 or a dropped connection for the seconds that are asked for."""
    now = [1000.0]
    monkeypatch.setattr(faults, "time", SimpleNamespace(monotonic=lambda: now[0]))
    backend.rule("unavailable", lasts_s=15)
    now[0] += 14
    assert backend.post("anime", anime()).status_code == 503
    now[0] += 2
    backend.ok("anime", anime())
    backend.rule("drop", lasts_s=15)
    with pytest.raises(NO_ANSWER):
        backend.post("anime", anime())
    now[0] += 16
    backend.ok("anime", anime())


def test_a_dropped_connection_has_no_answer_and_stores_nothing(backend: Client):
    """It ends after the request was read."""
    backend.rule("drop", times=1)
    with pytest.raises(NO_ANSWER):
        backend.post("anime", anime())
    assert backend.anime() is None
    assert backend.stats()["answers"] == {"anime": {"dropped": 1}}


def test_a_connection_dropped_after_the_store_leaves_the_row(backend: Client):
    """The client cannot know."""
    backend.rule("drop_after_store", times=1)
    with pytest.raises(NO_ANSWER):
        backend.post("anime", anime())
    assert backend.anime()["title"] == "Title 1"


def test_an_error_may_be_answered_although_the_post_was_stored(backend: Client):
    """A gateway's timeout, for one."""
    backend.rule("gateway_timeout", at="store", stored=True)
    assert backend.post("anime", anime()).status_code == 504
    assert backend.anime() is not None


def test_a_slow_commit_outlives_its_client(backend: Client):
    """The client gives up; the row is stored all the same."""
    backend.rule("slow", delay_s=0.2)
    with pytest.raises(requests.Timeout):
        backend.session.post(f"{backend.url}{IMPORT}/anime", json=anime(), timeout=0.05)
    until(lambda: backend.anime() is not None)


def carried(backend: Client, posts: int = 5, until_closed: bool = False) -> int:
    """How many POSTs one connection carries.

    Args:
        until_closed: after each, wait until the server closes the connection.
    """
    address = urlsplit(backend.url)
    headers = {"X-Internal-Token": TOKEN, "Content-Type": "application/json"}
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=60)) as connection:
        connection.connect()
        connection.auto_open = 0  # no second connection behind our back
        for done in range(posts):
            try:
                connection.request("POST", f"{IMPORT}/anime", "{}", headers)
                connection.getresponse().read()
            except OSError:
                return done
            if until_closed:
                assert connection.sock.recv(1) == b""
    return posts


def test_a_recycled_worker_drops_its_connection(backend: Client):
    """After as many requests as it is set to carry; a new connection carries as many again."""
    backend.faults(recycle_after=3)
    assert [carried(backend), carried(backend)] == [3, 3]
    backend.faults()
    assert carried(backend) == 5


def test_an_idle_connection_is_closed_early(backend: Client):
    """When its idle time is set below the client's."""
    backend.faults(keep_alive_s=0.1)
    assert carried(backend, posts=2, until_closed=True) == 1
    backend.faults(keep_alive_s=30)
    assert carried(backend, posts=3) == 3


def test_a_long_slug_chain_takes_its_time(backend: Client, monkeypatch):
    """As many query times as links: the third title waits for three."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(endpoint, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    for source_id, title in (("1", "Имя"), ("2", "Слово")):
        backend.ok("anime", anime(source_id, title=title))
    backend.faults(slug_query_s=0.1)
    backend.ok("anime", anime("3", title="Дело"))
    assert slept == [pytest.approx(0.3)]


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "htlm"},
        {"rate": 2, "drop": True},
        {"name": "drop", "stored": True},
        {"trouble": "x", "status": 500},
        {},
    ],
)
def test_a_fault_that_says_nothing_sensible_is_refused(backend: Client, rule):
    """With what is wrong; the faults in force stay."""
    backend.rule("drop")
    answer = backend.send("POST", "/_reference/faults", json={"rules": [rule]})
    assert answer.status_code == 422
    assert backend.get("faults")["rules"][0]["name"] == "drop"


def test_faults_may_be_given_at_the_start():
    """And are in force from the first POST."""
    with running(faults=Faults(rules=[Fault(name="bad_gateway", times=1)])) as client:
        assert [client.post("anime", anime()).status_code for _ in range(2)] == [502, 200]


def test_a_server_that_cannot_drop_connections_says_so():
    """Whoever serves the application without its own connection class gets 500 INTERNAL_ERROR, and the log how."""
    app = create_app("sqlite://", TOKEN, Faults(rules=[Fault(name="drop")]))
    sent: list[Any] = []
    request = {"type": "http.request", "body": b"{}", "more_body": False}
    scope = {"type": "http", "method": "POST", "path": f"{IMPORT}/anime", "headers": [], "query_string": b""}

    async def receive() -> Any:
        return request

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="DroppableConnection"):
        asyncio.run(app(scope, receive, send))
    app.state.backend.store.writer.close()
    assert sent[0]["status"] == 500
    assert b'"code":"INTERNAL_ERROR","message":"Internal server error"' in sent[1]["body"]


def test_the_inspection_paths_want_the_token_too(backend: Client):
    """A server that others can reach gives nothing away and cannot be switched."""
    for method, path in (("GET", "dump"), ("GET", "stats"), ("POST", "faults"), ("DELETE", "rows"), ("POST", "admin")):
        answer = requests.request(method, f"{backend.url}/_reference/{path}", json={}, timeout=10)
        assert answer.status_code == 403
    assert backend.get("faults")["rules"] == []


def test_a_lock_holds_posts_until_it_goes_and_they_go_on_without_their_client(backend: Client):
    """What the client gave up on is stored when the lock has gone; a second POST of the player is a duplicate."""
    backend.title()
    backend.faults(store_duplicates=True, rules=[{"name": "lock", "route": "video"}])
    for _ in range(2):
        with pytest.raises(requests.ReadTimeout):
            backend.session.post(f"{backend.url}{IMPORT}/video", json=video(), timeout=1)
    backend.until_held(2)
    assert backend.videos() == []
    assert backend.post("anime", anime("2")).status_code == 200
    backend.faults(store_duplicates=True)
    assert rows_in_time(backend) == 2
    assert backend.post("video", video()).status_code == 500


def rows_in_time(backend: Client) -> int:
    """Rows of the player, once the backend is at work on nothing any more."""
    until(lambda: backend.stats()["in_flight"] == 0)
    return len(backend.videos())


def test_a_lock_for_writers_lets_pass_what_changes_nothing(backend: Client):
    """As CREATE INDEX does."""
    backend.title()
    backend.ok("video", video())
    backend.rule("write_lock", route="video")
    backend.ok("video", video())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(backend.at_once, ("video", video(priority=7)))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        backend.faults()
        assert waiting.result()[0][0] == 200
    assert backend.videos()[0]["priority"] == 7


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_answers_while_the_backend_works_on(backend: Client, status):
    """The POST is stored after its client was told that it failed; who repeats it meanwhile breaks the player."""
    backend.title()
    rules = [{"name": f"gateway_{status}", "gateway_s": 0.05}, {"name": "lock", "route": "video"}]
    backend.faults(store_duplicates=True, rules=rules)
    assert backend.post("video", video()).status_code == status
    assert backend.post("video", video()).status_code == status
    backend.faults(store_duplicates=True)
    assert rows_in_time(backend) == 2
    assert backend.stats()["duplicates"] == 1


def test_a_lock_can_hold_one_worker_while_the_others_go_on(backend: Client):
    """Connections are dealt to the workers in turn."""
    backend.title()
    backend.faults(workers=2, rules=[{"name": "lock", "route": "video", "worker": 0}])
    with ThreadPoolExecutor(4) as pool:
        posts = [("video", video(url=f"https://kodikplayer.com/seria/{number}/a/720p")) for number in range(4)]
        waiting = [pool.submit(backend.at_once, post) for post in posts]
        until(lambda: backend.stats()["answers"].get("video") == {"200": 2})
        backend.until_held(2)
        assert sum(post.done() for post in waiting) <= 2
        backend.faults()
        assert [post.result()[0][0] for post in waiting] == [200] * 4


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"name": "x", "drop": True, "gateway_s": 1}, "gateway_s needs a status"),
        ({"name": "x", "holds": "all", "at": "arrival"}, "holds needs at=store"),
        ({"name": "x"}, "states no status, drop, holds or delay_s"),
        ({"name": "x", "status": 500, "trouble": "earthquake"}, "trouble is none of"),
    ],
)
def test_a_rule_that_could_not_do_what_it_says_is_refused(backend: Client, rule, said):
    """Else a test would wait for a fault that never strikes; the rules in force stay."""
    backend.rule("deadlock")
    answer = backend.send("POST", "/_reference/faults", json={"rules": [rule]})
    assert (answer.status_code, said in answer.text) == (422, True)
    assert backend.post("anime", anime()).status_code == 500


def test_a_switch_for_a_row_that_is_not_there_is_refused(backend: Client):
    """404: a test that names the wrong row hears of it."""
    change = {"source_name": "kodik-shikimori", "kind": "anime", "source_id": "404", "is_active": False}
    assert backend.send("POST", "/_reference/admin", json=change).status_code == 404


def test_a_client_that_leaves_in_the_middle_of_its_body_stores_nothing(backend: Client):
    """It is no answer, and others are served."""
    head = f"POST {IMPORT}/anime HTTP/1.1\r\nHost: x\r\nX-Internal-Token: {TOKEN}\r\nContent-Type: application/json\r\n"
    address = urlsplit(backend.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f'{head}Content-Length: 1000\r\n\r\n{{"source_name": '.encode())
    until(lambda: backend.stats()["answers"].get("anime", {}).get("dropped") == 1)
    assert backend.anime() is None
    backend.ok("anime", anime())
