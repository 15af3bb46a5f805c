"""Anime-Planet's own words: where each of them stands on a page, and one pydantic model per kind of record.

Source: pages captured 2021 to 2026-04. The site has no API and documents nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from parsel import Selector, SelectorList
from pydantic import BaseModel, ConfigDict

from anime_crawler.base_spiders import (
    Drift,
    NotJsonError,
    RecordError,
    count_unknown,
    count_vanished,
    in_utf8,
    parse_json,
    read,
)

PROTECTED = re.compile(
    rb"<(a|span)\b[^>]*\bdata-cfemail=[\"']([0-9a-fA-F]{4,})[\"'][^>]*>(?:(?!</\1>).){0,200}</\1>", re.DOTALL
)
"""Cloudflare puts such an element in the place of any text with an ``@``, titles too."""
UNREADABLE = re.compile(r"\[email\s+protected\]")  # where the code is lost; the blank may be U+00A0
PATH = re.compile(r"(?:https?://[^/?#]+)?/(anime|manga|characters)/([^/?#]+)(?:/(characters))?/?(?:[?#].*)?")
YEARS = re.compile(r"TBA|(\d{4})(?:\s*-\s*(\d{4}|\?))?", re.ASCII)
"""``2016``, ``2019 - 2020``, ``1996 - ?``, ``TBA``."""
BACKGROUND = re.compile(r"url\(['\"]?([^)'\"]+)")
TAGS = ".//div[contains(@class,'tags')][h4[normalize-space()='Tags' or normalize-space()='Content Warning']]//a/text()"
NOT_SLUGS = frozenset({"all", "seasons", "years", "tags", "studios", "top-loved", "top-hated"})
"""Words in the place of a slug that lead to listings."""


class Words(BaseModel):
    """Base: what a page says beyond the model is left alone; `drift` counts what is new."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Rating(Words):
    """``aggregateRating``; absent: too few votes."""

    ratingValue: float | None = None  # noqa: N815  the upstream's word, as all below
    bestRating: float = 5  # noqa: N815
    """The worst is 0.5, so that doubling gives 1 to 10."""
    ratingCount: int | None = None  # noqa: N815


class JsonLd(Words):
    """The block of linked data; a few pages have none. Strings in it hold HTML entities."""

    name: str | None = None
    alternateName: list[str] | None = None  # noqa: N815
    """Alternative titles one by one; a tenth of the pages."""
    startDate: str | None = None  # noqa: N815
    endDate: str | None = None  # noqa: N815
    datePublished: str | None = None  # noqa: N815
    """Films have it instead of the other two."""
    aggregateRating: Rating | None = None  # noqa: N815


class Related(Words):
    """One work of the tabs of relations."""

    href: str
    name: str | None = None
    label: str | None = None
    """``Sequel``; what the listed work is to this one. ``None``: nothing is said."""


class Work(Words):
    """A `Work` holds what pages and cards say of an anime in the same form."""

    slug: str
    """Empty on a card that leads to no anime."""
    number: str | None = None
    """Stays when the slug changes (inferred)."""
    name: str | None = None
    aka: str | None = None
    """``Alt title: X`` or ``Alt titles: X, Y``, as it stands there."""
    type_line: str | None = None
    """``TV (64 eps)``, ``Movie (1 ep x 107 min)``, ``OVA``."""
    years: str | None = None
    """``2016``, ``2019 - 2020``, ``1996 - ?``, ``TBA``."""
    synopsis: str | None = None
    """Paragraphs of HTML."""
    tags: list[str] = []
    """Content warnings are among them, on a page each with a comma behind it."""
    image: str | None = None


class Card(Work):
    """One entry of a listing; most fields come from the escaped HTML of its tooltip."""

    studio: str | None = None
    rating: str | None = None
    """Mean of 0.5 to 5 with one decimal."""


class Actor(Words):
    name: str
    flag: str  # a country for a language: JP, US


class Role(Words):
    anime: str
    role: str | None = None
    actors: list[Actor] = []


class Cast(Words):
    """A character: a card on an anime's page, or the page of its own."""

    slug: str
    name: str | None = None
    image: str | None = None
    actors: list[Actor] = []
    roles: list[Role] = []
    """Only on its own page."""


class Entry(Work):
    """The page of one anime."""

    studios: list[str] = []
    season: str | None = None
    """Address of its season, ``/anime/seasons/fall-2023``; only what goes on air by seasons has it."""
    rating_line: str | None = None
    """``4.5 out of 5 from 1,234 votes``, or how many more are needed."""
    data: JsonLd
    related: list[Related] = []
    cast: list[Cast] = []
    """Up to eight."""


