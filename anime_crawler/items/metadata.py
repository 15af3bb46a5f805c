"""Items of metadata sources: episodes, characters, airings, daily snapshots."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from anime_crawler.items.anime import Titles
from anime_crawler.items.base import HttpsUrl, Item, NonBlank


class Episode(Item):
    """What a metadata source says of one episode. Identity: (source, anime id, season number, number)."""

    anime_id: NonBlank
    season_number: int | None = Field(None, ge=0)
    number: int = Field(ge=0)
    titles: Titles = Titles()
    aired_at: AwareDatetime | None = None
    duration_min: int | None = Field(None, ge=1)
    is_filler: bool | None = None
    is_recap: bool | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.anime_id, str(self.season_number), str(self.number))


class VoiceActor(BaseModel):
    """Who speaks a character in one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NonBlank
    language: NonBlank | None = None


class Character(Item):
    """A character. Identity: (source, source_id)."""

    names: Titles
    anime_id: NonBlank | None = None
    role: NonBlank | None = None
    picture: HttpsUrl | None = None
    voice_actors: tuple[VoiceActor, ...] = ()


class Airing(Item):
    """When an episode goes on air. Identity: (source, anime id, number, kind)."""

    anime_id: NonBlank
    number: int = Field(ge=0)
    kind: Literal["raw", "sub", "dub"]
    airs_at: AwareDatetime
    delayed: bool | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.anime_id, str(self.number), self.kind)


class Snapshot(Item):
    """Rank and numbers of an anime on one day. Identity: (source, source_id, snapshot type, date)."""

    snapshot_type: NonBlank
    day: date
    rank: int | None = Field(None, ge=1)
    score: float | None = Field(None, gt=0, le=10)
    votes: int | None = Field(None, ge=1)
    popularity: int | None = Field(None, ge=1)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.source_id, self.snapshot_type, self.day.isoformat())
