"""Jikan's own words: titles, rows of episodes, characters, and the envelopes they come in.

Source: the OpenAPI document of jikan-rest (2025-04), corrected by answers recorded 2022 to 2026. Nearly everything may
be null, whatever the document says.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from anime_crawler.base_spiders import (
    Drift,
    checked,
    count_unknown,
    count_vanished,
    envelope,
    mapped,
    note,
)
from anime_crawler.normalize.date import read_date

Id = Annotated[int, Field(ge=1, le=2**31)]
"""MyAnimeList's number of a title, character or person."""
Count = Annotated[int, Field(ge=0, le=2**31)]
"""A number of episodes, votes, or a rank. 0 means unknown."""
DAYS = {
    f"{day}s": number
    for number, day in enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"))
}
"""Weekday of a broadcast -> ``date.weekday()``."""
DURATION = re.compile(r"(?:(\d{1,4}) hrs?)?\s*(?:(\d{1,4}) min)?\s*(?:(\d{1,4}) sec)?(?: per ep)?")
PLACEHOLDER = re.compile(r"apple-touch-icon|questionmark|/icon/")
"""Pictures that MyAnimeList serves where it has none."""
WHOLE_DAY, WHOLE_MONTH, WHOLE_YEAR = 10, 7, 4  # characters of an ISO date that are known
PRECISIONS = {
    WHOLE_DAY: re.compile(r"[A-Z][a-z]{2} \d{1,2}, \d{4}"),
    WHOLE_MONTH: re.compile(r"[A-Z][a-z]{2} \d{4}"),
    WHOLE_YEAR: re.compile(r"\d{4}"),
}
EXTERNAL_IDS = {
    "anidb": re.compile(r"[?&]aid=(\d+)|anidb\.net/(?:anime/|a)(\d+)"),
    "ann": re.compile(r"anime\.php\?id=(\d+)"),
    "bangumi": re.compile(r"/subject/(\d+)"),
    "syoboi": re.compile(r"/tid/(\d+)"),
}
"""Name of a link, in small letters, which is our name of the catalogue -> where the id is."""
NO_DATE = frozenset({"", "?", "Not available"})


