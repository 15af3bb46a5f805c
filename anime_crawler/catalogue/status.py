"""Numbers about the catalogue for people and programs: what is there, what runs did, what is still to do."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, func, select

from anime_crawler.catalogue.drift import list_drift
from anime_crawler.catalogue.origin import origin_of
from anime_crawler.catalogue.tables import (
    NO_ANIME,
    airing,
    anime,
    appearance,
    character,
    checkpoint,
    dead_letter,
    delivered_player,
    episode,
    episode_info,
    player,
    release,
    run,
    snapshot,
)
from anime_crawler.catalogue.tables import title as title_table

RECENT_RUNS = 10  # enough to see yesterday's cron jobs


def read_status(conn: Connection) -> dict[str, Any]:
    """Everything ``scrapy status`` shows, as plain JSON values."""
    return {
        "origin": origin_of(conn),
        "counts": _counts(conn),
        "runs": _runs(conn),
        "watermarks": _watermarks(conn),
        "to_deliver": _to_deliver(conn),
        "dead_letters": _dead_letters(conn),
        "drift": list_drift(conn),
    }


def _counts(conn: Connection) -> dict[str, int]:
    def count(table: Any, *where: Any) -> int:
        return int(conn.scalar(select(func.count()).select_from(table).where(*where)) or 0)

    return {
        "titles": count(title_table),
        "anime_records": count(anime, anime.c.gone_at.is_(None)),
        "anime_records_gone": count(anime, anime.c.gone_at.is_not(None)),
        "releases": count(release, release.c.gone_at.is_(None)),
        "unmatched_releases": count(release, release.c.title_id.is_(None), release.c.gone_at.is_(None)),
        "episodes": count(episode),
        "players": count(player.join(release), player.c.gone_at.is_(None), release.c.gone_at.is_(None)),
        "players_gone": count(player.join(release), player.c.gone_at.is_not(None) | release.c.gone_at.is_not(None)),
        "episode_info": count(episode_info, episode_info.c.gone_at.is_(None)),
        "episode_info_gone": count(episode_info, episode_info.c.gone_at.is_not(None)),
        "characters": count(character),
        "appearances": count(appearance, appearance.c.anime_id != NO_ANIME, appearance.c.gone_at.is_(None)),
        "appearances_gone": count(appearance, appearance.c.gone_at.is_not(None)),
        "airings": count(airing),
        "snapshots": count(snapshot),
        "titles_unknown_to_identity_source": count(title_table, title_table.c.metadata_state == "unknown"),
        "titles_never_asked": count(title_table, title_table.c.metadata_in.is_(None)),
    }


def _runs(conn: Connection) -> list[dict[str, Any]]:
    columns = (c for c in run.c if c.name != "report")
    rows = conn.execute(select(*columns).order_by(run.c.id.desc()).limit(RECENT_RUNS))
    return [dict(row._mapping) for row in rows]


def _watermarks(conn: Connection) -> list[dict[str, Any]]:
    rows = conn.execute(select(checkpoint).order_by(checkpoint.c.spider))
    return [{**row._mapping, "state": json.loads(row.state)} for row in rows]


def _to_deliver(conn: Connection) -> dict[str, int]:
    pending = title_table.c.version > title_table.c.delivered_version
    titles = conn.scalar(select(func.count()).select_from(title_table).where(pending))
    in_doubt = conn.scalar(
        select(func.count()).select_from(delivered_player).where(delivered_player.c.state == "sending")
    )
    return {"titles": int(titles or 0), "players_in_doubt": int(in_doubt or 0)}


def _dead_letters(conn: Connection) -> list[dict[str, Any]]:
    columns = (dead_letter.c.stage, dead_letter.c.source, dead_letter.c.kind)
    rows = conn.execute(select(*columns, func.count().label("count")).group_by(*columns).order_by(*columns))
    return [dict(row._mapping) for row in rows]
