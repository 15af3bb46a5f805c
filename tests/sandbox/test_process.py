"""The sandbox as a process: ready when it says so, silent about tokens, gone when its owner is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from anime_crawler.sandbox.server.process import running_sandbox, serving

OWNER = """
import sys, time
from anime_crawler.sandbox.server.process import running_sandbox
with running_sandbox(titles=5) as sandbox:
    print(sandbox.url, flush=True)
    time.sleep(60)
"""


def gone(process: psutil.Process, within_s: float = 60) -> bool:
    try:
        process.wait(within_s)
    except psutil.TimeoutExpired:
        return False
    return True


def test_it_ends_when_its_owner_is_killed():
    """kill -9 of the owner leaves no orphan."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        owner.stdout.readline()
        [child] = psutil.Process(owner.pid).children()
        os.kill(owner.pid, signal.SIGKILL)
        assert gone(child)


def test_a_silent_request_does_not_keep_it_alive():
    """It ends in good order although a fault keeps a client waiting; nobody has to kill it."""
    words = ["--json", "--attached", "--titles", "5", "--faults", "kodik.silence"]
    command = [sys.executable, "-m", "anime_crawler.sandbox.server.serve", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with serving(process) as sandbox, pytest.raises(requests.ReadTimeout):
            requests.get(f"{sandbox.kodik_url}/years", timeout=0.2)
        assert process.returncode == 0


def test_the_log_names_every_request_and_no_token(tmp_path: Path):
    """In memory and in the file: parameters, ids, status, bytes, requests in flight."""
    log = tmp_path / "log.jsonl"
    secret = "canary-3f9a"
    with running_sandbox(titles=5, limits="off", log=log, kodik_token=secret) as sandbox:
        requests.get(f"{sandbox.kodik_url}/list", {"token": secret, "limit": 3}, timeout=10)
        query = {"query": '{ animes(ids: "1,2", limit: 50) { id } }'}
        requests.post(f"{sandbox.shikimori_url}/api/graphql", json=query, headers={"User-Agent": "t"}, timeout=10)
        requests.get(f"{sandbox.backend_url}/health", timeout=10)
        entries = sandbox.get("/_sandbox/log")
        stats = sandbox.get("/_sandbox/stats")
    assert [(e["service"], e["path"], e["status"], e["in_flight"]) for e in entries] == [
        ("kodik", "/list", 200, 1),
        ("shikimori", "/api/graphql", 200, 1),
        ("backend", "/health", 200, 1),
    ]
    assert entries[0]["summary"] == {"limit": "3"}
    assert entries[1]["summary"]["ids"] == "1,2"
    assert {name: n for name, n in stats["requests"].items() if n} == {"kodik": 1, "shikimori": 1, "backend": 1}
    assert secret not in json.dumps([entries, stats])
    lines = log.read_text()
    assert len(lines.splitlines()) == 3
    assert secret not in lines


def test_a_reset_forgets_what_was_seen(fresh, list_page):
    """Log and figures; the world stays."""
    fresh.post("/_sandbox/mutate", {"op": "new_title"})
    list_page()
    fresh.post("/_sandbox/reset")
    assert fresh.get("/_sandbox/log") == []
    assert fresh.get("/_sandbox/stats")["requests"]["kodik"] == 0
    assert fresh.get("/_sandbox/")["titles"] == 61


def test_it_prints_what_to_set():
    """The address and the settings, to copy; unknown faults stop it before it serves."""
    command = [sys.executable, "-m", "scrapy", "sandbox", "--titles", "5", "--attached"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "export KODIK_BASE_URL=http://127.0.0.1:" in done.stdout
    assert "export INTERNAL_TOKEN=sandbox-internal-token" in done.stdout
    wrong = subprocess.run([*command, "--faults", "kodik.x"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "there is no fault" in wrong.stderr


def test_it_serves_a_recorded_catalogue(shared: Path):
    """Real titles with their Shikimori ids, in Kodik's and Shikimori's words."""
    with running_sandbox(titles=50, limits="off", catalogue=shared / "datasets/catalogue_train.jsonl.gz") as sandbox:
        assert sandbox.get("/_sandbox/")["titles"] == 50
        answer = requests.get(f"{sandbox.kodik_url}/list", {"token": sandbox.kodik_token}, timeout=10).json()
        assert answer["total"] > 200
        assert any(not m["title_orig"].isascii() or " " in m["title_orig"] for m in answer["results"])


def test_it_leaves_nothing_behind(tmp_path: Path):
    """However often it is told to stop, its backend's database goes with it."""
    command = [sys.executable, "-m", "anime_crawler.sandbox.server.serve", "--titles", "5", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        process.stdout.readline()
        assert list(tmp_path.iterdir())
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
