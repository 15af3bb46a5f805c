"""AniList's own words: the GraphQL objects, the fields that we use.

Source: its schema reference of 2026-03 and answers recorded 2023 to 2026. Everything but ids may be null, and is left
out where it was not selected.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from anime_crawler.base_spiders import Drift, ResponseError, Words, count_unknown, count_vanished, explain, shape_of
from anime_crawler.base_spiders.graphql import Unresolved, error_text
from anime_crawler.base_spiders.graphql import unresolved as unresolved_at

Id = Annotated[str, Field(pattern=r"^[1-9]\d*$")]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of episodes or minutes."""
Unix = Annotated[int, Field(ge=0, le=4_102_444_800)]
"""Seconds since 1970, UTC; until 2100."""
Percent = Annotated[float, Field(ge=0, le=100)]


TITLES = """
query ($page: Int, $ids: [Int], $search: String, $from: FuzzyDateInt, $to: FuzzyDateInt, $status: [MediaStatus],
       $format: [MediaFormat], $sort: [MediaSort], $perPage: Int = 50) {
  Page(page: $page, perPage: $perPage) {
    pageInfo { hasNextPage }
    media(type: ANIME, id_in: $ids, search: $search, startDate_greater: $from, startDate_lesser: $to,
          status_in: $status, format_in: $format, sort: $sort) {
      id idMal type format status(version: 2) title { romaji english native } synonyms description(asHtml: false)
      startDate { year month day } endDate { year month day } season seasonYear episodes duration source(version: 3)
      coverImage { extraLarge large } genres tags { name isMediaSpoiler } averageScore meanScore isAdult updatedAt
      siteUrl studios { edges { isMain node { name } } } nextAiringEpisode { id airingAt episode }
      relations { edges { relationType(version: 2) node { id type title { romaji } } } }
    }
  }
}"""
"""One query for all lists of titles: filters whose variable is not given do not count."""
AIRINGS = """
query ($page: Int, $from: Int, $to: Int, $perPage: Int = 50) {
  Page(page: $page, perPage: $perPage) {
    pageInfo { hasNextPage }
    airingSchedules(airingAt_greater: $from, airingAt_lesser: $to, sort: [TIME, ID]) { id airingAt episode mediaId }
  }
}"""
CHARACTERS = """
query ($id: Int, $page: Int) {
  Media(id: $id, type: ANIME) {
    id
    characters(page: $page, perPage: 25, sort: [ROLE, RELEVANCE, ID]) {
      pageInfo { hasNextPage }
      edges { role node { id name { full native } image { large } } voiceActors { name { full native } languageV2 } }
    }
  }
}"""
"""25 is the most of any list inside a title."""


class FuzzyDate(Words):
    """A date known in part; the object is there with three nulls when nothing is known."""

    year: int | None = None
    month: int | None = None
    day: int | None = None


class MediaTitle(Words):
    romaji: str | None = None
    english: str | None = None
    native: str | None = None


class CoverImage(Words):
    extraLarge: str | None = None  # noqa: N815  the upstream's word, as all below
    large: str | None = None


class Tag(Words):
    name: str | None = None
    isMediaSpoiler: bool | None = None  # noqa: N815
    """It spoils this title; ``isGeneralSpoiler``: it may spoil any."""


class Studio(Words):
    name: str | None = None


class StudioEdge(Words):
    isMain: bool | None = None  # noqa: N815
    node: Studio | None = None


class Studios(Words):
    edges: list[StudioEdge | None] | None = None


class RelatedTitle(Words):
    romaji: str | None = None
    userPreferred: str | None = None  # noqa: N815


class RelatedMedia(Words):
    id: Id
    type: str | None = None
    """``ANIME`` or ``MANGA``."""
    title: RelatedTitle | None = None


class RelationEdge(Words):
    relationType: str | None = None  # noqa: N815
    node: RelatedMedia | None = None


class Relations(Words):
    edges: list[RelationEdge | None] | None = None


class AiringNode(Words):
    """``AiringSchedule``: one episode's time. ``mediaId`` only where it is not inside its title."""

    id: Id | None = None
    airingAt: Unix  # noqa: N815
    episode: Count
    mediaId: Id | None = None  # noqa: N815


class PageInfo(Words):
    """Its other numbers are not true."""

    hasNextPage: bool  # noqa: N815


class AiringSchedule(Words):
    nodes: list[Any] | None = None
    """Each checked alone as `AiringNode`."""


class Characters(Words):
    pageInfo: PageInfo | None = None  # noqa: N815
    edges: list[Any] | None = None
    """Each checked alone as `CharacterEdge`."""


class Name(Words):
    full: str | None = None
    native: str | None = None


class Image(Words):
    large: str | None = None


class CharacterNode(Words):
    id: Id
    name: Name
    image: Image | None = None


