"""``scrapy fetch``: which command to use instead."""

from __future__ import annotations

import argparse

from scrapy.commands.fetch import Command as ScrapyFetch

from anime_crawler.commands import name_instead


class Command(ScrapyFetch):
    """Scrapy's command with its options, which does nothing here."""

    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Not in this project: use scrapy record SOURCE --case NAME"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        self.exitcode = name_instead("fetch", "`scrapy record SOURCE --case NAME` asks once and keeps the answer")
