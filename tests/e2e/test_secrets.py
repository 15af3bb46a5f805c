"""Canary tokens in every secret setting: nothing that a run leaves behind holds them, however it went."""

from __future__ import annotations

import base64
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.support import Project, until
from tests.sandboxes import running_sandbox

KODIK_TOKEN = "kodik+Canary/7f3a=9d21"
INTERNAL_TOKEN = "backend+Canary/51bc=0e44"
CACHED = ("-s", "KODIK_CACHE_TTL_SECONDS=3600", "-s", "HTTP_CACHE_FILE=cache.sqlite")
DEBUG = ("-L", "DEBUG")
CRAWL_AT_DEBUG = ("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik", *DEBUG, *CACHED)


def forms(secret: str) -> Iterator[bytes]:
    """The ways in which a secret could be found: as it is, percent-encoded, base64 at any offset, JSON, hex."""
    for encoded in (secret, quote(secret, safe=""), quote(secret), secret.replace("/", "\\/"), secret.encode().hex()):
        yield encoded.encode()
        yield encoded.lower().encode()
    for offset in range(3):
        text = base64.b64encode(b"x" * offset + secret.encode())
        yield text[4 if offset else 0 : -4]  # the ends depend on what stands beside


FORMS = {secret: tuple(forms(secret)) for secret in (KODIK_TOKEN, INTERNAL_TOKEN)}


def leaks(name: str, content: bytes) -> list[str]:
    """Where a canary shows."""
    lower = content.lower()
    return [
        f"{name} holds {form!r}"
        for found in FORMS.values()
        for form in found
        if form in content or (b"%" in form and form.lower() in lower)
    ]


def assert_clean(project: Project, *outputs: str) -> None:
    """No file under the project directory and no output holds a canary."""
    found = [leak for number, text in enumerate(outputs) for leak in leaks(f"output {number}", text.encode())]
    files = [path for path in project.directory.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        found += leaks(str(path.relative_to(project.directory)), path.read_bytes())
    assert found == []


def assert_clean_cache(project: Project) -> None:
    """Unpacked too, no kept answer of Kodik holds a canary, and the backend's are not kept."""
    with closing(sqlite3.connect(project.directory / "cache.sqlite")) as db:
        rows = db.execute("SELECT source, value FROM kept").fetchall()
    assert [source for source, _ in rows] == ["kodik"] * 2
    assert [leak for _, value in rows for leak in leaks("entry", zlib.decompress(value[8:]))] == []
    assert any(b"REDACTED" in zlib.decompress(value[8:]) for _, value in rows)


@pytest.fixture(scope="module")
def canary_sandbox() -> Iterator[Any]:
    with running_sandbox(titles=20, limits="off", kodik_token=KODIK_TOKEN, internal_token=INTERNAL_TOKEN) as sandbox:
        yield sandbox


@pytest.fixture
def project(canary_sandbox: Any, tmp_path: Path) -> Project:
    """A project whose tokens are canaries."""
    canary_sandbox.post("/_sandbox/reset", {"world": True})
    project = Project(tmp_path / "project", canary_sandbox, {"MAX_RETRIES": "1"})
    assert (canary_sandbox.kodik_token, canary_sandbox.internal_token) == (KODIK_TOKEN, INTERNAL_TOKEN)
    return project


def test_the_search_finds_what_it_looks_for() -> None:
    """Else the other tests would prove nothing."""
    for text in (
        f"token={KODIK_TOKEN}",
        f"token={quote(KODIK_TOKEN, safe='').lower()}",
        base64.b64encode(f"a token={KODIK_TOKEN}&b".encode()).decode(),
        f"X-Internal-Token: {INTERNAL_TOKEN}",
    ):
        assert leaks("text", text.encode()), text


def test_a_good_run_leaves_no_secret(project: Project) -> None:
    """At DEBUG, with a feed and a cache: catalogue, job directory, budgets, report, feed, cache and output."""
    done = project.crawl(*DEBUG, *CACHED, "-O", "feed.jsonl")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (project.directory / "feed.jsonl").stat().st_size > 10_000
    assert (project.directory / "cache.sqlite").stat().st_size > 10_000
    assert_clean_cache(project)
    others = [project.run(*words) for words in (("status", "--json"), ("diagnose", "--json"), ("deliver", *DEBUG))]
    assert_clean(project, *(text for run in (done, *others) for text in (run.stdout, run.stderr)))


def test_runs_whose_pages_are_kept_as_dead_letters_leave_no_secret(project: Project) -> None:
    """Kodik's page states the token in its `next_page`; the dead letter of the page does not."""
    faults: list[tuple[str, dict[str, Any], int]] = [
        ("cut", {}, 3),
        ("foreign_next", {}, 0),
        ("repeated_cursor", {}, 3),
        ("replaced", {"path": "title", "value": {"token": KODIK_TOKEN}, "record": 1}, 1),
        ("wrong_shape", {"path": "results", "value": "x"}, 3),
        ("truncated", {}, 3),
    ]
    outputs = []
    for fault, options, code in faults:
        project.calm()
        project.forget_waiting()
        project.fault("kodik", fault, **options)
        done = project.crawl(*DEBUG, "-a", "mode=full", BACKEND_BASE_URL="")
        assert done.returncode == code, (fault, done.stderr[-3000:])
        outputs += [done.stdout, done.stderr]
        assert_clean(project, *outputs)
    listed = project.run("deadletters", "list")
    assert "kodik material" in listed.stdout
    assert "kodik page" in listed.stdout
    numbers = [line.split()[0] for line in listed.stdout.splitlines() if "parse" in line]
    shown = [project.run("deadletters", "show", number).stdout for number in numbers]
    assert_clean(project, listed.stdout, *shown)


def test_a_refused_token_is_shown_nowhere(project: Project) -> None:
    """Neither the one that Kodik refuses nor the one that the backend refuses."""
    project.fault("kodik", "token_refused", skip=1)
    done = project.crawl(*DEBUG, INTERNAL_TOKEN=INTERNAL_TOKEN + "wrong")
    assert done.returncode == 3, done.stderr[-3000:]
    assert "KODIK_API_TOKEN" in done.stderr
    assert_clean(project, done.stdout, done.stderr)


def test_a_killed_run_leaves_no_secret(project: Project) -> None:
    """kill -9 with a request in flight and another kept for a further attempt."""
    project.fault("kodik", "status", status=503, skip=1, count=1)
    project.fault("kodik", "silence", skip=1)
    process = project.start(*CRAWL_AT_DEBUG, MAX_RETRIES="5")
    until(lambda: project.requests_to("kodik") == 3)
    process.kill()
    process.wait()
    assert_clean(project, project.log())


def test_wrong_settings_are_named_without_their_secrets(project: Project) -> None:
    """A token with a blank in it, and a password in an address that is refused for another reason."""
    runs = [
        project.crawl(KODIK_API_TOKEN=f"{KODIK_TOKEN} x"),
        project.crawl(DATABASE_URL=f"mysql://user:{quote(KODIK_TOKEN, safe='')}@localhost/anime"),
        project.crawl(BACKEND_BASE_URL=f"http://user:{quote(INTERNAL_TOKEN, safe='')}@localhost"),
    ]
    for done in runs:
        assert done.returncode == 2, done.stderr
        assert leaks("output", (done.stdout + done.stderr).encode()) == []
