"""AniList's titles, airings and characters into items: pure, one record at a time; a bad one costs only itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from anime_crawler.base_spiders import (
    RecordError,
    ResponseError,
    checked,
    episodes_aired,
    explain,
    mapped,
    parse_json,
    read,
    reading,
    set_aside,
    shape_of,
)
from anime_crawler.base_spiders.graphql import Unresolved, said_of
from anime_crawler.items import Airing, AiringStatus, Anime, Character, Item, Kind, Rejected, Season
from anime_crawler.normalize.date import cour_of, partial_date
from anime_crawler.normalize.text import normalize_line, normalize_text, snake, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.anilist.schema import (
    AiringNode,
    CharacterEdge,
    Characters,
    FuzzyDate,
    Media,
    MediaTitle,
    RelationEdge,
    VoiceActorNode,
    data_from_document,
    errors_of,
    is_usable,
    unresolved,
)

SOURCE = "anilist"

KINDS = {
    "TV": Kind.TV,
    "TV_SHORT": Kind.TV,
    "MOVIE": Kind.MOVIE,
    "SPECIAL": Kind.SPECIAL,
    "OVA": Kind.OVA,
    "ONA": Kind.ONA,
    "MUSIC": Kind.MUSIC,
}
STATUSES = {
    "FINISHED": AiringStatus.RELEASED,
    "RELEASING": AiringStatus.ONGOING,
    "NOT_YET_RELEASED": AiringStatus.ANNOUNCED,
    "HIATUS": AiringStatus.PAUSED,
    "CANCELLED": AiringStatus.DISCONTINUED,
}
SEASONS = {
    "WINTER": Season.WINTER,
    "SPRING": Season.SPRING,
    "SUMMER": Season.SUMMER,
    "FALL": Season.FALL,
}
DECEMBER = 12
IDENTITY = frozenset({"id", "idMal", "type", "updatedAt", "siteUrl"})
"""Fields that only name a title."""
PARTS = frozenset({"characters", "characterPreview", "airingSchedule", "nextAiringEpisode"})
"""Fields that may be asked for without the rest of a title."""
LONGEST_DESCRIPTION = 20_000
"""Characters looked at. Genuine descriptions end below 5,000."""
SPOILER = re.compile(r"~!.*?!~", re.DOTALL)
CREDIT = re.compile(r"\s*[(\[]source\s*:[^()\[\]]*(?:[(\[][^()\[\]]*[)\]][^()\[\]]*)*[)\]]$", re.IGNORECASE)
"""A line's end that says where the description was taken from; one pair of brackets may be inside."""


def items_from_media(
    records: list[Any], fetched_at: datetime, unresolved: Unresolved | None = None
) -> Iterator[Item | Rejected]:
    """Of each title in its order: the anime, its airings, its characters, as far as they were selected.

    Args:
        records: may be empty or hold a title twice.
        unresolved: what GraphQL's errors say of each of them, as `schema.unresolved` gives it.
    """
    for place, record in enumerate(records):
        try:
            media, anime = _read(record, fetched_at, said_of(unresolved, place))
        except (RecordError, ValidationError) as error:
            own = _id_in(record)
            yield _rejected("anime", record, error, fetched_at, own, own)
            continue
        if anime:
            yield anime
        yield from _parts(media, fetched_at)


def _read(record: Any, fetched_at: datetime, wrong: list[str]) -> tuple[Media, Anime | None]:
    """A title, and its anime where more of it was selected than its parts."""
    if not isinstance(record, dict):
        raise RecordError(f"a title was expected, there was {shape_of(record)}")
    with reading() as problems:
        media = read(Media, record)
        if media.type not in (None, "ANIME"):
            raise RecordError(f"type: {media.type[:40]!r} is no anime")
        if "title" not in record and record.keys() & PARTS:
            return media, None
        anime = anime_from_media(media, fetched_at)
    return media, anime.noting([*wrong, *problems])


def _parts(media: Media, fetched_at: datetime) -> Iterator[Item | Rejected]:
    nodes = [media.nextAiringEpisode] if media.nextAiringEpisode else []
    listed = media.airingSchedule.nodes if media.airingSchedule else None
    told = {node.episode for node in nodes}
    for node in nodes:
        yield _airing(node, media.id, fetched_at)
    yield from (a for a in items_from_airings(listed or [], fetched_at, media.id) if _is_new(a, told))
    yield from _characters(media.characters, media.id, fetched_at)


def _is_new(item: Item | Rejected, told: set[int]) -> bool:
    """Whether this episode's time was not given yet."""
    if not isinstance(item, Airing):
        return True
    is_new = item.number not in told
    told.add(item.number)
    return is_new


