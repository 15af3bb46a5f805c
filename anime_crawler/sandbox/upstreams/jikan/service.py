"""Jikan v4: lists of titles that repeat and skip, seasons, single titles, and episodes that always promise more."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from zlib import crc32

import orjson

from anime_crawler.sandbox.server.wire import Call, Reply, json_reply
from anime_crawler.sandbox.upstreams.jikan import json as jikan_json
from anime_crawler.sandbox.upstreams.jikan.json import date_of, day_text, known, members_of, status_of
from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sandbox.world.invented import season_of
from anime_crawler.sandbox.world.shelf import LastList
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

PAGE_SIZE = 25
EPISODES_PAGE = 100
DAY_S = 86_400
REFUSED = "Invalid or incomplete request. Make sure your request is correct. https://docs.api.jikan.moe/"
STATUSES = {"complete": "Finished Airing", "airing": "Currently Airing", "upcoming": "Not yet aired"}
TYPES = ("tv", "movie", "ova", "special", "ona", "music", "cm", "pv", "tv_special")
RANKINGS = {"airing": "Currently Airing", "upcoming": "Not yet aired"}
FIXED = {"cache-control": "private, must-revalidate", "expires": "-1", "pragma": "no-cache", "x-cache-status": "MISS"}
"""Headers of searches and rankings."""
Rows = list[Title]


class RefusedError(Exception):
    """A parameter that is not allowed; the answer is 400."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class Jikan:
    """The service over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._seen = -1
        self._titles: dict[int, Title] = {}
        self._ranks: dict[int, int] = {}
        self._popularities: dict[int, int] = {}
        self._last: LastList[Title] = LastList(world)

    def answer(self, call: Call) -> Reply:
        """What the real service would say."""
        call.summary |= call.params
        if call.method != "GET":
            return error(405, "HttpException", "Method Not Allowed")
        self._look()
        try:
            return self._routed(call)
        except RefusedError as wrong:
            messages = {wrong.name: [str(wrong)]}
            body = {"status": 400, "type": "ValidationException", "messages": messages, "error": REFUSED}
            return json_reply(body, 400)

    def _look(self) -> None:
        """Take note of what has changed in the world: titles, and their ranks."""
        if self._seen == self.world.version:
            return
        self._seen = self.world.version
        self._titles = {int(number): title for number, title in known_at("jikan", self.world).items()}
        rated = sorted((t for t in self._titles.values() if t.score), key=lambda t: (-t.score, t.id))
        listed = sorted(self._titles.values(), key=lambda t: (-members_of(t), t.id))
        self._ranks = {title.id: place for place, title in enumerate(rated, 1)}
        self._popularities = {title.id: place for place, title in enumerate(listed, 1)}

    def _routed(self, call: Call) -> Reply:
        if call.path == "/anime":
            return self.search(call)
        if call.path == "/top/anime":
            return self.top(call)
        if found := re.fullmatch(r"/seasons/(now|upcoming|(\d{4})/(\w+))", call.path):
            return self.season(call, found[1], found[2], found[3])
        if found := re.fullmatch(r"/anime/(\d+)(?:/(full|episodes|characters))?", call.path):
            return self.one(call, int(found[1]), found[2])
        return error(404, "HttpException", "Not Found")

    def search(self, call: Call) -> Reply:
        """``/anime``. Unknown parameters are ignored without a word."""
        params = call.params
        order = allowed(params, "order_by", SORTS)
        is_descending = allowed(params, "sort", ("asc", "desc")) == "desc"
        status, kind = allowed(params, "status", STATUSES), allowed(params, "type", TYPES)
        words, number = params.get("q", "").lower(), page_number(params)
        by = order or ("relevance" if words else "mal_id")

        def make() -> Rows:
            rows = [title for title in self._titles.values() if words in all_names(title)]
            rows = [t for t in rows if status in (None, "") or status_of(t) == STATUSES[status]]
            rows = [t for t in rows if kind in (None, "", t.kind)]
            return self._sorted(rows, by, number, is_descending)

        # Numbers are all different: their order is the same on each page.
        wish = (by, is_descending, status, kind, words, None if by == "mal_id" else number)
        return self.page(call, self._last.rows(wish, make), FIXED)

    def top(self, call: Call) -> Reply:
        """``/top/anime``: by score, or by popularity where the filter says so."""
        kind, wanted = allowed(call.params, "type", TYPES), call.params.get("filter", "")
        rows = [t for t in self._titles.values() if kind in (None, "", t.kind)]
        rows = [t for t in rows if wanted not in RANKINGS or status_of(t) == RANKINGS[wanted]]
        order, is_descending = ("popularity", False) if wanted else ("score", True)
        return self.page(call, self._sorted(rows, order, page_number(call.params), is_descending), FIXED)

    def season(self, call: Call, which: str, year: str | None, name: str | None) -> Reply:
        """One season, by members; ``now`` has long runners only with ``continuing``."""
        if name and name not in ("winter", "spring", "summer", "fall"):
            return error(400, "BadRequestException", "Invalid season supplied")
        rows = list(self._titles.values())
        if which == "upcoming":
            rows = [title for title in rows if title.status == "anons"]
        else:
            wanted = f"{name}_{year}" if name else season_of(self.world.now)
            is_continuing = which == "now" and "continuing" in call.params
            rows = [t for t in rows if season_in(t) == wanted or (is_continuing and t.status == "ongoing")]
        rows = self._sorted(rows, "members", page_number(call.params), is_descending=True)
        return self.page(call, rows, self._lasting("seasons", call.path))

    def one(self, call: Call, number: int, part: str | None) -> Reply:
        """One title, with everything or without, its episodes, or its characters."""
        title = self._titles.get(number)
        if title is None:
            return error(
                404, "BadResponseException", "Resource does not exist", f"404 on {jikan_json.SITE}{call.path}/"
            )
        headers = self._lasting("anime", call.path)
        if part == "episodes":
            return fine(episodes_page(title, page_number(call.params)), headers)
        if part == "characters":
            return fine({"data": jikan_json.character_rows(title)}, headers)
        more = jikan_json.full_parts(title, self.world) if part == "full" else {}
        return fine({"data": self._object(title) | more}, headers)

    def page(self, call: Call, rows: Rows, headers: dict[str, str]) -> Reply:
        """A page of titles; ``limit`` above 25 is refused, and past the end there is nothing."""
        limit, number = int_of(call.params, "limit", PAGE_SIZE), page_number(call.params)
        if limit > PAGE_SIZE:
            raise RefusedError("limit", f"Value {limit} is higher than the configured '{PAGE_SIZE}' max value.")
        shown, last = rows[(number - 1) * limit : number * limit], max(1, -(-len(rows) // limit))
        pagination = {
            "last_visible_page": last,
            "has_next_page": number < last,
            "current_page": number,
            "items": {"count": len(shown), "total": len(rows), "per_page": limit},
        }
        return fine({"pagination": pagination, "data": [self._object(title) for title in shown]}, headers)

    def _sorted(self, rows: Rows, order: str, page: int, is_descending: bool) -> Rows:
        """By one value. Equal ones lie otherwise on each page: titles come twice, and others never."""

        def key(title: Title) -> tuple[Any, ...]:
            value = self._value(title, order)
            return value is not None, value or 0, crc32(f"{page}:{title.id}".encode())

        return sorted(rows, key=key, reverse=is_descending)

    def _value(self, title: Title, order: str) -> Any:
        if order in ("rank", "popularity"):
            return (self._ranks if order == "rank" else self._popularities).get(title.id)
        return SORTS[order](title)

    def _object(self, title: Title) -> dict[str, Any]:
        return jikan_json.title_object(title, self._ranks.get(title.id), self._popularities[title.id])

    def _lasting(self, kind: str, path: str) -> dict[str, str]:
        """Headers of what the server keeps for a day; it was read from MyAnimeList an hour ago."""
        read = self.world.now - 3600
        return {
            "cache-control": "public, s-maxage=86400",
            "last-modified": day_text(read),
            "expires": day_text(read + DAY_S),
            "x-cache-status": "HIT",
            "x-request-fingerprint": f"request:{kind}:{crc32(path.encode()):040x}",
        }


SORTS: dict[str, Callable[[Title], Any]] = {
    "mal_id": lambda t: t.mal_id,
    "title": lambda t: t.romaji,
    "start_date": lambda t: day_value(t, "aired_on"),
    "end_date": lambda t: day_value(t, "released_on"),
    "episodes": lambda t: t.episodes or None,
    "score": lambda t: t.score or None,
    "scored_by": lambda t: t.votes if t.score else None,
    "rank": lambda t: None,
    "popularity": lambda t: None,
    "members": members_of,
    "favorites": lambda t: t.votes // 40,
    "relevance": lambda t: None,
}
"""What ``order_by`` compares; ranks are the service's own, and a search finds all equally well."""


