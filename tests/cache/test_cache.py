"""The HTTP cache in real crawls: which answers are asked for again, by whom, and what is kept of them."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
import redis
from aiohttp import web

from anime_crawler.cache.entry import Entry
from anime_crawler.cache.storage import LEASE_S
from tests.download.crawl import FAST, TOKEN, Plan, Result, crawl, result_of, start, stopped_crawl
from tests.download.upstream_server import UpstreamServer
from tests.services import start_redis, stop_redis

ON = {**FAST, "enable_http_cache": True}
NOW = formatdate(usegmt=True)
OLD = formatdate(time.time() - 3600, usegmt=True)
SOON = formatdate(time.time() + 3600, usegmt=True)
FRESH, ASKED, REVALIDATED = (1, None), (2, None), (2, "conditional")
"""Requests that the server sees in two runs, and what the second is."""

# Headers of the answer, whether the source's TTL is a day, and what the second run does (RFC 9111, private cache).
TABLE: dict[str, tuple[dict[str, str], bool, tuple[int, str | None]]] = {
    "max_age": ({"Cache-Control": "max-age=60"}, False, FRESH),
    "private_is_ours": ({"Cache-Control": "private, max-age=60"}, False, FRESH),
    "quoted": ({"Cache-Control": 'max-age="60"'}, False, FRESH),
    "shared_age_is_not_ours": ({"Cache-Control": "max-age=60, s-maxage=0"}, False, FRESH),
    "must_revalidate_while_fresh": ({"Cache-Control": "max-age=60, must-revalidate"}, False, FRESH),
    "expires": ({"Expires": SOON}, False, FRESH),
    "max_age_before_expires": ({"Cache-Control": "max-age=60", "Expires": OLD}, False, FRESH),
    "nothing_said_ttl": ({}, True, FRESH),
    "nothing_said_no_ttl": ({}, False, ASKED),
    "public_says_nothing": ({"Cache-Control": "public"}, True, FRESH),
    "old_at_arrival_by_age": ({"Cache-Control": "max-age=60", "Age": "61"}, True, ASKED),
    "young_by_age": ({"Cache-Control": "max-age=60", "Age": "10"}, False, FRESH),
    "old_at_arrival_by_date": ({"Cache-Control": "max-age=60", "Date": OLD}, True, ASKED),
    "max_age_0": ({"Cache-Control": "max-age=0"}, True, ASKED),
    "max_age_0_must_revalidate": ({"Cache-Control": "max-age=0, must-revalidate", "ETag": '"1"'}, True, REVALIDATED),
    "no_store": ({"Cache-Control": "no-store, max-age=60"}, True, ASKED),
    "no_store_with_validator": ({"Cache-Control": "no-store", "ETag": '"1"'}, True, ASKED),
    "no_cache": ({"Cache-Control": "no-cache"}, True, ASKED),
    "no_cache_with_validator": ({"Cache-Control": "no-cache, max-age=60", "ETag": '"1"'}, True, REVALIDATED),
    "expired": ({"Expires": OLD}, True, ASKED),
    "expires_is_no_date": ({"Expires": "0"}, True, ASKED),
    "max_age_is_no_number": ({"Cache-Control": "max-age=soon"}, True, ASKED),
    "etag": ({"ETag": 'W/"1"'}, False, REVALIDATED),
    "last_modified": ({"Last-Modified": OLD}, False, REVALIDATED),
    "etag_and_ttl": ({"ETag": '"1"'}, True, FRESH),
    "vary_star": ({"Cache-Control": "max-age=60", "Vary": "*"}, True, ASKED),
    "vary_same_header": ({"Cache-Control": "max-age=60", "Vary": "X-Region, Accept-Encoding"}, False, FRESH),
}


@pytest.fixture
def cached(plan: Callable[..., Plan]) -> Callable[..., Plan]:
    """A plan of GETs with the cache on; ``config=`` adds settings."""

    def make(*paths: str, config: dict[str, object] | None = None, **options) -> Plan:
        return plan(*paths, config={**ON, **(config or {})}, **{"method": "GET", **options})

    return make


def answer(path: str, **headers: str) -> web.Response:
    return web.Response(text=f"answer of {path}", headers=headers)


@pytest.mark.parametrize("has_ttl", [True, False])
def test_rfc_9111(server: UpstreamServer, cached: Callable[..., Plan], has_ttl: bool) -> None:
    """Two processes, one after the other: who asks again, and with "changed since?" or without."""
    wanted = {f"/{name}": row for name, row in TABLE.items() if row[1] == has_ttl}
    for path, (headers, _, (_, condition)) in wanted.items():
        second = web.Response(status=304, headers=headers) if condition else answer(path, **headers)
        server.answers[path] = [answer(path, **headers), second]
    for _ in range(2):
        result = crawl(cached(*wanted, cache_ttl_s=86_400 if has_ttl else None))
        assert result.outcomes == dict.fromkeys(wanted, ("ok", 1))
    seen = {path: (len(server.at(path)), _condition(server, path)) for path in wanted}
    assert seen == {path: row[2] for path, row in wanted.items()}


def _condition(server: UpstreamServer, path: str) -> str | None:
    last = server.at(path)[-1].headers
    return "conditional" if {"If-None-Match", "If-Modified-Since"} & last.keys() else None


def test_a_304_makes_the_entry_fresh_again(server: UpstreamServer, cached: Callable[..., Plan]) -> None:
    """Its headers correct the kept ones, so the third run asks nothing; the body is the first one's."""
    server.answers["/a"] = [
        answer("/a", **{"Cache-Control": "max-age=0", "ETag": '"1"'}),
        web.Response(status=304, headers={"Cache-Control": "max-age=60", "ETag": '"1"'}),
    ]
    counters = [crawl(cached("/a")).counters for _ in range(3)]
    assert [c.get("requests", 0) for c in counters] == [1, 1, 0]
    assert [(c.get("revalidated", 0), c.get("cached", 0)) for c in counters] == [(0, 0), (1, 0), (0, 1)]