KNOWN_DATA = frozenset(JsonLd.model_fields) | {
    *("@context", "@type", "description", "url", "image", "numberOfEpisodes", "genre", "contentRating"),
    *("actor", "character", "director", "musicBy"),
}
"""Keys of linked data that somebody has seen; those not modelled are read from the page, or not kept."""
USUAL_CARD = ("number", "name", "type_line", "years", "image")
"""Fields that a page of cards never lacked altogether."""


def revealed(code: bytes) -> bytes:
    """The text of a ``data-cfemail``, escaped: its first byte is the key of all others; empty for no such code."""
    try:
        key, *rest = bytes.fromhex(code.decode())
        return html.escape(bytes(byte ^ key for byte in rest).decode()).encode()
    except ValueError:
        return b""


class Page:
    """One parsed page. What Cloudflare hid is written out again (sample ``detail__email_protected``).

    Args:
        address: of the request, or a file name; decides only where the page itself does not.
    """

    def __init__(self, body: bytes, address: str = "") -> None:
        body = in_utf8(body)
        if b"data-cfemail" in body:
            body = PROTECTED.sub(lambda found: revealed(found[2]) or found[0], body)
        # Looking through a whole page costs as much as a tenth of parsing it, so what is found is kept.
        self.root = Selector(text=body.decode("utf-8", "replace") or "<html/>", type="html")
        self.asked_for = address

    @cached_property
    def head(self) -> SelectorList[Selector]:
        return self.root.xpath("/html/head")

    @cached_property
    def heading(self) -> SelectorList[Selector]:
        """The first one: name of the work, character or listing, or what was searched for."""
        return self.root.xpath("/html/body/descendant::h1[1]")

    @cached_property
    def bar(self) -> SelectorList[Selector]:
        """The line of facts below the heading. Tooltips hold the same, escaped: that is text and no element."""
        return self.heading.xpath("./following::section[contains(@class,'entryBar')][1]")

    @cached_property
    def story(self) -> SelectorList[Selector]:
        """The block with picture, synopsis and tags of an anime."""
        return self.bar.xpath("./following::div[contains(@class,'entrySynopsis')][1]")

    @cached_property
    def address(self) -> tuple[str, str, str] | None:
        """(section, slug, part) by which the page calls itself, or else was asked for: ``("anime", "slug", "")``."""
        own = self.head.xpath("./link[@rel='canonical']/@href | ./meta[@property='og:url']/@content").getall()
        return next(filter(None, map(split_path, [*own, self.asked_for])), None)

    @cached_property
    def kind(self) -> str | None:
        """``anime``, ``character``, ``characters``, ``list``, ``search``, ``challenge``; ``None``: something else."""
        section, _, part = self.address or ("", "", "")
        asked_for = split_path(self.asked_for)
        if self.heading and section == "anime" and "characters" in (part, asked_for and asked_for[2]):
            return "characters"
        if self.heading and self.bar:
            return "character" if section == "characters" else "anime"
        title, heading = self.title.casefold(), text_of(self.heading, ".") or ""
        if title.startswith(("just a moment", "attention required")) or self.root.css("#challenge-form, #cf-wrapper"):
            return "challenge"  # Cloudflare's script alone is on every page
        if title.startswith("search results for") or heading.startswith("You searched for"):
            return "search"
        return "list" if heading == "Browse anime" or self.root.xpath("(//li[@data-type='anime'])[1]") else None

    @property
    def title(self) -> str:
        """The title that the browser's tab shows."""
        return self.root.xpath("string(//title)").get("").strip()

    def linked_data(self) -> dict[str, Any]:
        """The linked data that describes the work; empty where there is none, or none that can be read."""
        query = "script[@type='application/ld+json']/text()"
        for text in (self.head.xpath(f"./{query}") or self.root.xpath(f"//{query}")).getall():
            try:
                found = parse_json(text)
            except NotJsonError:
                continue
            if isinstance(found, dict) and "name" in found:
                return found
        return {}


def split_path(address: str) -> tuple[str, str, str] | None:
    """(section, slug, part) of an address or path; ``None`` for what leads to no single work or character."""
    match = PATH.fullmatch(address)
    return (match[1], match[2], match[3] or "") if match and match[2] not in NOT_SLUGS else None


