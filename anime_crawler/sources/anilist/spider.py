"""Asks AniList for titles by id or name, for what changed, and, where that is allowed, for everything."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import pairwise
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, model_validator
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    NUMBER,
    SKEW_S,
    Action,
    ArgumentError,
    Page,
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
    is_on,
    json_body,
    kind_of,
    moved,
    parts_of,
    request_of,
    titles_of,
    unreadable,
    until_now,
    verdict_by_status,
    wrong_address,
)
from anime_crawler.base_spiders.graphql import Unresolved, of_rows
from anime_crawler.items import Absent, Anime, Item, Rejected, listing, members_of, utc_now
from anime_crawler.normalize.text import is_called
from anime_crawler.sources.anilist import CARD
from anime_crawler.sources.anilist.parse import items_from_airings, items_from_media
from anime_crawler.sources.anilist.schema import (
    AIRINGS,
    CHARACTERS,
    TITLES,
    Slice,
    change_of,
    changes_of,
    data_from_document,
    drift,
    errors_of,
    has_date,
    has_more_characters,
    id_of,
    is_usable,
    key_of,
    unresolved,
)

BATCH = 50
"""AniList's largest ``perPage``; more is cut without an error."""
DEPTH = 5_000
"""Entries: no list goes deeper, 400 is what comes then."""
MOST_CHARACTERS = 100
"""Pages of one title's characters: 2,500, twice as many as any title has."""
MOST_LISTED = 200_000
"""Records in one walk: ten times the titles there are. More means that AniList does not heed our filters."""
OVERLAP_S = 600
"""Read again below the watermark: rows move up while they are read, and two clocks are involved."""
FIRST_LOOK_S = 86_400
"""How far the first incremental run looks back; further would be the mass collection that the terms forbid."""
SCHEDULE_S = 7 * 86_400
"""How far ahead airings are read: some 300. Further ones are guesses by the week, and every title has its next one."""
PROJECT_PAGE = "https://github.com/anime-crawler/anime_crawler"
"""The address of this project, as in our user agent: without any ``Referer`` some got 403 in 2026-08."""
Mode = Literal["full", "incremental"]


class Walk(BaseModel):
    """A `Walk` says what is left to read, and from where on."""

    model_config = ConfigDict(frozen=True)

    slices: tuple[Slice, ...]
    """The first is being read."""
    place: Place = Place()
    """Where in it."""
    run: int = 0
    """The run in which the walk began; 0: unknown, of an earlier release."""
    began: int
    """Unix time."""
    floor: int = 0
    """Unix time down to which changes are read."""
    top: int | None = None
    """Unix time of the last change when the walk began."""
    listed: int = 0

    @property
    def paging(self) -> Paging:
        """By pages of a size that may be chosen: each begins with the last entry of the one before, or earlier."""
        return Paging(BATCH, Proof.OVERLAP, most=200)

    def after(self, page: Page) -> Walk:
        """The walk when its page is read. A slice that cannot be read to its end is replaced by its parts.

        Raises:
            WalkError: it has none, or the list makes no sense.
        """
        here, rest = self.slices[0], self.slices[1:]
        if self.listed > MOST_LISTED:
            raise WalkError("endless_list", f"AniList lists more than {MOST_LISTED} titles, more than there are")
        place, changes = self.place.after(page, self.paging), known_changes(page.rows)
        step: dict[str, Any] = {"listed": self.listed + len(page.rows), "place": place}
        if here.sort == "UPDATED_AT_DESC":
            if page.rows and not changes_of(page.rows):
                raise WalkError("wrong_shape", "a page of changes does not say when anything changed", keeps_items=True)
            step["top"] = self.top or max(changes, default=None)
        window = place.window(self.paging)
        if place.is_read:
            step |= {"slices": rest, "place": Place()}
        elif window.start + window.size > DEPTH and not place.given_up:
            parts = here.split()
            if not parts:
                what = f"AniList lists more than {DEPTH:,} for {here.variables()}, and no filter makes it less"
                raise WalkError("wrong_answer", what, keeps_items=True)
            step |= {"slices": (*parts, *rest), "place": Place()}
        return self.model_copy(update=step)

    def is_past(self, records: list[Any]) -> bool:
        """Whether what comes after these is not wanted."""
        if self.slices[0].sort == "START_DATE":
            return any(has_date(record) for record in records)
        return self.slices[0].sort == "UPDATED_AT_DESC" and min(known_changes(records), default=2**40) < self.floor


