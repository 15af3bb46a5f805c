"""An accepted POST changes the rows in the same way on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from anime_crawler.reference_backend.statements import STATEMENTS
from anime_crawler.reference_backend.tables import metadata
from tests.reference_backend.support import SOURCE, Client, anime, episode_list, running, video

FULL = {
    "alternative_titles": ["Тест", "テスト"],
    "description": "text",
    "year": 2009,
    "status": "completed",
    "poster": "https://images.example/1.jpeg",
    "genres": ["Action"],
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One backend on each kind of database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('reference') / 'new' / 'backend.db'}"
    else:
        new_url: Callable[[], str] = request.getfixturevalue("new_postgres_url")
        url = new_url()
    with running(url) as client:
        yield client


@pytest.fixture
def backend(server: Client) -> Client:
    """The same, empty."""
    server.send("DELETE", "/_reference/rows")
    server.send("POST", "/_reference/reset")
    return server


def test_the_answers_have_the_contracts_form(backend: Client):
    """They do not say what was changed."""
    assert backend.ok("anime", anime(title="Тест")) == {
        "success": True,
        "message": "Anime imported successfully: Тест",
        "errors": None,
    }
    assert backend.ok("episodes", episode_list("1", 1, 2)) == {
        "success": True,
        "total": 2,
        "imported": 2,
        "errors": [],
    }
    assert backend.ok("video", video()) == {
        "success": True,
        "message": "Video source imported successfully",
        "errors": None,
    }


def test_a_post_replaces_the_full_record(backend: Client):
    """Values are replaced, null and missing erase, empty lists and texts stay what they are."""
    backend.ok("anime", anime(**FULL))
    assert FULL.items() <= backend.anime().items()
    backend.ok("anime", anime(title="New", alternative_titles=[], description="", genres=None))
    row = backend.anime()
    assert (row["title"], row["slug"]) == ("New", "new")
    assert (row["alternative_titles"], row["description"]) == ([], "")
    assert row["genres"] is row["year"] is row["poster"] is None


def test_a_status_is_never_taken_back(backend: Client):
    """Null and missing keep it."""
    backend.ok("anime", anime(status="ongoing"))
    backend.ok("anime", anime(status=None))
    assert backend.anime()["status"] == "ongoing"
    backend.ok("anime", anime(status="completed"))
    assert backend.anime()["status"] == "completed"


def test_the_same_post_again_writes_nothing(backend: Client):
    """No row's update time moves, and the dump stays the same to the byte."""
    posts = [("anime", anime(**FULL)), ("episodes", episode_list("1", 1, 2)), ("video", video(priority=3))]
    for route, body in posts:
        backend.ok(route, body)
    before = backend.anime(), backend.episodes(), backend.videos(), backend.dump()
    for route, body in posts:
        backend.ok(route, body)
    after = backend.anime(), backend.episodes(), backend.videos(), backend.dump()
    times = [[row["updated_at"] for row in (state[0], *state[1], *state[2])] for state in (before, after)]
    assert times[0] == times[1]
    assert before[3] == after[3]
    rows = backend.stats()["rows"]
    assert rows["anime"] == {"created": 1, "unchanged": 1}
    assert rows["episode"] == {"created": 2, "unchanged": 2}
    assert rows["video"] == {"created": 1, "unchanged": 1}


def test_new_episodes_do_not_move_the_anime(backend: Client):
    """Its update time is its own."""
    backend.ok("anime", anime())
    before = backend.anime()["updated_at"]
    backend.ok("episodes", episode_list("1", 1))
    assert backend.anime()["updated_at"] == before


def test_episodes_are_known_by_their_id(backend: Client):
    """Number and title are attributes, a missing title erases, and what is not listed stays."""
    backend.ok("anime", anime())
    backend.ok("episodes", episode_list("1", 1, 2, title="name"))
    changed = {"source_episode_id": "1:1", "number": 2, "is_available": False}
    backend.ok("episodes", {"source_name": SOURCE, "anime_source_id": "1", "episodes": [changed]})
    rows = {row["source_episode_id"]: row for row in backend.episodes()}
    assert [rows["1:1"][name] for name in ("number", "title", "is_available")] == [2, None, False]
    assert [rows["1:2"][name] for name in ("number", "title", "is_available")] == [2, "name", True]


