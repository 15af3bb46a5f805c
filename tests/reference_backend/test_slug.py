"""`slugify` follows the backend's rule, and `Slugs` finds the same links as a walk along the chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.reference_backend.slug import Slugs, link, slugify
from tests.reference_backend.support import Client, anime


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Café Ōran!", "cafe-oran"),
        ("A.B-C  d_e", "ab-c-d_e"),
        ("Re:Zero", "rezero"),
        ("Re Zero", "re-zero"),
        ("Тест", ""),
        ("進撃の巨人", ""),
        ("Наруто 2", "2"),
        (" - x - ", "x"),
        ("ﬁne", "fine"),
    ],
)
def test_a_title_asks_for_the_slug_of_the_measured_table(title, slug):
    """Lower-case ASCII letters of the decomposed title, words joined with ``-``."""
    assert slugify(title) == slug


def test_titles_without_latin_letters_share_one_chain(backend: Client):
    """The first gets the empty slug, the next ``-1`` and ``-2``."""
    for source_id, title in enumerate(["Тест", "Другое", "進撃の巨人"], start=1):
        backend.ok("anime", anime(str(source_id), title=title))
    assert [backend.anime(source_id)["slug"] for source_id in "123"] == ["", "-1", "-2"]


def test_a_slug_wanders_when_an_earlier_one_becomes_free(backend: Client):
    """The re-post of unchanged data moves the row, and its update time with it."""
    for source_id in "123":
        backend.ok("anime", anime(source_id, title="Same"))
    before = backend.anime("3")
    backend.ok("anime", anime("1", title="Renamed"))
    backend.ok("anime", anime("3", title="Same"))
    after = backend.anime("3")
    assert (before["slug"], after["slug"]) == ("same-2", "same")
    assert after["updated_at"] > before["updated_at"]


class PlainSlugs:
    """The real backend's way: one query per link."""

    def __init__(self) -> None:
        self.of: dict[int, str] = {}

    def place(self, who: int, base: str) -> str:
        number = 0
        while any(slug == link(base, number) for other, slug in self.of.items() if other != who):
            number += 1
        self.of[who] = link(base, number)
        return self.of[who]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["", "a", "a-1", "a-1-1", "1", "a-01", "b"])), max_size=60)
)
def test_the_shortcut_gives_what_walking_the_chain_gives(moves):
    """Any order of imports and renames, chains that look like links of other chains included."""
    plain, quick, own = PlainSlugs(), Slugs(), {}
    for who, base in moves:
        chosen = quick.choose(base, own.get(who))
        assert chosen == plain.place(who, base)
        assert link(base, quick.queries(base, own.get(who)) - 1) == chosen
        quick.move(own.get(who), chosen)
        own[who] = chosen
