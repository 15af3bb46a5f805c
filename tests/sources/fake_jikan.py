"""A Jikan server over plain Python values; it may change between two requests, and lies where the real one does."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scrapy import Request
from scrapy.http import TextResponse

STATUS = {"complete": "Finished Airing", "airing": "Currently Airing", "upcoming": "Not yet aired"}
SORTS = {"end_date": lambda r: r["aired"]["to"], "start_date": lambda r: r["aired"]["from"]}


def title(number: int, status: str = "Finished Airing", day: str = "2019-01-05", **other: Any) -> dict[str, Any]:
    """A title that is one day long, and as well rated as its number is high."""
    return {
        "mal_id": number,
        "url": f"https://myanimelist.net/anime/{number}/x",
        "titles": [{"type": "Default", "title": f"Title {number}"}],
        "title": f"Title {number}",
        "title_english": None,
        "title_japanese": None,
        "type": "TV",
        "status": status,
        "aired": {"from": f"{day}T00:00:00+00:00", "to": f"{day}T00:00:00+00:00", "string": None},
        "score": number / 1000,
        "popularity": number,
        "rank": number,
        "scored_by": 5,
        **other,
    }


class FakeJikan:
    """Answers every request that the spider makes; `failing` has the answers to give instead, by path."""

    def __init__(self, count: int = 0) -> None:
        self.titles = {number: title(number) for number in range(1, count + 1)}
        self.now: list[int] = []
        self.episodes: dict[int, list[int]] = {}
        self.characters: dict[int, list[int]] = {}
        self.failing: dict[str, list[tuple[int, Any]]] = {}
        self.says_more: bool | None = None
        self.has_totals = True
        self.ignores_pages = False
        self.paths: list[str] = []

    def __call__(self, request: Request) -> TextResponse:
        json.dumps([request.cb_kwargs, request.meta])  # all of it must survive the process
        parts = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/v4")
        self.paths.append(f"{path}?{parts.query}" if parts.query else path)
        status, document = self.failing[path].pop(0) if self.failing.get(path) else self.answer(path, query)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Last-Modified": "Fri, 09 Dec 2022 06:40:25 GMT"} if path.startswith("/seasons") else {}
        return TextResponse(request.url, status=status, body=body, headers=headers)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        if parts[0] == "seasons":
            return self.page([self.titles[n] for n in self.season(parts[1:])], query)
        if parts == ["anime"]:
            return self.page(self.listed(query), query)
        number = int(parts[1])
        if number not in self.titles:
            return 404, {"status": 404, "type": "BadResponseException", "message": "Resource does not exist"}
        if parts[2] == "full":
            return 200, {"data": {**self.titles[number], "relations": [], "external": []}}
        return self.extra(number, parts[2], query)

    def season(self, words: list[str]) -> list[int]:
        upcoming = [n for n, t in self.titles.items() if t["status"] == STATUS["upcoming"]]
        return {"now": self.now, "upcoming": upcoming}.get(words[0], self.now)

    def listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        words = query.get("q", "").lower().replace(":", "")
        found = [t for t in self.titles.values() if words in t["title"].lower()]
        found = [t for t in found if t["status"] == STATUS.get(query.get("status", ""), t["status"])]
        found = [t for t in found if query.get("type", t["type"].lower()) == t["type"].lower()]
        by = query.get("order_by", "mal_id")
        found.sort(key=lambda t: (SORTS.get(by, lambda t: t[by])(t) or "", t["mal_id"]))
        return found[::-1] if query.get("sort") == "desc" else found

    def page(self, found: list[dict[str, Any]], query: dict[str, str]) -> tuple[int, Any]:
        limit, page = int(query["limit"]), 1 if self.ignores_pages else int(query["page"])
        if limit > 25:
            return 400, {"status": 400, "type": "ValidationException", "messages": {"limit": ["too high"]}}
        shown = found[(page - 1) * limit : page * limit]
        has_more = page * limit < len(found) if self.says_more is None else self.says_more
        items = {"items": {"count": len(shown), "total": len(found), "per_page": limit}} if self.has_totals else {}
        return 200, {"pagination": {"has_next_page": has_more, **items}, "data": shown}

    def extra(self, number: int, what: str, query: dict[str, str]) -> tuple[int, Any]:
        if what == "characters":
            rows = [{"character": {"mal_id": n, "name": f"C {n}"}, "role": "Main"} for n in self.characters[number]]
            return 200, {"data": rows}
        page = 1 if self.ignores_pages else int(query["page"])
        shown = self.episodes[number][(page - 1) * 100 : page * 100]
        rows = [{"mal_id": n, "title": f"E {n}", "aired": None, "filler": False, "recap": False} for n in shown]
        return 200, {"pagination": {"last_visible_page": 1, "has_next_page": True}, "data": rows}  # always
