"""The outbox gives the importer titles that wait and their state, and stores its intents and receipts.

There is no queue: "to deliver" is the difference between what the catalogue holds and the delivered_* tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Select, Table, bindparam, case, delete, func, or_, select, text, update

from anime_crawler.catalogue import title_leases
from anime_crawler.catalogue.numbering import KnownEpisode, SeasonCount, base_season, number_of, numbered_episodes
from anime_crawler.catalogue.sql import Upsert, as_json, fetch, packed, packed_ids, rows_of, upsert_rows
from anime_crawler.catalogue.tables import (
    anime,
    dead_letter,
    delivered_anime,
    delivered_episode,
    delivered_player,
    episode,
    player,
    release,
    title,
)


class LivePlayer(NamedTuple):
    """A link that some release lists now, with what is known of its translation."""

    number: int
    """Within the title."""
    url: str
    translation_id: str
    translation_title: str
    translation_kind: str
    release_id: str = ""
    """The release's own id at its source."""
    covered: int = 1
    """Episodes that the release had when the title's teams were last ranked."""


class SentPlayer(NamedTuple):
    """One row of delivered_player: a link the backend holds, or may hold while `state` is ``sending``."""

    title_id: str
    number: int
    url: str
    priority: int
    state: str
    sent_at: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class TitleState:
    """Everything that decides what a title's next posts are; one consistent view."""

    title_id: str
    version: int
    anime: Mapping[str, Sequence[dict[str, Any]]]
    """Content of the anime items by source."""
    episodes: Sequence[KnownEpisode]
    """By number; none twice."""
    players: Sequence[LivePlayer]
    """By number; the same link may come from several releases."""
    delivered_anime: str | None
    """Checksum of the accepted payload."""
    delivered_episodes: Mapping[int, str]
    """Number -> checksum of the accepted entry."""
    delivered_players: Mapping[tuple[int, str], SentPlayer]
    """By (number, url)."""
    dead: Mapping[tuple[str, str], str]
    """(kind, key) -> payload checksum of open dead letters of delivery."""
    base: int = 0
    """The season whose episodes keep their numbers."""


_PENDING = title.c.version > title.c.delivered_version


def titles_to_deliver(conn: Connection, limit: int, after_seq: int = 0, *, ready_only: bool) -> list[tuple[str, int]]:
    """(title id, seq) of titles with something to deliver, in the order of their first sight;
    without those that another importer is at work on.

    Args:
        ready_only: end before the first title that still waits for the identity source's answer. The backend makes
            addresses in the order of arrival, so no title may overtake another, whenever the process was killed.
    """
    query = select(title).where(_PENDING, title.c.seq > after_seq).order_by(title.c.seq).limit(limit)
    if title_leases.are_shared(conn):
        query = query.where(text(f"title_id NOT IN ({title_leases.OTHERS})"))
    found = []
    for row in conn.execute(query):
        if ready_only and (row.metadata_in is None or row.changed_in > row.metadata_in):
            break
        found.append((row.title_id, row.seq))
    return found


def count_pending(conn: Connection) -> int:
    """How many titles have something to deliver."""
    return conn.scalar(select(func.count()).select_from(title).where(_PENDING)) or 0


def pending_titles(conn: Connection) -> set[str]:
    """Ids of the titles that have something to deliver."""
    return set(conn.scalars(select(title.c.title_id).where(_PENDING)))


def count_in_doubt(conn: Connection) -> int:
    """How many players were sent, and nobody knows with what result."""
    is_in_doubt = delivered_player.c.state == "sending"
    return conn.scalar(select(func.count()).select_from(delivered_player).where(is_in_doubt)) or 0


def newest_delivered_player(conn: Connection) -> SentPlayer | None:
    """The player that was delivered last; ``None``: there is none."""
    c = delivered_player.c
    row = conn.execute(select(delivered_player).where(c.state == "done").order_by(c.sent_at.desc()).limit(1)).first()
    return SentPlayer(*row) if row else None