class Words(BaseModel):
    """Base: unknown fields are counted by `drift`, not here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Picture(Words):
    image_url: str | None = None
    large_image_url: str | None = None


class Images(Words):
    jpg: Picture | None = None
    webp: Picture | None = None

    def real(self) -> list[str]:
        """Addresses, the best first: the largest, WebP before JPEG; without what stands where there is no picture."""
        forms = [form for form in (self.webp, self.jpg) if form]
        urls = [form.large_image_url for form in forms] + [form.image_url for form in forms]
        return [url for url in urls if url and not PLACEHOLDER.search(url)]


class Name(Words):
    """One title: ``Default``, ``Synonym``, ``Japanese``, or a language."""

    type: str
    title: str | None = None


class Day(Words):
    """Parts of a date, computed from the filled-in one."""

    day: int | None = None
    month: int | None = None
    year: int | None = None


class Parts(Words):
    from_: Day | None = Field(None, alias="from")
    to: Day | None = None


class Aired(Words):
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    prop: Parts | None = None
    string: str | None = None
    """``Oct 3, 2022 to ?``, ``Jan 2023 to ?``, ``2011``, ``Not available``: how much of the dates is known."""


class Broadcast(Words):
    day: str | None = None
    """``Mondays``."""
    time: str | None = None
    """``21:00``."""
    timezone: str | None = None

    def slot(self) -> tuple[int, int] | None:
        """Weekday (Monday is 0) and minute of the day, in Japan; ``None``: not both are known.

        A weekday or time of another form is noted.
        """
        if not self.day or not self.time or self.timezone not in (None, "Asia/Tokyo"):
            return None
        match = re.fullmatch(r"([0-2]?\d):([0-5]\d)", self.time.strip())
        if match is None:
            note("broadcast.time: not a time")
            return None
        weekday = mapped(DAYS, self.day.strip(), "broadcast.day")
        return None if weekday is None else (weekday, int(match[1]) * 60 + int(match[2]))


class Entity(Words):
    """A genre, theme, studio, person."""

    mal_id: int | None = None
    name: str | None = None


class RelationEntry(Words):
    mal_id: Id
    type: str | None = None
    name: str | None = None


class RelationGroup(Words):
    relation: str | None = None
    entry: list[RelationEntry] | None = None


class Link(Words):
    """An address elsewhere."""

    name: str | None = None
    url: str | None = None

    def catalogue_id(self) -> tuple[str, str] | None:
        """Our name of the catalogue, and the id there; ``None``: no id that we keep."""
        catalogue = (self.name or "").casefold()
        match = EXTERNAL_IDS[catalogue].search(self.url or "") if catalogue in EXTERNAL_IDS else None
        return (catalogue, next(filter(None, match.groups()))) if match else None


class Title(Words):
    """One anime; the last two fields come with ``/full`` only."""

    mal_id: Id
    url: str | None = None
    images: Images | None = None
    titles: list[Name] | None = None
    title: str | None = None
    title_english: str | None = None
    title_japanese: str | None = None
    title_synonyms: list[str | None] | None = None
    type: str | None = None
    source: str | None = None
    episodes: Count | None = None
    status: str | None = None
    aired: Aired | None = None
    duration: str | None = None
    rating: str | None = None
    score: float | None = None
    scored_by: Count | None = None
    rank: Count | None = None
    popularity: Count | None = None
    synopsis: str | None = None
    season: str | None = None
    year: int | None = None
    broadcast: Broadcast | None = None
    studios: list[Entity] | None = None
    genres: list[Entity] | None = None
    explicit_genres: list[Entity] | None = None
    themes: list[Entity] | None = None
    demographics: list[Entity] | None = None
    relations: list[RelationGroup] | None = None
    external: list[Link] | None = None


class EpisodeRow(Words):
    """A row of ``/episodes``, or the one of ``/episodes/{n}``, which alone has `duration`."""

    mal_id: Annotated[int, Field(ge=0, le=1_000_000)]
    """The episode's number."""
    url: str | None = None
    """Null where MyAnimeList has no page of it."""
    title: str | None = None
    title_japanese: str | None = None
    title_romanji: str | None = None
    aired: str | None = None
    duration: Count | None = None
    """Seconds."""
    filler: bool | None = None
    recap: bool | None = None


class Voice(Words):
    person: Entity | None = None
    language: str | None = None


class CharacterWords(Words):
    mal_id: Id
    name: str | None = None
    images: Images | None = None


class CharacterRow(Words):
    """A character and its part in one title."""

    character: CharacterWords
    role: str | None = None
    voice_actors: list[Voice] | None = None


class Pagination(Words):
    """Older answers have only the first field, and so have lists of episodes, where it lies."""

    has_next_page: bool | None = None
    items: dict[str, Count | None] | None = None


class ListPage(Words):
    """Envelope of every list."""

    pagination: Pagination | None = None
    data: list[Any]
    """Records, each checked alone."""

    @property
    def total(self) -> int | None:
        """How many records all pages have together, as the server counts at this moment."""
        return self.pagination.items.get("total") if self.pagination and self.pagination.items else None

    def has_more(self, page: int, size: int) -> bool:
        """Whether a page after this one, the `page`-th of `size`, is worth asking for. An empty one is the last."""
        says_so = bool(self.pagination and self.pagination.has_next_page)
        return bool(self.data) and (says_so or page * size < (self.total or 0))


class Single(Words):
    """Envelope of one record."""

    data: dict[str, Any]


def day_of(moment: str | None, path: str) -> str | None:
    """First ten characters of what is written as a moment; its zone is right or wrong by accident.

    What is no date is noted.
    """
    return checked(read_date, (moment or "")[:WHOLE_DAY], f"{path}: not a date")


def moment_of(header: bytes | None) -> datetime | None:
    """The moment in a ``Last-Modified``; ``None``: none that can be read."""
    try:
        moment = parsedate_to_datetime((header or b"").decode("latin-1"))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def known_part(moment: str | None, words: str, parts: Day | None, path: str) -> str | None:
    """The day of `moment`, cut to what is known: `words` say it, and `parts` where they are not filled in.

    What is no date, and words of an unknown form, are noted: how much of the date is known is unknown then.
    """
    day, words = day_of(moment, path), words.strip()
    if day is None or words in NO_DATE:
        return None
    known = next((length for length, form in PRECISIONS.items() if form.fullmatch(words)), None)
    if known is None:
        note(f"{path}: how much of it is known is said in an unknown form")
        return None
    if parts and parts.year and not parts.day:
        known = min(known, WHOLE_MONTH if parts.month else WHOLE_YEAR)
    return day[:known]


