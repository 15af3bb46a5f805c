"""Walks Anime-Planet's listing and reads the page of each title that is new to the walk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from scrapy import Request
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    RENDER,
    Action,
    GivenUp,
    Paging,
    Place,
    Proof,
    ResponseError,
    Verdict,
    WalkError,
    WalkingSpider,
    WalkState,
    at_most_one,
    chosen,
    in_utf8,
    is_on,
    kind_of,
    location_of,
    moved,
    parts_of,
    read_once,
    request_of,
    set_aside,
    titles_of,
    unreadable,
    verdict_by_status,
    wrong_address,
)
from anime_crawler.base_spiders import Page as ListPage
from anime_crawler.items import Absent, AiringStatus, Anime, Character, Checkpoint, Item, Rejected, listing, utc_now
from anime_crawler.normalize.text import is_called
from anime_crawler.sources.anime_planet import CARD
from anime_crawler.sources.anime_planet.parse import (
    alternative_titles,
    items_from_cards,
    items_from_character,
    items_from_entry,
)
from anime_crawler.sources.anime_planet.schema import (
    Card,
    Page,
    cards_from_page,
    cast_from_page,
    drift,
    missing_anchors,
    split_path,
)

PAGE_SIZE = 35
"""Cards of a listing page; the last has fewer."""
MOST_PAGES = 3000
"""A listing that goes on longer lies: there were 761 pages in 2026."""
ENOUGH_KNOWN = 5
"""Known titles among the newest after which all that is older is known: one or two may have been moved up."""
ORDERS = {"title": {"sort": "title", "order": "asc"}, "recent": {"sort": "recent", "order": "desc"}}
LOOK_AGAIN = timedelta(days=7)
"""Age from which titles that were announced or running are looked at again, as AniSearch's are."""
ASIDE = frozenset({"wrong_shape", "too_large"})
"""Verdicts about faults that one page alone may have."""
ODD_PAGES = 3
"""Unreadable pages in a row that are no accident any more: the site has changed."""
UNFINISHED = frozenset({AiringStatus.ANNOUNCED, AiringStatus.ONGOING, AiringStatus.PAUSED})
REDIRECTS, GONE = frozenset({301, 302, 303, 307, 308}), frozenset({404, 410})
LISTINGS = ("anime", "list", "search")
"""Kinds of pages that answer a search; a search that finds one title alone is answered with that title's page."""
STOPPING = frozenset({"blocked", "robots_forbid", "robots_unread"})
"""Verdicts after which no other request has a better chance."""


class Walk(WalkState):
    """How far the listing has been walked. The checkpoint's state."""

    order: Literal["title", "recent"] = "recent"
    """A full walk goes by title, in which nothing moves, once it has looked at the newest."""
    place: Place = Place()
    """In the listing of that order."""
    newest: list[str] = []
    """Numbers of the newest titles when the last complete walk began: what is older is known."""
    top: list[str] = []
    """The same of this walk."""
    met: int = 0
    """How many of `newest` this walk has come to."""
    since: list[str] = []
    """`newest` as it was when this walk began."""
    is_open: bool = False
    """Incremental: a page ended with a title that was new, so that another may have moved from behind it."""
    depth: int = 0
    """Incremental: rows of the first pass, which the next ones read too."""
    unfinished: list[str] = []
    """Slugs of titles that were announced or running by the listing or when last looked at, or perhaps are by their
    year. The catalogue knows others, whose own page alone says so."""
    todo: list[str] = []
    """Those of them that this walk has still to look at, before it reads the listing."""
    looked_at: str = ""
    """Day on which the last look at all of them began."""

    @property
    def current(self) -> Place:
        """Where it is in the listing."""
        return self.place

    @property
    def paging(self) -> Paging:
        """The listing says only how many pages it has."""
        is_sure = not self.is_open and (not self.full or self.order == "recent")
        return Paging(PAGE_SIZE, Proof.NONE if is_sure else Proof.PASSES, most=MOST_PAGES)

    def after(self, page: ListPage) -> Walk:
        """The walk when a page of the listing has been read."""
        cards: list[Card] = [card for card in page.rows if card.slug]
        step: dict[str, Any] = {"top": self.top or [_key(card) for card in cards]}
        step["unfinished"] = sorted({*self.unfinished, *map(_slug, filter(_may_change, self.wanted(cards)))})
        if self.full and self.order == "recent":
            return self.model_copy(update=step | {"order": "title", "place": Place()})
        step["met"] = self.met + sum(_key(card) in self.newest for card in cards)
        is_open = not self.full and page.has_next and bool(cards) and cards[-1] in self.wanted(cards)
        end = self.place.row + len(page.rows)
        if not self.place.passes:
            step |= {"is_open": self.is_open or is_open, "depth": end}
        there = self.model_copy(update=step)
        is_past = self.is_reached(cards) and end >= there.depth
        place = self.place.after(replace(page, is_past=is_past), there.paging)
        if place.passes > self.place.passes:
            step["met"] = 0
        if place.is_read:
            step |= {"newest": step["top"], "complete": True}
        return there.model_copy(update=step | {"place": Place() if place.is_read else place})

    def wanted(self, cards: list[Card]) -> list[Card]:
        """Cards of a page that may be new, so that their pages are to be read."""
        if self.full:
            return cards
        if self.is_reached(cards):
            cards = cards[: max(number for number, card in enumerate(cards) if _key(card) in self.newest)]
        return [card for card in cards if _key(card) not in self.newest]

    def is_reached(self, cards: list[Card]) -> bool:
        """Whether what comes after the last known card of this page is all known."""
        known = sum(_key(card) in self.newest for card in cards)
        return not self.full and known > 0 and self.met + known >= min(ENOUGH_KNOWN, len(self.newest))

    def after_look(self, found: list[str]) -> Walk:
        """The walk when the first of `todo` has been looked at.

        Args:
            found: slugs to look at again; its own, another where it was renamed, or none.
        """
        unfinished = sorted({*self.unfinished, *found} - ({self.todo[0]} - {*found}))
        return self.model_copy(update={"todo": self.todo[1:], "unfinished": unfinished})


