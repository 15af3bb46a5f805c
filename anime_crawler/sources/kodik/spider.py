"""Walks Kodik's list by cursor; when a cursor is refused, looks from the newest down to where it had come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    Action,
    ArgumentError,
    ResponseError,
    SourceSpider,
    Verdict,
    chosen,
    json_body,
    kind_of,
    moved,
    parts_of,
    request_of,
    unreadable,
    verdict_by_status,
    wrong_address,
)
from anime_crawler.items import Checkpoint, Item, Rejected, utc_now
from anime_crawler.normalize.ids import PREFIXED, normalize_shikimori_id
from anime_crawler.sources.kodik import CARD
from anime_crawler.sources.kodik.parse import items_from_results
from anime_crawler.sources.kodik.schema import (
    ForeignPageError,
    ListPage,
    cursor_from_next_page,
    drift,
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


class Walk(BaseModel):
    """How far the list has been walked: progress, resume point and watermark. The checkpoint's state."""

    model_config = ConfigDict(frozen=True)

    walk: Literal["ascending", "descending"] = "ascending"
    cursor: str | None = None
    """Leads to the page to read next; after the last page to that page again, where new materials will be appended.
    ``None``: from the beginning."""
    before: str | None = None
    """The cursor of the page before `cursor`, while under way."""
    boundary: str | None = None
    """``updated_at`` of the last material before `cursor`, while under way."""
    watermark: str | None = None
    """Latest ``updated_at`` up to which everything has been read; ISO 8601 in UTC."""
    top: str | None = None
    """Descending: the latest ``updated_at`` when this pass began; the next pass goes down to it."""
    seen: int = 0
    """Materials listed in this walk."""
    full: bool = False
    """This walk lists everything, not only what changed."""
    full_since: int | None = None
    """The run in which the full walk began."""
    complete: bool = False

    def after(self, page: ListPage, cursor: str | None, fetched_at: datetime) -> Walk:
        """The walk when `page` is read; `cursor` leads to the page after it."""
        updates = updates_of(page.results)
        known = max(updates, default=None)
        seen = self.seen + len(page.results)
        if self.walk == "descending":
            return self._down(updates, cursor).model_copy(update={"seen": seen})
        step = {"seen": seen, "watermark": max(filter(None, (self.watermark, known)), default=None)}
        if cursor is None:
            return self._done(step | {"cursor": self._last_settled(fetched_at)})
        return self.model_copy(update=step | {"before": self.cursor, "boundary": known, "cursor": cursor})

    def _last_settled(self, fetched_at: datetime) -> str | None:
        """The cursor to begin the next run with: this page's, or the one before if this page began a moment ago."""
        if self.boundary and fetched_at - datetime.fromisoformat(self.boundary) < SETTLED:
            return self.before
        return self.cursor

    def _down(self, updates: list[str], cursor: str | None) -> Walk:
        floor = self.watermark or ""
        top = self.top or max(updates, default=floor)
        if cursor is not None and min(updates, default=top) >= floor:
            return self.model_copy(update={"cursor": cursor, "top": top})
        if top <= floor:  # nothing came while the pass before was under way
            return self._done({"cursor": None, "top": None})
        return self.model_copy(update={"cursor": None, "top": None, "watermark": top})

    def _done(self, step: dict[str, Any]) -> Walk:
        return self.model_copy(update=step | {"before": None, "boundary": None, "complete": True})

    def again(self) -> Walk:
        """The incremental walk after this complete one."""
        return self.model_copy(update={"complete": False, "full": False, "full_since": None, "seen": 0})

    def fallback(self) -> Walk:
        """The walk when its cursor is refused: from the newest down to what has been read."""
        update = {"walk": "descending", "cursor": None, "before": None, "boundary": None, "top": None}
        return self.model_copy(update=update)


