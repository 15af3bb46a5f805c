"""Shikimori's own words: GraphQL's ``Anime`` and the REST objects, the fields that we use.

Source: the introspected GraphQL schema of 2026-07 and REST answers recorded 2017 to 2026. Everything but id and name
may be null or left out of a selection.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from anime_crawler.base_spiders import Drift, Moment, Words, count_unknown, count_vanished, envelope
from anime_crawler.base_spiders.graphql import Unresolved, error_text
from anime_crawler.base_spiders.graphql import unresolved as unresolved_at

Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of episodes or minutes."""


class IncompleteDate(Words):
    """A date known in part. Its ``date`` has invented parts and is not read."""

    year: int | None = None
    month: int | None = None
    day: int | None = None


class Poster(Words):
    originalUrl: str | None = None  # noqa: N815  the upstream's word, as all below
    main2xUrl: str | None = None  # noqa: N815
    mainUrl: str | None = None  # noqa: N815


class Genre(Words):
    name: str | None = None
    russian: str | None = None
    kind: str | None = None
    """``genre``, ``theme``, ``demographic``; REST says ``genre`` (before 2023 ``anime``) for all."""


class Studio(Words):
    name: str


class ExternalLink(Words):
    kind: str | None = None
    url: str | None = None


class RelatedWork(Words):
    id: str
    name: str | None = None


class Related(Words):
    """Exactly one of `anime` and `manga` is set."""

    relationKind: str | None = None  # noqa: N815
    anime: RelatedWork | None = None
    manga: RelatedWork | None = None


class Title(Words):
    """GraphQL's ``Anime``."""

    id: str = Field(pattern=r"^[1-9]\d*$")
    malId: str | None = None  # noqa: N815
    name: str | None = None
    russian: str | None = None
    licenseNameRu: str | None = None  # noqa: N815
    english: str | None = None
    japanese: str | None = None
    synonyms: list[str | None] | None = None
    kind: str | None = None
    rating: str | None = None
    origin: str | None = None
    score: float | None = None
    status: str | None = None
    episodes: Count | None = None
    episodesAired: Count | None = None  # noqa: N815
    duration: Count | None = None
    airedOn: IncompleteDate | None = None  # noqa: N815
    releasedOn: IncompleteDate | None = None  # noqa: N815
    season: str | None = None
    url: str | None = None
    franchise: str | None = None
    nextEpisodeAt: Moment | None = None  # noqa: N815
    updatedAt: Moment | None = None  # noqa: N815
    poster: Poster | None = None
    genres: list[Genre] | None = None
    studios: list[Studio] | None = None
    externalLinks: list[ExternalLink] | None = None  # noqa: N815
    related: list[Related] | None = None
    description: str | None = None


class Image(Words):
    original: str | None = None


class RestTitle(Words):
    """REST's short object, and the full one, which has everything."""

    id: str = Field(pattern=r"^[1-9]\d*$")
    name: str | None = None
    russian: str | None = None
    license_name_ru: str | None = None
    english: list[str | None] | None = None
    japanese: list[str | None] | None = None
    synonyms: list[str | None] | None = None
    kind: str | None = None
    rating: str | None = None
    score: str | None = None
    """A number in a string: ``"8.72"``."""
    status: str | None = None
    episodes: Count | None = None
    episodes_aired: Count | None = None
    duration: Count | None = None
    aired_on: str | None = None
    """Filled in: month and day 1, year 1901 where they are unknown."""
    released_on: str | None = None
    url: str | None = None
    franchise: str | None = None
    next_episode_at: Moment | None = None
    updated_at: Moment | None = None
    image: Image | None = None
    genres: list[Genre] | None = None
    studios: list[Studio] | None = None
    description: str | None = None


class Answer(Words):
    """Envelope of a GraphQL answer; ``errors`` may stand beside data."""

    class Data(Words):
        animes: list[Any]

    data: Data
    errors: list[Any] | None = None


def answer_from_document(document: Any) -> Answer:
    """The envelope.

    Raises:
        ResponseError: the document is something else. The message says what.
    """
    return envelope(Answer, document, "a GraphQL answer")


def messages(document: Any) -> list[str]:
    """The errors that GraphQL or REST names; empty when there are none."""
    if not isinstance(document, dict):
        return []
    errors = document.get("errors", [document] if "code" in document else None)
    if not isinstance(errors, list):
        return []
    return [error_text(error) for error in errors]


def unresolved(document: Any) -> Unresolved:
    """The messages of GraphQL's errors beside the data, by title or for any title."""
    return unresolved_at(document, ("animes",))


def is_exception(document: Any) -> bool:
    """Whether a resolver failed: one bad title, not a bad query."""
    errors = document.get("errors") if isinstance(document, dict) else None
    return isinstance(errors, list) and any(isinstance(e, dict) and "exception" in e for e in errors)


def has_titles(document: Any) -> bool:
    """Whether an answer holds titles, with or without errors beside them."""
    data = document.get("data") if isinstance(document, dict) else None
    animes = data.get("animes") if isinstance(data, dict) else None
    return isinstance(animes, list) and any(isinstance(record, dict) for record in animes)


KNOWN_TITLE = frozenset(Title.model_fields) | {
    *("isCensored", "createdAt", "fansubbers", "fandubbers", "licensors", "descriptionSource"),
}
"""The fields that our query selects."""
USUAL_TITLE = ("russian", "kind", "status", "score", "airedOn", "poster", "genres", "updatedAt")
"""Optional fields that a page of 20 titles never lacked altogether."""


def drift(animes: list[Any]) -> Drift:
    """`drift` counts what no longer matches the models above. Null counts as missing: we name what we want."""
    counts: Drift = Drift()
    titles = [title for title in animes if isinstance(title, dict)]
    count_unknown(counts, titles, "", KNOWN_TITLE)
    filled = [{name: value for name, value in title.items() if value is not None} for title in titles]
    count_vanished(counts, filled, "", USUAL_TITLE)
    return counts
