"""AniSearch with pages that are nothing without their script, in the real Chromium, through the command line."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from aiohttp import web

from anime_crawler.sandbox.server.limits import LIMITERS
from anime_crawler.sandbox.server.services import Options, Services
from anime_crawler.sandbox.server.wire import Call
from anime_crawler.sandbox.upstreams.script_page import SCRIPT_PATH, script
from anime_crawler.sandbox.world.elsewhere import known_at
from tests.download.upstream_server import UpstreamServer, running_server
from tests.e2e.support import Project, until

COMMAND = ("crawl", "anisearch", "-a", "mode=full", "-s", "JOBDIR=var/jobs/anisearch")
SERVICES = Services(Options(titles=5))
IDS = sorted(known_at("anisearch", SERVICES.world))
PAGES = ["/anime/index/page-1", *(f"/anime/{own}" for own in IDS)]


@pytest.fixture
def server():
    """AniSearch with few titles under the sandbox's fault `script`."""
    site = SERVICES.upstreams["anisearch"]
    with running_server() as running:
        running.answers["/robots.txt"] = [web.Response(status=404)]
        for path in [*PAGES, SCRIPT_PATH]:
            call = Call("anisearch", "GET", path, "", {}, b"", running.url)
            reply = script(call, lambda call=call: site.answer(call), {})
            headers = {"Content-Type": reply.content_type, **reply.headers}
            running.answers[path] = [web.Response(status=reply.status, body=reply.body, headers=headers)]
        yield running


@pytest.fixture
def project(tmp_path: Path, server: UpstreamServer, chromium: str) -> Project:
    settings = {"ANISEARCH_BASE_URL": server.url, "DATABASE_URL": "sqlite:///var/anime.db", "MAX_RETRIES": "1"}
    return Project(tmp_path / "project", SimpleNamespace(environment=settings))


def titles(project: Project) -> list[str]:
    return sorted(record["source_id"] for record in project.records("anime"))


def start_and_browse(project: Project, server: UpstreamServer) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """The command, at work for some seconds still, and every process that it has started."""
    process = project.start(*COMMAND, "-a", "render=browser", ANISEARCH_LIMITS="1/s")
    until(lambda: bool(server.at(SCRIPT_PATH)))
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) > 1  # the driver and Chromium
    return process, started


@pytest.mark.slow
def test_a_killed_run_leaves_no_browser_and_is_continued(project, server):
    """`kill -9` while Chromium is at work; then the same command reads every page, and asks for nothing but pages."""
    process, browsers = start_and_browse(project, server)
    process.kill()
    process.wait()
    assert psutil.wait_procs(browsers, timeout=60)[1] == []
    done = project.run(*COMMAND, "-a", "render=browser")
    assert done.returncode == 0, done.stderr
    assert titles(project) == IDS
    asked = Counter(arrival.path for arrival in server.arrivals)
    assert asked.keys() == {"/robots.txt", SCRIPT_PATH, *PAGES}
    assert asked[SCRIPT_PATH] <= 2  # its headers let the cache keep it; the kill may have come before
    assert asked.total() <= len(asked) + 3  # robots.txt, the page that was under way, and its script


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_a_stopped_run_takes_its_browser_along(project, server, signals):
    """SIGTERM once or twice: exit 130 and no process is left; then the same command reads the rest."""
    process, browsers = start_and_browse(project, server)
    for _ in range(signals):
        os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert psutil.wait_procs(browsers, timeout=60)[1] == []
    assert project.run(*COMMAND, "-a", "render=browser").returncode == 0
    assert titles(project) == IDS


@pytest.mark.slow
@pytest.mark.skipif("anisearch" not in LIMITERS, reason="the sandbox does not serve crawled sites yet")
@pytest.mark.parametrize("source", ["anisearch", "anime_planet"])
def test_a_shown_site_says_the_same_as_a_plain_one(new_project, chromium, source):
    """Every export byte for byte; the picture is never asked for, the script once, the other paths as without it."""
    plain = new_project("plain", {"BACKEND_BASE_URL": ""}, titles=12)
    shown = Project(plain.directory.parent / "shown", plain.sandbox, plain.environment)
    asked = []
    for project, arguments in ((plain, ()), (shown, ("-a", "render=browser"))):
        project.calm()
        if arguments:
            project.fault(source, "script")
        done = project.run("crawl", source, "-a", "mode=full", *arguments)
        assert done.returncode == 0, done.stderr
        asked.append(Counter(entry["path"] for entry in project.sandbox.get(f"/_sandbox/log?service={source}")))
    assert titles(shown)
    assert shown.exports() == plain.exports()
    assert asked[1] == asked[0] + Counter([SCRIPT_PATH])


@pytest.mark.slow
def test_without_a_browser_such_pages_are_not_anisearchs(project):
    """Exit 3, as for any page that has changed its shape: nothing is read into it."""
    done = project.run(*COMMAND)
    assert done.returncode == 3
    assert ("anisearch", "wrong_shape") in project.problems()


def test_a_missing_chromium_is_said_before_anything_is_asked(project, server):
    """Exit 2; the message names what to install, and the setting for one that is elsewhere."""
    done = project.run(*COMMAND, "-a", "render=browser", PATH="")
    assert done.returncode == 2
    assert "apt-get install chromium" in done.stderr
    assert "CHROMIUM_PATH=/" in done.stderr
    assert server.arrivals == []
