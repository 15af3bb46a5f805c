"""Models of the three bodies of the import contract.

They have exactly the real backend's rules: pydantic in lax mode, and extra keys are ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field


def _encodable(text: str) -> str:
    text.encode()
    return text


Text = Annotated[str, AfterValidator(_encodable)]
"""A string without lone surrogates. Newer versions of pydantic than the real backend's would accept them."""
Status = Literal["ongoing", "completed", "upcoming"]
Year = Annotated[int, Field(ge=1900, le=2100)]


class AnimeImport(BaseModel):
    """The full record of one anime. A key that is missing or null erases the stored value, except `status`."""

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
    """One episode of an `EpisodesImport`."""

    source_episode_id: Text
    number: Annotated[int, Field(ge=0)]
    """The number has no upper bound here: the real backend's database refuses one above int32 with a 500."""
    title: Text | None = None
    is_available: bool = True


class EpisodesImport(BaseModel):
    """A list of episodes of one anime, with at least one."""

    source_name: Text
    anime_source_id: Text
    episodes: Annotated[list[EpisodeImport], Field(min_length=1)]


class PlayerImport(BaseModel):
    """One link. The link with the highest priority is shown first."""

    type: Text
    url: Text
    source_name: Text
    priority: int = 0


class VideoImport(BaseModel):
    """One player of one episode."""

    source_name: Text
    source_episode_id: Text
    player: PlayerImport
