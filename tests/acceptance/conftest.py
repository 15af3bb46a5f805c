"""Fixtures of the acceptance suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.support import Day
from tests.e2e.conftest import new_project as new_project
from tests.e2e.support import Project
from tests.sandboxes import running_sandbox


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """One import of 10 titles that a session's tests share; they look and change nothing."""
    with running_sandbox(titles=10, limits="off") as sandbox:
        project = Project(tmp_path_factory.mktemp("day"), sandbox)
        yield Day(project)