class State(WalkState):
    """The checkpoint: walks under way, and up to when all changes are known."""

    mode: Mode = "incremental"
    """Which of `walks` is going on."""
    walks: dict[Mode, Walk] = {}
    """Those under way."""
    watermark: int | None = None
    """Unix time."""

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_release(cls, state: Any) -> Any:
        """There each mode had a key of its own, and a page number, which is not gone on with: its slice is."""
        if not isinstance(state, dict) or "incremental" not in state:
            return state
        walks = {mode: state[mode] for mode in ("full", "incremental") if state.get(mode)}
        return {"walks": walks, "watermark": state.get("watermark")}

    @property
    def walk(self) -> Walk | None:
        """The one that is going on; ``None``: it has ended."""
        return self.walks.get(self.mode)

    @property
    def current(self) -> Place:
        """Where it is in its slice."""
        return self.walk.place if self.walk else Place()

    @property
    def paging(self) -> Paging:
        """How its slice is paged."""
        assert self.walk is not None
        return self.walk.paging

    def begun(self, mode: Mode, now: int, run_id: int) -> State:
        """With a walk of that mode: the one that this run has begun, else a new one."""
        if self.mode == mode and self.complete and self.began_in == run_id:
            return self
        walk = self.walks.get(mode)
        if walk is None or walk.run != run_id:
            walk = self._new(mode, now, run_id)
        step = {"mode": mode, "walks": {**self.walks, mode: walk}, "full": mode == "full", "began_in": run_id}
        return self.model_copy(update={**step, "complete": False})

    def _new(self, mode: Mode, now: int, run_id: int) -> Walk:
        if mode == "full":
            return Walk(slices=whole_catalogue(now), began=now, run=run_id)
        # A watermark in the future was taken from a title with a wrong time, by an earlier release.
        known = self.watermark if self.watermark is not None and self.watermark <= now else now - FIRST_LOOK_S
        schedule = Slice(sort="TIME", low=now, high=now + SCHEDULE_S)
        return Walk(slices=(Slice(sort="UPDATED_AT_DESC"), schedule), began=now, floor=known - OVERLAP_S, run=run_id)

    def after(self, page: Page) -> State:
        """The state when a page is read; with the new watermark when the walk has ended."""
        assert self.walk is not None
        walk = self.walk.after(page)
        if walk.slices:
            return self.model_copy(update={"walks": {**self.walks, self.mode: walk}})
        # A full walk has seen each title at some time since it began.
        known = self.watermark if self.watermark is not None and self.watermark <= walk.began else 0
        watermark = walk.began if self.full else max(walk.top or 0, known) or walk.began
        others = {mode: other for mode, other in self.walks.items() if mode != self.mode}
        return self.model_copy(update={"walks": others, "watermark": watermark, "complete": True})


def known_changes(records: list[Any]) -> list[int]:
    """Times of the last change of some titles that are not later than now."""
    return until_now(changes_of(records), int(time.time()))


def whole_catalogue(now: int) -> tuple[Slice, ...]:
    """Slices that hold every title: each some hundreds to 2,000, then those that may have no date.

    What is announced is listed on its own, so that the undated rest, for which there is no filter, is short.
    """
    this_year = time.gmtime(now).tm_year
    years = [1970, 1980, 1990, 1995, *range(2000, this_year + 2)]
    bounds = [None, *(year * 10_000 for year in years), None]
    dated = [Slice(sort="ID", low=low, high=high) for low, high in pairwise(bounds)]
    return (*dated, Slice(sort="ID", status="NOT_YET_RELEASED"), Slice(sort="START_DATE"))