def test_one_bad_episode_costs_the_whole_post(backend: Client):
    """No episode of it is stored, whether a rule or the database refuses it."""
    backend.ok("anime", anime())
    for bad, status in (({"number": -1}, 422), ({"number": 2**31}, 500), ({"title": "\0"}, 500)):
        body = episode_list("1", 1, 2, 3)
        body["episodes"][2] |= bad
        assert backend.post("episodes", body).status_code == status
    assert backend.episodes() == []


def test_an_id_twice_in_one_list_is_refused_only_when_it_is_new(backend: Client):
    """500 for a new one; of a known one the last entry wins."""
    backend.ok("anime", anime())
    twice = episode_list("1", 1, 1)
    twice["episodes"][1]["title"] = "last"
    answer = backend.post("episodes", twice)
    assert answer.status_code == 500
    assert "uq_episode_source" in answer.json()["error"]["message"]
    backend.ok("episodes", episode_list("1", 1))
    assert backend.ok("episodes", twice)["imported"] == 2
    assert [row["title"] for row in backend.episodes()] == ["last"]


def test_a_child_before_its_parent_is_404(backend: Client):
    """With the contract's texts, and counted."""
    episodes = backend.post("episodes", episode_list("5114", 1))
    player = backend.post("video", video("5114:99"))
    assert episodes.status_code == player.status_code == 404
    assert episodes.json()["error"]["message"] == "Anime not found: kodik-shikimori/5114"
    assert player.json()["error"]["message"] == "Episode not found: kodik-shikimori/5114:99"
    assert backend.stats()["rejected_children"] == 2


def test_a_player_is_known_by_episode_url_and_source(backend: Client):
    """The same again updates type and priority; any other spelling is a new row; the highest priority comes first."""
    backend.title()
    backend.ok("video", video(url="https://a/1", priority=1))
    backend.ok("video", video(url="https://a/1", priority=-5, type="hls"))
    backend.ok("video", video(url="http://a/1", priority=9))
    backend.ok("video", video(url="https://a/1", source_name="other"))
    rows = [(row["url"], row["source_name"], row["priority"], row["type"]) for row in backend.videos()]
    assert rows == [
        ("http://a/1", "kodik", 9, "iframe"),
        ("https://a/1", "other", 0, "iframe"),
        ("https://a/1", "kodik", -5, "hls"),
    ]


def test_an_episode_id_under_two_anime_breaks_its_players(backend: Client):
    """500 with the text, for ever."""
    for source_id in "12":
        backend.ok("anime", anime(source_id))
        body = episode_list("1", 1)
        backend.ok("episodes", body | {"anime_source_id": source_id})
    answer = backend.post("video", video("1:1"))
    assert answer.status_code == 500
    assert "Multiple rows were found when one or none was required" in answer.json()["error"]["message"]


def test_what_an_administrator_hides_stays_hidden(backend: Client):
    """The other fields go on being updated; an episode alone comes back with the next true."""
    backend.title()
    backend.ok("video", video())
    backend.admin(kind="anime", source_id="1", is_active=False)
    backend.admin(kind="episode", source_episode_id="1:1", is_active=False)
    backend.admin(kind="video", source_episode_id="1:1", url=video()["player"]["url"], is_active=False)
    backend.ok("anime", anime(year=2000))
    backend.ok("episodes", episode_list("1", 1))
    backend.ok("video", video(priority=7))
    assert (backend.anime()["is_active"], backend.anime()["year"]) == (False, 2000)
    assert backend.episodes()[0]["is_available"] is True
    assert (backend.videos()[0]["is_active"], backend.videos()[0]["priority"]) == (False, 7)


