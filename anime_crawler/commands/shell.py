"""``scrapy shell``: which command to use instead."""

from __future__ import annotations

import argparse

from scrapy.commands.shell import Command as ScrapyShell

from anime_crawler.commands import name_instead


class Command(ScrapyShell):
    """Scrapy's command with its options, which does nothing here."""

    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Not in this project: use scrapy parsefile SOURCE FILE"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        self.exitcode = name_instead("shell", "`scrapy parsefile SOURCE FILE` shows what a recorded answer gives")