def day_value(title: Title, name: str) -> int | None:
    """The day, filled in, as a number."""
    day = known(getattr(title, name))
    return date_of(day).toordinal() if day else None


def all_names(title: Title) -> str:
    """What a search looks into."""
    return "\n".join(filter(None, [title.romaji, title.english, title.japanese, *title.synonyms])).lower()


def season_in(title: Title) -> str | None:
    """The season that it is listed in: of its kind's own, else of the month it began in."""
    day = known(title.aired_on)
    if title.season or not day or not day[1]:
        return title.season
    return f"{('winter', 'spring', 'summer', 'fall')[(day[1] - 1) // 3]}_{day[0]}"


def episodes_page(title: Title, number: int) -> dict[str, Any]:
    """100 of its episodes. It always says that there is one page, and that there is a next one."""
    rows = jikan_json.episode_rows(title)[(number - 1) * EPISODES_PAGE : number * EPISODES_PAGE]
    return {"pagination": {"last_visible_page": 1, "has_next_page": True}, "data": rows}


def fine(value: Any, headers: dict[str, str]) -> Reply:
    """An answer of its kind."""
    return Reply(200, orjson.dumps(value), headers=headers)


def error(status: int, kind: str, message: str, detail: str | None = None) -> Reply:
    """Its errors but for refused parameters."""
    return json_reply({"status": status, "type": kind, "message": message, "error": detail}, status)


def allowed(params: dict[str, str], name: str, words: Any) -> str | None:
    """The parameter's value; ``None``: not given.

    Raises:
        RefusedError: none of `words`.
    """
    value = params.get(name)
    if value and value not in words:
        raise RefusedError(name, f"The selected {name.replace('_', ' ')} is invalid.")
    return value


def page_number(params: dict[str, str]) -> int:
    """``page``, from 1."""
    return int_of(params, "page", 1)


def int_of(params: dict[str, str], name: str, default: int) -> int:
    """A positive number.

    Raises:
        RefusedError: it is none.
    """
    text = params.get(name, str(default))
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise RefusedError(name, f"The {name} must be at least 1.")
    return int(text)
