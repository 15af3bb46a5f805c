"""AniSearch's pages in its own words: where each value stands, as text, before anything is made of it.

Source: pages of www.anisearch.com recorded 2023-04 (first layout), 2024-09 (index) and 2025-07 (second layout).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from parsel import Selector

from anime_crawler.base_spiders import Drift, NotJsonError, ResponseError, Words, in_utf8, parse_json

OUTER = re.compile(rb"<div[^>]*\bid=[\"']content-outer[\"'][^>]*>")
"""The frame of every page of the site; a page without it comes from somebody in front."""
TITLE = re.compile(rb"<title[^>]*>([^<]{0,200})", re.IGNORECASE)
CHALLENGE = re.compile(
    rb"just a moment|attention required|access denied|checking your browser|are you human|ddos protection"
    rb"|you have been blocked|temporarily (?:blocked|banned)",
    re.IGNORECASE,
)
CHALLENGE_MARKS = (b"cf-chl", b"/cdn-cgi/challenge-platform/", b"cf_chl_opt", b"cf-browser-verification")
NUMBER = re.compile(r"\d+")
ID = re.compile(r"(?:^|/)(anime|manga|movie|character)/(\d{1,7})(?!\d)")
"""The kind and id that a link leads to; longer numbers are no ids, the highest in use are 21,300 and 110,000."""
TOOLTIP_COVER = re.compile(r"<img\s[^>]*src=[\"']([^\"']+)")
SLUG = re.compile(r"/anime/\d+(,[\w.~%-]+)")


class Block(Words):
    """A `Block` holds what a page says of the anime in one language; the first is that of the country of origin."""

    lang: str | None
    title: str | None
    spellings: list[str] = []
    """Below the title: another romanisation, the native title, both, or none."""
    status: str | None = None
    released: str | None = None
    studios: list[str] = []
    """Companies under a label ``Studio``; those of other languages are publishers."""


class Detail(Words):
    """A detail page's texts; a relations page has only head, rating and links, a row of an index page even less."""

    id: str
    slug: str = ""
    """``,death-note``; empty: none was found."""
    page_lang: str | None = None
    name: str | None = None
    """Original title, romanised, of JSON-LD."""
    rating: str | None = None
    rating_count: str | None = None
    og_title: str | None = None
    cover: str | None = None
    value: str | None = None
    """``4.49 = 90%``: the mean rating, 0.1-5, with the digit that JSON-LD has not."""
    type: str | None = None
    """``TV-Series, 37``; ``Web, ?``; on index pages ``TV-Series, 12 (2023)``."""
    duration: str | None = None
    """ISO 8601: ``PT1H3M``."""
    adapted: str | None = None
    targets: str | None = None
    synonyms: list[str] = []
    """Pieces of text between the italics, of several titles each, split by commas."""
    italics: list[str] = []
    description: str | None = None
    """The English one."""
    genres: list[tuple[str, str]] = []
    """(``main``, ``subsidiary`` or ``tag``; name)."""
    blocks: list[Block] = []
    links: list[tuple[str, str | None, str | None]] = []
    """(address, title, what that work is to this one) of related works; in the layout of 2023 ``Anime: Sequel``."""
    has_characters: bool = False


class Index(Words):
    """An index page."""

    rows: list[Detail]
    """In the page's order, without repeats."""
    has_next: bool
    last_page: int | None
    """``None`` on the last page itself."""


KNOWN_BOXES = frozenset({"spoiler", "helptext", "source"})
"""Classes of ``div`` elements inside a description; none of them is a part of its text."""
KNOWN_LINES = frozenset(
    {"title", "type", "status", "released", "company", "adapted", "synonyms"}
    | {"targets", "broadcast", "creators", "websites"}
)
KNOWN_JSON_LD = frozenset(
    {"@context", "@type", "@id", "name", "url", "image", "description", "numberOfEpisodes", "aggregateRating"}
    | {"startDate", "endDate", "genre"}
)
"""Keys that somebody has seen; those that are not modelled above say nothing that an item holds."""


