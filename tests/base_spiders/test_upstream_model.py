"""A field that cannot be understood costs itself; what a record is known by costs the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, AwareDatetime, BaseModel, Field, ValidationError

from anime_crawler.base_spiders import Words, note, read, reading
from anime_crawler.items import Anime, Character, Titles

Count = Annotated[int, Field(ge=0, le=10)]
AT = datetime(2026, 5, 3, tzinfo=UTC)


class Part(Words):
    id: Annotated[str, Field(pattern=r"^\d+$")]
    size: Count | None = None


class Attributes(Words):
    number: Count
    title: str | None = None
    at: AwareDatetime | None = None


class Row(Words):
    id: str
    attributes: Attributes
    parts: list[Part] | None = None
    names: dict[str, str | None] | None = None
    pairs: list[list[str]] = []
    voice: str | None = Field(None, validation_alias=AliasChoices("voiceV2", "voice"))
    year: str | int | None = None
    one: Part | None = None


GOOD: dict[str, Any] = {
    "id": "7",
    "attributes": {"number": 3, "title": "x", "at": "2026-05-03T00:00:00Z"},
    "parts": [{"id": "1", "size": 2}, {"id": "2"}, {"id": "3"}],
    "names": {"en": "a", "ja": None},
    "pairs": [["tv", "5"], ["movie"]],
    "voice": "b",
    "year": 2020,
    "one": {"id": "4", "size": 1},
}


@pytest.mark.parametrize(
    ("change", "lost", "problem"),
    [
        ({"attributes": {"number": 3, "title": ["x"]}}, {"attributes": Attributes(number=3)}, "attributes.title: "),
        ({"attributes": {"number": 3, "at": "soon"}}, {"attributes": Attributes(number=3)}, "attributes.at: "),
        ({"parts": [{"size": 1}, {"id": "2"}]}, {"parts": [Part(id="2")]}, "parts.*.id: Field required"),
        ({"parts": [{"id": "1", "size": 99}]}, {"parts": [Part(id="1")]}, "parts.*.size: "),
        ({"parts": [None, 5, {"id": "2"}, "x"]}, {"parts": [Part(id="2")]}, "parts.*: "),
        ({"parts": "many"}, {"parts": None}, "parts: "),
        ({"names": {"en": ["a"], "ja": "b"}}, {"names": {"ja": "b"}}, "names.en: "),
        ({"pairs": [["tv", []], ["movie"]]}, {"pairs": [["tv"], ["movie"]]}, "pairs.*.*: "),
        ({"voice": {}}, {"voice": None}, "voice"),
        ({"year": [2020]}, {"year": None}, "year"),
        ({"one": {"size": 1}}, {"one": None}, "one.id: Field required"),
        ({"one": {"id": "4", "size": -1}}, {"one": Part(id="4")}, "one.size: "),
    ],
)
def test_what_may_be_missing_is_left_out_and_noted(change, lost, problem):
    """The innermost field with a default, or entry of a list or object; the rest of the record is what it was."""
    record = {**GOOD, **change}
    before = repr(record)
    with reading() as problems:
        row = read(Row, record)
    assert row == Row.model_validate(GOOD).model_copy(update=lost)
    assert any(said.startswith(problem) for said in problems)
    assert repr(record) == before


@pytest.mark.parametrize(
    "record",
    [None, [], "x", {}, {**GOOD, "id": None}, {**GOOD, "attributes": {}}, {**GOOD, "attributes": {"number": "?"}}],
)
def test_what_a_record_is_known_by_costs_the_record(record):
    """A required field, at the top or in something required."""
    with pytest.raises(ValidationError):
        read(Row, record)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "size", "en"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([name for name in GOOD if name not in ("id", "attributes")]), JUNK))
def test_no_optional_field_ever_costs_the_record(changes):
    """Whatever it holds; a field that is noted has a value that may be missing."""
    with reading() as problems:
        row = read(Row, {**GOOD, **changes})
    assert (row.id, row.attributes.number) == ("7", 3)
    untouched = Row.model_validate(GOOD)
    for name in set(GOOD) - set(changes):
        assert getattr(row, name) == getattr(untouched, name)
    assert bool(problems) <= bool(changes)


def test_an_item_loses_a_value_that_no_anime_may_have():
    """A year before films, an address that is none, a score beyond the scale: unknown, and the anime stays."""
    with reading() as problems:
        anime = read(
            Anime,
            {
                "source": "x",
                "source_id": "1",
                "fetched_at": AT,
                "titles": {"en": "A"},
                "year": 1850,
                "poster": "javascript:x",
                "score": 11,
                "genres": ("Drama", " ", "Comedy"),
                "relations": [{"kind": None, "target": "anime", "target_id": "2"}],
            },
        ).noting(problems)
    assert (anime.year, anime.poster, anime.score, anime.genres, anime.relations) == (
        None,
        None,
        None,
        ("Drama", "Comedy"),
        (),
    )
    assert len(anime.not_understood) == 5
    assert {"year", "poster", "score", "relations", "titles"} <= anime.untold
    assert "genres" not in anime.untold
    assert anime.checksum() == anime.model_copy(update={"untold": frozenset(), "not_understood": ()}).checksum()


def test_what_is_noted_belongs_to_the_record_that_is_read():
    """Records inside one another, and what is noted outside of any, do not mix."""
    note("outside")
    with reading() as outer:
        note("a")
        with reading() as inner:
            note("b")
        note("c")
    assert (outer, inner) == (["a", "c"], ["b"])


def test_an_item_is_completed_by_what_another_version_tells():
    """Names language by language, ids together, everything else whole; only what is untold."""
    at = {"source": "x", "source_id": "1", "fetched_at": AT}
    old = Anime(
        **at, titles=Titles(en="Old", native="旧"), external_ids={"mal": "1", "anidb": "2"}, kind="tv", year=2020
    )
    new = Anime(**at, titles=Titles(en="New"), external_ids={"mal": "3"}).noting(["format: unknown value 'X'"])
    whole = new.completed_by(old)
    assert whole.titles == Titles(en="New", native="旧")
    assert whole.external_ids == {"mal": "3", "anidb": "2"}
    assert (whole.kind, whole.year) == ("tv", 2020)
    told = Anime(**at, titles=Titles(en="New"), kind="ova")
    assert told.completed_by(old) == told
    one = Character(**at, names=Titles(en="Ana"), anime_id="5").noting(["role: unknown value 'x'"])
    other = Character(**at, names=Titles(en="Ana"), anime_id="5", role="main")
    assert one.completed_by(other).role == "main"


class Plain(BaseModel):
    size: Count | None = None


def test_models_of_any_base_are_read():
    """Those of sources that have a base of their own."""
    assert read(Plain, {"size": "many"}) == Plain()
