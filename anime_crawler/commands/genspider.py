"""``scrapy genspider``: which command to use instead."""

from __future__ import annotations

import argparse

from scrapy.commands.genspider import Command as ScrapyGenspider

from anime_crawler.commands import name_instead


class Command(ScrapyGenspider):
    """Scrapy's command with its options, which does nothing here."""

    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Not in this project: use scrapy newsource NAME"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        self.exitcode = name_instead("genspider", "`scrapy newsource NAME` writes the folder of a source")
