"""``scrapy crawl``: one spider, its companions and the importer; resumable, with exit codes that tell the truth."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from scrapy.commands.crawl import Command as ScrapyCrawl
from scrapy.crawler import Crawler
from scrapy.exceptions import UsageError

from anime_crawler.backend.importer import DeliveryResult, Importer
from anime_crawler.backend.outcomes import DeliveryStoppedError, MisdirectedError
from anime_crawler.base_spiders import ArgumentError, SourceSpider
from anime_crawler.catalogue import dead_letters, runs
from anime_crawler.catalogue.drift import add_drift
from anime_crawler.catalogue.lock import Lock, LockHeld
from anime_crawler.catalogue.origin import OriginError, origin_of, say_mixed
from anime_crawler.catalogue.vanished import vanished_in
from anime_crawler.catalogue.writer import Catalogue, CatalogueError
from anime_crawler.commands import complain, config_from
from anime_crawler.config import Config, ConfigError
from anime_crawler.download import secrets
from anime_crawler.download.browser.chromium import browser_settings
from anime_crawler.extensions.feed import end_if_feed_failed
from anime_crawler.extensions.logged_errors import LoggedErrors
from anime_crawler.frontier.store import FrontierError
from anime_crawler.pipelines.passage import Signals
from anime_crawler.rate_limit.limiter import LIMITER_FILE, LimiterError, open_limiter
from anime_crawler.rate_limit.limits import address_of
from anime_crawler.run.heartbeat import Heartbeat
from anime_crawler.run.job import Exit, Job, drift_counts
from anime_crawler.run.progress import ProgressDisplay
from anime_crawler.run.shared_run import group_of, leave, membership_of, turn_to_deliver, use_redis, working
from anime_crawler.run.summary import print_summary, write_report

logger = logging.getLogger(__name__)


class Command(ScrapyCrawl):
    """Scrapy's command, with the run around it."""

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name one spider: scrapy crawl kodik")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the run watches for signals itself
        try:
            self.exitcode = self._run_spider(args[0], opts.spargs)
        except KeyboardInterrupt:
            self.exitcode = Exit.INTERRUPTED
        except (LimiterError, CatalogueError, FrontierError) as error:
            self.exitcode = complain(error, error.exit_code)
        except (ConfigError, ArgumentError) as error:
            self.exitcode = complain(error, Exit.CONFIGURATION)
        except LockHeld as error:
            self.exitcode = complain(error, Exit.LOCKED)

    def _run_spider(self, name: str, arguments: dict[str, str]) -> int:
        assert self.crawler_process is not None and self.settings is not None
        arguments.pop("_job", None)  # scrapyd's number for this process; a run goes on under the next one
        config = config_from(self.settings)
        names = [name, *self.settings.getdict("COMPANIONS").get(name, [])]
        spiders = [self._load(n) for n in names]
        for spider in spiders:
            require_secrets(spider, config)
        main_spider = spiders[0](**arguments)  # a wrong argument stops here, before anything is opened
        browser = browser_settings(config, main_spider.card, self.settings) if main_spider.is_rendered else {}
        secrets.install(config)
        quiet_libraries(self.settings["LOG_LEVEL"])
        # Neither modules nor pages hold garbage: a page is parsed into some 30,000 objects without cycles. With
        # Python's 700 a walk gets 13,400 players/s, not 17,300 (measured 2026-11-21 on 399 pages, `make bench`).
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        # What a dry run sees is rolled back, so that it has nothing to share.
        group = None if self.settings.getbool("DRY_RUN") else group_of(config, name, arguments)
        locks = [Lock(f"crawl-{name}", group) for name in names]
        if not group:
            locks.append(Lock("deliver"))
        main = MainJob(self, config, spiders, arguments, browser, locks)
        return run_in_reactor(self.crawler_process, main.run)

    def _load(self, name: str) -> type[SourceSpider]:
        assert self.crawler_process is not None
        try:
            spider = self.crawler_process.spider_loader.load(name)
        except KeyError:
            known = ", ".join(sorted(self.crawler_process.spider_loader.list()))
            raise ArgumentError(f"there is no spider {name!r}; there are: {known}") from None
        return cast("type[SourceSpider]", spider)


