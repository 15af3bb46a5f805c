"""Feeds of every form hold what an item publishes, as JSON has it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
from scrapy.utils.misc import load_object

from anime_crawler.items import Anime, Titles
from anime_crawler.settings import FEED_EXPORTERS

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ITEM = Anime(source="kitsu", source_id="1", titles=Titles(romaji="Naruto"), untold={"genres"}, fetched_at=NOW)


def written(form: str) -> str:
    """A feed of the item and of a dictionary that a user's spider yields."""
    file = io.BytesIO()
    exporter = load_object(FEED_EXPORTERS[form])(file)
    exporter.start_exporting()
    exporter.export_item(ITEM)
    exporter.export_item({"item": "Own", "source_id": "2"})
    exporter.finish_exporting()
    return file.getvalue().decode()


@pytest.mark.parametrize("form", FEED_EXPORTERS)
def test_a_feed_of_each_form_holds_the_item_without_what_is_for_us(form):
    text = written(form)
    assert [word for word in ("Anime", "kitsu", "Naruto", "2026-11-29T00:00:00Z", "Own") if word not in text] == []
    assert "untold" not in text


def test_lines_and_an_array_hold_the_same():
    array, lines = json.loads(written("json")), [json.loads(line) for line in written("jsonl").splitlines()]
    assert array == lines
    assert array[0]["titles"]["romaji"] == "Naruto"
