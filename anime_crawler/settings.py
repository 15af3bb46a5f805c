"""Scrapy settings, in sections. What a *user* sets is in ``config.py``; here is what the project decides.

The only module outside ``sources/`` that names sources.
"""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

from anime_crawler import __version__, output, sources
from anime_crawler.frontier.redis.store import PREFIX as FRONTIER

output.prepare()  # every command imports this module before it does anything

BOT_NAME = "anime_crawler"
# One entry per source package, not the parent: a bad import in one source then costs that source only.
SPIDER_MODULES = [f"{sources.__name__}.{m.name}.spider" for m in pkgutil.iter_modules(sources.__path__) if m.ispkg]
NEWSPIDER_MODULE = sources.__name__
COMMANDS_MODULE = "anime_crawler.commands"
# Scrapy imports every command in there for each of them; the one that is named is enough, and 0.4 s less of each start.
_named = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
if _named in {m.name for m in pkgutil.iter_modules([str(Path(__file__).with_name("commands"))])}:
    COMMANDS_MODULE += f".{_named}"

# --- whose id, whose word, who goes with whom ---------------------------------------------------
IDENTITY_SOURCE = "shikimori"  # a title is this source's id; the backend's source_id is the same
SOURCE_PRIORITY = ["shikimori", "kodik"]  # for each field the first source that knows it is delivered
COMPANIONS = {"kodik": ["shikimori"]}  # spiders that run beside the main one, fed by what it stores

# --- who we are ---------------------------------------------------------------------------------
USER_AGENT = f"anime_crawler/{__version__} (+https://github.com/anime-crawler/anime_crawler)"
COOKIES_ENABLED = False
REDIRECT_ENABLED = False  # an API that has moved is a setting to change; a token never follows a redirect
METAREFRESH_ENABLED = False  # nor one that an error page states in HTML
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False  # Scrapy 2.19 opens an "execute Python" port on localhost by default

# --- frontier and rate limits -------------------------------------------------------------------
SCHEDULER = "anime_crawler.frontier.scheduler.FrontierScheduler"
# With REDIS_URL the scheduler is frontier.shared.SharedScheduler; these are scrapy-redis' settings for it.
SCHEDULER_QUEUE_CLASS = "anime_crawler.frontier.redis.scheduler.LeaseQueue"
SCHEDULER_QUEUE_KEY = f"{FRONTIER}%(spider)s"
DUPEFILTER_CLASS = "anime_crawler.frontier.redis.scheduler.SeenFilter"
SCHEDULER_PERSIST = True  # a worker that leaves takes nothing away from the others
REDIS_PARAMS = {
    "socket_timeout": 2,  # seconds; a Redis nearby answers within a millisecond, and the event loop waits for it
    "socket_connect_timeout": 2,
    "retry": None,  # no further attempts: a call whose answer was lost must not be made twice behind our back
    "retry_on_timeout": False,
    "client_name": "anime_crawler",
}
WORKER_LEASE_S = 30  # how long after its last sign of life a worker's requests are its own: four signs
WORKER_PATIENCE_S = 600  # how long a worker waits for a Redis that is away before its run ends with exit code 3
CONCURRENT_REQUESTS = 4  # bounds the loss of a kill, the time to stop, and memory
CONCURRENT_REQUESTS_PER_DOMAIN = 4
DOWNLOAD_DELAY = 0.001  # never 0: Scrapy does not hold a slot's concurrency then
DOWNLOAD_DELAY_JITTER = 0
AUTOTHROTTLE_ENABLED = False  # limits are published windows, held by the rate limit middleware
TWISTED_DNS_RESOLVER = "scrapy.resolver.CachingHostnameResolver"  # Scrapy's usual one knows no IPv6
DOWNLOAD_VERIFY_CERTIFICATES = True  # Scrapy's default is False; a token would go to anyone
DOWNLOAD_HANDLERS = {
    "http": "anime_crawler.download.handler.SecretDownloadHandler",
    "https": "anime_crawler.download.handler.SecretDownloadHandler",
}
DOWNLOADER_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
    "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware": None,  # the download handler has our rule
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
    "anime_crawler.download.robots.RobotsTxtMiddleware": 100,  # works for cards that say obeys_robots
    "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware": None,
    "anime_crawler.cache.middleware.HttpCacheMiddleware": 900,  # before limits: a kept answer costs none
    "anime_crawler.download.retry.RetryMiddleware": 550,
    "anime_crawler.rate_limit.middleware.PolitenessMiddleware": 950,  # nearest the downloader: it sees what is sent
}
HTTP_CACHE_FILE = "var/http_cache.sqlite"  # shared by every process that works in this directory

SPIDER_MIDDLEWARES = {
    "anime_crawler.frontier.scheduler.LineageMiddleware": 950,
    # Each is one generator more around every item, and none has a say here: spiders bound their own walks and make
    # their own addresses, and no upstream needs to know which of them led to which.
    "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
    "scrapy.spidermiddlewares.referer.RefererMiddleware": None,
    "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
    # Both work for sources with a TTL on their card only, so not in the main job.
    "anime_crawler.cache.results.KeptAnswersMiddleware": 900,
    "anime_crawler.cache.results.ResultCacheMiddleware": 100,
}

# --- items --------------------------------------------------------------------------------------
CONCURRENT_ITEMS = 256  # a whole page is in the pipelines at once, so that it is stored in one transaction
ITEM_PROCESSOR = "anime_crawler.pipelines.passage.ItemProcessor"
ITEM_PIPELINES = {
    "anime_crawler.pipelines.validation.ValidationPipeline": 100,
    "anime_crawler.pipelines.dedup.DedupPipeline": 200,
    "anime_crawler.pipelines.catalogue.CataloguePipeline": 300,
}
FEED_EXPORTERS = {
    **dict.fromkeys(("jsonlines", "jsonl", "jl"), "anime_crawler.extensions.feed.PydanticJsonLinesExporter"),
    "json": "anime_crawler.extensions.feed.PydanticJsonExporter",
    "csv": "anime_crawler.extensions.feed.PydanticCsvExporter",
    "xml": "anime_crawler.extensions.feed.PydanticXmlExporter",
}
FEED_EXPORT_ENCODING = "utf-8"

# --- loop and logs ------------------------------------------------------------------------------
TWISTED_REACTOR = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
WARN_ON_GENERATOR_RETURN_VALUE = False  # it parses a callback's source again for each response
ASYNCIO_EVENT_LOOP = "uvloop.Loop"
LOG_LEVEL = "INFO"
STATS_DUMP = False  # the summary has the numbers that people ask for
LOG_FORMATTER = "anime_crawler.run.log_formatter.QuietLogFormatter"
# Those that are used, and none beside them: Scrapy imports each it knows, those turned off too, and with its remote
# control aiohttp's server, 0.1 s of each start. Not among them: CoreStats, two signals for each item for numbers that
# the run report has; LogStats, the progress extension says more; SpiderState, which unpickles a file of the job
# directory.
EXTENSIONS_BASE: dict[str, int] = {}
EXTENSIONS = {
    "scrapy.extensions.closespider.CloseSpider": 0,  # works with the CLOSESPIDER_ settings only
    "scrapy.extensions.logcount.LogCount": 0,  # a logged exception makes the exit code 1
    "scrapy.extensions.memdebug.MemoryDebugger": 0,  # works with MEMDEBUG_ENABLED only
    "anime_crawler.extensions.feed.FeedExporter": 0,  # works with -o and -O only
}
