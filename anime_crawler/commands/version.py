"""``scrapy version``: ours first, then Scrapy's own answer."""

from __future__ import annotations

import argparse

from scrapy.commands.version import Command as ScrapyVersion

from anime_crawler import __version__


class Command(ScrapyVersion):
    """Scrapy's command with our own version in front."""

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        print(f"anime_crawler {__version__}")
        super().run(args, opts)
