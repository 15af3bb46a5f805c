"""``scrapy parsefile``: the items that a recorded answer gives, without a network."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from anime_crawler import sources
from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Rejected, utc_now

NOTHING_UNDERSTOOD, WRONG_USE = 1, 2


class Command(ScrapyCommand):
    """Items as JSON lines on stdout; what was set aside, and why, on stderr."""

    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "SOURCE FILE"

    def short_desc(self) -> str:
        return "Items that a recorded answer of a source gives"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 2:
            raise UsageError("name a source and a file: scrapy parsefile kodik page.json")
        source, path = args
        if source not in source_names():
            complain(f"there is no source {source!r}; there are: {', '.join(source_names())}")
            self.exitcode = WRONG_USE
            return
        try:
            items = parse_file(source, Path(path))
        except (OSError, ResponseError) as error:
            complain(f"nothing understood: {error}")
            self.exitcode = NOTHING_UNDERSTOOD
            return
        self.exitcode = show(items)


def source_names() -> list[str]:
    """Folders below ``sources``."""
    return list(sources.cards())


def parse_file(source: str, path: Path) -> list[Any]:
    """Items and rejected records of a file.

    Raises:
        OSError: the file cannot be read.
        ResponseError: it is no answer of this source that gives items.
    """
    parse = import_module(f"{sources.__name__}.{source}.parse")
    return list(parse.parse_file(path.read_bytes(), path.name, utc_now()))


def show(items: list[Any]) -> int:
    """Print them; gives back the exit code."""
    rejected = [item for item in items if isinstance(item, Rejected)]
    understood = [item for item in items if not isinstance(item, Rejected)]
    for item in understood:
        kind = type(item).__name__
        sys.stdout.write(f'{{"item":"{kind}",{item.model_dump_json()[1:]}\n')
        for problem in getattr(item, "not_understood", ()):
            complain(f"not understood: {kind} {item.source_id}: {problem}")
    for record in rejected:
        complain(f"set aside: {record.kind} {record.source_id or 'without id'}: {record.reason}")
    if not items:
        complain("the answer holds no records")
    return NOTHING_UNDERSTOOD if rejected and not understood else 0


def complain(message: str) -> None:
    """One line on stderr; what comes from a file is shown without its control characters."""
    sys.stderr.write("".join(c if c.isprintable() else "?" for c in message) + "\n")
