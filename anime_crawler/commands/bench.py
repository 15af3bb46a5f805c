"""``scrapy bench``: which command to use instead."""

from __future__ import annotations

import argparse

from scrapy.commands.bench import Command as ScrapyBench

from anime_crawler.commands import name_instead


class Command(ScrapyBench):
    """Scrapy's command with its options, which does nothing here."""

    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Not in this project: use make bench"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        self.exitcode = name_instead("bench", "`make bench` measures the crawler")
