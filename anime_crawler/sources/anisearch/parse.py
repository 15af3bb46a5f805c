"""AniSearch's pages into items: pure, one anime at a time, so that a bad one costs only itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import chain
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
    read,
    reading,
    set_aside,
)
from anime_crawler.items import AiringStatus, Anime, Character, Episode, Item, Kind, Rejected
from anime_crawler.normalize.date import cour_of, partial_date, season_of
from anime_crawler.normalize.text import folded, normalize_line, normalize_text, snake, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.anisearch.schema import (
    ID,
    Detail,
    character_links,
    cover_of,
    detail_from_root,
    episode_rows,
    frame_of,
    has_class,
    index_from_root,
    infoblock,
    inside,
    lines_of,
    root_of,
    text_of,
)

SOURCE = "anisearch"
SITE = "https://www.anisearch.com"
PICTURES = "https://cdn.anisearch.com/images/"

KINDS = {
    "tv_series": Kind.TV,
    "tv_serie": Kind.TV,  # German, as further down
    "tv_special": Kind.TV_SPECIAL,
    "tv_spezial": Kind.TV_SPECIAL,
    "movie": Kind.MOVIE,
    "film": Kind.MOVIE,
    "ova": Kind.OVA,
    "web": Kind.ONA,
    "bonus": Kind.SPECIAL,
    "cm": Kind.CM,
    "music_video": Kind.MUSIC,
    "musikvideo": Kind.MUSIC,
}
UNTYPED = frozenset({"other", "unknown", "sonstiges", "unbekannt"})
"""AniSearch says that it does not know, or that it is none of its kinds."""
STATUSES = {
    "completed": AiringStatus.RELEASED,
    "abgeschlossen": AiringStatus.RELEASED,
    "ongoing": AiringStatus.ONGOING,
    "laufend": AiringStatus.ONGOING,
    "upcoming": AiringStatus.ANNOUNCED,
    "zukunftig": AiringStatus.ANNOUNCED,
    "on_hold": AiringStatus.PAUSED,
    "pausiert": AiringStatus.PAUSED,
    "canceled": AiringStatus.DISCONTINUED,
    "aborted": AiringStatus.DISCONTINUED,
    "abgebrochen": AiringStatus.DISCONTINUED,
}
ORIGINS = {"original_work": "original", "video_game": "game"}
"""Words for what it was made from that the other sources have another one for; the rest is theirs already."""
ROLES = {
    "chara1": "main",
    "chara2": "secondary",
    "chara3": "extra",
    "chara4": "organisation",
    "chara5": "other",
    "chara50": None,  # not classified
}

PLACEHOLDER = re.compile(r"/cover/(?:full/)?0(?:_\d+)?\.|/(?:ecchi|hentai)\.v\d")
TYPE = re.compile(r"([^,(]+?)(?:,\s*([\d.]+|\?)?(?:\+?/([\d.]+|\?)|\+)?)?(?:\s*\((\d{4}|\?)\))?")
"""``TV-Series, 37``; ``Web, ?``; ``OVA, 3+/6``: so many are out; on index pages with the year: ``OVA, 2 (2006)``."""
DASH = re.compile(r"\s+[\u2010-\u2015-]\s+")
DATE = re.compile(r"(?:(?:(\d{1,2})\.)?(\d{1,2})\.)?(\d{4})", re.ASCII)
ISO_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:\d+S)?")
CREDIT = re.compile(
    r"(?:\A|(?<=[.!?…\"”'’»)\]])\s*|\s*\n\s*)(?:source|quelle)\s*:[^\n]{1,100}\Z|\s*[(\[](?:source|quelle)\s*:[^()\[\]\n]*[)\]]\Z",
    re.IGNORECASE,
)
"""Where a description was taken from, at its end: on a line of its own, behind the last sentence, or in brackets."""
SHARE = re.compile(r"(\d(?:[.,]\d+)?)\s*=\s*\d+\s*%")
EPISODE = re.compile(r"(\d+)\s*((?:Filler|Recap|\s)*)")
MINUTES = re.compile(r"(\d+) min")
WITH_NATIVE = re.compile(r"(.*\S)\s*\(([^()]+)\)")


def made(make: Callable[[Any, datetime], Item], record: Detail | dict[str, Any], at: datetime) -> Item | Rejected:
    """The item that `make` gives for the record, or the record's dead letter."""
    try:
        with reading() as problems:
            item = make(record, at)
        return item.noting(problems)
    except (RecordError, ValidationError) as error:
        values = {"kind": "anime", **record.model_dump()} if isinstance(record, Detail) else record
        request = {"ids": values.get("anime_id", values["id"])}
        return set_aside(SOURCE, values["kind"], values, explain(error), at, source_id=values["id"], request=request)


