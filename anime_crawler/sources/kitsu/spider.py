"""Walks Kitsu's catalogue by id; asks for episodes, characters, ids and titles; looks again at what is unfinished."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    NUMBER,
    Action,
    ResponseError,
    SourceSpider,
    Verdict,
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
    verdict_by_status,
    wrong_address,
)
from anime_crawler.items import Absent, Anime, Checkpoint, Item, Rejected, utc_now
from anime_crawler.normalize.text import is_called
from anime_crawler.sources.kitsu import CARD, schema
from anime_crawler.sources.kitsu.parse import items_from_document
from anime_crawler.sources.kitsu.schema import Document, document_from_json, row_id

PAGE_SIZE = 20
"""Kitsu's largest; more is refused."""
SMALL_PAGE = 10
"""For a page of 20 that fails, as others ask when much is included. Also how far a walk steps back: as it goes forward
by 19, it comes to no address twice."""
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
TOO_MUCH = frozenset({"server_error", "timeout"})
"""How a page fails that includes too much."""
REFUSALS = {400: "refused", 401: "not_allowed", 403: "not_allowed", 404: "not_found"}
"""Status of an error document that asking again does not change -> kind of verdict."""
State = dict[str, Any] | None
"""What the catalogue holds of a walk."""


class Walk(BaseModel):
    """How far the catalogue has been walked, and what is unfinished. The checkpoint's state.

    The catalogue is read by ascending id. New titles are appended, so that the stored place is progress, resume point
    and watermark in one. An incremental walk then reads what is living, and at last what no longer is.
    """

    model_config = ConfigDict(frozen=True)

    part: Literal["catalogue", "living", "left"] = "catalogue"
    places: dict[str, tuple[int, int | None]] = {}
    """By part: the row to begin the next page with, which is the last one read, and its id where it is known."""
    living: list[int] = []
    """Ids that were unfinished when last seen, ascending."""
    met: list[int] = []
    """Those met by the present look at the living."""
    left: list[int] = []
    """Ids that were living and are not any more, still to be asked for."""
    full: bool = False
    """This walk lists everything, not only what is new or unfinished."""
    full_since: int | None = None
    """The run in which the full walk began."""
    complete: bool = False

    @property
    def place(self) -> tuple[int, int | None]:
        """Where the present part is."""
        return self.places.get(self.part, (0, None))

    def at(self, offset: int, last: int | None) -> Walk:
        """The walk at another place of the present part."""
        return self.model_copy(update={"places": self.places | {self.part: (offset, last)}})

    def is_past_its_place(self, document: Document) -> bool:
        """Whether the page begins behind the row expected at its place: rows before are gone, others were skipped."""
        offset, last = self.place
        if not offset or last is None:
            return False
        if not document.rows:
            return bool(document.meta.count)
        return (row_id(document.rows[0]) or 0) > last

    def after(self, rows: list[Any], *, is_last: bool) -> Walk:
        """The walk when a page of it is read."""
        offset, last = self.place
        found = row_id(rows[-1]) if rows else last
        there = self.at(offset + len(rows) - (found is not None and bool(rows)), found)._with_living(rows)
        return there._next_part() if is_last else there

    def _with_living(self, rows: list[Any]) -> Walk:
        ids = {number for row in rows if schema.row_status(row) in LIVING and (number := row_id(row)) is not None}
        name = "met" if self.part == "living" else "living"
        return self.model_copy(update={name: sorted(ids.union(getattr(self, name)))})

    def _next_part(self) -> Walk:
        if self.full:
            return self.model_copy(update={"complete": True})
        if self.part == "catalogue":
            return self.model_copy(update={"part": "living"})
        left = sorted(set(self.living).difference(self.met))
        places = {"catalogue": self.places["catalogue"]}
        step = {"part": "left", "places": places, "living": self.met, "met": [], "left": left}
        return self.model_copy(update=step).without([])

    def without(self, ids: list[int]) -> Walk:
        """The walk when these, which were left, are answered."""
        left = [number for number in self.left if number not in ids]
        return self.model_copy(update={"left": left, "complete": not left})

    def again(self) -> Walk:
        """The incremental walk after this complete one."""
        return self.model_copy(update={"part": "catalogue", "complete": False, "full": False, "full_since": None})


