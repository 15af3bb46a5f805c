"""``scrapy runspider``: which command to use instead."""

from __future__ import annotations

import argparse

from scrapy.commands.runspider import Command as ScrapyRunSpider

from anime_crawler.commands import name_instead


class Command(ScrapyRunSpider):
    """Scrapy's command with its options, which does nothing here."""

    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Not in this project: use scrapy crawl SPIDER"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        self.exitcode = name_instead("runspider", "`scrapy crawl SPIDER` runs a source's spider")
