"""Fixtures of the end-to-end suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import Project
from tests.sandboxes import running_sandbox


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Gives a project with a sandbox of its own each time: ``new_project("clean", titles=30)``."""
    with ExitStack() as stack:

        def create(name: str = "project", environment: dict[str, str] | None = None, **options: Any) -> Project:
            sandbox = stack.enter_context(running_sandbox(**{"titles": 20, "limits": "off", **options}))
            return Project(tmp_path / name, sandbox, environment or {})

        yield create


@pytest.fixture(scope="module")
def one_sandbox() -> Iterator[Any]:
    """One sandbox of two list pages for all tests of a file; `quick_project` puts it in order for each."""
    with running_sandbox(titles=20, limits="off") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def clean(one_sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run without any trouble stores of `one_sandbox`."""
    one_sandbox.post("/_sandbox/reset", {"world": True})
    project = Project(tmp_path_factory.mktemp("clean"), one_sandbox, {"BACKEND_BASE_URL": ""})
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    return project.exports()


@pytest.fixture
def quick_project(one_sandbox: Any, tmp_path: Path) -> Project:
    """A project without a backend on `one_sandbox`, whose world is as it was in the beginning."""
    one_sandbox.post("/_sandbox/reset", {"world": True})
    return Project(tmp_path / "project", one_sandbox, {"BACKEND_BASE_URL": "", "MAX_RETRIES": "1"})