class KitsuSpider(SourceSpider):
    """``scrapy crawl kitsu``: everything at first, then what is new and what is unfinished."""

    name = "kitsu"
    card = CARD
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

    async def start(self) -> AsyncIterator[Any]:
        if self.is_resumed:
            return
        if self.ids or self.titles:
            for first in range(0, len(self.ids), PAGE_SIZE):
                yield self._ids_request(self.ids[first : first + PAGE_SIZE], self.parse_ids)
            for title in self.titles:
                yield self._search_request(title)
            return
        stored = await self.run.checkpoint()
        walk = self._begin(stored)
        if not walk.complete:
            yield self._walk_request(walk, stored, dont_filter=True)

    def _begin(self, stored: State) -> Walk:
        walk = Walk.model_validate(stored) if stored else None
        is_wanted = self.mode == "full" and not (walk and walk.full_since == self.run.id)
        if walk is None or (is_wanted and (walk.complete or not walk.full)):
            return Walk(full=True, full_since=self.run.id)
        return walk.again() if walk.complete and walk.full_since != self.run.id else walk

    # Requests

    def _get(self, path: str, query: dict[str, str], callback: Any, errback: Any, **options: Any) -> Request:
        url = f"{self.base_url}{path}?{urlencode(query)}"
        headers = {"Accept": "application/vnd.api+json"}
        return Request(url, callback=callback, errback=errback, headers=headers, **options)

    def _walk_request(self, walk: Walk, stored: State, first: int | None = None, **options: Any) -> Request:
        """The request for the walk's next page.

        Args:
            stored: the checkpoint as the catalogue holds it before that page.
            first: id of the first row of the page before, which must not come first again.
            options: ``size``: rows; ``dont_filter``: for what an earlier process of the run may have asked for.
        """
        kwargs = {"walk": walk.model_dump(mode="json"), "stored": stored, "first": first}
        if walk.part == "left":
            return self._ids_request([str(i) for i in walk.left[:PAGE_SIZE]], self.parse_left, **kwargs)
        size = options.pop("size", PAGE_SIZE)
        filters = {"filter[status]": ",".join(LIVING)} if walk.part == "living" else {}
        query = {"sort": "id", **filters, **_page(walk.place[0], size), **FIELDS}
        callbacks = (self.parse_walk_page, self.walk_page_failed)
        return self._get("/anime", query, *callbacks, cb_kwargs=kwargs, meta={"size": size}, **options)

    def _ids_request(self, ids: list[str], callback: Any, **kwargs: Any) -> Request:
        query = {"filter[id]": ",".join(ids), **_page(0), **FIELDS}
        return self._get("/anime", query, callback, self.failed, cb_kwargs={"ids": ids, **kwargs}, dont_filter=True)

    def _search_request(self, title: str, page: int = 1) -> Request:
        query = {"filter[text]": title, **_page((page - 1) * PAGE_SIZE), **FIELDS}
        return self._get("/anime", query, self.parse_search, self.failed, cb_kwargs={"title": title, "page": page})

    def _detail_request(self, anime_id: str, what: str, page: int = 1, first: int | None = None) -> Request:
        query = {**DETAILS[what], **_page((page - 1) * PAGE_SIZE)}
        kwargs = {"anime_id": anime_id, "what": what, "page": page, "first": first}
        callbacks = (self.parse_detail_page, self.detail_page_failed)
        return self._get(f"/anime/{anime_id}/{what}", query, *callbacks, cb_kwargs=kwargs)

    # Walking the catalogue

    def parse_walk_page(
        self, response: Response, walk: dict[str, Any], stored: State, first: int | None
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """One page: its items, then how far we have come, then the next page."""
        document, here = self._document(response), Walk.model_validate(walk)
        rows, (offset, last) = document.rows, here.place
        if here.is_past_its_place(document):
            yield self._walk_request(here.at(max(0, offset - SMALL_PAGE), last), stored)
            return
        new = [row for row in rows if last is None or (number := row_id(row)) is None or number > last]
        there = here.after(rows, is_last=not rows or document.links.next is None)
        begins = row_id(rows[0]) if rows else None
        if (first and begins and begins <= first) or (not new and there == here):
            self.stop(response, "repeated_page", "Kitsu gives the same page for two places of its list")
            return
        yield from self._items(document, new, response.url)
        self.run.progress(offset + len(rows), document.meta.count)
        yield from self._go_on(there, stored, begins if there.part == here.part else None)

    def _go_on(self, walk: Walk, stored: State, first: int | None) -> Iterator[Checkpoint | Request]:
        state = walk.model_dump(mode="json")
        if state != stored:
            yield Checkpoint(source=CARD.name, previous=stored, state=state)
        if not walk.complete:
            yield self._walk_request(walk, state, first)

    def walk_page_failed(self, failure: Failure) -> Iterator[Request | Rejected]:
        """Errback of the walk: a page that is too much for Kitsu is asked for with half the rows."""
        request = request_of(failure)
        if kind_of(failure) in TOO_MUCH and request.meta["size"] == PAGE_SIZE:
            kwargs = request.cb_kwargs
            walk = Walk.model_validate(kwargs["walk"])
            yield self._walk_request(walk, kwargs["stored"], kwargs["first"], size=SMALL_PAGE)
        else:
            yield from self.failed(failure)

    def parse_left(
        self, response: Response, ids: list[str], walk: dict[str, Any], stored: State, first: None
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """Titles that were unfinished when last seen and are not any more."""
        yield from self.parse_ids(response, ids)
        yield from self._go_on(Walk.model_validate(walk).without([int(i) for i in ids]), stored, None)

    # Titles by id and by name

    def parse_ids(self, response: Response, ids: list[str]) -> Iterator[Item | Rejected | Request]:
        """A batch: what it says of each title, and which ones Kitsu does not know, or shows only after a login."""
        document = self._document(response)
        asked = [row for row in document.rows if str(row_id(row)) in ids]
        yield from self._items(document, asked, response.url)
        told = {str(row_id(row)) for row in asked}
        yield from (Absent(source=CARD.name, source_id=i, fetched_at=utc_now()) for i in ids if i not in told)
        self._answered += len(ids)
        self.run.progress(self._answered, None)

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
        self, response: Response, anime_id: str, what: str, page: int, first: int | None
    ) -> Iterator[Item | Rejected | Request]:
        """Episodes or characters of one anime, and the next page of them."""
        document = self._document(response)
        begins = row_id(document.rows[0]) if document.rows else None
        has_next = bool(document.rows) and document.links.next is not None
        if has_next and ((first and begins == first) or page >= MOST_PAGES):
            self.stop(response, "endless_list", f"the {what} of title {anime_id} have no end")
            return
        yield from items_from_document(document, response.url, utc_now())
        if has_next:
            yield self._detail_request(anime_id, what, page + 1, begins)

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


def _page(offset: int, size: int = PAGE_SIZE) -> dict[str, str]:
    """Named in every request: without one, Kitsu counts pages in another way."""
    return {"page[limit]": str(size), "page[offset]": str(offset)}
