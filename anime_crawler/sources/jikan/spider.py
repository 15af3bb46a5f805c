"""Asks a Jikan server for lists of titles, one page after the other, and for what belongs to single titles."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    NUMBER,
    Action,
    ArgumentError,
    GivenUp,
    Page,
    Paging,
    Place,
    Proof,
    ResponseError,
    Verdict,
    WalkError,
    WalkingSpider,
    WalkState,
    chosen,
    is_on,
    json_body,
    kind_of,
    moved,
    parts_of,
    request_of,
    titles_of,
    unreadable,
    verdict_by_status,
)
from anime_crawler.items import Absent, Anime, Checkpoint, Item, Rejected, listing, members_of, utc_now
from anime_crawler.normalize.text import is_called
from anime_crawler.sources.jikan import CARD, parse, schema

PAGE_SIZE = 25
"""Jikan's largest; 26 is refused."""
MOST_PAGES = {"full": 4_000, "incremental": 200, "season": 200, "episodes": 100}
"""Where a list ends that has no end: 100,000 titles are three times all there are, 5,000 three times all that are
announced, and the longest anime has 8,000 episodes."""
SEASON_PAGES = Paging(PAGE_SIZE, Proof.TOTAL, most=MOST_PAGES["season"])
SETTLED = timedelta(days=14)
"""The walk looks so far back for what ended: MyAnimeList learns of it late, and servers keep answers for days."""
EXTRAS = ("episodes", "characters")
SEASON = r"(?:19|20)\d\d-(?:winter|spring|summer|fall)"
Mode = Literal["full", "incremental"]
State = dict[str, Any]
Titles = Iterator[Item | Rejected | Request]
Found = Iterator[Item | Rejected | Checkpoint | Request]

LISTINGS: dict[Mode, list[tuple[str, str | None]]] = {
    "full": [("/anime?order_by=mal_id&sort=asc", None)],
    "incremental": [
        ("/seasons/now?continuing=true", None),
        ("/seasons/upcoming?", None),
        ("/anime?status=complete&order_by=end_date&sort=desc", "to"),
        ("/anime?status=complete&order_by=start_date&sort=desc", "from"),  # films have no end date
        ("/anime?order_by=mal_id&sort=desc", "mal_id"),
    ],
}
"""The lists of each walk, and what tells that the rest of one is known: ``mal_id``, or ``from`` or ``to`` of ``aired``;
``None``: it is read to its end. There is no list by time of change, so the second walk reads what may have changed."""


class Walk(BaseModel, frozen=True):
    """How far a walk has come."""

    run: int
    """The run in which it began."""
    began: str
    """The day (UTC) on which it did."""
    listing: int = 0
    """Which of `LISTINGS` it reads."""
    place: Place = Place()
    """Where in that list."""
    top_id: int = 0
    """The highest ``mal_id`` that it has shown."""
    complete: bool = False


class Progress(WalkState):
    """The checkpoint's state. A full walk under way keeps its place while an incremental one goes on."""

    mode: Mode = "full"
    """Which of `walks` is going on."""
    walks: dict[Mode, Walk] = {}
    """The last walk of each kind, under way or complete."""
    until: str | None = None
    """The day on which the last complete walk began."""
    newest_id: int = 0
    """The highest ``mal_id`` of the complete walks."""

    @property
    def walk(self) -> Walk:
        """The one that is going on."""
        return self.walks[self.mode]

    @property
    def current(self) -> Place:
        """Where it is in its list."""
        return self.walk.place

    @property
    def paging(self) -> Paging:
        """Each page says how long its list is. Equal values lie in no order: of such lists that proves little."""
        return Paging(PAGE_SIZE, Proof.TOTAL, most=MOST_PAGES[self.mode])

    def going_on(self, mode: Mode, walk: Walk) -> Progress:
        """The state with this walk."""
        step = {"mode": mode, "walks": {**self.walks, mode: walk}, "full": mode == "full", "began_in": walk.run}
        return self.model_copy(update={**step, "complete": walk.complete})

    def at(self, place: Place) -> Progress:
        """The walk at another place of its list."""
        return self.going_on(self.mode, self.walk.model_copy(update={"place": place}))

    def after(self, page: Page) -> Progress:
        """The state when a page is read."""
        place = self.current.after(page, self.paging)
        top_id = max([self.walk.top_id, *schema.numbers_of(page.rows)])
        walk = self.walk.model_copy(update={"place": place, "top_id": top_id})
        if not place.is_read:
            return self.going_on(self.mode, walk)
        listing = walk.listing + 1
        step = {"listing": listing, "place": Place(), "complete": listing == len(LISTINGS[self.mode])}
        there = self.going_on(self.mode, walk.model_copy(update=step))
        if there.complete:
            return there.model_copy(update={"until": walk.began, "newest_id": max(self.newest_id, top_id)})
        return there


