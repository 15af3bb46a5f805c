"""What an upstream sends as an id, or as the name of a field, costs itself and never the batch it is stored in."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from pydantic import ValidationError

from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.drift import add_drift, list_drift
from anime_crawler.items import Checkpoint, Rejected
from anime_crawler.pipelines.validation import ValidationPipeline
from anime_crawler.run.report import RunReport
from tests.catalogue.support import absent, anime, character, episode, player, rejected, release, snapshot

process = ValidationPipeline(RunReport()).process_item
LONG = "".join(Random(1).choices("0123456789abcdefghijklmnopqrstuvwxyz", k=9_000))
"""What no compression makes short."""
LONGEST = LONG[:300]
MAKE = {
    "anime": anime,
    "release": release,
    "character": character,
    "absent": absent,
    "release of an anime": lambda own: release("1", own),
    "episode of an anime": lambda own: episode(anime_id=own),
    "kind of snapshot": lambda own: snapshot(snapshot_type=own),
    "id elsewhere": lambda own: anime(external_ids={"mal": own}),
    "elsewhere": lambda own: anime(external_ids={own: "1"}),
    "player": lambda own: release(numbers=[player(1, url=f"https://kodikplayer.com/seria/1/{own}/720p")]),
    "letter": rejected,
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_an_id_that_is_too_long_for_a_key_costs_its_item(tables, make):
    """PostgreSQL would refuse the whole batch, and the run would end; its letter is kept under a digest."""
    item = process(make(LONG))
    assert isinstance(item, Rejected)
    tables.store(item, anime("7"))
    assert all(len(key) <= 300 for (key,) in tables.rows(t.dead_letter, "key"))
    assert len(tables.rows(t.dead_letter)) == len(tables.rows(t.anime)) == 1


@pytest.mark.parametrize("own", [LONGEST, "".join(chr(0x1F000 + ord(letter)) for letter in LONGEST)])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_the_longest_id_that_is_let_through_is_stored(tables, make, own):
    """In letters of four bytes too."""
    with suppress(ValidationError):  # no address is written so
        tables.store(process(make(own)))


def test_a_checkpoint_goes_without_ids_that_are_too_long(tables):
    """They are never stored; the walk goes on."""
    point = Checkpoint(source="kodik", previous=None, state={"page": 1}, listed=("1", LONG), asked=(LONG, "2"))
    tables.store(process(point))
    assert (process(point).listed, process(point).asked) == (("1",), ("2",))
    assert tables.rows(t.checkpoint, "state") == [('{"page":1}',)]


@pytest.mark.parametrize("path", ["a\x00b", "a\ud800b", LONG])
def test_the_name_of_an_unknown_field_can_be_counted_whatever_it_is(tables, path):
    """At the end of a run, which would not be noted otherwise; twice is one row."""
    for _ in range(2):
        tables.run(lambda conn: add_drift(conn, 1, [("kodik", path, "unknown", 3)]))
    (row,) = tables.run(list_drift)
    assert row["count"] == 6
    assert row["path"] in ("a\ufffdb", LONGEST)