def _rejected(
    kind: str,
    record: Any,
    error: RecordError | ValidationError,
    fetched_at: datetime,
    own: str | None,
    anime_id: str | None,
) -> Rejected:
    """The dead letter under the id that the item would have had, so that a good one takes its place."""
    request = {"ids": anime_id} if anime_id and anime_id.isdigit() else None
    return set_aside(SOURCE, kind, record, explain(error), fetched_at, source_id=own, request=request)


def _id_in(record: Any, name: str = "id") -> str | None:
    """A number in a record that may be anything, as text."""
    own = record.get(name) if isinstance(record, dict) else None
    return str(own) if isinstance(own, int | str) and own else None


def anime_from_media(media: Media, fetched_at: datetime) -> Anime:
    """The anime that a title describes.

    A format, status, season or date that we do not understand, and a value that no anime may have, are noted.

    Raises:
        RecordError: no title at all.
    """
    status = mapped(STATUSES, media.status, "status")
    start = media.startDate or FuzzyDate()
    aired_from = _date(start, "startDate")
    stated = mapped(SEASONS, media.season, "season")
    season, season_year = None, None
    if stated or not media.season:  # a word that we do not know is not replaced by a guess
        season, season_year = cour_of(aired_from, stated, media.seasonYear, derived=_season_of(start))
    description = normalize_description(media.description)
    following = media.nextAiringEpisode
    return read(
        Anime,
        {
            "source": SOURCE,
            "source_id": media.id,
            "fetched_at": fetched_at,
            "source_updated_at": _moment(media.updatedAt) if media.updatedAt else None,
            "url": normalize_https_url(media.siteUrl),
            **_titles(media),
            "description": description,
            "description_raw": media.description if media.description != description else None,
            "year": int(aired_from[:4]) if aired_from else media.seasonYear,
            "season": season,
            "season_year": season_year,
            "status": status,
            "kind": mapped(KINDS, media.format, "format"),
            "poster": _poster(media),
            "genres": unique(list(media.genres or ())),
            "tags": unique([tag.name for tag in media.tags or () if tag and not tag.isMediaSpoiler]),
            "studios": _studios(media),
            "origin": snake(media.source),
            "score": (media.averageScore or media.meanScore or 0) / 10 or None,
            "is_adult": media.isAdult or None,  # false is said of r_plus, too, which is adult with us
            "episodes_total": media.episodes or None,
            "episodes_aired": _aired(media, status),
            "next_episode_at": _moment(following.airingAt) if following else None,
            "next_episode_is_estimated": False if following else None,
            "duration_min": media.duration or None,
            "aired_from": aired_from,
            "aired_to": _date(media.endDate, "endDate"),
            "external_ids": _external_ids(media),
            "relations": _relations(media),
        },
    )


def _titles(media: Media) -> dict[str, Any]:
    title = media.title or MediaTitle()
    titles = {
        "en": normalize_line(title.english),
        "romaji": normalize_line(title.romaji),
        "native": normalize_line(title.native),
    }
    if not any(titles.values()):
        raise RecordError("title: none of romaji, english and native is there")
    return {"titles": titles, "alternative_titles": unique(list(media.synonyms or ()), *titles.values())}


def normalize_description(text: str | None) -> str | None:
    """Plain text without HTML, spoilers and the credit of its source; ``None``: nothing is left."""
    text = normalize_text(text[:LONGEST_DESCRIPTION]) if text else None
    if text is None:
        return None
    lines = SPOILER.sub("", text).replace("~!", "").replace("!~", "").split("\n")
    return normalize_text("\n".join(map(_without_credit, lines)))


def _without_credit(line: str) -> str:
    return CREDIT.sub("", line.rstrip())


