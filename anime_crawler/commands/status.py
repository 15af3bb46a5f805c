"""``scrapy status``: runs, watermarks, counts, what is still to deliver, dead letters, budgets used."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table
from scrapy.commands import ScrapyCommand

from anime_crawler import output
from anime_crawler.catalogue.status import read_status
from anime_crawler.catalogue.writer import Catalogue, CatalogueError
from anime_crawler.commands import complain, config_from, refuse_words
from anime_crawler.config import Config, ConfigError
from anime_crawler.rate_limit.limiter import LIMITER_FILE, LimiterError, Wait, open_limiter
from anime_crawler.rate_limit.limits import Limits, address_of, budget_of, limits_of
from anime_crawler.sources import cards


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "[--json | --prometheus]"

    def short_desc(self) -> str:
        return "What is in the catalogue, what runs did, and what is still to do"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="for programs")
        parser.add_argument("--prometheus", action="store_true", help="as Prometheus metrics")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        refuse_words(args)
        assert self.settings is not None
        try:
            config = config_from(self.settings)
            status = asyncio.run(self._status(config))
        except (LimiterError, CatalogueError) as error:
            self.exitcode = complain(error, error.exit_code)
            return
        except ConfigError as error:
            self.exitcode = complain(error, 2)
            return
        if opts.as_json:
            print(json.dumps(status, ensure_ascii=False, indent=2))
        elif opts.prometheus:
            from anime_crawler.run.metrics import metrics_text  # here, because its library starts slowly

            print(metrics_text(status), end="")
        else:
            show(status, has_backend=bool(config.backend_base_url))

    async def _status(self, config: Config) -> dict[str, Any]:
        catalogue = await Catalogue.open(config.database_url)
        try:
            status = await catalogue.read(read_status)
        finally:
            await catalogue.close()
        return {**status, **politeness(config)}


def politeness(config: Config) -> dict[str, Any]:
    """Requests in each window of each upstream's limits, by all who share the budgets, and who rests.

    Raises:
        LimiterError: they cannot be read.
    """
    limiter = open_limiter(config, LIMITER_FILE)
    asked = [
        (card.name, budget_of(card.name, address_of(config, card), card.base_url), limits_of(config, card))
        for card in cards().values()
    ]
    used = {name: limiter.used(budget, limits) for name, budget, limits in asked}
    if config.backend_base_url:
        asked.append(("backend", budget_of("backend", config.backend_base_url), config.backend_limits or Limits()))
    # Why an upstream is not asked for a while: a penalty, a ban, or a quota that is used up.
    pauses = [(name, limiter.resting(budget) or limiter.exhausted(budget, limits)) for name, budget, limits in asked]
    return {"budgets": used, "resting": [_rest(name, wait) for name, wait in pauses if wait]}


def _rest(upstream: str, wait: Wait) -> dict[str, Any]:
    until = datetime.now(UTC) + timedelta(seconds=wait.seconds)
    return {"upstream": upstream, "until": until.isoformat(timespec="seconds"), "why": wait.reason}


def show(status: dict[str, Any], has_backend: bool) -> None:
    """Print the status as tables; values are data from the net and shown as plain text."""
    console = output.console()
    if status["origin"] == "sandbox":
        console.print("This catalogue holds invented titles of the sandbox.")
    to_deliver = "Still to deliver" if has_backend else "Would be delivered if BACKEND_BASE_URL were set"
    runs = ("id", "spider", "arguments", "state", "started_at", "starts", "exit_code")
    for heading, rows in (
        ("Catalogue", [{"what": name, "count": n} for name, n in status["counts"].items()]),
        ("Runs (newest first)", [_run({name: run[name] for name in runs}) for run in status["runs"]]),
        ("Watermarks", [_watermark(row) for row in status["watermarks"]]),
        (to_deliver, [{"what": name, "count": n} for name, n in status["to_deliver"].items()]),
        ("Dead letters (scrapy deadletters list)", status["dead_letters"]),
        ("Drift: the upstream's words no longer match the schema", status["drift"]),
        ("Resting: not asked until then", status["resting"]),
        ("Budgets used", [budget(name, used) for name, used in status["budgets"].items()]),
    ):
        console.print(table(heading, rows) if rows else f"{heading}: none")


def _run(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "started_at": row["started_at"][:16].replace("T", " ")}


def budget(upstream: str, used: dict[str, int]) -> dict[str, Any]:
    """A row that tells how much of each window is used."""
    return {"upstream": upstream, "sent": ", ".join(f"{count} of {window}" for window, count in used.items())}


def _watermark(row: dict[str, Any]) -> dict[str, Any]:
    """How far a spider's walk is; the cursor itself says nothing to people."""
    state = row["state"]
    return {"spider": row["spider"], "up to": state.get("watermark"), "complete": state.get("complete")}


def table(heading: str, rows: list[dict[str, Any]]) -> Table:
    """Rows with the keys of the first as columns."""
    table = Table(*rows[0], title=heading, title_justify="left")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table
