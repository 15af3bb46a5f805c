"""The three bodies of the import contract, by exactly the backend's rules: pydantic in lax mode, extra keys ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field


def _encodable(text: str) -> str:
    text.encode()
    return text


Text = Annotated[str, AfterValidator(_encodable)]
"""A string without lone surrogates; newer versions of pydantic than the real backend's would let them pass."""
Status = Literal["ongoing", "completed", "upcoming"]
Year = Annotated[int, Field(ge=1900, le=2100)]


class AnimeImport(BaseModel):
    """Full record of one anime. A key that is missing or null erases the stored value, except `status`."""

    source_name: Text
    source_id: Text
    title: Annotated[Text, Field(min_length=1)]
    alternative_titles: list[Text] | None = None
    description: Text | None = None
    year: Year | None = None
    status: Status | None = None
    poster: Text | None = None
    genres: list[Text] | None = None


class EpisodeImport(BaseModel):
    """One episode of the list."""

    source_episode_id: Text
    number: Annotated[int, Field(ge=0)]
    """Not bounded above here: the backend's database refuses what int32 does not hold, with a 500."""
    title: Text | None = None
    is_available: bool = True


class EpisodesImport(BaseModel):
    """Episodes of one anime, at least one."""

    source_name: Text
    anime_source_id: Text
    episodes: Annotated[list[EpisodeImport], Field(min_length=1)]


class PlayerImport(BaseModel):
    """One link. Higher priority is shown first."""

    type: Text
    url: Text
    source_name: Text
    priority: int = 0


class VideoImport(BaseModel):
    """One player of one episode."""

    source_name: Text
    source_episode_id: Text
    player: PlayerImport
