"""Asks Shikimori for titles in batches: those the catalogue wants, those named, or those that changed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    SKEW_S,
    Action,
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
from anime_crawler.base_spiders.graphql import of_rows
from anime_crawler.items import Absent, Anime, Item, Rejected, utc_now
from anime_crawler.normalize.date import utc_stamp
from anime_crawler.normalize.ids import PREFIXED, normalize_shikimori_id
from anime_crawler.sources.shikimori import CARD
from anime_crawler.sources.shikimori.parse import items_from_animes, rejected
from anime_crawler.sources.shikimori.schema import (
    answer_from_document,
    drift,
    has_titles,
    is_exception,
    messages,
    unresolved,
)

BATCH = 50
"""Shikimori's largest ``limit``."""
AT_ONCE = 2
"""Batches under way: one is being answered while the other is being stored. Its limits are for one at a time."""
POLL_S = 0.2
"""Pause between looks for wanted titles. The question costs the catalogue a millisecond."""
REST_S = 60
"""Pause after a batch that was given up: the longer of Shikimori's two windows."""
LEAN = """
    id malId name russian licenseNameRu english japanese synonyms
    kind rating origin score status episodes episodesAired duration
    airedOn { year month day } releasedOn { year month day }
    season url franchise nextEpisodeAt updatedAt
    poster { originalUrl main2xUrl mainUrl }
    genres { name russian kind } studios { name }
    description
"""
LINKS = """
    externalLinks { kind url }
    related { relationKind anime { id name } manga { id name } }
"""
FIELDS = {"full": LEAN + LINKS, "lean": LEAN, "bare": "id updatedAt"}
"""A query's fields. Complexity 70 of 190, depth 4 of 5. Links and relations fail most, because their enums grow."""
BY_IDS = "query Titles($ids: String!) { animes(ids: $ids, limit: 50, order: id, censored: false) {%s} }"
BY_UPDATE = (
    "query Changes($page: PositiveInt!, $limit: PositiveInt!)"
    " { animes(page: $page, limit: $limit, order: updated_at_desc, censored: false) {%s} }"
)
Level = Literal["full", "lean", "bare"]


class Walk(WalkState):
    """How far the changes have been read, from the newest down to the watermark. The checkpoint's state."""

    watermark: str | None = None
    """The last change of a title up to which all are known; ISO 8601 in UTC."""
    top: str | None = None
    """The last change when the walk began."""
    place: Place = Place()
    level: Level = "full"
    """How much is selected of the next page."""

    @property
    def current(self) -> Place:
        """Where it is in the list of changes."""
        return self.place

    @property
    def paging(self) -> Paging:
        """By pages of a size that may be chosen: each begins with the last title of the one before, or earlier."""
        return Paging(BATCH, Proof.OVERLAP)

    def after(self, page: Page) -> Walk:
        """The walk when a page is read."""
        place, top = self.place.after(page, self.paging), self.top or max(updates_of(page.rows), default=None)
        if not place.is_read:
            return self.model_copy(update={"place": place, "top": top, "level": "full"})
        watermark = max(filter(None, (top, self.watermark)), default=None)
        return Walk(watermark=watermark, complete=True)


