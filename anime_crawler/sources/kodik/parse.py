"""Kodik's materials into items: pure, one record at a time, so that a bad one costs only itself.

A film (no seasons) is episode 1. Seasons and episodes keep Kodik's numbers, which are the franchise's; those within the
anime follow from all its releases (``catalogue/numbering.py``). What is no whole number up to 9,999, or has no link of
a known form, is set aside alone: the release has the others, and what was stored of it stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from anime_crawler.base_spiders import (
    RecordError,
    ResponseError,
    checked,
    episodes_aired,
    explain,
    mapped,
    note,
    parse_json,
    read,
    reading,
    set_aside,
    shape_of,
    word_of,
)
from anime_crawler.items import ADULT_MATURITIES, AiringStatus, Anime, Item, Kind, Rejected, Release, TranslationKind
from anime_crawler.normalize.bbcode import normalize_description
from anime_crawler.normalize.date import cour_of, read_date, season_of
from anime_crawler.normalize.ids import normalize_shikimori_id
from anime_crawler.normalize.text import normalize_line, unique
from anime_crawler.normalize.url import is_public_host, normalize_https_url
from anime_crawler.sources.kodik.schema import Material, MaterialData, description_digest, page_from_document

SOURCE = "kodik"

TRANSLATION_KINDS = {"voice": TranslationKind.VOICE, "subtitles": TranslationKind.SUBTITLES}
STATUSES = {"anons": AiringStatus.ANNOUNCED, "ongoing": AiringStatus.ONGOING, "released": AiringStatus.RELEASED}
KINDS = {
    # up to 13, 24, 48 episodes: Shikimori's finer filter words
    **dict.fromkeys(("tv", "tv_13", "tv_24", "tv_48"), Kind.TV),
    "movie": Kind.MOVIE,
    "ova": Kind.OVA,
    "ona": Kind.ONA,
    "special": Kind.SPECIAL,
    "tv_special": Kind.TV_SPECIAL,
    "music": Kind.MUSIC,
    "pv": Kind.PV,
    "cm": Kind.CM,
}

PLAYER_LINK = re.compile(
    r"(?:https?:)?//([A-Za-z0-9.-]+)(/(video|serial|season|seria)/\d+/(?:[0-9A-Za-z]+|\.\.\.)/\d{3,4}p)(?:[?#].*)?"
)
"""``//host/kind/number/hash/720p``. The documentation's own examples have ``...`` for the hash."""
NUMBER_MAX = 9_999
"""Highest season and episode. The longest anime has 8,000 episodes; seasons of long ones are numbered by years."""
MOST_IN_ONE = 100
"""Episodes that a key like ``1-12`` may join before it counts as any number."""
SHOWN = 3
"""Problems named in the reason of one material's letter, which has the whole material."""
UNDESCRIBED = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST_NEXT_EPISODE = timedelta(days=1)
"""A next episode further in the past is a leftover, as at Shikimori, where the value comes from."""


def items_from_results(
    results: list[Any], fetched_at: datetime, described: MutableMapping[str, bytes] | None = None
) -> Iterator[Item | Rejected]:
    """Items of one page: for each material its anime, then its release; at the end what was set aside.

    Args:
        results: may be empty or hold the same anime many times; of its materials the last changed one describes it.
        described: anime id -> digest of what last described it, kept from page to page; an anime that is described in
            the same words again is not yielded again (four of five are: it comes with each of its translations).
    """
    described = described if described is not None else {}
    rejected, understood = [], []
    for record in results:
        try:
            material, links, release = _read(record, fetched_at)
        except (RecordError, ValidationError) as error:
            rejected.append(_rejected("material", record, explain(error), fetched_at))
            continue
        understood.append((record, material, release))
        if links.problems:
            rejected.append(_rejected("player", record, links.reason, fetched_at))
    newest = {release.anime_id: release.source_id for _, _, release in sorted(understood, key=_recency)}
    for record, material, release in understood:
        if newest[release.anime_id] == release.source_id:
            description = description_digest(record)
            if description is None or described.get(release.anime_id) != description:
                try:
                    with reading() as problems:
                        anime = anime_from_material(material, release, fetched_at)
                    yield anime.noting(problems)
                except RecordError as error:
                    rejected.append(_rejected("anime", record, str(error), fetched_at, release.anime_id))
                described[release.anime_id] = description or b""
        yield release
    yield from rejected


