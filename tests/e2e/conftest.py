"""Fixtures of the end-to-end suites."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import SERVICES
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


@pytest.fixture
def one_sandbox() -> Iterator[Any]:
    """A sandbox of two list pages."""
    with running_sandbox(titles=20, limits="off") as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run without any trouble stores of a sandbox like `one_sandbox`: made once for all test processes."""
    kept = Path(os.environ[SERVICES], "clean.pickle")
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            with running_sandbox(titles=20, limits="off") as sandbox:
                project = Project(tmp_path_factory.mktemp("clean"), sandbox, {"BACKEND_BASE_URL": ""})
                done = project.crawl()
                assert done.returncode == 0, done.stderr
                kept.write_bytes(pickle.dumps(project.exports()))
        exports: dict[str, bytes] = pickle.loads(kept.read_bytes())
    return exports


@pytest.fixture
def quick_project(one_sandbox: Any, tmp_path: Path) -> Project:
    """A project without a backend on `one_sandbox`."""
    return Project(tmp_path / "project", one_sandbox, {"BACKEND_BASE_URL": "", "MAX_RETRIES": "1"})
