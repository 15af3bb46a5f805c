"""Takes AniDB's titles once a day, and the details of few anime: those named, or those most wanted."""

from __future__ import annotations

import uuid
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from gzip import compress
from itertools import islice
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    ACCEPT,
    NUMBER,
    OUT_OF_QUOTA,
    Action,
    ArgumentError,
    GivenUp,
    ResponseError,
    SourceSpider,
    Verdict,
    at_most_one,
    chosen,
    is_on,
    kind_of,
    moved,
    parts_of,
    read_once,
    request_of,
    set_aside,
    titles_of,
)
from anime_crawler.items import (
    Absent,
    Anime,
    Character,
    Checkpoint,
    Episode,
    Item,
    Listed,
    Rejected,
    listing,
    members_of,
    utc_now,
)
from anime_crawler.sources.anidb import CARD
from anime_crawler.sources.anidb.parse import items_from_anime, items_from_dump
from anime_crawler.sources.anidb.schema import (
    ANIME,
    DUMP,
    GZIP,
    ONCE_IN,
    Kept,
    WebPageError,
    bears,
    drift,
    dump_records,
    fingerprint,
    root_from_body,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

DUMP_PATH = "/api/anime-titles.xml.gz"
PAUSE_S = 900.0  # after an overload, or a block in front of AniDB; a lower bound
MOST_WANTED = 50_000
"""All that the catalogue wants: three times as many anime as AniDB has."""
FEW, MOST_VANISHED = 20, 0.1
"""How many, or which part, of the known anime a dump may lack: AniDB deletes a few a week."""

Yielded = Item | Rejected | Checkpoint | Request


class AnidbSpider(SourceSpider):
    """``scrapy crawl anidb``: all titles at first, then those that changed; details as the quota allows."""

    name = "anidb"
    card = CARD
    arguments = {
        "mode": "full (all titles of the dump) or incremental (those that changed; default after the first time)",
        "ids": "only the details of these anime: 1,4196",
        "titles": "only the details of the anime with one of these titles: One Piece;Naruto",
        "episodes": "1: the episodes too, of anime whose details are had",
        "characters": "1: the characters too, of anime whose details are had",
    }
    oldest_in_walks_s = ONCE_IN.total_seconds()  # who lost the checkpoint must not ask again before
    custom_settings = {"CONCURRENT_REQUESTS": 1, "CONCURRENT_REQUESTS_PER_DOMAIN": 1}

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        super().__init__(name, **kwargs)
        at_most_one(self.args, "mode", "ids", "titles")
        self.mode = chosen(self.args, "mode", "full", "incremental")
        self.ids = parts_of(self.args, "ids", NUMBER, "1,4196")
        self.titles = titles_of(self.args)
        extras = {"episodes": Episode, "characters": Character}
        wanted = [kind for argument, kind in extras.items() if is_on(self.args, argument)]
        self._kinds: tuple[type[Any], ...] = (Anime, Rejected, *wanted)
        self._stored: dict[str, Any] | None = None
        """The checkpoint as the catalogue holds it."""
        self._me = uuid.uuid4().hex
        """Tells this worker's requests from those of others."""
        self._wishes: Iterator[str] = iter(())
        """Ids whose details the catalogue wants, most wanted first. Not kept over the process: it can be asked."""

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        if (spider.ids or spider.titles) and not spider.client:
            raise ArgumentError(
                "details are given to registered clients only: register one at https://anidb.net/software/add, "
                "then set ANIDB_CLIENT to its name and ANIDB_CLIENTVER to its version, a whole number"
            )
        return spider

    @property
    def client(self) -> str:
        """Name of the registered client; empty: there is none."""
        return str(self.own["ANIDB_CLIENT"] or "")

    async def start(self) -> AsyncIterator[Any]:
        self._stored = await self.run.checkpoint()
        if self.is_resumed:
            return
        kept = self._kept
        if kept.dump is not None:
            at = datetime.fromisoformat(str(kept.dump_at))
            for yielded in self._take_dump(root_from_body(b64decode(kept.dump)), at):
                yield yielded
        due = kept.dump_due(utc_now())
        if not self.ids and due is None:
            yield self._dump_request()
            return
        if due and not self.ids:
            self.logger.info(
                "AniDB gives its titles once a day; the next may be had at %s", due.isoformat(" ", "minutes")
            )
        async for request in self._first_details():
            yield request

    @property
    def _kept(self) -> Kept:
        return Kept.model_validate(self._stored or {})

    @property
    def _is_wish(self) -> bool:
        """Whether the details are those that the catalogue wants; else those that people have named."""
        return not self.ids and not self.titles

    def _keep(self, **changes: Any) -> Checkpoint:
        """The checkpoint with these changes."""
        previous, self._stored = self._stored, self._kept.model_copy(update=changes).model_dump()
        return Checkpoint(source=CARD.name, previous=previous, state=self._stored)

    # The dump of titles.

    def _dump_request(self) -> Request:
        """Not kept over the process: the checkpoint says whether it is still to be made."""
        kept = self._kept
        headers = {"If-Modified-Since": kept.modified} if kept.modified and kept.known else None
        meta = {"derived": True, "handle_httpstatus_list": [304]}
        url = f"{self.base_url}{DUMP_PATH}"
        return Request(url, callback=self.parse_dump, errback=self.failed, headers=headers, meta=meta, dont_filter=True)

    async def parse_dump(self, response: Response) -> AsyncIterator[Yielded]:
        """The day's titles, or the word that they are the same; then what details are wanted."""
        now = utc_now()
        if response.status == 304:
            yield self._keep(dump_at=now.isoformat())
        else:
            root = _root(response)
            if self._is_short(root):
                yield self._keep(dump_at=now.isoformat())
                message = "the dump lacks many anime that it had: it is not whole, and tomorrow's is waited for"
                self.run.fail(Verdict(Action.GIVE_UP, "wrong_shape", message))
                return
            body = response.body if response.body.startswith(GZIP) else compress(response.body, mtime=0)
            modified = (response.headers.get("Last-Modified") or b"").decode("latin-1") or None
            yield self._keep(dump_at=now.isoformat(), modified=modified, dump=b64encode(body).decode())
            for yielded in self._take_dump(root, now):
                yield yielded
        async for request in self._first_details():
            yield request

    def failed(self, failure: Failure) -> Iterator[Rejected]:
        """Errback: where only our own quota stands in the way of what nobody has named, the run is done for today."""
        error = failure.value
        if not isinstance(error, GivenUp) or error.verdict.kind != OUT_OF_QUOTA or not self._is_wish:
            yield from super().failed(failure)
            return
        request = request_of(failure)
        request.meta["unfinished"] = False
        left = sum(1 for _ in self._wishes) + len(request.cb_kwargs.get("aids", ()))
        waiting = f"; the details of {left} anime are still wanted" if left else ""
        self.run.enough(f"{error.verdict.message}{waiting}")

    def _is_short(self, root: Element) -> bool:
        before = self._kept.known.keys()
        gone = before - {entry.get("aid") for entry in root.iterfind("anime")}
        return len(gone) > max(FEW, MOST_VANISHED * len(before))

    def _take_dump(self, root: Element, at: datetime) -> Iterator[Yielded]:
        """Items of a dump, or of what changed in it, and of what is no longer in it; then that they are told."""
        before = self._kept.known
        known = {record["aid"]: fingerprint(record["titles"]) for record in dump_records(root) if record["aid"]}
        is_full = self.mode == "full" or not before
        news = (r for r in dump_records(root) if is_full or before.get(r["aid"]) != known.get(r["aid"], ""))
        self.report_drift(drift(root))
        yield from items_from_dump(news, at)
        yield from (Absent(source=CARD.name, source_id=aid, fetched_at=at) for aid in before if aid not in known)
        self.run.progress(len(known), len(known))
        yield self._keep(dump=None, known=known)

    # Details, one anime at a time.

    async def _first_details(self) -> AsyncIterator[Request]:
        asked = self._kept.asked_since(utc_now())
        if self._is_wish:
            self._wishes = iter(await self._wanted(frozenset(asked)))
            for request in self._next_wish(0):
                yield request
            return
        aids = self.ids or self._found()
        again = [aid for aid in aids if aid in asked]
        if again:
            self.logger.info("not asked again within a day: %s", ",".join(again))
        for request in self._details_request([aid for aid in aids if aid not in asked], 0):
            yield request

    def _found(self) -> list[str]:
        """Ids of the anime that bear one of the titles asked for."""
        known, found = self._kept.known, []
        for title in self.titles:
            hits = [aid for aid, print_ in known.items() if bears(print_, title)]
            if not hits:
                self.title_not_found(title)
            found += hits
        return list(dict.fromkeys(found))

    async def _wanted(self, asked: frozenset[str]) -> list[str]:
        """Ids whose details the catalogue wants, most wanted first; how many can be had today, the limits say."""
        if not self.client:
            self.logger.info("titles only: set ANIDB_CLIENT to have details too")
            return []
        known = self._kept.known
        found = await self.run.wanted(MOST_WANTED, asked)
        return [aid for aid in found if aid in known]  # what the dump lacks costs quota and answers nothing

    def _next_wish(self, done: int) -> Iterator[Request]:
        """The request for the next anime that the catalogue wants, if there is one."""
        aids = list(islice(self._wishes, 1))
        for request in self._details_request(aids, done):
            request.meta["derived"] = True
            yield request

    def _details_request(self, aids: list[str], done: int) -> Iterator[Request]:
        """The request for the first of `aids`, if there is one; the others follow it."""
        if not aids:
            return
        query = {
            "request": "anime",
            "client": self.client,
            "clientver": self.own["ANIDB_CLIENTVER"],
            "protover": 1,
            "aid": aids[0],
        }
        api = CARD.other_urls[0] if self.base_url == CARD.base_url else self.base_url
        yield Request(
            f"{api}/httpapi?{urlencode(query)}",
            callback=self.parse_anime,
            errback=self.anime_failed,
            cb_kwargs={"aids": aids, "done": done, "maker": self._me},
            dont_filter=True,
        )

    async def parse_anime(self, response: Response, aids: list[str], done: int, maker: str) -> AsyncIterator[Yielded]:
        """One anime with what was asked for of it; then the next."""
        root = _root(response)
        self.report_drift(drift(root))
        if root.get("id") == aids[0]:
            items = list(items_from_anime(root, utc_now()))
            for item in items:
                if isinstance(item, self._kinds):
                    yield item
            for listed in _listed(aids[0], items, self._kinds):
                yield listed
        else:
            yield self._unanswered(aids[0], f"id: an answer for {str(root.get('id'))[:20]!r}, which nobody asked for")
        async for yielded in self._go_on(aids, done, maker):
            yield yielded

    async def anime_failed(self, failure: Failure) -> AsyncIterator[Yielded]:
        """Errback: an anime that there is not, or that comes empty, costs only itself; all else ends the run."""
        kwargs, kind = request_of(failure).cb_kwargs, kind_of(failure)
        aids, done, maker = kwargs["aids"], kwargs["done"], kwargs["maker"]
        if kind == "not_found":
            yield Absent(source=CARD.name, source_id=aids[0], fetched_at=utc_now())
        elif kind == "empty_anime":
            yield self._unanswered(aids[0], str(failure.value))
        else:
            for rejected in self.failed(failure):
                yield rejected
            return
        async for yielded in self._go_on(aids, done, maker):
            yield yielded

    def _unanswered(self, aid: str, reason: str) -> Rejected:
        record = {"id": aid}
        return set_aside(CARD.name, "anime", record, reason, utc_now(), source_id=aid, request={"ids": aid})

    async def _go_on(self, aids: list[str], done: int, maker: str) -> AsyncIterator[Checkpoint | Request]:
        now = utc_now()
        if maker != self._me:  # another worker had the anime before this one
            self._stored = await self.run.checkpoint()
        self.run.progress(done + 1, None if self._is_wish else done + len(aids))
        asked = {**self._kept.asked_since(now), aids[0]: now.isoformat()}
        yield self._keep(asked=asked).model_copy(update={"asked": (aids[0],)})
        for request in self._next_wish(done + 1) if self._is_wish else self._details_request(aids[1:], done + 1):
            yield request

    def judge(self, response: Response) -> Verdict:
        """The root element decides before the status: every error of AniDB's is a 200. None is asked again at once."""
        if response.status == 304:
            return ACCEPT
        try:
            root = _root(response)
        except ResponseError as error:
            return _judge_unreadable(response, error)
        if root.tag == "error":
            return _judge_error(root.get("code") or "", (root.text or "").strip())
        return _judge_root(root) if response.status == 200 else _judge_status(response)


def _root(response: Response) -> Element:
    return read_once(response, root_from_body)


def _judge_error(code: str, text: str) -> Verdict:
    words = text.casefold()
    if "banned" in words:
        return _blocked("AniDB has banned this address")
    if code == "302" or "client version" in words:
        message = f"AniDB does not know this client or its version ({text[:100]}); the version is a whole number"
        return Verdict(Action.GIVE_UP, "client_refused", message, "ANIDB_CLIENT")
    if code == "330" or "anime not found" in words:
        return Verdict(Action.GIVE_UP, "not_found", "AniDB has no such anime")
    if code == "998" or "aid missing" in words:
        return Verdict(Action.GIVE_UP, "bad_request", f"AniDB takes the request for wrong: {text[:200]}")
    return Verdict(Action.GIVE_UP, "refused", f"AniDB says: {text[:200]}")


def _blocked(what: str) -> Verdict:
    until = utc_now() + timedelta(seconds=CARD.block_rest_s)
    message = f"{what}; each request makes it longer, so nothing is asked before {until:%Y-%m-%d %H:%M} UTC"
    return Verdict(Action.GIVE_UP, "blocked", message, rest_s=CARD.block_rest_s)


def _judge_root(root: Element) -> Verdict:
    if root.tag == ANIME:
        empty = Verdict(Action.GIVE_UP, "empty_anime", "AniDB sends an anime with nothing in it; try it another day")
        return ACCEPT if len(root) else empty
    if root.tag == DUMP and len(root):
        return ACCEPT
    return _wrong_shape(f"<{root.tag[:40]}> with {len(root)} children is no answer of AniDB's")


def _judge_unreadable(response: Response, error: ResponseError) -> Verdict:
    if isinstance(error, WebPageError) and response.status in (200, 403):
        return _blocked("AniDB sends a web page, its robot check or a block")
    if response.status != 200:
        return _judge_status(response)
    is_probe = urlsplit(response.url).path.endswith(CARD.probe.path) and response.body
    return ACCEPT if is_probe else _wrong_shape(str(error))


def _listed(aid: str, items: Sequence[Item | Rejected], kinds: Collection[type[Any]]) -> Iterator[Listed]:
    """Which episodes and characters, as far as asked for, the answer for an anime lists: it has all of them."""
    if Episode in kinds:
        yield from listing("episode", aid, members_of(i for i in items if isinstance(i, Episode | Rejected)), CARD.name)
    if Character in kinds:
        cast = (item for item in items if isinstance(item, Character | Rejected))
        yield from listing("character", aid, members_of(cast), CARD.name)


def _wrong_shape(message: str) -> Verdict:
    """Not tried again at once: the same anime twice in a day, or a second dump, is a reason for a ban."""
    return Verdict(Action.GIVE_UP, "wrong_shape", message, is_upstream_trouble=True)


def _judge_status(response: Response) -> Verdict:
    status = response.status
    if status == 403:
        return _blocked("AniDB refuses this address or its user agent (status 403)")
    if status == 429 or status >= 500:
        message = f"status {status}: AniDB wants a pause of a quarter of an hour at least"
        return Verdict(Action.GIVE_UP, "overloaded", message, is_upstream_trouble=True, rest_s=PAUSE_S)
    if 300 <= status < 400:
        return moved(response, CARD)
    return Verdict(Action.GIVE_UP, f"status_{status}", f"status {status}: this is not AniDB", CARD.base_url_setting)
