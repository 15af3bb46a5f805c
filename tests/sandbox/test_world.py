"""The invented catalogue: the same from the same seed, the promised size, and every trap of the dossiers in it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from anime_crawler.sandbox.upstreams.kodik.json import material_data, material_json
from anime_crawler.sandbox.world import oracle
from anime_crawler.sandbox.world.works import Material
from anime_crawler.sandbox.world.world import World

WORLD = World(seed=3, titles=2_000)
MATERIALS = list(WORLD.materials.values())
TITLES = list(WORLD.titles.values())


def text_of(world: World) -> bytes:
    return b"\n".join(material_json(m, "episodes", True) for m in world.materials.values())


def serials() -> list[Material]:
    return [m for m in MATERIALS if m.seasons is not None]


def test_a_seed_gives_the_same_catalogue_every_time():
    """Byte for byte; another seed gives another one."""
    assert text_of(World(seed=5, titles=50)) == text_of(World(seed=5, titles=50))
    assert text_of(World(seed=5, titles=50)) != text_of(World(seed=6, titles=50))


@given(st.integers(0, 10_000), st.integers(150, 300))
@settings(max_examples=20)
def test_the_number_of_materials_does_not_depend_on_luck(seed, titles):
    """At most 6 a title, so that 200 titles are at most 12 pages of 100 with any seed."""
    world = World(seed=seed, titles=titles)
    assert len(world.titles) == titles
    assert 5.5 * titles <= len(world.materials) <= 6 * titles


def test_there_are_about_eleven_players_in_a_material():
    """The proportion of the real catalogue: 450,000 links in 40,000 materials."""
    links = sum(1 for m in MATERIALS for _ in oracle.numbered(m, base=1))
    assert 9 < links / len(MATERIALS) < 13


def test_some_materials_have_no_shikimori_id():
    """About two in a hundred."""
    missing = sum(not m.has_id for m in MATERIALS)
    assert 0.01 < missing / len(MATERIALS) < 0.03


def test_seasons_have_every_trap():
    """Franchise numbers, two seasons, season 0 alone and beside others, episode 0, gaps, nothing yet, films."""
    shapes = [set(m.seasons) for m in serials()]
    assert {4} in shapes
    assert {0} in shapes
    assert any(0 in shape and len(shape) > 1 for shape in shapes)
    assert any(len(shape - {0}) > 1 for shape in shapes)
    numbers = [sorted(episodes) for m in serials() for episodes in m.seasons.values()]
    assert any(0 in ns for ns in numbers)
    assert [] in numbers
    assert any(ns and len(ns) <= ns[-1] - ns[0] for ns in numbers)
    assert any(m.seasons is None for m in MATERIALS)


def test_links_come_in_every_form():
    """Mostly protocol-relative on today's host; some http, some on older hosts; none twice."""
    links = [e.link for m in serials() for episodes in m.seasons.values() for e in episodes.values()]
    assert sum(link.startswith("//kodikplayer.com/seria/") for link in links) > 0.9 * len(links)
    assert any(link.startswith("http://") for link in links)
    assert any("aniqit.com" in link for link in links)
    assert len(set(links)) == len(links)


def test_blocked_seasons_come_in_all_three_forms():
    """Nothing, the word all, a whole season, some episodes."""
    forms = [m.blocked_seasons for m in serials()]
    values = [next(iter(form.values())) for form in forms if isinstance(form, dict) and form]
    assert {} in forms
    assert "all" in forms
    assert "all" in values
    assert ["1", "2"] in values


def test_titles_have_every_oddity():
    """Unknown at Shikimori, no status, no kind, no score, half dates, adults only, no description, shared slugs."""
    assert any(not t.at_shikimori for t in TITLES)
    assert {t.status for t in TITLES} == {"released", "ongoing", "anons", None}
    assert {"tv", "movie", "ova", "ona", "special", "tv_special", "music", None} == {t.kind for t in TITLES}
    assert any(t.score == 0 for t in TITLES)
    assert any(t.aired_on[0] and not t.aired_on[1] for t in TITLES)
    assert any(t.aired_on[1] and not t.aired_on[0] for t in TITLES)
    assert any(t.censored for t in TITLES)
    assert any(t.description is None for t in TITLES)
    names = {t.romaji for t in TITLES}
    assert any(name + "!" in names for name in names)


def test_romaji_titles_are_nearly_all_different():
    """The backend makes addresses from them; a few collisions are wanted, a flood is not."""
    assert len({t.romaji for t in TITLES}) > 0.99 * len(TITLES)


def test_material_data_speaks_of_the_franchise_and_of_the_season():
    """From the second season on, year and premiere contradict aired_at; genres come in two cases."""
    title = next(t for t in TITLES if t.franchise_season == 3 and t.aired_on[2] and t.genres)
    data = material_data(title)
    assert data["year"] < int(data["aired_at"][:4])
    assert data["premiere_world"] != data["aired_at"]
    assert {"аниме", data["anime_genres"][0]} <= set(data["all_genres"])


def test_unknown_keys_are_left_out_and_never_null():
    """Kodik omits what it does not know."""
    assert b":null" not in text_of(World(seed=1, titles=100))
