"""diagnose, docs and record as their users start them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from anime_crawler import __version__
from anime_crawler.commands.docs import replace_block
from tests.guard import ROOT

CANARY = "s3cr3t-canary-value"
COMMANDS = [
    ("crawl", "kodik"),
    ("deliver",),
    ("status",),
    ("diagnose",),
    ("deadletters", "list"),
    ("export", "--kind", "anime", "--format", "csv", "-o", "anime.csv"),
    ("backend", "--port", "0"),
    ("record", "kodik", "--case", "never_written"),
]


@pytest.fixture
def services(sandbox) -> dict[str, str]:
    """Settings of somebody whose upstreams and backend are the sandbox."""
    return {
        "KODIK_API_TOKEN": sandbox.kodik_token,
        "KODIK_BASE_URL": sandbox.kodik_url,
        "SHIKIMORI_BASE_URL": sandbox.shikimori_url,
        "BACKEND_BASE_URL": sandbox.backend_url,
        "INTERNAL_TOKEN": sandbox.internal_token,
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wrong_setting_ends_every_command_with_2_and_one_message(command, scrapy):
    """The setting, what was read, an example; no traceback, nothing on disk."""
    done = scrapy(*command, CONCURRENCY="four", KODIK_API_TOKEN=CANARY)
    assert done.returncode == 2
    assert "CONCURRENCY: " in done.stderr
    assert "read 'four'; example: CONCURRENCY=4" in done.stderr
    assert "Traceback" not in done.stderr


def test_diagnose_shows_every_setting_its_origin_and_that_all_services_are_well(scrapy, project, services):
    """Exit 0; as JSON for programs, without any token."""
    (project / ".env").write_text("CONCURRENCY=3\n")
    done = scrapy("diagnose", "--json", "-s", "MAX_RETRIES=2", **services)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["version"] == __version__
    shown = {row["setting"]: (row["value"], row["origin"]) for row in report["settings"]}
    assert shown["CONCURRENCY"] == ("3", ".env")
    assert shown["MAX_RETRIES"] == ("2", "command line")
    assert shown["KODIK_BASE_URL"] == (services["KODIK_BASE_URL"], "environment")
    assert shown["DATABASE_URL"] == ("sqlite:///var/anime.db", "default")
    assert {row["service"]: row["what_happened"] for row in report["services"]} == dict.fromkeys(
        ["catalogue", "Kodik", "Shikimori", "backend"], "fine"
    )
    for token in (services["KODIK_API_TOKEN"], services["INTERNAL_TOKEN"]):
        assert token not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ({"KODIK_API_TOKEN": CANARY}, 3, "KODIK_API_TOKEN"),
        ({"INTERNAL_TOKEN": CANARY}, 4, "INTERNAL_TOKEN"),
        ({"KODIK_API_TOKEN": ""}, 2, "KODIK_API_TOKEN"),
        ({"DATABASE_URL": "sqlite:///scrapy.cfg/anime.db"}, 2, "DATABASE_URL"),
        ({"KODIK_BASE_URL": "http://127.0.0.1:9"}, 3, "KODIK_BASE_URL"),
        ({"BACKEND_BASE_URL": "http://127.0.0.1:9"}, 4, "BACKEND_BASE_URL"),
    ],
)
def test_diagnose_names_the_one_setting_to_change(wrong, code, words, scrapy, services):
    """And tells by its exit code whose turn it is; a wrong token is not shown."""
    done = scrapy("diagnose", "--json", **{**services, **wrong})
    assert done.returncode == code, done.stdout + done.stderr
    advice = [row["what_to_do"] for row in json.loads(done.stdout)["services"] if row["exit_code"]]
    assert len(advice) == 1
    assert words in advice[0]
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.exec
def test_diagnose_is_readable_on_a_terminal(scrapy, services):
    """Two tables with the words people look for."""
    done = scrapy("diagnose", COLUMNS="160", **services)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("Settings", "Services", "you see", "what happened", "KODIK_API_TOKEN", "environment"):
        assert words in done.stdout


@pytest.fixture
def copy(project: Path) -> Path:
    """The package copied into the project, for commands that write into it."""
    shutil.copytree(ROOT / "anime_crawler", project / "anime_crawler", ignore=shutil.ignore_patterns("__pycache__"))
    return project


def test_record_saves_an_answer_without_the_token(scrapy, copy, services):
    """Body, what was asked and when; the token's name stands where the token was."""
    done = scrapy("record", "kodik", "--case", "first_record", PYTHONPATH=str(copy), **services)
    assert done.returncode == 0, done.stderr
    folder = copy / "anime_crawler/sources/kodik/samples/first_record"
    body = (folder / "response.json").read_text()
    assert json.loads(body)["results"]
    assert services["KODIK_API_TOKEN"] not in body + (folder / "meta.json").read_text()
    meta = json.loads((folder / "meta.json").read_text())
    assert (meta["endpoint"], meta["status"]) == ("POST /list", 200)

    again = scrapy("record", "kodik", "--case", "first_record", PYTHONPATH=str(copy), **services)
    assert again.returncode == 2
    assert "there is a sample first_record of Kodik already" in again.stderr


@pytest.mark.parametrize("arguments", [("nobody", "--case", "a"), ("kodik", "--case", "../a"), ("kodik",)])
def test_record_refuses_what_it_cannot_do(arguments, scrapy, services):
    """An unknown source, a name that is no name, no name."""
    assert scrapy("record", *arguments, **services).returncode == 2


def test_record_says_that_a_token_is_missing(scrapy, services):
    """Exit 2, the setting named."""
    done = scrapy("record", "kodik", "--case", "never_written", **{**services, "KODIK_API_TOKEN": ""})
    assert done.returncode == 2
    assert "KODIK_API_TOKEN" in done.stderr


def test_docs_writes_what_is_out_of_date_and_nothing_else(scrapy, copy):
    """`--check` exits 1 and writes nothing; without it the files are mended; then there is nothing to do."""
    docs = copy / "anime_crawler" / "docs"
    (docs / "settings.md").write_text("# Mine\n<!-- settings -->\nof yesterday\n<!-- /settings -->\n")
    (docs / "sources.md").write_text("# Mine\n<!-- sources --><!-- /sources -->\n")
    check = scrapy("docs", "--check")
    stale = ["anime_crawler/docs/settings.md", "anime_crawler/docs/sources.md", ".env.example"]
    assert (check.returncode, check.stdout) == (1, "".join(f"out of date: {name}\n" for name in stale))
    assert scrapy("docs").returncode == 0
    settings, sources = (docs / "settings.md").read_text(), (docs / "sources.md").read_text()
    assert settings.startswith("# Mine\n")
    assert "of yesterday" not in settings
    assert "| `KODIK_API_TOKEN` |" in settings
    assert "| `shikimori` |" in sources
    assert "#KODIK_API_TOKEN=" in (copy / ".env.example").read_text()
    assert (scrapy("docs", "--check").stdout, scrapy("docs").stdout) == ("", "")


def test_a_document_without_its_block_is_told():
    """Nothing is appended silently."""
    with pytest.raises(ValueError, match="one block <!-- settings -->"):
        replace_block("# Mine", "settings", "")
