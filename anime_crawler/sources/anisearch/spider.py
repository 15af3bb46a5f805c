"""Walks AniSearch one page at a time: a page of the index, each anime that it lists first, the next page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Literal
from urllib.parse import quote_plus, urlsplit

from pydantic import model_validator
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    RENDER,
    Action,
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
    at_most_one,
    chosen,
    in_utf8,
    is_on,
    location_of,
    moved,
    parts_of,
    request_of,
    set_aside,
    titles_of,
    unreadable,
    verdict_by_status,
    wrong_address,
)
from anime_crawler.items import Absent, AiringStatus, Anime, Checkpoint, Item, Rejected, listing, members_of, utc_now
from anime_crawler.normalize.text import is_called
from anime_crawler.sources.anisearch import CARD
from anime_crawler.sources.anisearch.parse import SOURCE, anime_from_detail, items_from_root, made
from anime_crawler.sources.anisearch.schema import (
    ID,
    OUTER,
    SLUG,
    detail_from_root,
    drift,
    index_from_root,
    is_challenge,
    missing_anchors,
    root_of,
)

INDEX = "/anime/index/page-{page}?char=all&sort={sort}&order={order}&view=2&limit={limit}&title=&titlex="
ORDERS = {"full": ("title", "asc"), "incremental": ("date", "desc")}
SEARCH = "/anime/index/?char=all&page=1&text={text}&smode=2&sort=title&order=asc&view=2&limit=100&title=&titlex="
DETAIL = re.compile(r"/anime/\d+[^/]*$")
PAGE_SIZE = 100
"""Rows of an index page."""
PAGES_MOST = 1_000
"""Index pages of a walk: five times as many as there are (207 in 2026). A list that lies about its end ends here."""
LOOK_AGAIN = timedelta(days=7)
"""Age from which what was not finished yet is looked at again; modb-app does so weekly."""
OWN_ID = r"[1-9][0-9]{0,6}"
"""Form of an id. AniSearch has come to 20,000, and `Walk` keeps a bit for each up to the highest."""
ODD_PAGES = 3
"""Unreadable pages in a row that are no accident any more: the site has changed or is down."""
UNFINISHED = frozenset({AiringStatus.ANNOUNCED, AiringStatus.ONGOING, AiringStatus.PAUSED})
ASIDE = frozenset({"wrong_shape", "server_error", "too_large"})
"""Verdicts about faults that one page alone may have; the walk goes on without that page."""
BLOCKED = "AniSearch shuts us out, as it does for about a week after too many requests; wait, then run again"


@dataclass(frozen=True)
class IndexPage(Page):
    """A page of the index."""

    pages: int | None = None
    """How many there are, where the walk is for all and the page says it."""


class Walk(WalkState):
    """How far the index has been walked. The checkpoint's state; of ids and titles asked for, what is left of them."""

    mode: Literal["full", "incremental", "asked"] = "full"
    place: Place = Place()
    """In the index, to go on with when `todo` is empty."""
    todo: tuple[int, ...] = ()
    """Anime to read before it."""
    titles: tuple[str, ...] = ()
    """Titles to search for before that."""
    sought: tuple[tuple[int, str], ...] = ()
    """Anime whose page a search led to at once, with the title: whether it is the one, only that page says."""
    seen: str = ""
    """Ids that were listed, as bits of a hexadecimal number: 5 KB for all of them."""
    unfinished: str = ""
    """Those of them that were announced, running or paused when last looked at."""
    looked_at: str = ""
    """Day on which the last look at all unfinished ones began."""
    done: int = 0
    """Anime read in this walk."""
    total: int | None = None
    """About how many there are, where the walk is for all: 100 on each index page."""
    is_open: bool = False
    """Incremental: a page ended with an anime that was new, so that another may have moved from behind it."""
    depth: int = 0
    """Incremental: rows of the first pass, which the next ones read too."""

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_release(cls, state: Any) -> Any:
        """There the page number was kept; that index is walked again from its beginning, without what was seen."""
        if isinstance(state, dict) and "page" in state:
            return state | {"full": state.get("mode") == "full", "place": {"is_read": bool(state.get("complete"))}}
        return state

    @property
    def current(self) -> Place:
        """Where it is in the index."""
        return self.place

    @property
    def paging(self) -> Paging:
        """The index says only how many pages it has."""
        is_sure = self.mode == "incremental" and not self.is_open
        return Paging(PAGE_SIZE, Proof.NONE if is_sure else Proof.PASSES, most=PAGES_MOST)

    def after(self, page: Page) -> Walk:
        """The walk when a page of the index is read: what it lists first is to be read before the next page."""
        before = self.place.model_copy(update={"known": self.seen})
        new = [int(row.id) for row in before.news(page, Paging(PAGE_SIZE, Proof.PASSES))]
        is_open = self.mode == "incremental" and bool(new and page.has_next and new[-1] == int(page.rows[-1].id))
        here = self.model_copy(update={"is_open": self.is_open or is_open})
        is_past = self.mode == "incremental" and not new and self.place.row + len(page.rows) >= self.depth
        place = before.after(replace(page, is_past=is_past), here.paging)
        seen = f"{int(self.seen or '0', 16) | sum(1 << own for own in dict.fromkeys(new)):x}"
        depth = self.depth if self.place.passes else self.place.row + len(page.rows)
        step: dict[str, Any] = {"place": place.model_copy(update={"known": ""}), "seen": seen, "depth": depth}
        step["todo"] = tuple(dict.fromkeys(new))
        if isinstance(page, IndexPage) and page.pages:
            step["total"] = PAGE_SIZE * page.pages
        return here.settled(step)

    def after_anime(self, is_unfinished: bool) -> Walk:
        """The walk when the first of `todo` is read."""
        own = 1 << self.todo[0]
        bits = int(self.unfinished or "0", 16) & ~own
        unfinished = f"{bits | own if is_unfinished else bits:x}"
        return self.settled({"todo": self.todo[1:], "unfinished": unfinished, "done": self.done + 1})

    def settled(self, step: dict[str, Any]) -> Walk:
        """The walk with these changes, complete where nothing is left."""
        there = self.model_copy(update=step)
        return there.model_copy(update={"complete": there.place.is_read and not there.todo and not there.titles})

    def again(self, today: date, run_id: int) -> Walk:
        """The incremental walk after this complete one: after a week it begins with what was not finished."""
        step: dict[str, Any] = {"mode": "incremental", "full": False, "place": Place(), "done": 0, "total": None}
        step |= {"is_open": False, "depth": 0}
        if not today - LOOK_AGAIN < date.fromisoformat(self.looked_at) <= today:  # a day to come was a wrong clock's
            bits = int(self.unfinished or "0", 16)
            todo = tuple(own for own in range(bits.bit_length()) if bits >> own & 1)
            step |= {"todo": todo, "looked_at": today.isoformat()}
        return self.model_copy(update={**step, "complete": False, "began_in": run_id})


