"""Everything stored, as sorted JSON lines that two equal backends give byte for byte."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from anime_crawler.backend.reference.tables import anime, episode, video
from anime_crawler.backend.reference.writer import Writer

ANIME_PER_PAGE = 100
"""Some 6,000 players: half a megabyte in memory, 50 ms in which no POST is stored."""


async def dump(writer: Writer, with_slugs: bool) -> AsyncIterator[bytes]:
    """JSON lines ``{"kind": "anime" | "episode" | "video", …}``: each anime by source id, below it its episodes by
    number, below each its players by URL. No row ids, no times, no administrator's switches.

    Pages of the tables are read between POSTs, so a dump taken during an import is not of one instant.
    """
    ids = await writer.run(_anime_ids)
    for start in range(0, len(ids), ANIME_PER_PAGE):
        yield await writer.run(partial(_page, ids=ids[start : start + ANIME_PER_PAGE], with_slugs=with_slugs))


def _anime_ids(connection: Connection) -> list[int]:
    """In the order of source ids as Python compares them: databases differ in how they sort text."""
    rows = connection.execute(select(anime.c.source_name, anime.c.source_id, anime.c.id)).tuples()
    return [row_id for _, _, row_id in sorted(rows)]


def _page(connection: Connection, ids: Sequence[int], with_slugs: bool) -> bytes:
    titles = {row.id: row for row in connection.execute(select(anime).where(anime.c.id.in_(ids)))}
    episodes = _grouped(connection, select(episode).where(episode.c.anime_id.in_(ids)), "anime_id")
    of_page = select(video).join(episode).where(episode.c.anime_id.in_(ids))
    videos = _grouped(connection, of_page, "episode_id")
    lines = (line for id_ in ids for line in _title_lines(titles[id_], episodes[id_], videos, with_slugs))
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


def _grouped(connection: Connection, statement: Any, column: str) -> defaultdict[int, list[Row[Any]]]:
    groups: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(statement):
        groups[getattr(row, column)].append(row)
    return groups


def _title_lines(
    title: Row[Any], episodes: list[Row[Any]], videos: dict[int, list[Row[Any]]], with_slugs: bool
) -> Iterator[dict[str, Any]]:
    yield {"kind": "anime", **({"slug": title.slug} if with_slugs else {}), **anime_values(title)}
    for row in sorted(episodes, key=lambda row: (row.number, row.source_episode_id)):
        yield {"kind": "episode", "source_name": title.source_name, "source_id": title.source_id, **episode_values(row)}
        for player in sorted(videos[row.id], key=lambda row: (row.url, row.source_name, row.copy)):
            yield {"kind": "video", "source_episode_id": row.source_episode_id, **video_values(player)}


def anime_values(row: Row[Any]) -> dict[str, Any]:
    """The row as its payload."""
    names = ("source_name", "source_id", "title", "description", "year", "status", "poster")
    lists = {name: _list(getattr(row, name)) for name in ("alternative_titles", "genres")}
    return {name: getattr(row, name) for name in names} | lists


def _list(text: str | None) -> list[str] | None:
    return None if text is None else orjson.loads(text)


def episode_values(row: Row[Any]) -> dict[str, Any]:
    """The row as the payload's list entry."""
    names = ("source_episode_id", "number", "title")
    return {name: getattr(row, name) for name in names} | {"is_available": row.is_active}


def video_values(row: Row[Any]) -> dict[str, Any]:
    """The row as the payload's player."""
    return {name: getattr(row, name) for name in ("url", "type", "source_name", "priority")}
