"""Limits are enforced to the request, on the clock's windows and in any stretch of time."""

from __future__ import annotations

import requests

from anime_crawler.sandbox.server.limits import Window
from tests.sandboxes import running_sandbox


def test_a_sliding_window_refuses_the_first_too_many():
    """The 31st in a minute, wherever the minute begins."""
    window = Window(30, 60, by_clock=False)
    assert not any(window.arrive(59 + i / 100, 59 + i / 100)[0] for i in range(30))
    assert window.arrive(100, 100) == (True, True)


def test_a_sliding_window_lets_the_next_one_in_when_the_first_is_out():
    """A request one window after the first passes."""
    window = Window(2, 60, by_clock=False)
    for moment in (0, 30):
        window.arrive(moment, moment)
    assert window.arrive(60, 60) == (False, False)


def test_a_clock_window_forgets_at_the_full_second_but_the_count_of_violations_does_not():
    """Five before and five after the full second pass the real limiter; they are ten within a second."""
    window = Window(5, 1, by_clock=True)
    before = [window.arrive(0.90 + i / 100, 0.90 + i / 100) for i in range(5)]
    after = [window.arrive(1.01 + i / 100, 1.01 + i / 100) for i in range(5)]
    assert not any(refused for refused, _ in before + after)
    assert all(broken for _, broken in after)
    assert window.peak == 10


def test_kodik_and_shikimori_answer_429_when_asked_too_fast():
    """Kodik says how long to wait, Shikimori does not; each refusal is counted as a violation."""
    with running_sandbox(titles=5) as sandbox:
        form = {"token": sandbox.kodik_token}
        kodik = [requests.post(f"{sandbox.kodik_url}/years", data=form, timeout=10) for _ in range(32)]
        assert [a.status_code for a in kodik] == [200] * 30 + [429] * 2
        assert 50 <= int(kodik[-1].headers["retry-after"]) <= 61
        agent = {"User-Agent": "tests"}
        url = f"{sandbox.shikimori_url}/api/calendar"
        shikimori = [requests.get(url, headers=agent, timeout=10) for _ in range(12)]
        refused = [a for a in shikimori if a.status_code == 429]
        assert refused
        assert refused[0].text == "Retry later\n"
        assert refused[0].headers["content-type"] == "text/plain"
        assert "retry-after" not in refused[0].headers
        stats = sandbox.get("/_sandbox/stats")
        assert stats["kodik"]["violations"] == 2
        assert stats["violations"] >= 2 + len(refused)
        assert stats["kodik"]["peaks"] == {"60s": 32}
