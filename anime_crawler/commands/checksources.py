"""``scrapy checksources``: what is wrong with the sources, without a network."""

from __future__ import annotations

import argparse

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from anime_crawler import sources
from anime_crawler.commands.source_checks import draft_missing, problems, samples_of


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "[NAME …]"

    def short_desc(self) -> str:
        return "Check cards, files and samples of the sources (for developers)"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--write", action="store_true", help="draft expected.json of samples that have none, or a draft"
        )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        known = list(sources.cards())
        if unknown := sorted(set(args) - set(known)):
            raise UsageError(f"there is no source {', '.join(unknown)}; there are: {', '.join(known)}")
        if opts.write:
            for sample in (sample for name in args or known for sample in draft_missing(name)):
                print(f"drafted: {sample / 'expected.json'}")
        found = {name: list(problems(name)) for name in args or known}
        for name, its in found.items():
            print(f"{name}: {len(samples_of(name))} samples, {'fine' if not its else f'{len(its)} problems'}")
            for problem in its:
                print(f"  {problem}")
        self.exitcode = int(any(found.values()))
