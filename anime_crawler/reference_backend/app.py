"""`create_app` makes the reference backend as an ASGI application, to run alone or mounted under a prefix."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anime_crawler.reference_backend.endpoint import Backend, ImportEndpoint, ImportRoute
from anime_crawler.reference_backend.errors import envelope
from anime_crawler.reference_backend.faults import Faults, Switches
from anime_crawler.reference_backend.inspection import inspection_router
from anime_crawler.reference_backend.schemas import AnimeImport, EpisodesImport, VideoImport
from anime_crawler.reference_backend.slug import slugify
from anime_crawler.reference_backend.stats import Key, Stats
from anime_crawler.reference_backend.store import Store

IMPORT_PATH = "/api/v1/internal/import"


def create_app(database_url: str, internal_token: str, faults: Faults | None = None, *, dev: bool = False) -> FastAPI:
    """The reference backend; serve it with ``http=DroppableConnection`` (see `connection`).

    Args:
        database_url: SQLite file, ``sqlite://`` (memory) or PostgreSQL; missing tables are created. Only one server at
            a time may use a database, because it keeps the slugs in use in memory.
        internal_token: the value that the header ``X-Internal-Token`` must have.
        faults: the faults at the start; ``POST /_reference/faults`` changes them.
        dev: whether a 422 tells which field is wrong, which the real backend never does.

    Returns:
        An application with its `Backend` in ``app.state.backend``. If it is mounted, its lifespan does not run, so its
        user must call ``app.state.backend.store.writer.close()``.

    Raises:
        DatabaseError: if the database cannot be opened.
    """
    switches = Switches(faults or Faults())
    backend = Backend(Store(database_url, switches), Stats(), switches, internal_token.encode(), dev)
    app = FastAPI(openapi_url=None, lifespan=_lifespan)
    app.state.backend = backend
    for import_ in _imports(backend.store):
        path = f"{IMPORT_PATH}/{import_.route}"
        app.router.routes.append(Route(path, ImportEndpoint(backend, import_), methods=["POST"]))
    app.add_api_route("/health", _health)
    app.include_router(inspection_router(backend))
    app.add_middleware(Trace)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.backend.store.writer.close()


async def _health() -> dict[str, str]:
    return {"status": "healthy", "version": "1.0.0"}


def _imports(store: Store) -> list[ImportRoute]:
    return [
        ImportRoute("anime", "anime", AnimeImport, _anime_keys, store.import_anime, _anime_answer),
        ImportRoute("episodes", "episode", EpisodesImport, _episodes_keys, store.import_episodes, _episodes_answer),
        ImportRoute("video", "video", VideoImport, _video_keys, store.import_video, _video_answer),
    ]


def _anime_keys(payload: AnimeImport) -> list[Key]:
    return [("anime", payload.source_name, payload.source_id), ("slug", slugify(payload.title))]


def _episodes_keys(payload: EpisodesImport) -> list[Key]:
    return [("episodes", payload.source_name, payload.anime_source_id)]


def _video_keys(payload: VideoImport) -> list[Key]:
    player = payload.player
    return [("video", payload.source_name, payload.source_episode_id, player.url, player.source_name)]


def _anime_answer(payload: AnimeImport) -> dict[str, Any]:
    return {"success": True, "message": f"Anime imported successfully: {payload.title}", "errors": None}


def _episodes_answer(payload: EpisodesImport) -> dict[str, Any]:
    return {"success": True, "total": len(payload.episodes), "imported": len(payload.episodes), "errors": []}


def _video_answer(_payload: VideoImport) -> dict[str, Any]:
    return {"success": True, "message": "Video source imported successfully", "errors": None}


class Trace:
    """`Trace` gives every request a trace id, the client's own if it sent one, and echoes it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._prefix = uuid.uuid4().hex[:16].encode()
        self._numbers = itertools.count()  # a random id for each request would cost more than all routing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the trace id in its scope, and put the id into a header of the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-trace-id"), None)
        trace_id = b"%b%016x" % (self._prefix, next(self._numbers)) if given is None else given
        scope["trace_id"] = trace_id.decode("latin-1")

        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-trace-id", trace_id)]
            await send(message)

        await self._app(scope, receive, traced)


async def _http_error(request: Request, error: Any) -> Response:
    body = envelope(error.status_code, str(error.detail), request.scope["trace_id"])
    return Response(body, error.status_code, error.headers, media_type="application/json")


async def _internal_error(request: Request, _error: Exception) -> Response:
    body = envelope(500, "Internal server error", request.scope["trace_id"], code="INTERNAL_ERROR")
    headers = {"x-trace-id": request.scope["trace_id"]}  # Starlette calls this handler outside of `Trace`
    return Response(body, 500, headers, media_type="application/json")
