"""Walks Kodik's list by cursor; when a cursor is refused, looks from the newest down to where it had come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import AliasChoices, Field
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
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
    chosen,
    json_body,
    kind_of,
    moved,
    parts_of,
    request_of,
    unreadable,
    until_now,
    verdict_by_status,
    wrong_address,
)
from anime_crawler.items import Checkpoint, Item, Rejected, Release, utc_now
from anime_crawler.normalize.ids import PREFIXED, normalize_shikimori_id
from anime_crawler.sources.kodik import CARD
from anime_crawler.sources.kodik.parse import items_from_results
from anime_crawler.sources.kodik.schema import (
    cursor_from_next_page,
    drift,
    host_of,
    page_from_document,
    translations_of,
    updates_of,
    versions_of,
)

PAGE_SIZE = 100
"""Kodik's largest."""
SEARCHED_AT_ONCE = 20
"""Translations in one part of a search: an answer is full only where they have five materials each."""
FORM = {
    "types": "anime,anime-serial",
    "limit": str(PAGE_SIZE),
    # not with_episodes_data: five screenshots an episode make the body several times larger for titles few have
    "with_episodes": "true",
    "with_material_data": "true",
}
MOST_LISTED = 2_000_000
"""Materials in one walk: twenty times as many as there are."""
SETTLED = timedelta(seconds=60)
"""Age at which nothing can appear before a cursor any more: Kodik's times have whole seconds, its index some lag."""
ERRORS = {
    "Отсутствует или неверный токен": Verdict(
        Action.GIVE_UP,
        "token_refused",
        "Kodik refuses the token, for this function or altogether",
        "KODIK_API_TOKEN",
    ),
    "Не указан хотя бы один параметр для поиска": Verdict(
        Action.GIVE_UP, "no_criterion", "Kodik says that the search names nothing to look for"
    ),
    "Неправильный тип": Verdict(Action.GIVE_UP, "wrong_types", "Kodik does not know the types that we ask for"),
}
"""Kodik's permanent errors by text; the status is 500 for each."""


@dataclass(frozen=True)
class CursorPage(Page):
    """A page of Kodik's list."""

    updates: list[str] = field(default_factory=list)
    """``updated_at`` of its materials; ISO 8601 in UTC."""
    cursor: str | None = None
    """Leads to the page after it; ``None``: it is the last."""
    flaw: WalkError | None = None
    """Why there is no way on from this page."""
    fetched_at: datetime = datetime.min


