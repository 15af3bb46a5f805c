"""A real Scrapy crawl in a process of its own, with a small job around it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from scrapy import FormRequest, Request, signals
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import HtmlResponse
from scrapy.settings import Settings

from anime_crawler import settings as project_settings
from anime_crawler.base_spiders import (
    RENDER,
    Action,
    GivenUp,
    Secret,
    SourceCard,
    SourceSpider,
    Verdict,
    set_aside,
)
from anime_crawler.config import Config
from anime_crawler.download import secrets
from anime_crawler.download.browser.chromium import browser_settings
from anime_crawler.items import Anime, Titles, utc_now
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from anime_crawler.run.job import stop_crawler
from anime_crawler.run.report import RunReport
from tests import processes
from tests.download.upstream_server import UpstreamServer
from tests.guard import ROOT, clean_environment

TOKEN = "canary-0123456789abcdef"
FAST = {"backoff_base_seconds": 0.05, "backoff_max_seconds": 1.0, "max_retries": 1}


@dataclass
class Plan:
    """What one crawl does. With `one_by_one` a path is requested when the one before has ended, else all at once."""

    base_url: str
    paths: list[str]
    directory: str
    one_by_one: bool = False
    limits: str = "off"
    secrets: list[str] = field(default_factory=list)
    """Where the token goes: ``form``, ``header``."""
    config: dict[str, Any] = field(default_factory=lambda: dict(FAST))
    scrapy: dict[str, Any] = field(default_factory=dict)
    run_key: str = "1"
    meta: dict[str, Any] = field(default_factory=dict)
    """Meta of each request, beside the spider's own."""
    stop_at_start: bool = False
    log_level: str = "WARNING"
    max_body_bytes: int = 2**20
    obeys_robots: bool = False
    method: str = "POST"
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path -> headers of the request; GET only."""
    cache_ttl_s: int | None = 86_400
    limit_reserve: int = 0
    limit_rest_s: float | None = None
    block_rest_s: float = 3600.0
    arguments: dict[str, str] = field(default_factory=lambda: {"ids": "1"})
    """The spider's; these make it a lookup."""
    oldest_in_walks_s: float = 0
    gives: str = ""
    """What each answer gives: ``items``, or something ``rejected`` beside them, or a page that ends the run and is
    ``unfinished``. Empty: nothing."""
    is_new: bool = True
    """Whether the run is no interrupted one."""
    render: bool = False


class PathSpider(SourceSpider):
    """Requests each path; notes what came of it."""

    name = "paths"
    arguments = {"ids": "a lookup", "mode": "a walk", **RENDER}
    plan: Plan
    outcomes: list[tuple[str, str, int]]

    pages: dict[str, str]
    """Path -> text of the answer that the callback got, for HTML."""
    latencies: list[float]
    """Seconds from each request to its callback, in the order of the answers."""

    async def start(self):
        self.outcomes, self.latencies, self.pages = [], [], {}
        count = 1 if self.plan.one_by_one else len(self.plan.paths)
        for index in range(count):
            yield self.request(index)

    def request(self, index: int) -> Request:
        path = self.plan.paths[index]
        url = self.plan.base_url + path if path.startswith("/") else path
        meta = {"index": index, "path": path, "asked_at": time.monotonic(), **self.plan.meta}
        if self.plan.method == "GET":
            headers = self.plan.headers.get(path)
            return Request(url, headers=headers, meta=meta, dont_filter=True, callback=self.done, errback=self.gave_up)
        return FormRequest(url, formdata={"n": str(index)}, meta=meta, callback=self.done, errback=self.gave_up)

    def judge(self, response):
        if response.body == b"banned":
            return Verdict(Action.GIVE_UP, "banned", "banned for an hour", rest_s=3600)
        if response.body == b"blocked":
            return Verdict(Action.GIVE_UP, "blocked", "we are shut out")
        return super().judge(response)

    def done(self, response):
        if isinstance(response, HtmlResponse):
            self.pages[response.meta["path"]] = response.text
        self.latencies.append(time.monotonic() - response.meta["asked_at"])
        if self.plan.gives:
            yield anime(response)
        if self.plan.gives == "unfinished":
            self.stop(response, "odd_page", "the list ends too soon")
        if self.plan.gives == "rejected":
            yield set_aside("upstream", "anime", {}, "its title is odd", utc_now(), source_id=None)
        yield from self.outcome(response.meta, "ok", response.meta.get("attempt", 1))

    def gave_up(self, failure):
        error = failure.value
        kind = error.verdict.kind if isinstance(error, GivenUp) else repr(error)
        yield from self.outcome(failure.request.meta, kind, getattr(error, "attempts", 0))

    def outcome(self, meta, kind, attempts):
        self.outcomes.append((meta["path"], kind, attempts))
        if self.plan.one_by_one and meta["index"] + 1 < len(self.plan.paths):
            yield self.request(meta["index"] + 1)


