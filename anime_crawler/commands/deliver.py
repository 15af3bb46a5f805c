"""``scrapy deliver``: send what is stored and not yet delivered."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop
from scrapy.commands import ScrapyCommand
from scrapy.settings import BaseSettings
from scrapy.utils.log import configure_logging

from anime_crawler.backend.importer import DeliveryResult, Importer
from anime_crawler.backend.outcomes import DeliveryStoppedError, MisdirectedError
from anime_crawler.catalogue import backends, dead_letters, runs
from anime_crawler.catalogue.lock import LockHeld, delivery_lock
from anime_crawler.catalogue.titles import raise_all_versions
from anime_crawler.catalogue.writer import Catalogue, CatalogueError
from anime_crawler.commands import complain, config_from, refuse_words
from anime_crawler.config import Config, ConfigError
from anime_crawler.download import secrets
from anime_crawler.rate_limit.limiter import LIMITER_FILE, LimiterError, open_limiter
from anime_crawler.run.heartbeat import Heartbeat
from anime_crawler.run.job import Exit
from anime_crawler.run.report import RunReport
from anime_crawler.run.summary import print_summary, write_report


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Send what is stored and not yet delivered (after the backend was down, after a fix)"

    def syntax(self) -> str:
        return "[--recheck | --refill]"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        again = parser.add_mutually_exclusive_group()
        again.add_argument(
            "--recheck",
            action="store_true",
            help="look at every title again, and at what was refused, after a setting of titles or translations has "
            "changed",
        )
        again.add_argument(
            "--refill",
            action="store_true",
            help="send everything again, to a backend that was emptied or replaced by another at its address",
        )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        refuse_words(args)
        assert self.settings is not None
        try:
            config = config_from(self.settings)
            if not config.backend_base_url:
                raise ConfigError(
                    "BACKEND_BASE_URL is required to deliver; example: BACKEND_BASE_URL=http://localhost:8000"
                )
            secrets.install(config)
            configure_logging(self.settings)
            self.exitcode = uvloop.run(deliver(config, self.settings, recheck=opts.recheck, refill=opts.refill))
        except (LimiterError, CatalogueError) as error:
            self.exitcode = complain(error, error.exit_code)
        except ConfigError as error:
            self.exitcode = complain(error, Exit.CONFIGURATION)
        except LockHeld as error:
            self.exitcode = complain(error, Exit.LOCKED)


async def deliver(config: Config, settings: BaseSettings, *, recheck: bool = False, refill: bool = False) -> int:
    """Exit code of one delivery of everything pending; with `recheck`, of every title compared again; with `refill`, of
    everything, as to an empty backend."""
    dry_run = settings.getbool("DRY_RUN")
    address = backends.address_of(config.backend_base_url or "")
    lock = delivery_lock(config.database_url, address)
    catalogue = await Catalogue.open(config.database_url, dry_run=dry_run, locks=[lock])
    try:
        report = RunReport()
        run_id = await catalogue.write(runs.begin_delivery)
        if recheck:
            await catalogue.write(backends.try_refused_again)
            await catalogue.write(raise_all_versions)
        if refill:
            await catalogue.write(lambda conn: backends.use_backend(conn, address))
            await catalogue.write(backends.refill)
        limiter = open_limiter(config, LIMITER_FILE)
        importer = Importer(catalogue, config, run_id, report, settings.getlist("SOURCE_PRIORITY"), limiter)
        if dry_run:
            try:
                plan = await importer.plan()
            except DeliveryStoppedError as error:
                return complain(error, Exit.CONFIGURATION if isinstance(error, MisdirectedError) else Exit.BACKEND)
            print("DRY RUN, nothing was sent. A real run would send:", plan, sep="\n")
            return Exit.DONE
        stop = asyncio.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        catalogue.on_lost = lambda _: stop.set()
        try:
            with Heartbeat(report):
                result = await importer.run(lambda: False, lambda: False, stop.is_set)
        except MisdirectedError as error:
            code = int(Exit.CONFIGURATION)
            summary = {"run": run_id, "exit_code": code, **report.as_dict()}
            await catalogue.write(lambda conn: runs.finish_run(conn, run_id, code, summary, finished=True))
            return complain(error, code)
        letters = await catalogue.read(dead_letters.count_open)
        code = exit_code(result, stop.is_set(), letters)
        summary = {"run": run_id, "exit_code": code, "dead_letters": letters, **report.as_dict()}
        await catalogue.write(lambda conn: runs.finish_run(conn, run_id, code, summary, finished=True))
        write_report(summary)
        print_summary(report, summary, result)
        return code
    finally:
        await catalogue.close()


def exit_code(result: DeliveryResult, interrupted: bool, dead_letters: int) -> int:
    """The exit code of the delivery."""
    if interrupted:
        return int(Exit.INTERRUPTED)
    if result.pending or result.has_lost:
        return int(Exit.BACKEND)
    return int(Exit.SET_ASIDE if dead_letters else Exit.DONE)
