"""Posts that meet: what the real backend would have got wrong is counted, or done, when asked."""

from __future__ import annotations

import pytest

from tests.backend.reference.support import Client, anime, episode_list, video


@pytest.fixture
def slow(backend: Client) -> Client:
    """A backend whose commits take long enough for posts to meet, with an anime of two episodes."""
    backend.title(episodes=2)
    backend.rule("slow", delay_s=0.05)
    return backend


def statuses(answers: list[tuple[int, str]]) -> list[int]:
    """Sorted."""
    return sorted(status for status, _ in answers)


def test_the_same_player_twice_in_flight_is_counted(slow: Client):
    """One row, and two duplicates that the real one would have made of three posts."""
    answers = slow.at_once(*[("video", video())] * 3)
    assert statuses(answers) == [200, 200, 200]
    stats = slow.stats()
    assert stats["same_key_in_flight"] == stats["duplicates"] == 2
    assert stats["same_keys"][0][:3] == ["video", "kodik-shikimori", "1:1"]
    assert stats["max_in_flight"] >= 3
    assert slow.videos()[0]["posts"] == 3
    assert len(slow.videos()) == 1


def test_the_same_player_one_after_the_other_is_not(slow: Client):
    """Nor are different players at once, or an update that meets another."""
    slow.at_once(*[("video", video(url=f"https://a/{n}")) for n in range(5)])
    slow.ok("video", video(url="https://a/1"))
    assert slow.stats()["same_key_in_flight"] == 0
    slow.at_once(*[("video", video(url="https://a/1", priority=n)) for n in range(2)])
    stats = slow.stats()
    assert (stats["same_key_in_flight"], stats["duplicates"]) == (1, 0)


def test_duplicates_are_stored_when_asked_and_break_the_player_for_ever(backend: Client):
    """As measured: both posts are answered 200, every later one 500 with the text."""
    backend.title()
    backend.faults(store_duplicates=True, rules=[{"name": "slow", "delay_s": 0.05}])
    assert statuses(backend.at_once(*[("video", video())] * 2)) == [200, 200]
    assert len(backend.videos()) == 2
    for _ in range(2):
        answer = backend.post("video", video())
        assert answer.status_code == 500
        assert "Multiple rows were found when one or none was required" in answer.json()["error"]["message"]
    assert backend.dump().count(b'"url"') == 2


def test_a_timeout_and_a_repeat_make_a_duplicate(backend: Client):
    """A commit that outlives its client is stored all the same; a blind repeat meets it."""
    backend.title()
    backend.faults(store_duplicates=True, rules=[{"name": "slow", "delay_s": 0.4, "times": 2}])
    with pytest.raises(OSError, match="timed out"):
        backend.session.post(f"{backend.url}/api/v1/internal/import/video", json=video(), timeout=0.1)
    backend.ok("video", video())
    assert len(backend.videos()) == 2
    assert backend.stats()["duplicates"] == 1


@pytest.mark.parametrize(
    ("posts", "constraint", "kind"),
    [
        ([("anime", anime("7")), ("anime", anime("7"))], "uq_anime_source", "anime"),
        ([("anime", anime("7", title="Х")), ("anime", anime("8", title="Ы"))], "ix_anime_slug", "slug"),
        (
            [("episodes", episode_list("1", 5, 6)), ("episodes", episode_list("1", 6, 7))],
            "uq_episode_source",
            "episodes",
        ),
    ],
)
def test_races_that_the_real_one_loses_are_counted_or_lost(slow: Client, posts, constraint, kind):
    """Both succeed and are counted; with `lose_races` one gets 500 with the constraint, and succeeds when repeated."""
    assert statuses(slow.at_once(*posts)) == [200, 200]
    assert slow.stats()["lost_races"] == {constraint: 1}
    assert slow.stats()["same_key_in_flight_by_kind"][kind] == 1
    slow.send("DELETE", "/_reference/rows")
    slow.title()
    slow.faults(lose_races=True, rules=[{"name": "slow", "delay_s": 0.05}])
    answers = slow.at_once(*posts)
    assert statuses(answers) == [200, 500]
    assert any("UniqueViolationError" in text and constraint in text for _, text in answers)
    for route, body in posts:
        slow.ok(route, body)


def test_a_family_fired_together_is_refused_to_its_children(slow: Client):
    """200, 404, 404: nothing waits for a parent that is still in flight."""
    slow.faults()
    answers = slow.at_once(("video", video("9:1")), ("episodes", episode_list("9", 1)), ("anime", anime("9")))
    assert statuses(answers)[0] == 200
    assert slow.stats()["rejected_children"] >= 1


def test_fifty_posts_of_one_anime_make_one_row(slow: Client):
    """Whatever their order."""
    slow.faults()
    assert set(statuses(slow.at_once(*[("anime", anime("9", year=1950 + n)) for n in range(50)]))) == {200}
    assert slow.dump().count(b'"source_id":"9"') == 1
