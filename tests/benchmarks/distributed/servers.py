"""A Redis and a PostgreSQL for one run of the figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from redis import Redis

from anime_crawler.sandbox.server.process import running_sandbox
from tests.e2e.support import Project
from tests.services import Postgres, RedisServer, start_postgres, start_redis, stop_postgres, stop_redis


@dataclass(frozen=True)
class Servers:
    """Real ones, private, empty at first."""

    redis: RedisServer
    postgres: Postgres
    _numbers: Iterator[int] = field(default_factory=count)

    @contextmanager
    def project(self, **options: Any) -> Iterator[Project]:
        """A project on a sandbox of its own, with an empty database and the Redis, which it has for itself.

        Args:
            options: the sandbox's.
        """
        with TemporaryDirectory() as directory, running_sandbox(**options) as sandbox:
            yield self.project_on(sandbox, Path(directory, "project"))

    def project_on(self, sandbox: Any, directory: Path) -> Project:
        """The same on a sandbox that is there."""
        with Redis.from_url(self.redis.url()) as client:
            client.flushall()
        shared = {"REDIS_URL": self.redis.url(), "DATABASE_URL": self.new_database(), "BACKEND_BASE_URL": ""}
        return Project(directory, sandbox, shared)

    def new_database(self) -> str:
        """Address of an empty PostgreSQL database."""
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(port=self.postgres.port, host="127.0.0.1", user="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.postgres.url(name)


@contextmanager
def servers() -> Iterator[Servers]:
    """They are stopped when the block ends."""
    with TemporaryDirectory() as directory:
        redis, postgres = Path(directory, "redis.json"), Path(directory, "postgres.json")
        try:
            yield Servers(start_redis(redis), start_postgres(postgres))
        finally:
            stop_redis(redis)
            stop_postgres(postgres)
