"""README and the pages of ``anime_crawler/docs`` are true: their commands run, their output and tables are real."""

from __future__ import annotations

import configparser
import itertools
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anime_crawler.sandbox.server.process import running_sandbox
from tests import processes
from tests.guard import ROOT, clean_environment
from tests.services import free_port

README = ROOT / "README.md"
PAGES = {path: path.read_text(encoding="utf-8") for path in [README, *sorted(ROOT.glob("anime_crawler/docs/*.md"))]}
"""The text of README and of each page of ``docs``, in the order in which their commands are run."""
SECTIONS = [section for text in PAGES.values() for section in re.split(r"^## ", text, flags=re.MULTILINE)]
SERVER_START_S = 30  # most seconds a server may take to listen

# `make` must neither set up a second environment nor start the suite inside the suite; what the container would run is
# run here.
PRELUDE = """
set -eu
export PATH="$PWD/.venv/bin:$PATH"
make() { if [ "$1" = test ]; then command make -n -o .venv/ready test; else command make -o .venv/ready "$@"; fi; }
docker() {
    case "$*" in
        "compose up --build"*) ;;
        "compose run --rm worker "*) shift 4; scrapy "$@" ;;
        *) echo "unexpected: docker $*" >&2; return 1 ;;
    esac
}
"""


def blocks(language: str) -> list[tuple[str, str]]:
    """(Heading, text) of every code block in that language, README's first."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(section.splitlines()[0], block) for section in SECTIONS for block in pattern.findall(section)]


def is_server(block: str) -> bool:
    """Whether the block starts something that stays."""
    return block.rstrip().endswith("&")


def needs_scrapyd(block: str) -> bool:
    """Whether it is run beside a scrapyd, by tests/e2e/test_scrapyd.py."""
    return block.startswith("scrapyd-deploy")


COMMANDS = [
    pytest.param(block, id=heading)
    for heading, block in blocks("sh")
    if not is_server(block) and not needs_scrapyd(block)
]
SERVERS = [pytest.param(block, id=heading) for heading, block in blocks("sh") if is_server(block)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout whose ``.venv`` is the one the tests run in."""
    target = tmp_path_factory.mktemp("clone") / "anime_crawler"
    rubbish = shutil.ignore_patterns(
        ".git", ".venv", "var", ".env", "*_cache", "__pycache__", "*.egg-info", ".hypothesis"
    )
    shutil.copytree(ROOT, target, ignore=rubbish)
    (target / ".venv").symlink_to(sys.prefix)
    return target


@pytest.fixture(scope="module")
def settings(clone: Path, redis_database: str) -> Iterator[dict[str, str]]:
    """The environment of a user whose upstreams and backend are a sandbox."""
    with running_sandbox(titles=20, limits="off") as sandbox:
        yield clean_environment(
            {
                "KODIK_API_TOKEN": sandbox.kodik_token,
                "KODIK_BASE_URL": sandbox.kodik_url,
                "SHIKIMORI_BASE_URL": sandbox.shikimori_url,
                "BACKEND_BASE_URL": sandbox.backend_url,
                "INTERNAL_TOKEN": sandbox.internal_token,
                "DATABASE_URL": "sqlite:///var/anime.db",
                "KODIK_LIMITS": "off",
                "SHIKIMORI_LIMITS": "off",
                "TEST_REDIS": redis_database,
                "PYTHONPATH": str(clone),  # its package, not the checkout's: `record` writes into it
            }
        )


