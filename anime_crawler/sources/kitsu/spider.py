"""Walks Kitsu's catalogue by id; asks for episodes, characters, ids and titles; looks again at what is unfinished."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import AliasChoices, Field, field_validator
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    NUMBER,
    TOO_MUCH,
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
    is_on,
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
from anime_crawler.items import Absent, Anime, Checkpoint, Item, Rejected, listing, members_of, utc_now
from anime_crawler.normalize.text import is_called
from anime_crawler.sources.kitsu import CARD, schema
from anime_crawler.sources.kitsu.parse import items_from_document
from anime_crawler.sources.kitsu.schema import Document, document_from_json, row_id

PAGE_SIZE = 20
"""Kitsu's largest; more is refused."""
SMALL_PAGE = 10
"""For a page of 20 that fails, as others ask when much is included."""
MOST_PAGES = 500
"""Pages of one anime's episodes or characters: 10,000 rows. The longest anime has 8,000 episodes."""
SEARCH_PAGES = 3
"""Result pages looked at for a title that is the same. Popular titles come first, short ones further down."""
FIELDS = {
    "include": "categories,genres,mappings,animeProductions.producer,mediaRelationships.destination",
    "fields[categories]": "title,slug",
    "fields[genres]": "name,slug",
    "fields[producers]": "name,slug",
    "fields[mappings]": "externalSite,externalId",
}
"""No ``fields[anime]``: it would take the relationships away."""
DETAILS = {
    "episodes": {"sort": "number"},
    "characters": {"include": "character", "fields[characters]": "names,canonicalName,image"},
}
LIVING = ("current", "upcoming")
"""Statuses of what changes by itself; a few hundred titles."""
MOST_UNREADABLE = 3
"""Titles in a row that fail one by one: no accident of these titles any more, Kitsu is down."""
REFUSALS = {400: "refused", 401: "not_allowed", 403: "not_allowed", 404: "not_found"}
"""Status of an error document that asking again does not change -> kind of verdict."""
State = dict[str, Any] | None
"""The state of a walk as the catalogue holds it."""


class Walk(WalkState):
    """How far the catalogue has been walked, and what is unfinished. The checkpoint's state.

    The catalogue is read by ascending id. New titles are appended, so that the stored place is progress, resume point
    and watermark in one. An incremental walk then reads what is living, and at last what no longer is.
    """

    part: Literal["catalogue", "living", "left"] = "catalogue"
    places: dict[str, Place] = {}
    """By part: how far its list has been read."""
    living: list[int] = []
    """Ids that were unfinished when last seen, ascending."""
    met: list[int] = []
    """Those met by the present look at the living."""
    left: list[int] = []
    """Ids that were living and are not any more, still to be asked for."""
    batch: int = PAGE_SIZE
    """How many of `left` are asked for at once: fewer after a batch that was too much for Kitsu."""
    began_in: int | None = Field(None, validation_alias=AliasChoices("began_in", "full_since"))

    @field_validator("places", mode="before")
    @classmethod
    def _of_an_earlier_release(cls, places: Any) -> Any:
        """There a place was the number and the id of the last row read."""
        return {
            part: Place(row=place[0] + 1, last=(place[1],)) if isinstance(place, list) and place[1] else place
            for part, place in places.items()
            if not isinstance(place, list) or place[1]
        }

    @property
    def current(self) -> Place:
        """Where it is in the present part; what is left is no list."""
        return self.places.get(self.part, Place())

    @property
    def paging(self) -> Paging:
        """By offset, in order of ids: each page begins with the last row of the one before."""
        return Paging(PAGE_SIZE, Proof.OVERLAP, by_offset=True)

    def at(self, place: Place) -> Walk:
        """The walk at another place of the present part."""
        return self.model_copy(update={"places": self.places | {self.part: place}})

    def after(self, page: Page) -> Walk:
        """The walk when a page of a list is read."""
        place = self.current.after(page, self.paging)
        living = {key[0] for row, key in zip(page.rows, page.keys, strict=True) if key and _is_living(row)}
        name = "met" if self.part == "living" else "living"
        there = self.at(place).model_copy(update={name: sorted(living.union(getattr(self, name)))})
        return there._next_part() if place.is_read else there

    def _next_part(self) -> Walk:
        here = self.at(Place(row=self.current.row, last=self.current.last, total=self.current.total))
        if self.full:
            return here.model_copy(update={"complete": True})
        if self.part == "catalogue":
            return here.model_copy(update={"part": "living"})
        left = sorted(set(self.living).difference(self.met))
        step = {"part": "left", "places": {"catalogue": self.places["catalogue"]}, "living": self.met, "met": []}
        return self.model_copy(update=step | {"left": left, "batch": PAGE_SIZE, "complete": not left})

    def without(self, ids: list[int], *, unread: list[int] | None = None) -> Walk:
        """The walk when these, which were left, are answered.

        Args:
            unread: those of them that the next walk is to ask for again.
        """
        left = [number for number in self.left if number not in ids]
        living = sorted({*self.living, *(unread or ())})
        return self.model_copy(update={"left": left, "living": living, "complete": not left})

    def again(self) -> Walk:
        """The incremental walk after this complete one."""
        return self.model_copy(update={"part": "catalogue", "complete": False, "full": False, "began_in": None})