def anime(response) -> Anime:
    """An item of any answer."""
    path = urlsplit(response.url).path
    return Anime(source="upstream", source_id=path, fetched_at=utc_now(), titles=Titles(romaji=response.text[:80]))


class FakeJob(SimpleNamespace):
    """As much of a job as politeness and frontier use."""

    def attach(self, spider) -> None:
        spider.base_url = self.base_url
        spider.run = SimpleNamespace(is_new=self.is_new, fail=lambda verdict: None)

    def fatal(self, message: str, exit_code: int) -> None:
        self.report.problem("job", "fatal", message)
        self.exit_code = exit_code
        self.stop()

    def unfinished(self, spider: str, count: int) -> None:
        self.report.problem(spider, "unfinished", str(count))

    def stop(self) -> None:
        self.stopping = True
        self.ending = [asyncio.ensure_future(stop_crawler(crawler)) for crawler in self.crawlers]


def secret(where: Any) -> Secret:
    return Secret("KODIK_API_TOKEN", where, "token", "", prefix="Bearer " if where == "header" else "")


def card_of(plan: Plan) -> SourceCard:
    return SourceCard(
        name="upstream",
        title="Upstream",
        documentation="a test's own",
        base_url=plan.base_url,
        limits=plan.limits,
        limits_origin="a test's own",
        item_kinds=(),
        secrets=tuple(secret(where) for where in plan.secrets),
        max_body_bytes=plan.max_body_bytes,
        obeys_robots=plan.obeys_robots,
        cache_ttl_s=plan.cache_ttl_s,
        limit_reserve=plan.limit_reserve,
        limit_rest_s=plan.limit_rest_s,
        block_rest_s=plan.block_rest_s,
    )


def job_of(plan: Plan) -> FakeJob:
    off = {"ENABLE_HTTP_CACHE": False}
    config = Config.load({"KODIK_API_TOKEN": TOKEN, **off, **{k.upper(): v for k, v in plan.config.items()}})
    return FakeJob(
        config=config,
        report=RunReport(),
        limiter=SqliteLimiter(Path(plan.directory, "politeness.sqlite")),
        run_key=plan.run_key,
        base_url=plan.base_url,
        is_new=plan.is_new,
        stopping=False,
        failed=False,
        exit_code=0,
        crawlers=[],
    )


def settings_of(plan: Plan, config: Config) -> Settings:
    settings = Settings()
    settings.setmodule(project_settings, priority="project")
    no_stages = {"ITEM_PIPELINES": {}, "SPIDER_MODULES": [], "LOG_FILE": str(Path(plan.directory, "log.txt"))}
    few = {"CONCURRENT_ITEMS": 2}  # Scrapy starts that many tasks for each response, however small
    own = {
        **no_stages,
        "HTTP_CACHE_FILE": str(Path(plan.directory, "http_cache.sqlite")),
        **few,
        "LOG_LEVEL": plan.log_level,
        "DOWNLOAD_TIMEOUT": config.http_timeout_seconds,
        **plan.scrapy,
        **(browser_settings(config, card_of(plan), settings) if plan.render else {}),
    }
    settings.setdict(own, priority="cmdline")
    return settings


