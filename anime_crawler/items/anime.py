"""One anime as one source describes it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from anime_crawler.items.base import HttpsUrl, Item, NonBlank


class Kind(StrEnum):
    """What sort of work it is."""

    TV = "tv"
    MOVIE = "movie"
    OVA = "ova"
    ONA = "ona"
    SPECIAL = "special"
    TV_SPECIAL = "tv_special"
    MUSIC = "music"
    PV = "pv"
    CM = "cm"


class AiringStatus(StrEnum):
    """Where the work is in its life."""

    ANNOUNCED = "announced"
    ONGOING = "ongoing"
    RELEASED = "released"
    PAUSED = "paused"
    DISCONTINUED = "discontinued"


class Season(StrEnum):
    """Cour of first airing."""

    WINTER = "winter"
    SPRING = "spring"
    SUMMER = "summer"
    FALL = "fall"


PartialDate = Annotated[str, StringConstraints(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]
"""``2027``, ``2027-04`` or ``2027-04-09``: as much as the source knows, never filled in."""


ADULT_MATURITIES = frozenset({"r_plus", "rx"})
"""Ratings that are for adults only."""


class Titles(BaseModel):
    """Main titles by language; ``None``: the source has none in that language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ru: NonBlank | None = None
    en: NonBlank | None = None
    romaji: NonBlank | None = None
    native: NonBlank | None = None
    """In the script of the work's country; Japanese for most, also Korean or Chinese."""


class Relation(BaseModel):
    """A link to another work of the same source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: NonBlank
    """sequel, prequel, side_story, …: the source's word in snake case."""
    target: NonBlank
    """``anime`` or ``manga``."""
    target_id: NonBlank
    """The related work's id at the same source."""
    title: NonBlank | None = None


class Anime(Item):
    """One anime. Identity: (source, source_id)."""

    volatile: ClassVar[frozenset[str]] = frozenset({"fetched_at", "source_updated_at"})

    source_updated_at: AwareDatetime | None = None
    """When the source last changed its record. Decides which of two versions is newer; not content."""
    url: HttpsUrl | None = None
    """Page of the work at the source."""
    titles: Titles
    alternative_titles: tuple[NonBlank, ...] = ()
    """Further titles in the source's order: no blanks, no repeats, none of the main titles."""
    description: NonBlank | None = None
    """Clean text: no BBCode, no HTML, LF line ends."""
    description_raw: str | None = None
    """The description as the source sent it. ``None``: same as `description`, or unknown."""
    year: int | None = Field(None, ge=1900, le=2100)
    """Year of first airing."""
    season: Season | None = None
    status: AiringStatus | None = None
    kind: Kind | None = None
    poster: HttpsUrl | None = None
    """A real poster, never an episode frame or a placeholder picture."""
    genres: tuple[NonBlank, ...] = ()
    themes: tuple[NonBlank, ...] = ()
    demographics: tuple[NonBlank, ...] = ()
    tags: tuple[NonBlank, ...] = ()
    studios: tuple[NonBlank, ...] = ()
    origin: NonBlank | None = None
    """What it was made from: manga, light_novel, original, …"""
    score: float | None = Field(None, gt=0, le=10)
    """Mean user rating, 0-10. ``None``: not rated yet, never 0."""
    votes: int | None = Field(None, ge=1)
    """How many votes `score` is the mean of."""
    maturity: NonBlank | None = None
    """g, pg, pg_13, r, r_plus, rx."""
    is_adult: bool | None = None
    """True for rx, r_plus and hentai. ``None``: the source does not say."""
    episodes_total: int | None = Field(None, ge=1)
    """Planned number of episodes."""
    episodes_aired: int | None = Field(None, ge=0)
    """Aired so far, in the original broadcast. 0 is known to be none yet."""
    next_episode_at: AwareDatetime | None = None
    duration_min: int | None = Field(None, ge=1)
    """Minutes per episode."""
    aired_from: PartialDate | None = None
    aired_to: PartialDate | None = None
    """Last airing day; planned while ongoing."""
    external_ids: dict[str, str] = {}
    """Id of the same work in other catalogues by source name: ``{"mal": "5114", "kinopoisk": "460586"}``."""
    relations: tuple[Relation, ...] = ()
    franchise: NonBlank | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All its titles, main ones first."""
        titles = self.titles
        return (*filter(None, (titles.ru, titles.en, titles.romaji, titles.native)), *self.alternative_titles)