class MainJob:
    """From opening the catalogue to the exit code."""

    def __init__(
        self,
        command: Command,
        config: Config,
        spiders: Sequence[type[SourceSpider]],
        arguments: dict[str, str],
        browser: dict[str, Any],
        locks: Sequence[Lock],
    ) -> None:
        """Settings of the browser, if any, are for the first spider, as the arguments are."""
        assert command.settings is not None
        self.settings = command.settings
        self.process = command.crawler_process
        self.config = config
        self.spiders = spiders
        self.arguments = arguments
        self.browser = browser
        self.locks = locks
        self.dry_run = command.settings.getbool("DRY_RUN")
        self.is_shared = bool(config.redis_url) and not self.dry_run

    async def run(self) -> int:
        """The exit code, once everything has ended."""
        catalogue = await Catalogue.open(self.config.database_url, dry_run=self.dry_run, locks=self.locks)
        try:
            await self._refuse_a_sandbox_catalogue(catalogue)
            membership = membership_of(self.config, self.settings, self.spiders[0].name) if self.is_shared else None
            job = await self._begin(catalogue, joins=bool(membership and membership.others()))
            catalogue.on_lost = job.fail_catalogue
            with watch_signals(job), Heartbeat(job.report), LoggedErrors() as self.errors:
                async with working(membership, job, self.settings) if membership else nullcontext():
                    return await self._crawl_and_deliver(job)
        finally:
            await catalogue.close()

    async def _refuse_a_sandbox_catalogue(self, catalogue: Catalogue) -> None:
        """Before the first request, where a source is asked at its own address: it is not the sandbox.

        Raises:
            OriginError: the catalogue holds invented titles.
        """
        is_real = any(address_of(self.config, spider.card) == spider.card.base_url for spider in self.spiders)
        if is_real and await catalogue.read(origin_of) == "sandbox":
            raise OriginError(await catalogue.read(lambda conn: say_mixed(conn, "real")))

    async def _begin(self, catalogue: Catalogue, joins: bool) -> Job:
        name, mode = self.spiders[0].name, self.arguments.get("mode", "")
        run_id, is_new = await catalogue.write(
            lambda conn: runs.begin_run(conn, name, self.arguments, mode, joins=joins)
        )
        run_key = await catalogue.read(lambda conn: runs.run_key(conn, run_id))
        return Job(self.config, catalogue, open_limiter(self.config, LIMITER_FILE), run_id, run_key, is_new)

    async def _crawl_and_deliver(self, job: Job) -> int:
        with ProgressDisplay(job, self.spiders):
            delivery = asyncio.ensure_future(self._deliver(job))
            try:
                await self._crawl(job)
            except BaseException:
                delivery.cancel()
                raise
            result, is_broken = await self._end_of(delivery, job)
        return await self._finish(job, result, is_broken)

    async def _end_of(self, delivery: asyncio.Future[DeliveryResult | None], job: Job) -> tuple[Any, bool]:
        """The delivery's result, and whether it broke off by a fault of ours: what it had not sent stays pending."""
        try:
            return await delivery, False
        except CatalogueError:
            raise
        except MisdirectedError as error:
            job.is_misdirected = True
            job.report.problem("backend", "misdirected", error.reason, error.setting)
            return None, True
        except LimiterError as error:
            job.fatal(str(error), error.exit_code)
            return None, True
        except Exception as error:
            logger.exception("the delivery broke off")
            job.report.problem("backend", "bug", f"the delivery broke off: {error!r}; see the log")
            return None, True

    async def _crawl(self, job: Job) -> None:
        """Run the spider and its companions side by side; each one's end is known to the others."""
        crawlers = [self._crawler(job, spider) for spider in self.spiders]
        job.crawlers = crawlers
        job.running = {spider.name for spider in self.spiders}
        await asyncio.gather(*(self._crawl_one(job, crawler) for crawler in crawlers))

    async def _crawl_one(self, job: Job, crawler: Crawler) -> None:
        name = crawler.spidercls.name
        arguments = self.arguments if name == self.spiders[0].name else {}
        began = time.monotonic()
        try:
            if job.stopping:  # it would not hear of that any more
                return
            await crawler.crawl_async(**arguments)
            job.end_walk(cast("type[SourceSpider]", crawler.spidercls).card.name)
            end_if_feed_failed(crawler)
            if crawler.stats.get_value("spider_exceptions/count") or crawler.stats.get_value("log_count/CRITICAL"):
                job.report.problem(name, "bug", "the spider raised an exception; see the log")
                job.upstream_failed = True
        finally:
            job.running.discard(name)
            job.report.walk_s[name] = round(time.monotonic() - began, 3)

    def _crawler(self, job: Job, spider: type[SourceSpider]) -> Crawler:
        settings = self.settings.copy()
        settings.set("DOWNLOAD_TIMEOUT", self.config.http_timeout_seconds, priority="cmdline")
        if self.dry_run:
            settings.set("JOBDIR", None, priority="cmdline")  # what is rolled back must not count as done there
        if spider is self.spiders[0]:
            settings.setdict(self.browser, priority="cmdline")
        else:
            settings.set("FEEDS", {}, priority="cmdline")  # two crawlers would overwrite each other's file
            if jobdir := settings.get("JOBDIR"):
                settings.set("JOBDIR", str(Path(jobdir) / spider.name), priority="cmdline")
        if self.is_shared:
            use_redis(settings, self.config)
        crawler = Crawler(spider, settings)
        crawler.signals = Signals(crawler)
        crawler.job = job  # type: ignore[attr-defined]
        return crawler

    async def _deliver(self, job: Job) -> DeliveryResult | None:
        if not self.config.backend_base_url or self.dry_run:
            return None
        if not job.session:
            return await self._deliver_all(job)
        async with turn_to_deliver(self.config, job) as is_ours:
            return await self._deliver_all(job) if is_ours else None

    async def _deliver_all(self, job: Job) -> DeliveryResult:
        importer = self._importer(job)
        companions = {spider.name for spider in self.spiders[1:]}
        return await importer.run(
            more_may_come=lambda: bool(job.running),
            ready_only=lambda: bool(companions & job.running),
            stopping=lambda: job.stopping,
        )

    def _importer(self, job: Job) -> Importer:
        priority = self.settings.getlist("SOURCE_PRIORITY")
        return Importer(job.catalogue, self.config, job.run_id, job.report, priority, job.limiter)

    async def _finish(self, job: Job, result: DeliveryResult | None, is_broken: bool) -> int:
        """Write the run's end and its report; print what a person wants to know."""
        worker = {"worker": job.session.membership.me} if job.session else {}
        is_last = leave(job) if job.session else True
        is_over = is_last and job.is_complete
        if job.failed:
            print_summary(job.report, None, None)
            return job.fatal_code or Exit.CONFIGURATION
        if self.dry_run and self.config.backend_base_url:
            is_broken = not await self._print_plan(job) or is_broken
        if is_over:
            await job.catalogue.write(lambda conn: dead_letters.clear_answered(conn, job.run_id))
        job.tell_vanished(await job.catalogue.read(lambda conn: vanished_in(conn, job.run_id)))
        letters = await job.catalogue.read(dead_letters.count_open)
        if self.errors.count:
            job.noticed_errors(self.errors.count)
        code = int(job.exit_code(letters, is_broken or bool(result and (result.pending or result.has_lost))))
        report = {"run": job.run_id, "exit_code": code, "dead_letters": letters, **worker, **job.report.as_dict()}
        await job.catalogue.write(lambda conn: self._record_end(conn, job, code, report, is_last))
        try:
            write_report(report)
        except OSError as error:
            message = f"the run report cannot be written: {error}. Make room if the disk is full; the catalogue has it"
            code = report["exit_code"] = complain(RuntimeError(message), Exit.CONFIGURATION)
        print_summary(job.report, report, result)
        if self.settings["LOG_FILE"]:  # where scrapyd shows it
            logger.info("run report: %s", json.dumps(report, ensure_ascii=False))
        return code

    async def _print_plan(self, job: Job) -> bool:
        """Whether a real run would send something to this backend at all."""
        try:
            plan = await self._importer(job).plan()
        except DeliveryStoppedError as error:
            job.is_misdirected = isinstance(error, MisdirectedError)
            job.report.problem("backend", "misdirected", error.reason, error.setting)
            return False
        print("DRY RUN, nothing was sent or kept. A real run would send:", plan, sep="\n")
        return True

    def _record_end(self, conn: Any, job: Job, code: int, report: dict[str, Any], is_last: bool) -> None:
        add_drift(conn, job.run_id, drift_counts(job.report))
        if is_last:
            runs.finish_run(conn, job.run_id, code, report, finished=job.is_complete)


