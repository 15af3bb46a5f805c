"""Whether a catalogue holds real records or the sandbox's invented ones. It never holds both."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, insert, select

from anime_crawler.catalogue.engine import shown
from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.tables import anime, episode_info, origin, release

Origin = Literal["sandbox", "real"]


class OriginError(CatalogueError):
    """Records of the sandbox were to be added to real ones, or the other way round; nothing was."""


def origin_of(conn: Connection) -> Origin | None:
    """``None``: it is empty, or older than this note, and then its records count as real."""
    found: Origin | None = conn.scalar(select(origin.c.kind))
    return found


def note_origin(conn: Connection, kind: Origin) -> None:
    """Note of what kind the records are that the caller's transaction stores.

    Raises:
        OriginError: the catalogue has records of the other kind.
    """
    held = origin_of(conn)
    if held == kind:
        return
    if held is not None or (kind == "sandbox" and _has_records(conn)):
        raise OriginError(say_mixed(conn, kind))
    conn.execute(insert(origin).values(kind=kind))


def mark_as_sandbox(conn: Connection) -> None:
    """Note that all records are the sandbox's, in a catalogue that is known to have been filled from it alone."""
    if origin_of(conn) is None:
        conn.execute(insert(origin).values(kind="sandbox"))


def say_mixed(conn: Connection, kind: Origin) -> str:
    """Why records of this kind are not stored, and what to do."""
    holds, come = ("real", "invented titles of the sandbox") if kind == "sandbox" else ("invented", "real titles")
    return (
        f"the catalogue (DATABASE_URL={shown(conn.engine.url)}) holds {holds} titles, and {come} are never added: "
        "set DATABASE_URL to another catalogue"
    )


def _has_records(conn: Connection) -> bool:
    return any(conn.scalar(select(table.c.source).limit(1)) for table in (release, anime, episode_info))
