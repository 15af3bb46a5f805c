"""The walk that all sources share: page after page of lists that move while they are read, over any number of deaths.

A *walk* reads one list or several and ends complete or incomplete. A *full* walk lists everything, an *incremental*
one what may have changed. Its state is the source's checkpoint, stored after the items of each page and before the next
request, so that a killed process is resumed where it was. `Place` is how far one list has been read; `WalkingSpider`
asks, keeps and goes on. A source supplies how a page is asked for, what a page holds, and how its lists follow.

When a row is removed from the pages that were read, all later rows move up, and the first row of the next page moves
onto the page before: whoever asks for the next page skips it. `Proof` names the ways in which a list shows that this
has not happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders.source_spider import SourceSpider
from anime_crawler.base_spiders.verdict import Action, Verdict, kind_of, request_of
from anime_crawler.items import Checkpoint, Item, Rejected, utc_now

Key = tuple[int, ...]
"""The key that a list is ordered by, ascending; in a list from the newest down, times are negative."""
MOST_REPEATS = 2
"""With `Proof.OVERLAP`, a page that comes again so often is a server that ignores the page; once may be rows that moved
down. Without, the rows between would be lost, so that once is enough."""
REPEATED = "the server gives the same page for several page numbers"
MOST_BACK = 10
"""Steps back in a row, after which the list is read on without proof: a total that flaps would be followed for ever."""
MOST_PASSES = 5
"""Passes over a list after which it is given up as one that never stands still."""
PAUSE = timedelta(minutes=10)
"""After so long, rows may have been removed and as many added, so that a total shows nothing of it."""
SKEW_S = 300
"""Seconds by which the upstream's clock may be ahead of ours before a time later than now is told as drift."""
MOST_NUMBER = 2_000_000
"""The highest number that is remembered with `Proof.PASSES`; the largest source has come to 70,000."""
TOO_MUCH = frozenset({"server_error", "timeout"})
"""Kinds of verdict by which a page fails that is too much for a server."""


class Proof(StrEnum):
    """How a list shows that no row was skipped between two of its pages."""

    OVERLAP = "overlap"
    """Each page begins at or before the last row that was read, as the rows' keys show: nothing is skipped unseen."""
    TOTAL = "total"
    """Each page says how many rows the list has: when there are fewer than before, earlier pages are read again. Rows
    that are removed while as many are added behind, all between two requests, are not seen."""
    PASSES = "passes"
    """Neither: a list of several pages is read again until a pass brings nothing new."""
    CURSOR = "cursor"
    """Each page names where the next one begins, by a row and not by a number of rows: nothing can be skipped."""
    NONE = "none"
    """The list is a selection that the next walk reads anew; rows that move may be skipped in this one."""


@dataclass(frozen=True)
class Paging:
    """How a list is paged."""

    size: int
    """Rows of the largest page."""
    proof: Proof
    most: int = 5_000
    """Pages of one list, after which it is taken for endless."""
    by_offset: bool = False
    """With `Proof.OVERLAP`: a page can begin at any row. Otherwise at multiples of its size, which may be chosen."""


@dataclass(frozen=True)
class Window:
    """The rows that a request is for."""

    start: int
    """Number of the first, from 0."""
    size: int

    @property
    def page(self) -> int:
        """The same as a page number, from 1."""
        return self.start // self.size + 1


@dataclass(frozen=True)
class Page:
    """A page that was read, as the walk needs it."""

    rows: list[Any]
    """The records in their order, also those that cannot be understood."""
    ids: list[str]
    """Texts that tell the rows apart, to notice a page that comes again; with their times, where there are any."""
    has_next: bool
    """Whether a page after this one is worth asking for."""
    keys: Sequence[Key | None] = ()
    """With `Proof.OVERLAP`: of each row, what the list is ordered by; with `Proof.PASSES`: its number. ``None``: it has
    none that can be read."""
    total: int | None = None
    """Rows of the whole list, as this page says."""
    is_past: bool = False
    """Whether the rows that follow are known, because the watermark is reached."""
    listed: Sequence[str] = ()
    """Source ids of the anime that it lists, where `page_items` gives requests for them instead of their items: in a
    full walk they are there, even if their own pages cannot be read."""


