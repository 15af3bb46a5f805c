"""Kitsu's own words: JSON:API's envelope, and the attributes of each type that we use.

Source: answers recorded 2025-05 and 2025-06, the server's resources of 2024-10, its API documentation of 2023-10.
Every attribute may be null, and absent where ``fields[…]`` did not name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from anime_crawler.base_spiders import (
    Drift,
    Moment,
    Words,
    count_unknown,
    count_vanished,
    envelope,
    explain,
    note,
    read,
    shape_of,
)

Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of episodes or minutes."""
Id = Annotated[str, Field(pattern=r"^[1-9]\d*$")]
OWNER = re.compile(r"/anime/([1-9]\d*)/(?:episodes|characters)\b")
Names = dict[str, str | None]
"""Language -> title or name: ``en``, ``en_jp`` (romaji), ``ja_jp``, … Values may be null."""


Row = TypeVar("Row", bound=Words)


class Reference(Words):
    """A resource identifier: where to look in ``included``."""

    type: str
    id: str


class ToMany(Words):
    """A relationship; `data` is there only where it was included."""

    data: list[Reference] | None = None


class ToOne(Words):
    data: Reference | None = None


class Image(Words):
    original: str | None = None
    large: str | None = None


class AnimeAttributes(Words):
    titles: Names | None = None
    canonicalTitle: str | None = None  # noqa: N815  the upstream's word, as all below
    abbreviatedTitles: list[str | None] | None = None  # noqa: N815
    description: str | None = None
    averageRating: str | None = None  # noqa: N815
    """Percent in a string: ``"82.28"``."""
    startDate: str | None = None  # noqa: N815
    endDate: str | None = None  # noqa: N815
    nextRelease: Moment | None = None  # noqa: N815
    ageRating: str | None = None  # noqa: N815
    ageRatingGuide: str | None = None  # noqa: N815
    """Free text: ``Teens 13 or older``, ``17+ (violence & profanity)``, ``Mild Nudity``, ""."""
    subtype: str | None = None
    """Upper and lower case mixed: ``TV``, ``special``."""
    status: str | None = None
    tba: str | None = None
    """Free text: "October 2025", "2026", "tba", ""."""
    posterImage: Image | None = None  # noqa: N815
    episodeCount: Count | None = None  # noqa: N815
    episodeLength: Count | None = None  # noqa: N815
    """Minutes."""
    nsfw: bool | None = None
    updatedAt: Moment | None = None  # noqa: N815
    """Of the last daily job; says when the answer was made, not when somebody changed the row."""


class AnimeRelationships(Words):
    genres: ToMany = ToMany()
    categories: ToMany = ToMany()
    mappings: ToMany = ToMany()
    animeProductions: ToMany = ToMany()  # noqa: N815
    mediaRelationships: ToMany = ToMany()  # noqa: N815


class AnimeRow(Words):
    type: Literal["anime"]
    id: Id
    attributes: AnimeAttributes
    relationships: AnimeRelationships = AnimeRelationships()


class EpisodeAttributes(Words):
    titles: Names | None = None
    canonicalTitle: str | None = None  # noqa: N815
    seasonNumber: Count | None = None  # noqa: N815
    number: Count
    airdate: str | None = None
    """A day: ``2005-10-24``."""
    length: Count | None = None


class EpisodeRow(Words):
    type: Literal["episodes"]
    id: Id
    attributes: EpisodeAttributes


class RoleAttributes(Words):
    role: str | None = None


class CastRelationships(Words):
    character: ToOne


class CastRow(Words):
    """A character's part in one anime."""

    type: Literal["mediaCharacters"]
    attributes: RoleAttributes
    relationships: CastRelationships


class CharacterAttributes(Words):
    names: Names | None = None
    canonicalName: str | None = None  # noqa: N815
    image: Image | None = None


class CharacterRow(Words):
    id: Id
    attributes: CharacterAttributes


class MappingAttributes(Words):
    externalSite: str | None = None  # noqa: N815
    externalId: str | None = None  # noqa: N815


class MappingRow(Words):
    attributes: MappingAttributes


class ProductionRelationships(Words):
    producer: ToOne = ToOne()


class ProductionRow(Words):
    attributes: RoleAttributes
    relationships: ProductionRelationships = ProductionRelationships()


class RelatedRelationships(Words):
    destination: ToOne = ToOne()


class RelatedRow(Words):
    attributes: RoleAttributes
    relationships: RelatedRelationships = RelatedRelationships()


class Links(Words):
    first: str | None = None
    next: str | None = None
    """Address of the next page; absent on the last."""


