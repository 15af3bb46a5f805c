"""Runs that scrapyd schedules: deployed as an egg, started by HTTP, stopped cleanly, gone on with by the next job."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.support import Project, until
from tests.guard import ROOT
from tests.sandboxes import running_sandbox
from tests.services import free_port
from tests.test_readme import blocks

USER, PASSWORD = "crawler", "only-for-this-test"
PARTS = ("anime_crawler", "pyproject.toml", "README.md", "requirements.txt", "scrapy.cfg")
CONF = """
[scrapyd]
http_port = {port}
username = {user}
password = {password}
poll_interval = 0.2
"""


class Scrapyd:
    """A scrapyd with the project deployed, and requests to it."""

    def __init__(self, place: Project, source: Path, port: int) -> None:
        self.place = place
        self.source = source
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **params: str) -> Any:
        return requests.get(f"{self.url}/{path}", params=params, auth=(USER, PASSWORD), timeout=60).json()

    def post(self, path: str, data: dict[str, Any]) -> Any:
        answer = requests.post(f"{self.url}/{path}", data=data, auth=(USER, PASSWORD), timeout=60).json()
        assert answer["status"] == "ok", answer
        return answer

    def schedule(self, **more: Any) -> str:
        """The job's id."""
        wish = {"project": "anime_crawler", "spider": "kodik", "setting": ["JOBDIR=var/jobs/kodik"], **more}
        return str(self.post("schedule.json", wish)["jobid"])

    def state(self, job: str) -> str:
        jobs = self.get("listjobs.json", project="anime_crawler")
        return next((state for state in ("pending", "running", "finished") if job in ids(jobs[state])), "unknown")

    def log(self, job: str) -> str:
        answer = requests.get(f"{self.url}/logs/anime_crawler/kodik/{job}.log", auth=(USER, PASSWORD), timeout=60)
        return answer.text if answer.ok else ""


def ids(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["id"] for job in jobs]


@pytest.fixture(scope="module")
def scrapyd(tmp_path_factory):
    """A real scrapyd with a password, beside a sandbox; the project comes as an egg built from a copy."""
    source, port = tmp_path_factory.mktemp("checkout"), free_port()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, source / part)
    login = f"url = http://127.0.0.1:{port}/\nusername = {USER}\npassword = {PASSWORD}"
    config = (source / "scrapy.cfg").read_text().replace("url = http://127.0.0.1:6800/", login)
    (source / "scrapy.cfg").write_text(config)
    settings = source / "anime_crawler" / "settings.py"
    settings.write_text(settings.read_text().replace('BOT_NAME = "anime_crawler"', 'BOT_NAME = "from_the_egg"'))
    with running_sandbox(titles=60, limits="off") as sandbox:
        place = Project(tmp_path_factory.mktemp("scrapyd"), sandbox, {"BACKEND_BASE_URL": "", "PYTHONPATH": ""})
        (place.directory / "scrapy.cfg").unlink()
        (place.directory / "scrapyd.conf").write_text(CONF.format(port=port, user=USER, password=PASSWORD))
        server = place.start(module="scrapyd")
        try:
            until(lambda: "Site starting" in place.log() or "Listening" in place.log() or server.poll() is not None)
            deploy(source, place)
            yield Scrapyd(place, source, port)
        finally:
            server.terminate()
            server.wait(60)


def deploy(source: Path, place: Project) -> None:
    """``scrapyd-deploy`` in a copy of the checkout; it leaves build files where it runs."""
    command = [Path(sys.executable).parent / "scrapyd-deploy"]
    done = subprocess.run(command, cwd=source, env=place.env(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["spiders"] >= 9, done.stdout


def test_nobody_gets_in_without_the_password(scrapyd):
    """Neither to schedule nor to look."""
    for path in ("schedule.json", "listjobs.json?project=anime_crawler", "logs/"):
        assert requests.get(f"{scrapyd.url}/{path}", timeout=60).status_code == 401


def test_a_stopped_job_is_gone_on_with_by_the_next_one(scrapyd):
    """Cancel is a clean stop with exit code 130; the same command again ends as an undisturbed run."""
    place = scrapyd.place
    place.fault("kodik", "held")
    first = scrapyd.schedule()
    until(lambda: place.requests_to("kodik") > 0)
    scrapyd.post("cancel.json", {"project": "anime_crawler", "job": first})
    until(lambda: scrapyd.state(first) == "finished")
    assert place.report()["exit_code"] == 130
    place.calm()
    second = scrapyd.schedule()
    until(lambda: scrapyd.state(second) == "finished")
    assert place.report()["exit_code"] == 0
    players = [player for player in place.records("players") if player["title_id"]]
    assert len(players) == len(place.sandbox.get("/_sandbox/oracle?what=players"))
    assert '"exit_code": 0' in scrapyd.log(second)
    assert "bot: from_the_egg" in scrapyd.log(second)


def test_arguments_reach_the_spider_and_wrong_ones_are_in_the_log(scrapyd):
    """``mode`` is taken as on the command line; what is wrong is said where scrapyd shows it."""
    place = scrapyd.place
    job = scrapyd.schedule(mode="sideways")
    until(lambda: scrapyd.state(job) == "finished")
    assert "full or incremental is wanted" in scrapyd.log(job) + place.log()
    job = scrapyd.schedule(mode="incremental")
    until(lambda: scrapyd.state(job) == "finished")
    assert place.report()["exit_code"] == 0
    assert not (set(place.sandbox.environment.values()) & set(scrapyd.log(job).split()))


def test_readmes_commands_deploy_and_start_a_run(scrapyd):
    """Word for word, but for the port; user and password are in ``~/.netrc``."""
    block = next(block for _, block in blocks("sh") if block.startswith("scrapyd-deploy"))
    home, programs = scrapyd.place.directory / "home", Path(sys.executable).parent
    home.mkdir()
    (home / ".netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    config = re.sub("^(username|password) = .*\n", "", (scrapyd.source / "scrapy.cfg").read_text(), flags=re.MULTILINE)
    (scrapyd.source / "scrapy.cfg").write_text(config)
    env = scrapyd.place.env(HOME=str(home), PATH=f"{programs}:{os.environ['PATH']}")
    command = ["sh", "-euc", block.replace("http://127.0.0.1:6800", scrapyd.url)]
    done = subprocess.run(command, cwd=scrapyd.source, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    deployed, scheduled, _ = (json.loads(text) for text in re.findall(r"^\{.*\}$", done.stdout, re.MULTILINE))
    assert {deployed["status"], scheduled["status"]} == {"ok"}
    until(lambda: scrapyd.state(scheduled["jobid"]) == "finished")
    assert scrapyd.place.report()["exit_code"] == 0


def test_no_token_is_left_where_scrapyd_shows_it(scrapyd):
    """Logs, queue and reports hold no credential."""
    secret = scrapyd.place.sandbox.kodik_token.encode()
    files = [path for path in scrapyd.place.directory.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if secret in path.read_bytes()]
