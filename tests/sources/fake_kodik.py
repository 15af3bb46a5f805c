"""Kodik's list as a sorted dictionary that may change between any two requests."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode

from scrapy import Request
from scrapy.http import TextResponse

from tests.sources.driving import json_response

BASE = "https://kodik-api.com"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HASH = "0123456789abcdef0123456789abcdef"


def material(number: int, updated_at: str, **other: Any) -> dict[str, Any]:
    """A film of anime `number`."""
    return {
        "id": f"movie-{number}",
        "type": "anime",
        "link": f"//kodikplayer.com/video/{number}/{HASH}/720p",
        "title": f"Фильм {number}",
        "translation": {"id": 610, "title": "Прилив", "type": "voice"},
        "shikimori_id": str(number),
        "updated_at": updated_at,
        **other,
    }


class FakeKodik:
    """Answers list requests; `updates` says when each material last changed, in seconds since `BEGAN`."""

    def __init__(self, count: int, page_size: int = 3) -> None:
        self.clock = 0
        self.page_size = page_size
        self.updates: dict[int, int] = {}
        self.refuses_cursors = False
        self.next_host = BASE
        self.requests: list[dict[str, str]] = []
        for number in range(1, count + 1):
            self.touch(number)

    def touch(self, number: int) -> None:
        """The material changes now; nothing else has changed in this second."""
        self.clock += 1
        self.updates[number] = self.clock

    def stamp(self, number: int) -> str:
        return f"{BEGAN + timedelta(seconds=self.updates[number]):%Y-%m-%dT%H:%M:%SZ}"

    def __call__(self, request: Request) -> TextResponse:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.requests.append(form)
        if form.get("next") and self.refuses_cursors:
            return json_response({"error": "Неправильный курсор"}, 500)
        is_down = form["order"] == "desc"
        rows = sorted(((at, number) for number, at in self.updates.items()), reverse=is_down)
        if form.get("next"):
            after = tuple(json.loads(base64.b64decode(form["next"])))
            rows = [row for row in rows if (row < after if is_down else row > after)]
        shown = rows[: self.page_size]
        page: dict[str, Any] = {"time": "2ms", "total": len(self.updates), "prev_page": None, "next_page": None}
        if len(rows) > len(shown):
            cursor = base64.b64encode(json.dumps(shown[-1]).encode()).decode()
            page["next_page"] = f"{self.next_host}/list?{urlencode({'token': 'canary', **form, 'next': cursor})}"
        page["results"] = [material(number, self.stamp(number)) for _, number in shown]
        return json_response(page)
