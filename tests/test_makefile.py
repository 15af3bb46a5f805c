"""The two commands and their kin: what make would do, without doing it again inside the suite."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.guard import ROOT, clean_environment

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)


def plan(*arguments: str) -> str:
    """What make would run."""
    command = ["make", "-n", "-o", ".venv/ready", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target):
    """No target depends on something that is not there."""
    assert plan(target)


TOKEN = "KODIK_API_TOKEN=0123456789abcdef"


@pytest.mark.parametrize(
    ("dotenv", "says"),
    [
        (None, True),
        (f"export {TOKEN}\n", False),
        (f"\ufeff{TOKEN}\r\n", False),
        (f" {TOKEN.replace('=', ' = ')}\n", False),
        (f"# {TOKEN}\nKODIK_API_TOKEN=\n", True),
    ],
    ids=["no file", "export", "byte order mark", "blanks", "comment"],
)
def test_what_is_crawled_is_announced_as_the_settings_are_read(tmp_path, dotenv, says):
    """By the same reader of ``.env`` as in all commands."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    if dotenv is not None:
        (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
    environment = clean_environment({"PYTHONPATH": str(ROOT)})
    command = ["make", "-s", "announce"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("No KODIK_API_TOKEN is set: crawling the built-in sandbox") is says
    assert (done.stdout == "") is not says


def test_help_names_every_target():
    """`make` alone shows them all."""
    shown = subprocess.run(
        ["make"], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[1] for line in shown.splitlines()] == TARGETS


def test_everything_but_help_and_clean_builds_on_setup():
    """A person may start with any target."""
    without = [target for target in TARGETS if not re.search(rf"^{target}:.* (setup|\.venv/ready)\b", MAKEFILE, re.M)]
    assert without == ["help", "clean"]


def test_the_continuous_integration_runs_make_test_only():
    """What it checks can be checked by hand with the same words."""
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert lines[-1] == "exec make test"
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_the_environment_is_made_again_only_when_its_requirements_change():
    """The stamp depends on the files that say what is installed."""
    assert re.search(r"^\.venv/ready: requirements\.txt pyproject\.toml$", MAKEFILE, re.MULTILINE)


def test_nothing_names_a_package_index():
    """Packages come from whatever index the machine is configured for."""
    for name in ("Makefile", ".ci/run", "requirements.txt", "pyproject.toml", "Dockerfile"):
        text = (ROOT / name).read_text()
        assert not re.search(r"index-url|find-links|--index|pypi", text), name


def test_every_requirement_is_pinned_with_its_reason():
    """One line per direct dependency: name, version, why."""
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w\[\]-]+==[\w.]+ +# .+", line), line