class JikanSpider(WalkingSpider):
    """``scrapy crawl jikan``: everything at first, then what may have changed since."""

    name = "jikan"
    card = CARD
    arguments = {
        "mode": "full, incremental (default once everything has been listed), season, or snapshot",
        "season": "for mode=season: 2026-fall",
        "ids": "only these titles, by MyAnimeList's number: 1,20",
        "titles": "only what a search for each title finds: One Piece;Naruto",
        "episodes": "1: the episodes of each title, too; a request for every 100",
        "characters": "1: the characters of each title, too; a request for each title",
    }
    custom_settings = {"CONCURRENT_REQUESTS": 1}  # more at once meet 429 long before the documented limits

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        mode = chosen(self.args, "mode", "full", "incremental", "season", "snapshot")
        self.mode = mode or ("season" if "season" in self.args else None)
        self.ids = list(map(int, parts_of(self.args, "ids", NUMBER, "1,20")))
        self.titles = titles_of(self.args)
        self.extras = [extra for extra in EXTRAS if is_on(self.args, extra)]
        _check(self.args, self.mode)

    async def start(self) -> AsyncIterator[Any]:
        if self.base_url == CARD.base_url:
            self.logger.warning("%s was to end on 2026-10-01; JIKAN_BASE_URL names another server", CARD.base_url)
        if not self.is_resumed:
            for request in await self._first_requests():
                yield request

    async def _first_requests(self) -> list[Request]:
        if self.ids or self.titles:
            return [*map(self._title_request, self.ids), *map(self._search_request, self.titles)]
        if self.mode == "season":
            return [self._season_request(Place())]
        if self.mode == "snapshot":
            queries = parse.SNAPSHOTS.items()
            return [self._list_request(f"/anime?{query}", 1, self.parse_snapshot, kind=kind) for kind, query in queries]
        return await self.first_page()

    def _list_request(self, path: str, page: int, callback: Any, **kwargs: Any) -> Request:
        """A page of titles; `path` ends in its query. The same page may be wanted again when the list has moved."""
        joint = "" if path.endswith("?") else "&"
        url = f"{self.base_url}{path}{joint}limit={PAGE_SIZE}&page={page}"
        return Request(url, callback, errback=self.list_failed, cb_kwargs=kwargs, dont_filter=True)

    def _season_request(self, place: Place) -> Request:
        path, number = f"/seasons/{self.args['season'].replace('-', '/')}?", place.window(SEASON_PAGES).page
        return self._list_request(path, number, self.parse_season, place=place.model_dump(mode="json"))

    def _search_request(self, title: str) -> Request:
        return self._list_request(f"/anime?q={quote(title, safe='')}", 1, self.parse_search, title=title)

    def _title_request(self, mal_id: int) -> Request:
        return self._request_of(mal_id, "full", self.parse_title)

    def _extra_request(self, mal_id: int, extra: str) -> Request:
        if extra == "characters":
            return self._request_of(mal_id, extra, self.parse_characters)
        return self._request_of(mal_id, "episodes?page=1", self.parse_episodes, number=1, last=-1, members=[])

    def _request_of(self, mal_id: int, path: str, callback: Any, **kwargs: Any) -> Request:
        """A request about one title; the frontier drops it when this run has made it already."""
        url, kwargs = f"{self.base_url}/anime/{mal_id}/{path}", {"mal_id": mal_id, **kwargs}
        # before the next page of a list, so that what is pending stays short
        return Request(url, callback=callback, errback=self.title_failed, cb_kwargs=kwargs, priority=1)

    def begin(self, stored: State | None) -> Progress:
        """The walk of this run, where it has one already; what an earlier run left only if nothing was listed whole."""
        progress = self.state_of(stored or {})
        listed = progress.walks.get("full")
        is_listed = bool(listed and listed.complete)
        mode: Mode = "incremental" if self.mode == "incremental" or (is_listed and not self.mode) else "full"
        walk = progress.walks.get(mode)
        if walk is None or (walk.run != self.run.id and (walk.complete or self.mode or mode == "incremental")):
            walk = Walk(run=self.run.id, began=utc_now().date().isoformat())
        there = progress.going_on(mode, walk)
        return there.at(walk.place.resumed(there.paging))

    def state_of(self, walk: State) -> Progress:
        """The state that a request carries."""
        return Progress.model_validate(walk)

    def page_request(self, walk: Progress) -> Request:
        """A page of the list that is being read."""
        path = LISTINGS[walk.mode][walk.walk.listing][0]
        return self._list_request(path, walk.current.window(walk.paging).page, None)

    def read_page(self, response: Response, walk: Progress) -> Page:
        """A page of a list; in a sorted one, what follows may be known."""
        listed, number = schema.page_from_document(json_body(response)), walk.current.window(walk.paging).page
        if walk.full and number == 1 and not listed.data:
            message = "the server lists no anime at all; one of your own must be indexed first"
            raise WalkError("empty_list", message, CARD.base_url_setting)
        return _page_of(listed, number, is_past=_is_known(walk, listed))

    def page_items(self, response: Response, walk: Progress, rows: list[Any]) -> Titles:
        """The titles of a page."""
        yield from self._understood(response, schema.ListPage(data=rows))

    def walk_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of the walk: a page that Jikan could not read is asked for once more."""
        again = _second_try(failure)
        yield from [again] if again else super().walk_failed(failure)

    def parse_season(self, response: Response, place: State) -> Found:
        """A page of one season, then the next. The season is read whole by each run, so it has no checkpoint."""
        here, listed = Place.model_validate(place), schema.page_from_document(json_body(response))
        page = _page_of(listed, here.window(SEASON_PAGES).page)
        try:
            there = here.after(page, SEASON_PAGES)
        except WalkError as error:
            self.stop(response, error.kind, str(error))
            return
        yield from self._understood(response, schema.ListPage(data=here.news(page, SEASON_PAGES)))
        if there.given_up:
            self.stop(response, *there.given_up)
        elif not there.is_read:
            yield self._season_request(there)

    def parse_snapshot(self, response: Response, kind: str) -> Found:
        """The first 25 of a ranking: the titles, and their numbers on this day."""
        yield from self._understood(response, schema.page_from_document(json_body(response)), kind)

    def parse_search(self, response: Response, title: str) -> Found:
        """The titles that are called so, in whichever language; Jikan's search finds something for everything."""
        listed = schema.page_from_document(json_body(response))
        found = [item for item in parse.items_from_titles(listed.data, utc_now()) if isinstance(item, Anime)]
        exact = [int(item.source_id) for item in found if is_called(title, item.names)]
        if not exact:
            self.title_not_found(title, ((next(iter(item.names), None), item.source_id) for item in found))
        yield from map(self._title_request, exact)

    def parse_title(self, response: Response, mal_id: int) -> Found:
        """One title with its relations."""
        record = schema.record_from_document(json_body(response))
        own = record.get("mal_id") if isinstance(record, dict) else None
        if isinstance(own, int) and own != mal_id:
            self.stop(response, "wrong_answer", f"Jikan answers with title {own} where {mal_id} was asked for")
            return
        yield from self._understood(response, schema.ListPage(data=[record]))

    def _understood(self, response: Response, listed: schema.ListPage, snapshot: str | None = None) -> Titles:
        """Items of a page of titles, then the requests for what belongs to them."""
        self.report_drift(schema.drift(json_body(response)))
        updated_at, found = schema.moment_of(response.headers.get("Last-Modified")), []
        for item in parse.items_from_titles(listed.data, utc_now(), updated_at, snapshot):
            found += [int(item.source_id)] if isinstance(item, Anime) else []
            yield item
        yield from (self._extra_request(mal_id, extra) for mal_id in found for extra in self.extras)

    def parse_episodes(
        self, response: Response, mal_id: int, number: int, last: int, members: list[str] | None = None
    ) -> Found:
        """A page of episodes above number `last`, then the next; what the page says of a next one is not true."""
        self.report_drift(schema.drift(json_body(response)))
        rows = schema.page_from_document(json_body(response)).data
        new = [row for row in rows if max(schema.numbers_of([row]), default=last + 1) > last]
        items = list(parse.items_from_episodes(new, str(mal_id), utc_now()))
        yield from items
        members = members_of(items, members)
        highest = max(schema.numbers_of(new), default=last)
        is_full = len(rows) >= 100  # Jikan's size of these pages
        if number >= MOST_PAGES["episodes"] and is_full and highest > last:
            self.stop(response, "endless_list", f"the episodes of title {mal_id} have no end")
        elif is_full and highest > last:
            path, kwargs = f"episodes?page={number + 1}", {"number": number + 1, "last": highest, "members": members}
            yield self._request_of(mal_id, path, self.parse_episodes, **kwargs)
        elif not is_full:
            yield from listing("episode", str(mal_id), members, CARD.name)

    def parse_characters(self, response: Response, mal_id: int) -> Found:
        """The characters of a title."""
        self.report_drift(schema.drift(json_body(response)))
        rows = schema.page_from_document(json_body(response)).data
        items = list(parse.items_from_characters(rows, str(mal_id), utc_now()))
        yield from items
        yield from listing("character", str(mal_id), members_of(items), CARD.name)

    def list_failed(self, failure: Failure) -> Iterator[Request | Rejected]:
        """Errback of lists, which the run cannot do without."""
        again = _second_try(failure)
        yield from [again] if again else self.failed(failure)

    def title_failed(self, failure: Failure) -> Iterator[Request | Absent | Rejected]:
        """Errback of what is about one title: one that is unknown, or cannot be read, costs only itself."""
        request, kind, again = request_of(failure), kind_of(failure), _second_try(failure)
        mal_id, is_title = request.cb_kwargs["mal_id"], request.callback == self.parse_title
        if again:
            yield again
        elif kind == "unreadable_title":
            assert isinstance(failure.value, GivenUp)
            what = "anime" if is_title else "page"
            yield parse.rejected(what, {"mal_id": mal_id}, failure.value.verdict.message, utc_now())
        elif kind != "not_found":
            yield from self.failed(failure)
        elif is_title:
            yield Absent(source=CARD.name, source_id=str(mal_id), fetched_at=utc_now())

    def judge(self, response: Response) -> Verdict:
        """The status decides, and the type of the error where it has several meanings."""
        if response.status == 429:
            return verdict_by_status(response.status)
        if 300 <= response.status < 400:
            return moved(response, CARD)
        try:
            document = json_body(response)
            error = schema.error_from_document(document)
            if response.status < 300:
                is_title = re.search(r"/(?:anime|episodes)/\d+(?:/full)?$", urlsplit(response.url).path)
                check = schema.record_from_document if is_title else schema.page_from_document
                check(document)
                return ACCEPT
        except ResponseError as wrong:
            if response.status < 300:
                return unreadable(wrong)
            error = None
        return _judge_error(response.status, *(error or ("", "")))


