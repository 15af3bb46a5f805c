"""A sandbox of this suite's own, made anew before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from anime_crawler.sandbox.server.process import RunningSandbox
from tests.sandboxes import running_sandbox

AGENT = {"User-Agent": "anime_crawler tests"}

ListPage = Callable[..., requests.Response]
GraphQL = Callable[..., requests.Response]


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(titles=60, seed=2, limits="off") as running:
        yield running


@pytest.fixture
def fresh(shared_sandbox: RunningSandbox) -> RunningSandbox:
    """60 titles, no limits, no faults, an empty log."""
    shared_sandbox.post("/_sandbox/reset", {"world": True})
    return shared_sandbox


@pytest.fixture
def list_page(fresh: RunningSandbox) -> ListPage:
    """Ask Kodik for a list page as the crawler does."""

    def ask(timeout: float = 10, **params: Any) -> requests.Response:
        form = {"token": fresh.kodik_token, "types": "anime,anime-serial", "limit": 100, **params}
        return requests.post(f"{fresh.kodik_url}/list", data=form, timeout=timeout)

    return ask


@pytest.fixture
def graphql(fresh: RunningSandbox) -> GraphQL:
    """Ask Shikimori."""

    def ask(query: str, agent: dict[str, str] = AGENT, **variables: Any) -> requests.Response:
        body = {"query": query, "variables": variables}
        return requests.post(f"{fresh.shikimori_url}/api/graphql", json=body, headers=agent, timeout=10)

    return ask