class ShikimoriSpider(WalkingSpider):
    """``scrapy crawl shikimori``: alone, or beside a spider whose anime it describes."""

    name = "shikimori"
    card = CARD
    arguments = {
        "ids": "only these titles: 1,5,z20",
        "mode": "incremental: everything that changed at Shikimori since the last such run",
    }
    custom_settings = {
        "CONCURRENT_REQUESTS": AT_ONCE,
        "CONCURRENT_REQUESTS_PER_DOMAIN": AT_ONCE,
        "CONCURRENT_ITEMS": BATCH,
    }

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        chosen(self.args, "mode", "incremental")
        at_most_one(self.args, "mode", "ids")
        ids = parts_of(self.args, "ids", PREFIXED.pattern, "1,5,z20")
        self.ids = list(dict.fromkeys(map(normalize_shikimori_id, ids)))
        self._in_flight: set[str] = set()
        self._settled: deque[str] = deque(maxlen=5 * BATCH)
        """Ids answered last: their items may not be stored yet, so that the catalogue still wants them."""
        self._put_off: set[str] = set()
        self._given_up: set[str] = set()
        self._rests_until = 0.0
        self._is_last_try = False
        self._is_down = False
        self._asked = 0

    async def start(self) -> AsyncIterator[Any]:
        if self.is_resumed:
            return
        if self.ids:
            for first in range(0, len(self.ids), BATCH):
                yield self._titles_request(self.ids[first : first + BATCH])
        elif "mode" in self.args:
            for request in await self.first_page():
                yield request
        else:
            async for request in self._companion():
                yield request

    # What the catalogue wants, while somebody may still make it want more.

    async def _companion(self) -> AsyncIterator[Request]:
        while not self._is_down:
            others_run = self.run.more_may_come()  # asked first: what they stored before they ended is seen below
            if len(self._in_flight) > BATCH * (AT_ONCE - 1) or (others_run and time.monotonic() < self._rests_until):
                await asyncio.sleep(POLL_S)
                continue
            if not others_run and not self._in_flight:
                self._begin_last_try()
            ids = await self.run.wanted(BATCH, self._excluded())
            if len(ids) == BATCH or (ids and not others_run):
                self._in_flight.update(ids)
                yield self._titles_request(ids, is_derived=True)
            elif not others_run and not self._in_flight and not self._put_off:
                return
            else:
                await asyncio.sleep(POLL_S)

    def _begin_last_try(self) -> None:
        """Ask once more for the titles that were put off; a second failure is final for this run."""
        if self._put_off:
            self._is_last_try = True
            self._put_off.clear()

    def _excluded(self) -> frozenset[str]:
        return frozenset({*self._in_flight, *self._settled, *self._put_off, *self._given_up})

    def _settle(self, ids: list[str]) -> None:
        self._in_flight.difference_update(ids)
        self._settled.extend(ids)
        self._asked += len(ids)
        self.run.progress(self._asked, None)

    # Titles by id.

    def _titles_request(
        self, ids: list[str], level: str = "full", *, is_split: bool = False, is_derived: bool = False
    ) -> Request:
        """A batch.

        Args:
            level: how much is selected, a key of `FIELDS`.
            is_split: a part of a batch that failed as a whole.
            is_derived: the catalogue will want them again, so that the request need not survive the process.
        """
        return self._graphql(
            BY_IDS % FIELDS[level],
            {"ids": ",".join(ids)},
            callback=self.parse_titles,
            errback=self.titles_failed,
            cb_kwargs={"ids": ids, "level": level, "is_split": is_split},
            meta={"derived": ids} if is_derived else {},
        )

    def _graphql(self, query: str, variables: dict[str, Any], **options: Any) -> Request:
        body = orjson.dumps({"operationName": None, "query": " ".join(query.split()), "variables": variables})
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        url = f"{self.base_url}/api/graphql"
        return Request(url, method="POST", body=body, headers=headers, dont_filter=True, **options)

    def parse_titles(
        self, response: Response, ids: list[str], level: str, is_split: bool
    ) -> Iterator[Anime | Absent | Rejected | Request]:
        """A batch: what it says of each title, and which ones Shikimori does not know."""
        now, document = utc_now(), json_body(response)
        animes = answer_from_document(document).data.animes
        self.report_drift(drift(animes))
        self._report_unresolved(document)
        wrong, told = messages(document), set()
        for item in items_from_animes(animes, now, unresolved(document)):
            if item.source_id in ids and item.source_id not in told:
                told.add(item.source_id)
                self._given_up.update([item.source_id] if isinstance(item, Rejected) else [])
                yield item
            elif item.source_id not in ids:
                wrong.append(f"an answer for {item.source_id}, which nobody asked for")
        missing = [i for i in ids if i not in told]
        if missing and wrong:
            self.logger.warning("Shikimori answers, but also says: %s", "; ".join(wrong[:3]))
            self._settle([*told])
            yield from self._narrow(missing, level, is_split, response.meta)
        else:
            yield from (Absent(source=CARD.name, source_id=i, fetched_at=now) for i in missing)
            self._settle(ids)

    def _report_unresolved(self, document: Any) -> None:
        """Report errors that stand beside titles: these are used, and what is stored of the rest stays."""
        if has_titles(document) and (said := "; ".join(dict.fromkeys(messages(document)[:3]))):
            self.run.missing("partial_answer", f"Shikimori answers, but could not resolve everything: {said}")

    def titles_failed(self, failure: Failure) -> Iterator[Request | Rejected]:
        """Errback of batches."""
        request, kind = request_of(failure), kind_of(failure)
        kwargs = request.cb_kwargs
        if kind == "unresolvable":
            yield from self._narrow(kwargs["ids"], kwargs["level"], kwargs["is_split"], request.meta)
            return
        self._in_flight.difference_update(kwargs["ids"])
        if kind and request.meta.get("derived") and not self._is_last_try:
            self._put_off.update(kwargs["ids"])
            self._rests_until = time.monotonic() + REST_S
            return
        self._given_up.update(kwargs["ids"])
        self._is_down = True
        yield from self.failed(failure)

    def _narrow(self, ids: list[str], level: str, is_split: bool, meta: dict[str, Any]) -> Iterator[Request | Rejected]:
        """Ask again for less, then for halves; a title that fails alone is set aside."""
        is_derived = bool(meta.get("derived"))
        if level == "full" and (not is_split or len(ids) == 1):
            yield self._titles_request(ids, "lean", is_split=is_split, is_derived=is_derived)
        elif len(ids) > 1:
            for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                yield self._titles_request(half, is_split=True, is_derived=is_derived)
        else:
            self._given_up.update(ids)
            self._settle(ids)
            yield rejected(
                {"id": ids[0]}, "Shikimori cannot show it: one of its values is none of its schema", utc_now()
            )

    # What changed at Shikimori.

    def begin(self, stored: dict[str, Any] | None) -> Walk:
        """The walk that is under way, or the next one."""
        walk = self.state_of(stored or {})
        if walk.watermark and not until_now([walk.watermark], utc_now().isoformat()):
            self.logger.warning("the watermark %s is in the future: everything is read again", walk.watermark)
            walk = Walk()
        return walk.model_copy(update={"complete": False})

    def state_of(self, walk: dict[str, Any]) -> Walk:
        """The walk that a request carries."""
        return Walk.model_validate(walk)

    def page_request(self, walk: Walk) -> Request:
        """A page of titles, last changed first."""
        window = walk.place.window(walk.paging)
        return self._graphql(BY_UPDATE % FIELDS[walk.level], {"page": window.page, "limit": window.size})

    def read_page(self, response: Response, walk: Walk) -> Page:
        """A page of titles; it is the last when it is not full, or goes below the watermark.

        Beside errors an empty page proves nothing, and one that is not full may go on.
        """
        document = json_body(response)
        animes, wrong = answer_from_document(document).data.animes, messages(document)
        if wrong and not has_titles(document):
            raise WalkError("empty_list", f"Shikimori lists no titles and says: {'; '.join(wrong[:3])}")
        self._report_unresolved(document)
        ids = [f"{a.get('id')}/{a.get('updatedAt')}" if isinstance(a, dict) else "" for a in animes]
        has_next = bool(wrong) or len(animes) >= walk.place.window(walk.paging).size
        self.tell_future("updatedAt", stamps_of(animes), (utc_now() + timedelta(seconds=SKEW_S)).isoformat())
        floor = walk.watermark or ""
        is_past = min(updates_of(animes), default=floor) < floor
        return Page(animes, ids, has_next, [*map(_key, animes)], is_past=is_past)

    def page_items(self, response: Response, walk: Walk, rows: list[Any]) -> Iterator[Item | Rejected | Request]:
        """The titles of a page; of one that could be had only bare, their batch."""
        if walk.level == "bare":
            ids = [str(a["id"]) for a in rows if isinstance(a, dict) and str(a.get("id", "")).isdigit()]
            yield from [self._titles_request(ids, is_split=True)] if ids else []
        else:
            self.report_drift(drift(rows))
            document = json_body(response)
            animes = answer_from_document(document).data.animes
            yield from items_from_animes(rows, utc_now(), of_rows(unresolved(document), animes, rows))

    def walk_failed(self, failure: Failure) -> Iterator[Any]:
        """Errback of pages: a page with a bad title is asked for with less, at last for its ids alone."""
        kwargs = request_of(failure).cb_kwargs
        walk = self.state_of(kwargs["walk"])
        less = {"full": "lean", "lean": "bare"}.get(walk.level)
        if less and kind_of(failure) == "unresolvable":
            yield self.walk_request(walk.model_copy(update={"level": less}), kwargs["stored"])
        else:
            yield from super().walk_failed(failure)

    def judge(self, response: Response) -> Verdict:
        """GraphQL says 200 for a wrong query and 500 for one bad title; a page of HTML is the guard in front."""
        if response.status == 429:
            return verdict_by_status(response.status)
        if 300 <= response.status < 400:
            return moved(response, CARD)
        try:
            document = json_body(response)
        except ResponseError as error:
            return _judge_no_json(response, error)
        if is_exception(document) and not (response.status == 200 and has_titles(document)):
            return Verdict(Action.GIVE_UP, "unresolvable", "; ".join(messages(document)))
        return _judge_document(document) if response.status == 200 else _judge_status(response.status)


