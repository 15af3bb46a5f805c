"""A Redis of one test's own, that can die, come back with or without its file, fill up and turn read-only."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from tests.services import free_port


class OwnRedis:
    """Started with its making; everything written is on disk when its call returns."""

    def __init__(self, directory: Path, **options: str) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self._options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = {"port": self.port, "dir": self.directory, "appendonly": "yes", "appendfsync": "always", "save": ""}
        options |= self._options
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        with self.client() as client:
            while not self._answers(client):
                time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Lose its file, while it is dead."""
        shutil.rmtree(self.directory / "appendonlydir")

    def client(self) -> Any:
        """As the project's: each call is made once."""
        return Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def _answers(self, client: Any) -> bool:
        try:
            return bool(client.ping())
        except RedisConnectionError:
            return False
