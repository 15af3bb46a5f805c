"""The catalogue as flat rows for people and programs, the same bytes whenever and however it was filled.

No run numbers, no times of fetching, text in byte order: two catalogues of one upstream state export alike.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import orjson
from sqlalchemy import JSON, Connection, Select, Text, cast, collate, func, select

from anime_crawler.catalogue.tables import anime, episode, player, release
from anime_crawler.items import Anime, Release

Rows = Iterator[dict[str, Any]]

FETCH = 1_000
"""Rows in memory at a time."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a cell that begins so (OWASP, CSV injection)."""
NOT_CONTENT = ("schema_version", "fetched_at", "source_updated_at", "titles")
"""Bookkeeping, and what is spread over columns of its own. Of equal versions the catalogue keeps whichever time it met
first, so `source_updated_at` is no property of the upstream's state."""


def rows(conn: Connection, kind: str, *, with_adult: bool = True) -> Rows:
    """Flat rows of one kind, all with the columns of `COLUMNS`, in order of identity.

    Args:
        with_adult: False leaves out every anime that any source marks as adult, and all that belongs to it.

    Raises:
        KeyError: no such kind; `KINDS` has them.
    """
    found = KINDS[kind](conn)
    if with_adult:
        return found
    adult = _adult(conn)
    return (row for row in found if _anime_of(row) not in adult)


def _adult(conn: Connection) -> set[Any]:
    is_adult = cast(_field(conn, anime.c.data, "is_adult"), Text).in_(("true", "1"))  # PostgreSQL's word, SQLite's
    found = conn.execute(select(anime.c.title_id, anime.c.source, anime.c.source_id).where(is_adult))
    return {title_id or (source, source_id) for title_id, source, source_id in found}


def _anime_of(row: dict[str, Any]) -> Any:
    """The title a row belongs to; where nobody knows one, the anime at the source, which has its one release's id."""
    return row.get("title_id") or (row["source"], row.get("source_id") or row["release_id"])


def write_jsonl(found: Rows, _columns: Iterable[str], file: BinaryIO) -> int:
    """One JSON object a line, UTF-8; gives back how many."""
    count = 0
    for row in found:
        file.write(orjson.dumps(row) + b"\n")
        count += 1
    return count


def write_csv(found: Rows, columns: Iterable[str], file: BinaryIO) -> int:
    """A header and one line a row, UTF-8, CRLF (RFC 4180); lists and objects as JSON; gives back how many rows.

    Text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    count = 0
    for row in found:
        writer.writerow({name: _cell(value) for name, value in row.items()})
        count += 1
    text.detach()
    return count


WRITERS: Mapping[str, Callable[[Rows, Iterable[str], BinaryIO], int]] = {"jsonl": write_jsonl, "csv": write_csv}


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _stream(conn: Connection, statement: Select[Any]) -> Iterator[Any]:
    return iter(conn.execute(statement.execution_options(yield_per=FETCH)))


def _bytewise(conn: Connection, column: Any) -> Any:
    """Text in the order of its bytes: PostgreSQL's default order is the language's; null comes first."""
    return collate(func.coalesce(column, ""), "C" if conn.dialect.name == "postgresql" else "BINARY")


def _field(conn: Connection, column: Any, name: str) -> Any:
    """A text field of a JSON column."""
    return (column if conn.dialect.name == "sqlite" else cast(column, JSON)).op("->>")(name)


def _anime_rows(conn: Connection) -> Rows:
    order = (_bytewise(conn, c) for c in (anime.c.title_id, anime.c.source, anime.c.source_id))
    for title_id, data in _stream(conn, select(anime.c.title_id, anime.c.data).order_by(*order)):
        item = orjson.loads(data)
        titles = {f"title_{language}": name for language, name in item["titles"].items()}
        content = {name: value for name, value in item.items() if name not in NOT_CONTENT}
        row = {"title_id": title_id, **content, **titles}
        yield {name: row.get(name) for name in COLUMNS["anime"]}


def _episode_rows(conn: Connection) -> Rows:
    columns = [episode.c[name] for name in COLUMNS["episodes"]]
    order = (_bytewise(conn, episode.c.title_id), episode.c.number)
    for row in _stream(conn, select(*columns).order_by(*order)):
        yield dict(zip(COLUMNS["episodes"], row, strict=True))


def _player_rows(conn: Connection) -> Rows:
    statement = (
        select(
            release.c.title_id,
            player.c.number,
            player.c.season_number,
            player.c.source_number,
            player.c.title,
            release.c.source,
            release.c.source_id.label("release_id"),
            release.c.translation_id,
            release.c.translation_title,
            release.c.translation_kind,
            cast(_field(conn, release.c.data, "quality"), Text).label("quality"),
            player.c.url,
            (player.c.gone_at.is_not(None) | release.c.gone_at.is_not(None)).label("gone"),
        )
        .join_from(player, release)
        .order_by(
            _bytewise(conn, release.c.title_id),
            player.c.number,
            _bytewise(conn, release.c.source),
            _bytewise(conn, release.c.source_id),
        )
    )
    for row in _stream(conn, statement):
        yield {**dict(zip(COLUMNS["players"], row, strict=True)), "gone": bool(row.gone)}


def _unmatched_rows(conn: Connection) -> Rows:
    players = (
        select(func.count()).where(player.c.release_id == release.c.id, player.c.gone_at.is_(None)).scalar_subquery()
    )
    statement = (
        select(release.c.data, players, release.c.gone_at.is_not(None))
        .where(release.c.title_id.is_(None))
        .order_by(_bytewise(conn, release.c.source), _bytewise(conn, release.c.source_id))
    )
    for data, count, gone in _stream(conn, statement):
        row = {**orjson.loads(data), "players": count, "gone": bool(gone)}
        yield {name: row.get(name) for name in COLUMNS["unmatched"]}


KINDS: Mapping[str, Callable[[Connection], Rows]] = {
    "anime": _anime_rows,
    "episodes": _episode_rows,
    "players": _player_rows,
    "unmatched": _unmatched_rows,
}
TITLES = ("title_ru", "title_en", "title_romaji", "title_native")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "anime": (
        "title_id",
        "source",
        "source_id",
        *TITLES,
        *(name for name in Anime.model_fields if name not in ("source", "source_id", *NOT_CONTENT)),
    ),
    "episodes": ("title_id", "number", "season_number", "title"),
    "players": (
        "title_id",
        "number",
        "season_number",
        "source_number",
        "title",
        "source",
        "release_id",
        "translation_id",
        "translation_title",
        "translation_kind",
        "quality",
        "url",
        "gone",
    ),
    "unmatched": (
        *(name for name in Release.model_fields if name not in ("players", *NOT_CONTENT)),
        "players",
        "gone",
    ),
}
"""Columns of each kind, in order."""
