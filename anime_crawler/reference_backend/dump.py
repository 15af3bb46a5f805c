"""`dump` gives all stored rows as JSON. Two backends with equal rows give the same bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Column, ColumnElement, Connection, FromClause, select

from anime_crawler.reference_backend.schemas import AnimeImport
from anime_crawler.reference_backend.tables import anime, episode, video
from anime_crawler.reference_backend.writer import Writer

ANIME_PER_PAGE = 100
"""Anime per read. A page has some 6,000 players, which are a megabyte of JSON and stop POSTs for less than 0.1 s."""

ANIME_VALUES: dict[str, Column[Any]] = {name: anime.c[name] for name in AnimeImport.model_fields}
"""Name of a field in the payload -> its column."""
EPISODE_VALUES: dict[str, Column[Any]] = {
    "source_episode_id": episode.c.source_episode_id,
    "number": episode.c.number,
    "title": episode.c.title,
    "is_available": episode.c.is_active,
}
VIDEO_VALUES: dict[str, Column[Any]] = {name: video.c[name] for name in ("url", "type", "source_name", "priority")}
JSON_TEXT = ("alternative_titles", "genres")


@dataclass(frozen=True)
class _Part:
    """A `_Part` describes one of the three lists of a dump."""

    name: str
    tables: FromClause
    order: Sequence[ColumnElement[Any]]
    """Columns that order the rows of one anime. Python sorts them, because databases differ in how they sort text."""
    values: dict[str, Column[Any]]


_EPISODE_ORDER = (episode.c.number, episode.c.source_episode_id)
_VIDEO_ORDER = (*_EPISODE_ORDER, video.c.url, video.c.source_name, video.c.copy)


def _parts(with_slugs: bool) -> list[_Part]:
    of_anime = {"source_name": anime.c.source_name, "anime_source_id": anime.c.source_id}
    of_episode = {"anime_source_name": anime.c.source_name, "source_episode_id": episode.c.source_episode_id}
    slug = {"slug": anime.c.slug} if with_slugs else {}
    episodes = anime.join(episode)
    return [
        _Part("anime", anime, (), ANIME_VALUES | slug),
        _Part("episodes", episodes, _EPISODE_ORDER, of_anime | EPISODE_VALUES),
        _Part("videos", episodes.join(video), _VIDEO_ORDER, of_episode | VIDEO_VALUES),
    ]


async def dump(writer: Writer, with_slugs: bool) -> AsyncIterator[bytes]:
    """``{"anime": […], "episodes": […], "videos": […]}`` with one row per line.

    Anime are in the order of source ids, episodes of anime and number, players of episode and URL. Row ids, times and
    an administrator's switches are left out.

    The tables are read page by page between POSTs, so a dump that is taken during an import does not show one instant.
    """
    ids = await writer.run(_anime_ids)
    pages = [ids[start : start + ANIME_PER_PAGE] for start in range(0, len(ids), ANIME_PER_PAGE)]
    opening = b"{"
    for part in _parts(with_slugs):
        yield b'%b"%b": [' % (opening, part.name.encode())
        separator = b"\n"
        for page in pages:
            if lines := await writer.run(partial(_lines, part=part, ids=page)):
                yield separator + b",\n".join(lines)
                separator = b",\n"
        yield b"\n]"
        opening = b", "
    yield b"}\n"


def _anime_ids(connection: Connection) -> list[int]:
    rows = connection.execute(select(anime.c.source_name, anime.c.source_id, anime.c.id))
    return [row_id for _, _, row_id in sorted(tuple(row) for row in rows)]


def _lines(connection: Connection, part: _Part, ids: Sequence[int]) -> list[bytes]:
    place = {row_id: index for index, row_id in enumerate(ids)}
    width = 1 + len(part.order)
    columns = (anime.c.id, *part.order, *part.values.values())
    statement = select(*(column.label(f"c{n}") for n, column in enumerate(columns)))
    rows = connection.execute(statement.select_from(part.tables).where(anime.c.id.in_(ids)))
    ordered = sorted((place[row[0]], *row[1:]) for row in rows)
    return [_line(part, row[width:]) for row in ordered]


def _line(part: _Part, row: Sequence[Any]) -> bytes:
    values = dict(zip(part.values, row, strict=True))
    for name in JSON_TEXT:
        if values.get(name) is not None:
            values[name] = orjson.Fragment(values[name])
    return orjson.dumps(values)
