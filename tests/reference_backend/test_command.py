"""``scrapy backend`` as a user starts it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import requests

from tests.conftest import ScrapyCommand
from tests.guard import clean_environment

TOKEN = "a-token-of-this-test"


def test_it_serves_over_the_catalogues_database_and_says_where(project: Path):
    """The printed address answers to INTERNAL_TOKEN, the rows lie in DATABASE_URL, Ctrl-C ends it quietly."""
    command = [sys.executable, "-m", "scrapy", "backend", "--port", "0"]
    environment = clean_environment({"INTERNAL_TOKEN": TOKEN})
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            lines = [server.stdout.readline().decode() for _ in range(2)]
            url = lines[0].split()[-1]
            assert f"BACKEND_BASE_URL={url}" in lines[1]
            assert requests.get(f"{url}/health", timeout=10).json()["status"] == "healthy"
            probe = requests.post(
                f"{url}/api/v1/internal/import/anime", json={}, headers={"X-Internal-Token": TOKEN}, timeout=10
            )
            assert probe.status_code == 422
            assert (project / "var" / "anime.db").exists()
        finally:
            server.send_signal(signal.SIGINT)
            errors = server.stderr.read().decode()
        assert "Traceback" not in errors


def test_a_missing_token_is_exit_2_and_named(scrapy: ScrapyCommand):
    """Nothing is served without one."""
    done = scrapy("backend", "--port", "0")
    assert done.returncode == 2
    assert "INTERNAL_TOKEN" in done.stderr


def test_a_port_in_use_is_exit_2_and_named(scrapy: ScrapyCommand):
    """With what to do, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = scrapy("backend", "--port", port, "--token", TOKEN)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; try another --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_cannot_be_opened_is_exit_2_without_its_password(scrapy: ScrapyCommand):
    """The message names DATABASE_URL and the cause."""
    url = "postgresql+psycopg://someone:canary-password@127.0.0.1:1/x"
    done = scrapy("backend", "--port", "0", "--token", TOKEN, "--database", url)
    assert done.returncode == 2
    assert "DATABASE_URL: cannot open" in done.stderr
    assert "canary" not in done.stderr
