"""A sandbox in a process of its own, for tests, benchmarks and ``make crawl``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import requests

TIMEOUT_S = 60
"""For one control request: the oracle of 450,000 players takes some seconds."""
END_S = 5
"""Time to clear up before the process is killed."""


@dataclass(frozen=True)
class RunningSandbox:
    """Addresses and tokens of a running sandbox, and requests to it; an error status is raised."""

    environment: dict[str, str]
    """The settings that lead a crawl to it."""

    @property
    def url(self) -> str:
        return self.environment["SANDBOX_URL"]

    @property
    def kodik_token(self) -> str:
        return self.environment["KODIK_API_TOKEN"]

    @property
    def internal_token(self) -> str:
        return self.environment["INTERNAL_TOKEN"]

    @property
    def kodik_url(self) -> str:
        return f"{self.url}/kodik"

    @property
    def shikimori_url(self) -> str:
        return f"{self.url}/shikimori"

    @property
    def backend_url(self) -> str:
        return f"{self.url}/backend"

    def get(self, path: str) -> Any:
        """The JSON at ``/_sandbox/…`` or ``/backend/…``."""
        return self._ask("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """The answer to a JSON body."""
        return self._ask("POST", path, body if body is not None else {})

    def delete(self, path: str) -> Any:
        """The answer to a DELETE."""
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-Internal-Token": self.internal_token}
        with requests.Session() as session:
            session.trust_env = False  # no proxy, and no password of .netrc: it is on loopback
            answer = session.request(method, self.url + path, json=body, headers=headers, timeout=TIMEOUT_S)
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code} {method} {path}: {answer.text[:500]}", response=answer)
        return orjson.loads(answer.content)


@contextmanager
def running_sandbox(**options: Any) -> Iterator[RunningSandbox]:
    """A sandbox on a free port, ready to answer; it ends with the block, or with this process however that dies.

    Args:
        options: those of ``scrapy sandbox`` with underscores (``titles=30, limits="off"``); a list repeats an option.

    Raises:
        RuntimeError: it did not start; its own message is on stderr.
    """
    command = [sys.executable, "-m", "anime_crawler.sandbox.server.serve", "--json", "--attached", *words_of(options)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process, serving(process) as sandbox:  # noqa: S603 - our own
        yield sandbox


@contextmanager
def serving(process: subprocess.Popen[bytes]) -> Iterator[RunningSandbox]:
    """The sandbox that the process is, once it is ready to answer; the process ends with the block.

    Raises:
        RuntimeError: it did not start; its own message is on stderr.
    """
    try:
        yield _ready(process)
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()


def words_of(options: dict[str, Any]) -> list[str]:
    """Options as command line words."""
    words = []
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", str(one)]
    return words


def _ready(process: subprocess.Popen[bytes]) -> RunningSandbox:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the sandbox ended with exit code {process.wait()} before it was ready")
    return RunningSandbox(json.loads(line))
