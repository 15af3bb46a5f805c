"""`inspection_router` serves ``/_reference``: there tests reach what the real backend hides, or administrators do.

No client uses these paths. Each of them needs the internal token, so that a server that others can reach does not show
its data.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, select, update
from starlette.exceptions import HTTPException

from anime_crawler.reference_backend.dump import ANIME_VALUES, EPISODE_VALUES, JSON_TEXT, VIDEO_VALUES, dump
from anime_crawler.reference_backend.endpoint import Backend
from anime_crawler.reference_backend.faults import Faults
from anime_crawler.reference_backend.tables import KINDS, anime, episode, video

Found = list[dict[str, Any]]


class AdminSwitch(BaseModel):
    """An `AdminSwitch` is an administrator's change of one row, which the keys of its kind name."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["anime", "episode", "video"]
    source_name: str
    source_id: str | None = None
    """The anime's id, for kind ``anime``."""
    source_episode_id: str | None = None
    """The episode's id, for kinds ``episode`` and ``video``."""
    url: str | None = None
    """The player's address, for kind ``video``."""
    is_active: bool | None = None
    admin_modified: bool | None = None
    """Whether an administrator has edited the row. Any edit in the admin panel sets this."""


def inspection_router(backend: Backend) -> APIRouter:
    """The paths under ``/_reference`` for one backend."""

    def token_checked(x_internal_token: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(x_internal_token.encode(), backend.token):
            raise HTTPException(403, "Invalid internal token")

    router = APIRouter(prefix="/_reference", dependencies=[Depends(token_checked)])
    _add_reading(router, backend)
    _add_counters(router, backend)
    _add_switches(router, backend)
    return router


def _add_reading(router: APIRouter, backend: Backend) -> None:
    run, posts_with = backend.store.writer.run, backend.stats.posts_with

    @router.get("/dump")
    async def read_dump(slugs: bool = True) -> StreamingResponse:
        return StreamingResponse(dump(backend.store.writer, slugs), media_type="application/json")

    @router.get("/anime")
    async def read_anime(source_name: str, source_id: str) -> Found:
        wanted = _select(anime, {**ANIME_VALUES, "slug": anime.c.slug}).where(_anime_is(source_name, source_id))
        rows = await run(partial(_rows, statement=wanted))
        return [row | {"posts": posts_with(("anime", source_name, source_id))} for row in rows]

    @router.get("/episodes")
    async def read_episodes(source_name: str, source_id: str) -> Found:
        wanted = _select(episode, EPISODE_VALUES).join(anime).where(_anime_is(source_name, source_id))
        rows = await run(partial(_rows, statement=wanted.order_by(episode.c.number)))
        return [row | {"posts": posts_with(("episodes", source_name, source_id))} for row in rows]

    @router.get("/videos")
    async def read_videos(source_name: str, source_episode_id: str) -> Found:
        """The players of the episode in the public order, the highest priority first."""
        of_episode = (anime.c.source_name == source_name) & (episode.c.source_episode_id == source_episode_id)
        wanted = _select(video, VIDEO_VALUES).select_from(anime.join(episode).join(video)).where(of_episode)
        rows = await run(partial(_rows, statement=wanted.order_by(video.c.priority.desc(), video.c.id)))
        key = ("video", source_name, source_episode_id)
        return [row | {"posts": posts_with((*key, row["url"], row["source_name"]))} for row in rows]


def _add_counters(router: APIRouter, backend: Backend) -> None:
    @router.get("/stats")
    async def read_stats() -> dict[str, Any]:
        return backend.stats.report() | {"faults": dict(backend.switches.struck)}

    @router.post("/reset")
    async def reset_stats() -> dict[str, Any]:
        """Set all counters to zero; rows and faults stay."""
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


def _anime_is(source_name: str, source_id: str) -> ColumnElement[bool]:
    return (anime.c.source_name == source_name) & (anime.c.source_id == source_id)


def _select(table: Table, values: Mapping[str, Column[Any]]) -> Select[Any]:
    """Select the payload's values and the columns that an import cannot set."""
    hidden = (table.c.is_active, table.c.admin_modified, table.c.updated_at)
    return select(*(column.label(name) for name, column in values.items()), *hidden)


def _rows(connection: Connection, statement: Select[Any]) -> Found:
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    for row in rows:
        row.update({name: orjson.loads(row[name]) for name in JSON_TEXT if row.get(name) is not None})
    return rows


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