class VoiceActorNode(Words):
    name: Name | None = None
    language: str | None = Field(None, validation_alias=AliasChoices("languageV2", "language"))
    """``Japanese``; the older field says ``JAPANESE``."""


class CharacterEdge(Words):
    role: str | None = None
    """``MAIN``, ``SUPPORTING``, ``BACKGROUND``."""
    node: CharacterNode
    voiceActors: list[VoiceActorNode | None] | None = None  # noqa: N815


class Media(Words):
    id: Id
    idMal: str | None = None  # noqa: N815
    type: str | None = None
    format: str | None = None
    status: str | None = None
    title: MediaTitle | None = None
    synonyms: list[str | None] | None = None
    description: str | None = None
    startDate: FuzzyDate | None = None  # noqa: N815
    endDate: FuzzyDate | None = None  # noqa: N815
    season: str | None = None
    seasonYear: int | None = None  # noqa: N815
    episodes: Count | None = None
    duration: Count | None = None
    source: str | None = None
    coverImage: CoverImage | None = None  # noqa: N815
    genres: list[str | None] | None = None
    tags: list[Tag | None] | None = None
    averageScore: Percent | None = None  # noqa: N815
    meanScore: Percent | None = None  # noqa: N815
    isAdult: bool | None = None  # noqa: N815
    updatedAt: Unix | None = None  # noqa: N815
    siteUrl: str | None = None  # noqa: N815
    studios: Studios | None = None
    nextAiringEpisode: AiringNode | None = None  # noqa: N815
    airingSchedule: AiringSchedule | None = None  # noqa: N815
    relations: Relations | None = None
    characters: Characters | None = Field(None, validation_alias=AliasChoices("characters", "characterPreview"))
    """The web site calls its first few ``characterPreview``."""


class Page(Words):
    """A page of one list; two of the three are ``None``."""

    pageInfo: PageInfo  # noqa: N815
    media: list[Any] | None = None
    airingSchedules: list[Any] | None = None  # noqa: N815

    @property
    def records(self) -> list[Any]:
        """The records of the page, each to be checked alone; may be empty."""
        return self.media if self.media is not None else self.airingSchedules or []


class Data(Words):
    page: Page | None = Field(None, alias="Page")
    media: dict[str, Any] | None = Field(None, alias="Media")


def data_from_document(document: Any) -> Data:
    """The data that was asked for: a page of titles or airings, or one title.

    Raises:
        ResponseError: the document is something else. The message says what.
    """
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        found = shape_of(document.get("data") if isinstance(document, dict) else document)
        raise ResponseError(f"an object with data was expected, there was {found}")
    try:
        data = Data.model_validate(document["data"])
    except ValidationError as error:
        raise ResponseError(f"not a page or title of AniList: {explain(error)}") from None
    is_page = data.page and (data.page.media is not None or data.page.airingSchedules is not None)
    if not is_page and not data.media:
        raise ResponseError("the data hold neither a page of titles or airings nor a title")
    return data


def errors_of(document: Any) -> list[tuple[int | None, str]]:
    """Status and message of each of GraphQL's errors; empty when there are none."""
    errors = document.get("errors") if isinstance(document, dict) else None
    return [_error(error) for error in errors] if isinstance(errors, list) else []


def _error(error: Any) -> tuple[int | None, str]:
    status = error.get("status") if isinstance(error, dict) else None
    return status if type(status) is int else None, error_text(error)


def is_usable(document: Any) -> bool:
    """Whether data that stand beside errors are of use: a page that lists something, or a title.

    An empty page may be empty because of the error, and would end a walk.
    """
    try:
        data = data_from_document(document)
    except ResponseError:
        return False
    return bool(data.page.records if data.page else data.media)


def unresolved(document: Any) -> Unresolved:
    """The messages of GraphQL's errors beside the data, by title or for any title."""
    return unresolved_at(document, ("Page", "media"), alone="Media")


def id_of(record: Any) -> int | None:
    """A listed record's id, as far as it has one."""
    own = record.get("id") if isinstance(record, dict) else None
    return own if type(own) is int else None


def change_of(record: Any) -> int | None:
    """Unix time of a title's last change."""
    at = record.get("updatedAt") if isinstance(record, dict) else None
    return at if type(at) is int else None


def changes_of(records: list[Any]) -> list[int]:
    """Those of a page, in its order."""
    return [at for at in map(change_of, records) if at]


def has_date(record: Any) -> bool:
    """Whether the year a title began in is known."""
    date = record.get("startDate") if isinstance(record, dict) else None
    return bool(isinstance(date, dict) and date.get("year"))


