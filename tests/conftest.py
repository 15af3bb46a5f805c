"""What every test may use: real services, the sandbox, the command line, recorded material."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from filelock import FileLock
from hypothesis import HealthCheck, settings

import tests.guard.sitecustomize  # noqa: F401  its import is its effect
from tests import processes, sandboxes
from tests.guard import ROOT, clean_environment
from tests.services import (
    HOW_TO_INSTALL_CHROMIUM,
    Postgres,
    chromium_program,
    start_postgres,
    start_redis,
    stop_postgres,
    stop_redis,
)

SHARED = ROOT.parent / "shared"
SERVICES = "ANIME_TEST_SERVICES"  # directory where the test processes of one session note what they started
CLI_TIMEOUT_S = 120  # a command that hangs fails its test; the slowest takes some seconds
LONGEST_FIRST = (
    *("e2e", "acceptance", "test_readme.py", "test_makefile.py", "test_first_command.py"),
    *(
        "commands",
        "cache",
        "download",
        "rate_limit",
        "frontier",
        "backend",
        "reference_backend",
        "catalogue",
        "sources",
    ),
)
"""Folders and files of `tests` as several test processes take them; what is not named comes last."""

# No example is judged by how long it took: the machine may be busy.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

ScrapyCommand = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure(config: pytest.Config) -> None:
    """One directory for the services of this session; the test processes of xdist inherit its name.

    A shell that runs the suite in the background has it ignore Ctrl-C, which the commands that tests interrupt must not
    inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Where PYTHONDONTWRITEBYTECODE is set, each test process would compile all tests anew, for 7 s.
    # The commands that tests start still find it set.
    sys.dont_write_bytecode = False
    if not _is_worker(config):
        os.environ[SERVICES] = tempfile.mkdtemp(prefix="anime-tests-")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take longest, so that no test process is alone with one of them at the end.

    By itself xdist begins with the files of most tests, and a file of five crawls comes after one of a hundred tables.
    """
    if _is_worker(config):
        tests_in = Counter(item.path for item in items)
        items.sort(key=lambda item: (_rank(item.path), -tests_in[item.path], item.path))


def _rank(file: Path) -> int:
    place = file.relative_to(ROOT / "tests").parts[0]
    return LONGEST_FIRST.index(place) if place in LONGEST_FIRST else len(LONGEST_FIRST)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started; pytest comes here after Ctrl-C too."""
    sandboxes.stop_all()
    processes.stop()
    if not _is_worker(config):
        directory = Path(os.environ.pop(SERVICES))
        stop_postgres(directory / "postgres.json")
        stop_redis(directory / "redis.json")
        shutil.rmtree(directory, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly what was not tested for want of the recorded material."""
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if str(SHARED) in str(r.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"WARNING: {len(skipped)} tests against recorded answers did NOT run: {SHARED} is absent",
            red=True,
            bold=True,
        )


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The session's private PostgreSQL server, started by the first test that asks for it."""
    directory = Path(os.environ[SERVICES])
    with FileLock(directory / "postgres.lock"):
        return start_postgres(directory / "postgres.json")


@pytest.fixture(scope="session")
def new_postgres_url(postgres: Postgres) -> Callable[[], str]:
    """Gives the address of a new, empty database each time it is called."""
    numbers = count(1)

    def create() -> str:
        name = f"test_{os.getpid()}_{next(numbers)}"
        with psycopg.connect(port=postgres.port, host="127.0.0.1", user="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return postgres.url(name)

    return create


@pytest.fixture
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """Address of a new, empty PostgreSQL database for one test."""
    return new_postgres_url()


@pytest.fixture(scope="session")
def redis_database() -> str:
    """Address of a database of the session's private Redis server; each test process has its own."""
    directory = Path(os.environ[SERVICES])
    with FileLock(directory / "redis.lock"):
        server = start_redis(directory / "redis.json")
    return server.url(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


@pytest.fixture
def redis_url(redis_database: str) -> str:
    """The same, empty."""
    with redis.Redis.from_url(redis_database) as client:
        client.flushdb()
    return redis_database


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium."""
    program = chromium_program()
    if program is None:
        pytest.fail(HOW_TO_INSTALL_CHROMIUM)
    return program


@pytest.fixture(scope="session")
def shared() -> Path:
    """The recorded answers and dossiers beside the checkout; tests that need them are skipped where they are absent."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    return SHARED


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Any]:
    """A running sandbox of 20 titles without limits, for the whole session: do not change its state."""
    from tests.sandboxes import running_sandbox

    with running_sandbox(titles=20, limits="off") as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty directory that `scrapy` takes for its project: no ``.env``, no catalogue."""
    shutil.copy(ROOT / "scrapy.cfg", tmp_path)
    return tmp_path


@pytest.fixture
def scrapy(project: Path) -> ScrapyCommand:
    """Run the real command line in `project`: ``scrapy("status", "--json", KODIK_API_TOKEN="…")``."""

    def run(*arguments: str, timeout: float = CLI_TIMEOUT_S, **environment: str) -> subprocess.CompletedProcess[str]:
        return processes.run("scrapy", *arguments, cwd=project, env=clean_environment(environment), timeout=timeout)

    return run


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no setting of the person who runs them."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def true_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of tests marked ``exec`` are started as users start them."""
    if request.node.get_closest_marker("exec"):
        monkeypatch.setattr(processes, "forking", False)