def entry_from_page(page: Page) -> Entry:
    """The texts of an anime's page, as they are.

    Raises:
        RecordError: it does not say which anime it is.
    """
    if page.address is None or page.address[0] != "anime":
        raise RecordError("link[rel=canonical]: the address of one anime was expected")
    story = page.story
    data = read(JsonLd, page.linked_data(), "ld+json.")
    return Entry(
        slug=page.address[1],
        number=story.xpath(".//form[contains(@class,'myListBar')]/@data-id").get(),
        name=_name(page, data),
        aka=text_of(page.heading, "./following-sibling::h2[@class='aka']"),
        type_line=text_of(page.bar, ".//span[@class='type']"),
        studios=page.bar.xpath(".//a[starts-with(@href,'/anime/studios/')]/text()").getall(),
        years=text_of(page.bar, ".//span[@class='iconYear']"),
        season=page.bar.xpath(".//a[starts-with(@href,'/anime/seasons/')]/@href").get(),
        rating_line=page.bar.xpath(".//div[@class='avgRating']/@title").get(),
        synopsis=_paragraphs(story.xpath("./div[contains(@class,'md-3-5')]/div[1][not(@class)]")),
        tags=story.xpath(TAGS).getall(),
        image=story.xpath(".//img[@itemprop='image']/@src").get(),
        data=data,
        related=_related(page),
        cast=[*_cast(page)],
    )


def _name(page: Page, data: JsonLd) -> str | None:
    """The heading; where Cloudflare hid a part of it for good, what the page calls itself elsewhere."""
    heading = text_of(page.heading, ".")
    if heading and not is_hidden(heading):
        return heading
    title = page.title.rpartition(" | ")[0]
    names = [data.name, page.head.xpath("./meta[@property='og:title']/@content").get(), title]
    return next((html.unescape(name) for name in names if name and name.strip() and not is_hidden(name)), None)


def is_hidden(text: str) -> bool:
    """Whether Cloudflare took a part of the text away."""
    return UNREADABLE.search(text) is not None


def text_of(found: Selector | SelectorList[Selector], query: str) -> str | None:
    """Text of the first element that the query finds from there; ``None``: none, or nothing in it."""
    return found.xpath(f"string({query})").get("").strip() or None


def _paragraphs(found: SelectorList[Selector]) -> str | None:
    """HTML of the paragraphs with an empty line between them: a line end inside one means nothing."""
    return "\n\n".join(" ".join(text.split()) for text in found.xpath("./p").getall()) or None


def _related(page: Page) -> list[Related]:
    """Works of all tabs; with one tab only, or only manga, the ids of the others are missing."""
    works = page.bar.xpath("./following-sibling::*//a[contains(@class,'RelatedEntry')]")
    return [
        Related(
            href=work.attrib.get("href", ""),
            name=_inner(work, "p", "RelatedEntry__name"),
            label=_inner(work, "span", "RelatedEntry__subtitle"),
        )
        for work in works
    ]


def _inner(link: Selector, tag: str, word: str) -> str | None:
    """Text of the first element of that class inside a link.

    By hand, because a page has up to a hundred such links, and one XPath takes longer than a look at all inside.
    """
    for element in link.root.iter(tag):
        if word in element.get("class", ""):
            return "".join(element.itertext()).strip() or None
    return None


def _cast(page: Page) -> Iterator[Cast]:
    section = page.bar.xpath("./following::section[contains(@class,'section__characters')][1]")
    for card in section.xpath(".//a[contains(@class,'CharacterCard')]"):
        address = split_path(card.attrib.get("href", ""))
        if address and address[0] == "characters":
            image = next((BACKGROUND.search(aside.get("style", "")) for aside in card.root.iter("aside")), None)
            yield Cast(
                slug=address[1],
                name=_inner(card, "strong", "CharacterCard__title"),
                image=image[1] if image else None,
                actors=[*_actors(card)],
            )


def _actors(place: Selector) -> Iterator[Actor]:
    """Names behind flags: links on a character's page (``jp.`` stands before them), bare text on a card."""
    for flag in place.root.iter("div"):
        if (sort := flag.get("class", "")).startswith("flag flag"):
            for name in [link.text for link in flag.iter("a")] or [flag.text]:
                yield Actor(name=name or "", flag=sort.removeprefix("flag flag"))


