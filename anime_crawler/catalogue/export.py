"""The catalogue as flat rows for people and programs, the same bytes whenever and however it was filled.

No run numbers, no times of fetching, text in byte order: two catalogues of one upstream state export alike, but for the
time at which each found that something is gone.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, BinaryIO

import orjson
from sqlalchemy import JSON, Column, Connection, Select, Table, Text, case, cast, collate, func, null, select

from anime_crawler.catalogue.numbering import SeasonCount, base_season, number_of, numbered_episodes
from anime_crawler.catalogue.tables import (
    NO_SEASON,
    airing,
    anime,
    appearance,
    character,
    episode,
    episode_info,
    player,
    release,
    snapshot,
)
from anime_crawler.items import Airing, Anime, Episode, Item, Release, Snapshot

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
    names = ("anime_id", "source_id", "release_id")
    return row.get("title_id") or (row["source"], row[next(name for name in names if name in row)])


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
    columns = (anime.c.title_id, anime.c.gone_at, anime.c.data)
    for title_id, gone_at, data in _stream(conn, select(*columns).order_by(*order)):
        item = {**orjson.loads(data), "gone_at": gone_at}
        yield _row("anime", {"title_id": title_id, **item, **_by_language("title", item["titles"])})


def _episode_rows(conn: Connection) -> Rows:
    bases = _bases(conn)
    e = episode.c
    statement = select(e.title_id, e.season_number, e.source_number, e.title).order_by(_bytewise(conn, e.title_id))
    for title_id, group in groupby(_stream(conn, statement), key=itemgetter(0)):
        for known in numbered_episodes([row[1:] for row in group], bases.get(title_id, 0)):
            values = {**known._asdict(), "title_id": title_id, "season_number": known.season}
            yield _row("episodes", values)


def _bases(conn: Connection) -> dict[str, int]:
    """Title -> the season whose episodes keep their numbers."""
    is_live = player.c.gone_at.is_(None) & release.c.gone_at.is_(None)
    counts = (func.count(case((is_live, release.c.id)).distinct()), func.count(release.c.id.distinct()))
    statement = (
        select(release.c.title_id, player.c.season_number, *counts)
        .join_from(player, release)
        .where(release.c.title_id.is_not(None))
        .group_by(release.c.title_id, player.c.season_number)
        .order_by(release.c.title_id)
    )
    groups = groupby(conn.execute(statement), key=itemgetter(0))
    return {title_id: base_season(SeasonCount(*row[1:]) for row in group) for title_id, group in groups}


def _player_rows(conn: Connection) -> Rows:
    r, p = release.c, player.c
    statement = (
        select(
            r.title_id,
            p.season_number,
            p.source_number,
            p.title,
            r.source,
            r.source_id.label("release_id"),
            r.translation_id,
            r.translation_title,
            r.translation_kind,
            cast(_field(conn, r.data, "quality"), Text).label("quality"),
            p.url,
            (p.gone_at.is_not(None) | r.gone_at.is_not(None)).label("gone"),
        )
        .join_from(player, release)
        .order_by(*(_bytewise(conn, column) for column in (r.title_id, r.source, r.source_id)))
    )
    # An unmatched release is an anime of its own.
    of_anime = groupby(_stream(conn, statement), key=lambda row: row.title_id or (row.source, row.release_id))
    for _, group in of_anime:
        yield from sorted(_numbered(list(group)), key=lambda row: (row["number"], row["source"], row["release_id"]))


def _numbered(players: Sequence[Any]) -> Rows:
    """The players of one anime with their numbers."""
    releases: dict[int, tuple[set[Any], set[Any]]] = defaultdict(lambda: (set(), set()))
    for row in players:
        live, ever = releases[row.season_number]
        ever.add((row.source, row.release_id))
        if not row.gone:
            live.add((row.source, row.release_id))
    base = base_season(SeasonCount(season, len(live), len(ever)) for season, (live, ever) in releases.items())
    for row in players:
        season = None if row.season_number == NO_SEASON else row.season_number
        number = number_of(row.season_number, row.source_number, base)
        yield _row("players", {**row._mapping, "number": number, "season_number": season, "gone": bool(row.gone)})


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
        yield _row("unmatched", {**orjson.loads(data), "players": count, "gone": bool(gone)})


def _metadata_rows(conn: Connection, kind: str, table: Table, anime_id: Column[str]) -> Rows:
    """Rows of a table that keeps whole items about anime with this id, with the titles of these anime."""
    its_anime = (anime.c.source == table.c.source) & (anime.c.source_id == anime_id)
    gone_at = table.c.get("gone_at", null())
    statement = select(anime.c.title_id, gone_at, table.c.data).select_from(table.outerjoin(anime, its_anime))
    order = (_bytewise(conn, c) if isinstance(c.type, Text) else c for c in table.primary_key)
    for title_id, gone, data in _stream(conn, statement.order_by(*order)):
        item = {**orjson.loads(data), "gone_at": gone}
        yield _row(kind, {"title_id": title_id, **item, **_by_language("title", item.get("titles", {}))})


def _character_rows(conn: Connection) -> Rows:
    """One row for each anime that a character is in; one without an anime where the source told of it alone."""
    c, a = character.c, appearance.c
    its_own = (a.source == c.source) & (a.source_id == c.source_id)
    its_anime = (anime.c.source == a.source) & (anime.c.source_id == a.anime_id)
    statement = (
        select(anime.c.title_id, a.anime_id, a.gone_at, c.data, a.data)
        .select_from(character.join(appearance, its_own).outerjoin(anime, its_anime))
        .order_by(*(_bytewise(conn, column) for column in (c.source, c.source_id, a.anime_id)))
    )
    for title_id, anime_id, gone_at, data, role in _stream(conn, statement):
        item = {**orjson.loads(data), **orjson.loads(role), "anime_id": anime_id or None, "gone_at": gone_at}
        yield _row("characters", {"title_id": title_id, **item, **_by_language("name", item["names"])})


def _by_language(what: str, names: Mapping[str, str | None]) -> dict[str, str | None]:
    return {f"{what}_{language}": name for language, name in names.items()}


def _row(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) for name in COLUMNS[kind]}


KINDS: Mapping[str, Callable[[Connection], Rows]] = {
    "anime": _anime_rows,
    "episodes": _episode_rows,
    "players": _player_rows,
    "unmatched": _unmatched_rows,
    "episode_info": lambda conn: _metadata_rows(conn, "episode_info", episode_info, episode_info.c.anime_id),
    "characters": _character_rows,
    "airings": lambda conn: _metadata_rows(conn, "airings", airing, airing.c.anime_id),
    "snapshots": lambda conn: _metadata_rows(conn, "snapshots", snapshot, snapshot.c.source_id),
}


def _fields(item: type[Item], *elsewhere: str) -> list[str]:
    kept = (name for name, field in item.model_fields.items() if not field.exclude)
    return [name for name in kept if name not in (*elsewhere, *NOT_CONTENT)]


TITLES = ("title_ru", "title_en", "title_romaji", "title_native")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "anime": (
        "title_id",
        "source",
        "source_id",
        *TITLES,
        *_fields(Anime, "source", "source_id"),
        "gone_at",
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
        *_fields(Release, "players", "unread_players"),
        "players",
        "gone",
    ),
    "episode_info": ("title_id", *_fields(Episode), *TITLES, "gone_at"),
    "characters": (
        "title_id",
        "source",
        "source_id",
        *(name.replace("title", "name") for name in TITLES),
        "picture",
        "anime_id",
        "role",
        "voice_actors",
        "gone_at",
    ),
    "airings": ("title_id", *_fields(Airing)),
    "snapshots": ("title_id", *_fields(Snapshot)),
}
"""Columns of each kind, in order."""
