"""One day of the main job, recorded once for all tests that only look at it."""

from __future__ import annotations

import json
import re
from typing import Any

from anime_crawler.failure import Failure
from tests.e2e.support import Project

FAILURE = re.compile(r" failure (\{.*\})$", re.MULTILINE)


class Day:
    """A full import at ``-L DEBUG`` with a feed; an airing title, two 503 of Kodik and one of the backend are in it.

    The backend refuses a title, for a player that it refuses so is sent again after 30 s only.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        sandbox = project.sandbox
        sandbox.post("/_sandbox/mutate", {"op": "status", "status": "ongoing"})
        project.fault("kodik", "status", status=503, count=2)
        sandbox.post("/backend/_reference/faults", {"rules": [{"name": "unavailable", "route": "anime", "times": 1}]})
        self.done = project.crawl("-L", "DEBUG", "-O", "feed.jsonl", PYTHONWARNINGS="always")
        assert self.done.returncode == 0, self.done.stderr[-3000:]
        self.stats: dict[str, Any] = sandbox.get("/_sandbox/stats")
        self.kodik_log: list[dict[str, Any]] = [
            entry for entry in sandbox.get("/_sandbox/log?service=kodik") if not entry["fault"]
        ]
        self.backend_stats: dict[str, Any] = sandbox.get("/backend/_reference/stats")
        self.report = project.report()
        self.status: dict[str, Any] = json.loads(project.run("status", "--json").stdout)
        self.failures = failures_in(self.done.stderr)
        self.feed = [json.loads(line) for line in (project.directory / "feed.jsonl").read_text().splitlines()]


def failures_in(log: str) -> list[Failure]:
    """The failures that a log tells of, each checked against their schema."""
    return [Failure.model_validate_json(text) for text in FAILURE.findall(log)]


def cursors(log: list[dict[str, Any]]) -> list[str | None]:
    """Of each list request in a sandbox's log, the cursor."""
    return [entry["summary"].get("next") for entry in log if entry["path"] == "/list"]
