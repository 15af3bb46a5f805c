"""AniDB's answers into items: pure, one record at a time, so that a bad one costs only itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from statistics import median_low
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from anime_crawler.base_spiders import (
    RecordError,
    ResponseError,
    checked,
    episodes_aired,
    explain,
    mapped,
    note,
    read,
    reading,
    set_aside,
    text_of_bytes,
)
from anime_crawler.items import ABOUT_ANSWER, AiringStatus, Anime, Character, Episode, Item, Kind, Rejected
from anime_crawler.normalize.date import cour_of, read_date, season_of
from anime_crawler.normalize.text import normalize_line, normalize_text, snake, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.anidb.schema import (
    ANIME,
    DUMP,
    AnimeEntry,
    CharacterEntry,
    DumpEntry,
    EpisodeEntry,
    Rating,
    Resource,
    Title,
    anime_record,
    character_records,
    dat_records,
    dump_records,
    episode_records,
    is_dat,
    root_from_body,
    unpacked,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

I = TypeVar("I", bound=Item)  # noqa: E741
M = TypeVar("M", bound=BaseModel)

SOURCE = "anidb"
SITE = "https://anidb.net"
PICTURES = "https://cdn.anidb.net/images/main"
JAPAN = timezone(timedelta(hours=9))
UNDESCRIBED = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of change of what only the dump says: it never replaces an anime with details, which are newer."""
NOT_IN_DUMP = frozenset(Anime.model_fields) - {
    *("source", "source_id", "fetched_at", "source_updated_at", "url", "titles", "alternative_titles"),
    *ABOUT_ANSWER,
}
"""Fields that the dump does not tell; of the ids in other catalogues it has only AniDB's own."""

KINDS = {
    "tv_series": Kind.TV,
    "ova": Kind.OVA,
    "movie": Kind.MOVIE,
    "web": Kind.ONA,
    "tv_special": Kind.TV_SPECIAL,
    "music_video": Kind.MUSIC,
}
NO_KIND = frozenset({"other", "unknown"})
"""Types that say nothing we have a word for."""
DONE_AT_ONCE = frozenset({Kind.MOVIE, Kind.OVA, Kind.MUSIC})
TAKEN_TITLES = frozenset({"main", "official", "synonym", "syn", "short"})
"""``card`` is what a disc's cover says, ``kana`` a reading."""
NATIVE = {"x-zht": "zh", "x-kot": "ko"}
"""Language of the work by that of its main title; Japanese for all others."""
NO_TRANSCRIPTION = frozenset({"x-other", "x-unk"})
STUDIO_WORK = frozenset({"Animation Work", "Animation Production", "Animation Co-Production"})
EXTERNAL_IDS = {"1": "ann", "2": "mal", "38": "bangumi", "43": "imdb"}
TMDB = "44"
SEASON_OF_EPISODES = {"1": None, "2": 0}
"""``epno@type`` -> our season number: specials are season 0. Credits, trailers and parodies are no episodes."""

LINK = re.compile(r"https?://(?:www\.)?anidb\.net/[^\s\[\]]+\s\[([^\]\n]*)\]")
BBCODE = re.compile(r"\[/?[ibus]\]", re.IGNORECASE)
TRAILER = re.compile(r"\s*(?:sources?|notes?):", re.IGNORECASE)
BASED_ON = re.compile(r"\s*\*\s*based on\b", re.IGNORECASE)


def items_from_dump(records: Iterator[dict[str, Any]], fetched_at: datetime) -> Iterator[Anime | Rejected]:
    """An item with titles for each record of a dump, once for each id."""
    seen: set[str | None] = set()
    for record in records:
        if record["aid"] not in seen:
            seen.add(record["aid"])
            yield _made(DumpEntry, record, lambda entry: anime_from_dump_entry(entry, fetched_at), "anime", fetched_at)