def _read(record: Any, fetched_at: datetime) -> tuple[Material, PlayersRead, Release]:
    if not isinstance(record, dict):
        raise RecordError(f"a material was expected, there was {shape_of(record)}")
    with reading() as problems:
        material = read(Material, record)
        links = players(material.seasons, material.link)
        release = release_from_material(material, fetched_at, links)
    return material, links, release.noting(problems)


def _recency(understood: tuple[Any, Material, Release]) -> tuple[datetime, datetime, str]:
    """Sorts what describes the anime best to the end."""
    _, material, _ = understood
    return _described_at(material) or UNDESCRIBED, material.updated_at or UNDESCRIBED, material.id


def _described_at(material: Material) -> datetime | None:
    """How new the description of the anime is: one without metadata never replaces one with, on whatever page.

    ``None``: unknown.
    """
    return material.updated_at if material.material_data else UNDESCRIBED


def release_from_material(material: Material, fetched_at: datetime, links: PlayersRead) -> Release:
    """The translation with its players.

    Raises:
        RecordError: a translation that we do not understand.
        ValidationError: a value that no release may have.
    """
    shikimori = _shikimori_id(material)
    return read(
        Release,
        {
            "source": SOURCE,
            "source_id": material.id,
            "fetched_at": fetched_at,
            "anime_id": shikimori or material.id,
            "external_ids": {"shikimori": shikimori} if shikimori else {},
            "title": normalize_line(material.title),
            "title_original": normalize_line(material.title_orig),
            "year": material.year or None,
            "translation_id": material.translation.id,
            "translation_title": normalize_line(material.translation.title),
            "translation_kind": word_of(TRANSLATION_KINDS, material.translation.type, "translation.type"),
            "kind": material.type,
            "quality": normalize_line(material.quality),
            "camrip": material.camrip,
            "blocked_countries": tuple(material.blocked_countries or ()),
            "blocked_seasons": blocked_seasons(material.blocked_seasons),
            "last_season": material.last_season,
            "last_episode": material.last_episode,
            "episodes_count": material.episodes_count,
            "created_at": material.created_at,
            "updated_at": material.updated_at,
            "url": links.link,
            "players": links.players,
            "unread_players": links.unread,
        },
    )


def anime_from_material(material: Material, release: Release, fetched_at: datetime) -> Anime:
    """The anime as Kodik describes it: Shikimori's words come before Kinopoisk's, which are about the franchise.

    A kind, status or other value of ``material_data`` that we do not understand is noted.

    Raises:
        RecordError: a value that no anime can be without.
    """
    data = MaterialData()
    if isinstance(material.material_data, dict):
        data = read(MaterialData, material.material_data, "material_data.")
    elif material.material_data:
        note(f"material_data: an object was expected, there was {shape_of(material.material_data)}")
    try:
        return read(Anime, _anime_fields(material, data, release, fetched_at))
    except ValidationError as error:
        raise RecordError(f"material_data.{explain(error)}") from None