def test_the_key_is_method_address_body_and_headers(
    server: UpstreamServer, plan: Callable[..., Plan], cached: Callable[..., Plan]
) -> None:
    """POSTs to one address by their bodies; a GET of it is another; ``Accept`` counts though no ``Vary`` says so."""
    for _ in range(2):
        assert crawl(plan("/p", "/p", config=ON)).exit_code == 0
    assert sorted(arrival.body for arrival in server.at("/p")) == ["n=0", "n=1"]
    for accept in ("text/html", "application/json", "text/html"):
        crawl(cached("/p", headers={"/p": {"Accept": accept}}))
    assert len(server.at("/p")) == 4


def test_vary_keeps_an_answer_for_each_header(server: UpstreamServer, cached: Callable[..., Plan]) -> None:
    server.answers["/v"] = [answer("/v", **{"Vary": "X-Region", "Cache-Control": "max-age=60"})]
    for region in ("jp", "ru", "jp", "ru"):
        crawl(cached("/v", headers={"/v": {"X-Region": region}}))
    assert [arrival.headers["X-Region"] for arrival in server.at("/v")] == ["jp", "ru"]


@pytest.mark.parametrize(
    "headers", [{"Cache-Control": "no-cache"}, {"Cache-Control": "no-store"}, {"If-None-Match": '"mine"'}]
)
def test_a_request_can_ask_for_a_new_answer(
    server: UpstreamServer, cached: Callable[..., Plan], headers: dict[str, str]
) -> None:
    """And one that asks "changed since?" by itself gets the server's own word."""
    crawl(cached("/r"))
    crawl(cached("/r", headers={"/r": headers}))
    assert len(server.at("/r")) == 2


def test_a_walk_takes_no_kept_answer(server: UpstreamServer, cached: Callable[..., Plan]) -> None:
    """However fresh it is; where there is a validator it asks "changed since?". A source may allow some age."""
    server.answers["/etag"] = [answer("/etag", ETag='"1"'), web.Response(status=304, headers={"ETag": '"1"'})]
    walk = {"arguments": {"mode": "full"}}
    crawl(cached("/plain", "/etag"))
    counters = crawl(cached("/plain", "/etag", **walk)).counters
    assert (counters["requests"], counters["revalidated"], counters.get("cached")) == (2, 1, None)
    assert _condition(server, "/etag") == "conditional"
    assert crawl(cached("/plain", "/etag", **walk, oldest_in_walks_s=3600)).counters == {"cached": 2}


def test_a_post_is_never_revalidated(server: UpstreamServer, plan: Callable[..., Plan]) -> None:
    server.answers["/p"] = [answer("/p", ETag='"1"')]
    for _ in range(2):
        crawl(plan("/p", config=ON, cache_ttl_s=None))
    assert [arrival.headers.get("If-None-Match") for arrival in server.at("/p")] == [None, None]


def test_failures_are_not_kept(server: UpstreamServer, cached: Callable[..., Plan]) -> None:
    """Neither errors that say max-age, nor a ban with status 200; a kept answer is not served in their place."""
    keep = {"Cache-Control": "max-age=60"}
    server.answers["/500"] = [web.Response(status=500, headers=keep), answer("/500")]
    server.answers["/404"] = [web.Response(status=404, headers=keep)]
    server.answers["/stale"] = [
        answer("/stale", **{"Cache-Control": "max-age=0", "ETag": '"1"'}),
        web.Response(status=404),
    ]
    first = crawl(cached("/500", "/404", "/stale"))
    assert first.outcomes == {"/500": ("ok", 2), "/404": ("status_404", 1), "/stale": ("ok", 1)}
    second = crawl(cached("/500", "/404", "/stale"))
    assert second.outcomes == {"/500": ("ok", 1), "/404": ("status_404", 1), "/stale": ("status_404", 1)}
    assert len(server.at("/500")) == 2
    server.answers["/ban"] = [web.Response(text="banned", headers=keep)]
    crawl(cached("/ban"))
    assert entries(Path(cached().directory)) == {b"answer of /500", b"answer of /stale"}