def _judge_error(status: int, type_: str, message: str) -> Verdict:
    """The verdict of an error; type and message are empty where there is no JSON."""
    said = f"status {status}: {message}" if message else f"status {status}"
    if status == 404 and type_ == "BadResponseException":
        return Verdict(Action.GIVE_UP, "not_found", "MyAnimeList has no such title, or not any more")
    if status == 404:
        message = f"{said}; no such route on this server"
        return Verdict(Action.GIVE_UP, "status_404", message, CARD.base_url_setting)
    if status == 403:
        return Verdict(Action.GIVE_UP, "blocked", "the server refuses us (403); it is not asked again in this run")
    if status in (400, 405):
        return Verdict(Action.GIVE_UP, "refused", f"Jikan refuses the request: {said}")
    if status == 500 and type_ in ("ParserException", "Exception"):
        return Verdict(Action.GIVE_UP, "unreadable_title", f"Jikan cannot read MyAnimeList's page: {message}")
    verdict = replace(verdict_by_status(status), message=said)
    return replace(verdict, setting=CARD.base_url_setting) if status >= 500 else verdict


def _page_of(listed: schema.ListPage, number: int, *, is_past: bool = False) -> Page:
    """The `number`-th page of a list."""
    keys = [tuple(schema.numbers_of([row])) or None for row in listed.data]
    has_next = listed.has_more(number, PAGE_SIZE)
    return Page(listed.data, [*map(str, keys)], has_next, keys, listed.total, is_past)


