"""Lookups that were made before: given again without a request, and only when all of it is still right."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web
from pydantic import BaseModel, create_model

from anime_crawler.cache.entry import BadEntry
from anime_crawler.cache.result_entry import pack_items, schema_version, unpack_items
from anime_crawler.items import Anime, Titles
from tests.catalogue import support
from tests.download.crawl import FAST, Plan, crawl, result_of, start
from tests.download.upstream_server import UpstreamServer

ON = {**FAST, "enable_http_cache": True}
GIVEN_AGAIN = {"results cached": 1}


@pytest.fixture
def lookup(plan: Callable[..., Plan]) -> Callable[..., Plan]:
    """A lookup whose answers each give an item; ``config=`` adds settings."""

    def make(*paths: str, config: dict[str, object] | None = None, **options) -> Plan:
        return plan(*paths, **{"method": "GET", "gives": "items", "config": {**ON, **(config or {})}, **options})

    return make


def test_the_same_arguments_are_given_again_others_are_not(
    server: UpstreamServer, lookup: Callable[..., Plan], redis_url: str
) -> None:
    """The same items, with the time at which they were fetched, and no request. Other arguments are another lookup:
    its items come of kept answers, and bear their time."""
    config = {"http_cache_storage": "redis", "redis_cache_url": redis_url}
    first = crawl(lookup("/a", "/b", config=config))
    again = crawl(lookup("/a", "/b", config=config))
    assert first.counters["requests"] == 2
    assert again.counters == GIVEN_AGAIN
    assert sorted(again.items) == sorted(first.items)
    other = crawl(lookup("/a", config=config, arguments={"ids": "2"}))
    assert other.counters == {"cached": 1}
    ((path, _, fetched_at),) = other.items
    assert abs(fetched_at - {p: at for p, _, at in first.items}[path]) < 1
    assert len(server.arrivals) == 2


NOT_KEPT: dict[str, tuple[web.Response, dict[str, object]]] = {
    "a record was set aside": (web.Response(text="odd"), {"gives": "rejected"}),
    "an answer may not be kept": (web.Response(text="secret", headers={"Cache-Control": "no-store"}), {}),
    "an answer failed": (web.Response(status=404), {}),
    "a page ended the run": (web.Response(text="half a list"), {"gives": "unfinished"}),
}


def test_what_is_not_whole_is_not_given_again(server: UpstreamServer, lookup: Callable[..., Plan], tmp_path) -> None:
    """Nor is an answer kept in which something could not be read: the next lookup asks for another."""
    for number, (answer, _) in enumerate(NOT_KEPT.values()):
        server.answers[f"/{number}"] = [answer]
    for _ in range(2):
        running = []
        for number, (why, (_, options)) in enumerate(NOT_KEPT.items()):
            directory = tmp_path / why.replace(" ", "_")
            directory.mkdir(exist_ok=True)
            running.append(start(lookup(f"/{number}", "/sound", directory=str(directory), **options)))
        results = dict(zip(NOT_KEPT, map(result_of, running), strict=True))
    assert [why for why, result in results.items() if "results cached" in result.counters] == []
    assert [len(server.at(f"/{number}")) for number in range(len(NOT_KEPT))] == [2, 2, 2, 2]


def test_a_result_is_not_kept_longer_than_its_answers(server: UpstreamServer, lookup: Callable[..., Plan]) -> None:
    """One of two answers is good for a minute, the other for a day."""
    server.answers["/short"] = [web.Response(text="short", headers={"Cache-Control": "max-age=60"})]
    plan = lookup("/short", "/long")
    crawl(plan)
    with closing(sqlite3.connect(Path(plan.directory, "http_cache.sqlite"))) as db:
        kept = db.execute("SELECT family, expires_at - stored_at FROM kept ORDER BY expires_at").fetchall()
    assert sorted(family for family, _ in kept[:2]) == ["http_cache", "result_cache"]
    assert [round(keep_s / 60) for _, keep_s in kept] == [1, 1, 24 * 60]


def test_the_rest_of_an_interrupted_run_is_no_result(server: UpstreamServer, lookup: Callable[..., Plan]) -> None:
    """What was left to do gives but a part."""
    for _ in range(2):
        result = crawl(lookup("/a", is_new=False))
    assert result.counters == {"cached": 1}


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """The version of a source's schema with one model of these fields."""

    def version(**fields) -> str:
        module = ModuleType("a_source.schema")
        model: type[BaseModel] = create_model("Row", __module__="a_source.schema", **fields)
        setattr(module, "Row", model)  # noqa: B010  a module has no such attribute to a type checker
        monkeypatch.setitem(sys.modules, "a_source.schema", module)
        schema_version.cache_clear()
        return schema_version("a_source")

    yield version
    schema_version.cache_clear()


def test_a_changed_model_makes_old_results_unfindable(source: Callable[..., str], monkeypatch) -> None:
    """A field more, another type, and a new version of an item; the same model again is the same."""
    versions = [source(title=(str, ...)), source(title=(str | None, ...)), source(title=(str, ...), score=(float, 1.0))]
    monkeypatch.setattr(Anime, "schema_version", Anime.schema_version + 1)
    versions.append(source(title=(str, ...)))
    assert len(set(versions)) == 4
    assert source(title=(str, ...)) == versions[3]


def test_items_come_back_as_they_were() -> None:
    """Every kind, in order; what is no result is none."""
    items = [support.anime(titles=Titles(ru="Наруто\u2028\n")), support.release(), support.episode()]
    items += [support.character(), support.airing(), support.snapshot()]
    assert unpack_items(pack_items(items, 1.0)) == items
    for damaged in (b"", b"12345678", pack_items(items, 1.0)[:40], pack_items([support.absent()], 1.0)):
        with pytest.raises(BadEntry):
            unpack_items(damaged)
