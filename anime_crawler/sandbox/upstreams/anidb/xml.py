"""A title as AniDB's XML shows it: the entry of the dump, and the answer to ``request=anime``."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from xml.etree.ElementTree import Element, SubElement, tostring

from anime_crawler.sandbox.world.elsewhere import Role, cast, id_at, oddities
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Day, Title

LANG = "{http://www.w3.org/XML/1998/namespace}lang"
TYPES = {
    "tv": "TV Series",
    "movie": "Movie",
    "ova": "OVA",
    "ona": "Web",
    "special": "TV Special",
    "tv_special": "TV Special",
    "music": "Music Video",
    None: "unknown",
}
STRUCTURE = ("maintenance tags", "dynamic", "elements")
"""Tags of weight 0: the branches that others hang from."""


def error_xml(text: str, code: str | None = None) -> bytes:
    """``<error code="302">…``; some errors have no code."""
    root = Element("error", {"code": code} if code else {})
    root.text = text
    return _written(root)


def dump_xml(known: dict[str, Title]) -> bytes:
    """All titles, by AniDB's ids."""
    root = Element("animetitles")
    for aid, title in known.items():
        _titles(SubElement(root, "anime", aid=aid), title, synonym="syn")
    return _written(root)


def anime_xml(title: Title, related: list[tuple[str, str, str]]) -> bytes:
    """One anime with everything that AniDB has of it.

    Args:
        related: (kind, id, name) of other anime.
    """
    draw = oddities("anidb", title)
    root = Element("anime", id=id_at("anidb", title) or "", restricted=str(title.censored).lower())
    _text(root, "type", TYPES.get(title.kind, "Other"))
    _text(root, "episodecount", title.episodes)
    _text(root, "startdate", _date(title.aired_on))
    _text(root, "enddate", _date(title.released_on) if title.status == "released" else None)
    _titles(SubElement(root, "titles"), title, synonym="synonym")
    for kind, aid, name in related:
        _text(_section(root, "relatedanime"), "anime", ticked(name), id=aid, type=kind.replace("_", " ").title())
    _creators(SubElement(root, "creators"), title, draw)
    _text(root, "description", _description(title, draw))
    _ratings(SubElement(root, "ratings"), title, draw)
    _text(root, "picture", f"{title.id}.jpg" if title.poster else None)
    _resources(SubElement(root, "resources"), title, draw)
    _tags(SubElement(root, "tags"), title, draw)
    for role in cast(title):
        _character(_section(root, "characters"), role)
    _episodes(SubElement(root, "episodes"), title, draw)
    return _written(root)


def _written(root: Element) -> bytes:
    text: bytes = tostring(root, encoding="utf-8")
    return text


def ticked(text: str) -> str:
    """AniDB writes back-ticks for apostrophes."""
    return text.replace("'", "`")


def _section(root: Element, name: str) -> Element:
    found = root.find(name)
    return SubElement(root, name) if found is None else found


def _text(parent: Element, name: str, text: object, **attributes: str) -> None:
    """An element, unless there is nothing to say."""
    if text is not None:
        SubElement(parent, name, attributes).text = str(text)


def _titles(parent: Element, title: Title, synonym: str) -> None:
    """One main title, at most one official in a language, and synonyms, which the two formats call differently."""
    draw = oddities("anidb titles", title)
    russian = "official" if draw.random() < 0.6 else synonym
    english = None if draw.random() < 0.1 else title.english
    found = [
        ("main", "x-jat", title.romaji),
        ("official", "ja", title.japanese),
        ("official", "en", english),
        (russian, "ru", title.russian),
        *((synonym, "en" if text.isascii() else "ru", text) for text in title.synonyms if text.strip()),
    ]
    for kind, language, text in found:
        if text:
            SubElement(parent, "title", {LANG: language, "type": kind}).text = ticked(text)


def _date(day: Day) -> str | None:
    """As much as is known, from the year on."""
    year, month, number = day
    if not year:
        return None
    parts = [f"{year:04}", *([f"{month:02}"] if month else []), *([f"{number:02}"] if month and number else [])]
    return "-".join(parts)


def _creators(parent: Element, title: Title, draw: Random) -> None:
    """Studios and persons in one list."""
    for name in title.studios:
        _text(
            parent, "name", name, id=str(100 + len(name)), type=draw.choice(["Animation Work", "Animation Production"])
        )
    _text(parent, "name", "Noda Shin", id=str(20_000 + title.id), type="Direction")