def is_challenge(body: bytes) -> bool:
    """Whether a page without the site's frame wants a browser, or says that we are shut out."""
    title = TITLE.search(body)
    return bool(title and CHALLENGE.search(title[1])) or any(mark in body for mark in CHALLENGE_MARKS)


def root_of(body: bytes) -> Any:
    """The document of one of the site's pages.

    Raises:
        ResponseError: it is none; the message says what it looks like.
    """
    body = in_utf8(body)
    if not OUTER.search(body):
        if is_challenge(body):
            raise ResponseError("a page that blocks us instead of AniSearch's")
        raise ResponseError("not a page of AniSearch: it has no content-outer")
    return Selector(text=body.decode()).root


def frame_of(root: Any) -> Any:
    """The element that says what the page is about; `root_of` has made sure that it is there."""
    return next((div for div in root.iter("div") if div.get("id") == "content-outer"), root)


def line(text: str | None) -> str | None:
    """The text without line breaks and double blanks; ``None`` for nothing."""
    return (" ".join(text.split()) or None) if text else None


def text_of(node: Any) -> str | None:
    """All text inside, in one line."""
    return None if node is None else line("".join(node.itertext()))


def own_text(node: Any) -> str | None:
    """The text directly inside, in one line: without the label, hints and whatever else is an element."""
    return None if node is None else line(" ".join([node.text or "", *(child.tail or "" for child in node)]))


def has_class(node: Any, name: str) -> bool:
    """Whether the element has that class among others."""
    return name in (node.get("class") or "").split()


def detail_from_root(root: Any) -> Detail:
    """A detail or relations page.

    Raises:
        ResponseError: the page has no id, or is about something else than an anime.
    """
    frame = frame_of(root)
    own = frame.get("data-id") or ""
    if frame.get("data-type") != "anime" or not NUMBER.fullmatch(own):
        raise ResponseError("not a page about an anime")
    metas = {meta.get("property"): meta.get("content") for meta in inside(root.find("head"), "meta")}
    sections = {section.get("id"): section for section in frame.iter("section")}
    items = infoblock(sections.get("information"))
    lines = lines_of(items)
    facts = json_ld(root)
    rating = facts["aggregateRating"] if isinstance(facts.get("aggregateRating"), dict) else {}
    synonyms, italics = _synonyms(lines.get("synonyms"))
    slug = SLUG.search(metas.get("og:url") or "")
    return Detail(
        id=own,
        slug=slug[1] if slug else "",
        page_lang=root.get("lang"),
        name=line(str(facts.get("name") or "")),
        rating=_number(rating.get("ratingValue")),
        rating_count=_number(rating.get("ratingCount")),
        og_title=line(metas.get("og:title")),
        cover=cover_of(sections.get("information")),
        value=_value(frame),
        type=own_text(lines.get("type")),
        duration=next((time.get("datetime") for time in inside(lines.get("type"), "time")), None),
        adapted=own_text(lines.get("adapted")),
        targets=own_text(lines.get("targets")),
        synonyms=synonyms,
        italics=italics,
        description=_description(sections.get("description")),
        genres=list(_genres(frame)),
        blocks=list(filter(None, map(_block, items))),
        links=list(_links(sections)),
        has_characters="characters" in sections and not has_class(sections["characters"], "empty"),
    )


def json_ld(root: Any) -> dict[str, Any]:
    """The structured data about the anime; empty when there is none or it cannot be read."""
    for script in root.iter("script"):
        if script.get("type") == "application/ld+json":
            try:
                facts = parse_json(script.text or "")
            except NotJsonError:
                continue
            if isinstance(facts, dict) and facts.get("@type") in ("TVSeries", "Movie"):
                return facts
    return {}


def _number(value: Any) -> str | None:
    """A number of the structured data as text, which it may be already; ``None`` for anything else."""
    return str(value) if isinstance(value, str | int | float) else None