def _is_known(here: Progress, listed: schema.ListPage) -> bool:
    """Whether what follows in a sorted list was read by an earlier walk; with none, one page is enough."""
    by = LISTINGS[here.mode][here.walk.listing][1]
    if by == "mal_id":
        return not here.newest_id or min(schema.numbers_of(listed.data), default=0) <= here.newest_id
    if by is None:
        return False
    floor = (date.fromisoformat(here.until or here.walk.began) - SETTLED).isoformat()
    days = schema.days_of(listed.data, by)
    return bool(days) and max(days) < floor


def _second_try(failure: Failure) -> Request | None:
    """The same request once more, where Jikan could not read a page; ``None``: it was that, or it is something else."""
    request = request_of(failure)
    if kind_of(failure) == "unreadable_title" and not request.meta.get("is_second"):
        return request.replace(meta={"is_second": True}, dont_filter=True)
    return None


def _check(arguments: dict[str, str], mode: str | None) -> None:
    """Raises: ArgumentError."""
    season = arguments.get("season")
    if mode and arguments.keys() & {"ids", "titles"}:
        raise ArgumentError("ids and titles go with neither mode nor season, only with episodes and characters")
    if (mode == "season") != (season is not None) or not re.fullmatch(SEASON, season or "2026-fall"):
        raise ArgumentError(f"season={season}: mode=season wants one as 2026-fall, and nothing else takes one")
    if mode == "snapshot" and arguments.keys() & set(EXTRAS):
        raise ArgumentError("episodes and characters go with everything but mode=snapshot")
