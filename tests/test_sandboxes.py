"""A sandbox that a test gets is as one that has just been started, whatever the test before did to it."""

from __future__ import annotations

import pytest
import requests

from anime_crawler.sandbox.server.process import RunningSandbox
from tests import sandboxes
from tests.reference_backend.support import anime
from tests.sandboxes import running_sandbox

WORLD = {"titles": 7, "seed": 7}


def seen(sandbox: RunningSandbox) -> list[object]:
    """All that can be seen of its state."""
    paths = ("", "stats", "log", "faults", "oracle?what=counts", "oracle?what=dump", "oracle?what=anime")
    return [
        *(sandbox.get(f"/_sandbox/{path}") for path in paths),
        *(sandbox.get(f"/backend/_reference/{path}") for path in ("dump", "stats", "faults")),
    ]


def disturb(sandbox: RunningSandbox) -> None:
    """Change everything that can be changed, and use up a limit."""
    known = sandbox.get("/_sandbox/oracle?what=known&source=kitsu")[0]["source_id"]
    sandbox.post("/_sandbox/mutate", {"op": "new_title"})
    sandbox.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 2})
    sandbox.post("/_sandbox/time", {"now": sandbox.get("/_sandbox/")["now"] + 86_400})
    sandbox.post("/_sandbox/poison", {"count": 2})
    sandbox.post("/_sandbox/limits", {"service": "kitsu", "limits": "1/day"})
    answers = [requests.get(f"{sandbox.url}/kitsu/anime/{known}", timeout=10) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    sandbox.post("/_sandbox/faults", {"service": "kodik", "kind": "html"})
    headers = {"X-Internal-Token": sandbox.internal_token}
    url = f"{sandbox.backend_url}/api/v1/internal/import/anime"
    assert requests.post(url, json=anime(), headers=headers, timeout=10).status_code == 200
    sandbox.post("/backend/_reference/faults", {"rules": [{"name": "unavailable", "route": "video"}]})


def test_a_used_one_is_as_a_new_one():
    with running_sandbox(**WORLD) as sandbox:
        new, url = seen(sandbox), sandbox.url
        disturb(sandbox)
        assert [before != after for before, after in zip(new, seen(sandbox), strict=True)] == [True] * len(new)
    with running_sandbox(**WORLD) as sandbox:
        assert sandbox.url == url
        assert seen(sandbox) == new


def test_nobody_else_has_it_and_other_options_are_another():
    with (
        running_sandbox(**WORLD) as one,
        running_sandbox(**WORLD) as two,
        running_sandbox(**WORLD | {"titles": 8}) as three,
    ):
        assert len({one.url, two.url, three.url}) == 3
        assert three.get("/_sandbox/")["titles"] == 8


def test_one_whose_test_failed_is_not_used_again():
    def fail() -> None:
        with running_sandbox(**WORLD) as sandbox:
            urls.append(sandbox.url)
            raise ValueError("as a test does")

    urls: list[str] = []
    with pytest.raises(ValueError, match="as a test does"):
        fail()
    with pytest.raises(requests.ConnectionError):
        requests.get(urls[0], timeout=10)


def test_few_wait_for_their_next_test():
    for titles in range(1, sandboxes.MOST_IDLE + 3):
        with running_sandbox(titles=titles) as sandbox:
            url = sandbox.url
    assert len(sandboxes.idle) == sandboxes.MOST_IDLE
    assert sandboxes.idle[-1].sandbox.url == url
