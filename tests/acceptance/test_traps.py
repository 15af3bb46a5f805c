"""The traps of the upstreams, where no other test shows them. Each test names the row of the checklist."""

from __future__ import annotations

from tests.acceptance.support import Day


def test_one_walk_of_large_pages_holds_everything(day: Day) -> None:
    """T6, T4, T5: POST /list only, 100 a page, by updated_at, with episodes and material data, both types."""
    assert {(entry["method"], entry["path"]) for entry in day.kodik_log} == {("POST", "/list")}
    for entry in day.kodik_log:
        form = {name: value for name, value in entry["summary"].items() if name != "next"}
        assert form == {
            "types": "anime,anime-serial",
            "limit": "100",
            "sort": "updated_at",
            "order": "asc",
            "with_episodes": "true",
            "with_material_data": "true",
        }


def test_materials_of_one_anime_on_many_pages_make_one_title(day: Day) -> None:
    """T19: every title is one anime at the backend, though its translations are spread over the pages."""
    dumped = day.project.dump()
    ids = [anime["source_id"] for anime in dumped["anime"]]
    assert len(ids) == len(set(ids))
    releases: dict[str, set[str]] = {}
    for row in day.project.records("players"):
        if row["title_id"]:
            releases.setdefault(row["title_id"], set()).add(row["release_id"])
    assert max(map(len, releases.values())) >= 4
    assert set(releases) <= set(ids)