def character_from_page(page: Page) -> Cast:
    """A character's own page.

    Raises: RecordError: it does not say which character it is.
    """
    if page.address is None or page.address[0] != "characters":
        raise RecordError("link[rel=canonical]: the address of one character was expected")
    rows = page.root.xpath("//h3[normalize-space()='Anime Roles']/following-sibling::table[1]//tr")
    works = [(split_path(row.xpath("./td[1]//a/@href").get("")), row) for row in rows]
    return Cast(
        slug=page.address[1],
        name=_name(page, JsonLd()),
        image=page.root.xpath("(//img[@itemprop='image'])[1]/@src").get(),
        roles=[
            Role(anime=work[1], role=text_of(row, "./td[2]"), actors=[*_actors(row)]) for work, row in works if work
        ],
    )


def cast_from_page(page: Page) -> list[Cast]:
    """Characters that an anime's page of characters links to: all of them, without their roles."""
    links = page.root.xpath("//a[contains(concat(' ',@class,' '),' name ')][starts-with(@href,'/characters/')]")
    found = [(split_path(link.attrib["href"]), text_of(link, ".")) for link in links]
    return [Cast(slug=address[1], name=name) for address, name in found if address]


WHOLE_LISTING = 35
"""Cards of a listing page; the last has fewer."""


def missing_anchors(page: Page) -> list[str]:
    """CSS selectors of what every page of its kind has and this one lacks; none for a sound page.

    A page without them is no such page, or the site has changed. Each stands in every page that was captured from 2021
    to 2026. A page of characters may link to none.
    """
    if page.kind == "anime":
        anchors = {
            ".entryBar span.type": page.bar.xpath(".//span[@class='type']"),
            ".entryBar .iconYear": page.bar.xpath(".//span[@class='iconYear']"),
            ".entrySynopsis": page.story,
            ".entrySynopsis .md-3-5": page.story.xpath("./div[contains(@class,'md-3-5')]"),
            ".entrySynopsis img[itemprop=image]": page.story.xpath(".//img[@itemprop='image']"),
            ".entrySynopsis .myListBar[data-id]": page.story.xpath(".//form[contains(@class,'myListBar')]/@data-id"),
        }
        return [name for name, found in anchors.items() if not found]
    if page.kind == "character":
        return [] if page.root.xpath("//h3[normalize-space()='Anime Roles']") else ["h3 Anime Roles"]
    if page.kind == "characters":
        linked = map(split_path, page.root.xpath("//td//a/@href").getall())
        is_listed = any(address and address[0] == "characters" for address in linked)
        return ["a.name"] if is_listed and not cast_from_page(page) else []
    if page.kind == "list":
        is_whole = len(page.root.xpath("//li[@data-type='anime']")) >= WHOLE_LISTING
        has_bar = bool(page.root.xpath("//div[contains(@class,'pagination')]//li"))
        return [".pagination li"] if is_whole and not has_bar else []
    return []


def cards_from_page(page: Page) -> list[Card]:
    """Entries of a listing in its order; links to whole years that stand among them are left out."""
    items = page.root.xpath("//li[@data-type='anime']")
    return [_card(item) for item in items if not item.xpath(".//a[starts-with(@href,'/anime/years/')]")]


def _card(item: Selector) -> Card:
    link = item.xpath("(.//a[@href])[1]")
    section, slug, _ = split_path(link.attrib.get("href", "")) or ("", "", "")
    tooltip = Selector(text=link.attrib.get("title") or "<p></p>", type="html")
    return Card(
        slug=slug if section == "anime" else "",
        number=item.attrib.get("data-id"),
        name=text_of(item, ".//h3[contains(@class,'cardName')]"),
        aka=text_of(tooltip, "//h6"),
        synopsis=_paragraphs(tooltip.xpath("//body")),
        tags=tooltip.xpath("//div[@class='tags']//li/text()").getall(),
        image=item.xpath(".//img/@data-src").get(),
        **_card_bar(tooltip),
    )


def _card_bar(tooltip: Selector) -> dict[str, str]:
    """Missing pieces are simply left out, so that only class and form tell which is which."""
    bar = {}
    for piece in tooltip.xpath("//ul[@class='entryBar']/li"):
        text = piece.xpath("string()").get("").strip()
        if piece.attrib.get("class") == "type":
            bar["type_line"] = text
        elif YEARS.fullmatch(text):
            bar["years"] = text
        else:
            bar["rating" if piece.xpath(".//div[@class='ttRating']") else "studio"] = text
    return bar


def drift(page: Page) -> Drift:
    """`drift` counts what of a page no longer matches the models above."""
    counts: Drift = Drift()
    count_unknown(counts, [page.linked_data()], "ld+json.", KNOWN_DATA)
    cards = [card.model_dump(exclude_none=True) for card in cards_from_page(page)]
    count_vanished(counts, cards, "card.", USUAL_CARD)
    return counts