class Meta(Words):
    count: int | None = None
    """Rows that match, on all pages."""


class Document(Words):
    """Envelope of every answer that is no error."""

    data: list[Any] | dict[str, Any]
    """Rows, each checked alone; one object where the address names one row."""
    included: list[Any] | None = None
    meta: Meta = Meta()
    links: Links = Links()

    @property
    def rows(self) -> list[Any]:
        """The rows, also where there is one."""
        return self.data if isinstance(self.data, list) else [self.data]


def document_from_json(document: Any) -> Document:
    """The envelope.

    Raises:
        ResponseError: the document is something else. The message says what.
    """
    return envelope(Document, document, "a JSON:API document")


Included = dict[tuple[str, str], dict[str, Any]]
"""(type, id) -> resource of ``included``, as it is."""


def included_of(document: Document) -> Included:
    """The resources that the rows refer to; empty where the answer has no ``included``. Others are left out."""
    found = (r for r in document.included or () if isinstance(r, dict))
    return {(r["type"], str(r["id"])): r for r in found if isinstance(r.get("type"), str) and "id" in r}


def resources(included: Included, references: Iterable[Reference | None]) -> Iterator[dict[str, Any]]:
    """The included resources; what is referred to and not included is left out (`drift` notices)."""
    for reference in references:
        resource = included.get((reference.type, reference.id)) if reference else None
        if resource is not None:
            yield resource


def resolve(model: type[Row], included: Included, references: Iterable[Reference | None]) -> Iterator[Row]:
    """The included resources as models; one that cannot be understood is noted and left out."""
    for resource in resources(included, references):
        try:
            yield read(model, resource)
        except ValidationError as error:
            note(f"included {resource['type'][:40]}.{explain(error)}")


def label_of(resource: dict[str, Any]) -> str | None:
    """The name of a genre, category, company or work: each type has another attribute for it.

    No model, because there are dozens to each title. Something that is no name is noted.
    """
    attributes = resource.get("attributes")
    if not isinstance(attributes, dict):
        note(f"included {resource['type'][:40]}: attributes were expected")
        return None
    label = attributes.get("name") or attributes.get("title") or attributes.get("canonicalTitle")
    if label is not None and not isinstance(label, str):
        note(f"included {resource['type'][:40]}: a name was expected, there was {shape_of(label)}")
        return None
    return label


def document_of(row: Any, included: Included, first: str) -> dict[str, Any]:
    """A document of one row with what it refers to, so that the row can be read again by itself.

    Related works are left out: they are large, and only their titles are used.
    """
    near = [included[key] for key in _keys(row) if key in included]
    far = [included[key] for resource in near for key in _keys(resource) if key in included]
    kept = [resource for resource in (*near, *far) if resource["type"] not in ("anime", "manga")]
    return {"data": row, "included": kept, "links": {"first": first}}


def _keys(row: Any) -> Iterator[tuple[str, str]]:
    """The references of a resource, as they are."""
    for relationship in _relationships(row) if isinstance(row, dict) else ():
        data = relationship.get("data")
        for reference in _objects(data if isinstance(data, list) else [data]):
            yield str(reference.get("type")), str(reference.get("id"))


def owner_of(document: Document, address: str) -> str:
    """Id of the anime whose episodes or characters these are, by the address, else the links; empty: neither tells."""
    found = OWNER.search(address) or OWNER.search(document.links.first or "")
    return found[1] if found else ""


def errors_of(document: Any) -> list[str] | None:
    """The errors of a JSON:API document, one sentence each; ``None``: it is no error document."""
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list):
        return None
    return [_sentence(error) if isinstance(error, dict) else str(error)[:200] for error in errors]


def _sentence(error: dict[str, Any]) -> str:
    return ": ".join(str(error[name])[:200] for name in ("title", "detail") if error.get(name))


def row_id(row: Any) -> int | None:
    """The id of a row as it is, as a number; ``None``: it cannot be told."""
    text = str(row.get("id", "")) if isinstance(row, dict) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def row_status(row: Any) -> Any:
    """The ``status`` of a row as it is."""
    attributes = row.get("attributes") if isinstance(row, dict) else None
    return attributes.get("status") if isinstance(attributes, dict) else None


def row_titles(row: Any) -> list[str]:
    """All titles of an anime's row as they are."""
    found = row.get("attributes") if isinstance(row, dict) else None
    attributes = found if isinstance(found, dict) else {}
    names, short = attributes.get("titles"), attributes.get("abbreviatedTitles")
    listed = [*(names.values() if isinstance(names, dict) else ()), *(short if isinstance(short, list) else ())]
    return [title for title in (attributes.get("canonicalTitle"), *listed) if isinstance(title, str)]