class Walk(WalkState):
    """How far the list has been walked: progress, resume point and watermark. The checkpoint's state.

    A cursor is a position and no number of rows, so that nothing is skipped when materials are removed.
    """

    walk: Literal["ascending", "descending"] = "ascending"
    cursor: str | None = None
    """Leads to the page to read next; after the last page to that page again, where new materials will be appended.
    ``None``: from the beginning."""
    before: str | None = None
    """While under way: the last cursor before `cursor` that nothing can appear before any more."""
    boundary: str | None = None
    """``updated_at`` of the last material before `cursor`, while under way."""
    watermark: str | None = None
    """Latest ``updated_at`` up to which everything has been read, never later than now; ISO 8601 in UTC."""
    top: str | None = None
    """Descending: the latest ``updated_at`` when this pass began; the next pass goes down to it."""
    seen: int = 0
    """Materials listed in this walk."""
    total: int | None = None
    """Materials of the whole list, as its last page said."""
    digest: str = ""
    """Of the page before, while under way."""
    began_in: int | None = Field(None, validation_alias=AliasChoices("began_in", "full_since"))

    @property
    def current(self) -> Place:
        """Only for its being given up, which a walk by cursor never is."""
        return Place()

    @property
    def paging(self) -> Paging:
        """By cursor."""
        return Paging(PAGE_SIZE, Proof.CURSOR)

    def after(self, page: Page) -> Walk:
        """The walk when `page` is read.

        Raises:
            WalkError: it is the page before, there is no way on, or the list does not end.
        """
        assert isinstance(page, CursorPage)
        digest = blake2b("\n".join(page.ids).encode(), digest_size=16).hexdigest()
        if digest == self.digest:
            raise WalkError("repeated_page", "Kodik gave the same page for two cursors")
        if page.flaw:
            raise page.flaw
        seen = self.seen + len(page.rows)
        if seen > MOST_LISTED:
            raise WalkError("endless_list", f"Kodik lists more than {MOST_LISTED:,} materials, more than there are")
        # A material of the year 2999 says nothing of those that will change until then.
        known = until_now(page.updates, page.fetched_at.isoformat())
        step: dict[str, Any] = {"seen": seen, "total": page.total, "digest": digest}
        if self.walk == "descending":
            return self._down(step, known, page.cursor)
        step["watermark"] = max(filter(None, (self.watermark, max(known, default=None))), default=None)
        settled = self._settled_cursor(page.fetched_at)
        if page.cursor is None:
            return self._done(step | {"cursor": settled})
        boundary = max(page.updates, default=None)
        return self.model_copy(update=step | {"before": settled, "boundary": boundary, "cursor": page.cursor})

    def _settled_cursor(self, fetched_at: datetime) -> str | None:
        """The cursor to begin the next run with: this page's, or one before if this page began a moment ago."""
        if self.boundary and fetched_at - datetime.fromisoformat(self.boundary) < SETTLED:
            return self.before
        return self.cursor

    def _down(self, step: dict[str, Any], known: list[str], cursor: str | None) -> Walk:
        floor = self.watermark or ""
        top = self.top or max(known, default=floor)
        if cursor is not None and min(known, default=floor) >= floor:
            return self.model_copy(update=step | {"cursor": cursor, "top": top})
        if top <= floor:  # nothing came while the pass before was under way
            return self._done(step | {"cursor": None, "top": None})
        return self.model_copy(update=step | {"cursor": None, "top": None, "watermark": top, "digest": ""})

    def _done(self, step: dict[str, Any]) -> Walk:
        return self.model_copy(update=step | {"before": None, "boundary": None, "digest": "", "complete": True})

    def again(self) -> Walk:
        """The incremental walk after this complete one."""
        return self.model_copy(update={"complete": False, "full": False, "began_in": None, "seen": 0})

    def fallback(self) -> Walk:
        """The walk when its cursor is refused: from the newest down to what has been read."""
        update = {"walk": "descending", "cursor": None, "before": None, "boundary": None, "top": None, "digest": ""}
        return self.model_copy(update=update)

    def listed_since(self) -> int | None:
        """None, too, when the list came up short: fewer materials than it counts prove nothing about what is gone."""
        return super().listed_since() if self.seen >= (self.total or 1) else None


