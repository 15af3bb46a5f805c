"""Kodik's API: ``/list`` with its cursor, ``/search``, dictionaries, and errors that all say 500."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import orjson

from anime_crawler.sandbox.server.wire import Call, Reply, html_reply, json_reply
from anime_crawler.sandbox.upstreams.kodik.json import material_json
from anime_crawler.sandbox.world.works import Material
from anime_crawler.sandbox.world.world import Position, World

BAD_TOKEN = "Отсутствует или неверный токен"  # noqa: S105 - an error message
NO_CRITERION = "Не указан хотя бы один параметр для поиска"
BAD_TYPE = "Неправильный тип"

MOVIE_TYPES = {"foreign-movie", "soviet-cartoon", "foreign-cartoon", "russian-cartoon", "anime", "russian-movie"}
SERIAL_TYPES = {
    "cartoon-serial",
    "documentary-serial",
    "russian-serial",
    "foreign-serial",
    "anime-serial",
    "multi-part-film",
}
CRITERIA = ("title", "title_orig", "id", "player_link", "kinopoisk_id", "shikimori_id", "imdb_id", "worldart_link")

SORTS: dict[str, Callable[[Material], Any]] = {
    "updated_at": lambda m: m.updated_at * 1000,
    "created_at": lambda m: m.created_at * 1000,
    "year": lambda m: m.title.aired_on[0] or 2000,
    "shikimori_rating": lambda m: m.title.score,
    "kinopoisk_rating": lambda m: m.title.score,
    "imdb_rating": lambda m: m.title.score,
}
"""Milliseconds for times, because the cursor holds them so."""

Filter = Callable[[Material, str], bool]
FILTERS: dict[str, Filter] = {
    "types": lambda m, v: ("anime" if m.seasons is None else "anime-serial") in v.split(","),
    "year": lambda m, v: str(m.title.aired_on[0] or 2000) in v.split(","),
    "translation_id": lambda m, v: str(m.translation.id) in v.split(","),
    "block_translations": lambda m, v: str(m.translation.id) not in v.split(","),
    "translation_type": lambda m, v: m.translation.kind == v,
    "has_field": lambda m, v: any(_has(m, name) for name in v.split(",")),
    "has_field_and": lambda m, v: all(_has(m, name) for name in v.split(",")),
    "anime_status": lambda m, v: m.title.status in v.split(","),
    "anime_kind": lambda m, v: m.title.kind in v.split(","),
    "not_blocked_in": lambda m, v: not set(v.split(",")) & set(m.blocked_countries),
    "camrip": lambda m, v: (m.quality == "TS") == (v == "true"),
    "lgbt": lambda m, v: v == "false",
    "shikimori_id": lambda m, v: m.shikimori_id in v.split(","),
    "kinopoisk_id": lambda m, v: m.title.kinopoisk_id in v.split(","),
    "id": lambda m, v: m.id in v.split(","),
    "title": lambda m, v: v.lower() in f"{m.title.russian} {m.title.romaji} {m.title.english}".lower(),
    "title_orig": lambda m, v: v.lower() in m.title.romaji.lower(),
    "player_link": lambda m, v: v.rpartition("//")[2] == m.link.rpartition("//")[2],
}
"""Filters by parameter; every other parameter is ignored, as the real one ignores what it does not know."""


class Kodik:
    """The service over one world."""

    def __init__(self, world: World, token: str) -> None:
        self.world = world
        self.token = token
        self.walking: Callable[[], None] = lambda: None
        """Called before each list page: mutations while somebody walks."""

    def answer(self, call: Call) -> Reply:
        """What the real service would say."""
        call.summary |= {k: v for k, v in call.params.items() if k != "token"}
        handlers = {"/list": self.list_page, "/search": self.search} | dict.fromkeys(DICTIONARIES, self.dictionary)
        if call.path not in handlers:
            return html_reply(404, "404 Not Found")
        if call.method not in ("GET", "POST"):
            return html_reply(500, "500 Internal Server Error")
        if call.params.get("token") != self.token:
            return error(BAD_TOKEN)
        return handlers[call.path](call)

    def list_page(self, call: Call) -> Reply:
        """One page of ``/list``."""
        self.walking()
        params = call.params
        refusal = refused(params)
        if refusal:
            return refusal
        rows = self._rows(params)
        try:
            chosen, before, after = page_of(rows, params)
        except ValueError:
            return error("Неправильный курсор")
        return Reply(200, envelope(call, len(rows), chosen, before, after))

    def search(self, call: Call) -> Reply:
        """``/search``: no pages; ``total`` is the number of results."""
        params = call.params
        if not any(params.get(name) for name in CRITERIA):
            return error(NO_CRITERION)
        refusal = refused(params)
        if refusal:
            return refusal
        found = [m for _, m in self._rows(params)][: limit_of(params)]
        results = b",".join(material_json(m, *shown_parts(params)) for m in found)
        return Reply(200, b'{"time":"4ms","total":%d,"results":[%s]}' % (len(found), results))

    def dictionary(self, call: Call) -> Reply:
        """Counts by translation, genre, year, quality or country; ``total`` counts materials, not rows."""
        materials = [m for _, m in self._rows(call.params)] if not refused(call.params) else []
        return json_reply({"time": "5ms", "total": len(materials), "results": DICTIONARIES[call.path](materials)})

    def _rows(self, params: dict[str, str]) -> list[tuple[Position, Material]]:
        """Every material that passes the filters, ascending by the sort; the caller turns it round."""
        filters = [(name, value) for name, value in sorted(params.items()) if name in FILTERS]
        sort = params.get("sort", "updated_at")
        key = SORTS.get(sort, SORTS["updated_at"])
        return self.world.ordered((sort, *filters), key, lambda m: all(FILTERS[n](m, v) for n, v in filters))


def _has(material: Material, name: str) -> bool:
    if name == "shikimori_id":
        return material.has_id
    return name in ("kinopoisk_id", "worldart_link") and material.title.kinopoisk_id is not None


def error(text: str) -> Reply:
    """Kodik has one status for everything that is wrong."""
    return json_reply({"error": text}, 500)


def refused(params: dict[str, str]) -> Reply | None:
    """The error for wrong types or limit, if they are wrong."""
    types = params.get("types")
    if types is not None and not set(types.split(",")) <= MOVIE_TYPES | SERIAL_TYPES:
        return error(BAD_TYPE)
    try:
        return error("Неправильный лимит") if int(params.get("limit", "50")) < 1 else None
    except ValueError:
        return error("Неправильный лимит")


def limit_of(params: dict[str, str]) -> int:
    """Page size: 50 unless said, at most 100."""
    return min(int(params.get("limit", "50")), 100)


def shown_parts(params: dict[str, str]) -> tuple[str, bool]:
    """The form of seasons and whether material data is wanted."""
    for form in ("episodes_data", "episodes", "seasons"):
        if params.get(f"with_{form}") == "true":
            return form, params.get("with_material_data") == "true"
    return "", params.get("with_material_data") == "true"


def encode_cursor(position: Position) -> str:
    """Base64 of the JSON pair."""
    return base64.b64encode(orjson.dumps(position)).decode()


def decode_cursor(cursor: str) -> Position:
    """The pair again.

    Raises:
        ValueError: not a cursor of ours.
    """
    try:
        value, identity = orjson.loads(base64.b64decode(cursor, validate=True))
    except (binascii.Error, orjson.JSONDecodeError, TypeError) as wrong:
        raise ValueError(cursor) from wrong
    if not isinstance(value, int | float) or not isinstance(identity, str):
        raise ValueError(cursor)
    return value, identity


def page_of(
    rows: list[tuple[Position, Material]], params: dict[str, str]
) -> tuple[list[tuple[Position, Material]], str | None, str | None]:
    """The rows of one page, and the cursors before and after it.

    Search after a position, as the real one: rows that appear or move elsewhere do not shift the pages.
    """
    ascending = params.get("order", "desc") == "asc"
    size = limit_of(params)
    start, end = 0, len(rows)
    if "next" in params:
        position = decode_cursor(params["next"])
        if ascending:
            start = bisect_right(rows, position, key=lambda row: row[0])
        else:
            end = bisect_left(rows, position, key=lambda row: row[0])
    chosen = rows[start : start + size] if ascending else rows[max(start, end - size) : end][::-1]
    more = end - start > size
    before = encode_cursor(chosen[0][0]) if chosen and "next" in params else None
    return chosen, before, encode_cursor(chosen[-1][0]) if more else None


def envelope(
    call: Call, total: int, rows: list[tuple[Position, Material]], before: str | None, after: str | None
) -> bytes:
    """The page as JSON. The neighbours' addresses repeat the caller's parameters, the token among them."""
    results = b",".join(material_json(m, *shown_parts(call.params)) for _, m in rows)
    return b'{"time":"2ms","total":%d,"prev_page":%s,"next_page":%s,"results":[%s]}' % (
        total,
        page_url(call, "prev", before),
        page_url(call, "next", after),
        results,
    )


def page_url(call: Call, name: str, cursor: str | None) -> bytes:
    """JSON text of a neighbour page's address, or ``null``."""
    if cursor is None:
        return b"null"
    pairs = [(k, v) for k, v in call.pairs if k not in ("next", "prev")]
    return orjson.dumps(f"{call.base_url}/list?{urlencode([*pairs, (name, cursor)])}")


def _count(values: list[Any], name: str) -> list[dict[str, Any]]:
    return [{name: value, "count": count} for value, count in Counter(values).most_common()]


def _translations(materials: list[Material]) -> list[dict[str, Any]]:
    counts = Counter(m.translation for m in materials)
    return [{"id": team.id, "title": team.title, "count": count} for team, count in counts.most_common()]


DICTIONARIES: dict[str, Callable[[list[Material]], list[dict[str, Any]]]] = {
    "/translations/v2": _translations,
    "/genres": lambda ms: _count(["аниме" for _ in ms], "title"),
    "/years": lambda ms: _count([m.title.aired_on[0] or 2000 for m in ms], "year"),
    "/qualities/v2": lambda ms: _count([m.quality for m in ms], "title"),
    "/countries": lambda ms: _count(["Япония" for _ in ms], "title"),
}
