"""Fixtures of the end-to-end suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.sandbox.process import running_sandbox
from tests.e2e.support import Project


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Gives a project with a sandbox of its own each time: ``new_project("clean", titles=30)``."""
    with ExitStack() as stack:

        def create(name: str = "project", environment: dict[str, str] | None = None, **options: Any) -> Project:
            sandbox = stack.enter_context(running_sandbox(**{"titles": 20, "limits": "off", **options}))
            return Project(tmp_path / name, sandbox, environment or {})

        yield create
