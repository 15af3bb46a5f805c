"""Parsers share these functions: they say what is wrong with a record, set it aside, and notice drift."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Literal, TypeVar

import orjson
from pydantic import ValidationError

from anime_crawler.base_spiders.errors import RecordError
from anime_crawler.items import AiringStatus, Rejected, without_tokens

Given = TypeVar("Given")
Value = TypeVar("Value")
Drift = Counter[tuple[str, Literal["unknown", "vanished"]]]
"""(path, change) -> how often: fields that no schema knows, and usual ones that a whole page lacks."""

BASE64 = "base64:"
"""This prefix stands before the bytes of a body that is no text in UTF-8."""
WHOLE_PAGE = 20
"""Records from which on a missing field is no accident of the selection."""
_problems: ContextVar[list[str] | None] = ContextVar("problems", default=None)
NAMES = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}


def explain(error: ValidationError | RecordError) -> str:
    """Path and rule of the first fault in a record, without the value."""
    if isinstance(error, RecordError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def shape_of(value: Any) -> str:
    """The kind of a JSON value, in words."""
    return NAMES.get(type(value), "a number")


@contextmanager
def reading() -> Iterator[list[str]]:
    """Collects what `note` is told while one record is read, for `Item.noting`.

    A field that cannot be understood costs itself, not the record: it counts as unknown, and the run counts it as
    drift. Only what a record cannot be without, its identity and its title, sets it aside.
    """
    problems: list[str] = []
    token = _problems.set(problems)
    try:
        yield problems
    finally:
        _problems.reset(token)


def note(problem: str) -> None:
    """Note that a field of the record that is being read is unknown, because it could not be understood.

    Args:
        problem: path in the upstream's words and what is wrong: ``startDate: no such date``.
    """
    problems = _problems.get()
    if problems is not None:
        problems.append(problem[:200])


def word_of(table: Mapping[str, Value], value: str, path: str) -> Value:
    """Our word for the upstream's, where the record cannot be without it.

    Raises:
        RecordError: a word without a mapping; it is never folded into a default.
    """
    try:
        return table[value]
    except KeyError:
        raise RecordError(f"{path}: unknown value {value[:40]!r}") from None


def mapped(table: Mapping[str, Value], value: str | None, path: str) -> Value | None:
    """Our word for the upstream's; ``None`` for none, and for a word without a mapping, which is noted."""
    if value is None:
        return None
    return attempted(lambda: word_of(table, value, path))


def attempted(read: Callable[[], Value]) -> Value | None:
    """The result of `read`; ``None`` where it raises a RecordError, whose message is noted."""
    try:
        return read()
    except RecordError as error:
        note(str(error))
        return None


def checked(read: Callable[[Given], Value], value: Given, problem: str) -> Value | None:
    """The result of `read` for a value; ``None`` where `read` raises a ValueError, which is noted.

    Args:
        problem: as in `note`: ``score: not a number``.
    """
    try:
        return read(value)
    except (ValueError, OverflowError):
        note(problem)
        return None


def episodes_aired(total: int | None, status: AiringStatus | None, told: int | None = None) -> int | None:
    """How many have aired, by the one rule for all sources.

    Of a released title all have: as many as are planned, or as the source counts where that is more, because then the
    plan is out of date. Of an announced one none, unless the source counts some. Of any other what the source counts.

    Args:
        total: planned; ``None`` or 0: unknown.
        told: what the source counts; ``None``: it does not.
    """
    if status is AiringStatus.RELEASED:
        return max(total or 0, told or 0) or None
    if status is AiringStatus.ANNOUNCED:
        return told or 0
    return told


def set_aside(
    source: str,
    kind: str,
    record: Any,
    reason: str,
    fetched_at: datetime,
    *,
    source_id: str | None,
    request: dict[str, Any] | None = None,
) -> Rejected:
    """The dead letter of one record.

    Args:
        kind: what it should have become.
        request: how to ask for it again; no token.
    """
    return Rejected(
        source=source,
        kind=kind,
        source_id=source_id or None,
        reason=reason,
        raw=without_tokens(json_text(record)),
        request=request or {},
        fetched_at=fetched_at,
    )


def json_text(record: Any) -> str:
    """JSON of a record, whatever is in it: halves of characters are written as escapes, times as text."""
    try:
        return orjson.dumps(record, default=str).decode()
    except TypeError:  # orjson's error: half a character, or more than 254 levels
        return json.dumps(record, default=str)


def raw_text(body: bytes) -> str:
    """A body as a dead letter keeps it; `raw_body` gives it back."""
    try:
        return without_tokens(body.decode())
    except UnicodeDecodeError:
        return BASE64 + base64.b64encode(without_tokens(body.decode("latin-1")).encode("latin-1")).decode()


def raw_body(text: str) -> bytes:
    """The body that `raw_text` kept."""
    return base64.b64decode(text.removeprefix(BASE64)) if text.startswith(BASE64) else text.encode()


def count_unknown(counts: Drift, records: Iterable[Any], prefix: str, known: frozenset[str]) -> None:
    """Count the fields of `records` that are not `known`; what is no object is the parser's business."""
    for record in records:
        if isinstance(record, dict) and not record.keys() <= known:
            counts.update((prefix + name, "unknown") for name in record.keys() - known)


def count_vanished(counts: Drift, records: list[dict[str, Any]], prefix: str, usual: Iterable[str]) -> None:
    """Count the `usual` fields that none of the records has, where there are enough of them to tell."""
    if len(records) >= WHOLE_PAGE:
        for name in set(usual).difference(*records):
            counts[prefix + name, "vanished"] += len(records)