def _anime_fields(material: Material, data: MaterialData, release: Release, fetched_at: datetime) -> dict[str, Any]:
    raw = data.anime_description or data.description
    description = normalize_description(raw)
    status = mapped(STATUSES, data.anime_status or data.all_status, "material_data.anime_status")
    aired_from = _date(data.aired_at, "aired_at")
    season, season_year = cour_of(aired_from, derived=season_of(aired_from))
    maturity = _maturity(data.rating_mpaa)
    return {
        "source": SOURCE,
        "source_id": release.anime_id,
        "fetched_at": fetched_at,
        "source_updated_at": _described_at(material),
        **_titles(material, data),
        "description": description,
        "description_raw": raw if raw != description else None,
        "year": release.year,
        "season": season,
        "season_year": season_year,
        "status": status,
        "kind": mapped(KINDS, data.anime_kind, "material_data.anime_kind"),
        "poster": _poster(data.anime_poster_url) or _poster(data.poster_url),
        "genres": unique([*(data.anime_genres or data.genres or ())]),
        "studios": unique([*(data.anime_studios or ())]),
        "score": data.shikimori_rating or None,
        "votes": data.shikimori_votes or None,
        "maturity": maturity,
        "is_adult": maturity in ADULT_MATURITIES if maturity else None,
        "episodes_total": data.episodes_total or None,
        "episodes_aired": episodes_aired(data.episodes_total, status, data.episodes_aired),
        **_next_episode(data.next_episode_at, status, fetched_at),
        "duration_min": data.duration or None,
        "aired_from": aired_from,
        "aired_to": _date(data.released_at, "released_at"),
        "external_ids": _external_ids(material, release),
    }


def _titles(material: Material, data: MaterialData) -> dict[str, Any]:
    """Main titles and the others. `title_orig` is romaji or English, and Russian where Kodik knows no other."""
    original = normalize_line(material.title_orig)
    titles = {
        "ru": normalize_line(data.anime_title) or normalize_line(material.title),
        "en": next(iter(unique([*(data.other_titles_en or ())])), None),
        "romaji": original if original and original.casefold() != material.title.casefold() else None,
        "native": next(iter(unique([*(data.other_titles_jp or ())])), None),
    }
    others = [
        *(material.other_title or "").split(" / "),
        *(data.other_titles or ()),
        *(data.other_titles_en or ()),
        *(data.other_titles_jp or ()),
        data.title_en,
        data.anime_license_name,
        material.title,
    ]
    return {"titles": titles, "alternative_titles": unique(others, *titles.values())}


def _external_ids(material: Material, release: Release) -> dict[str, str]:
    """Kinopoisk's and IMDb's ids are the franchise's: several seasons share one."""
    world_art = re.search(r"[?&]id=(\d+)", material.worldart_link or "")
    found = {
        "kinopoisk": normalize_line(material.kinopoisk_id),
        "imdb": normalize_line(material.imdb_id),
        "mdl": normalize_line(material.mdl_id),
        "world_art": world_art[1] if world_art else None,
    }
    return {**release.external_ids, **{name: value for name, value in found.items() if value}}


def player_link(link: Any, path: str, *numbers: int) -> tuple[str, str]:
    """The canonical form of a player link, and its kind: ``video``, ``serial``, ``season``, ``seria``.

    `path` and `numbers` say where it stands; put together for errors only, for a page has a thousand links.

    Raises:
        RecordError: another scheme, a host no viewer can reach, or a path that no player has (a dummy).
    """
    match = PLAYER_LINK.fullmatch(link) if isinstance(link, str) else None
    if match is None:
        raise RecordError(f"{path.format(*numbers)}: not a player link of a known form")
    host, address, kind = match.groups()
    if not is_public_host(host := host.lower()):
        raise RecordError(f"{path.format(*numbers)}: its host is not a public name")
    return f"https://{host}{address}", kind