def newest_delivered_title(conn: Connection) -> TitleState | None:
    """The title, of those with nothing to deliver, of which an episode was delivered last; ``None``: there is none."""
    c = delivered_episode.c
    query = select(c.title_id).join(title, title.c.title_id == c.title_id).where(~_PENDING)
    title_id = conn.scalar(query.order_by(c.delivered_at.desc(), c.title_id).limit(1))
    return load_titles(conn, [title_id])[0] if title_id is not None else None


def load_titles(conn: Connection, title_ids: Sequence[str]) -> list[TitleState]:
    """The state of these titles, in this order; ids that are no titles are left out.

    A few statements for all of them: each statement makes the writer thread wait for its turn at the interpreter.
    """
    ids = packed_ids(title_ids)
    versions: dict[str, int] = dict(fetch(conn, _versions(conn.dialect.name), ids=ids))
    parts = {name: _grouped(fetch(conn, statement, ids=ids)) for name, statement in _parts(conn.dialect.name).items()}
    return [
        _state(title_id, versions[title_id], {name: rows.get(title_id, []) for name, rows in parts.items()})
        for title_id in title_ids
        if title_id in versions
    ]


def _state(title_id: str, version: int, rows: Mapping[str, list[list[Any]]]) -> TitleState:
    records: dict[str, list[dict[str, Any]]] = {}
    for source, _, data in sorted(rows["anime"]):
        records.setdefault(source, []).append(orjson.loads(data))
    base = base_season(SeasonCount(*row) for row in rows["seasons"])
    sent = [SentPlayer(title_id, *row) for row in sorted(rows["sent_players"])]
    return TitleState(
        title_id=title_id,
        version=version,
        anime=records,
        episodes=numbered_episodes(rows["episodes"], base),
        players=sorted(
            LivePlayer(number_of(season, number, base), *row) for season, number, *row in sorted(rows["players"])
        ),
        delivered_anime=next((checksum for (checksum,) in rows["sent_anime"]), None),
        delivered_episodes=dict(rows["sent_episodes"]),
        delivered_players={(player.number, player.url): player for player in sent},
        dead={(kind, key): checksum for kind, key, checksum in rows["dead"]},
        base=base,
    )


def _grouped(rows: Iterable[list[Any]]) -> dict[str, list[list[Any]]]:
    """The rows by their first column, without it."""
    groups: dict[str, list[list[Any]]] = {}
    for title_id, *row in rows:
        groups.setdefault(title_id, []).append(row)
    return groups


@cache
def _versions(dialect: str) -> Select[tuple[str | None]]:
    ids = rows_of(dialect, "ids", [title.c.title_id])
    return as_json(dialect, select(title.c.title_id, title.c.version).join(ids, ids.c.title_id == title.c.title_id))


@cache
def _parts(dialect: str) -> dict[str, Select[tuple[str | None]]]:
    """Statements whose rows begin with the title's id, by what they load."""
    ids = rows_of(dialect, "ids", [title.c.title_id])

    def of_titles(table: Table, *columns: Any) -> Any:
        return select(ids.c.title_id, *columns).join_from(ids, table, table.c.title_id == ids.c.title_id)

    r, p, d, s = release.c, player.c, dead_letter.c, delivered_player.c
    columns = (p.season_number, p.source_number, p.url)
    team = (r.translation_id, r.translation_title, r.translation_kind, r.source_id, r.covered)
    players = of_titles(release, *columns, *team).join(player, p.release_id == r.id)
    is_live = p.gone_at.is_(None) & r.gone_at.is_(None)
    its_releases = case((is_live, r.id))
    counts = (func.count(its_releases.distinct()), func.count(r.id.distinct()))
    seasons = of_titles(release, p.season_number, *counts).join(player, p.release_id == r.id)
    is_of_title = or_(d.key == ids.c.title_id, d.key.like(ids.c.title_id + ":%"))
    dead = select(ids.c.title_id, d.kind, d.key, d.checksum).join_from(ids, dead_letter, is_of_title)
    statements = {
        "anime": of_titles(anime, anime.c.source, anime.c.source_id, anime.c.data),
        "episodes": of_titles(episode, episode.c.season_number, episode.c.source_number, episode.c.title),
        "seasons": seasons.group_by(ids.c.title_id, p.season_number),
        "players": players.where(is_live),
        "sent_anime": of_titles(delivered_anime, delivered_anime.c.checksum),
        "sent_episodes": of_titles(delivered_episode, delivered_episode.c.number, delivered_episode.c.checksum),
        "sent_players": of_titles(delivered_player, s.number, s.url, s.priority, s.state, s.sent_at, s.trace_id),
        "dead": dead.where(d.stage == "deliver", d.source == "backend"),
    }
    return {name: as_json(dialect, statement) for name, statement in statements.items()}