def anime_from_detail(detail: Detail, fetched_at: datetime) -> Anime:
    """The anime that its page describes. Status, dates and studios are those of the country of origin.

    A kind, status or date that we do not understand, and a value that no anime may have, are noted.

    Raises:
        RecordError: no title.
    """
    origin = detail.blocks[0] if detail.blocks else None
    kind, aired, total, year = _type(detail.type)
    aired_from, aired_to = _dates(origin.released if origin else None)
    season, season_year = cour_of(aired_from, derived=season_of(aired_from and aired_from[:7]))
    status = mapped(STATUSES, snake(origin.status), "status") if origin else None
    score, votes = _rating(detail)
    genres = [name for group, name in detail.genres if group != "tag" and is_named(name)]
    description = normalize_text(detail.description)
    return read(
        Anime,
        {
            **_identity(detail.id, fetched_at),
            **_titles(detail),
            "url": f"{SITE}/anime/{detail.id}",  # without the slug, which changes with the title
            "external_ids": {"anisearch": detail.id},
            "description": normalize_text(CREDIT.sub("", description)) if description else None,
            "year": int(aired_from[:4]) if aired_from else year,
            "season": season,
            "season_year": season_year,
            "status": status,
            "kind": kind,
            "poster": _picture(detail.cover),
            "genres": unique([*genres]),
            "tags": unique([name for group, name in detail.genres if group == "tag" and is_named(name)]),
            "is_adult": any("hentai" in name.casefold() for name in genres) or None,
            "demographics": unique([word for word in (detail.targets or "").split(",") if is_named(word)]),
            "studios": unique([*origin.studios]) if origin else (),
            "origin": ORIGINS.get(snake(detail.adapted) or "", snake(detail.adapted)),
            "score": score,
            "votes": votes,
            "episodes_total": total,
            "episodes_aired": episodes_aired(total, status, aired),
            "duration_min": _duration(detail.duration),
            "aired_from": aired_from,
            "aired_to": aired_to,
            "relations": list(filter(None, map(_relation, detail.links))),
        },
    )


def _identity(own: str, fetched_at: datetime) -> dict[str, Any]:
    return {"source": SOURCE, "source_id": own, "fetched_at": fetched_at}


def _titles(detail: Detail) -> dict[str, Any]:
    """Main titles by language, and all others: other spellings and languages first, then synonyms.

    Raises:
        RecordError: there is none.
    """
    origin = detail.blocks[0] if detail.blocks else None
    shown = normalize_line((detail.og_title or "").partition(" ➜ ")[0].removesuffix(" (Anime)"))
    original = normalize_line((origin and origin.title) or detail.name) or shown
    if not original:
        raise RecordError("title: there is none")
    english = next((block.title for block in detail.blocks if block.lang == "en"), None)
    # The title a page shows is English on the English pages, and the original one where there is no English one.
    if detail.page_lang == "en" and shown != original:
        english = english or shown
    titles = {
        "en": normalize_line(english),
        "romaji": original if origin is None or origin.lang != "en" else None,
        "native": next(filter(is_native, origin.spellings if origin else ()), None),
    }
    others = [text for block in detail.blocks for text in (block.title, *block.spellings)]
    synonyms = [text for piece in detail.synonyms for text in split_synonyms(piece, [detail.name, shown, *others])]
    return {"titles": titles, "alternative_titles": unique([*others, *detail.italics, *synonyms], *titles.values())}


def is_named(word: str) -> bool:
    """Whether a word of a list says anything; ``?`` stands on index pages where AniSearch knows none."""
    return any(map(str.isalnum, word))


def is_native(text: str) -> bool:
    """Whether letters of another script than ours are in it: kana, kanji, hangul, …"""
    foreign = (unicodedata.name(letter, "") for letter in text if letter > "\u02ff" and letter.isalpha())
    return any(not name.startswith(("LATIN", "FULLWIDTH LATIN")) for name in foreign)