def main(plan: Plan, spider_class: type[SourceSpider]) -> None:
    """Crawl, then print what came of it as JSON."""
    job = job_of(plan)
    spider_class.card, spider_class.plan = card_of(plan), plan  # type: ignore[attr-defined]
    spider_class.oldest_in_walks_s = plan.oldest_in_walks_s
    process = AsyncCrawlerProcess(settings_of(plan, job.config))
    secrets.install(job.config)
    crawler = process.create_crawler(spider_class)
    crawler.job = job  # type: ignore[attr-defined]
    job.crawlers.append(crawler)
    reasons: list[str] = []
    items: list[tuple[str, str | None, float]] = []

    def ended(reason: str) -> None:
        reasons.append(reason)

    def scraped(item: Any) -> None:
        if isinstance(item, Anime):
            items.append((item.source_id, item.titles.romaji, item.fetched_at.timestamp()))

    crawler.signals.connect(ended, signals.spider_closed)
    crawler.signals.connect(scraped, signals.item_scraped)

    def begin() -> None:
        loop = asyncio.get_event_loop()
        loop.add_signal_handler(signal.SIGTERM, job.stop)
        if plan.stop_at_start:
            loop.call_soon(job.stop)

    from twisted.internet import reactor

    reactor.callWhenRunning(begin)  # type: ignore[attr-defined]
    process.crawl(crawler, **plan.arguments, **({"render": "browser"} if plan.render else {}))
    process.start(install_signal_handlers=False)
    spider = crawler.spider
    result = {
        "outcomes": getattr(spider, "outcomes", []),
        "latencies": getattr(spider, "latencies", []),
        "items": items,
        "pages": getattr(spider, "pages", {}),
        "report": job.report.as_dict(),
        "waiting": job.report.waiting,
        "reason": reasons[-1],
        "exit_code": job.exit_code,
    }
    logging.shutdown()
    print(json.dumps(result))


@dataclass
class Result:
    """What a crawl printed."""

    outcomes: dict[str, tuple[str, int]]
    """Path -> (``ok`` or the kind of the verdict, attempts)."""
    latencies: list[float]
    items: list[tuple[str, str, float]]
    """(id, body of the answer, Unix time of fetching) of what reached the pipelines, in order."""
    pages: dict[str, str]
    report: dict[str, Any]
    reason: str
    exit_code: int
    waiting: dict[str, str]
    output: str

    @property
    def counters(self) -> dict[str, int]:
        return self.report["counters"].get("upstream", {})


def start(plan: Plan, module: str = "tests.download.crawl", **env: str) -> subprocess.Popen[str]:
    """The crawl, running."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = {"cwd": ROOT, "env": clean_environment(env), "warnings": ["error::ResourceWarning"]}
    return processes.start(module, json.dumps(asdict(plan)), **words, **pipes)


def result_of(process: subprocess.Popen[str], timeout: float = 200) -> Result:
    """What came of it, once it has ended."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    result = json.loads(stdout.splitlines()[-1])
    outcomes = {path: (kind, attempts) for path, kind, attempts in result.pop("outcomes")}
    return Result(outcomes=outcomes, output=stdout + stderr, **result)


def crawl(plan: Plan) -> Result:
    """The crawl, from start to end."""
    return result_of(start(plan))


def stopped_crawl(plan: Plan, server: UpstreamServer, arrivals: int) -> Result:
    """The crawl, sent SIGTERM half a second after the server saw so many requests."""
    process = start(plan)
    while len(server.arrivals) < arrivals and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.5)
    process.terminate()
    return result_of(process)


if __name__ == "__main__":
    os.environ.setdefault("SCRAPY_SETTINGS_MODULE", "anime_crawler.settings")
    main(Plan(**json.loads(sys.argv[1])), PathSpider)