def inside(node: Any, tag: str) -> Iterator[Any]:
    """Elements of that name inside; none where there is no node."""
    return iter(()) if node is None else node.iter(tag)


def infoblock(section: Any) -> list[Any]:
    """The list's elements: one for each language, and one of synonyms."""
    return next((list(ul) for ul in inside(section, "ul") if has_class(ul, "infoblock")), [])


def lines_of(items: list[Any]) -> dict[str, Any]:
    """Lines of the infoblock by class, the first of each."""
    found: dict[str, Any] = {}
    for item in items:
        for div in item:
            found.setdefault((div.get("class") or "").split(" ")[0], div)
    return found


def _block(item: Any) -> Block | None:
    lines = lines_of([item])
    title = lines.get("title")
    if title is None:
        return None
    return Block(
        lang=title.get("lang") or "",
        title=text_of(next(title.iter("strong"), None)),
        spellings=[text for div in title if has_class(div, "grey") and (text := text_of(div))],
        status=own_text(lines.get("status")),
        released=own_text(lines.get("released")),
        studios=_studios(lines.get("company")),
    )


def _studios(company: Any) -> list[str]:
    """Linked names; a name without a page of its own is plain text."""
    label = next((text_of(span) for span in inside(company, "span") if has_class(span, "header")), None)
    if not label or not label.casefold().startswith("studio"):
        return []
    linked = [text for a in inside(company, "a") if (text := text_of(a))]
    return linked or [name for name in [(own_text(company) or "").strip(", ")] if name]


def _synonyms(node: Any) -> tuple[list[str], list[str]]:
    """(pieces of text between the italics, the italics), hidden ones too."""
    plain, italics = [], []
    if node is not None:
        plain = [node.text]
        for child in node.iterdescendants():
            if child.tag == "i":
                italics.append(text_of(child))
            elif child.tag == "span" and not has_class(child, "header"):
                plain.append(child.text)
            plain.append(child.tail)
    pieces = (text.strip(", ") for piece in plain if (text := line(piece)))
    return [piece for piece in pieces if piece], [text for text in italics if text]


def _description(section: Any) -> str | None:
    """The English text with its line breaks; ``None`` where a plea for one stands."""
    for div in inside(section, "div"):
        if has_class(div, "details-text") and div.get("lang") == "en":
            is_plea = any(has_class(inner, "helptext") for inner in div.iter("div"))
            return None if is_plea else "".join(_running(div)).strip() or None
    return None


def _running(node: Any) -> Iterator[str]:
    """Text with line feeds for breaks, without the hidden line of its source and without boxes.

    AniSearch sets a spoiler apart as a ``div`` with a class, and uses no such ``div`` for the text itself. So a box is
    left out whatever its class: the spoilers stay out when their class is renamed, which `drift` counts.
    """
    yield " ".join((node.text or "").splitlines())
    for child in node:
        if child.tag == "br":
            yield "\n"
        elif isinstance(child.tag, str) and not has_class(child, "hidden") and not _is_box(child):
            yield from _running(child)
        yield " ".join((child.tail or "").splitlines())


def _is_box(node: Any) -> bool:
    return bool(node.tag == "div" and node.get("class"))


def _genres(frame: Any) -> Iterator[tuple[str, str]]:
    for ul in frame.iter("ul"):
        if has_class(ul, "cloud"):
            for a in ul.iter("a"):
                _, found, rest = (a.get("href") or "").partition("/genre/")
                name = text_of(a)
                if found and name:
                    yield rest.split("/")[0], name


def cover_of(section: Any) -> str | None:
    """Address of the page's picture."""
    return next((img.get("src") for img in inside(section, "img") if img.get("id") == "details-cover"), None)


