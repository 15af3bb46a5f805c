"""The three bodies of the import contract, by exactly the backend's rules: pydantic in lax mode, extra keys ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Status = Literal["ongoing", "completed", "upcoming"]
Year = Annotated[int, Field(ge=1900, le=2100)]


class AnimeImport(BaseModel):
    """Full record of one anime. A key that is missing or null erases the stored value, except `status`."""

    source_name: str
    source_id: str
    title: Annotated[str, Field(min_length=1)]
    alternative_titles: list[str] | None = None
    description: str | None = None
    year: Year | None = None
    status: Status | None = None
    poster: str | None = None
    genres: list[str] | None = None


class EpisodeImport(BaseModel):
    """One episode of the list."""

    source_episode_id: str
    number: Annotated[int, Field(ge=0)]
    """Not bounded above here: the backend's database refuses what int32 does not hold, with a 500."""
    title: str | None = None
    is_available: bool = True


class EpisodesImport(BaseModel):
    """Episodes of one anime, at least one."""

    source_name: str
    anime_source_id: str
    episodes: Annotated[list[EpisodeImport], Field(min_length=1)]


class PlayerImport(BaseModel):
    """One link. Higher priority is shown first."""

    type: str
    url: str
    source_name: str
    priority: int = 0


class VideoImport(BaseModel):
    """One player of one episode."""

    source_name: str
    source_episode_id: str
    player: PlayerImport
