"""``scrapy sandbox``: Kodik, Shikimori and a backend on loopback, from one invented catalogue."""

from __future__ import annotations

import argparse

from scrapy.commands import ScrapyCommand

from anime_crawler.commands import complain
from anime_crawler.sandbox.server.serve import add_arguments, serve


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "[--titles N] [--seed S] [--port P] [--limits enforced|off] [--faults FAULT]… [--catalogue FILE] …"

    def short_desc(self) -> str:
        return "Serve the simulated upstreams and backend on loopback"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add_arguments(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        try:
            serve(opts)
        except OSError as error:
            self.exitcode = complain(error, 2)
