"""``scrapy export``: the catalogue as JSON lines or CSV."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from anime_crawler import output
from anime_crawler.catalogue.engine import connect
from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.export import COLUMNS, KINDS, WRITERS, rows
from anime_crawler.commands import complain, config_from, refuse_words
from anime_crawler.config import ConfigError
from anime_crawler.run.job import Exit


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return f"--kind {'|'.join(KINDS)} --format {'|'.join(WRITERS)} [--no-adult] -o FILE"

    def short_desc(self) -> str:
        return "Write anime, episodes, players, characters and more to a file"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--kind", choices=KINDS, required=True, help="what to write")
        parser.add_argument("--format", choices=WRITERS, default="jsonl", help="default: jsonl")
        parser.add_argument("--no-adult", action="store_true", help="without rx, r_plus and hentai")
        parser.add_argument("-o", "--output", metavar="FILE", required=True, help="`-` is standard output")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        refuse_words(args)
        assert self.settings is not None
        if args:
            raise UsageError(f"what is {args[0]!r}? Use {self.syntax()}")
        try:
            url = config_from(self.settings).database_url
            with connect(url) as conn, _output(opts.output) as file:
                count = WRITERS[opts.format](
                    rows(conn, opts.kind, with_adult=not opts.no_adult), COLUMNS[opts.kind], file
                )
            if opts.output != "-":
                print(f"{count} {opts.kind} written to {opts.output}")
        except BrokenPipeError:  # `| head` has seen enough
            return
        except CatalogueError as error:
            self.exitcode = complain(error, error.exit_code)
        except (ConfigError, OSError) as error:
            self.exitcode = complain(error, Exit.CONFIGURATION)


@contextmanager
def _output(name: str) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears under its name only when it is complete."""
    if name == "-":
        sys.stdout.flush()
        try:
            with open(sys.stdout.fileno(), "wb", closefd=False) as stream:  # ours hides that the reader has gone
                yield stream
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(output.say_unwritable(error)) from error
        return
    path = Path(name).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115  kept
    try:
        with file:
            yield file  # type: ignore[misc]
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise
