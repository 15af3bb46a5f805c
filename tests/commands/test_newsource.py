"""``scrapy newsource`` and ``record``: a tenth source edits nothing that is there, and works."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.guard import ROOT, clean_environment

OF_SOURCES = (
    "tests/test_source_contract.py",
    "tests/test_architecture.py",
    "tests/test_config.py",
    "tests/test_readme.py::test_the_tables_of_settings_and_sources_are_those_of_the_code",
    "tests/test_readme.py::test_every_command_of_ours_is_documented",
)
"""What looks at each source, or at what is written down of it; the slow test below runs everything."""
NOT_COPIED = shutil.ignore_patterns("__pycache__", "var", ".venv", ".git", ".*_cache", "build", "*.egg-info")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project with one source more; beside it what the tests read from there."""
    tmp_path = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT, tmp_path / "project", ignore=NOT_COPIED)
    if (ROOT.parent / "shared").exists():
        (tmp_path / "shared").symlink_to(ROOT.parent / "shared")
    for command in (["init", "-q"], ["add", "-A"]):  # some tests look at the files that git knows
        subprocess.run(["git", *command], cwd=tmp_path / "project", check=True)
    done = run(tmp_path / "project", "scrapy", "newsource", "my_source")
    assert done.returncode == 0, done.stderr
    return tmp_path / "project"


def run(copy: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = clean_environment(environment) | {"PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=300)


def changed(left: Path, right: Path) -> tuple[list[str], list[str]]:
    """Files that differ, and names that only `right` has."""
    ignored = [path.name for path in left.iterdir() if path.name in NOT_COPIED(str(left), [path.name])]
    compared = filecmp.dircmp(left, right, ignore=[*ignored, "__pycache__", "var"])
    differ, added = list(compared.diff_files), list(compared.right_only)
    for name in compared.common_dirs:
        below = changed(left / name, right / name)
        differ, added = differ + below[0], added + below[1]
    return differ, added


class Upstream(BaseHTTPRequestHandler):
    """Three pages of two records; the kind of one is not understood."""

    def do_GET(self):
        page = int(self.path.rpartition("=")[2])
        results = [{"id": 10 * page + n, "title": f"Title {page}.{n}", "kind": "tv"} for n in range(2)]
        if page == 2:
            results[1]["kind"] = "hologram"
        body = json.dumps({"results": results, "next_page": page + 1 if page < 3 else None, "total": 6}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Nothing is logged."""


@pytest.fixture
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_new_source_edits_nothing_and_passes_the_suite_of_all_sources(copy, upstream):
    """One folder more, and the tables that are made from the code; listed, checked, crawled, its settings known."""
    differ, added = changed(ROOT, copy)
    assert (sorted(differ), added) == ([".env.example", "settings.md", "sources.md"], ["my_source"])
    assert "my_source" in run(copy, "scrapy", "list").stdout.split()
    suite = run(
        copy, "pytest", "-q", "-p", "no:cacheprovider", "-k", "my_source or test_config or test_readme", *OF_SOURCES
    )
    assert suite.returncode == 0, suite.stdout
    assert "passed" in suite.stdout
    crawl = run(copy, "scrapy", "crawl", "my_source", MY_SOURCE_BASE_URL=upstream, MY_SOURCE_LIMITS="off")
    assert crawl.returncode == 0, crawl.stderr
    assert [source_id for source_id, _ in stored_by(copy)] == ["10", "11", "20", "21", "30", "31"]
    assert dict(stored_by(copy))["21"] is None  # a kind that nobody knows is unknown


def stored_by(copy: Path) -> list[tuple[str, str | None]]:
    """Id and kind of the anime that the new source has stored."""
    with sqlite3.connect(copy / "var" / "anime.db") as database:
        query = "SELECT source_id, data ->> 'kind' FROM anime WHERE source = 'my_source' ORDER BY 1"
        rows = database.execute(query).fetchall()
    database.close()
    return rows


def test_a_recorded_answer_is_a_sample_once_a_person_has_looked_at_it(copy, upstream):
    """Three files; the draft fails until its marker is gone and what it shows is said; a lost file is drafted anew."""
    settings = {"MY_SOURCE_BASE_URL": upstream, "MY_SOURCE_LIMITS": "off"}
    record = ("scrapy", "record", "my_source", "--case", "list_page__second", "--path", "/anime?page=2")
    done = run(copy, *record, **settings)
    assert done.returncode == 0, done.stderr
    sample = copy / "anime_crawler/sources/my_source/samples/list_page__second"
    assert sorted(path.name for path in sample.iterdir()) == ["expected.json", "meta.json", "response.json"]
    meta = json.loads((sample / "meta.json").read_text())
    assert (meta["endpoint"], meta["status"], meta["origin"]) == ("GET /anime?page=2", 200, "recorded")

    check = run(copy, "scrapy", "checksources", "my_source")
    assert check.returncode == 1
    assert "expected.json is a draft" in check.stdout
    assert "`says` in meta.json is to tell what the sample shows" in check.stdout

    (sample / "expected.json").unlink()
    missing = run(copy, "scrapy", "checksources", "my_source")
    assert (missing.returncode, "checksources --write my_source" in missing.stdout) == (1, True)
    drafted = run(copy, "scrapy", "checksources", "my_source", "--write")
    assert (drafted.returncode, "drafted: " in drafted.stdout) == (1, True)

    expected = json.loads((sample / "expected.json").read_text())
    assert [item["source_id"] for item in expected["items"]] == ["20", "21"]
    del expected["draft"]
    (sample / "expected.json").write_text(json.dumps(expected))
    (sample / "meta.json").write_text(json.dumps(meta | {"says": "The second page of a list."}))
    looked_at = run(copy, "scrapy", "checksources", "my_source", "--write")
    assert (looked_at.returncode, looked_at.stdout) == (0, "my_source: 3 samples, fine\n")


@pytest.mark.slow
@pytest.mark.timeout(7_200)  # the whole suite: minutes where nothing else runs, an hour on a busy machine
def test_a_new_source_passes_everything_that_make_test_runs(copy):
    """`make test` itself, in a copy of the whole tree with the source in it; what it says is shown when it fails."""
    (copy / ".venv").symlink_to(sys.prefix)
    options = {"cwd": copy, "env": clean_environment() | {"PYTHONPATH": str(copy)}, "start_new_session": True}
    with subprocess.Popen(["make", "-o", ".venv/ready", "test"], stderr=subprocess.STDOUT, **options) as suite:
        try:
            assert suite.wait() == 0, "its output stands below, with the reason of each failure"
        finally:
            if suite.poll() is None:
                os.killpg(suite.pid, signal.SIGINT)  # so that it stops the servers it has started


@pytest.mark.parametrize("name", [[], ["kodik"], ["My-Source"], ["import"], ["../evil"], ["a", "b"]])
def test_a_name_that_cannot_be_is_refused(scrapy, name):
    """Taken, no identifier, none, several: exit code 2, nothing written."""
    before = sorted(path.name for path in (ROOT / "anime_crawler" / "sources").iterdir())
    done = scrapy("newsource", *name)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert sorted(path.name for path in (ROOT / "anime_crawler" / "sources").iterdir()) == before