KNOWN_DOCUMENT = frozenset({"data", "included", "meta", "links", "jsonapi"})
KNOWN_ROW = frozenset({"id", "type", "links", "attributes", "relationships"})
ALWAYS = frozenset({"createdAt", "updatedAt"})
KNOWN_MEDIA = frozenset(AnimeAttributes.model_fields) | {
    *("slug", "synopsis", "coverImageTopOffset", "ratingFrequencies", "userCount", "favoritesCount"),
    *("popularityRank", "ratingRank", "coverImage", "totalLength", "youtubeVideoId", "showType"),
}
KNOWN_LABEL = frozenset({"name", "slug", "title", "description", "nsfw", "totalMediaCount", "childCount", "image"})
KNOWN_ATTRIBUTES = {
    "anime": KNOWN_MEDIA,
    "manga": KNOWN_MEDIA | {"chapterCount", "volumeCount", "serialization", "mangaType"},
    "episodes": {*EpisodeAttributes.model_fields, "synopsis", "description", "relativeNumber", "thumbnail"},
    "mediaCharacters": {"role"},
    "characters": {*CharacterAttributes.model_fields, "slug", "otherNames", "name", "malId", "description"},
    "genres": KNOWN_LABEL,
    "categories": KNOWN_LABEL,
    "producers": KNOWN_LABEL,
    "mappings": {"externalSite", "externalId"},
    "animeProductions": {"role"},
    "mediaRelationships": {"role"},
}
"""Type -> attributes that somebody has seen or documented; those not modelled above say nothing that an item holds."""
KNOWN_WORDS = {
    "mappings": (
        "externalSite",
        frozenset({"myanimelist/anime", "anilist/anime", "anidb", "thetvdb", "thetvdb/series", "thetvdb/season"})
        | {"animenewsnetwork", "trakt", "hulu", "imdb/episodes", "aozora", "mydramalist", "mangaupdates"},
    ),
    "animeProductions": ("role", frozenset({"producer", "licensor", "studio"})),
    "mediaRelationships": (
        "role",
        frozenset({"sequel", "prequel", "alternative_setting", "alternative_version", "side_story", "parent_story"})
        | {"summary", "full_story", "spinoff", "adaptation", "character", "other"},
    ),
}
"""Open sets of words, as far as they are known; others are kept or left out as these are, and counted."""
USUAL_ANIME = ("titles", "canonicalTitle", "startDate", "status", "subtype", "posterImage", "averageRating")
USUAL_RELATIONSHIPS = tuple(AnimeRelationships.model_fields)
"""Relationships that a page of 20 anime, asked for as we do, never lacked altogether."""


def drift(document: dict[str, Any]) -> Drift:
    """`drift` counts what of an answer no longer matches the models above."""
    counts: Drift = Drift()
    data = document.get("data")
    rows = _objects(data if isinstance(data, list) else [data])
    included = _objects(document.get("included"))
    count_unknown(counts, [document], "", KNOWN_DOCUMENT)
    for row in (*rows, *included):
        _count_row(counts, row)
    anime = [row for row in rows if row.get("type") == "anime"]
    count_vanished(counts, _parts(anime, "attributes"), "anime.attributes.", USUAL_ANIME)
    count_vanished(counts, _parts(anime, "relationships"), "anime.relationships.", USUAL_RELATIONSHIPS)
    if not included and any(map(_refers, anime)):
        counts["included", "vanished"] += 1
    return counts


def _objects(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _parts(rows: Iterable[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return _objects([row.get(name) for row in rows])


def _count_row(counts: Drift, row: dict[str, Any]) -> None:
    kind, attributes = str(row.get("type")), row.get("attributes")
    if kind not in KNOWN_ATTRIBUTES:
        counts[f"type {kind[:40]}", "unknown"] += 1
        return
    count_unknown(counts, [row], f"{kind}.", KNOWN_ROW)
    count_unknown(counts, [attributes], f"{kind}.attributes.", ALWAYS | KNOWN_ATTRIBUTES[kind])
    if kind in KNOWN_WORDS and isinstance(attributes, dict):
        name, words = KNOWN_WORDS[kind]
        word = str(attributes.get(name))
        if word not in words:
            counts[f"{kind}.attributes.{name} {word[:40]}", "unknown"] += 1


def _refers(row: dict[str, Any]) -> bool:
    """Whether the row points at something that should be in ``included``."""
    return any(_keys(row))


def _relationships(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = row.get("relationships")
    yield from _objects(list(found.values()) if isinstance(found, dict) else None)
