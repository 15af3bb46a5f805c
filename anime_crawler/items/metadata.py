"""Items of metadata sources: episodes, characters, airings, daily snapshots."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from anime_crawler.items.anime import PartialDate, Titles
from anime_crawler.items.base import HttpsUrl, Item, NonBlank


class Episode(Item):
    """A metadata source's record of one episode. Identity: (source, anime id, season number, number)."""

    schema_version: ClassVar[int] = 2
    """2: a day without a time stands in `aired_on`; in 1 it stood in `aired_at`, as midnight UTC."""

    anime_id: NonBlank
    """`source_id` of the `Anime` item of the same source."""
    season_number: int | None = Field(None, ge=0)
    """Season as the source counts it; 0 holds specials. ``None``: the source counts no seasons."""
    number: int = Field(ge=0)
    """Number within that season, or within the anime where there are no seasons, as the source counts it."""
    titles: Titles = Titles()
    """The episode's titles by language; all ``None``: the source has none."""
    aired_on: PartialDate | None = None
    """Day of the first broadcast in the country of origin, as much as the source knows of it. ``None``: unknown."""
    aired_at: AwareDatetime | None = None
    """Moment of the first broadcast, only where the source publishes a time. ``None``: it tells the day at most."""
    duration_min: int | None = Field(None, ge=1)
    """Running time in minutes, rounded up. ``None``: unknown."""
    is_filler: bool | None = None
    """Whether the episode is not in the work it was made from. ``None``: the source does not say."""
    is_recap: bool | None = None
    """Whether the episode sums up earlier ones. ``None``: the source does not say."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.anime_id, str(self.season_number), str(self.number))


class VoiceActor(BaseModel):
    """The person who speaks a character in one language."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: NonBlank
    """The person's name as the source writes it, mostly in Latin letters."""
    language: NonBlank | None = None
    """The language spoken, in the source's word or code: ``Japanese``, ``ja``. ``None``: the source does not say."""


class Character(Item):
    """A character in one anime. Identity: (source, source_id); there is one item for each anime it appears in."""

    names: Titles
    """The character's names by language; ``romaji`` is the one in Latin letters."""
    anime_id: NonBlank | None = None
    """`source_id` of the anime of the same source in which it appears. ``None``: the source told of it alone."""
    role: NonBlank | None = None
    """Its part in this anime in snake case: main, supporting, secondary, … ``None``: the source does not say."""
    picture: HttpsUrl | None = None
    """Address of a picture; never a placeholder. ``None``: there is none."""
    voice_actors: tuple[VoiceActor, ...] = ()
    """The people who speak it in this anime, each once per language, in the source's order. Empty: nobody is named."""


class Airing(Item):
    """When an episode goes on air. Identity: (source, anime id, number, kind)."""

    anime_id: NonBlank
    """`source_id` of the `Anime` item of the same source."""
    number: int = Field(ge=0)
    """Episode number as the source counts it within the anime."""
    kind: Literal["raw", "sub", "dub"]
    """``raw``: the first broadcast; ``sub``, ``dub``: with subtitles or voices of another language."""
    airs_at: AwareDatetime
    """The moment; in the past for what has aired."""
    delayed: bool | None = None
    """Whether it was moved to this moment from an earlier one. ``None``: the source does not say."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.anime_id, str(self.number), self.kind)


class Snapshot(Item):
    """Rank and numbers of an anime on one day. Identity: (source, source_id, snapshot type, date)."""

    snapshot_type: NonBlank
    """Which ranking of the source it is of: ``top``, ``airing``, ``upcoming``, ``popular_movies``."""
    day: date
    """The day on which the numbers were read; UTC."""
    rank: int | None = Field(None, ge=1)
    """Place by score among all anime of the source; 1 is the best. ``None``: not ranked."""
    score: float | None = Field(None, gt=0, le=10)
    """Mean user rating, 0-10. ``None``: not rated yet, never 0."""
    votes: int | None = Field(None, ge=1)
    """How many votes `score` is the mean of. ``None``: unknown."""
    popularity: int | None = Field(None, ge=1)
    """Place by number of people who list it; 1 is the most popular. ``None``: unknown."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.source_id, self.snapshot_type, self.day.isoformat())
