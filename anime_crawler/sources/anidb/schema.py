"""AniDB's own words: XML into plain records and one pydantic model for each. What no item holds is listed for `drift`.

Source: wiki page "HTTP API Definition"; answers recorded 2013 to 2018, dumps of 2013 and 2017.
"""

from __future__ import annotations

import html
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any
from xml.sax.saxutils import escape

from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field

from anime_crawler.base_spiders import Drift, ResponseError, tell_mended, text_of_bytes
from anime_crawler.normalize.text import folded
from anime_crawler.sources.anidb import CARD

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LANG = "{http://www.w3.org/XML/1998/namespace}lang"
GZIP = b"\x1f\x8b"
WEB_PAGE = re.compile(r"\s*<(?:!doctype\s+html|html|head)\b", re.IGNORECASE)
DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
AMPERSAND = re.compile(r"&(?:(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,31});)?")
LIKE_DATE = re.compile("date|start|end|air|begin|finish", re.IGNORECASE)
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML does not allow."""
DAT_LINE = re.compile(r"(\d{1,9})\|(\d{1,2})\|([^|\n]+)\|([^\n]+)")
"""``aid|type|language|title``; the title may hold further bars."""

DIGEST = 4
"""Bytes of a title's digest: of 70,000 titles one in 60,000 searches finds another one too."""

Count = Annotated[int, Field(ge=0, le=10_000_000)]
"""A number of episodes, minutes or votes."""
Id = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")]


class Words(BaseModel):
    """Base: unknown elements and attributes are counted by `drift`, not here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Title(Words):
    """A title in one language."""

    text: str
    lang: str = ""
    """ISO code, or ``x-jat``, ``x-zht``, ``x-kot`` for transcriptions, ``x-other``, ``x-unk``; empty: not said."""
    type: str | None = None
    """main, official, short, card, kana; synonym in an anime, syn in the dump. ``None``: of an episode."""


class DumpEntry(Words):
    """One anime of the dump."""

    aid: Id
    titles: list[Title]


class Related(Words):
    """A link to another anime."""

    id: Id
    type: str = "other"
    """``Sequel``; AniDB has a word for those that are none of its kinds."""
    title: str | None = None


class Creator(Words):
    """A studio or a person."""

    id: str
    type: str
    name: str | None = None


class Rating(Words):
    """A mean of votes."""

    value: Annotated[float, Field(ge=0, le=10)]
    count: Count


class Tag(Words):
    """A tag; `weight` is 0 to 600, ``None`` in the form of 2013."""

    name: str
    weight: Count | None = None
    is_spoiler: bool = False


class Resource(Words):
    """The same work elsewhere: for each entity its identifiers."""

    type: str
    entities: list[list[str]]


class AnimeEntry(Words):
    """``request=anime`` without its episodes and characters, which are checked alone."""

    id: Id
    unknown_dates: list[str] = []
    """Names of elements that no schema knows and that may be what a date was renamed to."""
    restricted: bool | None = None
    """True: for adults only."""
    type: str | None = None
    episodecount: Count | None = None
    startdate: str | None = None
    enddate: str | None = None
    titles: list[Title]
    related: list[Related]
    creators: list[Creator]
    description: str | None = None
    permanent: Rating | None = None
    temporary: Rating | None = None
    picture: str | None = None
    resources: list[Resource]
    tags: list[Tag]


class EpisodeEntry(Words):
    """An episode, special, opening, trailer …"""

    id: Id
    type: str
    """``epno@type``: 1 regular, 2 special, 3 credits, 4 trailer, 5 parody, 6 other."""
    epno: str
    """``12``, ``S1``, ``C1`` …"""
    length: Count | None = None
    """Minutes; 0 is unknown."""
    airdate: str | None = None
    titles: list[Title]
    recap: bool | None = None


class CharacterEntry(Words):
    """A character of one anime."""

    id: Id
    type: str | None = None
    """``main character in``, ``secondary cast in``, ``appears in`` …"""
    name: str
    picture: str | None = None
    seiyuu: list[str]


class WebPageError(ResponseError):
    """A page of AniDB's web site came: its robot check, a block, or an address that is not the API's."""


def unpacked(body: bytes) -> bytes:
    """The body without gzip, whatever its headers said of it.

    Raises:
        ResponseError: the gzip is damaged, cut short, or unpacks to more than the card allows.
    """
    if not body.startswith(GZIP):
        return body
    inflater = zlib.decompressobj(wbits=31)
    try:
        text = inflater.decompress(body, CARD.max_body_bytes)
    except zlib.error:
        raise ResponseError("not XML: the gzip is damaged") from None
    if inflater.unconsumed_tail:
        raise ResponseError(f"the gzip unpacks to more than {CARD.max_body_bytes} bytes")
    if not inflater.eof:
        raise ResponseError("not XML: the gzip is cut short")
    return text


def root_from_body(body: bytes) -> Element:
    """The root element of an answer: ``anime``, ``animetitles``, ``error`` or another.

    Raises:
        WebPageError: it is HTML.
        ResponseError: it is no XML, cut short, or uses a DTD or entities. The message holds no part of the body.
    """
    # The declared encoding is not trusted: `text_of_bytes` looks at the bytes first.
    text = DECLARATION.sub("", text_of_bytes(unpacked(body)), count=1).lstrip()
    if not text:
        raise ResponseError("not XML: the body is empty")
    if WEB_PAGE.match(text):
        raise WebPageError("a web page, not the XML of the API or the dump")
    try:
        return _root(text)
    except ParseError as error:
        wrong = error
    try:
        root = _root(mended(text))
    except ParseError:
        raise ResponseError(f"not XML: {wrong}") from None
    tell_mended("XML", str(wrong))
    return root


def _root(text: str) -> Element:
    try:
        root: Element = fromstring(text.encode("utf-8", "replace"))
    except ParseError:
        raise
    except ValueError as error:  # defusedxml refuses it
        raise ResponseError(f"not XML that is safe to read: {type(error).__name__}") from None
    return root


def mended(text: str) -> str:
    """The document without what XML forbids and which says nothing of its structure.

    Characters that XML has no place for become U+FFFD, also where they are written as numbers; HTML's entities become
    their characters, and any other ampersand is one.
    """
    return FORBIDDEN.sub("\ufffd", AMPERSAND.sub(_character, text))


def _character(found: re.Match[str]) -> str:
    if found[1] in ("amp", "lt", "gt", "quot", "apos"):
        return found[0]
    meant = html.unescape(found[0]) if found[1] else "&"
    return "&amp;" + found[0][1:] if meant.startswith("&") else escape(meant)


def text_of(element: Element, path: str) -> str | None:
    """Text of the first element at `path`; ``None`` when there is none or it is blank."""
    return (element.findtext(path) or "").strip() or None


def titles_of(elements: Iterable[Element]) -> list[dict[str, Any]]:
    """Records of ``title`` elements that are not empty."""
    found = ({"text": (e.text or "").strip(), "lang": e.get(LANG), "type": e.get("type")} for e in elements)
    return [title for title in found if title["text"]]


def dump_records(root: Element) -> Iterator[dict[str, Any]]:
    """The anime of a dump, each to be checked as `DumpEntry`."""
    for entry in root.iterfind("anime"):
        yield {"aid": entry.get("aid"), "titles": titles_of(entry.iterfind("title"))}


def is_dat(text: str) -> bool:
    """Whether it is the dump's plain form: comments, then `DAT_LINE`."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return DAT_LINE.fullmatch(next(lines, "")) is not None


