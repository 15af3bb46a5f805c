"""These functions read the GraphQL errors that stand beside the data of an answer."""

from __future__ import annotations

from typing import Any

Unresolved = dict[int, list[str]]
"""Place of a record in an answer -> what of it could not be resolved, and why: ``relations: Not Found.``"""
ANYWHERE = -1
"""Place of what an error says that has no path: it may be of any record of the answer."""


def error_text(error: Any) -> str:
    """The message of an error, at most 300 characters of it."""
    return str(error.get("message") if isinstance(error, dict) else error)[:300]


def unresolved(document: Any, at: tuple[str, ...], alone: str | None = None) -> Unresolved:
    """The messages of GraphQL's errors beside the data, by record. Errors of other places are left out.

    Args:
        at: names that lead to the list of records: ``("Page", "media")``.
        alone: name of a record that is asked for alone, whose place is 0.
    """
    found: Unresolved = {}
    for error in document.get("errors") or () if isinstance(document, dict) else ():
        path = error.get("path") if isinstance(error, dict) else None
        if not isinstance(path, list):
            found.setdefault(ANYWHERE, []).append(f"not resolved: {error_text(error)[:100]}")
            continue
        end = len(at)
        if path[:end] == list(at) and len(path) > end and type(path[end]) is int:
            place, rest = path[end], path[end + 1 :]
        elif alone is not None and path[:1] == [alone]:
            place, rest = 0, path[1:]
        else:
            continue
        words = ".".join("*" if isinstance(step, int) else str(step)[:40] for step in rest)
        found.setdefault(place, []).append(f"{words}: not resolved: {error_text(error)[:100]}")
    return found


def of_rows(places: Unresolved, records: list[Any], rows: list[Any]) -> Unresolved:
    """The same for `rows`, which are some of the answer's records in their order."""
    wrong = {id(record): places.get(place, []) for place, record in enumerate(records)}
    found = {place: wrong.get(id(row), []) for place, row in enumerate(rows)}
    return {**found, ANYWHERE: places.get(ANYWHERE, [])}


def said_of(places: Unresolved | None, place: int) -> list[str]:
    """The messages of errors that may be about this record."""
    return [*places.get(place, ()), *places.get(ANYWHERE, ())] if places else []
