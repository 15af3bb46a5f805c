"""One translation (dub or subtitles) of one anime, with its episodes and links."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, ConfigDict, Field
from pydantic.dataclasses import dataclass

from anime_crawler.items.base import HttpsUrl, Item, NonBlank


class TranslationKind(StrEnum):
    """How the translation is heard or read."""

    VOICE = "voice"
    SUBTITLES = "subtitles"


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Player:
    """One episode in one release: what a viewer can open.

    A dataclass, because there are half a million of them: as a model each would weigh 1,000 bytes and not 100.
    """

    season_number: int | None = Field(None, ge=0)
    """Season as the source counts it (Kodik: within the franchise; 0 holds specials). ``None``: a film."""
    source_number: int = Field(ge=0)
    """Episode number within that season as the source has it; a film has 1. Its number within the anime depends on the
    anime's other releases: ``catalogue/numbering.py``."""
    title: NonBlank | None = None
    """The episode's title as the source has it. ``None``: it has none, as for nearly all."""
    url: HttpsUrl
    """Address of the embeddable player page; canonical: https, lower-case host, no query or fragment."""


class Release(Item):
    """One translation of one anime. Identity: (source, the source's id of this translation)."""

    anime_id: NonBlank
    """`source_id` of the `Anime` item of the same source."""
    external_ids: dict[str, str] = {}
    """Ids of the anime in other catalogues: ``{"shikimori": "20"}``. Empty: nobody knows which anime it is."""
    title: NonBlank
    """The title at the source; for lists of unmatched releases."""
    title_original: NonBlank | None = None
    """The original title as the source has it: romaji or English. ``None``: it has none."""
    year: int | None = Field(None, ge=1900, le=2100)
    """Year of the anime's first airing, as the source has it. ``None``: unknown."""
    translation_id: NonBlank
    """The source's id of the team or studio that made the translation."""
    translation_title: NonBlank
    """The name of that team or studio."""
    translation_kind: TranslationKind
    """Whether it is heard or read."""
    kind: NonBlank
    """The source's own word: ``anime`` (a film), ``anime-serial``."""
    quality: NonBlank | None = None
    """The source's own words, an open set: ``WEB-DLRip 720p``."""
    camrip: bool | None = None
    """Whether it was filmed off a cinema's screen. ``None``: the source does not say."""
    blocked_countries: tuple[NonBlank, ...] = ()
    """ISO-like country codes in which the players do not work."""
    blocked_seasons: dict[str, tuple[str, ...]] = {}
    """Season number -> blocked episode numbers; ``("all",)``: the whole season; ``{"all": ("all",)}``: everything."""
    last_season: int | None = None
    """The highest season it has, as the source counts. ``None``: a film, or the source does not say."""
    last_episode: int | None = None
    """The highest episode of that season. ``None``: as `last_season`."""
    episodes_count: int | None = None
    """How many episodes the source says it has, in all seasons. ``None``: as `last_season`."""
    created_at: AwareDatetime | None = None
    """When the source first listed it. ``None``: unknown."""
    updated_at: AwareDatetime | None = None
    """When the source last changed this release; content, because users sort by it. ``None``: unknown."""
    url: HttpsUrl | None = None
    """Player of the whole release. ``None``: it has none."""
    players: tuple[Player, ...] = ()
    """In order of season and number; none twice. Empty: known, but nothing to watch yet."""
    unread_players: tuple[tuple[int | None, int | None], ...] = ()
    """Season and number of episodes that the source lists and we do not understand; number ``None``: the whole season;
    both ``None``: all seasons. What is stored of them stays."""
