"""What exists in the simulated world: titles as Shikimori knows them, and what Kodik has of each."""

from __future__ import annotations

from dataclasses import dataclass, field

Day = tuple[int | None, int | None, int | None]
"""Year, month, day; each may be unknown."""


@dataclass(slots=True)
class Title:
    """One anime."""

    id: int
    """Shikimori id; unique in the world, also for titles that neither service shows an id of."""
    romaji: str
    russian: str | None
    english: str | None
    japanese: str | None
    synonyms: list[str]
    kind: str | None
    status: str | None
    """anons, ongoing, released, or ``None`` (Shikimori has such rows). Nothing invented is cancelled: Shikimori has no
    word for it.
    """
    episodes: int
    """Planned; 0 is Shikimori's word for unknown."""
    aired: int
    duration: int
    aired_on: Day
    released_on: Day
    season: str | None
    score: float
    votes: int
    rating: str
    origin: str
    genres: list[int]
    """Ids in `words.GENRES`."""
    studios: list[str]
    description: str | None
    """BBCode with CRLF line ends, as Shikimori stores it."""
    franchise: str | None
    franchise_season: int
    """Kodik's season number: the franchise's, not the title's."""
    created_at: int
    updated_at: int
    """Seconds since 1970."""
    next_episode_at: int | None = None
    license_ru: str | None = None
    poster: str | None = None
    """32 hex digits in the picture's address; ``None``: no poster."""
    mal_id: int | None = None
    kinopoisk_id: str | None = None
    censored: bool = False
    related: list[tuple[str, str, int, str]] = field(default_factory=list)
    """(relation kind, anime or manga, id, name)"""
    at_shikimori: bool = True
    """False: Shikimori does not know this id."""
    id_at_kodik: bool = True
    """False: Kodik shows this title without a Shikimori id."""
    rendered: bytes | None = None
    """Kodik's ``material_data`` as JSON; the same in every material of the title."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A team that dubs or subtitles."""

    id: int
    title: str
    kind: str
    """voice or subtitles"""


@dataclass(slots=True)
class Episode:
    """One episode in one material."""

    link: str
    """As Kodik sends it: mostly ``//host/seria/<n>/<32 hex>/720p``."""
    title: str | None = None


@dataclass(slots=True)
class Material:
    """Kodik's list entry: one title in one translation."""

    number: int
    title: Title
    translation: Translation
    link: str
    has_id: bool
    """False: this entry lacks ``shikimori_id``."""
    has_data: bool
    """False: nothing is known, ``material_data`` is missing as a whole."""
    quality: str
    created_at: int
    updated_at: int
    blocked_countries: list[str]
    blocked_seasons: object
    """``{}``, ``"all"``, ``{"5": "all"}`` or ``{"7": ["1", "2"]}``."""
    seasons: dict[int, dict[int, Episode]] | None
    """``None``: a film."""
    rendered: dict[str, bytes] = field(default_factory=dict)
    """Pieces of JSON already written; emptied by every change."""

    @property
    def id(self) -> str:
        return f"{'movie' if self.seasons is None else 'serial'}-{self.number}"

    @property
    def shikimori_id(self) -> str | None:
        """What Kodik shows; always the title's own id, or nothing."""
        return str(self.title.id) if self.has_id else None