def test_what_an_administrator_edits_is_frozen(backend: Client):
    """Later posts answer success and change nothing."""
    backend.title()
    backend.ok("video", video())
    backend.admin(kind="anime", source_id="1", admin_modified=True)
    backend.admin(kind="episode", source_episode_id="1:1", admin_modified=True)
    backend.admin(kind="video", source_episode_id="1:1", url=video()["player"]["url"], admin_modified=True)
    before = backend.dump()
    backend.ok("anime", anime(title="Other"))
    backend.ok("episodes", episode_list("1", 1, is_available=False))
    backend.ok("video", video(priority=7))
    assert backend.dump() == before
    assert {kind: rows["frozen"] for kind, rows in backend.stats()["rows"].items()} == {
        "anime": 1,
        "episode": 1,
        "video": 1,
    }


def test_nothing_is_ever_removed(backend: Client):
    """There is no DELETE, and no import takes a row away."""
    backend.title(episodes=3)
    backend.ok("video", video())
    backend.ok("episodes", episode_list("1", 3))
    assert len(backend.episodes()) == 3
    assert len(backend.videos()) == 1


def test_equal_rows_give_equal_dumps(backend: Client):
    """Whatever the order in which they came; without slugs when asked."""

    def import_all(order: list[str]) -> bytes:
        backend.send("DELETE", "/_reference/rows")
        for source_id in order:
            backend.title(source_id, episodes=12)
            for number in (1, 10, 2):
                for url in ("https://b/", "https://a/")[:: 1 if source_id == "1" else -1]:
                    backend.ok("video", video(f"{source_id}:{number}", url=url))
        return backend.dump()

    first = import_all(["1", "10", "2"])
    assert import_all(["2", "10", "1"]) == first
    assert b'"slug":"title-10"' in first
    assert b"slug" not in backend.dump(slugs="0")
    assert first.count(b"\n") == (3 + 36 + 18) + 4  # a line per row, and those of the brackets


def test_the_dump_of_an_empty_backend_is_json(backend: Client):
    """Three empty lists."""
    assert backend.send("GET", "/_reference/dump").json() == {"anime": [], "episodes": [], "videos": []}


def test_no_lookup_walks_through_a_table():
    """Each finds its rows by a full key, so that the 450,000th player costs what the first did."""
    engine = create_engine("sqlite://", paramstyle="named")
    metadata.create_all(engine)
    names = {"find_anime": "source_name=? AND source_id=?", "find_episodes": "anime_id=?"}
    names |= {"find_episode": "source_episode_id=?", "find_videos": "episode_id=? AND key=?"}
    with engine.begin() as connection:
        for name, key in names.items():
            statement = STATEMENTS[name].compile(dialect=engine.dialect)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", dict.fromkeys(statement.params)).all()
            assert f"({key})" in plan[0][3], plan
            assert all(row[3].startswith("SEARCH") for row in plan)
    engine.dispose()


def test_rows_are_there_after_the_death_of_the_process(tmp_path: Path):
    """What was answered is committed: another reader sees it while the server still runs; a restart goes on with it."""
    database = tmp_path / "backend.db"
    with running(f"sqlite:///{database}") as client:
        client.title()
        client.ok("anime", anime("2", title="Title 1"))
        with sqlite3.connect(database) as reader:
            assert reader.execute("SELECT slug FROM backend_anime ORDER BY id").fetchall() == [
                ("title-1",),
                ("title-1-1",),
            ]
        reader.close()
    with running(f"sqlite:///{database}") as client:
        client.ok("anime", anime("3", title="Title 1"))
        assert client.anime("3")["slug"] == "title-1-2"


def test_a_database_that_refuses_is_500_and_not_the_end(tmp_path: Path):
    """The text is the driver's; nothing is stored, and the next POST after the trouble is."""
    database = tmp_path / "backend.db"
    with running(f"sqlite:///{database}") as client:
        client.title()
        with sqlite3.connect(database) as saboteur:
            saboteur.execute("ALTER TABLE backend_anime RENAME TO gone")
        answer = client.post("anime", anime("2"))
        assert answer.status_code == 500
        assert "no such table" in answer.json()["error"]["message"]
        with saboteur:
            saboteur.execute("ALTER TABLE gone RENAME TO backend_anime")
        saboteur.close()
        client.ok("anime", anime("2", title="Title 1"))
        assert client.anime("2")["slug"] == "title-1-1"
