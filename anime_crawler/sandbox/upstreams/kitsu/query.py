"""What a JSON:API address asks for: filters, fields, includes and pages, and the errors for what is none of these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from anime_crawler.sandbox.server.wire import Call

LARGEST_PAGE = 20
USUAL_PAGE = 10
Tree = dict[str, Any]
"""Relationship -> what of its resources is wanted in turn."""
NAMED = re.compile(r"(filter|fields|page)\[(\w+)\]")


class RefusedError(Exception):
    """What JSON:API calls an error: status, code, title and detail."""

    def __init__(self, code: str, title: str, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status
        self.document = {"errors": [{"title": title, "detail": detail, "code": code, "status": str(status)}]}


@dataclass(frozen=True)
class Page:
    """Some rows of a list, by offset or by number; without a word in the address the links count by number."""

    offset: int = 0
    limit: int = USUAL_PAGE
    by_number: bool = True

    def words(self, offset: int) -> dict[str, str]:
        """The parameters of the page that begins at another row."""
        if self.by_number:
            return {"page[number]": str(offset // self.limit + 1), "page[size]": str(self.limit)}
        return {"page[limit]": str(self.limit), "page[offset]": str(offset)}

    def links(self, call: Call, count: int) -> dict[str, str]:
        """first, prev, next and last; the last one begins `limit` before the end and overlaps its neighbour."""
        last = max(0, count - self.limit)
        offsets = {"first": 0, "last": (count - 1) // self.limit * self.limit if self.by_number and count else last}
        if self.offset:
            offsets["prev"] = max(0, self.offset - self.limit)
        if self.offset + self.limit < count:
            offsets["next"] = self.offset + self.limit
        others = {name: value for name, value in call.params.items() if not name.startswith("page[")}
        return {
            name: f"{call.base_url}{call.path}?{urlencode(sorted((others | self.words(offset)).items()))}"
            for name, offset in offsets.items()
        }


@dataclass
class Query:
    """The parameters of one address."""

    filters: dict[str, str] = field(default_factory=dict)
    fields: dict[str, frozenset[str]] = field(default_factory=dict)
    include: Tree = field(default_factory=dict)
    sort: str = ""
    page: Page = Page()


def query_of(call: Call) -> Query:
    """The query of a request.

    Raises:
        RefusedError: a parameter that JSON:API does not have, or a page that cannot be.
    """
    query, pages = Query(), {}
    for name, value in call.params.items():
        found = NAMED.fullmatch(name)
        if found and found[1] == "filter":
            query.filters[found[2]] = value
        elif found and found[1] == "fields":
            query.fields[found[2]] = frozenset(value.split(","))
        elif found:
            pages[found[2]] = value
        elif name == "include":
            query.include = _tree(value)
        elif name == "sort":
            query.sort = value
        else:
            raise RefusedError("105", "Param not allowed", f"{name} is not allowed.")
    query.page = _page(pages)
    return query


def _tree(text: str) -> Tree:
    tree: Tree = {}
    for path in filter(None, text.split(",")):
        branch = tree
        for name in path.split("."):
            branch = branch.setdefault(name, {})
    return tree


def _page(words: dict[str, str]) -> Page:
    if words.keys() - {"limit", "offset", "number", "size"}:
        raise RefusedError("117", "Invalid Page Object", "Invalid Page Object.")
    numbers = dict(_numbers(words))
    by_number = "limit" not in numbers and "offset" not in numbers
    limit = numbers.get("size" if by_number else "limit", USUAL_PAGE)
    if limit > LARGEST_PAGE:
        raise RefusedError("118", "Invalid page value", f"Limit exceeds maximum page size of {LARGEST_PAGE}.")
    return Page((numbers.get("number", 1) - 1) * limit if by_number else numbers.get("offset", 0), limit, by_number)


def _numbers(words: dict[str, str]) -> Iterator[tuple[str, int]]:
    for name, text in words.items():
        if not text.isdigit() or (name != "offset" and int(text) < 1):
            raise RefusedError("118", "Invalid page value", f"{text} is not a valid value for {name} page parameter.")
        yield name, int(text)