def _value(frame: Any) -> str | None:
    """The number in the table of ratings, whichever label it has: it alone is a share as well."""
    table = next((table for table in frame.iter("table") if table.get("id") == "ratingstats"), None)
    return next((text for b in inside(table, "b") if (text := text_of(b)) and text.endswith("%")), None)


def _links(sections: dict[str | None, Any]) -> Iterator[tuple[str, str | None, str | None]]:
    """Related works: of a relations page its tables, of a detail page its preview."""
    tables = [sections.get(name) for name in ("relations_anime", "relations_manga")]
    heads = [th for section in tables for th in inside(section, "th") if th.get("scope") == "row"]
    previews = [li for name in ("relations", "relations2") for li in inside(sections.get(name), "li")]
    for place in heads or previews:
        link = next((a for a in place.iter("a") if ID.search(a.get("href") or "")), None)
        if link is not None:
            title = next((span for span in link.iter("span") if has_class(span, "title")), link)
            labels = [span for span in link.iter("span") if has_class(span, "header")]
            labels += [span for span in place.iter("span") if span.getparent() is not link]
            yield link.get("href"), text_of(title), text_of(labels[0]) if labels else None


def index_from_root(root: Any) -> Index:
    """An index or search page; no rows where nothing was found.

    Raises:
        ResponseError: a page about something else.
    """
    frame = frame_of(root)
    if frame.get("data-type") is not None:
        raise ResponseError(f"an index page was expected, there was one about {frame.get('data-type')}")
    rows = [_row(tr) for table in frame.iter("table") if has_class(table, "responsive-table") for tr in _body(table)]
    bars = [a for a in frame.iter("a") if "pagenav" in (a.get("class") or "")]
    last = next((NUMBER.search(a.get("title") or "") for a in bars if has_class(a, "pagenav-last")), None)
    return Index(
        rows=list({row.id: row for row in rows if row}.values()),
        has_next=any(has_class(a, "pagenav-next") for a in bars),
        last_page=int(last[0]) if last else None,
    )


def _body(table: Any) -> Iterator[Any]:
    return (tr for body in table.iter("tbody") for tr in body.iter("tr"))


def _row(tr: Any) -> Detail | None:
    head = next(tr.iter("th"), None)
    link = next(inside(head, "a"), None)
    own = ID.search(link.get("href") or "") if link is not None else None
    if head is None or link is None or not own or own[1] != "anime":
        return None
    cells = list(tr.iter("td"))
    named = {td.get("data-title"): text_of(td) for td in cells}
    cover = TOOLTIP_COVER.search(head.get("data-tooltip") or "")
    return Detail(
        id=own[2],
        blocks=[Block(lang=link.get("lang"), title=text_of(link))],
        type=text_of(cells[0]) if cells else None,
        genres=[("main", genre) for genre in (named.get("Main genres") or "").split(",") if genre],
        value=named.get("Calculated Value"),
        cover=cover[1] if cover else None,
    )


WHOLE_INDEX = 100
"""Rows of an index page; the last has fewer."""
DETAIL_LINES = ("title", "type")


