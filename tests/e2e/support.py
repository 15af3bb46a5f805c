"""Starting the main job as its users do, and reading what it left behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.guard import ROOT, clean_environment

FAST = {"BACKOFF_BASE_SECONDS": "0.05", "BACKOFF_MAX_SECONDS": "0.2", "KODIK_LIMITS": "off", "SHIKIMORI_LIMITS": "off"}
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
        own = {
            "KODIK_API_TOKEN": self.sandbox.kodik_token,
            "KODIK_BASE_URL": self.sandbox.kodik_url,
            "SHIKIMORI_BASE_URL": self.sandbox.shikimori_url,
            "BACKEND_BASE_URL": self.sandbox.backend_url,
            "INTERNAL_TOKEN": self.sandbox.internal_token,
            **FAST,
        }
        return clean_environment({**own, **self.environment, **more})

    def start(self, *arguments: str, module: str = "scrapy", **env: str) -> subprocess.Popen[str]:
        """The command, running; its output goes to ``log.txt``."""
        log = (self.directory / "log.txt").open("a")
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(command, cwd=self.directory, env=self.env(**env), stdout=log, stderr=log, text=True)

    def run(self, *arguments: str, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        """The command, ended."""
        command = [sys.executable, "-m", "scrapy", *arguments]
        return subprocess.run(
            command, cwd=self.directory, env=self.env(**env), capture_output=True, text=True, timeout=timeout
        )

    def crawl(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The main job with its job directory."""
        return self.run("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik", *arguments, **env)

    def export(self, kind: str) -> bytes:
        """What `scrapy export` gives for a kind."""
        done = self.run("export", "--kind", kind, "--format", "jsonl", "-o", f"{kind}.jsonl")
        assert done.returncode == 0, done.stderr
        return (self.directory / f"{kind}.jsonl").read_bytes()

    def exports(self) -> dict[str, bytes]:
        """All exports."""
        return {kind: self.export(kind) for kind in ("anime", "episodes", "players", "unmatched")}

    def wipe_jobdir(self) -> None:
        """Lose the job directory, as a container without a volume for it does."""
        shutil.rmtree(self.directory / "var" / "jobs", ignore_errors=True)

    def log(self) -> str:
        return (self.directory / "log.txt").read_text() if (self.directory / "log.txt").exists() else ""
