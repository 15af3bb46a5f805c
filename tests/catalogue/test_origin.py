"""A catalogue holds real records or the sandbox's, never both."""

from __future__ import annotations

import pytest

from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.origin import OriginError, mark_as_sandbox, note_origin, origin_of
from tests.catalogue.support import release


@pytest.mark.parametrize(("first", "other"), [("sandbox", "real"), ("real", "sandbox")])
def test_the_first_records_decide_and_the_others_are_refused_for_ever(tables, first, other):
    """Also when no record is left."""
    assert tables.run(origin_of) is None
    tables.run(note_origin, first)
    tables.run(note_origin, first)
    with pytest.raises(OriginError, match=r"DATABASE_URL=.* holds (real|invented) titles.*set DATABASE_URL") as error:
        tables.run(note_origin, other)
    assert error.value.exit_code == 2
    assert tables.rows(t.origin) == [(first,)]


def test_records_of_before_there_was_a_note_count_as_real(tables):
    """Unless it is known that they are the sandbox's."""
    tables.store(release())
    with pytest.raises(OriginError):
        tables.run(note_origin, "sandbox")
    tables.run(mark_as_sandbox)
    tables.run(note_origin, "sandbox")
    tables.run(mark_as_sandbox)
    assert tables.run(origin_of) == "sandbox"
