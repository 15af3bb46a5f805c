"""Asks AnimeSchedule for its whole list, for the timetables of the weeks around now, for routes, or for titles."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    Action,
    Page,
    Paging,
    Place,
    Proof,
    ResponseError,
    Verdict,
    WalkingSpider,
    WalkState,
    at_most_one,
    chosen,
    json_body,
    kind_of,
    moved,
    parts_of,
    request_of,
    set_aside,
    titles_of,
    unreadable,
    verdict_by_status,
    wrong_address,
)
from anime_crawler.items import Absent, Anime, Checkpoint, Item, Rejected, utc_now
from anime_crawler.normalize.text import is_called
from anime_crawler.sources.animeschedule import CARD
from anime_crawler.sources.animeschedule.parse import (
    AIR_TYPES,
    is_nothing_there,
    items_from_rows,
    items_from_shows,
    routes_with_news,
    show_path,
)
from anime_crawler.sources.animeschedule.schema import (
    check_document,
    drift,
    list_page_from_document,
    rows_from_document,
)

PAGE_SIZE = 18
"""Anime on a page; fixed by AnimeSchedule."""
MOST_PAGES = 3_000
"""54,000 anime, about twice as many as any catalogue has: a list that claims more is read no further."""
SEARCH_PAGES = 5
"""Hits come by popularity, not by likeness: among 90 the wanted name should be."""
LONGEST_SEARCH = 200
"""Characters of a search text that AnimeSchedule takes."""
WEEK = timedelta(weeks=1)
WEEKS_AHEAD = 2
"""Weeks of plans that are read; how far ahead there are any is not known."""
MOST_WEEKS_BACK = 52
"""After a pause of more than a year, what is older is left out: 160 requests are enough for one run."""


class Walk(WalkState):
    """How far AnimeSchedule has been read. The checkpoint's state.

    `complete` stays true after a walk through the list, until the next one begins.
    """

    place: Place = Place()
    """In the list of all anime, while that is walked."""
    week: date | None = None
    """Monday of the last week whose timetables have been read, or in which the list was begun; this week at most, since
    later ones are plans."""

    @property
    def current(self) -> Place:
        """Where it is in the list."""
        return self.place

    @property
    def paging(self) -> Paging:
        """The list has no order that we could check, but says how long it is."""
        return Paging(PAGE_SIZE, Proof.TOTAL, most=MOST_PAGES)

    def after(self, page: Page) -> Walk:
        """The walk when a page of the list is read."""
        place = self.place.after(page, self.paging)
        return self.model_copy(update={"place": Place() if place.is_read else place, "complete": place.is_read})


class AnimeScheduleSpider(WalkingSpider):
    """``scrapy crawl animeschedule``: the whole list at first, then the timetables of the weeks around now."""

    name = "animeschedule"
    card = CARD
    arguments = {
        "mode": "full (the whole list; default until it has been read once) or incremental (timetables around now)",
        "ids": "only these anime, by route: one-piece,naruto",
        "titles": 'only anime of exactly these names: "One Piece;Naruto"',
    }
    custom_settings = {
        "CONCURRENT_REQUESTS": 1,  # one request a second leaves nothing to do at once
        "CONCURRENT_ITEMS": 256,  # a week's airings of one kind and the checkpoint in one go
    }

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        at_most_one(self.args, "mode", "ids", "titles")
        self.mode = chosen(self.args, "mode", "full", "incremental")
        self.ids = parts_of(self.args, "ids", r"[^\s/?#.][^\s/?#]*", "one-piece,naruto")
        self.titles = titles_of(self.args)
        self._doubted: set[str] = set()
        """Addresses that were answered once as if nothing was there."""
        self._rows = 0

    async def start(self) -> AsyncIterator[Any]:
        if self.is_resumed:
            return
        requests = [self._show_request(route) for route in self.ids]
        requests += [self._search_request(title, 1, 0, []) for title in self.titles]
        if not requests:
            stored = await self.run.checkpoint()
            is_for_list = self.mode == "full" or (self.mode is None and not Walk.model_validate(stored or {}).complete)
            requests = await self.first_page() if is_for_list else [self._first_timetable(stored)]
        for request in requests:
            yield request.replace(dont_filter=True)  # an interrupted run may have made it before

    def _first_timetable(self, stored: dict[str, Any] | None) -> Request:
        walk, this_week = Walk.model_validate(stored or {}), _this_week()
        # The week before is read again: what was late in it is known only now.
        first = max(min(walk.week or this_week, this_week - WEEK), this_week - MOST_WEEKS_BACK * WEEK)
        return self._timetable_request(first, AIR_TYPES[0], this_week, stored)

    def _get(self, path: str, query: dict[str, Any] | None = None, **options: Any) -> Request:
        address = f"{self.base_url}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        return Request(address, headers={"Accept": "application/json"}, **options)

    # The whole list.

    def begin(self, stored: dict[str, Any] | None) -> Walk:
        """The walk through the list that is under way; one that is asked for by another run begins anew."""
        walk = self.state_of(stored or {})
        is_own = walk.began_in == self.run.id
        if walk.full and (is_own or self.mode is None):
            return walk.model_copy(update={"place": walk.place.resumed(walk.paging)})
        return Walk(full=True, began_in=self.run.id, week=walk.week or _this_week())

    def state_of(self, walk: dict[str, Any]) -> Walk:
        """The walk that a request carries."""
        return Walk.model_validate(walk)

    def page_request(self, walk: Walk) -> Request:
        """In the only order that does not move by itself."""
        return self._get("/anime", {"st": "alphabetic", "page": walk.place.window(walk.paging).page})

    def read_page(self, response: Response, walk: Walk) -> Page:
        """A page of the list; the last one is short, or the total says so."""
        listed = list_page_from_document(json_body(response))
        rows, end = listed.anime, walk.place.window(walk.paging).start + PAGE_SIZE
        has_next = len(rows) == PAGE_SIZE and end < listed.totalAmount
        return Page(rows, [_route(row) for row in rows], has_next, total=listed.totalAmount)

    def page_items(self, response: Response, walk: Walk, rows: list[Any]) -> Iterator[Item | Rejected]:
        """The anime of a page."""
        yield from items_from_shows(rows, utc_now())
        self.report_drift(drift(json_body(response)))

    def walk_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of list pages: a page past the end is an empty one."""
        kwargs = request_of(failure).cb_kwargs
        if kind_of(failure) == "nothing_there":
            yield from self.go_on(self.state_of(kwargs["walk"]).after(Page([], [], has_next=False)), kwargs["stored"])
        else:
            yield from super().walk_failed(failure)

    def _keep(self, walk: Walk, stored: dict[str, Any] | None) -> Iterator[Checkpoint]:
        state = walk.model_dump(mode="json")
        if state != stored:
            yield Checkpoint(source=CARD.name, previous=stored, state=state)

    # Timetables.

    def _timetable_request(self, week: date, kind: str, this_week: date, stored: dict[str, Any] | None) -> Request:
        """The request for one week in one air type.

        Args:
            week: its Monday.
            this_week: the Monday when the run began.
        """
        number = week.isocalendar()  # the year is that of the week: 30 December may be in next year's first
        return self._get(
            f"/timetables/{kind}",
            {"year": number.year, "week": number.week, "tz": "UTC"},
            callback=self.parse_timetable,
            errback=self.timetable_failed,
            cb_kwargs={"week": f"{week}", "kind": kind, "this_week": f"{this_week}", "stored": stored},
        )

    def parse_timetable(
        self, response: Response, week: str, kind: str, this_week: str, stored: dict[str, Any] | None
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """One timetable: its airings, the anime of which it tells news, then the next timetable."""
        document = json_body(response)
        rows = rows_from_document(document)
        yield from items_from_rows(rows, utc_now(), kind)
        self.report_drift(drift(document))
        self._rows += len(rows)
        self.run.progress(self._rows, None)
        if kind == "raw":
            yield from map(self._show_request, routes_with_news(rows))
        yield from self._next_timetable(week, kind, this_week, stored)

    def timetable_failed(self, failure: Failure) -> Iterator[Rejected | Checkpoint | Request]:
        """Errback of timetables: a week that AnimeSchedule has nothing for is left out."""
        if kind_of(failure) == "not_found":
            yield from self._next_timetable(**request_of(failure).cb_kwargs)
        else:
            yield from self.failed(failure)

    def _next_timetable(
        self, week: str, kind: str, this_week: str, stored: dict[str, Any] | None
    ) -> Iterator[Checkpoint | Request]:
        read, now = date.fromisoformat(week), date.fromisoformat(this_week)
        if kind != AIR_TYPES[-1]:
            yield self._timetable_request(read, AIR_TYPES[AIR_TYPES.index(kind) + 1], now, stored)
            return
        walk = Walk.model_validate(stored or {})
        there = walk.model_copy(update={"week": max(walk.week or read, min(read, now))})
        yield from self._keep(there, stored)
        if read < now + WEEKS_AHEAD * WEEK:
            yield self._timetable_request(read + WEEK, AIR_TYPES[0], now, there.model_dump(mode="json"))

    # Single anime.

    def _show_request(self, route: str) -> Request:
        return self._get(
            show_path(route), callback=self.parse_show, errback=self.show_failed, cb_kwargs={"route": route}
        )

    def parse_show(self, response: Response, route: str) -> Iterator[Item | Rejected]:
        """One anime; an answer about another one than was asked for is set aside."""
        document = json_body(response)
        self.report_drift(drift(document))
        own = _route(document)
        if own and own.casefold() != route.casefold():
            reason = f"AnimeSchedule answers about {own[:100]!r}, and {route} was asked for"
            yield set_aside(CARD.name, "anime", document, reason, utc_now(), source_id=route, request={"ids": route})
            return
        yield from items_from_shows([document], utc_now())

    def show_failed(self, failure: Failure) -> Iterator[Absent | Rejected]:
        """Errback of single anime: one that AnimeSchedule does not know is absent."""
        if kind_of(failure) == "not_found":
            route = request_of(failure).cb_kwargs["route"]
            yield Absent(source=CARD.name, source_id=route, fetched_at=utc_now())
        else:
            yield from self.failed(failure)

    # Titles.

    def _search_request(self, title: str, page: int, found: int, near: list[tuple[str | None, str]]) -> Request:
        return self._get(
            "/anime",
            {"q": title[:LONGEST_SEARCH], "page": page},
            callback=self.parse_search,
            errback=self.search_failed,
            cb_kwargs={"title": title, "page": page, "found": found, "near": near},
        )

    def parse_search(
        self, response: Response, title: str, page: int, found: int, near: list[tuple[str | None, str]]
    ) -> Iterator[Item | Rejected | Request]:
        """A page of hits: the anime of exactly that name; a hit may as well be of that genre or studio."""
        document = json_body(response)
        listed = list_page_from_document(document)
        self.report_drift(drift(document))
        for item in items_from_shows(listed.anime, utc_now()):
            if isinstance(item, Rejected) or (isinstance(item, Anime) and is_called(title, item.names)):
                found += isinstance(item, Anime)
                yield item
            elif isinstance(item, Anime) and page == 1:
                near = [*near, (next(iter(item.names), None), item.source_id)]
        if len(listed.anime) == PAGE_SIZE and page * PAGE_SIZE < listed.totalAmount and page < SEARCH_PAGES:
            yield self._search_request(title, page + 1, found, near)
        elif not found:
            self.title_not_found(title, near)

    def search_failed(self, failure: Failure) -> Iterator[Rejected]:
        """Errback of searches: AnimeSchedule fails where there are no hits."""
        if kind_of(failure) == "nothing_there":
            kwargs = request_of(failure).cb_kwargs
            if not kwargs["found"]:
                self.title_not_found(kwargs["title"], kwargs["near"])
        else:
            yield from self.failed(failure)

    def judge(self, response: Response) -> Verdict:
        """Judge an answer: AnimeSchedule says errors in the status, and 500 for what is not there."""
        status = response.status
        if status == 200:
            return _judge_body(response)
        if status == 401:
            return Verdict(Action.GIVE_UP, "token_refused", "AnimeSchedule refuses the token", CARD.secrets[0].setting)
        if status == 403:
            return Verdict(Action.GIVE_UP, "blocked", "AnimeSchedule refuses to answer us; wait, and ask its staff")
        if status == 404:
            return _judge_404(response)
        if 300 <= status < 400:
            return moved(response, CARD)
        if status == 500 and _may_be_nothing(response):
            return self._judge_nothing(response)
        return verdict_by_status(status)

    def _judge_nothing(self, response: Response) -> Verdict:
        """A failure in passing has the same text, so that it is believed only when it is said twice."""
        action = Action.GIVE_UP if response.url in self._doubted else Action.RETRY
        self._doubted.add(response.url)
        return Verdict(action, "nothing_there", "AnimeSchedule has no hits, or no such page")


def _judge_body(response: Response) -> Verdict:
    try:
        check_document(json_body(response), urlsplit(response.url).path)
    except ResponseError as error:
        return unreadable(error)
    return ACCEPT


def _judge_404(response: Response) -> Verdict:
    """An anime or week it does not know; anything else, and a web page, is not its API."""
    is_page = response.body.lstrip().startswith(b"<")
    if is_page or not re.search(r"/(anime|timetables)/[^/]+$", urlsplit(response.url).path):
        return wrong_address(CARD)
    return Verdict(Action.GIVE_UP, "not_found", "AnimeSchedule does not know it")


def _may_be_nothing(response: Response) -> bool:
    """Whether it is the text for no hits where there may be none: in a search, and after the first page."""
    address = urlsplit(response.url)
    query = parse_qs(address.query)
    is_list = address.path.endswith("/anime") and ("q" in query or query.get("page", ["1"]) != ["1"])
    return is_list and is_nothing_there(response.body)


def _route(record: Any) -> str:
    return str(record.get("route")) if isinstance(record, dict) else ""


def _this_week() -> date:
    """Its Monday."""
    today = utc_now().date()
    return today - timedelta(days=today.weekday())
