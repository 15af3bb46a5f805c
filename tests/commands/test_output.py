"""What every command prints: to a reader that has gone, in any encoding, on a terminal of any width."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.catalogue import dead_letters
from anime_crawler.catalogue.engine import open_engine
from tests import processes
from tests.guard import ROOT, clean_environment

KODIK = str(ROOT / "anime_crawler/sources/kodik/samples/material__third_season/response.json")
COMMANDS = [
    ("status",),
    ("status", "--json"),
    ("status", "--prometheus"),
    ("deadletters", "list"),
    ("parsefile", "kodik", KODIK),
    ("diagnose", "kitsu", "--json"),
    ("checksources", "kitsu"),
    ("export", "--kind", "anime", "-o", "-"),
    ("version",),
    ("list",),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a dead letter in Russian."""
    directory = tmp_path_factory.mktemp("project")
    (directory / "scrapy.cfg").write_text("[settings]\ndefault = anime_crawler.settings\n")
    letter = dead_letters.Letter("parse", "kodik", "material", "serial-1", "поле: неизвестное слово «Ж»", "{}", "1")
    with open_engine(f"sqlite:///{directory}/var/anime.db").begin() as conn:
        dead_letters.put(conn, 1, [letter])
    return directory


def run(directory: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, ended; its upstreams are away."""
    env = clean_environment({"KITSU_BASE_URL": "http://127.0.0.1:1", **environment})
    return processes.run("scrapy", *command, cwd=directory, env=env, timeout=60)


@pytest.mark.parametrize(("command", "unbuffered"), [*((c, "") for c in COMMANDS), (COMMANDS[1], "1")], ids=repr)
def test_a_reader_that_has_gone_is_no_error(directory, command, unbuffered):
    """As `command | true`: nothing on stderr, and the exit code that it has otherwise."""
    read, write = os.pipe()
    os.close(read)
    env = clean_environment({"KITSU_BASE_URL": "http://127.0.0.1:1"})
    env |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    process = processes.start("scrapy", *command, cwd=directory, env=env, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    stderr = process.communicate(timeout=60)[1]
    assert stderr in (b"", "")
    assert process.returncode == (3 if command[0] == "diagnose" else 0)


@pytest.mark.parametrize(
    ("command", "encoding"),
    [(("diagnose", "kitsu"), "koi8-r"), (("parsefile", "kodik", KODIK), "ascii"), (("deadletters", "list"), "ascii")],
    ids=repr,
)
def test_what_an_encoding_lacks_is_escaped(directory, command, encoding):
    """Nothing ends; lines of JSON are the same JSON as in UTF-8."""
    plain, told = run(directory, *command), run(directory, *command, PYTHONIOENCODING=encoding)
    assert (told.returncode, told.stderr) == (plain.returncode, plain.stderr)
    assert len(told.stdout.splitlines()) == len(plain.stdout.splitlines())
    if command[0] == "parsefile":
        found, wanted = ([json.loads(line) for line in one.stdout.splitlines()] for one in (told, plain))
        for line in found + wanted:
            line.pop("fetched_at")
        assert found == wanted


@pytest.mark.parametrize("columns", ["0", "1", "999999", "99999999999999", "wide", "²"])
def test_a_table_is_there_at_any_width(directory, columns):
    """Of what COLUMNS says only what makes sense is believed."""
    done = run(directory, "status", COLUMNS=columns, LINES=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert "releases" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 1000


@pytest.mark.exec
def test_a_command_without_standard_streams_ends_as_ever(directory):
    """As `command >&- 2>&-`, which some supervisors do."""
    env = clean_environment({"PYTHONPATH": str(ROOT)})
    words = ["sh", "-c", 'exec "$0" -m scrapy parsefile kodik "$1" >&- 2>&-', sys.executable, KODIK]
    assert subprocess.run(words, cwd=directory, env=env, timeout=60).returncode == 0


FULL = Path("/dev/full")
PRINTING = [command for command in COMMANDS if command[0] != "export"]  # of an empty catalogue, JSON lines are none


def end_of(directory: Path, command: Sequence[str], environment: Mapping[str, str], **streams: Any) -> tuple[int, str]:
    """Exit code and standard error of a command with such standard streams."""
    env = clean_environment({"KITSU_BASE_URL": "http://127.0.0.1:1", **environment})
    streams = {"stderr": subprocess.PIPE, **streams}
    with processes.start("scrapy", *command, cwd=directory, env=env, text=True, **streams) as process:
        said = process.communicate(timeout=60)[1]
    return process.returncode, said


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        *((command, unbuffered) for command in PRINTING for unbuffered in ("", "1")),
        (("export", "--kind", "anime", "--format", "csv", "-o", "-"), ""),
        (("nosuch",), ""),
        (("--help",), ""),
        (("deliver", "-s", "DRY_RUN=1"), ""),
    ],
    ids=repr,
)
def test_output_that_cannot_be_written_is_one_sentence_and_exit_code_2(directory, command, unbuffered):
    """As `command > /dev/full`, or on a full disk."""
    environment = {"PYTHONUNBUFFERED": unbuffered} if unbuffered else {}
    if command[0] == "deliver":
        environment |= {"BACKEND_BASE_URL": "http://127.0.0.1:1", "INTERNAL_TOKEN": "x"}
    with FULL.open("wb") as full:
        ended = end_of(directory, command, environment, stdout=full)
    assert ended == (2, "scrapy: standard output cannot be written: No space left on device\n")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize(("command", "code"), [(("version",), 0), (("deadletters", "show", "7"), 2)])
def test_messages_that_cannot_be_written_change_no_exit_code(directory, command, code):
    """As `command 2> /dev/full`: nobody can be told."""
    with FULL.open("wb") as full:
        assert end_of(directory, command, {}, stdout=subprocess.DEVNULL, stderr=full)[0] == code
