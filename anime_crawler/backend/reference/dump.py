"""Everything stored, as JSON that two equal backends give byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, select

from anime_crawler.backend.reference.tables import anime, episode, video
from anime_crawler.backend.reference.writer import Writer

ANIME_PER_PAGE = 100
"""Some 6,000 players: a megabyte in memory, 50 ms in which no POST is stored."""

Values = dict[str, Any]
ToValues = Callable[[Row[Any]], Values]


async def dump(writer: Writer, with_slugs: bool) -> AsyncIterator[bytes]:
    """``{"anime": […], "episodes": […], "videos": […]}`` with a row per line: no row ids, times or administrator's
    switches. Anime by source id, episodes by anime and number, players by episode and URL.

    The tables are read in pages, between POSTs, so a dump taken during an import is not of one instant.
    """
    ids = await writer.run(_anime_ids)
    pages = [ids[start : start + ANIME_PER_PAGE] for start in range(0, len(ids), ANIME_PER_PAGE)]
    anime_line = anime_values if not with_slugs else _anime_with_slug
    parts = (("anime", _ANIME, anime_line), ("episodes", _EPISODES, _episode_line), ("videos", _VIDEOS, _video_line))
    for number, (name, statement, line) in enumerate(parts):
        yield b'%b"%b": [' % (b", " if number else b"{", name.encode())
        separator = b"\n"
        for page in pages:
            lines = await writer.run(partial(_lines, statement=statement, ids=page, line=line))
            if lines:
                yield separator + b",\n".join(lines)
                separator = b",\n"
        yield b"\n]"
    yield b"}\n"


def _anime_ids(connection: Connection) -> list[int]:
    """In the order of source ids as Python compares them: databases differ in how they sort text."""
    rows = connection.execute(select(anime.c.source_name, anime.c.source_id, anime.c.id))
    return [row_id for _, _, row_id in sorted(tuple(row) for row in rows)]


_ANIME = select(anime, anime.c.id.label("anime_id"))
_EPISODES = select(anime.c.source_name, anime.c.source_id, episode).join(episode)
_VIDEOS = (
    select(anime.c.source_name.label("anime_source_name"), episode.c.anime_id, episode.c.number)
    .add_columns(episode.c.source_episode_id, video)
    .select_from(anime)
    .join(episode)
    .join(video)
)


def _lines(connection: Connection, statement: Select[Any], ids: Sequence[int], line: ToValues) -> list[bytes]:
    place = {row_id: index for index, row_id in enumerate(ids)}
    rows = connection.execute(statement.where(anime.c.id.in_(ids)))
    return [orjson.dumps(line(row)) for row in sorted(rows, key=partial(_order, place=place))]


def _order(row: Row[Any], place: dict[int, int]) -> tuple[Any, ...]:
    names = ("number", "source_episode_id", "url", "source_name", "copy")
    return place[row.anime_id], *(getattr(row, name) for name in names if hasattr(row, name))


def anime_values(row: Row[Any]) -> Values:
    """The row as its payload."""
    names = ("source_name", "source_id", "title", "description", "year", "status", "poster")
    lists = {name: _list(getattr(row, name)) for name in ("alternative_titles", "genres")}
    return {name: getattr(row, name) for name in names} | lists


def _list(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def episode_values(row: Row[Any]) -> Values:
    """The row as the payload's list entry."""
    names = ("source_episode_id", "number", "title")
    return {name: getattr(row, name) for name in names} | {"is_available": bool(row.is_active)}


def video_values(row: Row[Any]) -> Values:
    """The row as the payload's player."""
    return {name: getattr(row, name) for name in ("url", "type", "source_name", "priority")}


def _anime_with_slug(row: Row[Any]) -> Values:
    return anime_values(row) | {"slug": row.slug}


def _episode_line(row: Row[Any]) -> Values:
    return {"source_name": row.source_name, "anime_source_id": row.source_id, **episode_values(row)}


def _video_line(row: Row[Any]) -> Values:
    names = ("anime_source_name", "source_episode_id")
    return {name: getattr(row, name) for name in names} | video_values(row)
