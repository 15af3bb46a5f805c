"""``scrapy cache``: what the caches of answers and of results hold, and how to empty them."""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime

from rich.table import Table
from scrapy.commands import ScrapyCommand

from anime_crawler import output
from anime_crawler.cache.policy import cache_ttl_of
from anime_crawler.cache.storage import CacheError, CacheStorage, SourceStats, open_storage
from anime_crawler.commands import complain, config_from, refuse_words
from anime_crawler.config import Config, ConfigError
from anime_crawler.run.job import Exit
from anime_crawler.sources import cards


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "stats | clear [--source NAME]"

    def short_desc(self) -> str:
        return "What the HTTP cache holds of each source, and how to empty it"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        actions = parser.add_subparsers(dest="action", required=True, metavar="stats|clear")
        for name, about in (("stats", "entries, bytes, age and time left"), ("clear", "forget what is kept")):
            action = actions.add_parser(name, help=about)
            action.add_argument("--source", metavar="NAME", help="of this source only")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        refuse_words(args)
        assert self.settings is not None
        try:
            config = config_from(self.settings)
            if opts.source not in (None, *cards()):
                raise ConfigError(f"there is no source {opts.source!r}; there are: {', '.join(cards())}")
            action = {"stats": self._stats, "clear": self._clear}[opts.action]
            asyncio.run(action(config, opts.source))
        except (ConfigError, CacheError) as error:
            self.exitcode = complain(error, Exit.CONFIGURATION)

    async def _stats(self, config: Config, source: str | None) -> None:
        storage = self._storage(config)
        try:
            found = await storage.stats()
        finally:
            await storage.close()
        show([stats for stats in found if source in (None, stats.source)], config)

    async def _clear(self, config: Config, source: str | None) -> None:
        storage = self._storage(config)
        try:
            count = await storage.clear(source)
        finally:
            await storage.close()
        print(f"{count} entries of {source or 'all sources'} are forgotten")

    def _storage(self, config: Config) -> CacheStorage:
        assert self.settings is not None
        return open_storage(config, self.settings["HTTP_CACHE_FILE"])


def show(found: list[SourceStats], config: Config) -> None:
    """Print a line for each family of each source."""
    console = output.console()
    table = Table("source", "family", "entries", "bytes", "oldest", "newest", "time left", "TTL of the source")
    for stats in found:
        card = cards().get(stats.source)
        ttl_s = cache_ttl_of(config, card) if card else None
        left = f"{_span(stats.shortest_ttl_s)} to {_span(stats.longest_ttl_s)}"
        ttl = _span(ttl_s) if ttl_s else "headers only"
        table.add_row(
            *(stats.source, stats.family, str(stats.entries), str(stats.bytes)),
            *(_day(stats.oldest), _day(stats.newest), left, ttl),
        )
    console.print(table if found else "the HTTP cache is empty")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")


def _span(seconds: float) -> str:
    """``90 s``, ``24 h``, ``7 days``, in the unit that says most."""
    for unit_s, unit in ((86_400 * 2, "days"), (7200, "h"), (120, "min")):
        if seconds >= unit_s:
            return f"{seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"