class AnimePlanetSpider(WalkingSpider):
    """``scrapy crawl anime_planet``: everything at first, then what is new."""

    name = "anime_planet"
    card = CARD
    arguments = {
        "mode": "full (the whole listing, then every title) or incremental (what is new; default after a full one)",
        "ids": "only these titles, by slug: cowboy-bebop,one-piece",
        "titles": "only these titles, by name: One Piece;Naruto",
        "characters": "1: also the characters of each title, one request each",
        **RENDER,
    }
    custom_settings = {"CONCURRENT_REQUESTS": 1}
    handle_httpstatus_list = [*REDIRECTS, *GONE]

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        at_most_one(self.args, "mode", "ids", "titles")
        self.mode = chosen(self.args, "mode", "full", "incremental")
        self.ids = parts_of(self.args, "ids", r"[^\s/?#]+", "cowboy-bebop,one-piece")
        self.titles = titles_of(self.args)
        self.wants_characters = is_on(self.args, "characters")
        self._done, self._total = 0, len(self.ids) or None
        self._unfinished: list[str] = []
        """Slugs of titles that are announced or running by what the catalogue has."""
        self._odd_pages = 0
        """Titles looked at in a row that could not be read."""

    async def start(self) -> AsyncIterator[Any]:
        if self.is_resumed:
            return
        for slug in self.ids:
            yield self._detail_request(slug)
        for title in self.titles:
            query = urlencode({"name": title})
            yield self._request(f"/anime/all?{query}", self.parse_search, {"title": title})
        if not (self.ids or self.titles):
            for request in await self.first_page():
                yield request

    async def first_page(self) -> list[Request]:
        """The first request of this run's walk."""
        self._unfinished = await self.run.unfinished()
        return await super().first_page()

    def begin(self, stored: dict[str, Any] | None) -> Walk:
        """A walk from its first page.

        The pages of titles wait in the frontier alone. Where that is empty, what an unfinished walk, or a run that was
        interrupted after its last listing page, had still to read is lost, so that walk begins again.
        """
        today = utc_now().date()
        if stored is None:
            return Walk(full=self.mode != "incremental", began_in=self.run.id, looked_at=today.isoformat())
        last = self.state_of(stored)
        is_open = not last.complete or last.began_in == self.run.id
        full = self.mode == "full" or (is_open and last.full)
        newest = last.since if is_open and last.since else last.newest
        step: dict[str, Any] = {
            "full": full,
            "newest": [] if full else newest,
            "since": newest,
            "began_in": self.run.id,
        }
        if full:
            return Walk.model_validate({**step, "looked_at": today.isoformat()})
        step |= {"unfinished": last.unfinished, "todo": last.todo, "looked_at": last.looked_at or today.isoformat()}
        if not today - LOOK_AGAIN < date.fromisoformat(step["looked_at"]) <= today:  # one to come was a wrong clock's
            step |= {"todo": sorted({*last.unfinished, *self._unfinished}), "looked_at": today.isoformat()}
        return Walk.model_validate(step)

    def state_of(self, walk: dict[str, Any]) -> Walk:
        """The walk that a request carries."""
        return Walk.model_validate(walk)

    def _request(self, path: str, callback: Any, kwargs: dict[str, Any], **options: Any) -> Request:
        return Request(f"{self.base_url}{path}", callback, errback=self.failed, cb_kwargs=kwargs, **options)

    def page_request(self, walk: Walk) -> Request:
        """A page of the listing, before all that wait: while the listing is read it should not move."""
        query = ORDERS[walk.order] | {"page": walk.place.window(walk.paging).page}
        return Request(f"{self.base_url}/anime/all?{urlencode(query)}", priority=1)

    def walk_request(self, walk: WalkState, stored: dict[str, Any] | None) -> Request:
        """The walk's next request: a title that may have changed, or a page of the listing."""
        assert isinstance(walk, Walk)
        if not walk.todo:
            return super().walk_request(walk, stored)
        kwargs = {"walk": walk.model_dump(mode="json"), "stored": stored}
        path = f"/anime/{quote(walk.todo[0], safe='%')}"
        request = self._request(path, self.parse_look, kwargs, priority=1, dont_filter=True)
        return request.replace(errback=self.look_failed)

    def _detail_request(self, slug: str, title: str | None = None, former: Sequence[str] = ()) -> Request:
        """The request for an anime's page.

        Args:
            title: a search for it led to the page, whose anime is to bear it.
            former: slugs whose redirects led to this one, first of all the one that was asked for.
        """
        kwargs = {"slug": slug, **({"title": title} if title else {}), **({"former": [*former]} if former else {})}
        return self._request(f"/anime/{quote(slug, safe='%')}", self.parse_detail, kwargs, dont_filter=bool(former))

    def read_page(self, response: Response, walk: Walk) -> ListPage:
        """A page of the listing."""
        page, number = page_of(response), walk.place.window(walk.paging).page
        cards = cards_from_page(page)
        if not has_next_page(page) and last_page(page) > number:
            message = f"the listing ends at page {number} and says that it has {last_page(page)}"
            raise WalkError("short_list", message)
        self._total = last_page(page) * PAGE_SIZE if walk.full else None
        keys = [(int(card.number),) if card.number and card.number.isdecimal() else None for card in cards]
        slugs = [card.slug for card in cards if card.slug]
        return ListPage(list(cards), [*map(_key, cards)], has_next_page(page), keys, listed=slugs)

    def news_of(self, walk: Walk, page: ListPage) -> list[Any]:
        """All cards of the newest, else those that this walk has not seen."""
        return super().news_of(walk, page) if walk.full and walk.order == "title" else page.rows

    def page_items(self, response: Response, walk: Walk, rows: list[Any]) -> Iterator[Item | Rejected | Request]:
        """The pages of the titles that may be new."""
        self.report_drift(drift(page_of(response)))
        yield from items_from_cards([card for card in rows if not card.slug], utc_now())
        yield from (self._detail_request(card.slug) for card in walk.wanted([card for card in rows if card.slug]))

    def tell_progress(self, walk: Walk) -> None:
        """Told by the pages of titles."""

    def walk_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of the listing: a block ends the crawl."""
        yield from self.failed(failure)

    def parse_look(
        self, response: Response, walk: dict[str, Any], stored: dict[str, Any] | None
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """A title that was announced or running when last looked at."""
        self._odd_pages = 0
        here, items = self.state_of(walk), list(self.parse_detail(response, walk["todo"][0]))
        yield from items
        found = [item.source_id for item in items if isinstance(item, Anime) and _is_unfinished(item)]
        found += [item.cb_kwargs["slug"] for item in items if isinstance(item, Request) and "slug" in item.cb_kwargs]
        found += [here.todo[0] for item in items if isinstance(item, Rejected)]
        yield from self.go_on(here.after_look(found), stored)

    def look_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of such a title: one that cannot be read waits for the next look, as a dead letter."""
        request, error = request_of(failure), failure.value
        is_odd = isinstance(error, GivenUp) and error.verdict.kind in ASIDE and error.response is not None
        self._odd_pages += is_odd
        if not is_odd or self._odd_pages >= ODD_PAGES:
            yield from self.failed(failure)
            return
        assert isinstance(error, GivenUp)
        assert error.response is not None
        here = self.state_of(request.cb_kwargs["walk"])
        yield self.rejected_page(error.verdict, error.response, request)
        yield from self.go_on(here.after_look([here.todo[0]]), request.cb_kwargs["stored"])

    def parse_search(self, response: Response, title: str) -> Iterator[Item | Rejected | Request]:
        """Ask for the titles of that very name among those that a search finds; a single hit comes as its own page."""
        page, found = page_of(response), self._slug_of_redirect(response)
        if page.kind == "anime" and page.address:
            found = page.address[1]
        cards = [card for card in cards_from_page(page) if card.slug] if page.kind == "list" else []
        exact = [card for card in cards if is_called(title, [card.name, *alternative_titles(card.aka)])]
        if found:
            yield self._detail_request(found, title)
        elif not exact:
            self.title_not_found(title, ((card.name, card.slug) for card in cards))
        yield from (self._detail_request(card.slug) for card in exact)

    def parse_detail(
        self, response: Response, slug: str, title: str | None = None, former: Sequence[str] = ()
    ) -> Iterator[Item | Rejected | Request]:
        """The anime, or that there is none (any more).

        A slug counts as renamed when the site redirects it, and the page of the slug that the redirect names is about
        that slug. A page about any other anime is set aside: it says nothing of the one that was asked for.
        """
        self._done += 1
        self.run.progress(self._done, self._total)
        page, renamed = page_of(response), self._slug_of_redirect(response)
        if renamed and renamed in (slug, *former):
            yield _set_aside("anime", slug, f"its redirect leads back to {renamed}", response)
            return
        if renamed:
            yield self._detail_request(renamed, title, (*former, slug))
            return
        if response.status != 200 or page.kind == "search":
            yield from _absent(*former, slug)
            return
        if stranger := _stranger(page, slug):
            yield _set_aside("anime", slug, stranger, response)
            return
        self.report_drift(drift(page))
        items = [item for item in items_from_entry(page, utc_now()) if not isinstance(item, Character)]
        named = [item for item in items if isinstance(item, Anime)]
        if title and not any(is_called(title, item.names) for item in named):
            self.title_not_found(title, ((next(iter(item.names), None), item.source_id) for item in named))
            return
        yield from items
        yield from _absent(*former, renamed_to=slug)
        if self.wants_characters:
            own = page.address[1] if page.address else slug
            yield self._request(f"/anime/{quote(own, safe='%')}/characters", self.parse_characters, {"anime_id": own})

    def parse_characters(self, response: Response, anime_id: str) -> Iterator[Request | Rejected | Item]:
        """The list of an anime's characters; roles and voices are on the page of each."""
        if response.status != 200:
            return
        if stranger := _stranger(page_of(response), anime_id):
            yield _set_aside("character", anime_id, stranger, response)
            return
        slugs = [cast.slug for cast in cast_from_page(page_of(response))]
        for slug in slugs:
            yield self._request(f"/characters/{quote(slug, safe='%')}", self.parse_character, {"anime_id": anime_id})
        yield from listing("character", anime_id, slugs, CARD.name)

    def parse_character(self, response: Response, anime_id: str) -> Iterator[Item | Rejected]:
        """One character in all its anime; of one that is gone there is nothing to say.

        Its page is asked for once in a run, for whichever of its anime comes first, and tells of them all.
        """
        if page_of(response).kind == "character":
            yield from items_from_character(page_of(response), utc_now(), anime_id)

    def failed(self, failure: Failure) -> Iterator[Rejected]:
        """Errback: as for every source; a block ends the crawl, so that nothing asks on."""
        yield from super().failed(failure)
        kind = kind_of(failure)
        if kind in STOPPING:
            raise CloseSpider(kind)

    def judge(self, response: Response) -> Verdict:
        """A block is not worked around; a page is what was asked for, or a search that says it is gone."""
        if urlsplit(response.url).path == "/robots.txt":
            return _judge_robots(response)
        page = page_of(response, self._below(response.url))
        if response.status == 403 or response.headers.get("cf-mitigated") or page.kind == "challenge":
            message = "Anime-Planet refuses us (Cloudflare); what was collected is kept. Try again after some hours"
            return Verdict(Action.GIVE_UP, "blocked", message)
        if response.status in GONE and split_path(self._below(response.url)) and "Anime-Planet" in page.title:
            return ACCEPT
        if response.status == 404:
            return wrong_address(CARD)
        if response.status in REDIRECTS:
            is_news = _is_news(self._below(response.url), self._below(location_of(response)))
            return ACCEPT if is_news else moved(response, CARD)
        if response.status != 200:
            return verdict_by_status(response.status)
        wrong = _wrong_shape(in_utf8(response.body), page, self._below(response.url))
        return unreadable(ResponseError(wrong)) if wrong else ACCEPT

    def _below(self, url: str) -> str:
        """The address as the site's own links have it; one that is elsewhere stays whole."""
        parts, base = urlsplit(url), urlsplit(self.base_url)
        if parts.netloc != base.netloc:
            return url
        return urlunsplit(("", "", parts.path.removeprefix(base.path), parts.query, ""))

    def _slug_of_redirect(self, response: Response) -> str | None:
        """The anime that the answer leads to."""
        address = split_path(self._below(location_of(response))) if response.status in REDIRECTS else None
        return address[1] if address and address[0] == "anime" else None


