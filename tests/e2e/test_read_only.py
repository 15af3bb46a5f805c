"""A catalogue whose file becomes read-only: nothing is lost, and the command that cannot write says which file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.e2e.support import Project

Exports = dict[str, bytes]
SETPRIV = shutil.which("setpriv")


def obeying(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user whom the mode of a file stops; root is stopped by none."""
    drop = [str(SETPRIV), "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-m", "scrapy", *arguments]
    return subprocess.run(
        command, cwd=project.directory, env=project.env(), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(os.geteuid() == 0 and not SETPRIV, reason="root needs setpriv to be stopped by a file's mode")
def test_a_catalogue_that_became_read_only_is_named_and_loses_nothing(quick_project: Project, clean: Exports) -> None:
    """Exit 2 before the first request; with the mode of before, the same command ends as an undisturbed run does."""
    assert quick_project.crawl("-a", "max_pages=1").returncode == 0
    path = quick_project.directory / "var/anime.db"
    path.chmod(0o444)
    asked = quick_project.requests_to("kodik")
    done = obeying(quick_project, "crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik")
    assert done.returncode == 2, done.stderr
    text = " ".join(done.stderr.split())
    assert "DATABASE_URL" in text
    assert "anime.db" in text
    assert "Traceback" not in text
    assert quick_project.requests_to("kodik") == asked
    path.chmod(0o644)
    assert quick_project.crawl().returncode == 0
    assert quick_project.exports() == clean