def items_from_anime(root: Element, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """The anime of an answer, then its episodes and characters, each once."""
    record = anime_record(root)
    episodes, bad = _episode_entries(root, fetched_at)
    made = _made(
        AnimeEntry, record, lambda e: anime_from_entry(e, [e for _, e in episodes], fetched_at), "anime", fetched_at
    )
    yield made
    if isinstance(made, Rejected):
        return
    native = _native_language(read(AnimeEntry, record).titles)
    yield from bad
    yield from _once(
        _made(EpisodeEntry, record, lambda e: _episode(e, made, native), "episode", fetched_at)
        for record, entry in episodes
        if entry.type in SEASON_OF_EPISODES
    )
    yield from _once(
        _made(CharacterEntry, entry, lambda e: _character(e, made), "character", fetched_at)
        for entry in character_records(root)
    )


def _made(
    model: type[M], record: dict[str, Any], make: Callable[[M], I], kind: str, fetched_at: datetime
) -> I | Rejected:
    try:
        with reading() as problems:
            item = make(read(model, record))
        return item.noting(problems)
    except (RecordError, ValidationError) as error:
        return _rejected(kind, record, error, fetched_at)


def _rejected(
    kind: str, record: dict[str, Any], error: RecordError | ValidationError, fetched_at: datetime
) -> Rejected:
    own = record.get("aid") or record.get("id")
    request = {"ids": own} if kind == "anime" and own else None
    return set_aside(SOURCE, kind, record, explain(error), fetched_at, source_id=own, request=request)


def _once(found: Iterator[I | Rejected]) -> Iterator[I | Rejected]:
    seen = set()
    for item in found:
        if isinstance(item, Rejected):
            yield item
        elif item.key not in seen:
            seen.add(item.key)
            yield item


def _episode_entries(
    root: Element, fetched_at: datetime
) -> tuple[list[tuple[dict[str, Any], EpisodeEntry]], list[Rejected]]:
    """The episodes that are understood, in AniDB's order, each as it is and as it is read; and the others."""
    good, bad = [], []
    for record in episode_records(root):
        try:
            good.append((record, read(EpisodeEntry, record)))
        except ValidationError as error:
            bad.append(_rejected("episode", record, error, fetched_at))
    return good, bad


def anime_from_dump_entry(entry: DumpEntry, fetched_at: datetime) -> Anime:
    """The anime as the dump describes it.

    Raises:
        RecordError: no main title.
    """
    return read(Anime, _common(entry.aid, entry.titles, UNDESCRIBED, fetched_at) | {"untold": NOT_IN_DUMP})


def anime_from_entry(entry: AnimeEntry, episodes: Sequence[EpisodeEntry], fetched_at: datetime) -> Anime:
    """The anime with its details.

    Args:
        episodes: in any order, specials among them.

    A type or date that we do not understand, and a value that no anime may have, are noted.

    Raises:
        RecordError: no main title.
    """
    today = fetched_at.astimezone(JAPAN).date().isoformat()
    kind = _kind(entry.type)
    start, end = _date(entry.startdate, "startdate"), _date(entry.enddate, "enddate")
    status: AiringStatus | None = None
    if entry.unknown_dates and not (
        entry.startdate and entry.enddate
    ):  # a date that is missing says that it is not over
        note(f"status: a date is missing, and nobody knows what {', '.join(entry.unknown_dates)[:80]} is")
    else:
        status = airing_status(start, end, today, is_at_once=entry.episodecount == 1 and kind in DONE_AT_ONCE)
    season, season_year = cour_of(start, derived=season_of(start and start[:7]))
    regular = [episode for episode in episodes if episode.type == "1"]
    description = clean_description(entry.description)
    return read(
        Anime,
        {
            **_common(entry.id, entry.titles, fetched_at, fetched_at),
            "description": description,
            "description_raw": entry.description if entry.description != description else None,
            "year": int(start[:4]) if start else None,
            "season": season,
            "season_year": season_year,
            "status": status,
            "kind": kind,
            "poster": _picture(entry.picture),
            "tags": unique([tag.name for tag in entry.tags if tag.weight and not tag.is_spoiler]),
            "studios": _studios(entry),
            **_score(entry.permanent, entry.temporary),
            "is_adult": entry.restricted or None,
            "episodes_total": entry.episodecount or None,
            "episodes_aired": _aired(regular, entry.episodecount, status, today),
            "duration_min": median_low([e.length for e in regular if e.length] or [0]) or None,
            "aired_from": start,
            "aired_to": end,
            "external_ids": {SOURCE: entry.id, **_external_ids(entry.resources)},
            "relations": [
                {"kind": snake(r.type), "target": "anime", "target_id": r.id, "title": _line(r.title)}
                for r in entry.related
            ],
        },
    )


def _common(aid: str, titles: list[Title], updated_at: datetime, fetched_at: datetime) -> dict[str, Any]:
    """Fields that the dump gives too."""
    return {
        "source": SOURCE,
        "source_id": aid,
        "fetched_at": fetched_at,
        "source_updated_at": updated_at,
        "url": f"{SITE}/anime/{aid}",
        "external_ids": {SOURCE: aid},
        **_titles([title for title in titles if title.type in TAKEN_TITLES]),
    }


def _titles(titles: list[Title]) -> dict[str, Any]:
    main = next((title for title in titles if title.type == "main"), None)
    if main is None:
        raise RecordError("titles: no main title")
    native = _native_language(titles)
    official = [title for title in titles if title.type == "official"]
    found = {
        "ru": _first(official, "ru") or _first([t for t in titles if t.type in ("synonym", "syn")], "ru"),
        "en": _first(official, "en") or _first([main], "en"),
        "romaji": _romaji(main, titles),
        "native": _first(official, native) or (None if _is_latin(main) else _line(main.text)),
    }
    return {"titles": found, "alternative_titles": unique([_line(t.text) for t in titles], *found.values())}


def _is_latin(main: Title) -> bool:
    """Whether the main title is a transcription or English; else it is in the language of the work.

    One whose language is not said is taken for a transcription where its letters are ours, as nearly all are.
    """
    is_ours = all(letter < "\u0250" for letter in main.text if letter.isalpha())
    return main.lang.startswith("x-") or main.lang == "en" or (not main.lang and is_ours)


def _romaji(main: Title, titles: list[Title]) -> str | None:
    if main.lang.startswith("x-") or (not main.lang and _is_latin(main)):
        return _line(main.text)
    written = (t.text for t in titles if t.lang.startswith("x-") and t.lang not in NO_TRANSCRIPTION)
    return _line(next(written, None))


def _native_language(titles: list[Title]) -> str:
    return next((NATIVE.get(title.lang, "ja") for title in titles if title.type == "main"), "ja")


def _first(titles: list[Title], language: str) -> str | None:
    """The first title in the language, in whatever script: ``zh`` is ``zh-Hans`` too."""
    return _line(next((t.text for t in titles if t.lang == language or t.lang.startswith(f"{language}-")), None))


def _line(text: str | None) -> str | None:
    return normalize_line(text.replace("`", "'")) if text else None


def _kind(type_: str | None) -> Kind | None:
    word = snake(type_)
    return None if word in NO_KIND else mapped(KINDS, word, "type")


def _date(text: str | None, path: str) -> str | None:
    """As much of a date as is known; what is no date is noted."""
    return checked(read_date, text, f"{path}: no such date")


def has_passed(date: str, today: str) -> bool:
    """Whether a day is today or gone; a month or a year that is not over has not passed."""
    return date <= today if len(date) == len(today) else date < today[: len(date)]


def airing_status(start: str | None, end: str | None, today: str, *, is_at_once: bool) -> AiringStatus:
    """Where the work is, by its dates; ``is_at_once``: a single film or video, which ends when it begins."""
    if end and has_passed(end, today):
        return AiringStatus.RELEASED
    if start is None or not has_passed(start, today):
        return AiringStatus.ANNOUNCED
    return AiringStatus.RELEASED if is_at_once and end is None else AiringStatus.ONGOING


def _aired(regular: list[EpisodeEntry], total: int | None, status: AiringStatus | None, today: str) -> int | None:
    """Regular episodes that have aired; those of a finished work all have, listed or not. ``None``: nothing dated."""
    dates = [date for date in map(_day_of, regular) if date]
    aired = sum(has_passed(date, today) for date in dates) if dates else None
    return episodes_aired(total, status, aired)


def _day_of(episode: EpisodeEntry) -> str | None:
    """Its day, as much as is known of it; one that is no date is noted where the episode itself is read."""
    try:
        return read_date(episode.airdate)
    except ValueError:
        return None


def _score(permanent: Rating | None, temporary: Rating | None) -> dict[str, Any]:
    for rating in (permanent, temporary):
        if rating and rating.count and rating.value:
            return {"score": rating.value, "votes": rating.count}
    return {}


def _studios(entry: AnimeEntry) -> tuple[str, ...]:
    by_id = {creator.id: _line(creator.name) for creator in entry.creators if creator.type in STUDIO_WORK}
    return unique(list(by_id.values()))


def _picture(name: str | None) -> str | None:
    return normalize_https_url(f"{PICTURES}/{name}") if name and re.fullmatch(r"[\w.-]+", name, re.ASCII) else None


def _external_ids(resources: list[Resource]) -> dict[str, str]:
    """Ids elsewhere, where there is one. AniDB joins what others split: of two none is the anime's."""
    found: dict[str, list[str]] = {}
    for resource in resources:
        for entity in resource.entities:
            if resource.type == TMDB:
                found.setdefault("tmdb", []).append("/".join(sorted(entity, key=str.isdigit)))  # tv/26209
            elif resource.type in EXTERNAL_IDS:
                found.setdefault(EXTERNAL_IDS[resource.type], []).extend(entity)
    return {name: ids[0] for name, ids in found.items() if len(set(ids)) == 1}


def clean_description(text: str | None) -> str | None:
    """A description without addresses, tags, and the lines that say where it comes from; ``None``: nothing left."""
    if not text:
        return None
    cleaned = BBCODE.sub("", LINK.sub(r"\1", text.replace("`", "'")))
    lines = (normalize_text(cleaned) or "").split("\n")
    while lines and (not lines[-1] or TRAILER.match(lines[-1])):
        lines.pop()
    if len(lines) > 1 and BASED_ON.match(lines[0]):  # answers of 2013 had lost their line ends, and are one line
        lines = lines[1:]
    return normalize_text("\n".join(lines))


def _episode(entry: EpisodeEntry, anime: Anime, native: str) -> Episode:
    number = re.fullmatch(r"S?(\d{1,6})", entry.epno)
    if not number:
        raise RecordError("epno: no number")
    languages = {"ru": "ru", "en": "en", "romaji": "x-jat" if native == "ja" else f"x-{native}t", "native": native}
    return read(
        Episode,
        {
            "source": SOURCE,
            "source_id": entry.id,
            "fetched_at": anime.fetched_at,
            "anime_id": anime.source_id,
            "season_number": SEASON_OF_EPISODES[entry.type],
            "number": int(number[1]),
            "titles": {ours: _first(entry.titles, language) for ours, language in languages.items()},
            "aired_on": _date(entry.airdate, "airdate"),
            "duration_min": entry.length or None,
            "is_recap": entry.recap,
        },
    )


def _character(entry: CharacterEntry, anime: Anime) -> Character:
    return read(
        Character,
        {
            "source": SOURCE,
            "source_id": entry.id,
            "fetched_at": anime.fetched_at,
            "names": {"romaji": _line(entry.name)},
            "anime_id": anime.source_id,
            "role": (snake(entry.type) or "").removesuffix("_in") or None,
            "picture": _picture(entry.picture),
            "voice_actors": [{"name": name} for name in unique([_line(actor) for actor in entry.seiyuu])],
        },
    )


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded answer: an anime, or a dump of titles as XML or as plain lines; gzip or not.

    Raises:
        ResponseError: it is none of these; the message says what was found.
    """
    unzipped = unpacked(body)
    if b"<" not in unzipped[:10] and is_dat(plain := text_of_bytes(unzipped)):
        return items_from_dump(dat_records(plain), fetched_at)
    root = root_from_body(unzipped)
    if root.tag == DUMP:
        return items_from_dump(dump_records(root), fetched_at)
    if root.tag == ANIME and len(root):
        return items_from_anime(root, fetched_at)
    if root.tag == ANIME:
        raise ResponseError(f"{name} is an anime without anything in it, which AniDB sends when it has failed")
    if root.tag == "error":
        raise ResponseError(f"{name} is AniDB's error: {(root.text or '').strip()[:200]}")
    raise ResponseError(f"{name} is <{root.tag[:40]}>; only <anime> and <animetitles> give items")