def page_of(response: Response, address: str = "") -> Page:
    """The response's page, parsed at the first call, that of `judge`.

    Args:
        address: what was asked for, as the site's own links have it; the response's when it is not given.
    """
    return read_once(response, lambda body: Page(body, address or response.url))


def _absent(*slugs: str, renamed_to: str | None = None) -> Iterator[Absent]:
    now = utc_now()
    return (Absent(source=CARD.name, source_id=slug, fetched_at=now, renamed_to=renamed_to) for slug in slugs)


def _stranger(page: Page, slug: str) -> str:
    """Say that the page is about another anime than the one of this slug; empty when it is about this one."""
    own = page.address[1] if page.address else slug
    is_own = unquote(own).casefold() == unquote(slug).casefold()
    return "" if is_own else f"the page is about {own}, and {slug} was asked for"


def _set_aside(kind: str, slug: str, reason: str, response: Response) -> Rejected:
    """The dead letter of a page about an anime that says nothing of it."""
    record = {"url": response.url, "body": response.body.decode("utf-8", "replace")}
    return set_aside(CARD.name, kind, record, reason, utc_now(), source_id=slug, request={"ids": slug})


def last_page(page: Page) -> int:
    """The highest number among the links to other pages; 1 without any."""
    numbers = page.root.xpath("//div[contains(@class,'pagination')]//li/a/text()").re(r"^\s*(\d{1,6})\s*$")
    return max(map(int, numbers), default=1)