class WalkError(Exception):
    """The walk cannot go on from this page.

    Args:
        kind, setting: as in `Verdict`.
        keeps_items: the page itself is sound; its items are stored.
    """

    def __init__(self, kind: str, message: str, setting: str | None = None, *, keeps_items: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.setting = setting
        self.keeps_items = keeps_items


class Place(BaseModel):
    """How far one list has been read. Part of a walk's checkpoint."""

    model_config = ConfigDict(frozen=True)

    row: int = 0
    """Rows that have been read: the number of the next one."""
    last: Key | None = None
    """With `Proof.OVERLAP`: the highest key that was read."""
    total: int | None = None
    """Rows of the whole list, as the last page said."""
    digest: str = ""
    """Of the last page's ids, or of its first one with `Proof.OVERLAP`."""
    repeats: int = 0
    """How often that page has come again since."""
    pages: int = 0
    """Pages that have been read in this pass."""
    furthest: int = 0
    """The highest `row` of this pass."""
    back: int = 0
    """Steps back since the pass last came further than ever."""
    empty_at: int | None = None
    """The row at which a page was empty, before the list's end."""
    size: int | None = None
    """Rows to ask for next, where the largest page is too much for the server."""
    known: str = ""
    """With `Proof.PASSES`: numbers of the rows that were listed, as bits of a hexadecimal number."""
    has_news: bool = False
    """This pass brought what no pass before had."""
    passes: int = 0
    """Passes that ended without proof."""
    is_unproven: bool = False
    """Rows may have been skipped in this pass."""
    read_at: datetime | None = None
    """With `Proof.TOTAL`: when the last page was read."""
    expected: str = ""
    """With `Proof.TOTAL`, after a pause: digest of the page before. It is read again, to see whether it has moved."""
    is_read: bool = False
    """The list has been read to its end, and nothing was skipped."""
    given_up: tuple[str, str] | None = None
    """Kind and message, when the list was given up; who goes on with this place reads it from the beginning."""

    def resumed(self, paging: Paging) -> Place:
        """The place for a process that goes on. What a total does not show after a pause, the page before does."""
        is_rested = self.read_at is not None and utc_now() - self.read_at > PAUSE
        if paging.proof is not Proof.TOTAL or not self.row or not is_rested:
            return self
        row = (self.row - 1) // paging.size * paging.size
        return self.model_copy(update={"row": row, "expected": self.digest or "none", "digest": "", "repeats": 0})

    def window(self, paging: Paging) -> Window:
        """The rows to ask for next."""
        if paging.proof is not Proof.OVERLAP:
            return Window(self.row // paging.size * paging.size, paging.size)
        largest = self.size or paging.size
        if paging.by_offset or not self.row:
            return Window(max(0, self.row - 1), largest)
        # Of the pages that begin at or before the last row read, the one that leads furthest.
        starts = [((self.row - 1) // size * size, size) for size in range(largest // 2 + 1, largest + 1)]
        return Window(*max(starts, key=lambda found: (sum(found), found[1])))

    def news(self, page: Page, paging: Paging) -> list[Any]:
        """The rows of a page that were not read before, as far as their keys tell; none when the list has moved."""
        if self.expected or self._rows_missing(page, paging):
            return []
        if paging.proof is Proof.OVERLAP and self.last is not None:
            return [row for row, key in zip(page.rows, page.keys, strict=True) if key is None or key > self.last]
        if self.known and page.keys:
            bits, rows = int(self.known, 16), zip(page.rows, page.keys, strict=True)
            return [row for row, key in rows if key is None or key[0] > MOST_NUMBER or not bits >> key[0] & 1]
        return page.rows

    def after(self, page: Page, paging: Paging) -> Place:
        """The place when the page is read.

        Raises:
            WalkError: the server does not heed which page is asked for.
        """
        window, missing = self.window(paging), self._rows_missing(page, paging)
        step: dict[str, Any] = {"pages": self.pages + 1, "size": None, "given_up": None, "expected": ""}
        step["total"] = self.total if page.total is None else page.total
        step["read_at"] = utc_now() if paging.proof is Proof.TOTAL else None
        if self.pages + 1 >= paging.most and page.has_next:
            return Place(given_up=("endless_list", f"the list does not end within {paging.most} pages"))
        if missing:
            row = max(0, window.start - missing)
            row = row if paging.proof is Proof.OVERLAP else row // paging.size * paging.size
            empty_at = None if page.rows else window.start
            step |= {"row": row, "back": self.back + 1, "empty_at": empty_at, "digest": "", "repeats": 0}
            return self.model_copy(update=step)

        # Pages that overlap differ in size, so that their first row tells them apart.
        ids = page.ids[:1] if paging.proof is Proof.OVERLAP else page.ids
        digest = blake2b("\n".join(ids).encode(), digest_size=12).hexdigest() if ids else ""
        if self.expected and digest != self.expected:  # it has moved while nobody looked
            return Place(passes=self.passes)
        is_repeated = bool(digest) and digest == self.digest
        is_behind_end = page.total is not None and window.start >= page.total
        step |= {"digest": digest, "repeats": self.repeats + 1 if is_repeated else 0}
        has_grown = paging.proof is Proof.TOTAL and (page.total or 0) >= (self.total or 0) + paging.size
        most = MOST_REPEATS if paging.proof is Proof.OVERLAP or has_grown else 1
        if step["repeats"] >= most and not is_behind_end:
            raise WalkError("repeated_page", REPEATED)
        has_next = page.has_next and bool(page.rows) and not page.is_past and not (is_repeated and is_behind_end)
        is_fixed = paging.proof is not Proof.OVERLAP
        step["row"] = row = window.start + (window.size if is_fixed and has_next else len(page.rows))
        if row > self.furthest:
            step |= {"furthest": row, "back": 0, "empty_at": None}
        if self.back >= MOST_BACK or (self._is_in_passes(page, paging) and window.start and not page.rows):
            step |= {"is_unproven": True, "back": 0}
        numbers = [number for number, key in enumerate(page.keys) if key is not None]
        if paging.proof is Proof.OVERLAP and numbers:
            highest = max(key for key in page.keys if key is not None)
            if self.last is None or highest > self.last:
                # The next page overlaps the last row that has a key, for one without cannot show it.
                step |= {"last": highest, "row": window.start + numbers[-1] + 1, "back": 0}
        if self._is_in_passes(page, paging):
            bits = before = int(self.known or "0", 16)
            for key in page.keys:
                bits |= 1 << key[0] if key is not None and 0 <= key[0] <= MOST_NUMBER else 0
            step |= {"known": f"{bits:x}", "has_news": self.has_news or bits != before}
        there = self.model_copy(update=step)
        return there if has_next else there._ended(page, paging, is_one_page=not window.start)

    def _rows_missing(self, page: Page, paging: Paging) -> int:
        """How many rows to go back, because so many were removed before the page; 0: none, as far as it shows."""
        window = self.window(paging)
        if not window.start or self.back >= MOST_BACK or self.is_unproven:  # an unproven pass is repeated anyway
            return 0
        if paging.proof is Proof.OVERLAP and self.last is not None:
            first = next((key for key in page.keys if key is not None), None)
            is_behind = not page.rows or (first is not None and first > self.last)
            return (window.size - 1) * 2**self.back if is_behind else 0  # ever further: many may be gone at once
        if paging.proof is not Proof.TOTAL or self.total is None:
            return 0
        if not page.rows and page.total is None:
            return paging.size if self.empty_at != window.start else 0
        return max(0, self.total - (self.total if page.total is None else page.total))

    def _is_in_passes(self, page: Page, paging: Paging) -> bool:
        """Whether passes are the proof; also where a list that should say its total does not."""
        is_silent = paging.proof is Proof.TOTAL and page.total is None and self.total is None
        return paging.proof is Proof.PASSES or is_silent

    def _ended(self, page: Page, paging: Paging, *, is_one_page: bool) -> Place:
        """The place when no page follows."""
        if paging.proof is Proof.TOTAL and not page.is_past and self.row + paging.size <= (self.total or 0):
            message = f"the list ends after {self.row} rows and says that it has {self.total}"
            return Place(given_up=("short_list", message))
        is_restless = self._is_in_passes(page, paging) and self.has_news and not is_one_page
        if not (self.is_unproven or is_restless) or paging.proof is Proof.NONE:
            return self.model_copy(update={"is_read": True})
        if self.passes + 1 >= MOST_PASSES:
            message = f"the list did not stand still while it was read {MOST_PASSES} times; titles may be missing"
            return Place(given_up=("unstable_list", message))
        return Place(known=self.known, passes=self.passes + 1)


class WalkState(BaseModel):
    """Base of a source's checkpoint. A source adds its lists, their order, and what it remembers from walk to walk."""

    model_config = ConfigDict(frozen=True)

    complete: bool = False
    """Everything that the walk was for has been read."""
    full: bool = False
    """The walk lists everything."""
    began_in: int | None = None
    """The run in which the walk began."""

    @property
    def current(self) -> Place:
        """Where the walk is in the list that it reads."""
        raise NotImplementedError

    def after(self, page: Page) -> WalkState:
        """The walk when a page is read.

        Raises:
            WalkError: it cannot go on from there.
        """
        raise NotImplementedError

    def listed_since(self) -> int | None:
        """The run since which everything was listed; ``None`` while under way, and for an incremental walk."""
        return self.began_in if self.complete and self.full else None

    def is_to_begin(self, mode: str | None, run_id: int) -> bool:
        """Whether a run that was given this mode begins a full walk, instead of going on with this one."""
        is_own = self.full and self.began_in == run_id
        return mode == "full" and not is_own and (self.complete or not self.full)


class WalkingSpider(SourceSpider):
    """A spider that walks lists. What is the same in all walks stands here; a source says what a page is."""

    smallest_page: ClassVar[int | None] = None
    """Rows to ask for when a page is too much for the server; ``None``: pages have one size."""

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        self._shown: dict[str, int] = {}
        """By the ids of each page of the present list: the row at which it began."""

    def begin(self, stored: dict[str, Any] | None) -> WalkState:
        """The walk of this run: the one under way, or another. A complete one has nothing left to do.

        Args:
            stored: the checkpoint; ``None``: there never was a walk.
        """
        raise NotImplementedError

    def state_of(self, walk: dict[str, Any]) -> WalkState:
        """The walk that a request carries."""
        raise NotImplementedError

    def page_request(self, walk: Any) -> Request:
        """The request for the walk's next page, without callbacks."""
        raise NotImplementedError

    def read_page(self, response: Response, walk: Any) -> Page:
        """Read the page of the list that an answer holds.

        Raises:
            WalkError: the walk must not go on from there.
        """
        raise NotImplementedError

    def page_items(self, response: Response, walk: Any, rows: list[Any]) -> Iterator[Item | Rejected | Request]:
        """Items of those rows of a page that are new to the walk, and the requests that follow from them."""
        raise NotImplementedError

    def tell_progress(self, walk: Any) -> None:
        """Tell people how far the walk is."""
        self.run.progress(walk.current.row, walk.current.total)

    def tell_future(self, path: str, times: Iterable[Any], latest: Any) -> None:
        """Count the times that are later than now, by more than clocks differ, as drift.

        Args:
            latest: `SKEW_S` from now.
        """
        count = sum(time > latest for time in times)
        if count:
            self.run.drift(f"{path} (in the future)", "unknown", count)

    def check_repeats(self, walk: Any, page: Page) -> None:
        """Refuse a page that another place of the list has shown; with `Proof.OVERLAP` rows may have moved.

        Raises:
            WalkError: it did.
        """
        if walk.paging.proof in (Proof.OVERLAP, Proof.CURSOR) or not page.ids:
            return
        start = walk.current.window(walk.paging).start
        if not start:  # of a list, or of another pass over it
            self._shown.clear()
        if self._shown.setdefault("\n".join(page.ids), start) not in (start, start - walk.paging.size):
            raise WalkError("repeated_page", REPEATED)

    async def first_page(self) -> list[Request]:
        """The first request of this run's walk; none when it has ended, or waits in the frontier."""
        stored = await self.run.checkpoint()
        walk = self.begin(stored)
        return [] if walk.complete or self.is_resumed else [self.walk_request(walk, stored)]

    def walk_request(self, walk: WalkState, stored: dict[str, Any] | None) -> Request:
        """The request for the walk's next page. It may have been made before, when rows have moved.

        Args:
            stored: the checkpoint as the catalogue holds it before that page.
        """
        return self.page_request(walk).replace(
            callback=self.parse_walk,
            errback=self.walk_failed,
            cb_kwargs={"walk": walk.model_dump(mode="json"), "stored": stored},
            dont_filter=True,
        )

    def parse_walk(
        self, response: Response, walk: dict[str, Any], stored: dict[str, Any] | None
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """One page: its items, then how far the walk has come, then the next page."""
        here = self.state_of(walk)
        self.run.full_listing = here.full  # a process that resumes or joins a walk makes no first request of it
        try:
            page = self.read_page(response, here)
            self.check_repeats(here, page)
        except WalkError as error:
            self.stop(response, error.kind, str(error), error.setting)
            return
        try:
            there = here.after(page)
        except WalkError as error:
            if error.keeps_items:
                yield from self.page_items(response, here, self.news_of(here, page))
            self.stop(response, error.kind, str(error), error.setting)
            return
        yield from self.page_items(response, here, self.news_of(here, page))
        yield from self.go_on(there, stored, page.listed)

    def news_of(self, walk: Any, page: Page) -> list[Any]:
        """The rows of a page that the walk has not read before."""
        rows: list[Any] = walk.current.news(page, walk.paging)
        return rows

    def go_on(
        self, walk: Any, stored: dict[str, Any] | None, listed: Sequence[str] = ()
    ) -> Iterator[Checkpoint | Request]:
        """How far the walk has come, and the next page; a list that was given up ends the run incomplete.

        Args:
            listed: as in `Page`.
        """
        self.tell_progress(walk)
        state = walk.model_dump(mode="json")
        if state != stored:
            since, ids = walk.listed_since(), tuple(listed) if walk.full else ()
            yield Checkpoint(source=self.card.name, previous=stored, state=state, full_since=since, listed=ids)
        if walk.current.given_up:
            kind, message = walk.current.given_up
            self.run.fail(Verdict(Action.GIVE_UP, kind, f"{self.card.title}: {message}"))
        elif not walk.complete:
            yield self.walk_request(walk, state)

    def walk_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of the walk: a page that is too much for the server is asked for with fewer rows."""
        kwargs = request_of(failure).cb_kwargs
        walk: Any = self.state_of(kwargs["walk"])
        if kind_of(failure) in TOO_MUCH and self.smallest_page and walk.current.size is None:
            smaller = walk.current.model_copy(update={"size": self.smallest_page})
            yield self.walk_request(walk.at(smaller), kwargs["stored"])
        else:
            yield from self.failed(failure)


def until_now(times: Iterable[Any], now: Any) -> list[Any]:
    """The times that are not later than now: one record of the year 2999 must not hide what changes until then."""
    return [time for time in times if time <= now]
