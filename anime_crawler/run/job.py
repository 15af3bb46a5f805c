"""One run of the main job in one process: its spiders, its importer, its catalogue, and how it ends.

    crawl command ─▶ Job ─┬─▶ Crawler (main spider) ──┐
                          ├─▶ Crawler (companions) ───┼─▶ Catalogue (one writer thread)
                          └─▶ Importer ───────────────┘

Components find it as ``crawler.job``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from itertools import groupby
from operator import attrgetter
from traceback import walk_tb
from typing import Any, Literal

from scrapy.crawler import Crawler

from anime_crawler.base_spiders import OUT_OF_QUOTA, SourceSpider, Verdict
from anime_crawler.catalogue import dead_letters, runs
from anime_crawler.catalogue.details import Asker, unfinished, wanted_details
from anime_crawler.catalogue.vanished import Vanished
from anime_crawler.catalogue.wanted import wanted
from anime_crawler.catalogue.writer import Catalogue, CatalogueError
from anime_crawler.config import Config
from anime_crawler.failure import Failure, log_failure
from anime_crawler.frontier.redis.buffered_store import BufferedStore
from anime_crawler.frontier.redis.session import WorkerSession
from anime_crawler.items import Absent, Checkpoint, Item, Rejected, storable, utc_now, without_tokens
from anime_crawler.pipelines.validation import rejected
from anime_crawler.rate_limit.limiter import Limiter
from anime_crawler.run.report import Progress, RunReport

logger = logging.getLogger(__name__)


class Exit(IntEnum):
    """Exit codes; they tell the truth."""

    DONE = 0
    SET_ASIDE = 1
    CONFIGURATION = 2
    UPSTREAM = 3
    BACKEND = 4
    LOCKED = 5
    INTERRUPTED = 130


class Job:
    """State that the parts of one run share. Everything durable is in the catalogue; this dies with the process."""

    def __init__(
        self, config: Config, catalogue: Catalogue, limiter: Limiter, run_id: int, run_key: str, is_new: bool
    ) -> None:
        self.config = config
        self.catalogue = catalogue
        self.limiter = limiter
        self.run_id = run_id
        self.run_key = run_key
        self.is_new = is_new
        self.report = RunReport()
        self.full_listing = False
        self.stopping = False
        self.failed = False
        self.upstream_failed = False
        self.is_short = False
        """Whether something that was asked for by name was not had, though its upstream answered."""
        self.fatal_code: int | None = None
        self.crawlers: list[Crawler] = []
        self._stops: list[asyncio.Future[None]] = []
        self.running: set[str] = set()
        self.is_misdirected = False
        """Whether BACKEND_BASE_URL is no backend for what the catalogue holds."""
        self.session: WorkerSession | None = None
        """This process among others that share the crawl (REDIS_URL); ``None``: it is alone."""
        self.has_vanished = False
        """Whether the upstreams seem to have stopped telling something that they told."""
        self._is_lacking = False
        """Whether a record or a request was set aside, or something was lost that no dead letter names."""
        self._refused_checkpoints: Counter[str] = Counter()

    def lease_valid(self) -> bool:
        """Whether what this process is at is still its own, as far as it knows without asking."""
        return self.session is None or self.session.lease_valid()

    async def may_store(self) -> bool:
        """Whether what is in flight is still this process's; see `WorkerSession.may_store`."""
        return self.session is None or await self.session.may_store()

    async def worker_is_ready(self) -> bool:
        """See `WorkerSession.ready`."""
        return self.session is None or await self.session.ready()

    def refuse_request(self, spider: str, where: str) -> None:
        """Report something in the frontier that stands where a request should be and is none."""
        self._is_lacking = True
        message = f"something in Redis is no request; it was not used, and is kept in {where}"
        self.report.problem(spider, "refused_request", message)
        logger.error("%s: %s", spider, message)

    def not_believed(self, source: str, kind: str, count: int) -> None:
        """Say that a list lacked so many records that none of them was marked gone."""
        message = (
            f"{count} {kind} records that are stored were missing from what it lists: too many at once to be believed, "
            "so none was marked gone. If they are gone, the next full walk finds the same and marks them"
        )
        self.report.problem(source, "list_shrunk", message)
        self.is_short = True
        logger.error("%s: %s", source, message)

    def tell_vanished(self, found: Iterable[Vanished]) -> None:
        """Say of each source which fields have vanished, and count them as drift."""
        for source, fields in groupby(found, attrgetter("source")):
            self.has_vanished = True
            names = []
            for one in fields:
                what = one.field.removesuffix(".own") + " (a value of its own)" * one.field.endswith(".own")
                names.append(f"{what} of {one.records} {one.kind} records")
                self.report.count(f"drift {source}", f"vanished {one.kind}.{one.field}", one.records)
            message = (
                f"came without {', '.join(names)}: its pages or answers seem to have changed. What is stored of these "
                "fields stays; look at a record at the source, and update the crawler when the source has it still"
            )
            self.report.problem(source, "vanished", message)
            logger.error("%s: %s", source, message)

    def incomplete(self, service: str, message: str) -> None:
        """Something of the run is not done: it ends incomplete (exit code 3) and can be resumed."""
        self.upstream_failed = True
        self.report.problem(service, "unfinished", message)
        logger.warning("%s: %s", service, message)

    def unfinished(self, spider: str, count: int) -> None:
        """The spider has ended with so many requests that are not done."""
        if not self.upstream_failed:  # else it has been said what is missing
            self.incomplete(spider, f"{count} requests are not done; the same command continues")

    def noticed_errors(self, count: int) -> None:
        """Errors were logged that nobody answered for: the run may lack something, and does not end as done."""
        self._is_lacking = True
        if not self.report.problems:  # else they are what it says
            self.report.problem(
                "run", "bug", f"{count} errors were logged, so that something may be missing; see the log"
            )

    async def set_aside(self, item: Any, spider: SourceSpider, error: Exception) -> bool:
        """Keep an item that a pipeline failed on, as a dead letter that can be replayed; the run's exit code is 1.

        Returns:
            False: it is none of the data, or could not be kept, so that its request must stay pending.
        """
        what, reason = type(item).__name__.lower(), failure_of_pipeline(error)
        self.report.count(what, "failed")
        self.report.problem(spider.card.name, "item_error", f"{what}: {reason}")
        if self.failed or isinstance(item, Checkpoint | Absent):
            return False
        letter = item if isinstance(item, Rejected) else _letter(item, spider, reason)
        log_failure(logger, Failure(service=spider.card.name, kind=f"{what}_set_aside", reason=reason))
        try:
            await self.catalogue.write(lambda conn: dead_letters.put_rejected(conn, self.run_id, [storable(letter)]))
        except CatalogueError as failure:
            self.fail_catalogue(failure)
            return False
        except Exception as failure:  # a fault of ours: without its dead letter the item would be lost
            logger.exception("a dead letter could not be stored")
            self.fail_catalogue(CatalogueError(f"a dead letter could not be stored: {failure!r}"))
            return False
        self._is_lacking = True
        return True

    def attach(self, spider: SourceSpider) -> None:
        """Give the spider its run and its upstream's address."""
        spider.run = SpiderRun(self, spider)
        if spider.card.base_url_setting:
            spider.base_url = self.config.value(spider.card.base_url_setting)
        spider.own = {setting.name: self.config.value(setting.name) for setting in spider.card.settings}

    def fatal(self, message: str, exit_code: int) -> None:
        """Stop the whole run: it cannot go on in this process, and a person must act."""
        if self.fatal_code is None:
            self.fatal_code = exit_code
            self.report.problem("run", "fatal", message)
            logger.error(message)
            self.stop()

    def note_checkpoints(self, source: str, refused: int) -> None:
        """The catalogue has stored checkpoints of the source, or refused so many since it stored the last one.

        A page that is read again after a crash has its checkpoint refused, and the next page's is stored. A walk whose
        checkpoints are refused up to its end does not get on, and nothing that it no longer finds is marked gone.
        """
        self._refused_checkpoints[source] = self._refused_checkpoints[source] + refused if refused else 0

    def end_walk(self, source: str) -> None:
        """The source's spider has ended: the run is incomplete where its last checkpoints were refused."""
        if count := self._refused_checkpoints.pop(source, 0):
            self.upstream_failed = True
            message = (
                f"the progress of {count} pages was refused: another process has moved the walk in the catalogue "
                "meanwhile. The records are stored; run the same command again to complete the walk"
            )
            self.report.problem(source, "checkpoint_refused", message)
            logger.error("%s: %s", source, message)

    def fail_catalogue(self, error: CatalogueError) -> None:
        """Stop the run, because the catalogue can store nothing any more."""
        self.failed = True
        self.fatal(str(error), error.exit_code)

    def stop(self) -> None:
        """Ask everything to stop soon; what is not done stays pending."""
        self.stopping = True
        self._stops = [asyncio.ensure_future(stop_crawler(crawler)) for crawler in self.crawlers]

    @property
    def is_complete(self) -> bool:
        """Whether the upstreams gave everything that this run asked for."""
        return self.fatal_code is None and not self.stopping and not self.upstream_failed

    def exit_code(self, dead_letters: int, backend_pending: bool) -> int:
        """The one code that says most of how the run ended."""
        if self.fatal_code is not None:
            return self.fatal_code
        if self.stopping:
            return Exit.INTERRUPTED
        if self.is_misdirected:
            return Exit.CONFIGURATION
        if self.upstream_failed:
            return Exit.UPSTREAM
        if backend_pending:
            return Exit.BACKEND
        is_short = dead_letters or self._is_lacking or self.is_short or self.has_vanished
        return Exit.SET_ASIDE if is_short else Exit.DONE