def has_next_page(page: Page) -> bool:
    """Whether the listing says that it goes on."""
    return bool(page.root.xpath("//div[contains(@class,'pagination')]//li[contains(@class,'next')]/a[@href]"))


def _judge_robots(response: Response) -> Verdict:
    """Text is obeyed; where there is none everything is allowed; what else comes is no permission."""
    is_text = not response.body.lstrip().startswith(b"<")
    if response.status in GONE or (response.status == 200 and is_text):
        return ACCEPT
    verdict = verdict_by_status(response.status)
    message = f"robots.txt could not be read (status {response.status})"
    return verdict if verdict.action is Action.RETRY else Verdict(Action.GIVE_UP, "robots_unread", message)


def _is_news(url: str, location: str) -> bool:
    """Whether it is a slug or name that leads to another slug or to a search; anything else has moved."""
    target, asked_for = urlsplit(location), urlsplit(url)
    is_search = target.path in ("/search.php", "/anime/all") and target.query
    is_listing = asked_for.path == "/anime/all" and "page=" in asked_for.query
    leads_on = location != url and not target.netloc and not is_listing
    return leads_on and bool(is_search or split_path(target.path))


def _wrong_shape(body: bytes, page: Page, url: str) -> str | None:
    """The fault of a page that does not fit the address it was asked at; ``None``: the page is sound."""
    section, _, part = split_path(url) or ("", "", "")
    query = urlsplit(url).query
    expected: tuple[str, ...] = ("list",) if "page=" in query else LISTINGS
    if section:
        expected = (part or {"characters": "character"}.get(section, section), "search")
    if page.kind not in expected or (_is_emptied(page, query) and page.kind == "list"):
        return f"neither the page that was asked for nor a block, but {page.kind or 'something unknown'}"
    if b"</html" not in body[-1000:].lower():
        return "the page is cut short"
    missing = missing_anchors(page)
    return f"a page of Anime-Planet has no {', '.join(missing)}: the site may have changed" if missing else None


def _is_emptied(page: Page, query: str) -> bool:
    """Whether a listing that must hold titles, the first page or one that goes on, holds none that we can see."""
    must_hold = query.endswith("page=1") or has_next_page(page)
    return must_hold and not page.root.css("li[data-type=anime]")


def _key(card: Card) -> str:
    """The id of a card: its number, which stays when the slug changes, else the slug."""
    return card.number or card.slug


def _slug(card: Card) -> str:
    return card.slug


def _may_change(card: Card) -> bool:
    """Whether a title is announced or running as far as a listing tells."""
    return any(isinstance(item, Anime) and _is_unfinished(item) for item in items_from_cards([card], utc_now()))


def _is_unfinished(anime: Anime) -> bool:
    """Whether it is announced or running, or has a year in which it may be."""
    if anime.status is None:
        return (anime.year or 0) >= utc_now().year
    return anime.status in UNFINISHED
