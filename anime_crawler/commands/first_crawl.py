"""What ``make crawl`` runs: the main job, and without a Kodik token the same job against the built-in sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from anime_crawler import output
from anime_crawler.catalogue.engine import connect
from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.origin import mark_as_sandbox
from anime_crawler.config import Config, ConfigError
from anime_crawler.sandbox.server.process import RunningSandbox, running_sandbox

TITLES = 200  # enough to see every quirk, few enough to take seconds
NO_TOKEN = (
    f"Sandbox: {TITLES} invented titles, because no KODIK_API_TOKEN is set. "
    "To crawl Kodik, put KODIK_API_TOKEN=… into .env or the environment and run `make crawl` again."
)
ANNOUNCE = "--announce"
"""Only say what will be crawled, where that is not Kodik; the Makefile asks so before all else."""
FOLDER = Path("var/sandbox")
"""Where the sandbox is crawled: no ``.env`` is read there, and budgets, caches, pending requests and reports are its
own."""
CATALOGUE = Path("var/sandbox.db")
OWN = (
    f"It uses a catalogue ({CATALOGUE}), budgets and caches ({FOLDER}) of its own and no backend, "
    "whatever is configured."
)
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
        return crawl_and_show(Path(), os.environ)
    try:
        if CATALOGUE.exists():  # one of before the mark was made is the sandbox's too
            with connect(f"sqlite:///{CATALOGUE}", writes=True) as conn:
                mark_as_sandbox(conn)
    except CatalogueError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(NO_TOKEN, OWN, sep="\n", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running_sandbox(titles=TITLES) as sandbox:
        return crawl_and_show(FOLDER, sandbox_environment(sandbox))


def sandbox_environment(sandbox: RunningSandbox) -> dict[str, str]:
    """Our environment without any setting of ours, and with those that lead to the sandbox."""
    ours = {name.upper() for name in Config.model_fields}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in ours and not name.upper().startswith("SCRAPY_")
    }
    return kept | {
        "KODIK_API_TOKEN": sandbox.kodik_token,
        "KODIK_BASE_URL": sandbox.kodik_url,
        "SHIKIMORI_BASE_URL": sandbox.shikimori_url,
        "DATABASE_URL": f"sqlite:///../{CATALOGUE.name}",
    }


def crawl_and_show(folder: Path, environment: Mapping[str, str]) -> int:
    """Crawl in this folder, show the catalogue's status, and give back the crawl's exit code."""
    code = scrapy(folder, environment, "crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik")
    scrapy(folder, environment, "status")
    return code


def scrapy(folder: Path, environment: Mapping[str, str], *arguments: str) -> int:
    """Exit code of one command of ours in a process of its own; it gets each signal that we get, once."""
    command = [sys.executable, "-m", "scrapy", *arguments]
    # A group of its own: a terminal sends Ctrl-C to a whole group, and a second one would mean "at once".
    child = subprocess.Popen(command, cwd=folder, env=environment, process_group=0)  # noqa: S603  words of our own

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
