"""Repeats go no further, changes do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from scrapy.exceptions import DropItem

from anime_crawler.items import Checkpoint
from anime_crawler.pipelines import dedup
from anime_crawler.pipelines.dedup import DedupPipeline
from anime_crawler.run.report import RunReport
from tests.catalogue.support import NOW, anime, rejected, release


def test_the_same_content_again_is_dropped_and_counted():
    """Whenever it was fetched; quietly in the log."""
    report = RunReport()
    pipeline = DedupPipeline(report)
    pipeline.process_item(anime())
    with pytest.raises(DropItem) as dropped:
        pipeline.process_item(anime(fetched_at=NOW + timedelta(days=1)))
    assert dropped.value.log_level == "DEBUG"
    assert report.counters["anime"] == {"duplicate": 1}


def test_content_that_changes_and_changes_back_passes_each_time():
    """The newest seen is what counts."""
    pipeline = DedupPipeline(RunReport())
    for numbers in ([1], [1, 2], [1]):
        item = release(numbers=numbers)
        assert pipeline.process_item(item) is item


def test_kinds_with_one_id_and_words_of_control_are_not_mixed_up():
    """An unmatched material's anime and release share an id; checkpoints always pass."""
    pipeline = DedupPipeline(RunReport())
    stop = Checkpoint(source="kodik", previous=None, state={})
    for item in (anime("a", "kodik"), release("a"), anime("b", "kodik"), rejected(), rejected(), stop, stop):
        assert pipeline.process_item(item) is item


def test_memory_is_bounded(monkeypatch):
    """The key seen longest ago is forgotten; the catalogue then finds the repeat."""
    monkeypatch.setattr(dedup, "REMEMBERED", 2)
    pipeline = DedupPipeline(RunReport())
    for id_ in ("1", "2", "3", "1"):
        pipeline.process_item(anime(id_))
    assert len(pipeline._versions) == 2
