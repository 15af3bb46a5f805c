"""Items pass Scrapy by a shorter way; what a user's pipelines and receivers see is what Scrapy would show them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from scrapy import Spider, signals
from scrapy.exceptions import DropItem
from scrapy.utils.test import get_crawler

from anime_crawler.items import Anime, Titles
from anime_crawler.pipelines.passage import ItemProcessor, Signals

ITEM = Anime(
    source="kitsu", source_id="1", titles=Titles(romaji="Naruto"), fetched_at=datetime(2026, 11, 29, tzinfo=UTC)
)


def other(item: Any, source_id: str) -> Anime:
    return item.model_copy(update={"source_id": source_id})


class AtOnce:
    def process_item(self, item: Any) -> Any:
        return other(item, item.source_id + "a")


class AtOnceAgain(AtOnce):
    pass


class Later:
    async def process_item(self, item: Any) -> Any:
        await asyncio.sleep(0)
        return other(item, item.source_id + "b")


class WithSpider:
    def process_item(self, item: Any, spider: Spider) -> Any:
        return other(item, item.source_id + spider.name)


class Plain:
    def process_item(self, item: Any) -> Any:
        return {"id": item["id"] if isinstance(item, dict) else item.source_id}


class Drops:
    def process_item(self, item: Any) -> Any:
        raise DropItem("not wanted")


def passed(*pipelines: type) -> Any:
    crawler = get_crawler(settings_dict={"ITEM_PIPELINES": {cls: i for i, cls in enumerate(pipelines)}})
    crawler.spider = Spider(name="own")
    return asyncio.run(ItemProcessor.from_crawler(crawler).process_item_async(ITEM))


def test_each_pipeline_gets_what_the_one_before_gave_at_once_or_later():
    assert passed(AtOnce, Later, AtOnceAgain).source_id == "1aba"


def test_a_pipeline_may_give_something_that_is_no_item_of_ours():
    assert passed(AtOnce, Plain, Plain) == {"id": "1a"}


@pytest.mark.filterwarnings("ignore:.*requires a spider argument")
def test_a_pipeline_may_want_the_spider():
    assert passed(AtOnce, WithSpider).source_id == "1aown"


def test_a_pipeline_drops_an_item():
    with pytest.raises(DropItem, match="not wanted"):
        passed(AtOnce, Drops, Later)


def test_a_signal_reaches_receivers_of_any_kind_and_none_that_is_gone():
    sender, heard = Signals(object()), []

    def at_once(item: Any) -> None:
        heard.append(f"at once {item}")

    async def later(item: Any) -> None:
        await asyncio.sleep(0)
        heard.append(f"later {item}")

    async def send(item: str) -> list[tuple[Any, Any]]:
        return await sender.send_catch_log_async(signals.item_scraped, item=item)

    assert asyncio.run(send("1")) == []
    sender.connect(at_once, signals.item_scraped)
    sender.connect(later, signals.item_scraped)
    assert {receiver for receiver, _ in asyncio.run(send("2"))} == {at_once, later}
    sender.disconnect(at_once, signals.item_scraped)
    asyncio.run(send("3"))
    assert heard == ["at once 2", "later 2", "later 3"]