def entries(directory: Path) -> set[bytes]:
    """Bodies in the file."""
    with closing(sqlite3.connect(directory / "http_cache.sqlite")) as db:
        return {zlib.decompress(value[8:]).partition(b"\n")[2] for (value,) in db.execute("SELECT value FROM kept")}


def test_a_kept_answer_costs_no_budget(server: UpstreamServer, cached: Callable[..., Plan]) -> None:
    """Nor does what it says of limits hold again."""
    server.answers["/l"] = [answer("/l", **{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3600"})]
    crawl(cached("/l", limits="1/day"))
    assert crawl(cached(*["/l"] * 20, limits="1/day")).counters == {"cached": 20}


def test_it_can_be_turned_off(server: UpstreamServer, cached: Callable[..., Plan]) -> None:
    for _ in range(2):
        crawl(cached("/a", config={"enable_http_cache": False}))
    assert len(server.at("/a")) == 2
    assert not Path(cached().directory, "http_cache.sqlite").exists()


@pytest.fixture(params=["sqlite", "redis"])
def storage(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of each storage."""
    if request.param == "sqlite":
        return {}
    return {"http_cache_storage": "redis", "redis_cache_url": request.getfixturevalue("redis_url")}


def test_three_processes_fetch_each_address_once(
    server: UpstreamServer, cached: Callable[..., Plan], storage: dict[str, str]
) -> None:
    """At once, with tasks in each that want the same; those that wait get the answer, and pay for none."""
    paths = [f"/delay/0.2/{n}" for n in range(12)]
    processes = [start(cached(*paths, *paths, config=storage)) for _ in range(3)]
    results: list[Result] = [result_of(process) for process in processes]
    assert all(result.outcomes == dict.fromkeys(paths, ("ok", 1)) for result in results)
    assert sorted(arrival.path for arrival in server.arrivals) == sorted(paths)
    assert sum(result.counters.get("cached", 0) for result in results) == 5 * len(paths)


@pytest.mark.slow
def test_a_killed_process_holds_others_up_for_its_lease_only(
    server: UpstreamServer, cached: Callable[..., Plan]
) -> None:
    dead = start(cached("/silence"))
    while not server.arrivals:
        time.sleep(0.05)
    dead.kill()
    dead.communicate()
    server.answers["/silence"] = [answer("/silence")]
    assert crawl(cached("/silence")).outcomes == {"/silence": ("ok", 1)}


def test_no_secret_is_kept(server: UpstreamServer, cached: Callable[..., Plan], redis_url: str, tmp_path: Path) -> None:
    """A token in a header, and answers that repeat it in body and headers: in neither storage, keys or values."""
    server.answers["/s"] = [answer(f"/s {TOKEN}", **{"Vary": "token, X-A", "X-Echo": TOKEN})]
    use_redis = {"http_cache_storage": "redis", "redis_cache_url": redis_url}
    for config in ({}, use_redis):
        crawl(cached("/s", config=config, secrets=["header"]))
    assert [arrival.headers["Token"] for arrival in server.at("/s")] == [f"Bearer {TOKEN}"] * 2
    with redis.Redis.from_url(redis_url) as client:
        kept = {name: client.get(name) for name in client.scan_iter()}
    with closing(sqlite3.connect(tmp_path / "http_cache.sqlite")) as db:
        kept |= {b"sqlite " + digest.encode(): value for digest, value in db.execute("SELECT digest, value FROM kept")}
    assert len(kept) == 4  # in each the answer, and the headers it varies by
    assert all(name.startswith((b"anime_crawler:http_cache:upstream:entry:", b"sqlite ")) for name in kept)
    unpacked = b"".join(name + zlib.decompress(value[8:]) for name, value in kept.items())
    assert TOKEN.encode() not in unpacked
    assert b"REDACTED" in unpacked


def test_a_request_can_be_kept_out_of_the_cache(server: UpstreamServer, cached: Callable[..., Plan]) -> None:
    """Scrapy's ``dont_cache`` in its meta: neither kept nor answered from what is kept."""
    for _ in range(2):
        crawl(cached("/a", meta={"dont_cache": True}))
    assert len(server.at("/a")) == 2
    assert entries(Path(cached().directory)) == set()


def test_a_kept_answer_that_the_source_has_come_to_refuse_is_asked_for_again(
    server: UpstreamServer, cached: Callable[..., Plan], tmp_path: Path
) -> None:
    """What is a ban page for the spider of today may have been stored by the one of yesterday."""
    crawl(cached("/a"))
    with closing(sqlite3.connect(tmp_path / "http_cache.sqlite")) as db, db:
        (value,) = db.execute("SELECT value FROM kept WHERE family = 'http_cache'").fetchone()
        db.execute("UPDATE kept SET value = ?", (replace(Entry.unpack(value), body=b"banned").pack(),))
    assert crawl(cached("/a")).outcomes == {"/a": ("ok", 1)}
    assert len(server.at("/a")) == 2


def test_an_entry_that_is_damaged_is_asked_for_again(
    server: UpstreamServer, cached: Callable[..., Plan], tmp_path: Path
) -> None:
    """Whatever is in the storage: the answer is fetched, and kept anew."""
    crawl(cached("/a"))
    with closing(sqlite3.connect(tmp_path / "http_cache.sqlite")) as db, db:
        db.execute("UPDATE kept SET value = substr(value, 1, 20)")
    assert crawl(cached("/a")).outcomes == {"/a": ("ok", 1)}
    assert len(server.at("/a")) == 2
    assert entries(tmp_path) == {b"{}"}


def test_the_lease_of_a_slow_fetch_is_renewed(
    server: UpstreamServer, cached: Callable[..., Plan], tmp_path: Path
) -> None:
    """As long as its answer does not come nobody else may ask for it; afterwards no lease is left."""
    process = start(cached(f"/delay/{LEASE_S * 0.6}/a"))
    ends: set[float] = set()
    while len(ends) < 2 and process.poll() is None:
        if (tmp_path / "http_cache.sqlite").exists():
            ends |= leases(tmp_path)
        time.sleep(0.05)
    assert len(ends) == 2
    assert list(result_of(process).outcomes.values()) == [("ok", 1)]
    assert leases(tmp_path) == set()


def leases(directory: Path) -> set[float]:
    """When each lease in the file ends; none where there is no table yet."""
    with closing(sqlite3.connect(directory / "http_cache.sqlite")) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lease'").fetchone():
            return set()
        return {until for (until,) in db.execute("SELECT until FROM lease")}


def test_a_run_that_is_stopped_does_not_wait_for_what_another_process_fetches(
    server: UpstreamServer, cached: Callable[..., Plan], tmp_path: Path
) -> None:
    """SIGTERM while the lease is another's: the request stays for later, nothing is asked."""
    crawl(cached("/seen"))
    with closing(sqlite3.connect(tmp_path / "http_cache.sqlite")) as db, db:
        (digest,) = db.execute("SELECT digest FROM kept WHERE family = 'http_cache'").fetchone()
        db.execute("DELETE FROM kept")
        db.execute("INSERT INTO lease VALUES ('upstream', ?, 'another', ?)", (digest, time.time() + LEASE_S))
    result = stopped_crawl(cached("/seen", "/other"), server, arrivals=2)
    assert result.outcomes == {"/seen": ("stopped", 0), "/other": ("ok", 1)}
    assert len(server.at("/seen")) == 1


@pytest.mark.parametrize("damage", ["directory", "no database"])
def test_an_unusable_file_is_a_warning(server, cached, tmp_path, damage) -> None:
    """Once; the crawl goes on without a cache."""
    file = tmp_path / "http_cache.sqlite"
    file.mkdir() if damage == "directory" else file.write_bytes(b"no database" * 1000)
    assert crawl(cached("/a", "/b", "/c")).outcomes == dict.fromkeys(("/a", "/b", "/c"), ("ok", 1))
    assert (tmp_path / "log.txt").read_text().count("going on without the HTTP cache") == 1


def test_redis_may_die_in_mid_run(server, cached, tmp_path) -> None:
    """One warning, every request answered; a Redis that was never there is the same."""
    state = tmp_path / "redis.json"
    url = start_redis(state).url()
    config = {"http_cache_storage": "redis", "redis_cache_url": url}
    paths = [f"/delay/0.1/{n}" for n in range(20)]
    process = start(cached(*paths, config=config, one_by_one=True))
    while len(server.arrivals) < 5:
        time.sleep(0.02)
    stop_redis(state)
    assert result_of(process).outcomes == dict.fromkeys(paths, ("ok", 1))
    assert crawl(cached("/a", "/b", config=config)).outcomes == {"/a": ("ok", 1), "/b": ("ok", 1)}  # both at once
    assert (tmp_path / "log.txt").read_text().count("going on without the HTTP cache") == 2  # one for each process