def _description(title: Title, draw: Random) -> str | None:
    if title.description is None:
        return None
    roles = cast(title)
    hero = f"http://anidb.net/ch{roles[0].number} [{roles[0].name}]" if roles else "Somebody"
    lines = [f"{hero} finds an old map, and it isn`t the only one.", "[i]Nobody said that the road would be short.[/i]"]
    if draw.random() < 0.3:
        lines.insert(0, f"* Based on a {title.origin.replace('_', ' ')}.")
    if draw.random() < 0.4:
        lines += ["", "Source: ANN", "Note: The first episode was shown early."]
    return "\n".join(lines)


def _ratings(parent: Element, title: Title, draw: Random) -> None:
    if title.score:
        score = min(10.0, max(1.0, title.score + draw.uniform(-0.4, 0.4)))
        _text(parent, "permanent", f"{score:.2f}", count=str(1 + title.votes // 10))
        _text(parent, "temporary", f"{score:.2f}", count=str(1 + title.votes // 9))


def _resources(parent: Element, title: Title, draw: Random) -> None:
    """Ids elsewhere; a few entries join two of MyAnimeList's."""
    if title.mal_id:
        joined = [title.mal_id, title.mal_id + 900_000] if draw.random() < 0.03 else [title.mal_id]
        _resource(parent, "2", *([str(mal)] for mal in joined))
    if draw.random() < 0.5:
        _resource(parent, "1", [str(title.id % 30_000)])
    if draw.random() < 0.2:
        _resource(parent, "44", ["tv", str(title.id + 200_000)])
    site = SubElement(SubElement(parent, "resource", type="4"), "externalentity")
    _text(site, "url", f"http://anime-{title.id}.example.org/")


def _resource(parent: Element, kind: str, *entities: list[str]) -> None:
    resource = SubElement(parent, "resource", type=kind)
    for identifiers in entities:
        entity = SubElement(resource, "externalentity")
        for identifier in identifiers:
            _text(entity, "identifier", identifier)


def _tags(parent: Element, title: Title, draw: Random) -> None:
    names = [(name, 0, False) for name in STRUCTURE]
    names += [(GENRES[genre][0].lower(), 100 * draw.randint(2, 6), False) for genre in title.genres]
    names += [("the map is false", 300, True)] if draw.random() < 0.2 else []
    for number, (name, weight, is_spoiler) in enumerate(names, 1):
        spoiler = str(is_spoiler).lower()
        marks = {"localspoiler": spoiler, "globalspoiler": "false", "verified": "true", "update": "2026-01-01"}
        _text(SubElement(parent, "tag", {"id": str(number), "weight": str(weight), **marks}), "name", name)


def _character(parent: Element, role: Role) -> None:
    kind = "main character in" if role.main else "secondary cast in"
    entry = SubElement(parent, "character", id=str(role.number), type=kind, update="2026-01-01")
    _text(entry, "name", role.name)
    _text(entry, "gender", "female" if role.number % 2 else "male")
    _text(entry, "charactertype", "Character", id="1")
    _text(entry, "picture", f"{role.number}.jpg")
    _text(entry, "seiyuu", role.voice, id=str(role.number + 500_000), picture=f"{role.number}v.jpg")


def _episodes(parent: Element, title: Title, draw: Random) -> None:
    """What has aired and, of an airing title, the next one; specials and credits stand among them."""
    count = title.episodes if title.status == "released" else title.aired + (title.status == "ongoing")
    length = max(0, title.duration + draw.choice([-1, 0, 0, 1])) if title.duration else 0
    for number in range(1, count + 1):
        _episode(parent, title, "1", str(number), length, _week(title.aired_on, number))
    if draw.random() < 0.3:
        _episode(parent, title, "2", "S1", 12, None)
    if draw.random() < 0.5:
        _episode(parent, title, "3", "C1", 2, None)


def _episode(parent: Element, title: Title, kind: str, number: str, length: int, airdate: str | None) -> None:
    entry = SubElement(parent, "episode", id=f"{title.id}{kind}{number.strip('SC'):0>3}", update="2026-01-01")
    _text(entry, "epno", number, type=kind)
    _text(entry, "length", length)
    _text(entry, "airdate", airdate)
    for language, text in (("en", f"Episode {number}"), ("ja", f"第{number}話")):
        SubElement(entry, "title", {LANG: language}).text = text


def _week(first: Day, number: int) -> str | None:
    year, month, day = first
    if not (year and month and day):
        return None
    return (date(year, month, day) + timedelta(weeks=number - 1)).isoformat()