def split_synonyms(piece: str, titles: list[str | None]) -> list[str]:
    """Synonyms between commas; what spells one of the page's titles, whatever its blanks and signs, stays whole."""
    known = {folded(title) for title in titles if title}
    parts = piece.split(", ")
    found = []
    while parts:
        ends = (end for end in range(len(parts), 0, -1) if folded("".join(parts[:end])) in known)
        end = next(ends, 1)
        found.append(", ".join(parts[:end]))
        parts = parts[end:]
    return found


def _type(text: str | None) -> tuple[Kind | None, int | None, int | None, int | None]:
    """(kind, episodes aired, episodes in all, year); 0 and ``?`` are unknown.

    Another form, and a kind without a mapping, are noted.
    """
    match = TYPE.fullmatch(text or "")
    if not match:
        if text:
            note(f"type: an unknown form {text[:40]!r}")
        return None, None, None, None
    name, first, second, year = match.groups()
    kind = None if snake(name) in UNTYPED else mapped(KINDS, snake(name), "type")
    out, total = (_count(first), _count(second)) if second else (None, _count(first))
    return kind, out, total, int(year) if year and year != "?" else None


def _count(text: str | None) -> int | None:
    return int(re.sub(r"\D", "", text or "", flags=re.ASCII)[:9] or 0) or None


def _dates(text: str | None) -> tuple[str | None, str | None]:
    """(first day, last day), as much as is known of each; a single date is the first. What is no date is noted."""
    first, *rest = DASH.split(text, 1) if text else ("?",)
    return partial(first), partial(rest[0]) if rest else None


def partial(text: str) -> str | None:
    """``2006-10-04`` of ``04.10.2006``, ``2006-10`` of ``10.2006``, ``2006``; ``None`` for ``?`` and ``00.00.0000``.

    Another form, and what is no such date, are noted.
    """
    if text.strip() == "?":
        return None
    problem = f"released: not a date {text[:40]!r}"
    match = DATE.fullmatch(text.strip())
    if match is None:
        note(problem)
        return None
    day, month, year = (int(part or 0) for part in match.groups())
    return checked(lambda parts: partial_date(*parts), (year, month, day), problem)


def _duration(text: str | None) -> int | None:
    """Whole minutes; ``None`` for less than one. What is no ISO 8601 duration is noted."""
    match = ISO_DURATION.fullmatch(text) if text else None
    if text and not match:
        note(f"duration: an unknown form {text[:40]!r}")
    hours, minutes = (int(part or 0) for part in match.groups()) if match else (0, 0)
    return hours * 60 + minutes or None


def _rating(detail: Detail) -> tuple[float | None, int | None]:
    """(mean on 0-10, votes); the table's number has two digits, that of JSON-LD one."""
    share = SHARE.fullmatch(detail.value or "")
    is_filler = not share and (detail.rating, detail.rating_count) == ("2.5", "1")
    score = None if is_filler else _ten(share[1] if share else detail.rating)
    return score, _count(detail.rating_count) if score else None


def _ten(text: str | None) -> float | None:
    """AniSearch's 0.1-5 on our 0-10; 0 is no rating. What is no number is noted."""
    number = checked(float, (text or "0").replace(",", "."), f"rating: not a number {text!r}")
    return round((number or 0) * 2, 2) or None


def _picture(url: str | None) -> str | None:
    """A picture's address, also one relative to the picture host; ``None`` for the placeholders."""
    if not url or PLACEHOLDER.search(url):
        return None
    return normalize_https_url(url if "//" in url else PICTURES + url)


def _relation(link: tuple[str, str | None, str | None]) -> dict[str, Any] | None:
    """The relation of a linked work to this one; ``?`` is AniSearch's word for none known. Live action is left out."""
    href, title, label = link
    found = ID.search(href)
    if not found or found[1] not in ("anime", "manga"):
        return None
    kind = snake((label or "").rpartition(": ")[2]) or "unknown"
    return {"kind": kind, "target": found[1], "target_id": found[2], "title": normalize_line(title)}


def character_from_link(link: dict[str, Any], fetched_at: datetime) -> Character:
    """The character that a characters page lists; a section that we do not know is noted."""
    values = {"anime_id": link["anime_id"], "role": mapped(ROLES, link["section"], "role")}
    values |= {"names": {"romaji": link["name"]}, "picture": _picture(link["picture"])}
    return read(Character, _identity(link["id"], fetched_at) | values)


