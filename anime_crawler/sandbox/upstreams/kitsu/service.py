"""Kitsu's API: a JSON:API with pages of 20, filters, includes, and a search that finds something for everything."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from anime_crawler.sandbox.server.wire import Call, Reply, html_reply
from anime_crawler.sandbox.upstreams.kitsu import json as kitsu_json
from anime_crawler.sandbox.upstreams.kitsu.dates import dates_of, status_of
from anime_crawler.sandbox.upstreams.kitsu.json import SOURCE
from anime_crawler.sandbox.upstreams.kitsu.query import Page, Query, RefusedError, query_of
from anime_crawler.sandbox.upstreams.kitsu.resource import Renderer, Resource
from anime_crawler.sandbox.world.elsewhere import id_at, slug_of
from anime_crawler.sandbox.world.shelf import LastList, Shelf
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

CONTENT_TYPE = "application/vnd.api+json"
OF_ONE = {"episodes": kitsu_json.episodes, "characters": kitsu_json.characters}
"""Lists below ``/anime/{id}/``."""
SORTS: dict[str, Callable[[Title], Any]] = {
    "": lambda t: (t.updated_at, t.id),  # as the rows lie in the database
    "id": lambda t: t.id,
    "createdAt": lambda t: (t.created_at, t.id),
    "created_at": lambda t: (t.created_at, t.id),
    "startDate": lambda t: (t.aired_on[0] or 9999, t.aired_on[1] or 12, t.aired_on[2] or 31, t.id),
}
FILTERS: dict[str, Callable[[Title, set[str], int], bool]] = {
    "id": lambda t, wanted, _: id_at(SOURCE, t) in wanted,
    "slug": lambda t, wanted, _: slug_of(t.romaji) in wanted,
    "subtype": lambda t, wanted, _: kitsu_json.subtype_of(t) in wanted,
    "status": lambda t, wanted, now: status_of(dates_of(t, now), datetime.fromtimestamp(now, UTC).date()) in wanted,
    "since": lambda t, wanted, now: max(wanted) <= kitsu_json.touched_at(now),  # all rows were touched today
    "text": lambda t, wanted, _: True,  # search leaves nothing out, see `by_likeness`
}
"""What the database knows, and ``text``: of the search engine's, the one that a crawler has a use for."""


class Kitsu:
    """The service over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shelf = Shelf(SOURCE, world)
        self._last: LastList[Title] = LastList(world)

    def answer(self, call: Call) -> Reply:
        """What the real service would say."""
        call.summary |= call.params
        try:
            document = self._document(call, query_of(call)) if call.method == "GET" else None
        except RefusedError as refused:
            return Reply(refused.status, orjson.dumps(refused.document), CONTENT_TYPE)
        return Reply(200, orjson.dumps(document), CONTENT_TYPE) if document else html_reply(404, "Not Found")

    def _document(self, call: Call, query: Query) -> dict[str, Any] | None:
        """``None``: there is no such path."""
        if call.path == "/anime":
            titles = self._titles(query)
            shown = titles[first_row(query) :][: query.page.limit]
            return document_of(call, query, [kitsu_json.anime(t, self.world) for t in shown], len(titles))
        found = re.fullmatch(r"/anime/(\w+)(?:/(episodes|characters))?", call.path)
        if found is None:
            return None
        title = self.shelf.titles.get(found[1])
        if title is None:
            detail = f"The record identified by {found[1]} could not be found."
            raise RefusedError("404", "Record not found", detail, status=404)
        if not found[2]:
            return document_of(call, query, kitsu_json.anime(title, self.world), 1)
        rows = OF_ONE[found[2]](title)
        return document_of(call, query, rows[query.page.offset :][: query.page.limit], len(rows))

    def _titles(self, query: Query) -> list[Title]:
        """Every title that passes the filters, in order."""
        return self._last.rows((query.sort, query.filters), lambda: self._ordered(query))

    def _ordered(self, query: Query) -> list[Title]:
        found = list(self.shelf.titles.values())
        for name, value in query.filters.items():
            if name not in FILTERS:
                raise RefusedError("102", "Filter not allowed", f"{name} is not allowed.")
            wanted = set(value.split(","))
            found = [t for t in found if FILTERS[name](t, wanted, self.world.now)]
        if "text" in query.filters:
            return by_likeness(found, query.filters["text"])
        order = SORTS.get(query.sort.removeprefix("-"))
        if order is None:
            detail = f"{query.sort.removeprefix('-')} is not a valid sort criteria for anime"
            raise RefusedError("114", "Invalid sort criteria", detail)
        return sorted(found, key=order, reverse=query.sort.startswith("-"))


def by_likeness(titles: list[Title], text: str) -> list[Title]:
    """Hits with the most words of the text first, then those with few others; there is always something."""
    words = set(slug_of(text).split("-"))

    def unlikeness(title: Title) -> tuple[int, int, int]:
        names = set(slug_of(f"{title.romaji} {title.english}").split("-"))
        return -len(words & names), len(names - words), -title.votes

    return sorted(titles, key=unlikeness)


def first_row(query: Query) -> int:
    """Where the page begins. The search engine counts pages from 1, so that its first two are the same."""
    page: Page = query.page
    return max(0, page.offset // page.limit - 1) * page.limit if "text" in query.filters else page.offset


def document_of(call: Call, query: Query, rows: list[Resource] | Resource, count: int) -> dict[str, Any]:
    """The envelope: one row or a list with its neighbours; ``included`` is missing where there is nothing in it."""
    renderer = Renderer(query, call.base_url)
    if isinstance(rows, Resource):
        document: dict[str, Any] = {"data": renderer.row(rows, query.include)}
    else:
        data = [renderer.row(row, query.include) for row in rows]
        document = {"data": data, "meta": {"count": count}, "links": query.page.links(call, count)}
    return document | ({"included": list(renderer.included.values())} if renderer.included else {})