def minutes_of(duration: str | None) -> int | None:
    """Minutes of ``1 hr 35 min``, ``23 min per ep``; seconds alone are one minute; ``None`` for ``Unknown``.

    Another form is noted.
    """
    text = (duration or "").strip()
    if text in ("", "Unknown"):
        return None
    match = DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        note("duration: an unknown form")
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 60 + minutes or (1 if seconds else None)


def page_from_document(document: Any) -> ListPage:
    """The envelope of a list.

    Raises:
        ResponseError: the document is something else. The message says what.
    """
    return envelope(ListPage, document, "an answer with a list of records")


def record_from_document(document: Any) -> dict[str, Any]:
    """The record of an answer about one title or episode.

    Raises:
        ResponseError: the document is something else. The message says what.
    """
    return envelope(Single, document, "an answer with one record").data


def error_from_document(document: Any) -> tuple[str, str] | None:
    """Type and message of Jikan's error; ``None``: it is none. The status inside it is text or a number: not read."""
    if not isinstance(document, dict) or "data" in document or not isinstance(document.get("type"), str):
        return None
    said = document.get("message") or document.get("messages")
    if isinstance(said, dict):  # of a refused parameter: {"limit": ["…"]}
        said = "; ".join(f"{name}: {texts}" for name, texts in said.items())
    return document["type"], str(said or "no message")[:300]


def numbers_of(records: list[Any]) -> list[int]:
    """``mal_id`` of a page's records as they are, in their order."""
    found = (record.get("mal_id") for record in records if isinstance(record, dict))
    return [number for number in found if isinstance(number, int)]


def days_of(records: list[Any], end: str) -> list[str]:
    """Days on which a page's titles began (`end` is ``from``) or ended (``to``), as they are written."""
    aired = (record.get("aired") for record in records if isinstance(record, dict))
    days = (words.get(end) for words in aired if isinstance(words, dict))
    return [day[:WHOLE_DAY] for day in days if isinstance(day, str)]


KNOWN_ENVELOPE = frozenset({"pagination", "data"})
KNOWN_TITLE = frozenset(Title.model_fields) | {
    *("trailer", "approved", "airing", "members", "favorites", "background", "producers", "licensors"),
    *("theme", "streaming"),
}
KNOWN_EPISODE = frozenset(EpisodeRow.model_fields) | {"score", "forum_url", "synopsis"}
KNOWN_CHARACTER = frozenset(CharacterRow.model_fields) | {"favorites"}
"""Fields that somebody has seen or documented; those not modelled above say nothing that an item holds."""
USUAL_TITLE = ("titles", "title", "type", "status", "aired", "images", "score", "genres", "synopsis")
USUAL_EPISODE = ("title", "aired", "filler", "recap")
USUAL_CHARACTER = ("role", "voice_actors")
"""Optional fields that every record of a page has, null or not; when a whole page lacks one, it has been renamed."""


def drift(document: dict[str, Any]) -> Drift:
    """`drift` counts what of an answer no longer matches the models above."""
    counts: Drift = Drift()
    data = document.get("data")
    records = [r for r in (data if isinstance(data, list) else [data]) if isinstance(r, dict)]
    count_unknown(counts, [document], "", KNOWN_ENVELOPE)
    known, usual = _words_of(records)
    count_unknown(counts, records, "data.", known)
    count_vanished(counts, records, "data.", usual)
    return counts


def _words_of(records: list[dict[str, Any]]) -> tuple[frozenset[str], tuple[str, ...]]:
    if any("character" in record for record in records):
        return KNOWN_CHARACTER, USUAL_CHARACTER
    if any("filler" in record for record in records):
        return KNOWN_EPISODE, USUAL_EPISODE
    return KNOWN_TITLE, USUAL_TITLE
