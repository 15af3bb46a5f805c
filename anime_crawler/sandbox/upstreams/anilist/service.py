"""AniList's GraphQL: pages that lie about their number, lists of 5,000 entries, 404 for all when one title is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from graphql import GraphQLError

from anime_crawler.sandbox.server.wire import Call, Reply, html_reply, json_reply
from anime_crawler.sandbox.upstreams.anilist.json import airings, begin_value, format_of, media_object, status_of
from anime_crawler.sandbox.upstreams.anilist.schema import MAX_COMPLEXITY, SCHEMA, complexity
from anime_crawler.sandbox.upstreams.graphql_query import Selected, Selection, parse_query, project
from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sandbox.world.shelf import LastList
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

MAX_PER_PAGE = 50
"""More is cut without a word."""
MAX_DEPTH = 5_000


class RefusedError(Exception):
    """The whole request is answered with an error."""

    def __init__(self, status: int, message: str, data: Any = None, places: Iterable[tuple[int, int]] = ()) -> None:
        super().__init__(message)
        self.status, self.data = status, data
        self.places = [{"line": line, "column": column} for line, column in places]

    def reply(self) -> Reply:
        """As AniList writes errors."""
        error = {"message": str(self), "status": self.status} | ({"locations": self.places} if self.places else {})
        return json_reply({"errors": [error], "data": self.data}, self.status)


class Anilist:
    """The service over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._seen = -1
        self._titles: dict[int, Title] = {}
        self._last: LastList[Callable[[], dict[str, Any]]] = LastList(world)

    def answer(self, call: Call) -> Reply:
        """What the real service would say."""
        if call.path not in ("", "/") or call.method != "POST":
            return html_reply(404, "Not Found")
        if self._seen != self.world.version:
            self._seen = self.world.version
            self._titles = {int(number): title for number, title in known_at("anilist", self.world).items()}
        try:
            return json_reply({"data": self._data(*request_of(call))})
        except GraphQLError as wrong:
            places = [(place.line, place.column) for place in wrong.locations or ()]
            return RefusedError(400, wrong.message, places=places).reply()
        except RefusedError as wrong:
            return wrong.reply()

    def _data(self, text: str, variables: dict[str, Any]) -> dict[str, Any]:
        selection = parse_query(text, SCHEMA).selection(variables)
        points = complexity(selection)
        if points > MAX_COMPLEXITY:
            raise RefusedError(400, f"Max query complexity should be {MAX_COMPLEXITY} but got {points}.")
        return {field.shown: project(field.below, self._root(field, selection)) for field in selection}

    def _root(self, field: Selected, selection: Selection) -> dict[str, Any]:
        return self._page(field) if field.name == "Page" else self._media(field, selection)

    def _media(self, field: Selected, selection: Selection) -> dict[str, Any]:
        """One title. One that is not there takes everything else of the request with it."""
        found = self._titles.get(field.arguments.get("id", 0))
        if found is None or field.arguments.get("type") == "MANGA":
            nothing = dict.fromkeys(other.shown for other in selection)
            raise RefusedError(404, "Not Found.", nothing, [(field.line, field.column)])
        return media_object(found, self.world)

    def _page(self, field: Selected) -> dict[str, Any]:
        """A page of one list. Only ``hasNextPage`` is true."""
        number = max(1, field.arguments.get("page") or 1)
        size = min(max(1, field.arguments.get("perPage") or MAX_PER_PAGE), MAX_PER_PAGE)
        if number * size > MAX_DEPTH:
            message = f"Page depth exceeds maximum allowed for API requests ({MAX_DEPTH} entries)"
            raise RefusedError(400, message, {field.shown: None}, [(field.line, field.column)])
        lists = [part for part in field.below or () if part.name != "pageInfo"]
        rows = self._rows(lists[0]) if lists else []
        info = {
            "total": MAX_DEPTH,
            "perPage": size,
            "currentPage": number,
            "lastPage": MAX_DEPTH // size,
            "hasNextPage": number * size < len(rows),
        }
        shown = [make() for make in rows[(number - 1) * size : number * size]]
        return {"pageInfo": info} | {part.name: shown for part in lists}

    def _rows(self, part: Selected) -> list[Callable[[], dict[str, Any]]]:
        return self._last.rows((part.name, part.arguments), lambda: LISTS[part.name](self, part.arguments))

    def listed(self, arguments: dict[str, Any]) -> list[Callable[[], dict[str, Any]]]:
        """The titles of ``media``; unknown ids are just not there."""
        given = {name: value for name, value in arguments.items() if value is not None}
        found = [title for title in self._candidates(given) if wanted(title, given)]
        for word in reversed(given.get("sort", ["ID"])):
            name = word.removesuffix("_DESC")
            found.sort(key=SORTS[name], reverse=word != name)
        if "search" in given:  # it is fuzzy; whatever has all of it comes first
            found.sort(key=lambda title: given["search"].lower() not in names_of(title))
        return [lambda title=title: media_object(title, self.world) for title in found]  # type: ignore[misc]

    def _candidates(self, given: dict[str, Any]) -> list[Title]:
        if "id_in" in given:
            return [self._titles[number] for number in dict.fromkeys(given["id_in"]) if number in self._titles]
        return [] if given.get("type") == "MANGA" else list(self._titles.values())

    def airings(self, arguments: dict[str, Any]) -> list[Callable[[], dict[str, Any]]]:
        """``airingSchedules``, by time; what is to come is complete, of the past there is nothing here."""
        low, high = arguments.get("airingAt_greater") or 0, arguments.get("airingAt_lesser") or 2**31
        rows = (row for title in self._titles.values() for row in airings(title, self.world.now))
        found = [row for row in rows if low < row["airingAt"] < high]
        found.sort(key=lambda row: (row["airingAt"], row["id"]))
        return [lambda row=row: row for row in found]  # type: ignore[misc]