def quiet_libraries(level: str) -> None:
    """Without ``-L DEBUG``: no lists of loaded components, no dump of stats that the run report has."""
    if level != "DEBUG":
        for name in (
            "alembic",
            "scrapy.addons",
            "scrapy.crawler",
            "scrapy.middleware",
            "scrapy.statscollectors",
            "scrapy-playwright",
        ):
            logging.getLogger(name).setLevel(logging.WARNING)


def require_secrets(spider: type[SourceSpider], config: Config) -> None:
    """Stop before the first request when a credential is missing.

    Raises:
        ConfigError: naming the setting and how to get a value.
    """
    for secret in spider.card.secrets:
        if config.value(secret.setting) is None:
            raise ConfigError(
                f"{secret.setting} is required to crawl {spider.card.title}. {secret.how_to_get}\n"
                f"To try the crawler without one: make crawl"
            )


class watch_signals:  # noqa: N801  a context manager, used like a function
    """First SIGINT or SIGTERM: stop within 10 s. Second: end at once; nothing stored is lost either way."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._received)

    def __exit__(self, *exc: object) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)

    def _received(self) -> None:
        if self.job.stopping:
            os._exit(Exit.INTERRUPTED)
        sys.stderr.write("\nStopping; what is not done stays for the next run. Once more: stop at once.\n")
        self.job.stop()


def run_in_reactor(process: Any, main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a coroutine function on Scrapy's reactor, and give its result or raise its exception."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    tasks: list[asyncio.Task[int]] = []

    def begin() -> None:
        task = asyncio.get_running_loop().create_task(main())
        task.add_done_callback(lambda _: reactor.callLater(0, reactor.stop))
        tasks.append(task)

    reactor.callLater(0, begin)  # not callWhenRunning: the event loop does not run yet then
    process.start(stop_after_crawl=False, install_signal_handlers=False)
    return tasks[0].result()
