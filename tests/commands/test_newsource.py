"""``scrapy newsource``: a tenth source edits nothing that is there, and works."""

from __future__ import annotations

import filecmp
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.guard import ROOT, clean_environment

CONTRACT = ("tests/test_source_contract.py", "tests/test_architecture.py")


@pytest.fixture
def copy(tmp_path):
    """A copy of the project, so that a source may be added to it."""
    ignored = shutil.ignore_patterns("__pycache__", "var")
    for name in ("anime_crawler", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("scrapy.cfg", "pyproject.toml", "requirements.txt", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(copy: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = clean_environment(environment) | {"PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=120)


def changed(left: Path, right: Path) -> tuple[list[str], list[str]]:
    """Files that differ, and names that only `right` has."""
    compared = filecmp.dircmp(left, right, ignore=["__pycache__", "var"])
    differ, added = list(compared.diff_files), list(compared.right_only)
    for name in compared.common_dirs:
        below = changed(left / name, right / name)
        differ, added = differ + below[0], added + below[1]
    return differ, added


class Upstream(BaseHTTPRequestHandler):
    """Three pages of two records; one of them is not understood."""

    def do_GET(self):
        page = int(self.path.rpartition("=")[2])
        results = [{"id": 10 * page + n, "title": f"Title {page}.{n}", "kind": "tv"} for n in range(2)]
        if page == 2:
            results[1]["kind"] = "hologram"
        body = json.dumps({"results": results, "next_page": page + 1 if page < 3 else None}).encode()
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
    """One folder more, no file changed; listed, checked, crawled, its settings known."""
    done = run(copy, "scrapy", "newsource", "my_source")
    assert done.returncode == 0, done.stderr
    assert changed(ROOT / "anime_crawler", copy / "anime_crawler") == ([], ["my_source"])
    assert "my_source" in run(copy, "scrapy", "list").stdout.split()
    suite = run(copy, "pytest", "-q", "-p", "no:cacheprovider", "-k", "my_source", *CONTRACT)
    assert suite.returncode == 0, suite.stdout
    assert "passed" in suite.stdout
    crawl = run(copy, "scrapy", "crawl", "my_source", MY_SOURCE_BASE_URL=upstream, MY_SOURCE_LIMITS="off")
    assert crawl.returncode == 1, crawl.stderr  # one record was set aside
    with sqlite3.connect(copy / "var" / "anime.db") as database:
        stored = database.execute("SELECT source_id FROM anime WHERE source = 'my_source' ORDER BY 1").fetchall()
    database.close()
    assert [source_id for (source_id,) in stored] == ["10", "11", "20", "30", "31"]


@pytest.mark.parametrize("name", [[], ["kodik"], ["My-Source"], ["import"], ["../evil"], ["a", "b"]])
def test_a_name_that_cannot_be_is_refused(scrapy, name):
    """Taken, no identifier, none, several: exit code 2, nothing written."""
    before = sorted(path.name for path in (ROOT / "anime_crawler" / "sources").iterdir())
    done = scrapy("newsource", *name)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert sorted(path.name for path in (ROOT / "anime_crawler" / "sources").iterdir()) == before
