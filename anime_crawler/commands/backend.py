"""``scrapy backend``: the reference backend as a server."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from typing import Any

from scrapy.commands import ScrapyCommand

from anime_crawler.config import Config, ConfigError
from anime_crawler.reference_backend.app import create_app
from anime_crawler.reference_backend.server import listen, make_server
from anime_crawler.reference_backend.writer import DatabaseError


class Command(ScrapyCommand):
    """Exit code 2 when a setting is missing or wrong, or the port is in use."""

    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        """One line for `scrapy --help`."""
        return "Serve the import contract over a database, for users who have no backend"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The command's own options."""
        super().add_options(parser)
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
        parser.add_argument("--token", help="what X-Internal-Token must be (default: INTERNAL_TOKEN)")
        parser.add_argument("--database", help="SQLite or PostgreSQL URL (default: DATABASE_URL)")
        parser.add_argument("--dev", action="store_true", help="let a 422 say which field is wrong")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Serve until interrupted."""
        try:
            _serve(opts)
        except (ConfigError, DatabaseError) as error:
            print(error, file=sys.stderr)
            self.exitcode = 2


def _serve(opts: argparse.Namespace) -> None:
    config = Config.load(_overrides(opts))
    if config.internal_token is None:
        raise ConfigError("INTERNAL_TOKEN is missing: choose a long random text and give the importer the same one")
    token = config.internal_token.get_secret_value()
    try:
        listener = listen(opts.host, opts.port)
    except OSError as error:
        cause = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"cannot listen on {opts.host}:{opts.port}: {cause}; try another --port") from None
    with listener:
        app = create_app(config.database_url, token, dev=opts.dev)
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"reference backend: {address}\nset BACKEND_BASE_URL={address} and the same INTERNAL_TOKEN", flush=True)
        server = make_server(app, log_level=logging.getLevelName(logging.getLogger().getEffectiveLevel()).lower())
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _overrides(opts: argparse.Namespace) -> dict[str, Any]:
    given = {"DATABASE_URL": opts.database, "INTERNAL_TOKEN": opts.token}
    return {name: value for name, value in given.items() if value is not None}