def missing_anchors(root: Any, path: str) -> list[str]:
    """CSS selectors of what every page of its kind has and this one lacks; none for a sound page.

    A page without them is no such page, or the site has changed. Each stands in every page recorded from 2023 to 2026.

    Args:
        path: of the address that was asked for; it says what kind of page it is.
    """
    frame = frame_of(root)
    sections = {section.get("id"): section for section in frame.iter("section")}
    if path.endswith("/characters"):
        if not character_links(root):
            return ["section[id^=chara] a[href*=character]"]
        cast = [section for section in frame.iter("section") if re.fullmatch(r"chara\d+", section.get("id") or "")]
        has_names = any(has_class(span, "title") for section in cast for span in section.iter("span"))
        return [] if has_names else ["section[id^=chara] span.title"]
    if path.endswith("/episodes"):
        has_rows = any(True for row in inside(sections.get("episodes"), "tr") for _ in row.iter("td"))
        is_read = "episodes" in sections and (not has_rows or any(True for _ in episode_rows(root)))
        return [] if is_read else ["section#episodes tr[data-episode]"]
    if re.search(r"/anime/\d+[^/]*$", path):
        information = sections.get("information")
        items = infoblock(information)
        lines = lines_of(items)
        labels = [span for item in items for span in item.iter("span") if has_class(span, "header")]
        anchors = {
            **{f"#information .infoblock .{name}": name in lines for name in DETAIL_LINES},
            "#information .infoblock span.header": bool(labels),
            "#information img#details-cover": cover_of(information) is not None,
            "section#description": "description" in sections,
            "table#ratingstats": any(table.get("id") == "ratingstats" for table in frame.iter("table")),
            "script[type=application/ld+json]": any("ld+json" in (s.get("type") or "") for s in root.iter("script")),
        }
        return [name for name, is_there in anchors.items() if not is_there]
    if "/anime/index" not in path:  # a page that no crawl asks for: of one character, of relations
        return []
    rows = index_from_root(root).rows
    tables = [table for table in frame.iter("table") if has_class(table, "responsive-table")]
    if not rows and any(ID.search(a.get("href") or "") for table in tables for a in table.iter("a")):
        return ["table.responsive-table tbody th a[href*=anime]"]
    is_whole = len(rows) >= WHOLE_INDEX
    has_bar = any("pagenav" in (a.get("class") or "") for a in frame.iter("a"))
    return ["a[class^=pagenav]"] if is_whole and not has_bar else []


def character_links(root: Any) -> list[dict[str, Any]]:
    """Characters of an anime in the page's order, without repeats; the section says the role."""
    frame = frame_of(root)
    found: dict[str, dict[str, Any]] = {}
    for section in frame.iter("section"):
        for a in section.iter("a") if re.fullmatch(r"chara\d+", section.get("id") or "") else ():
            own = ID.search(a.get("href") or "")
            name = text_of(next((span for span in a.iter("span") if has_class(span, "title")), a))
            if own and own[1] == "character" and name:  # a picture's link has no name
                link = {"id": own[2], "name": name, "section": section.get("id"), "picture": a.get("data-bg")}
                found.setdefault(own[2], link | {"kind": "character", "anime_id": frame.get("data-id")})
    return list(found.values())


def episode_rows(root: Any) -> Iterator[dict[str, Any]]:
    """Number (``279FillerRecap``) and, by column and language, the texts of each episode."""
    anime_id = frame_of(root).get("data-id")
    for row in root.iter("tr"):
        if row.get("data-episode") == "true":
            cells = {td.get("data-title"): dict(_by_language(td)) for td in row.iter("td")}
            number = next((text_of(th) for th in row.iter("th") if th.get("itemprop") == "episodeNumber"), None)
            yield {"kind": "episode", "id": f"{anime_id}-{number}", "anime_id": anime_id, "number": number, **cells}


def _by_language(cell: Any) -> Iterator[tuple[str, str | None]]:
    for div in cell.iter("div"):
        name = next((span for span in div.iter("span") if span.get("itemprop") == "name"), div)
        yield div.get("lang") or "", text_of(name)


def drift(root: Any) -> Drift:
    """`drift` counts what of a detail page no longer matches the models above."""
    counts: Drift = Drift()
    information = next((s for s in root.iter("section") if s.get("id") == "information"), None)
    for name in lines_of(infoblock(information)).keys() - KNOWN_LINES:
        counts[f"infoblock.{name}", "unknown"] += 1
    texts = [div for div in root.iter("div") if has_class(div, "details-text")]
    boxes = {node.get("class") for text in texts for node in text.iterdescendants("div") if _is_box(node)}
    for name in boxes - KNOWN_BOXES:
        counts[f"description div.{name}", "unknown"] += 1
    for name in json_ld(root).keys() - KNOWN_JSON_LD:
        counts[f"json_ld.{name}", "unknown"] += 1
    return counts