LISTS: dict[str, Callable[[Anilist, dict[str, Any]], list[Callable[[], dict[str, Any]]]]] = {
    "media": Anilist.listed,
    "airingSchedules": Anilist.airings,
}
SORTS: dict[str, Callable[[Title], Any]] = {
    "ID": lambda t: t.id,
    "START_DATE": lambda t: -1 if (value := begin_value(t)) is None else value,
    "SCORE": lambda t: t.score,
    "POPULARITY": lambda t: t.votes,
    "UPDATED_AT": lambda t: t.updated_at,
    "SEARCH_MATCH": lambda t: -t.votes,
}
"""Nulls come first. The best match of a search is whatever is most popular."""


def request_of(call: Call) -> tuple[str, dict[str, Any]]:
    """The query and its variables.

    Raises:
        RefusedError: the body holds none.
    """
    try:
        request = orjson.loads(call.body)
        text, variables = request["query"], request.get("variables") or {}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise RefusedError(400, "No query or mutation provided.") from None
    if not isinstance(text, str) or not isinstance(variables, dict):
        raise RefusedError(400, "No query or mutation provided.")
    call.summary |= {"query": " ".join(text.split())[:60], **variables}
    return text, variables


def names_of(title: Title) -> str:
    """All that it is called, a name a line, in small letters."""
    return "\n".join(filter(None, [title.romaji, title.english, title.japanese, *title.synonyms])).lower()


def wanted(title: Title, given: dict[str, Any]) -> bool:
    """Whether the filters let the title through; a date that is null matches no filter of dates.

    A search finds whatever has its first word.
    """
    value = begin_value(title)
    if {"startDate_greater", "startDate_lesser"} & given.keys() and (
        value is None or not given.get("startDate_greater", -1) < value < given.get("startDate_lesser", 10**8)
    ):
        return False
    first = given.get("search", "").lower().split()[:1]
    lists = ((status_of(title, 2), "status_in"), (format_of(title), "format_in"))
    return all(word in names_of(title) for word in first) and all(
        name not in given or value in given[name] for value, name in lists
    )