def dat_records(text: str) -> Iterator[dict[str, Any]]:
    """The anime of a plain dump, whose lines have no order, as `dump_records` gives them."""
    types = {"1": "main", "2": "syn", "3": "short", "4": "official"}
    found: dict[str, list[dict[str, Any]]] = {}
    for aid, number, lang, title in (match.groups() for match in DAT_LINE.finditer(text)):
        found.setdefault(aid, []).append({"text": title.strip(), "lang": lang, "type": types.get(number, number)})
    for aid, titles in found.items():
        yield {"aid": aid, "titles": sorted(titles, key=lambda title: title["type"] != "main")}


def anime_record(root: Element) -> dict[str, Any]:
    """The anime of an answer, to be checked as `AnimeEntry`."""
    texts = ("type", "episodecount", "startdate", "enddate", "description", "picture")
    return {
        "unknown_dates": sorted(filter(LIKE_DATE.search, {e.tag for e in root} - set(KNOWN[ANIME]["."].split()))),
        "id": root.get("id"),
        "restricted": root.get("restricted"),
        **{name: text_of(root, name) for name in texts},
        "titles": titles_of(root.iterfind("titles/title")),
        "related": [
            {"id": e.get("id"), "type": e.get("type"), "title": e.text} for e in root.iterfind("relatedanime/anime")
        ],
        "creators": [
            {"id": e.get("id"), "type": e.get("type"), "name": e.text} for e in root.iterfind("creators/name")
        ],
        "permanent": _rating(root.find("ratings/permanent")),
        "temporary": _rating(root.find("ratings/temporary")),
        "resources": [_resource(e) for e in root.iterfind("resources/resource")],
        "tags": [_tag(e) for e in root.iterfind("tags/tag")],
    }


def _rating(element: Element | None) -> dict[str, Any] | None:
    if element is None or not (element.text or "").strip():
        return None
    return {"value": element.text, "count": element.get("count")}


def _resource(element: Element) -> dict[str, Any]:
    entities = ([(i.text or "").strip() for i in e.iterfind("identifier")] for e in element.iterfind("externalentity"))
    return {"type": element.get("type"), "entities": [[i for i in entity if i] for entity in entities]}


def _tag(element: Element) -> dict[str, Any]:
    spoilers = (element.get("localspoiler"), element.get("globalspoiler"))
    return {"name": text_of(element, "name"), "weight": element.get("weight"), "is_spoiler": "true" in spoilers}


