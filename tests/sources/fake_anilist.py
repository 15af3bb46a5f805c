"""AniList's lists over plain dictionaries: filters, sorts, the depth cap, 404 for a title that is gone."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from tests.sources.driving import json_response

DATES = st.one_of(
    st.none(),
    st.builds(
        lambda y, m, d: y * 10_000 + m * 100 + (d if m else 0),
        st.integers(1907, 2030),
        st.integers(0, 12),
        st.integers(0, 28),
    ),
)
"""Dates as AniList writes them, known in part or not at all."""
NULL_DATE = {"year": None, "month": None, "day": None}


def media(number: int, date: int | None = 2021_04_05, *, updated_at: int | None = 1, **other: Any) -> dict[str, Any]:
    """A title; parts of its date that are 0 are unknown."""
    parts = [date // 10_000, date // 100 % 100, date % 100] if date else [None] * 3
    return {
        "id": number,
        "title": {"romaji": f"Title {number}", "english": None, "native": None},
        "startDate": {name: part or None for name, part in zip(NULL_DATE, parts, strict=True)},
        "status": "FINISHED",
        "format": "TV",
        "updatedAt": updated_at,
        **other,
    }


def fuzzy(record: dict[str, Any]) -> int | None:
    """The date as AniList compares it."""
    date = record["startDate"]
    return date["year"] and date["year"] * 10_000 + (date["month"] or 0) * 100 + (date["day"] or 0)


class FakeAnilist:
    """Answers every query of ours; `cap` is how many entries a list can be deep."""

    def __init__(self, titles: list[dict[str, Any]], cap: int = 5000) -> None:
        self.titles = {title["id"]: title for title in titles}
        self.cap = cap
        self.airings: list[dict[str, Any]] = []
        self.characters: dict[int, int] = {}
        self.asked: list[dict[str, Any]] = []
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> TextResponse:
        body = json.loads(request.body)
        self.requests.append(request)
        self.asked.append(body["variables"])
        if "characters(" in body["query"]:
            return self._characters(**body["variables"])
        if "airingSchedules(" in body["query"]:
            low, high = body["variables"]["from"], body["variables"]["to"]
            found = [airing for airing in self.airings if low < airing["airingAt"] < high]
            return self._page("airingSchedules", found, **body["variables"])
        return self._page("media", self._listed(**body["variables"]), **body["variables"])

    def _page(self, field: str, found: list[dict[str, Any]], page: int, perPage: int = 50, **_: Any) -> TextResponse:  # noqa: N803
        if page * perPage > self.cap:
            message = "Page depth exceeds maximum allowed for API requests (5000 entries)"
            return json_response({"errors": [{"message": message, "status": 400}], "data": {"Page": None}}, 400)
        rows = found[(page - 1) * perPage : page * perPage]
        info = {"total": 5000, "lastPage": 250, "hasNextPage": len(found) > page * perPage}
        return json_response({"data": {"Page": {"pageInfo": info, field: rows}}})

    def _listed(self, sort: list[str], **filters: Any) -> list[dict[str, Any]]:
        found = [title for title in self.titles.values() if self._matches(title, filters)]
        found.sort(key=lambda title: title["id"])
        if sort[0] == "START_DATE":
            found.sort(key=lambda title: fuzzy(title) or 0)  # nulls first
        if sort[0] == "UPDATED_AT_DESC":
            found.sort(key=lambda title: -(title["updatedAt"] or 0))
        return found

    def _matches(self, title: dict[str, Any], filters: dict[str, Any]) -> bool:
        date = fuzzy(title)
        if "from" in filters or "to" in filters:
            assert filters.get("from", 1) > 0  # a literal 0 is refused
            if date is None or not filters.get("from", 0) < date < filters.get("to", 99999999):
                return False
        return (
            ("ids" not in filters or title["id"] in filters["ids"])
            and ("status" not in filters or title["status"] in filters["status"])
            and ("format" not in filters or title["format"] in filters["format"])
            and ("search" not in filters or filters["search"].split()[0] in json.dumps(title["title"]))
        )

    def _characters(self, id: int, page: int) -> TextResponse:
        if id not in self.titles:
            return json_response({"errors": [{"message": "Not Found.", "status": 404}], "data": {"Media": None}}, 404)
        count = self.characters.get(id, 0)
        numbers = range(1, count + 1)[(page - 1) * 25 : page * 25]
        edges = [{"role": "MAIN", "node": {"id": id * 1000 + n, "name": {"full": f"Who {n}"}}} for n in numbers]
        info = {"hasNextPage": page * 25 < count}
        return json_response({"data": {"Media": {"id": id, "characters": {"pageInfo": info, "edges": edges}}}})
