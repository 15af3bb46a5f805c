"""AnimeSchedule's own words: a list page, an anime, a timetable row. What we use is modelled; the rest is listed.

Source: API v3 as documented (anime, timetables) and as recorded from 2024-10 to 2026-09.
"""

# ruff: noqa: N815  fields are called as AnimeSchedule calls them

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from anime_crawler.base_spiders import Drift, ResponseError, Words, count_unknown, count_vanished, envelope, shape_of

OLDEST = 1900
"""Years before it stand for an unknown date: the zero date is of the year 1, and has been seen with others."""


def _known_moment(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value[:4] < str(OLDEST)):
        return None
    if not isinstance(value, str):
        raise ValueError("a moment as text is wanted")
    return value


def _in_utc(value: datetime | None) -> datetime | None:
    try:
        return value.astimezone(UTC) if value else None
    except OverflowError:
        raise ValueError("beyond the calendar") from None


def _known_year(value: int | None) -> int | None:
    return value if value and value >= OLDEST else None


Moment = Annotated[AwareDatetime | None, BeforeValidator(_known_moment), AfterValidator(_in_utc)]
"""A moment, in UTC. ``None``: absent, empty, or the zero date."""
Year = Annotated[Annotated[int, Field(le=9999)] | None, AfterValidator(_known_year)]
"""``None``: absent or 0."""
Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of episodes, minutes or votes; 0: unknown. The longest anime has 8,000 episodes."""
Route = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\s/?#]+$")]
"""Slug of an anime in addresses; unique. The longest that we have seen has 90 characters."""


class ListPage(Words):
    """Envelope of ``/anime``."""

    page: int | None = None
    """Counts from 1."""
    totalAmount: Count
    """Anime that match, on all pages together."""
    anime: list[Any]
    """Up to 18 anime, each checked alone."""


class Category(Words):
    """A genre, studio, source or media type."""

    name: str
    route: str


class Season(Words):
    """Cour of the first airing."""

    year: str | int | None = None
    """Text in what we have seen; empty: unknown."""
    season: str | None = None
    """``Winter``, …; empty: only the year is known."""


class Stats(Words):
    averageScore: float | None = None
    """0-100, weighted: with few votes near the mean of all anime."""
    ratingCount: Count | None = None


class Names(Words):
    romaji: str | None = None
    english: str | None = None
    native: str | None = None
    abbreviation: str | None = None
    synonyms: list[str | None] | None = None


class Relations(Words):
    """Routes of other anime by what they are to this one."""

    sequels: list[str] | None = None
    prequels: list[str] | None = None
    parents: list[str] | None = None
    alternatives: list[str] | None = None
    other: list[str] | None = None
    sideStories: list[str] | None = None
    spinoffs: list[str] | None = None


class Websites(Words):
    """Addresses at other catalogues, without scheme, as people typed them."""

    mal: str | None = None
    aniList: str | None = None
    kitsu: str | None = None
    anidb: str | None = None
    animePlanet: str | None = None


class Show(Words):
    """One anime. What is unknown is absent or a zero value."""

    id: str | None = None
    route: Route
    title: str | None = None
    premier: Moment = None
    """First day of the Japanese broadcast."""
    month: str | None = None
    """Earliest month that is known, ``January``."""
    year: Year = None
    season: Season | None = None
    status: str | None = None
    """Of the Japanese broadcast."""
    delayedTimetable: str | None = None
    delayedFrom: Moment = None
    delayedUntil: Moment = None
    description: str | None = None
    """HTML."""
    genres: list[Category] | None = None
    studios: list[Category] | None = None
    sources: list[Category] | None = None
    """The kinds of works that it was made from."""
    mediaTypes: list[Category] | None = None
    episodes: Count | None = None
    lengthMin: Count | None = None
    imageVersionRoute: str | None = None
    stats: Stats | None = None
    names: Names | None = None
    relations: Relations | None = None
    websites: Websites | None = None
    updatedAt: Moment = None
    """Undocumented; newer objects may have it."""


class Row(Words):
    """One row of a timetable: an episode, or several at once, in one air type."""

    route: Route
    status: str | None = None
    """Of the Japanese broadcast, whatever the air type."""
    airType: Literal["raw", "sub", "dub"]
    """How it airs; what was asked for may have been another kind."""
    airingStatus: Literal["aired", "airing", "unaired", "delayed-air"]
    """When the timetable was asked for."""
    episodeDate: Moment
    """Of this episode in this air type; the old one while it is delayed."""
    episodeNumber: Annotated[int, Field(ge=0, le=100_000)]
    """The highest where several air at once."""
    subtractedEpisodeNumber: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """The lowest where several air at once; 0: there is one."""
    delayedUntil: Moment = None
    """End of the present or a former delay."""


KNOWN_PAGE = frozenset(ListPage.model_fields)
KNOWN_SHOW = frozenset(Show.model_fields) | {
    *("subPremier", "dubPremier", "subDelayedTimetable", "subDelayedFrom", "subDelayedUntil", "subDelayedDesc"),
    *("dubDelayedTimetable", "dubDelayedFrom", "dubDelayedUntil", "dubDelayedDesc", "delayedDesc"),
    *("jpnTime", "subTime", "dubTime", "days", "createdAt"),
}
KNOWN_SEASON = frozenset(Season.model_fields) | {"title", "route"}
KNOWN_STATS = frozenset(Stats.model_fields) | {"trackedCount", "trackedRating", "colorLightMode", "colorDarkMode"}
KNOWN_WEBSITES = frozenset(Websites.model_fields) | {
    *("official", "crunchyroll", "funimation", "wakanim", "amazon", "hidive", "hulu", "youtube", "netflix", "streams"),
}
KNOWN_ROW = frozenset(Row.model_fields) | {
    *(
        "title",
        "romaji",
        "english",
        "native",
        "delayedText",
        "delayedFrom",
        "episodes",
        "lengthMin",
        "donghua",
        "mediaTypes",
    ),
    *("imageVersionRoute", "streams"),
}
"""Fields that somebody has seen or documented; those not modelled above say nothing that an item holds."""
NESTED = {
    "season": KNOWN_SEASON,
    "stats": KNOWN_STATS,
    "names": frozenset(Names.model_fields),
    "relations": frozenset(Relations.model_fields),
    "websites": KNOWN_WEBSITES,
}
USUAL_ROW = ("status", "delayedUntil")
"""Optional fields that no recorded timetable lacked altogether. Lists of anime are too short to tell."""


def list_page_from_document(document: Any) -> ListPage:
    """The envelope of a list or search answer.

    Raises:
        ResponseError: the document is something else. The message says what.
    """
    return envelope(ListPage, document, "a page of anime")


def show_from_document(document: Any) -> dict[str, Any]:
    """The object of one anime, as it is; its fields are checked when it is parsed.

    Raises:
        ResponseError: the document is something else.
    """
    if not is_show(document):
        raise ResponseError(f"an anime with title and route was expected, there was {shape_of(document)}")
    found: dict[str, Any] = document
    return found


def rows_from_document(document: Any) -> list[Any]:
    """The rows of a timetable, each checked when it is parsed; may be empty.

    Raises:
        ResponseError: the document is something else.
    """
    if not isinstance(document, list):
        raise ResponseError(f"a list of timetable rows was expected, there was {shape_of(document)}")
    if document and not any(map(is_row, document)):
        raise ResponseError("a list of timetable rows was expected, there is none in this list")
    return document


def check_document(document: Any, path: str) -> None:
    """Refuse a document that is not of the kind that the path of its address is for.

    Raises:
        ResponseError: it is something else.
    """
    if re.search(r"/timetables(/[a-z]+)?$", path):
        rows_from_document(document)
    elif re.search(r"/anime/[^/]+$", path):
        show_from_document(document)
    else:
        list_page_from_document(document)


def is_show(record: Any) -> bool:
    """Whether it looks like an anime; genres and studios have a route, but no title."""
    return isinstance(record, dict) and "title" in record and "route" in record and not is_row(record)


def is_row(record: Any) -> bool:
    """Whether it looks like a timetable row."""
    return isinstance(record, dict) and "airType" in record


def drift(document: Any) -> Drift:
    """`drift` counts what of a page of anime, an anime or a timetable no longer matches the models above."""
    counts: Drift = Drift()
    if isinstance(document, dict) and "anime" in document:
        count_unknown(counts, [document], "", KNOWN_PAGE)
    rows = [record for record in records_of(document) if is_row(record)]
    shows = [record for record in records_of(document) if is_show(record)]
    count_unknown(counts, rows, "timetable.", KNOWN_ROW)
    count_vanished(counts, rows, "timetable.", USUAL_ROW)
    count_unknown(counts, shows, "anime.", KNOWN_SHOW)
    for field, known in NESTED.items():
        count_unknown(counts, [show.get(field) for show in shows], f"anime.{field}.", known)
    return counts


def records_of(document: Any) -> list[Any]:
    """The anime or rows in a document, whatever kind of answer it is."""
    if isinstance(document, dict) and isinstance(document.get("anime"), list):
        found: list[Any] = document["anime"]
        return found
    return document if isinstance(document, list) else [document]
