"""What the real backend hides or leaves to its administrators, under ``/_reference``: never used by a client.

Every path wants the internal token too, so that a server that others can reach gives nothing away.
"""

from __future__ import annotations

import hmac
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, select, update
from starlette.exceptions import HTTPException

from anime_crawler.backend.reference.dump import anime_values, dump, episode_values, video_values
from anime_crawler.backend.reference.endpoint import Backend
from anime_crawler.backend.reference.faults import Faults
from anime_crawler.backend.reference.tables import KINDS, anime, episode, video

Found = list[dict[str, Any]]


class AdminSwitch(BaseModel):
    """What an administrator does to one row; the keys that name it are those of its kind."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["anime", "episode", "video"]
    source_name: str
    source_id: str | None = None
    """Of the anime, for kind ``anime``."""
    source_episode_id: str | None = None
    """For kinds ``episode`` and ``video``."""
    url: str | None = None
    """Of the player, for kind ``video``."""
    is_active: bool | None = None
    admin_modified: bool | None = None
    """Any edit in the admin panel sets it."""


def inspection_router(backend: Backend) -> APIRouter:
    """The paths, for one backend."""

    def token_checked(x_internal_token: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(x_internal_token.encode(), backend.token):
            raise HTTPException(403, "Invalid internal token")

    router = APIRouter(prefix="/_reference", dependencies=[Depends(token_checked)])
    _add_reading(router, backend)
    _add_counters(router, backend)
    _add_switches(router, backend)
    return router


def _add_reading(router: APIRouter, backend: Backend) -> None:
    run = backend.store.writer.run

    @router.get("/dump")
    async def read_dump(slugs: bool = True) -> StreamingResponse:
        return StreamingResponse(dump(backend.store.writer, slugs), media_type="application/json")

    @router.get("/anime")
    async def read_anime(source_name: str, source_id: str) -> Found:
        wanted = select(anime).where(anime.c.source_name == source_name, anime.c.source_id == source_id)
        rows = await run(partial(_rows, statement=wanted))
        count = backend.stats.posts_with(("anime", source_name, source_id))
        return [{**anime_values(row), "slug": row.slug, **_hidden(row), "posts": count} for row in rows]

    @router.get("/episodes")
    async def read_episodes(source_name: str, source_id: str) -> Found:
        of_anime = (anime.c.source_name == source_name) & (anime.c.source_id == source_id)
        wanted = select(episode).join(anime).where(of_anime).order_by(episode.c.number)
        rows = await run(partial(_rows, statement=wanted))
        count = backend.stats.posts_with(("episodes", source_name, source_id))
        return [{**episode_values(row), **_hidden(row), "posts": count} for row in rows]

    @router.get("/videos")
    async def read_videos(source_name: str, source_episode_id: str) -> Found:
        """In the public order: highest priority first."""
        of_episode = (anime.c.source_name == source_name) & (episode.c.source_episode_id == source_episode_id)
        joined = select(video).join(episode, video.c.episode_id == episode.c.id).join(anime)
        rows = await run(
            partial(_rows, statement=joined.where(of_episode).order_by(video.c.priority.desc(), video.c.id))
        )
        key = ("video", source_name, source_episode_id)
        counts = [backend.stats.posts_with((*key, row.url, row.source_name)) for row in rows]
        return [{**video_values(row), **_hidden(row), "posts": n} for row, n in zip(rows, counts, strict=True)]


def _add_counters(router: APIRouter, backend: Backend) -> None:
    @router.get("/stats")
    async def read_stats() -> dict[str, Any]:
        return backend.stats.report() | {"faults": dict(backend.switches.struck)}

    @router.post("/reset")
    async def reset_stats() -> dict[str, Any]:
        """Count anew; rows and faults stay."""
        backend.stats.reset()
        return backend.stats.report()


def _add_switches(router: APIRouter, backend: Backend) -> None:
    @router.get("/faults")
    async def read_faults() -> Faults:
        return backend.switches.faults

    @router.post("/faults")
    async def set_faults(faults: Faults) -> Faults:
        backend.switches.set(faults)
        return faults

    @router.delete("/faults")
    async def reset_faults() -> Faults:
        backend.switches.set(Faults())
        return backend.switches.faults

    @router.post("/admin")
    async def switch(change: AdminSwitch) -> dict[str, int]:
        changed = await backend.store.writer.run(partial(_switch, change=change))
        if not changed:
            raise HTTPException(404, "No such row")
        return {"changed": changed}

    @router.delete("/rows")
    async def wipe() -> dict[str, int]:
        return {"deleted": await backend.store.writer.run(backend.store.wipe)}


def _rows(connection: Connection, statement: Select[Any]) -> list[Row[Any]]:
    return list(connection.execute(statement))


def _hidden(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("is_active", "admin_modified", "updated_at")}


def _switch(connection: Connection, change: AdminSwitch) -> int:
    values = change.model_dump(include={"is_active", "admin_modified"}, exclude_none=True)
    table = KINDS[change.kind]
    statement = update(table).where(table.c.id.in_(_named(change))).values(values)
    return connection.execute(statement).rowcount if values else 0


def _named(change: AdminSwitch) -> Select[Any]:
    if change.kind == "anime":
        return select(anime.c.id).where(_of(anime, change, "source_name", "source_id"))
    episodes = (
        select(episode.c.id)
        .join(anime)
        .where(_of(anime, change, "source_name"), _of(episode, change, "source_episode_id"))
    )
    if change.kind == "episode":
        return episodes
    return select(video.c.id).where(video.c.episode_id.in_(episodes), _of(video, change, "url"))


def _of(table: Table, change: AdminSwitch, *names: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == getattr(change, name) for name in names))