def run(block: str, clone: Path, environment: dict[str, str]) -> str:
    """What the block prints; it must end with 0."""
    done = subprocess.run(
        ["bash", "-c", PRELUDE + block], cwd=clone, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def is_plain(line: str) -> bool:
    """Whether it is a command of ours and its settings, nothing that only a shell understands.

    `record` writes into the package, and must not find that of the checkout.
    """
    return bool(re.fullmatch(r"([A-Z_]+=\S+ )*scrapy (?!record)[^|&;<>$*]+", line.partition("#")[0]))


def run_plain(line: str, clone: Path, environment: dict[str, str]) -> None:
    """Run the command in a fork: that costs a tenth of a process, and most commands of the pages can be run so."""
    words = shlex.split(line, comments=True)
    own = dict(word.split("=", 1) for word in itertools.takewhile(lambda word: word != "scrapy", words))
    env = clean_environment({name: value for name, value in environment.items() if name != "PYTHONPATH"} | own)
    done = processes.run("scrapy", *words[len(own) + 1 :], cwd=clone, env=env, timeout=240)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", COMMANDS)
def test_every_command_block_runs(block, clone, settings):
    """Each block ends with 0, one after the other in one directory, as a reader would type them."""
    block = block.replace("redis://localhost:6379/1", settings["TEST_REDIS"])
    # A block that changes the shell is one for a shell as a whole.
    for plain, lines in itertools.groupby(
        block.splitlines(), key=lambda line: is_plain(line) and ". .venv" not in block
    ):
        if plain:
            for line in lines:
                run_plain(line, clone, settings)
        else:
            run("\n".join(lines), clone, settings)


@pytest.mark.parametrize("block", SERVERS)
def test_every_server_in_a_block_starts(block, clone, settings):
    """It listens on the port it was given, and ends when it is told to."""
    port = free_port()
    script = PRELUDE + re.sub(r"--port \d+", f"--port {port}", block) + "wait\n"
    process = subprocess.Popen(["bash", "-c", script], cwd=clone, env=settings, start_new_session=True)
    try:
        wait_for_port(port)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def wait_for_port(port: int) -> None:
    """Return when something listens."""
    end = time.monotonic() + SERVER_START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end, f"nothing listens on {port}"
            time.sleep(0.1)


@pytest.mark.parametrize("line", [line for _, block in blocks("cron") for line in block.splitlines()])
def test_every_cron_line_runs(line, clone, settings):
    """Five fields of time, then a command that ends with 0."""
    fields = line.split(maxsplit=5)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5])
    run(fields[5].replace("/srv/anime_crawler", str(clone)), clone, settings)


def shape(line: str) -> str:
    """The line without what differs from run to run: numbers, spaces, drawn lines."""
    return re.sub(r"[\d.,:\s─━│┃┏┓└┘┡┩╇┳┴┼├┤]+", " ", line).strip()


def test_the_first_command_prints_what_readme_shows(clone):
    """`make crawl` without a token says first that this is the sandbox. Numbers may differ, words may not."""
    (shown,) = [block for heading, block in blocks("text") if heading.startswith("First run")]
    environment = clean_environment({"PYTHONPATH": str(clone), "COLUMNS": "120"})
    (clone / ".env").unlink(missing_ok=True)
    printed = run("make crawl 2>&1", clone, environment)
    assert printed.splitlines()[0].startswith("No KODIK_API_TOKEN is set: crawling the built-in sandbox")
    lines = {shape(line) for line in printed.splitlines()}
    assert [line for line in shown.splitlines() if line != "…" and shape(line) not in lines] == []


def test_the_tables_of_settings_and_sources_are_those_of_the_code():
    """`scrapy docs --check` finds nothing to write, here and in ``.env.example``."""
    done = processes.run("scrapy", "docs", "--check", cwd=ROOT, env=clean_environment(), timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_every_command_of_ours_is_documented():
    """A command that no page names does not exist for a reader."""
    commands = {path.stem for path in (ROOT / "anime_crawler/commands").glob("*.py") if "Command(" in path.read_text()}
    assert {name for name in commands if f"scrapy {name}" not in "".join(PAGES.values())} == set()


def links(page: Path) -> list[tuple[Path, str]]:
    """(File, anchor) of every link within the checkout; the anchor is empty where the link has none."""
    found = re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", PAGES[page])
    return [((page.parent / target).resolve() if target else page, anchor) for target, anchor in found]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    """Each link within the checkout names a file that exists, and a heading in it."""
    assert links(page)
    assert [str(target) for target, _ in links(page) if not target.exists()] == []
    assert [f"{target}#{anchor}" for target, anchor in links(page) if anchor and anchor not in anchors(target)] == []


def test_readme_links_every_page_of_docs():
    """A reader finds each page from README."""
    assert set(PAGES) - {target for target, _ in links(README)} == {README}


def test_the_systemd_units_start_what_cron_starts() -> None:
    """Sections that systemd knows; the service runs the command of the crontab line."""
    service, timer = (configparser.ConfigParser(interpolation=None, strict=True) for _ in range(2))
    for unit, (_, block) in zip((service, timer), blocks("ini"), strict=True):
        unit.optionxform = str  # type: ignore[method-assign, assignment]
        unit.read_string(block)
    assert service.sections() == ["Unit", "Service"]
    assert timer.sections() == ["Unit", "Timer", "Install"]
    (cron,) = [block for _, block in blocks("cron")]
    command = service["Service"]["ExecStart"].removeprefix(service["Service"]["WorkingDirectory"] + "/")
    assert f"&& {command} >>" in cron
