"""What ``make crawl`` runs: the main job, and without a Kodik token the same job against the built-in sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import FrameType

from anime_crawler import output
from anime_crawler.config import Config, ConfigError
from anime_crawler.sandbox.process import RunningSandbox, running_sandbox

TITLES = 200  # enough to see every quirk, few enough to take seconds
NO_TOKEN = (
    f"Sandbox: {TITLES} invented titles, because no KODIK_API_TOKEN is set. "
    "To crawl Kodik, put KODIK_API_TOKEN=… into .env or the environment and run `make crawl` again."
)
ANNOUNCE = "--announce"
"""Only say what will be crawled, where that is not Kodik; the Makefile asks so before all else."""
CONFIGURATION = 2  # exit code: a setting is wrong


def main() -> int:
    """Exit code of the crawl."""
    try:
        config = Config.load()
    except ConfigError as error:
        if sys.argv[1:] == [ANNOUNCE]:  # the crawl will say it
            return 0
        sys.stderr.write(f"{error}\n")
        return CONFIGURATION
    has_token = config.value("KODIK_API_TOKEN") is not None
    if sys.argv[1:] == [ANNOUNCE]:
        if not has_token:
            print("No KODIK_API_TOKEN is set: crawling the built-in sandbox instead of Kodik.")
        return 0
    if has_token:
        return crawl_and_show("var/jobs/kodik", {})
    print(NO_TOKEN, flush=True)
    with running_sandbox(titles=TITLES) as sandbox:
        return crawl_and_show("var/jobs/sandbox", sandbox_settings(sandbox, config))


def sandbox_settings(sandbox: RunningSandbox, config: Config) -> dict[str, str]:
    """Settings that lead to the sandbox. Invented titles go to no backend, and to a catalogue of their own."""
    settings = {
        "KODIK_API_TOKEN": sandbox.kodik_token,
        "KODIK_BASE_URL": sandbox.kodik_url,
        "SHIKIMORI_BASE_URL": sandbox.shikimori_url,
        "BACKEND_BASE_URL": "",
    }
    if config.origin_of("DATABASE_URL") == "default":
        settings["DATABASE_URL"] = "sqlite:///var/sandbox.db"
    return settings


def crawl_and_show(job_directory: str, settings: Mapping[str, str]) -> int:
    """Crawl, show the catalogue's status, and give back the crawl's exit code."""
    code = scrapy(settings, "crawl", "kodik", "-s", f"JOBDIR={job_directory}")
    scrapy(settings, "status")
    return code


def scrapy(settings: Mapping[str, str], *arguments: str) -> int:
    """Exit code of one command of ours in a process of its own; it gets each signal that we get, once."""
    command = [sys.executable, "-m", "scrapy", *arguments]
    # A group of its own: a terminal sends Ctrl-C to a whole group, and a second one would mean "at once".
    child = subprocess.Popen(command, env={**os.environ, **settings}, process_group=0)  # noqa: S603  words of our own

    def forward(signum: int, frame: FrameType | None) -> None:
        child.send_signal(signum)

    before = {signum: signal.signal(signum, forward) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = child.wait()
        return code if code >= 0 else 128 - code  # ended by a signal: what a shell would say
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


if __name__ == "__main__":
    output.prepare()
    sys.exit(main())