def key_of(record: Any, sort: str) -> tuple[int, ...] | None:
    """The key that a list in this order is sorted by, ascending; ``None``: the record does not tell it."""
    own, record = id_of(record), record if isinstance(record, dict) else {}
    if own is None or sort == "ID":
        return None if own is None else (own,)
    if sort == "START_DATE":  # only what has no date, which comes first
        return int(has_date(record)), own
    at = change_of(record) if sort == "UPDATED_AT_DESC" else record.get("airingAt")
    return (-at if sort == "UPDATED_AT_DESC" else at, own) if type(at) is int else None


def has_more_characters(record: dict[str, Any] | None) -> bool:
    """Whether a title's list of characters goes on."""
    info: Any = record
    for name in ("characters", "pageInfo"):
        info = info.get(name) if isinstance(info, dict) else None
    return isinstance(info, dict) and info.get("hasNextPage") is True


MEDIA_STATUSES = ("FINISHED", "RELEASING", "NOT_YET_RELEASED", "CANCELLED", "HIATUS")
MEDIA_FORMATS = ("TV", "TV_SHORT", "MOVIE", "SPECIAL", "OVA", "ONA", "MUSIC")
FIRST_DATE, LAST_DATE = 1900_00_00, 2100_00_00


class Slice(BaseModel):
    """A list that is walked page by page. Dates are AniList's: ``20200400`` is April 2020, day unknown."""

    model_config = ConfigDict(frozen=True)

    sort: Literal["ID", "START_DATE", "UPDATED_AT_DESC", "TIME"]
    """``START_DATE``: only the titles without one, which come first. ``TIME``: airings, the others are titles."""
    low: int | None = None
    """The first date that belongs to it, Unix time for airings; ``None``: open."""
    high: int | None = None
    """The first date that does not any more."""
    status: str | None = None
    format: str | None = None

    def variables(self) -> dict[str, Any]:
        """Of its query; bounds are exclusive there."""
        if self.sort == "TIME":
            return {"from": self.low, "to": self.high}
        bounds = {"from": None if self.low is None else date_at(index_of(self.low) - 1), "to": self.high}
        given = {**bounds, "status": self.status and [self.status], "format": self.format and [self.format]}
        sort = [self.sort] if self.sort == "ID" else [self.sort, "ID"]
        return {"sort": sort, **{name: value for name, value in given.items() if value is not None}}

    def split(self) -> list[Slice]:
        """Its parts, when it is too long to be read to its end; none when there are no smaller ones."""
        ways = [self._by_date, self._by_status, self._by_format]
        if self.sort != "ID":  # what has no date would be lost, and is the whole of START_DATE
            ways = [*ways[1:], *([] if self.sort == "START_DATE" else ways[:1])]
        return next((parts for way in ways if self.sort != "TIME" and (parts := way())), [])

    def _by_date(self) -> list[Slice]:
        low, high = index_of(self.low or FIRST_DATE), index_of(self.high or LAST_DATE)
        if high - low < 2:
            return []
        middle = date_at((low + high) // 2)
        return [self.model_copy(update={"high": middle}), self.model_copy(update={"low": middle})]

    def _by_status(self) -> list[Slice]:
        return [] if self.status else [self.model_copy(update={"status": word}) for word in MEDIA_STATUSES]

    def _by_format(self) -> list[Slice]:
        return [] if self.format else [self.model_copy(update={"format": word}) for word in MEDIA_FORMATS]


def index_of(date: int) -> int:
    """Place of a date among all that AniList can write: 13 months a year, 32 days each, 0 for unknown."""
    return (date // 10_000 * 13 + date // 100 % 100) * 32 + date % 100


def date_at(index: int) -> int:
    """The date at a place; the other way round."""
    months, day = divmod(index, 32)
    return months // 13 * 10_000 + months % 13 * 100 + day


KNOWN_MEDIA = frozenset(Media.model_fields)
"""The fields that our queries select."""
KNOWN_AIRING = frozenset(AiringNode.model_fields)
USUAL_MEDIA = ("title", "format", "status", "startDate", "coverImage", "genres", "source", "siteUrl", "updatedAt")
"""Optional fields that a page of 20 titles never lacked altogether."""


def drift(document: dict[str, Any]) -> Drift:
    """`drift` counts what no longer matches the models above. Null counts as missing: we name what we want."""
    counts: Drift = Drift()
    data = document.get("data")
    page = data.get("Page") if isinstance(data, dict) else None
    if isinstance(page, dict):
        titles, airings = _objects(page.get("media")), _objects(page.get("airingSchedules"))
        count_unknown(counts, titles, "", KNOWN_MEDIA)
        count_unknown(counts, airings, "airingSchedules.", KNOWN_AIRING)
        filled = [{name: value for name, value in title.items() if value is not None} for title in titles]
        count_vanished(counts, filled, "", USUAL_MEDIA)
    return counts


def _objects(records: Any) -> list[dict[str, Any]]:
    return [r for r in records if isinstance(r, dict)] if isinstance(records, list) else []