class KitsuSpider(WalkingSpider):
    """``scrapy crawl kitsu``: everything at first, then what is new and what is unfinished."""

    name = "kitsu"
    card = CARD
    smallest_page = SMALL_PAGE
    arguments = {
        "mode": "full (list everything again) or incremental (new and unfinished; default after the first time)",
        "ids": "only these titles, by Kitsu's ids: 1,20",
        "titles": "only titles that are called so: One Piece;Naruto",
        "episodes": "1: the episodes of each title, too; a request and more for each",
        "characters": "1: the characters of each title, too; a request and more for each",
    }
    custom_settings = {
        "CONCURRENT_REQUESTS": 1,  # a page begins where the one before it ended
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
    }

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        at_most_one(self.args, "mode", "ids", "titles")
        self.mode = chosen(self.args, "mode", "full", "incremental")
        self.details = [what for what in DETAILS if is_on(self.args, what)]
        self.ids = parts_of(self.args, "ids", NUMBER, "1,20")
        self.titles = titles_of(self.args)
        self._answered = 0
        self._unreadable = 0
        """Titles in a row that failed one by one."""

    async def start(self) -> AsyncIterator[Any]:
        if self.is_resumed:
            return
        if self.ids or self.titles:
            for first in range(0, len(self.ids), PAGE_SIZE):
                yield self._ids_request(self.ids[first : first + PAGE_SIZE], self.parse_ids)
            for title in self.titles:
                yield self._search_request(title)
            return
        for request in await self.first_page():
            yield request

    def begin(self, stored: State) -> Walk:
        """The walk that is under way, else a full or an incremental one."""
        walk = self.state_of(stored) if stored else None
        if walk is None or walk.is_to_begin(self.mode, self.run.id):
            return Walk(full=True, began_in=self.run.id)
        return walk.again() if walk.complete and walk.began_in != self.run.id else walk

    def state_of(self, walk: dict[str, Any]) -> Walk:
        """The walk that a request carries."""
        return Walk.model_validate(walk)

    # Requests

    def _get(self, path: str, query: dict[str, str], callback: Any, errback: Any, **options: Any) -> Request:
        url = f"{self.base_url}{path}?{urlencode(query)}"
        headers = {"Accept": "application/vnd.api+json"}
        return Request(url, callback=callback, errback=errback, headers=headers, **options)

    def page_request(self, walk: Walk) -> Request:
        """A page of the whole catalogue or of what is living."""
        window = walk.current.window(walk.paging)
        filters = {"filter[status]": ",".join(LIVING)} if walk.part == "living" else {}
        return self._get("/anime", {"sort": "id", **filters, **_page(window.start, window.size), **FIELDS}, None, None)

    def walk_request(self, walk: WalkState, stored: State) -> Request:
        """The walk's next request: a page of a list, or some of the titles that are left."""
        assert isinstance(walk, Walk)
        if walk.part != "left":
            return super().walk_request(walk, stored)
        kwargs = {"walk": walk.model_dump(mode="json"), "stored": stored}
        return self._ids_request([str(i) for i in walk.left[: walk.batch]], self.parse_left, **kwargs)

    def _ids_request(self, ids: list[str], callback: Any, **kwargs: Any) -> Request:
        query = {"filter[id]": ",".join(ids), **_page(0), **FIELDS}
        errback = self.left_failed if kwargs else self.ids_failed
        return self._get("/anime", query, callback, errback, cb_kwargs={"ids": ids, **kwargs}, dont_filter=True)

    def _search_request(self, title: str, page: int = 1) -> Request:
        query = {"filter[text]": title, **_page((page - 1) * PAGE_SIZE), **FIELDS}
        return self._get("/anime", query, self.parse_search, self.failed, cb_kwargs={"title": title, "page": page})

    def _detail_request(
        self, anime_id: str, what: str, page: int = 1, first: int | None = None, members: list[str] | None = None
    ) -> Request:
        query = {**DETAILS[what], **_page((page - 1) * PAGE_SIZE)}
        members = [] if page == 1 else members
        kwargs = {"anime_id": anime_id, "what": what, "page": page, "first": first, "members": members}
        callbacks = (self.parse_detail_page, self.detail_page_failed)
        return self._get(f"/anime/{anime_id}/{what}", query, *callbacks, cb_kwargs=kwargs)

    # Walking the catalogue

    def read_page(self, response: Response, walk: Walk) -> Page:
        """A page of a list; the last one names no next page."""
        document = self._document(response)
        ids = [row_id(row) for row in document.rows]
        keys = [None if number is None else (number,) for number in ids]
        has_next = bool(document.rows) and document.links.next is not None
        return Page(document.rows, [*map(str, ids)], has_next, keys, document.meta.count)

    def page_items(self, response: Response, walk: Walk, rows: list[Any]) -> Iterator[Item | Rejected | Request]:
        """The titles of a page, with what is asked for of each."""
        yield from self._items(document_from_json(json_body(response)), rows, response.url)

    def parse_left(
        self, response: Response, ids: list[str], walk: dict[str, Any], stored: State
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """Titles that were unfinished when last seen and are not any more."""
        self._unreadable = 0
        yield from self.parse_ids(response, ids)
        if not response.meta.get("unfinished"):
            yield from self.go_on(self.state_of(walk).without([int(i) for i in ids]), stored)

    def left_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of titles that are left: fewer at once, at last each alone; one that cannot be had waits for the
        next walk, as a dead letter.
        """
        kwargs = request_of(failure).cb_kwargs
        walk, stored, ids = self.state_of(kwargs["walk"]), kwargs["stored"], kwargs["ids"]
        if kind_of(failure) not in TOO_MUCH:
            yield from self.failed(failure)
        elif len(ids) > 1:
            yield self.walk_request(walk.model_copy(update={"batch": len(ids) // 2}), stored)
        elif self._unreadable + 1 >= MOST_UNREADABLE:
            yield from self.failed(failure)
        else:
            self._unreadable += 1
            yield self._cannot_be_had(failure, ids[0])
            yield from self.go_on(walk.without([int(ids[0])], unread=[int(ids[0])]), stored)

    # Titles by id and by name

    def parse_ids(self, response: Response, ids: list[str]) -> Iterator[Item | Rejected | Request]:
        """A batch: what it says of each title, and which ones Kitsu does not know, or shows only after a login."""
        document = self._document(response)
        told = {str(row_id(row)) for row in document.rows if row_id(row) is not None}
        if not told <= set(ids):
            self.stop(response, "wrong_answer", "Kitsu answers with titles that nobody asked for")
            return
        yield from self._items(document, document.rows, response.url)
        # a row without an id may be any of those that are missing
        missing = [i for i in ids if i not in told] if len(told) == len(document.rows) else []
        yield from (Absent(source=CARD.name, source_id=i, fetched_at=utc_now()) for i in missing)
        self._answered += len(ids)
        self.run.progress(self._answered, None)

    def ids_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of titles that were named: a batch that is too much for Kitsu is asked for in halves."""
        ids = request_of(failure).cb_kwargs["ids"]
        if kind_of(failure) in TOO_MUCH and len(ids) > 1:
            for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                yield self._ids_request(half, self.parse_ids)
        else:
            yield from self.failed(failure)

    def _cannot_be_had(self, failure: Failure, anime_id: str) -> Rejected:
        reason, record = f"Kitsu cannot show it: {failure.value}", {"id": anime_id}
        return set_aside(CARD.name, "anime", record, reason, utc_now(), source_id=anime_id, request={"ids": anime_id})

    def parse_search(self, response: Response, title: str, page: int) -> Iterator[Item | Rejected | Request]:
        """The titles that are called so; search itself finds something for everything."""
        document = self._document(response)
        same = [row for row in document.rows if is_called(title, schema.row_titles(row))]
        if same:
            yield from self._items(document, same, response.url)
        elif document.rows and document.links.next and page < SEARCH_PAGES:
            yield self._search_request(title, page + 1)
        else:
            named = ((next(iter(schema.row_titles(row)), None), row_id(row)) for row in document.rows)
            self.title_not_found(title, ((name, own) for name, own in named if own))

    # Episodes and characters

    def parse_detail_page(
        self,
        response: Response,
        anime_id: str,
        what: str,
        page: int,
        first: int | None,
        members: list[str] | None = None,
    ) -> Iterator[Item | Rejected | Request]:
        """Episodes or characters of one anime, and the next page of them."""
        document = self._document(response)
        if (owner := schema.owner_of(document, "")) not in ("", anime_id):
            self.stop(response, "wrong_answer", f"Kitsu answers with {what} of title {owner}, {anime_id} was asked for")
            return
        begins = row_id(document.rows[0]) if document.rows else None
        has_next = bool(document.rows) and document.links.next is not None
        if has_next and ((first and begins == first) or page >= MOST_PAGES):
            self.stop(response, "endless_list", f"the {what} of title {anime_id} have no end")
            return
        items = list(items_from_document(document, response.url, utc_now()))
        yield from items
        members = members_of(items, members)
        if has_next:
            yield self._detail_request(anime_id, what, page + 1, begins, members)
        else:
            yield from listing("episode" if what == "episodes" else "character", anime_id, members, CARD.name)

    def detail_page_failed(self, failure: Failure) -> Iterator[Absent | Rejected]:
        """Errback of episodes and characters: the title may have been taken out since it was listed."""
        if kind_of(failure) == "not_found":
            anime_id = request_of(failure).cb_kwargs["anime_id"]
            yield Absent(source=CARD.name, source_id=anime_id, fetched_at=utc_now())
        else:
            yield from self.failed(failure)

    # What all answers have in common

    def _document(self, response: Response) -> Document:
        document = json_body(response)
        self.report_drift(schema.drift(document))
        return document_from_json(document)

    def _items(self, document: Document, rows: list[Any], url: str) -> Iterator[Item | Rejected | Request]:
        """Items of some rows of an answer, each anime followed by the requests for its details."""
        for item in items_from_document(document.model_copy(update={"data": rows}), url, utc_now()):
            yield item
            if isinstance(item, Anime):
                yield from (self._detail_request(item.source_id, what) for what in self.details)

    def judge(self, response: Response) -> Verdict:
        """JSON:API's status says what is wrong; a page of HTML is the proxy in front."""
        if response.status == 429:
            return verdict_by_status(response.status)
        if 300 <= response.status < 400:
            return moved(response, CARD)
        try:
            document = json_body(response)
            wrong = schema.errors_of(document)
            if wrong is not None or response.status != 200:
                return _judge_error(response, "; ".join(wrong or ()) or f"status {response.status}")
            document_from_json(document)
        except ResponseError as error:
            return _judge_unreadable(response.status, error)
        return ACCEPT


def _judge_error(response: Response, message: str) -> Verdict:
    if response.status == 200:
        return Verdict(Action.RETRY, "server_error", f"Kitsu says: {message}", is_upstream_trouble=True)
    if response.status == 400 and (response.request is None or response.request.meta.get("attempt", 1) == 1):
        # Correct requests are refused now and then; whoever is refused twice asks for something wrong.
        return Verdict(Action.RETRY, "refused", f"Kitsu refuses: {message}", is_upstream_trouble=True)
    kind = REFUSALS.get(response.status)
    return Verdict(Action.GIVE_UP, kind, f"Kitsu says: {message}") if kind else verdict_by_status(response.status)


def _judge_unreadable(status: int, error: ResponseError) -> Verdict:
    if status == 200:
        return unreadable(error)
    if status == 403:
        return Verdict(Action.GIVE_UP, "blocked", "the proxy in front of Kitsu refuses us; try again another day")
    return wrong_address(CARD) if status == 404 else verdict_by_status(status)


def _is_living(row: Any) -> bool:
    return schema.row_status(row) in LIVING


def _page(offset: int, size: int = PAGE_SIZE) -> dict[str, str]:
    """Named in every request: without one, Kitsu counts pages in another way."""
    return {"page[limit]": str(size), "page[offset]": str(offset)}