def _season_of(start: FuzzyDate) -> Season | None:
    """By the month: March to May is spring. Of early December AniList says fall here and winter there."""
    return list(Season)[start.month // 3] if start.month and 0 < start.month < DECEMBER else None


def _poster(media: Media) -> str | None:
    cover = media.coverImage
    found = (cover.extraLarge, cover.large) if cover else ()
    return next((url for url in map(picture, found) if url), None)


def picture(url: str | None) -> str | None:
    """Address of a picture; ``None`` for the placeholder, ``default.jpg``."""
    address = normalize_https_url(url)
    return None if address is None or address.partition("?")[0].endswith("/default.jpg") else address


def _studios(media: Media) -> tuple[str, ...]:
    edges = (media.studios.edges if media.studios else None) or ()
    return unique([edge.node.name for edge in edges if edge and edge.isMain and edge.node])


def _aired(media: Media, status: AiringStatus | None) -> int | None:
    following = media.nextAiringEpisode
    return episodes_aired(media.episodes, status, max(0, following.episode - 1) if following else None)


def _date(date: FuzzyDate | None, path: str) -> str | None:
    return checked(lambda d: partial_date(d.year, d.month, d.day), date, f"{path}: no such date") if date else None


def _moment(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


def _external_ids(media: Media) -> dict[str, str]:
    mal = normalize_line(media.idMal)
    return {"anilist": media.id, **({"mal": mal} if mal and mal != "0" else {})}


def _relations(media: Media) -> list[dict[str, Any]]:
    """Related anime; each once for each kind of relation."""
    edges = (media.relations.edges if media.relations else None) or ()
    found = [relation for relation in map(_relation, filter(None, edges)) if relation]
    return list({(r["kind"], r["target_id"]): r for r in reversed(found)}.values())[::-1]


def _relation(edge: RelationEdge) -> dict[str, Any] | None:
    kind, node = snake(edge.relationType), edge.node
    if kind is None or node is None or node.type != "ANIME":
        return None
    title = node.title and (node.title.romaji or node.title.userPreferred)
    return {"kind": kind, "target": "anime", "target_id": node.id, "title": normalize_line(title)}


def items_from_airings(
    records: list[Any], fetched_at: datetime, anime_id: str | None = None
) -> Iterator[Airing | Rejected]:
    """One item per listed airing, in its order.

    Args:
        anime_id: whose airings they are; ``None``: each says so itself.
    """
    for record in records:
        try:
            with reading() as problems:
                airing = _airing(read(AiringNode, record), anime_id, fetched_at)
            yield airing.noting(problems)
        except (RecordError, ValidationError) as error:
            whose, number = anime_id or _id_in(record, "mediaId"), _id_in(record, "episode")
            own = _id_in(record) or (f"{whose}-{number}" if whose and number else None)
            yield _rejected("airing", record, error, fetched_at, own, whose)


def _airing(node: AiringNode, anime_id: str | None, fetched_at: datetime) -> Airing:
    anime_id = anime_id or node.mediaId
    if anime_id is None:
        raise RecordError("mediaId: nothing says which anime it is")
    return Airing(
        source=SOURCE,
        source_id=node.id or f"{anime_id}-{node.episode}",
        fetched_at=fetched_at,
        anime_id=anime_id,
        number=node.episode,
        kind="raw",
        airs_at=_moment(node.airingAt),
    )


def _characters(characters: Characters | None, anime_id: str, fetched_at: datetime) -> Iterator[Character | Rejected]:
    for edge in (characters.edges if characters else None) or ():
        try:
            with reading() as problems:
                character = character_from_edge(read(CharacterEdge, edge), anime_id, fetched_at)
            yield character.noting(problems)
        except ValidationError as error:
            own = _id_in(edge.get("node") if isinstance(edge, dict) else None)
            yield _rejected("character", edge, error, fetched_at, own, anime_id)


def character_from_edge(edge: CharacterEdge, anime_id: str, fetched_at: datetime) -> Character:
    """The character as it appears in one anime; a value that no character may have is noted."""
    return read(
        Character,
        {
            "source": SOURCE,
            "source_id": edge.node.id,
            "fetched_at": fetched_at,
            "names": {"romaji": normalize_line(edge.node.name.full), "native": normalize_line(edge.node.name.native)},
            "anime_id": anime_id,
            "role": snake(edge.role),
            "picture": picture(edge.node.image.large if edge.node.image else None),
            "voice_actors": [actor for actor in map(_voice_actor, edge.voiceActors or ()) if actor],
        },
    )


def _voice_actor(actor: VoiceActorNode | None) -> dict[str, Any] | None:
    name = normalize_line(actor.name.full or actor.name.native) if actor and actor.name else None
    language = normalize_line(actor.language) if actor else None
    return {"name": name, "language": language.capitalize() if language else None} if name else None


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded answer: a page of titles or of airings, a title, or a title's characters.

    Raises:
        ResponseError: it is none of these; the message says what was found.
    """
    document = parse_json(body)
    wrong = "; ".join(message for _, message in errors_of(document))
    if wrong and not is_usable(document):
        raise ResponseError(f"{name} is AniList's error: {wrong}")
    data = data_from_document(document)
    if data.page and data.page.media is None:
        return items_from_airings(data.page.records, fetched_at)
    records = data.page.records if data.page else [data.media]
    if records and all(isinstance(record, dict) and record.keys() <= IDENTITY for record in records):
        raise ResponseError(f"{name} holds only ids of titles, nothing that describes them")
    return items_from_media(records, fetched_at, unresolved(document))
