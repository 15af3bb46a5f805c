"""One anime as one source describes it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from anime_crawler.items.base import HttpsUrl, Item, NonBlank


class Kind(StrEnum):
    """The sort of the work."""

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

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    ru: NonBlank | None = None
    """Russian. ``None``, here and below: the source has none, or does not say that one of its titles is."""
    en: NonBlank | None = None
    """In English, licensed or not."""
    romaji: NonBlank | None = None
    """The native one in Latin letters: romaji, pinyin, …"""
    native: NonBlank | None = None
    """In the script of the work's country; Japanese for most, also Korean or Chinese."""


class Relation(BaseModel):
    """A link to another work of the same source."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    kind: NonBlank
    """sequel, prequel, side_story, …: the source's word in snake case."""
    target: NonBlank
    """``anime`` or ``manga``."""
    target_id: NonBlank
    """The related work's id at the same source."""
    title: NonBlank | None = None
    """The related work's title, in whichever language. ``None``: the source names only its id."""


class Anime(Item):
    """One anime. Identity: (source, source_id)."""

    schema_version: ClassVar[int] = 2
    """2: `year` is that of the first airing day where that is known; the year of the cour is `season_year`."""

    volatile: ClassVar[frozenset[str]] = frozenset({"fetched_at", "source_updated_at"})
    """As at `Item`: when it was fetched or changed is no content."""

    source_updated_at: AwareDatetime | None = None
    """When the source last changed its record. Decides which of two versions is newer; not content.
    ``None``: it does not say."""
    url: HttpsUrl | None = None
    """Page of the work at the source. ``None``: the source has none."""
    titles: Titles
    """Main titles by language. All ``None``: the source does not say in which language its titles are."""
    alternative_titles: tuple[NonBlank, ...] = ()
    """Further titles in the source's order: no blanks, no repeats, none of the main titles."""
    description: NonBlank | None = None
    """Clean text: no BBCode, no HTML, LF line ends. ``None``: there is none."""
    description_raw: str | None = None
    """The description as the source sent it. ``None``: same as `description`, or unknown."""
    year: int | None = Field(None, ge=1900, le=2100)
    """Calendar year of first airing. ``None``: unknown."""
    season: Season | None = None
    """Cour of first airing: as the source says, else by the day (`normalize.date.season_of`). ``None``: unknown."""
    season_year: int | None = Field(None, ge=1900, le=2100)
    """Year of that cour: a winter that begins in December is the next year's, so that this is `year` + 1 for it.
    ``None``: the cour or its year is unknown."""
    status: AiringStatus | None = None
    """Where the work is in its life, in the country of origin. ``None``: unknown."""
    kind: Kind | None = None
    """The sort of the work. ``None``: unknown, or none of our kinds."""
    poster: HttpsUrl | None = None
    """A real poster, never an episode frame or a placeholder picture. ``None``: there is none."""
    genres: tuple[NonBlank, ...] = ()
    """Genres in the source's own words and order, no repeats. Empty, here and below: the source names none."""
    themes: tuple[NonBlank, ...] = ()
    """Its subjects beside its genres (School, Mecha), where the source keeps the two apart."""
    demographics: tuple[NonBlank, ...] = ()
    """Whom it was made for: Shounen, Josei, …"""
    tags: tuple[NonBlank, ...] = ()
    """Further words that the source files it under; without those that spoil it."""
    studios: tuple[NonBlank, ...] = ()
    """The studios that animated it; no producers, licensors or broadcasters."""
    origin: NonBlank | None = None
    """The kind of work that it was made from: manga, light_novel, original, … ``None``: unknown."""
    score: float | None = Field(None, gt=0, le=10)
    """Mean user rating, 0-10. ``None``: not rated yet, never 0."""
    votes: int | None = Field(None, ge=1)
    """How many votes `score` is the mean of. ``None``: unknown."""
    maturity: NonBlank | None = None
    """g, pg, pg_13, r, r_plus, rx. ``None``: unknown."""
    is_adult: bool | None = None
    """True for rx, r_plus and hentai. ``None``: the source does not say."""
    episodes_total: int | None = Field(None, ge=1)
    """Planned number of episodes. ``None``: unknown, never 0."""
    episodes_aired: int | None = Field(None, ge=0)
    """Aired so far, in the original broadcast. 0 is known to be none yet; of a released work all. ``None``: unknown."""
    next_episode_at: AwareDatetime | None = None
    """When the next episode goes on air. ``None``: unknown, or there is none to come."""
    next_episode_is_estimated: bool | None = None
    """True: `next_episode_at` is reckoned from the weekday and hour of the broadcast, as if there were no breaks.
    False: the source publishes that very time. ``None``: there is no such time."""
    duration_min: int | None = Field(None, ge=1)
    """Minutes per episode. ``None``: unknown."""
    aired_from: PartialDate | None = None
    """First airing day, as much as the source knows of it. ``None``: unknown."""
    aired_to: PartialDate | None = None
    """Last airing day; planned while ongoing. ``None``: unknown, or not planned."""
    external_ids: dict[str, str] = {}
    """Id of the same work in other catalogues by source name: ``{"mal": "5114", "kinopoisk": "460586"}``. Empty: the
    source names no other catalogue."""
    relations: tuple[Relation, ...] = ()
    """Related works in the source's order. Empty: there are none."""
    franchise: NonBlank | None = None
    """The source's key of the works that belong together: ``naruto``. ``None``: none is known."""

    @property
    def names(self) -> tuple[str, ...]:
        """All its titles, main ones first."""
        titles = self.titles
        return (*filter(None, (titles.ru, titles.en, titles.romaji, titles.native)), *self.alternative_titles)
