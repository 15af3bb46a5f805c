"""A Kitsu that pages, filters, searches and leaves out as the real one does."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from scrapy import Request
from scrapy.http import TextResponse

from tests.sources.driving import json_response

BASE = "https://kitsu.app/api/edge"
LARGEST = 20


class FakeKitsu:
    """Anime by id, with their status. Requests are remembered as (path, query)."""

    def __init__(self, ids: Any, statuses: dict[int, str] | None = None) -> None:
        self.anime = dict.fromkeys(ids, "finished") | (statuses or {})
        self.episodes: dict[int, int] = {}
        self.hidden: set[int] = set()
        self.requests: list[tuple[str, dict[str, str]]] = []

    def __call__(self, request: Request) -> TextResponse:
        parts = urlsplit(request.url)
        path, query = parts.path.removeprefix("/api/edge"), dict(parse_qsl(parts.query))
        self.requests.append((path, query))
        size, offset = int(query["page[limit]"]), int(query["page[offset]"])
        if size > LARGEST:
            return error(400, "118", "Invalid page value")
        if path == "/anime":
            return json_response(self.page(self.listed(query), size, offset, path))
        _, _, anime_id, what = path.split("/")
        if int(anime_id) not in self.anime:
            return error(404, "404", "Record not found")
        rows = [episode(n) for n in range(1, self.episodes.get(int(anime_id), 0) + 1)]
        document = self.page(rows if what == "episodes" else [cast(int(anime_id))], size, offset, path)
        if what == "characters":
            document["included"] = [{"type": "characters", "id": anime_id, "attributes": {"canonicalName": "Aki"}}]
        return json_response(document)

    def listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """The rows that a query means, in its order."""
        found = sorted(self.anime.keys() - self.hidden)
        if "filter[id]" in query:
            found = [number for number in found if str(number) in query["filter[id]"].split(",")]
        if "filter[status]" in query:
            found = [number for number in found if self.anime[number] in query["filter[status]"].split(",")]
        if "filter[text]" not in query:
            assert query.get("sort") == "id" or "filter[id]" in query
        return [self.row(number) for number in found]

    def row(self, number: int) -> dict[str, Any]:
        """One title, called after its id."""
        names = {"en_jp": f"Toudai {number}", "en": None}
        attributes = {"canonicalTitle": f"Toudai {number}", "titles": names, "status": self.anime[number]}
        return {"id": str(number), "type": "anime", "attributes": attributes}

    def page(self, rows: list[dict[str, Any]], size: int, offset: int, path: str) -> dict[str, Any]:
        """A document; ``next`` is absent on the last page, ``last`` overlaps it."""
        links = {"first": f"{BASE}{path}?page%5Boffset%5D=0", "last": f"{BASE}{path}?offset={max(0, len(rows) - size)}"}
        if offset + size < len(rows):
            links["next"] = f"{BASE}{path}?page%5Boffset%5D={offset + size}"
        return {"data": rows[offset : offset + size], "meta": {"count": len(rows)}, "links": links}


def episode(number: int) -> dict[str, Any]:
    return {"id": str(number), "type": "episodes", "attributes": {"number": number, "seasonNumber": 1}}


def cast(character: int) -> dict[str, Any]:
    reference = {"type": "characters", "id": str(character)}
    relationships = {"character": {"data": reference}}
    return {"id": "1", "type": "mediaCharacters", "attributes": {"role": "main"}, "relationships": relationships}


def error(status: int, code: str, title: str) -> TextResponse:
    """JSON:API's error document."""
    return json_response({"errors": [{"title": title, "code": code, "status": str(status)}]}, status)
