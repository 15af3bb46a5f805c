"""Whatever was set aside is kept whole and can be tried again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler import sources
from anime_crawler.base_spiders import raw_body, set_aside
from anime_crawler.base_spiders.record import raw_text
from anime_crawler.catalogue import dead_letters
from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.store.items import store_items
from anime_crawler.items import Rejected
from anime_crawler.pipelines.validation import rejected
from anime_crawler.run.replay import replay
from anime_crawler.sources.kodik.parse import items_from_results
from tests.catalogue.support import NOW, SOURCES, Tables, anime, release

SAMPLES = Path(sources.__path__[0])


def replay_all(tables: Tables) -> list[str]:
    """What replaying says of each letter."""

    def again(conn: Any) -> list[str]:
        letters = [dead_letters.get(conn, row.id) for row in dead_letters.list_letters(conn)]
        return [
            replay(conn, row, lambda conn, items: store_items(conn, 1, items, **SOURCES), sources.__name__).message
            for row in letters
            if row
        ]

    return tables.run(again)


@pytest.mark.parametrize("episodes", [12, 9_000])
def test_a_material_of_any_length_can_be_replayed(tables, episodes):
    """A serial of 700 episodes is longer than 64 KiB; one of 9,000 is a megabyte."""
    document = json.loads((SAMPLES / "kodik/samples/material__third_season/response.json").read_bytes())
    material = document["results"][0]
    season = next(iter(material["seasons"].values()))
    season["episodes"] = dict.fromkeys(map(str, range(1, episodes + 1)), next(iter(season["episodes"].values())))
    material["translation"]["type"] = "karaoke"
    tables.store(*(item for item in items_from_results([material], NOW) if isinstance(item, Rejected)))
    assert replay_all(tables) == ["still not understood: translation.type: unknown value 'karaoke'"]
    mended = tables.rows(t.dead_letter, "raw")[0][0].replace('"karaoke"', '"voice"')  # in place of the parser
    tables.run(lambda conn: conn.execute(t.dead_letter.update().values(raw=mended)))
    assert replay_all(tables) == ["understood, 2 items stored"]
    assert len(tables.rows(t.player)) == episodes


def test_what_the_validation_set_aside_is_kept_whole_and_judged_by_the_rules_of_today(tables):
    """A long release, and an anime with half a character, whose JSON is not every reader's."""
    tables.store(rejected(release(numbers=range(1, 2_000)), "a rule of before"))
    tables.store(rejected(anime("7", external_ids={"\ud800": "x"}), "external_ids: holds half a character"))
    assert [message.partition(":")[0] for message in replay_all(tables)] == [
        "understood, 1 items stored",
        "still not understood",
    ]
    assert len(tables.rows(t.player)) == 1_999


def test_a_letter_that_an_older_version_has_cut_stays_and_says_so(tables):
    """Its end is lost; asking the source again is the way back."""
    tables.store(rejected(release(), "a rule").model_copy(update={"raw": '{"source":"ko… cut, 70000 characters'}))
    assert replay_all(tables)[0].startswith("still not understood")


@pytest.mark.parametrize("record", [{"title": "half \ud83d"}, {"nested": None}], ids=["half a character", "deep"])
def test_any_json_can_be_set_aside(record):
    """Also what the quick writer of JSON refuses: it would take the page's other records along."""
    if "nested" in record:
        for _ in range(400):
            record = {"nested": record}
    letter = set_aside("kodik", "material", record, "odd", NOW, source_id=None)
    assert json.loads(letter.raw) == record


@given(st.binary(max_size=60) | st.just(b"<?xml version='1.0' encoding='koi8-r'?><a>\xc1</a>"))
def test_a_body_is_given_back_as_it_was(body):
    """Text in UTF-8 can be read by people; anything else keeps its bytes."""
    assert raw_body(raw_text(body)) == body


def test_no_token_stays_in_a_body_that_is_no_text():
    """It may be an error page that repeats the address."""
    assert raw_body(raw_text(b"\xff ?token=canary&x")) == b"\xff ?token=REDACTED&x"