def _judge_document(document: Any) -> Verdict:
    try:
        answer_from_document(document)
    except ResponseError as error:
        wrong = messages(document)
        if wrong:
            return Verdict(Action.GIVE_UP, "query_refused", f"Shikimori refuses the query: {'; '.join(wrong)}")
        return unreadable(error)
    return ACCEPT


def _judge_no_json(response: Response, error: ResponseError) -> Verdict:
    server = (response.headers.get("Server") or b"").lower()
    if response.status in (200, 403) and (b"ddos-guard" in response.body[:5000].lower() or b"ddos-guard" in server):
        message = "DDoS-Guard answers with a page instead of the API; it wants us to wait"
        return Verdict(Action.RETRY, "challenge", message, is_upstream_trouble=True)
    return unreadable(error) if response.status == 200 else _judge_status(response.status)


def _judge_status(status: int) -> Verdict:
    return wrong_address(CARD) if status == 404 else verdict_by_status(status)


def updates_of(animes: list[Any]) -> list[str]:
    """Times of the last change of some titles, those that are not later than now."""
    return until_now(stamps_of(animes), utc_now().isoformat())


def stamps_of(animes: list[Any]) -> list[str]:
    """Times of the last change of some titles, as they are; ISO 8601 in UTC."""
    stamps = (utc_stamp(anime.get("updatedAt")) for anime in animes if isinstance(anime, dict))
    return [stamp for stamp in stamps if stamp]


def _key(anime: Any) -> tuple[int, int] | None:
    """The key that the list of changes is sorted by: the newest first, then by id; ``None``: it cannot be told."""
    stamp = utc_stamp(anime.get("updatedAt")) if isinstance(anime, dict) else None
    own = str(anime.get("id", "")) if isinstance(anime, dict) else ""
    if stamp is None or not own.isdigit():
        return None
    return -int(datetime.fromisoformat(stamp).timestamp()), int(own)