class AnilistSpider(WalkingSpider):
    """``scrapy crawl anilist``: what changed since the last time, or what is named."""

    name = "anilist"
    card = CARD
    arguments = {
        "mode": "incremental (default): what changed, and next week's airings; full: everything, see its terms",
        "ids": "only these titles: 1,20",
        "titles": 'only titles of these names: "One Piece;Naruto"',
        "characters": "1: their characters too, a request for every 25",
    }
    handle_httpstatus_list = [400, 404, 500]
    """With which data may come beside errors: AniList repeats the first error's status."""
    custom_settings = {"CONCURRENT_REQUESTS": 1}  # it has a limit, not published, for many at once

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        at_most_one(self.args, "mode", "ids", "titles")
        mode = chosen(self.args, "mode", "full", "incremental")
        self.mode: Mode = "full" if mode == "full" else "incremental"
        self.ids = list(map(int, parts_of(self.args, "ids", NUMBER, "1,20")))
        self.titles = titles_of(self.args)
        self.wants_characters = is_on(self.args, "characters")

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        if spider.mode == "full" and not spider.own["ANILIST_MASS_COLLECTION"]:
            raise ArgumentError(
                "mode=full: AniList's terms forbid mass collection. Where you may do it all the same, set "
                "ANILIST_MASS_COLLECTION=1; without it there are mode=incremental, ids=1,20 and titles=…"
            )
        return spider

    async def start(self) -> AsyncIterator[Any]:
        if self.is_resumed:
            return
        if self.ids or self.titles:
            for request in (*self._batches(), *map(self._search_request, self.titles)):
                yield request
        else:
            for request in await self.first_page():
                yield request

    def _graphql(self, query: str, variables: dict[str, Any], **options: Any) -> Request:
        body = orjson.dumps({"query": " ".join(query.split()), "variables": variables})
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Referer": PROJECT_PAGE}
        options = {"errback": self.failed, **options}
        return Request(f"{self.base_url}/", method="POST", body=body, headers=headers, dont_filter=True, **options)

    # Titles by id and by name.

    def _batches(self) -> Iterator[Request]:
        for first in range(0, len(self.ids), BATCH):
            ids = self.ids[first : first + BATCH]
            variables = {"page": 1, "ids": ids, "sort": ["ID"]}
            yield self._graphql(TITLES, variables, callback=self.parse_titles, cb_kwargs={"ids": ids})

    def parse_titles(self, response: Response, ids: list[int]) -> Iterator[Item | Rejected | Request]:
        """A batch: what AniList says of each title, and which ones it does not know."""
        records, _, wrong = self._records(response)
        told = {id_of(record) for record in records}
        if not told <= {*ids, None}:
            self.stop(response, "wrong_answer", "AniList answers with titles that nobody asked for")
            return
        now = utc_now()
        yield from self._with_characters(items_from_media(records, now, wrong))
        missing = [] if None in told else [i for i in ids if i not in told]  # what has no id may be any of them
        yield from (Absent(source=CARD.name, source_id=str(i), fetched_at=now) for i in missing)

    def _search_request(self, title: str) -> Request:
        variables = {"page": 1, "search": title, "sort": ["SEARCH_MATCH"]}
        return self._graphql(TITLES, variables, callback=self.parse_search, cb_kwargs={"title": title})

    def parse_search(self, response: Response, title: str) -> Iterator[Item | Rejected | Request]:
        """The titles of that name; the search itself is fuzzy and prefers what is popular."""
        records, _, wrong = self._records(response)
        found = list(items_from_media(records, utc_now(), wrong))
        named = {item.source_id for item in found if isinstance(item, Anime) and is_called(title, item.names)}
        if not named:
            self.title_not_found(
                title, ((next(iter(item.names), None), item.source_id) for item in found if isinstance(item, Anime))
            )
        yield from self._with_characters(
            item for item in found if getattr(item, "anime_id", item.source_id) in named or isinstance(item, Rejected)
        )

    # Characters of a title.

    def _with_characters(self, items: Iterable[Item | Rejected]) -> Iterator[Item | Rejected | Request]:
        for item in items:
            yield item
            if self.wants_characters and isinstance(item, Anime):
                yield self._characters_request(item.source_id, 1, [])

    def _characters_request(self, anime_id: str, page: int, members: list[str] | None) -> Request:
        return self._graphql(
            CHARACTERS,
            {"id": int(anime_id), "page": page},
            callback=self.parse_characters,
            errback=self.characters_failed,
            cb_kwargs={"anime_id": anime_id, "page": page, "members": members},
        )

    def parse_characters(
        self, response: Response, anime_id: str, page: int, members: list[str] | None = None
    ) -> Iterator[Item | Rejected | Request]:
        """25 of a title's characters."""
        self._report_unresolved(response)
        record = data_from_document(json_body(response)).media
        if id_of(record) not in (int(anime_id), None):
            self.stop(response, "wrong_answer", f"AniList answers with another title than {anime_id}")
            return
        items = list(items_from_media([record], utc_now(), unresolved(json_body(response))))
        yield from items
        members = None if unresolved(json_body(response)) else members_of(items, members)
        if not has_more_characters(record):
            yield from listing("character", anime_id, members, CARD.name)
        elif page < MOST_CHARACTERS:
            yield self._characters_request(anime_id, page + 1, members)

    def characters_failed(self, failure: Failure) -> Iterator[Absent | Rejected]:
        """Errback of characters: a title may be gone since it was listed."""
        if kind_of(failure) == "not_found":
            anime_id = request_of(failure).cb_kwargs["anime_id"]
            yield Absent(source=CARD.name, source_id=anime_id, fetched_at=utc_now())
        else:
            yield from self.failed(failure)

    # What changed, or everything.

    def begin(self, stored: dict[str, Any] | None) -> State:
        """The walk that this run has begun already, else a new one."""
        return self.state_of(stored or {}).begun(self.mode, int(time.time()), self.run.id)

    def state_of(self, walk: dict[str, Any]) -> State:
        """The state that a request carries."""
        return State.model_validate(walk)

    def page_request(self, walk: State) -> Request:
        """A page of the slice that is being read."""
        assert walk.walk is not None
        here, window = walk.walk.slices[0], walk.current.window(walk.paging)
        variables = {"page": window.page, "perPage": window.size, **here.variables()}
        return self._graphql(AIRINGS if here.sort == "TIME" else TITLES, variables)

    def read_page(self, response: Response, walk: State) -> Page:
        """A page of titles or airings; only ``hasNextPage`` is true of what AniList says of the list."""
        assert walk.walk is not None
        records, has_next, _ = self._records(response)
        self.tell_future("updatedAt", changes_of(records), int(time.time()) + SKEW_S)
        ids = [f"{id_of(record)}/{change_of(record)}" for record in records]
        keys = [key_of(record, walk.walk.slices[0].sort) for record in records]
        return Page(records, ids, has_next, keys, is_past=walk.walk.is_past(records))

    def page_items(self, response: Response, walk: State, rows: list[Any]) -> Iterator[Item | Rejected | Request]:
        """The titles or airings of a page."""
        assert walk.walk is not None
        if walk.walk.slices[0].sort == "TIME":
            yield from items_from_airings(rows, utc_now())
            return
        places = unresolved(json_body(response))  # on the page as it came, of which `rows` may be a part
        page = data_from_document(json_body(response)).page
        unresolved_of = of_rows(places, page.records if page else [], rows)
        yield from self._with_characters(items_from_media(rows, utc_now(), unresolved_of))

    def tell_progress(self, walk: State) -> None:
        """AniList does not say how many there are."""
        if walk.walk:
            self.run.progress(walk.walk.listed, None)

    def _records(self, response: Response) -> tuple[list[Any], bool, Unresolved]:
        """The records of a page, whether there is a next one, and what of its titles could not be resolved."""
        document = json_body(response)
        self.report_drift(drift(document))
        self._report_unresolved(response)
        page = data_from_document(document).page
        return (page.records, page.pageInfo.hasNextPage, unresolved(document)) if page else ([], False, {})

    def _report_unresolved(self, response: Response) -> None:
        """Report errors that stand beside the data: the data are used, and what is stored of the rest stays."""
        messages = dict.fromkeys(message for _, message in errors_of(json_body(response)))
        if messages:
            said = "; ".join([*messages][:3])
            self.run.missing("partial_answer", f"AniList answers, but could not resolve everything: {said}")

    def judge(self, response: Response) -> Verdict:
        """Data are used, also beside errors; without data GraphQL's errors decide, whatever the status.

        403 is an outage or a block, and the end of the run.
        """
        if response.status == 429:
            return verdict_by_status(response.status)
        if 300 <= response.status < 400:
            return moved(response, CARD)
        try:
            document = json_body(response)
            errors = errors_of(document)
            if errors:
                is_partial = response.status in (200, *self.handle_httpstatus_list) and is_usable(document)
                return ACCEPT if is_partial else _judge_error(response.status, *errors[0])
            if response.status == 200:
                data_from_document(document)
                return ACCEPT
        except ResponseError as error:
            if response.status == 200:
                return unreadable(error)
        return _judge_status(response.status, "")


def _judge_error(http_status: int, status: int | None, message: str) -> Verdict:
    status = status or http_status
    if status == 404:
        return Verdict(Action.GIVE_UP, "not_found", "AniList has no anime of that id")
    if status in (403, 429) or status >= 500:
        return _judge_status(status, message)
    return Verdict(Action.GIVE_UP, "query_refused", f"AniList refuses the query: {message}")


def _judge_status(status: int, message: str) -> Verdict:
    if status == 403:
        said = f": {message}" if message else ""
        return Verdict(Action.GIVE_UP, "blocked", f"AniList is closed, for all or for us; try again later{said}")
    return wrong_address(CARD) if status == 404 else verdict_by_status(status)
