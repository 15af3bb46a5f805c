"""Fixtures of the frontier tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import orjson
import pytest

from anime_crawler.frontier.sqlite_store import FILE
from tests.download.crawl import FAST, Plan, Result, result_of, start
from tests.download.upstream_server import UpstreamServer, running_server
from tests.frontier.crawl import STORED


@dataclass
class Web:
    """An upstream, a job directory, and crawls of the one with the other."""

    server: UpstreamServer
    directory: Path

    def start(self, *paths: str, **options) -> Popen[str]:
        job_directory = {"JOBDIR": str(self.directory / "job")}
        plan = Plan(
            self.server.url,
            list(paths),
            str(self.directory),
            config=FAST,
            scrapy=job_directory,
            arguments={},
            **options,
        )
        return start(plan, "tests.frontier.crawl")

    def crawl(self, *paths: str, **options) -> Result:
        return result_of(self.start(*paths, **options))

    def stored(self) -> list[str]:
        path = self.directory / STORED
        return path.read_text().splitlines() if path.exists() else []

    def kept(self) -> list[str]:
        """Paths of the requests that are pending or leased in the job directory."""
        db = sqlite3.connect(self.directory / "job" / FILE)
        rows = db.execute("SELECT data FROM request ORDER BY id").fetchall()
        db.close()
        return [orjson.loads(data)["meta"]["path"] for (data,) in rows]

    def leased(self) -> int:
        """Requests in flight when the last process ended: on their way, or their answers not yet stored."""
        db = sqlite3.connect(self.directory / "job" / FILE)
        (count,) = db.execute("SELECT count(*) FROM request WHERE leased = 1").fetchone()
        db.close()
        return int(count)

    def asked(self) -> list[str]:
        """Paths that the upstream was asked for, in order."""
        return [arrival.path for arrival in self.server.arrivals]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web of pages to crawl."""
    with running_server() as server:
        yield Web(server, tmp_path)