def character_from_root(root: Any, fetched_at: datetime) -> Character:
    """The character of a page of its own: names in Latin letters, in Japanese and English, and its voices.

    Raises:
        ResponseError: the page has no id or no name.
    """
    information = next((s for s in root.iter("section") if s.get("id") == "information"), None)
    names: dict[str, Any] = {}
    voices = []
    for lines in (lines_of([item]) for item in infoblock(information)):
        title = lines.get("title")
        lang = title.get("lang") if title is not None else None
        names.setdefault("en" if lang == "en" else "romaji", text_of(next(inside(title, "strong"), None)))
        # only children of the line: those further in are spoilers
        greys = [] if title is None else [s for s in title if s.tag == "span" and has_class(s, "grey")]
        names.setdefault("native", text_of(greys[0]) if greys else None)
        voices += [{"name": text_of(a), "language": lang} for a in inside(lines.get("seiyuu"), "a")]
    values = {"names": names, "picture": _picture(cover_of(information)), "voice_actors": voices}
    try:
        return read(Character, _identity(frame_of(root).get("data-id"), fetched_at) | values)
    except ValidationError as error:
        raise ResponseError(f"not a character's page: {explain(error)}") from None


def episode_from_row(row: dict[str, Any], fetched_at: datetime) -> Episode:
    """The episode of a row. The day of first airing is known, not the hour; what is no day is noted.

    Raises:
        RecordError: a number of another form.
    """
    number = EPISODE.fullmatch(row["number"] or "")
    if not number:
        raise RecordError(f"number: an unknown form {row['number']!r}")
    runtime, aired, names = (row.get(name, {}) for name in ("Runtime", "Date of Original Release", "Title"))
    minutes = MINUTES.search(runtime.get("ja") or "")
    romaji = WITH_NATIVE.fullmatch(names.get("ja") or "")
    titles = {"en": names.get("en"), "romaji": names.get("ja")}
    if romaji and is_native(romaji[2]):
        titles |= {"romaji": romaji[1], "native": romaji[2]}
    values = {
        "source_id": f"{row['anime_id']}-{number[1]}",
        "anime_id": row["anime_id"],
        "number": int(number[1]),
        "titles": {lang: normalize_line(title) for lang, title in titles.items()},
        "aired_on": checked(_day, aired.get("ja"), "released: not a date"),
        "duration_min": int(minutes[1]) or None if minutes else None,
        "is_filler": "Filler" in number[2] or None,
        "is_recap": "Recap" in number[2] or None,
    }
    return read(Episode, {"source": SOURCE, "fetched_at": fetched_at, **values})


def _day(text: str | None) -> str | None:
    """``2006-10-04`` of ``04. Oct 2006``, ``2006-10`` of ``Oct 2006``, ``2006``; ``None`` for ``?``.

    Raises:
        ValueError: another form, or no such day.
    """
    if not text or text == "?":
        return None
    for form, known in (("%d. %b %Y", 10), ("%b %Y", 7), ("%Y", 4)):
        with suppress(ValueError):
            return datetime.strptime(text, form).date().isoformat()[:known]
    raise ValueError(text)


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a page: index or search, detail, relations, characters, a character, episodes.

    Raises:
        ResponseError: it is none of these, or there is nothing on it; the message says what was found.
    """
    items = list(items_from_root(root_of(body), fetched_at))
    if not items:
        raise ResponseError(f"{name} is a page of AniSearch without any record")
    return iter(items)


def items_from_root(root: Any, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a page, which is known by what it is about and by the sections on it.

    Raises:
        ResponseError: its frame does not say what it is about, or there is no name on a character's page.
    """
    about = frame_of(root).get("data-type")
    sections = {section.get("id") or "" for section in root.iter("section")}
    if about is None:
        return (made(anime_from_detail, row, fetched_at) for row in index_from_root(root).rows)
    if about == "character":
        return iter((character_from_root(root, fetched_at),))
    if sections & {"information", "relations", "relations_anime"}:
        return iter((made(anime_from_detail, detail_from_root(root), fetched_at),))
    links = (made(character_from_link, link, fetched_at) for link in character_links(root))
    return chain(links, (made(episode_from_row, row, fetched_at) for row in episode_rows(root)))