def failure_of_pipeline(error: Exception) -> str:
    """Which pipeline raised what, for a person; without it, what was raised."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code.co_name == "process_item"]
    name = type(frames[-1].f_locals.get("self")).__name__ if frames else "a pipeline"
    return without_tokens(f"{name} raised {type(error).__name__}: {str(error)[:500]}")


def _letter(item: Any, spider: SourceSpider, reason: str) -> Rejected:
    if isinstance(item, Item):
        return rejected(item, reason)
    return Rejected(
        stage="validate",
        source=spider.card.name,
        kind=type(item).__name__.lower(),
        source_id=None,
        reason=reason,
        raw=without_tokens(repr(item)),
        fetched_at=utc_now(),
    )


async def stop_crawler(crawler: Crawler) -> None:
    """Stop it once it runs: Scrapy forgets a stop that comes earlier, and the crawl would then never end."""
    while crawler.crawling and not _is_running(crawler):  # noqa: ASYNC110  nothing tells that it runs
        await asyncio.sleep(0.05)
    await crawler.stop_async()


def _is_running(crawler: Crawler) -> bool:
    try:
        return bool(crawler.engine.running)
    except RuntimeError:  # it has no engine yet
        return False


class SpiderRun:
    """A `SpiderRun` is what one spider sees of the job: the `Run` protocol of the base spider."""

    def __init__(self, job: Job, spider: SourceSpider) -> None:
        self._job = job
        self._spider = spider
        self.id = job.run_id
        self.is_new = job.is_new

    @property
    def full_listing(self) -> bool:
        return self._job.full_listing

    @full_listing.setter
    def full_listing(self, value: bool) -> None:
        self._job.full_listing = value

    async def checkpoint(self) -> dict[str, Any] | None:
        return await self._job.catalogue.read(lambda conn: runs.load_checkpoint(conn, self._spider.card.name))

    async def wanted(self, limit: int, exclude: frozenset[str]) -> list[str]:
        if self._id_leases is None:
            return await self._wanted(limit, exclude)
        taken = self._id_leases.ids_leased_elsewhere() if await self._job.worker_is_ready() else None
        if taken is None:
            return []
        leased = self._id_leases.lease_ids(await self._wanted(limit, exclude.union(taken)))
        if len(leased) < limit and self.more_may_come():  # a later batch will be full: fewer requests
            self._id_leases.release_ids(leased)
            return []
        return leased

    async def _wanted(self, limit: int, exclude: frozenset[str]) -> list[str]:
        card, now, read = self._spider.card, datetime.now(UTC), self._job.catalogue.read
        if card.name == self._spider.settings["IDENTITY_SOURCE"]:
            return await read(lambda conn: wanted(conn, self.id, now, limit, exclude))
        ages = timedelta(days=card.ongoing_age_days), timedelta(days=card.other_age_days)
        asker = Asker(card.name, card.known_as or card.name, *ages)
        return await read(lambda conn: wanted_details(conn, asker, self.id, now, limit, exclude))

    async def unfinished(self) -> list[str]:
        return await self._job.catalogue.read(lambda conn: unfinished(conn, self._spider.card.name))

    def more_may_come(self) -> bool:
        if self._job.stopping:
            return False
        if self._job.running - {self._spider.name}:
            return True
        # What other workers ask for is theirs until it is stored, and ours again should they die.
        return self._id_leases is not None and self._id_leases.ids_leased_elsewhere() != []

    @property
    def _id_leases(self) -> BufferedStore | None:
        """The store in which companions of several workers lease anime ids; ``None`` for the main spider."""
        session = self._job.session
        if session is None or session.membership.spider == self._spider.name:
            return None
        store: BufferedStore = self._spider.crawler.engine.scheduler.queue.store  # type: ignore[union-attr]
        return store

    def progress(self, done: int, total: int | None) -> None:
        self._job.report.progress[self._spider.card.name] = Progress(done, total)

    def drift(self, path: str, change: Literal["unknown", "vanished"], count: int) -> None:
        source = self._spider.card.name
        self._job.report.count(f"drift {source}", f"{change} {path}", count)

    def fail(self, verdict: Verdict) -> None:
        name = self._spider.card.name
        is_overtaken = verdict.kind == "stopped"
        if not is_overtaken or self._job.stopping:  # else the spider ends for a reason that it has told
            self._job.report.problem(name, verdict.kind, verdict.message, verdict.setting)
        if is_overtaken:
            return
        self._job.upstream_failed = True
        if self._job.session:
            self._job.session.report_incomplete()
        logger.error("%s: %s", name, describe(verdict))

    def missing(self, kind: str, message: str) -> None:
        name = self._spider.card.name
        self._job.report.problem(name, kind, message)
        self._job.is_short = True
        logger.warning("%s: %s", name, message)

    def enough(self, message: str) -> None:
        name = self._spider.card.name
        self._job.report.problem(name, OUT_OF_QUOTA, message)
        logger.info("%s: %s", name, message)


def describe(verdict: Verdict) -> str:
    """One sentence for a person, naming the setting that mends it."""
    hint = f". Set {verdict.setting}" if verdict.setting else ""
    return f"{verdict.kind}: {verdict.message.rstrip('.')}{hint}."


def drift_counts(report: RunReport) -> Sequence[tuple[str, str, str, int]]:
    """(source, path, change, count) of everything the run's schemas did not know or missed."""
    found = []
    for group, names in report.counters.items():
        if group.startswith("drift "):
            for name, count in names.items():
                change, path = name.split(" ", 1)
                found.append((group.removeprefix("drift "), path, change, count))
    return found