class KodikSpider(SourceSpider):
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

    async def start(self) -> AsyncIterator[Any]:
        if self.shikimori_ids:
            for anime_id in () if self.is_resumed else self.shikimori_ids:
                yield self._search_request(anime_id)
            return
        stored = await self.run.checkpoint()
        walk = self._begin(stored)
        self.run.full_listing = walk.full
        if not self.is_resumed:
            yield self._list_request(walk, stored, 1, is_head=True)

    def _begin(self, stored: dict[str, Any] | None) -> Walk:
        walk = Walk.model_validate(stored) if stored else None
        is_wanted = self.mode == "full" and not (walk and walk.full_since == self.run.id)
        if walk is None or (is_wanted and (walk.complete or not walk.full)):
            return Walk(full=True, full_since=self.run.id)
        return walk.again() if walk.complete else walk

    def _list_request(
        self, walk: Walk, stored: dict[str, Any] | None, page: int, *, last_ids: str = "", is_head: bool = False
    ) -> Request:
        """The request for the walk's next page.

        Args:
            stored: the checkpoint as the catalogue holds it before that page.
            page: how many list requests this run will have made with it.
            last_ids: digest of the page before.
            is_head: the same request was made by an earlier walk or pass, and is no repeat.
        """
        form = FORM | {"sort": "updated_at", "order": "asc" if walk.walk == "ascending" else "desc"}
        if walk.cursor is not None:
            form["next"] = walk.cursor
        return self._post(
            "/list",
            form,
            callback=self.parse_list_page,
            errback=self.list_page_failed,
            cb_kwargs={"walk": walk.model_dump(), "stored": stored, "page": page, "last_ids": last_ids},
            dont_filter=is_head,
        )

    def _search_request(self, anime_id: str, **narrower: str) -> Request:
        """The request for the materials of one anime, of all translations or of those that a filter lets through."""
        form = FORM | {"shikimori_id": anime_id} | narrower
        kwargs = {"anime_id": anime_id, "narrower": narrower}
        callbacks = {"callback": self.parse_search, "errback": self.failed}
        return self._post("/search", form, **callbacks, cb_kwargs=kwargs, dont_filter=True)

    def _post(self, path: str, form: dict[str, str], **options: Any) -> Request:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(f"{self.base_url}{path}", method="POST", body=urlencode(form), headers=headers, **options)

    def parse_list_page(
        self, response: Response, walk: dict[str, Any], stored: dict[str, Any] | None, page: int, last_ids: str
    ) -> Iterator[Item | Rejected | Checkpoint | Request]:
        """One page: its items, then how far we have come, then the next page."""
        now, document = utc_now(), json_body(response)
        listed, here = page_from_document(document), Walk.model_validate(walk)
        digest = blake2b("\n".join(versions_of(listed.results)).encode(), digest_size=16).hexdigest()
        if digest == last_ids:
            self.stop(response, "repeated_page", "Kodik gave the same page for two cursors")
            return
        yield from items_from_results(listed.results, now, self._described)
        self.report_drift(drift(document))
        try:
            cursor = self._next_cursor(listed, here)
        except ResponseError as error:
            setting = CARD.base_url_setting if isinstance(error, ForeignPageError) else None
            self.stop(response, error.kind, str(error), setting)
            return
        if cursor is not None and cursor in self._visited:
            self.stop(response, "repeated_cursor", "Kodik's next_page leads back to a page that was read already")
            return
        there = here.after(listed, cursor, now)
        self.run.progress(there.seen, listed.total if there.full else None)
        yield from self._go_on(there, stored, page, digest, listed)

    def _next_cursor(self, listed: ListPage, here: Walk) -> str | None:
        if here.cursor is None:
            self._visited.clear()  # a new pass may come to the same pages
        else:
            self._visited.add(here.cursor)
        return cursor_from_next_page(listed.next_page, self.base_url) if listed.next_page else None

    def _go_on(
        self, walk: Walk, stored: dict[str, Any] | None, page: int, digest: str, listed: ListPage
    ) -> Iterator[Checkpoint | Request]:
        state = walk.model_dump()
        if state != stored:
            yield Checkpoint(source=CARD.name, previous=stored, state=state, full_since=_listed_since(walk, listed))
        if not walk.complete and (self.max_pages is None or page < self.max_pages):
            is_head = walk.cursor is None
            last_ids = "" if is_head else digest
            yield self._list_request(walk, state, page + 1, last_ids=last_ids, is_head=is_head)

    def list_page_failed(self, failure: Failure) -> Iterator[Request | Rejected]:
        """Errback of list pages: a refused cursor is replaced by a look from the newest down, once."""
        request = request_of(failure)
        walk = Walk.model_validate(request.cb_kwargs["walk"])
        if self._is_cursor_refused(failure, walk):
            self._fell_back = True
            self.logger.warning("Kodik refuses the cursor; looking from the newest down to %s", walk.watermark)
            page = request.cb_kwargs["page"] + 1
            yield self._list_request(walk.fallback(), request.cb_kwargs["stored"], page, is_head=True)
        else:
            yield from self.failed(failure)

    def _is_cursor_refused(self, failure: Failure, walk: Walk) -> bool:
        kind = kind_of(failure) or ""
        can_fall_back = not self._fell_back and walk.cursor is not None and walk.watermark is not None
        return can_fall_back and (kind == "refused" or kind.startswith("status_4"))

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
        yield from items_from_results(results, utc_now())
        if not results and not narrower:
            self.run.missing("id_not_found", f"Kodik has no material of shikimori_id {anime_id}")
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


def _listed_since(walk: Walk, listed: ListPage) -> int | None:
    """The run since which everything was listed; ``None`` while under way, and when the list came up short.

    A list that gives fewer materials than it counts, or none, proves nothing about what is gone.
    """
    is_whole = walk.complete and walk.full and walk.seen >= (listed.total or 1)
    return walk.full_since if is_whole else None


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
