"""POSTs may meet: the mistakes that the real backend would make are counted, or made if a fault asks for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.reference_backend.support import Client, anime, episode_list, until, video


@pytest.fixture
def filled(backend: Client) -> Client:
    """A backend with an anime of two episodes."""
    backend.title(episodes=2)
    return backend


def statuses(answers: list[tuple[int, str]]) -> list[int]:
    """Sorted."""
    return sorted(status for status, _ in answers)


def test_the_same_player_twice_in_flight_is_counted(filled: Client):
    """One row, and two duplicates that the real one would have made of three posts."""
    answers = filled.meeting(*[("video", video())] * 3)
    assert statuses(answers) == [200, 200, 200]
    stats = filled.stats()
    assert stats["same_key_in_flight"] == stats["duplicates"] == 2
    assert stats["same_keys"][0][:3] == ["video", "kodik-shikimori", "1:1"]
    assert stats["max_in_flight"] >= 3
    assert filled.videos()[0]["posts"] == 3
    assert len(filled.videos()) == 1


def test_the_same_player_one_after_the_other_is_not(filled: Client):
    """Nor are different players at once, or an update that meets another."""
    filled.meeting(*[("video", video(url=f"https://a/{n}")) for n in range(5)])
    filled.ok("video", video(url="https://a/1"))
    assert filled.stats()["same_key_in_flight"] == 0
    filled.meeting(*[("video", video(url="https://a/1", priority=n)) for n in range(2)])
    stats = filled.stats()
    assert (stats["same_key_in_flight"], stats["duplicates"]) == (1, 0)


def test_duplicates_are_stored_when_asked_and_break_the_player_for_ever(backend: Client):
    """As measured: both posts are answered 200, every later one 500 with the text."""
    backend.title()
    assert statuses(backend.meeting(*[("video", video())] * 2, store_duplicates=True)) == [200, 200]
    assert len(backend.videos()) == 2
    for _ in range(2):
        answer = backend.post("video", video())
        assert answer.status_code == 500
        assert "Multiple rows were found when one or none was required" in answer.json()["error"]["message"]
    assert backend.dump().count(b'"url"') == 2


def test_a_timeout_and_a_repeat_make_a_duplicate(backend: Client):
    """A commit that outlives its client is stored all the same; a blind repeat meets it."""
    backend.title()
    backend.faults(store_duplicates=True, rules=[{"name": "lock"}])
    with pytest.raises(OSError, match="timed out"):
        backend.session.post(f"{backend.url}/api/v1/internal/import/video", json=video(), timeout=0.1)
    with ThreadPoolExecutor(1) as pool:
        repeat = pool.submit(backend.at_once, ("video", video()))
        backend.until_held(2)
        backend.faults(store_duplicates=True)
        assert statuses(repeat.result()) == [200]
    until(lambda: backend.stats()["in_flight"] == 0)
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
def test_races_that_the_real_one_loses_are_counted_or_lost(filled: Client, posts, constraint, kind):
    """Both succeed and are counted; with `lose_races` one gets 500 with the constraint, and succeeds when repeated."""
    assert statuses(filled.meeting(*posts)) == [200, 200]
    assert filled.stats()["lost_races"] == {constraint: 1}
    assert filled.stats()["same_key_in_flight_by_kind"][kind] == 1
    filled.send("DELETE", "/_reference/rows")
    filled.title()
    answers = filled.meeting(*posts, lose_races=True)
    assert statuses(answers) == [200, 500]
    assert any("UniqueViolationError" in text and constraint in text for _, text in answers)
    for route, body in posts:
        filled.ok(route, body)


def test_a_family_fired_together_is_refused_to_its_children(filled: Client):
    """200, 404, 404: nothing waits for a parent that is still in flight."""
    answers = filled.at_once(("video", video("9:1")), ("episodes", episode_list("9", 1)), ("anime", anime("9")))
    assert statuses(answers)[0] == 200
    assert filled.stats()["rejected_children"] >= 1


def test_fifty_posts_of_one_anime_make_one_row(filled: Client):
    """Whatever their order."""
    assert set(statuses(filled.at_once(*[("anime", anime("9", year=1950 + n)) for n in range(50)]))) == {200}
    assert filled.dump().count(b'"source_id":"9"') == 1