@cache
def _upsert(dialect: str, table: Table) -> Upsert:
    return upsert_rows(dialect, table, list(table.c), [column.name for column in table.primary_key])


def record_anime(conn: Connection, title_id: str, checksum: str, now: str, trace_id: str) -> None:
    """Keep the receipt of an anime POST."""
    rows = packed([(title_id, checksum, now, trace_id)])
    conn.execute(_upsert(conn.dialect.name, delivered_anime), {"rows": rows})


def record_episodes(
    conn: Connection, title_id: str, entries: Iterable[tuple[int, str]], now: str, trace_id: str
) -> None:
    """Keep the receipt of an episodes POST.

    Args:
        entries: (number, checksum) of each.
    """
    rows = packed((title_id, number, checksum, now, trace_id) for number, checksum in entries)
    conn.execute(_upsert(conn.dialect.name, delivered_episode), {"rows": rows})


def record_players(conn: Connection, players: Iterable[SentPlayer]) -> None:
    """Write intents (``sending``) and receipts (``done``) in one statement; of one link, the last one counts."""
    rows = {player[:3]: tuple(player) for player in players}
    conn.execute(_upsert(conn.dialect.name, delivered_player), {"rows": packed(rows.values())})


def withdraw_player(conn: Connection, intent: SentPlayer, before: SentPlayer | None) -> None:
    """Undo an intent whose POST certainly changed nothing: the row is again what it was before."""
    if before:
        record_players(conn, [before])
    else:
        c = delivered_player.c
        where = (c.title_id == intent.title_id, c.number == intent.number, c.url == intent.url)
        conn.execute(delete(delivered_player).where(*where))


def forget_anime(conn: Connection, title_id: str, *, with_children: bool) -> None:
    """Forget that the anime was delivered; with its children when the backend has lost it, but for players in doubt."""
    conn.execute(delete(delivered_anime).where(delivered_anime.c.title_id == title_id))
    if with_children:
        conn.execute(delete(delivered_episode).where(delivered_episode.c.title_id == title_id))
        c = delivered_player.c
        conn.execute(delete(delivered_player).where(c.title_id == title_id, c.state == "done"))


def forget_episode(conn: Connection, title_id: str, number: int, *, with_children: bool) -> None:
    """Forget that the episode was delivered; with its players when the backend has lost it, but for those in doubt."""
    e, c = delivered_episode.c, delivered_player.c
    conn.execute(delete(delivered_episode).where(e.title_id == title_id, e.number == number))
    if with_children:
        of_episode = (c.title_id == title_id, c.number == number)
        conn.execute(delete(delivered_player).where(*of_episode, c.state == "done"))


def mark_delivered(conn: Connection, titles: Iterable[tuple[str, int]]) -> None:
    """Mark these titles as done, for as long as their version stays.

    Args:
        titles: (title id, version that was delivered), at least one.
    """
    is_news = (title.c.title_id == bindparam("id")) & (title.c.delivered_version < bindparam("delivered"))
    statement = update(title).where(is_news).values(delivered_version=bindparam("delivered"))
    conn.execute(statement, [{"id": title_id, "delivered": version} for title_id, version in titles])


def clear_dead_letter(conn: Connection, kind: str, key: str, checksum: str) -> None:
    """Drop the dead letter of a delivery, unless it was written anew for other content."""
    d = dead_letter.c
    identity = (d.stage == "deliver", d.source == "backend", d.kind == kind, d.key == key)
    conn.execute(delete(dead_letter).where(*identity, d.checksum == checksum))
