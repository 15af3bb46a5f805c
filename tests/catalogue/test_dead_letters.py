"""Records set aside, and when they are understood after all."""

from __future__ import annotations

import pytest

from anime_crawler.catalogue import dead_letters
from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.dead_letters import Letter
from tests.catalogue.support import airing, anime, character, episode, rejected, release, snapshot


def kept(tables, *columns):
    return tables.rows(t.dead_letter, *columns)


def test_a_record_is_kept_once_and_counted_each_time(tables):
    """With its newest reason and content."""
    assert tables.store(rejected()) == {("material", "failed"): 1}
    tables.store(rejected(reason="kind: still unknown", raw="{}"), run=2)
    assert kept(tables, "id", "key", "reason", "raw", "seen", "run_id", "stage") == [
        (1, "serial-1", "kind: still unknown", "{}", 2, 2, "parse")
    ]


@pytest.mark.parametrize("request_", [{}, {"path": "/list", "cursor": "ж"}])
def test_a_record_without_an_id_is_known_by_its_request_or_its_content(tables, request_):
    """A page that fails each time with another body is one letter when it can be asked for again."""
    tables.store(rejected(None, raw="one", request=request_), rejected(None, raw="two", request=request_))
    assert len(kept(tables)) == (1 if request_ else 2)


@pytest.mark.parametrize("item", [release(), anime("serial-1", "kodik")])
def test_a_record_understood_later_leaves_no_letter(tables, item):
    """Whatever the parser made of it; the letters of others stay."""
    tables.store(rejected(), rejected("serial-2"))
    tables.store(item)
    assert kept(tables, "key") == [("serial-2",)]


def test_a_letter_of_the_validation_goes_with_its_own_kind_only(tables):
    """An unmatched material's anime and release share one id; one may be sound."""
    tables.store(rejected(stage="validate", kind="release"))
    tables.store(anime("serial-1", "kodik"))
    assert len(kept(tables)) == 1
    tables.store(release())
    assert kept(tables) == []


@pytest.mark.parametrize("stage", ["parse", "validate"])
@pytest.mark.parametrize("item", [episode(3), character(), airing(3), snapshot()])
def test_a_letter_of_a_metadata_record_goes_with_its_own_kind_only(tables, stage, item):
    """Character 20 is not in anime 20, and no episode 3 is another anime's."""
    kind, key = type(item).__name__.lower(), dead_letters.key_of(item)
    tables.store(rejected(key, source="jikan", kind=kind, stage=stage))
    others = [anime(key, "jikan"), episode(3, "21"), character("20"), airing(3, "21"), snapshot("21")]
    tables.store(*others, *(other.model_copy(update={"source": "kitsu"}) for other in (item, *others)))
    assert kept(tables, "key") == [(key,)]
    tables.store(item)
    assert kept(tables) == []


def test_a_metadata_record_clears_the_letter_under_its_own_id_but_no_animes(tables):
    """A parser that refuses a record may know no more than that id."""
    tables.store(
        rejected("98123", source="kitsu", kind="episode"),
        rejected("98123", source="kitsu", kind="anime"),
    )
    tables.store(episode(3, source="kitsu", source_id="98123"))
    assert kept(tables, "kind") == [("anime",)]


def test_letters_of_delivery_are_the_importers_business(tables):
    """Crawling the record again does not clear them."""
    letter = Letter("deliver", "kodik", "release", "serial-1", "422", "{}", "0" * 32)
    tables.run(dead_letters.put, 1, [letter])
    tables.store(release())
    assert tables.run(dead_letters.count_open) == 1


def test_a_body_with_zero_bytes_can_be_kept(tables):
    """PostgreSQL's text cannot hold them."""
    tables.store(rejected("a\x00b", raw="\x00\x01", reason="not JSON: \x00"))
    assert kept(tables, "key", "raw") == [("a\ufffdb", "\ufffd\x01")]


def test_letters_are_found_by_reason_shown_and_dropped(tables):
    """A percent sign in the text is only a percent sign."""
    tables.store(rejected("1", reason="100% wrong"), rejected("2", reason="1000 wrong"))
    (found,) = tables.run(dead_letters.list_letters, "0%")
    assert tables.run(dead_letters.get, found.id).raw == '{"id": 1}'
    assert tables.run(dead_letters.drop, found.id)
    assert not tables.run(dead_letters.drop, found.id)
    assert tables.run(dead_letters.get, found.id) is None
    assert kept(tables, "key") == [("2",)]
