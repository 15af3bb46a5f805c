"""Fixtures of real crawls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.download.crawl import Plan
from tests.download.upstream_server import UpstreamServer, running_server


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    """An upstream of this test's own."""
    with running_server() as running:
        yield running


@pytest.fixture
def plan(server: UpstreamServer, tmp_path: Path) -> Callable[..., Plan]:
    """A crawl of paths of the upstream: ``plan("/ok/1", limits="5/s")``."""

    def make(*paths: str, **options) -> Plan:
        return Plan(**{"base_url": server.url, "paths": list(paths), "directory": str(tmp_path), **options})

    return make
