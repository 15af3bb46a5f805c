"""``scrapy deadletters``: what could not be understood or delivered, and its way back after a fix."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from scrapy.commands import ScrapyCommand
from sqlalchemy import Connection, Row

from anime_crawler.catalogue import dead_letters, runs
from anime_crawler.catalogue.engine import connect
from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.lock import LockHeld, connect_alone
from anime_crawler.catalogue.store.items import Storable, store_items
from anime_crawler.commands import complain, config_from, refuse_words
from anime_crawler.config import ConfigError
from anime_crawler.run.job import Exit
from anime_crawler.run.replay import replay

SHOWN = ("stage", "source", "kind", "key", "reason", "seen", "run_id", "created_at", "schema_version", "request")


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "list | show ID | replay [--reason TEXT] [ID] | drop ID"

    def short_desc(self) -> str:
        return "Records that could not be understood or delivered: look, try again, forget"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|replay|drop")
        actions.add_parser("list", help="one line each")
        actions.add_parser("show", help="everything about one").add_argument("id", type=int)
        again = actions.add_parser("replay", help="try them again: all, one, or those with a reason")
        again.add_argument("id", type=int, nargs="?")
        again.add_argument("--reason", metavar="TEXT", help="only those whose reason contains TEXT")
        actions.add_parser("drop", help="forget one").add_argument("id", type=int)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        refuse_words(args)
        assert self.settings is not None
        try:
            self.config = config_from(self.settings)
            url = self.config.database_url
            if opts.action in ("list", "show"):
                with connect(url) as conn:
                    self.exitcode = {"list": self._list, "show": self._show}[opts.action](conn, opts)
            else:
                # "deliver" is what every crawl holds too: nobody else numbers titles or sends meanwhile
                with connect_alone(url, "deliver") as conn:
                    self.exitcode = {"replay": self._replay, "drop": self._drop}[opts.action](conn, opts)
        except CatalogueError as error:
            self.exitcode = complain(error, error.exit_code)
        except ConfigError as error:
            self.exitcode = complain(error, Exit.CONFIGURATION)
        except LockHeld as error:
            self.exitcode = complain(error, Exit.LOCKED)

    def _list(self, conn: Connection, _opts: argparse.Namespace) -> int:
        letters = dead_letters.list_letters(conn)
        for letter in letters:
            print(printable(f"{letter.id:>6}  {_name(letter)}  (seen {letter.seen}x)  {letter.reason}"))
        print(f"{len(letters)} dead letters")
        return Exit.DONE

    def _show(self, conn: Connection, opts: argparse.Namespace) -> int:
        letter = dead_letters.get(conn, opts.id)
        if letter is None:
            return _not_found(opts.id)
        for name in SHOWN:
            print(f"{name}: {printable(str(letter._mapping[name]))}")
        print("raw:", *map(printable, letter.raw.split("\n")), sep="\n")
        return Exit.DONE

    def _replay(self, conn: Connection, opts: argparse.Namespace) -> int:
        letters = dead_letters.list_letters(conn, opts.reason or "")
        ids = [letter.id for letter in letters if opts.id in (None, letter.id)]
        if opts.id is not None and not ids:
            return _not_found(opts.id)
        return self._replay_each(conn, ids) if ids else Exit.DONE

    def _replay_each(self, conn: Connection, ids: Sequence[int]) -> int:
        assert self.settings is not None
        run_id, _ = runs.begin_run(conn, "deadletters", {}, "replay")
        store = partial(self._store, run_id)
        stay = 0
        for letter in filter(None, (dead_letters.get(conn, letter_id) for letter_id in ids)):
            outcome = replay(conn, letter, store, self.settings["NEWSPIDER_MODULE"])
            stay += not outcome.is_gone
            print(printable(f"{letter.id:>6}  {_name(letter)}  {outcome.message}"))
        print(f"{len(ids) - stay} of {len(ids)} dead letters are gone")
        code = Exit.SET_ASIDE if stay else Exit.DONE
        runs.finish_run(conn, run_id, code, {"replayed": len(ids), "stay": stay}, finished=True)
        return code

    def _store(self, run_id: int, conn: Connection, items: Sequence[Storable]) -> None:
        assert self.settings is not None
        store_items(
            conn,
            run_id,
            items,
            identity_source=self.settings["IDENTITY_SOURCE"],
            source_priority=self.settings.getlist("SOURCE_PRIORITY"),
            refresh_ongoing_hours=self.config.refresh_ongoing_hours,
            refresh_released_days=self.config.refresh_released_days,
        )

    def _drop(self, conn: Connection, opts: argparse.Namespace) -> int:
        letter = dead_letters.get(conn, opts.id)
        if letter is None:
            return _not_found(opts.id)
        dead_letters.drop(conn, letter.id)
        print(printable(f"dropped {letter.id}  {_name(letter)}"))
        return Exit.DONE


def printable(text: str) -> str:
    """Data from the net on a terminal: no escapes, no line ends."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _name(letter: Row[Any]) -> str:
    return f"{letter.stage}  {letter.source} {letter.kind} {letter.key}"


def _not_found(letter_id: int) -> int:
    message = f"there is no such dead letter: {letter_id}; `scrapy deadletters list` shows them"
    return complain(LookupError(message), Exit.CONFIGURATION)
