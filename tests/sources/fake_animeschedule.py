"""AnimeSchedule as a list of anime and timetables by week, with its way to fail."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scrapy import Request
from scrapy.http import TextResponse

BASE = "https://animeschedule.net/api/v3"
ZERO = "0001-01-01T00:00:00Z"
NOTHING = "Something went wrong"


def show(number: int, **other: Any) -> dict[str, Any]:
    """An anime; numbers sort as titles do."""
    return {"id": f"id{number}", "route": f"anime-{number:05}", "title": f"Anime {number:05}", **other}


def row(route: str, number: int, kind: str, at: str = "2026-11-18T15:00:00Z", **other: Any) -> dict[str, Any]:
    """An episode that has aired."""
    return {
        "title": route,
        "route": route,
        "status": "Ongoing",
        "airType": kind,
        "airingStatus": "aired",
        "episodeDate": at,
        "episodeNumber": number,
        "delayedFrom": ZERO,
        "delayedUntil": ZERO,
        **other,
    }


class FakeAnimeSchedule:
    """Answers by path and query; timetables are kept by (year, week, kind)."""

    def __init__(self, count: int = 0) -> None:
        self.shows = [show(number) for number in range(1, count + 1)]
        self.total: int | None = None
        self.timetables: dict[tuple[int, int, str], list[Any]] = {}
        self.answers: dict[str, tuple[int, str]] = {}
        """Beginning of a path with its query -> status and body instead of the right answer."""
        self.asked: list[str] = []

    def __call__(self, request: Request) -> TextResponse:
        json.dumps(request.cb_kwargs)  # the frontier writes them down
        assert "Authorization" not in request.headers
        assert request.url.startswith(BASE)
        path = request.url.removeprefix(BASE)
        self.asked.append(path)
        for beginning, (status, body) in self.answers.items():
            if path.startswith(beginning):
                return TextResponse(request.url, status=status, body=body.encode())
        status, document = self.answer(urlsplit(path).path, parse_qs(urlsplit(path).query))
        body = document if isinstance(document, str) else json.dumps(document)
        return TextResponse(request.url, status=status, body=body.encode())

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path == "/anime":
            return self.page(int(query["page"][0]), query)
        if path.startswith("/anime/"):
            found = [s for s in self.shows if s["route"] == path.removeprefix("/anime/")]
            return (200, found[0]) if found else (404, "Not Found")
        assert query["tz"] == ["UTC"]
        key = (int(query["year"][0]), int(query["week"][0]), path.rpartition("/")[2])
        return (200, self.timetables[key]) if key in self.timetables else (404, "Not Found")

    def page(self, number: int, query: dict[str, list[str]]) -> tuple[int, Any]:
        wanted = query.get("q", [""])[0].casefold()
        shows = [s for s in self.shows if wanted in json.dumps(s, ensure_ascii=False).casefold()]
        shown = shows[18 * (number - 1) : 18 * number]
        total = len(shows) if self.total is None else self.total
        return (200, {"page": number, "totalAmount": total, "anime": shown}) if shown else (500, NOTHING)