class KodikSpider(WalkingSpider):
    """``scrapy crawl kodik``: everything at first, then what changed since."""

    name = "kodik"
    card = CARD
    arguments = {
        "mode": "full (list everything again, notice what is gone) or incremental (default after the first time)",
        "max_pages": "stop after so many list pages; the next run goes on from there",
        "shikimori_ids": "only these anime: 1,20",
    }
    lookups = frozenset()  # players come and go by the hour: who asks for an anime by its id wants them as they are
    custom_settings = {
        "CONCURRENT_REQUESTS": 1,  # a cursor comes with the page before it
        "CONCURRENT_ITEMS": 128,  # a page's 100 releases, its newly described anime and the checkpoint in one go
    }

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        self.mode = chosen(self.args, "mode", "full", "incremental")
        self.max_pages = _positive(self.args["max_pages"]) if "max_pages" in self.args else None
        ids = parts_of(self.args, "shikimori_ids", PREFIXED.pattern, "1,20")
        self.shikimori_ids = list(dict.fromkeys(map(normalize_shikimori_id, ids)))
        if self.shikimori_ids and (self.mode or self.max_pages):
            raise ArgumentError("shikimori_ids goes with neither mode nor max_pages")
        self._visited: set[str] = set()
        self._described: dict[str, bytes] = {}  # 30,000 anime, more than there are, take 5 MB
        self._fell_back = False
        self._page = 0
        """List requests that this run has made."""
        self._told_hosts: set[str] = set()

    async def start(self) -> AsyncIterator[Any]:
        if self.shikimori_ids:
            for anime_id in () if self.is_resumed else self.shikimori_ids:
                yield self._search_request(anime_id)
            return
        for request in await self.first_page():
            yield request

    def begin(self, stored: dict[str, Any] | None) -> Walk:
        """The walk that is under way, else a full or an incremental one."""
        walk = self.state_of(stored) if stored else None
        if walk is None or walk.is_to_begin(self.mode, self.run.id):
            return Walk(full=True, began_in=self.run.id)
        if walk.watermark and not until_now([walk.watermark], utc_now().isoformat()):
            self.logger.warning("the watermark %s is in the future; it is not used", walk.watermark)
            walk = walk.model_copy(update={"watermark": None})
        return walk.again() if walk.complete else walk

    def state_of(self, walk: dict[str, Any]) -> Walk:
        """The walk that a request carries."""
        return Walk.model_validate(walk)

    def page_request(self, walk: Walk) -> Request:
        """A list page; addresses are never taken from the page before, only its cursor."""
        form = FORM | {"sort": "updated_at", "order": "asc" if walk.walk == "ascending" else "desc"}
        return self._post("/list", form if walk.cursor is None else form | {"next": walk.cursor})

    def walk_request(self, walk: WalkState, stored: dict[str, Any] | None) -> Request:
        """Counts the pages of the run."""
        request = super().walk_request(walk, stored)
        request.cb_kwargs["page"] = self._page + 1
        return request

    def _search_request(self, anime_id: str, **narrower: str) -> Request:
        """The request for the materials of one anime, of all translations or of those that a filter lets through."""
        form = FORM | {"shikimori_id": anime_id} | narrower
        kwargs = {"anime_id": anime_id, "narrower": narrower}
        callbacks = {"callback": self.parse_search, "errback": self.failed}
        return self._post("/search", form, **callbacks, cb_kwargs=kwargs, dont_filter=True)

    def _post(self, path: str, form: dict[str, str], **options: Any) -> Request:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(f"{self.base_url}{path}", method="POST", body=urlencode(form), headers=headers, **options)

    def parse_walk(
        self, response: Response, walk: dict[str, Any], stored: dict[str, Any] | None, page: int = 1
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """One page, the `page`-th of this run."""
        self._page = page
        yield from super().parse_walk(response, walk, stored)

    def read_page(self, response: Response, walk: Walk) -> Page:
        """A page of the list, and where the next one begins."""
        document = json_body(response)
        listed = page_from_document(document)
        ids, updates = versions_of(listed.results), updates_of(listed.results)
        has_next, now = listed.next_page is not None, utc_now()
        self.tell_future("updated_at", updates, (now + timedelta(seconds=SKEW_S)).isoformat())
        page = CursorPage(listed.results, ids, has_next, total=listed.total, updates=updates, fetched_at=now)
        try:
            return replace(page, cursor=self._next_cursor(listed.next_page, walk)) if listed.next_page else page
        except WalkError as error:
            return replace(page, flaw=error)

    def _next_cursor(self, next_page: str, walk: Walk) -> str:
        if walk.cursor is None:
            self._visited.clear()  # a new pass may come to the same pages
        else:
            self._visited.add(walk.cursor)
        host = host_of(next_page)
        if host and host != host_of(self.base_url) and host not in self._told_hosts:
            self._told_hosts.add(host)
            self.logger.warning("next_page is on %s; only its cursor is used, at %s", host, host_of(self.base_url))
        try:
            cursor = cursor_from_next_page(next_page)
        except ResponseError as error:
            raise WalkError(error.kind, str(error), keeps_items=True) from None
        if cursor in self._visited:
            message = "Kodik's next_page leads back to a page that was read already"
            raise WalkError("repeated_cursor", message, keeps_items=True)
        return cursor

    def page_items(self, response: Response, walk: Walk, rows: list[Any]) -> Iterator[Item | Rejected]:
        """The releases of a page, and the anime that are new to this run."""
        yield from items_from_results(rows, utc_now(), self._described)
        self.report_drift(drift(json_body(response)))

    def news_of(self, walk: Walk, page: Page) -> list[Any]:
        """All: a material that comes again has changed."""
        return page.rows

    def tell_progress(self, walk: Walk) -> None:
        """How many of all in a full walk."""
        self.run.progress(walk.seen, walk.total if walk.full else None)

    def go_on(
        self, walk: Walk, stored: dict[str, Any] | None, listed: Sequence[str] = ()
    ) -> Iterator[Checkpoint | Request]:
        """The checkpoint, and the next page where this run may ask for one more."""
        for following in super().go_on(walk, stored, listed):
            if isinstance(following, Checkpoint) or self.max_pages is None or self._page < self.max_pages:
                yield following

    def walk_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of list pages: a refused cursor is replaced by a look from the newest down, once."""
        kwargs, kind = request_of(failure).cb_kwargs, kind_of(failure) or ""
        walk = self.state_of(kwargs["walk"])
        is_refused = walk.cursor is not None and (kind == "refused" or kind.startswith("status_4"))
        if is_refused and not self._fell_back:
            self._fell_back, self._page = True, kwargs["page"]
            floor = walk.watermark or "the oldest"
            self.logger.warning("Kodik refuses the cursor; looking from the newest down to %s", floor)
            yield self.walk_request(walk.fallback(), kwargs["stored"])
        else:
            yield from super().walk_failed(failure)

    def parse_search(
        self, response: Response, anime_id: str, narrower: dict[str, str]
    ) -> Iterator[Item | Rejected | Request]:
        """All materials of one anime.

        A search has no pages and gives 100 materials at most. A full answer may be short of others, so the same is
        asked again in parts: the translations that are in it, some at a time, and all but those.
        """
        document = json_body(response)
        results = page_from_document(document).results
        self.report_drift(drift(document))
        items = list(items_from_results(results, utc_now()))
        yield from items
        found = {item.anime_id for item in items if isinstance(item, Release)}
        if not results and not narrower:
            self.run.missing("id_not_found", f"Kodik has no material of shikimori_id {anime_id}")
        elif found and anime_id not in found:
            others = ", ".join(sorted(found)[:3])
            self.run.missing(
                "id_not_found", f"Kodik answers with materials of {others}, not of shikimori_id {anime_id}"
            )
        if len(results) < PAGE_SIZE:
            return
        seen = translations_of(results)
        asked, blocked = (narrower.get(name, "").split(",") for name in ("translation_id", "block_translations"))
        new = [translation for translation in seen if translation not in blocked]
        if len(asked) > 1 and set(seen) <= set(asked):
            halves = asked[: len(asked) // 2], asked[len(asked) // 2 :]
            yield from (self._search_request(anime_id, translation_id=",".join(half)) for half in halves)
        elif "translation_id" not in narrower and new:
            yield self._search_request(anime_id, block_translations=",".join(filter(None, [*blocked, *new])))
            for at in range(0, len(new), SEARCHED_AT_ONCE):
                yield self._search_request(anime_id, translation_id=",".join(new[at : at + SEARCHED_AT_ONCE]))
        else:
            message = f"Kodik shows {PAGE_SIZE} materials of shikimori_id {anime_id} and no way to those beyond"
            self.run.missing("list_capped", message)

    def judge(self, response: Response) -> Verdict:
        """Kodik says 500 for everything that is wrong; an ``error`` in the body decides, whatever the status."""
        if response.status == 429:
            return verdict_by_status(response.status)
        if 300 <= response.status < 400:
            return moved(response, CARD)
        try:
            document = json_body(response)
            if isinstance(document, dict) and "error" in document:
                return _judge_error(str(document["error"]))
            if response.status == 200:
                page_from_document(document)
                return ACCEPT
        except ResponseError as error:
            if response.status == 200:
                return unreadable(error)
        return wrong_address(CARD) if response.status == 404 else verdict_by_status(response.status)


def _judge_error(text: str) -> Verdict:
    known = ERRORS.get(text.strip())
    if known:
        return known
    if "токен" in text.casefold() or "token" in text.casefold():
        return ERRORS["Отсутствует или неверный токен"]
    return Verdict(Action.GIVE_UP, "refused", f"Kodik says: {text[:200]}")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentError(f"max_pages={text}: a whole number from 1 is wanted")
    return int(text)