def episode_records(root: Element) -> Iterator[dict[str, Any]]:
    """The episodes of an answer, each to be checked as `EpisodeEntry`."""
    for element in root.iterfind("episodes/episode"):
        number = element.find("epno")
        yield {
            "id": element.get("id"),
            "recap": element.get("recap"),
            "type": number.get("type") if number is not None else None,
            **{name: text_of(element, name) for name in ("epno", "length", "airdate")},
            "titles": titles_of(element.iterfind("title")),
        }


def character_records(root: Element) -> Iterator[dict[str, Any]]:
    """The characters of an answer, each to be checked as `CharacterEntry`."""
    for element in root.iterfind("characters/character"):
        yield {
            "id": element.get("id"),
            "type": element.get("type"),
            "name": text_of(element, "name"),
            "picture": text_of(element, "picture"),
            "seiyuu": [actor.text or "" for actor in element.iterfind("seiyuu")],
        }


ANIME, DUMP = "anime", "animetitles"
KNOWN = {
    ANIME: {
        ".": "@id @restricted type episodecount startdate enddate titles relatedanime similaranime recommendations url"
        " creators description ratings picture categories resources tags characters episodes",
        "titles/title": "@lang @type",
        "relatedanime/anime": "@id @type",
        "creators/name": "@id @type",
        "ratings": "permanent temporary review",
        "resources/resource": "@type externalentity",
        "resources/resource/externalentity": "identifier url",
        "tags/tag": "@id @parentid @weight @localspoiler @globalspoiler @verified @update @infobox @approval @spoiler"
        " name description picurl count",
        "episodes/episode": "@id @update @recap epno length airdate rating title summary resources",
        "episodes/episode/title": "@lang",
        "characters/character": "@id @type @update rating name gender charactertype description picture seiyuu",
    },
    DUMP: {".": "anime", "anime": "@aid title", "anime/title": "@lang @type"},
}
"""Attributes and elements that somebody has seen or documented, by place; most say nothing that an item holds."""
KNOWN_TYPES = {
    "titles/title": frozenset({"main", "official", "synonym", "short", "card", "kana"}),
    "anime/title": frozenset({"main", "official", "syn", "short", "card", "kana"}),
    "episodes/episode/epno": frozenset("123456"),
    "resources/resource": frozenset(
        map(str, {*range(1, 12), 14, 15, 17, 19, 20, 23, 26, 28, 31, 32, 34, 38, *range(41, 46)})
    ),
}
"""Values of ``type`` whose meaning is known, or that have been seen; another one is left out and counted."""


def drift(root: Element) -> Drift:
    """`drift` counts what of an answer no longer matches the lists above."""
    counts: Drift = Drift()
    for path, known in KNOWN.get(root.tag, {}).items():
        names = set(known.split())
        for element in root.iterfind(path):
            found = {child.tag for child in element} | {f"@{name.rpartition('}')[2]}" for name in element.attrib}
            counts.update((f"{path}/{name}".removeprefix("./"), "unknown") for name in found - names)
    for path, types in KNOWN_TYPES.items():
        odd = (e.get("type") for e in root.iterfind(path) if e.get("type") not in types)
        counts.update((f"{path}@type={str(value)[:20]}", "unknown") for value in odd)
    return counts


def fingerprint(titles: list[dict[str, Any]]) -> str:
    """Digest of the titles of an anime in the dump, then of each one `folded`, in base64."""
    keys = {_digest(folded(title["text"])) for title in titles}
    return b64encode(_digest(repr(titles)) + b"".join(sorted(keys))).decode()


def bears(print_: str, title: str) -> bool:
    """Whether the anime of this fingerprint has such a title."""
    digests = b64decode(print_)
    return _digest(folded(title)) in {digests[at : at + DIGEST] for at in range(DIGEST, len(digests), DIGEST)}


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=DIGEST).digest()


ONCE_IN = timedelta(hours=24)
"""Before this time the dump, or the same anime, is not asked for again: either is a reason for a ban (wiki)."""


class Kept(BaseModel):
    """`Kept` is remembered between runs, as the checkpoint's state; 0.7 MB for 16,000 anime."""

    model_config = ConfigDict(frozen=True)

    dump_at: str | None = None
    """When AniDB last gave the dump, or said that it is the same."""
    modified: str | None = None
    """Its ``Last-Modified``."""
    dump: str | None = None
    """The dump as it came, in base64, until all its titles are stored: a killed run does not ask for it again."""
    known: dict[str, str] = {}
    """aid -> `fingerprint` of its titles."""
    asked: dict[str, str] = {}
    """aid -> when its details were had; of the last `ONCE_IN`."""

    def dump_due(self, now: datetime) -> datetime | None:
        """When the dump may be asked for; ``None``: at once."""
        due = datetime.fromisoformat(self.dump_at) + ONCE_IN if self.dump_at else now
        return due if due > now else None

    def asked_since(self, now: datetime) -> dict[str, str]:
        """The entries of `asked` that still hold."""
        return {aid: at for aid, at in self.asked.items() if now - datetime.fromisoformat(at) < ONCE_IN}
