"""An item has passed when it is committed; a page is one transaction; a failure ends the run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from scrapy.exceptions import DropItem
from scrapy.settings import Settings
from sqlalchemy import select

from anime_crawler.catalogue import dead_letters, runs
from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.writer import Catalogue
from anime_crawler.config import Config
from anime_crawler.items import Checkpoint
from anime_crawler.pipelines.catalogue import CataloguePipeline
from anime_crawler.run.report import RunReport
from anime_crawler.sources.kodik.spider import KodikSpider
from tests.catalogue.support import absent, anime, opened, rejected, release

PRIORITIES = {"IDENTITY_SOURCE": "shikimori", "SOURCE_PRIORITY": ["shikimori", "kodik"]}


class Job:
    """What the pipeline needs of a job, and what it did to it."""

    def __init__(self, catalogue):
        self.catalogue, self.config, self.report = catalogue, Config.load(), RunReport()
        self.run_id, self.failed, self.full_listing, self.ended = 1, False, False, []
        self.is_ours = True

    async def may_store(self):
        return self.is_ours

    def note_checkpoints(self, source, refused):
        pass

    def fail_catalogue(self, error):
        self.failed = True
        self.fatal(str(error), error.exit_code)

    def fatal(self, message, exit_code):
        self.ended.append((message, exit_code, self.failed))


def run(url, work):
    """`work(pipeline, job)` on an open catalogue."""

    async def main():
        catalogue = await Catalogue.open(url)
        job = Job(catalogue)
        crawler = SimpleNamespace(job=job, settings=Settings(PRIORITIES), spidercls=KodikSpider, spider=None)
        try:
            return await work(CataloguePipeline.from_crawler(crawler), job)
        finally:
            await catalogue.close()

    return asyncio.run(main())


@pytest.fixture
def url(tmp_path):
    """Address of an empty catalogue."""
    return f"sqlite:///{tmp_path}/anime.db"


def page(number):
    """100 releases and the checkpoint after them."""
    releases = [release(f"{number}-{i}", str(i)) for i in range(100)]
    return [*releases, Checkpoint(source="kodik", previous={"n": number} if number else None, state={"n": number + 1})]


def test_an_anime_of_a_source_that_is_not_delivered_makes_no_title(url):
    """SOURCE_PRIORITY does not name it."""
    item = anime("20", "jikan", external_ids={"shikimori": "20"})
    run(url, lambda pipeline, job: pipeline.process_item(item))
    with opened(url) as tables:
        assert tables.rows(t.anime, "title_id") == [("20",)]
        assert tables.rows(t.title) == []


def test_a_data_item_comes_back_when_it_is_stored(url):
    """It goes on to feeds; another connection sees it by then."""

    async def work(pipeline, job):
        item = release()
        assert await pipeline.process_item(item) is item
        with opened(url) as tables:
            assert tables.rows(t.release, "source_id") == [("serial-1",)]
        assert job.report.counters["release"] == {"new": 1}

    run(url, work)


@pytest.mark.parametrize("item", [absent(), rejected(), Checkpoint(source="kodik", previous=None, state={"n": 1})])
def test_words_of_control_are_stored_and_end_there(url, item):
    """Feeds do not hold them."""

    async def work(pipeline, _job):
        with pytest.raises(DropItem) as dropped:
            await pipeline.process_item(item)
        assert dropped.value.log_level == "DEBUG"

    run(url, work)
    with opened(url) as tables:
        stored = tables.run(dead_letters.count_open), tables.run(runs.load_checkpoint, "kodik")
    assert stored == {"Absent": (0, None), "Rejected": (1, None), "Checkpoint": (0, {"n": 1})}[type(item).__name__]


def test_a_page_is_one_transaction_and_pages_keep_their_order(url):
    """Though its items arrive in several turns of the loop; each checkpoint finds the one before it."""

    async def late(pipeline, item, turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        return await pipeline.process_item(item)

    async def work(pipeline, job):
        writes = []
        write = job.catalogue.write

        async def counted(fn):
            writes.append(len(fn.keywords["items"]))
            return await write(fn)

        job.catalogue.write = counted
        for number in range(3):
            items = [late(pipeline, item, i // 40) for i, item in enumerate(page(number))]
            await asyncio.gather(*items, return_exceptions=True)
        at_once = [pipeline.process_item(item) for number in range(3, 6) for item in page(number)]
        await asyncio.gather(*at_once, return_exceptions=True)
        assert writes == [101, 101, 101, 303]

    run(url, work)
    with opened(url) as tables:
        assert tables.run(runs.load_checkpoint, "kodik") == {"n": 6}
        assert len(tables.rows(t.release)) == 600


def test_a_catalogue_that_cannot_be_written_ends_the_run_before_anything_is_acked(url):
    """The job knows before the items come back; later items are not tried; what was stored stays."""

    async def work(pipeline, job):
        await pipeline.process_item(release("first"))
        await job.catalogue.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count = 1").scalar())
        outcomes = await asyncio.gather(*(pipeline.process_item(item) for item in page(0)), return_exceptions=True)
        assert all(isinstance(outcome, DropItem) for outcome in outcomes)
        with pytest.raises(DropItem):
            await pipeline.process_item(release("later"))
        ((message, exit_code, failed),) = job.ended
        assert ("DATABASE_URL" in message, exit_code, failed) == (True, 2, True)

    run(url, work)
    with opened(url) as tables:
        assert tables.rows(t.release, "source_id") == [("first",)]


def test_a_fault_of_ours_ends_the_run_too(url, caplog):
    """With its traceback in the log: the batch is not stored, so nothing may be acked."""

    async def work(pipeline, job):
        broken = anime().model_copy(update={"source_id": 5})
        with pytest.raises(DropItem):
            await pipeline.process_item(broken)
        assert job.failed
        assert job.ended[0][1] == 2

    run(url, work)
    assert "items could not be stored" in caplog.text


def test_what_other_workers_have_taken_over_is_not_stored(url):
    """It is dropped without a word: they store it."""

    async def work(pipeline, job):
        job.is_ours = False
        with pytest.raises(DropItem, match="took over"):
            await pipeline.process_item(anime("1"))
        return await job.catalogue.read(lambda conn: conn.execute(select(t.anime.c.source_id)).all()), job.ended

    assert run(url, work) == ([], [])


@pytest.mark.parametrize("part", ["may_store", "note_checkpoints"])
def test_a_fault_around_the_transaction_ends_the_run_and_answers_everybody_who_waits(url, part, caplog):
    """Whether it comes before the commit or after it: nobody waits for ever, and nothing is acked."""

    def fail(*_):
        raise OSError("no file descriptors are left")

    async def work(pipeline, job):
        setattr(job, part, fail)
        waiting = asyncio.gather(*(pipeline.process_item(item) for item in page(0)), return_exceptions=True)
        outcomes = await asyncio.wait_for(waiting, 60)
        assert all(isinstance(outcome, DropItem) for outcome in outcomes)
        with pytest.raises(DropItem):
            await asyncio.wait_for(pipeline.process_item(release("later")), 60)
        ((message, exit_code, failed),) = job.ended
        assert ("no file descriptors are left" in message, exit_code, failed) == (True, 2, True)

    run(url, work)
    assert "items could not be stored" in caplog.text
    with opened(url) as tables:
        assert len(tables.rows(t.release)) == (100 if part == "note_checkpoints" else 0)
