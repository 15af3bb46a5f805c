"""What ``make crawl`` runs, without a token and with one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from redis import Redis

from tests.guard import clean_environment

COMMAND = [sys.executable, "-m", "anime_crawler.commands.first_crawl"]


def start(project, **settings):
    """The command, running in the project."""
    return subprocess.Popen(
        COMMAND,
        cwd=project,
        env=clean_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    """Exit code, standard output, standard error."""
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def test_without_a_token_the_sandbox_is_crawled_and_interrupted_and_crawled_again(project, scrapy, redis_url):
    """Ctrl-C ends it with 130; again: 0; again: nothing is new. Nothing that is configured is used, in the environment
    or in ``.env``: no catalogue, no budgets, no Redis, no backend."""
    settings = {
        "DATABASE_URL": "sqlite:///var/own.db",
        "BACKEND_BASE_URL": "http://127.0.0.1:9",
        "REDIS_URL": redis_url,
        "kodik_limits": "1/day",
        "SCRAPY_JOBDIR": "own",
    }
    dotenv = {
        "INTERNAL_TOKEN": "abc",
        "REDIS_CACHE_URL": redis_url,
        "HTTP_CACHE_STORAGE": "redis",
        "RATE_LIMIT_RPS": "1",
    }
    (project / ".env").write_text("".join(f"{name}={value}\n" for name, value in dotenv.items()))
    first = start(project, **settings)
    assert first.stdout.readline().startswith("Sandbox: 200 invented titles, because no KODIK_API_TOKEN is set.")
    assert "of its own and no backend, whatever is configured" in first.stdout.readline()
    wait_until(lambda: (project / "var/sandbox/var/heartbeat").exists())
    os.killpg(first.pid, signal.SIGINT)  # a terminal tells the whole group: us, and the sandbox too
    code, _, err = finish(first)
    assert code == 130, err
    assert "Traceback" not in err

    code, out, err = finish(start(project, **settings))
    assert code == 0, err
    assert "Run 1: exit code 0" in err
    assert "This catalogue holds invented titles" in out

    assert finish(start(project, **settings))[0] == 0
    assert sorted(path.name for path in (project / "var").iterdir() if ".db" not in path.name) == ["sandbox"]
    assert not (project / "var/own.db").exists()
    with Redis.from_url(redis_url) as redis:
        assert redis.keys() == []
    status = json.loads(scrapy("status", "--json", DATABASE_URL="sqlite:///var/sandbox.db", REDIS_URL="").stdout)
    assert (status["counts"]["titles"] > 150, status["origin"]) == (True, "sandbox")
    report = json.loads((project / "var/sandbox/var/reports/run-2.json").read_text())
    assert sum(outcomes.get("new", 0) + outcomes.get("changed", 0) for outcomes in report["counters"].values()) == 0


def wait_until(is_so):
    """Return when it is so."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_with_a_token_kodik_itself_is_crawled(project, sandbox):
    """No word of the sandbox; what is configured is asked, and stored where it is configured."""
    code, out, err = finish(
        start(
            project,
            KODIK_API_TOKEN=sandbox.kodik_token,
            KODIK_BASE_URL=sandbox.kodik_url,
            SHIKIMORI_BASE_URL=sandbox.shikimori_url,
        )
    )
    assert code == 0, err
    assert "Sandbox" not in out
    assert (project / "var/anime.db").exists()


def test_a_wrong_setting_ends_it_with_2(project):
    """One message, before anything is started."""
    code, out, err = finish(start(project, CONCURRENCY="four"))
    assert (code, out) == (2, "")
    assert err.startswith("CONCURRENCY: ")
    assert "Traceback" not in err
