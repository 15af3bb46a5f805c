"""``scrapy view``: which command to use instead."""

from __future__ import annotations

import argparse

from scrapy.commands.view import Command as ScrapyView

from anime_crawler.commands import name_instead


class Command(ScrapyView):
    """Scrapy's command with its options, which does nothing here."""

    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Not in this project: use scrapy record SOURCE --case NAME"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        self.exitcode = name_instead("view", "`scrapy record SOURCE --case NAME` asks once and keeps the answer")