@dataclass
class PlayersRead:
    """The players that the links of a material were understood as."""

    link: str | None = None
    """The material's own, in its canonical form; ``None``: it is no player link."""
    players: list[dict[str, Any]] = field(default_factory=list)
    """In order of season and number."""
    unread: list[tuple[int | None, int | None]] = field(default_factory=list)
    """Season and number of what is listed and not understood, as `Release.unread_players` has them."""
    problems: list[str] = field(default_factory=list)
    """One sentence for each thing that was not understood."""

    @property
    def reason(self) -> str:
        """The first problems, and how many more there are."""
        more = len(self.problems) - SHOWN
        return "; ".join(self.problems[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def players(seasons: Any, material_link: Any) -> PlayersRead:
    """The players of a release.

    Args:
        seasons: as Kodik sends it; ``None`` or empty: a film, or a serial without episodes.
        material_link: the material's own link, the only player of a film.

    Raises:
        RecordError: nothing of it is understood.
    """
    read = PlayersRead()
    link_kind = None
    try:
        read.link, link_kind = player_link(material_link, "link")
    except RecordError as error:
        read.problems.append(str(error))
    numbered, odd = _entries(seasons, "seasons", read)
    read.unread += [(season, None) for season in odd]
    if not numbered and not odd and link_kind in ("video", "seria"):
        read.players.append({"season_number": None, "source_number": 1, "url": read.link})
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for season, entry in numbered:
        for player in _players_of_season(season, entry, read):
            found.setdefault((season, player["source_number"]), player)  # "1" and "01": the first one counts
    read.players += [found[key] for key in sorted(found)]
    read.unread = sorted(set(read.unread) - set(found), key=str)
    if read.problems and not read.players:
        raise RecordError(read.problems[0])
    return read


def _players_of_season(season: int, entry: Any, read: PlayersRead) -> Iterator[dict[str, Any]]:
    path = f"seasons.{season}.episodes"
    try:
        episodes, odd = _entries(_episodes(entry, season), path, read)
    except RecordError as error:
        read.problems.append(str(error))
        read.unread.append((season, None))
        return
    read.unread += [(season, number) for number in odd]
    for number, episode in episodes:
        try:
            yield _player(season, number, episode)
        except RecordError as error:
            read.problems.append(str(error))
            read.unread.append((season, number))


def _entries(container: Any, path: str, read: PlayersRead) -> tuple[list[tuple[int, Any]], set[int | None]]:
    """Numbered entries of an object, or of a list, whose order is all that is known: it counts from 1; and what the
    keys that are no numbers may stand for, see `_meant_by`.

    Raises:
        RecordError: it is neither.
    """
    odd: set[int | None] = set()
    if isinstance(container, dict):
        entries = []
        for key, value in container.items():
            try:
                entries.append((_number(key, path), value))
            except RecordError as error:
                read.problems.append(str(error))
                odd |= _meant_by(key)
        return entries, odd
    if isinstance(container, list):
        if len(container) > NUMBER_MAX:
            read.problems.append(f"{path}: more than {NUMBER_MAX} in a list")
        return list(enumerate(container[:NUMBER_MAX], 1)), odd
    if container in (None, ""):
        return [], odd
    raise RecordError(f"{path}: an object was expected, there was {shape_of(container)}")


def _meant_by(key: str) -> set[int | None]:
    """The numbers that a key which is none may stand for, so that what was stored under them stays: 12 for ``12v2``,
    1 to 12 for ``1-12``. ``None`` for any number: there is none in it, as in ``final``."""
    digits = re.findall(r"\d+", key)
    numbers = [int(some) for some in digits if len(some) <= len(str(NUMBER_MAX))]
    if re.fullmatch(r"\s*\d+\s*[-\u2013\u2014]\s*\d+\s*", key) and len(numbers) > 1:
        first, last = sorted(numbers)
        return set(range(first, last + 1)) if last - first < MOST_IN_ONE else {None}
    return set(numbers) if digits else {None}


@lru_cache(10_000)  # nearly all keys are the same few hundred
def _number(key: str, path: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 4):
        raise RecordError(f"{path}: {key[:20]!r} is not a whole number up to {NUMBER_MAX}")
    return int(key)


def _episodes(entry: Any, season: int) -> Any:
    """Episodes of a season; a season that is only a link, or has none listed, gives nothing to watch."""
    if isinstance(entry, dict):
        return entry.get("episodes")
    if isinstance(entry, str) or entry is None:
        return None
    raise RecordError(f"seasons.{season}: an object was expected, there was {shape_of(entry)}")


def _player(season: int, number: int, episode: Any) -> dict[str, Any]:
    title = None
    if isinstance(episode, dict):
        title, episode = episode.get("title"), episode.get("link")
        if title is not None and not isinstance(title, str):
            raise RecordError(f"seasons.{season}.episodes.{number}.title: not a text")
    url, _ = player_link(episode, "seasons.{}.episodes.{}", season, number)
    return {
        "season_number": season,
        "source_number": number,
        "title": normalize_line(title) if title else None,
        "url": url,
    }


def blocked_seasons(blocked: Any) -> dict[str, tuple[str, ...]]:
    """Season -> blocked episodes, ``("all",)`` for a whole one; ``{"all": ("all",)}`` for everything.

    Noted is what has none of the three forms: ``"all"``, ``{"5": "all"}``, ``{"7": ["1", "2"]}``.
    """
    if not blocked:
        return {}
    if blocked == "all":
        return {"all": ("all",)}
    if not isinstance(blocked, dict) or any(isinstance(v, str) and v != "all" for v in blocked.values()):
        note("blocked_seasons: an unknown form")
        return {}
    return {season: (v,) if isinstance(v, str) else tuple(v) for season, v in blocked.items()}


def _shikimori_id(material: Material) -> str | None:
    own = material.shikimori_id
    if own is None or own == "":
        return None
    if not isinstance(own, str | int) or isinstance(own, bool):
        raise RecordError(f"shikimori_id: a text was expected, there was {shape_of(own)}")
    try:
        return normalize_shikimori_id(str(own))
    except ValueError as error:
        raise RecordError(f"shikimori_id: {error}") from None


def _date(text: str | None, name: str) -> str | None:
    return checked(read_date, text, f"material_data.{name}: not a date")


def _maturity(rating: str | None) -> str | None:
    """``PG-13`` -> ``pg_13``, ``R+`` -> ``r_plus``; an open set, Kinopoisk has words of its own."""
    text = normalize_line(rating)
    return text.lower().replace("-", "_").replace("+", "_plus") if text else None


def _poster(url: str | None) -> str | None:
    return None if url and "/assets/globals/missing_" in url else normalize_https_url(url)


def _next_episode(at: datetime | None, status: AiringStatus | None, fetched_at: datetime) -> dict[str, Any]:
    """Kodik copies Shikimori's time, which is a published one."""
    if at is None or status is AiringStatus.RELEASED or at < fetched_at - OLDEST_NEXT_EPISODE:
        return {}
    return {"next_episode_at": at, "next_episode_is_estimated": False}


def _rejected(kind: str, record: Any, reason: str, fetched_at: datetime, source_id: str | None = None) -> Rejected:
    own = record["id"] if isinstance(record, dict) and isinstance(record.get("id"), str) else None
    request = {"path": "/search", "form": {"id": own}} if own else None
    return set_aside(SOURCE, kind, record, reason, fetched_at, source_id=source_id or own, request=request)


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded answer: a list or search page, one material, or a list of materials.

    Raises:
        ResponseError: it is none of these; the message says what it is where that can be told.
    """
    document = parse_json(body)
    if isinstance(document, dict) and "error" in document:
        raise ResponseError(f"{name} is Kodik's error: {document['error']}")
    if isinstance(document, dict) and "translation" in document:
        document = {"results": [document]}
    elif isinstance(document, list):
        document = {"results": document}
    results = page_from_document(document).results
    if results and not any(isinstance(record, dict) and "translation" in record for record in results):
        raise ResponseError(f"{name} holds no materials; dictionaries and the calendar give no items")
    return items_from_results(results, fetched_at)
