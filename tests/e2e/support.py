"""Starting the main job as its users do, and reading what it left behind."""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anime_crawler.catalogue import export
from anime_crawler.catalogue.engine import connect
from anime_crawler.sources import cards
from tests import processes
from tests.guard import ROOT, clean_environment

FAST = {
    "BACKOFF_BASE_SECONDS": "0.05",
    "BACKOFF_MAX_SECONDS": "0.2",
    **{card.limits_setting: "off" for card in cards().values()},
}
"""Settings for tests that wait for no limit."""


@dataclass
class Project:
    """One working directory with its catalogue, and the sandbox it talks to."""

    directory: Path
    sandbox: Any
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "scrapy.cfg", self.directory)

    def env(self, **more: str) -> dict[str, str]:
        return clean_environment({**self.sandbox.environment, **FAST, **self.environment, **more})

    def start(self, *arguments: str, module: str = "scrapy", **env: str) -> subprocess.Popen[str]:
        """The command, running; its output goes to ``log.txt``."""
        shutil.rmtree(self.heartbeat, ignore_errors=True)
        with (self.directory / "log.txt").open("a") as log:
            return processes.start(module, *arguments, cwd=self.directory, env=self.env(**env), stdout=log, stderr=log)

    def start_and_wait(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """The command, at work: its event loop has begun to beat."""
        process = self.start(*arguments, **env)
        while process.poll() is None and not self.heartbeat.exists():
            time.sleep(0.02)
        return process

    @property
    def heartbeat(self) -> Path:
        return self.directory / "var" / "heartbeat"

    def run(self, *arguments: str, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        """The command, ended."""
        return processes.run("scrapy", *arguments, cwd=self.directory, env=self.env(**env), timeout=timeout)

    def crawl(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The main job with its job directory."""
        return self.run("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik", *arguments, **env)

    def export(self, kind: str) -> bytes:
        """What `scrapy export --format jsonl` gives for a kind, without the process."""
        file = io.BytesIO()
        with connect(self.environment.get("DATABASE_URL", f"sqlite:///{self.directory / 'var' / 'anime.db'}")) as conn:
            export.write_jsonl(export.rows(conn, kind), (), file)
        return file.getvalue()

    def exports(self) -> dict[str, bytes]:
        """All exports."""
        return {kind: self.export(kind) for kind in export.KINDS}

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The rows of an export."""
        return [json.loads(line) for line in self.export(kind).splitlines()]

    def dump(self) -> Any:
        """All rows of the sandbox's backend."""
        return self.sandbox.get("/backend/_reference/dump")

    def fault(self, service: str, kind: str, **options: Any) -> None:
        """Make an upstream misbehave from now on; see ``anime_crawler/sandbox/server/faults.py``."""
        self.sandbox.post("/_sandbox/faults", {"service": service, "kind": kind, **options})

    def calm(self) -> None:
        """Let the upstreams behave again, and count their requests anew."""
        self.sandbox.delete("/_sandbox/faults")
        self.sandbox.post("/_sandbox/reset", {})

    def requests_to(self, service: str) -> int:
        """Requests that an upstream has counted."""
        return int(self.sandbox.get("/_sandbox/stats")["requests"].get(service, 0))

    def report(self) -> dict[str, Any]:
        """The newest run report."""
        newest = max((self.directory / "var" / "reports").glob("run-*.json"), key=lambda path: path.stat().st_mtime_ns)
        report: dict[str, Any] = json.loads(newest.read_text())
        return report

    def problems(self) -> set[tuple[str, str]]:
        """(service, kind) of what the newest report says went wrong."""
        return {(problem["service"], problem["kind"]) for problem in self.report()["problems"]}

    def forget_waiting(self) -> None:
        """As if the time of every limit, pause and rest had gone by."""
        (self.directory / "var" / "politeness.sqlite").unlink(missing_ok=True)

    def wipe_jobdir(self) -> None:
        """Lose the job directory, as a container without a volume for it does."""
        shutil.rmtree(self.directory / "var" / "jobs", ignore_errors=True)

    def log(self) -> str:
        return (self.directory / "log.txt").read_text() if (self.directory / "log.txt").exists() else ""


def kill_at_random(
    project: Project, command: Sequence[str], kills: int, chance: random.Random, most_s: float, keep_jobdir: bool
) -> int:
    """Start the command `kills` times and kill it at a random instant of its first `most_s`, counted from when it is at
    work; how many kills met a living process.
    """
    met = 0
    for _ in range(kills):
        process = project.start_and_wait(*command)
        try:
            process.wait(chance.uniform(0, most_s))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            met += 1
        if not keep_jobdir:
            project.wipe_jobdir()
    return met


def until(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    """Wait for something to happen; not for ever, so that a test that hangs says where."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