class AniSearchSpider(WalkingSpider):
    """``scrapy crawl anisearch``: everything at first, then what is new and what was not finished."""

    name = "anisearch"
    card = CARD
    arguments = {
        "mode": "full (everything) or incremental (newest first down to what is known; default after a full walk)",
        "ids": "only these anime: 3633,4942",
        "titles": "only the anime of these titles, by AniSearch's search: One Piece;Naruto",
        "characters": "1: the characters of each anime too, a request each",
        "episodes": "1: the episodes of each anime too, a request each",
        **RENDER,
    }
    custom_settings = {"CONCURRENT_REQUESTS": 1}  # one page leads to the next; the site bans those who hurry

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        at_most_one(self.args, "mode", "ids", "titles")
        self.mode = chosen(self.args, "mode", "full", "incremental")
        self.ids = tuple(map(int, parts_of(self.args, "ids", OWN_ID, "3633,4942")))
        self.titles = tuple(titles_of(self.args))
        self.parts = [part for part in ("characters", "episodes") if is_on(self.args, part)]
        self._odd_pages = 0

    async def start(self) -> AsyncIterator[Any]:
        if self.is_resumed:
            return
        if self.ids or self.titles:
            walk = Walk(mode="asked", todo=self.ids, titles=self.titles, place=Place(is_read=True))
            requests = [self.walk_request(walk, None)]
        else:
            requests = await self.first_page()
        for request in requests:
            yield request.replace(dont_filter=True)  # an earlier process of the run may have made the same

    def begin(self, stored: dict[str, Any] | None) -> Walk:
        """The walk that is under way, else a full or an incremental one."""
        today, walk = utc_now().date(), self.state_of(stored) if stored else None
        if walk is None or walk.is_to_begin(self.mode, self.run.id):
            mode = self.mode or "full"
            step = {"mode": mode, "full": mode == "full", "looked_at": today.isoformat(), "began_in": self.run.id}
            return Walk.model_validate(step)
        is_done = walk.complete and walk.full and walk.began_in == self.run.id and self.mode == "full"
        return walk.again(today, self.run.id) if walk.complete and not is_done else walk

    def state_of(self, walk: dict[str, Any]) -> Walk:
        """The walk that a request carries."""
        return Walk.model_validate(walk)

    def walk_request(self, walk: WalkState, stored: dict[str, Any] | None) -> Request:
        """The walk's next request. Addresses are never taken from a page."""
        assert isinstance(walk, Walk)
        if walk.titles:
            return self._page(SEARCH.format(text=quote_plus(walk.titles[0])), self.parse_search, walk, stored)
        if walk.todo:
            return self._page(f"/anime/{walk.todo[0]}", self.parse_detail, walk, stored)
        return super().walk_request(walk, stored)

    def page_request(self, walk: Walk) -> Request:
        """A page of the index."""
        sort, order = ORDERS[walk.mode]
        page = walk.place.window(walk.paging).page
        return Request(self.base_url + INDEX.format(page=page, sort=sort, order=order, limit=PAGE_SIZE))

    def _page(self, path: str, callback: Any, walk: Walk, stored: dict[str, Any] | None, **more: Any) -> Request:
        kwargs = {"walk": walk.model_dump(mode="json"), "stored": stored, **more}
        return Request(f"{self.base_url}{path}", callback=callback, errback=self.walk_failed, cb_kwargs=kwargs)

    def go_on(
        self, walk: Walk, stored: dict[str, Any] | None, listed: Sequence[str] = ()
    ) -> Iterator[Checkpoint | Request]:
        """How far we have come, then the next request; what was asked for by name has no checkpoint."""
        if walk.mode != "asked":
            yield from super().go_on(walk, stored, listed)
        elif not walk.complete:
            yield self.walk_request(walk, None)

    def tell_progress(self, walk: Walk) -> None:
        """In anime."""
        self.run.progress(walk.done, walk.total)

    # Pages.

    def read_page(self, response: Response, walk: Walk) -> Page:
        """A page of the index."""
        index = index_from_root(root_of(response.body))
        if not index.rows and not walk.place.window(walk.paging).start:
            raise WalkError("wrong_shape", "the first page of AniSearch's index lists nothing")
        keys = [(int(row.id),) for row in index.rows]
        pages = index.last_page if walk.full else None
        ids = [row.id for row in index.rows]
        return IndexPage(list(index.rows), ids, index.has_next, keys, listed=ids, pages=pages)

    def page_items(self, response: Response, walk: Walk, rows: list[Any]) -> Iterator[Item | Rejected | Request]:
        """None: the walk keeps what is to be read."""
        yield from ()

    def parse_search(
        self, response: Response, walk: dict[str, Any], stored: dict[str, Any] | None
    ) -> Iterator[Checkpoint | Request]:
        """Read the anime of that very title among those that AniSearch finds; the others are named, and not read."""
        here = Walk.model_validate(walk)
        found = [(row.blocks[0].title or "", int(row.id)) for row in index_from_root(root_of(response.body)).rows]
        exact = [own for title, own in found if is_called(here.titles[0], [title])]
        if not exact:
            self.title_not_found(here.titles[0], found)
        yield from self._found(here, exact, stored)

    def _found(self, walk: Walk, ids: list[int], stored: dict[str, Any] | None) -> Iterator[Checkpoint | Request]:
        todo = tuple(dict.fromkeys([*walk.todo, *ids]))
        yield from self.go_on(walk.settled({"titles": walk.titles[1:], "todo": todo}), stored)

    def parse_detail(
        self, response: Response, walk: dict[str, Any], stored: dict[str, Any] | None, **_: Any
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """An anime's page, then those of its characters and episodes where they are wanted."""
        here, root = Walk.model_validate(walk), root_of(response.body)
        self._odd_pages = 0
        detail = detail_from_root(root)
        item = made(anime_from_detail, detail, utc_now())
        names = item.names if isinstance(item, Anime) else ()
        sought = [title for own, title in here.sought if own == here.todo[0]]
        others = [title for title in sought if names and not is_called(title, names)]
        for title in others:
            self.title_not_found(title, [(names[0], here.todo[0])])
        if sought and others == sought:
            yield from self.go_on(here.after_anime(is_unfinished=False), stored)
            return
        yield item
        self.report_drift(drift(root))
        parts = [part for part in self.parts if part != "characters" or detail.has_characters]
        there = here.after_anime(not isinstance(item, Anime) or item.status in UNFINISHED)
        self.run.progress(there.done, there.total)
        yield from self._parts(f"/anime/{detail.id}{detail.slug}", parts, there, stored)

    def _parts(
        self, path: str, parts: list[str], walk: Walk, stored: dict[str, Any] | None
    ) -> Iterator[Checkpoint | Request]:
        if parts:
            yield self._page(f"{path}/{parts[0]}", self.parse_part, walk, stored, anime=path, parts=parts[1:])
        else:
            yield from self.go_on(walk, stored)

    def parse_part(
        self, response: Response, walk: dict[str, Any], stored: dict[str, Any] | None, anime: str, parts: list[str]
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """The characters or the episodes of an anime."""
        items = list(items_from_root(root_of(response.body), utc_now()))
        yield from items
        if own := ID.search(anime):
            is_cast = response.url.endswith("/characters")
            yield from listing("character" if is_cast else "episode", own[2], members_of(items), SOURCE)
        yield from self._parts(anime, parts, Walk.model_validate(walk), stored)

    # What does not come.

    def walk_failed(self, failure: Failure) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """Errback of all pages: goes on without an anime that is gone or cannot be read, else ends the run here."""
        request, error = request_of(failure), failure.value
        kind = error.verdict.kind if isinstance(error, GivenUp) else None
        walk = Walk.model_validate(request.cb_kwargs["walk"])
        is_anime = bool(walk.todo and not walk.titles) or "parts" in request.cb_kwargs
        if isinstance(error, GivenUp) and kind == "redirected" and error.response is not None:
            yield from self._redirected(request, error.response, walk)
        elif kind == "not_found":
            yield from self._without(request, walk)
        elif isinstance(error, GivenUp) and kind in ASIDE and is_anime and self._is_odd(error, walk):
            yield self._unreadable(request, error)
            yield from self._without(request, walk, is_unfinished=True)
        else:
            yield from self.failed(failure)

    def _is_odd(self, error: GivenUp, walk: Walk) -> bool:
        """Count a page that cannot be read; false for too many in a row, or where nothing that was asked for came."""
        self._odd_pages += 1
        is_all = walk.mode == "asked" and len(walk.todo) == 1 and self._odd_pages > walk.done
        return self._odd_pages < ODD_PAGES and not (is_all and error.verdict.kind == "server_error")

    def _without(
        self, request: Request, walk: Walk, *, is_unfinished: bool = False
    ) -> Iterator[Item | Checkpoint | Request]:
        """Leave out this page: an anime, or its characters or episodes."""
        kwargs = request.cb_kwargs
        if "parts" in kwargs:
            yield from self._parts(kwargs["anime"], kwargs["parts"], walk, kwargs["stored"])
            return
        if not is_unfinished:
            yield Absent(source=SOURCE, source_id=str(walk.todo[0]), fetched_at=utc_now())
        yield from self.go_on(walk.after_anime(is_unfinished), kwargs["stored"])

    def _unreadable(self, request: Request, error: GivenUp) -> Rejected:
        own = ID.search(urlsplit(request.url).path)
        body = error.response.body.decode("utf-8", "replace") if error.response else ""
        reason = f"{error.verdict.kind}: {error.verdict.message}"
        record, ids = {"url": request.url, "body": body}, own[2] if own else None
        return set_aside(SOURCE, "anime", record, reason, utc_now(), source_id=ids, request={"ids": ids})

    def _redirected(self, request: Request, answer: Response, walk: Walk) -> Iterator[Item | Checkpoint | Request]:
        """Follow an anime to its address with a slug, once; a search that leads to an anime has found it."""
        path = urlsplit(location_of(answer)).path
        own, slug = ID.search(path), SLUG.search(path)
        assert own is not None  # the judge has seen to it
        if walk.titles:
            sought = (*walk.sought, (int(own[2]), walk.titles[0]))
            found = walk.model_copy(update={"sought": sought})
            yield from self._found(found, [int(own[2])], request.cb_kwargs["stored"])
        elif "parts" in request.cb_kwargs or (walk.todo and int(own[2]) != walk.todo[0]):
            yield from self._without(request, walk)  # the entry is part of another one now
        elif walk.todo and slug and not request.meta.get("redirected"):
            url = f"{self.base_url}/anime/{own[2]}{slug[1]}"
            yield request.replace(url=url, meta={"redirected": True})
        else:
            self.stop(request, "moved", "AniSearch redirects without end")

    def judge(self, response: Response) -> Verdict:
        """A page is AniSearch's when it has the site's frame; others come from who stands in front of it."""
        path = urlsplit(response.url).path
        body = in_utf8(response.body)
        frame = OUTER.search(body)
        if 300 <= response.status < 400:
            return _judge_redirect(response)
        if response.status == 403 or (not frame and is_challenge(body)):
            return Verdict(Action.GIVE_UP, "blocked", BLOCKED)
        if path.endswith("/robots.txt"):  # RFC 9309: where there is none, nothing is forbidden
            return ACCEPT if response.status in (200, 404, 410) else verdict_by_status(response.status)
        if response.status in (404, 410):
            return _judge_missing(path)
        if response.status != 200:
            return verdict_by_status(response.status)
        wrong = _wrong_shape(response.url, body, frame[0] if frame else b"")
        return unreadable(ResponseError(wrong)) if wrong else ACCEPT


def _judge_redirect(response: Response) -> Verdict:
    target = urlsplit(location_of(response))
    if target.netloc == urlsplit(response.url).netloc and ID.search(target.path):
        return Verdict(Action.GIVE_UP, "redirected", "the anime has another address")
    return moved(response, CARD)


def _judge_missing(path: str) -> Verdict:
    if ID.search(path):
        return Verdict(Action.GIVE_UP, "not_found", "AniSearch does not know it")
    return wrong_address(CARD)


def _wrong_shape(url: str, body: bytes, frame: bytes) -> str | None:
    """The fault of a page that does not fit the address it was asked at; ``None``: the page is sound."""
    path = urlsplit(url).path
    about = ID.search(path)
    if not frame:
        return "not a page of AniSearch: it has no content-outer"
    if b"</html" not in body[-1000:].lower():
        return "the page is cut short"
    marks = (f'data-type="{about[1]}"', f'data-id="{about[2]}"') if about else ()
    if about and not all(mark.encode() in frame for mark in marks):
        return f"the page is not about the {about[1]} that was asked for, {about[2]}"
    if DETAIL.search(path) and b"infoblock" not in body:
        return "the page of an anime has no infoblock"
    if not about and b"responsive-table" not in body and "&text=" not in url:
        return "a page of the index has no table"
    missing = missing_anchors(root_of(body), path) if "&text=" not in url else []
    return f"a page of AniSearch has no {', '.join(missing)}: the site may have changed" if missing else None
