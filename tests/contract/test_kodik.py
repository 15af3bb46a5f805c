"""Kodik's recorded answers, asked for by the spider's own requests and understood by its own parser."""

from __future__ import annotations

import json

import pytest

from anime_crawler.items import Anime, Checkpoint, Rejected, Release
from anime_crawler.sources.kodik import spider as kodik
from anime_crawler.sources.kodik.spider import KodikSpider
from tests.contract.conftest import CASSETTES
from tests.contract.support import FakeRun, Upstream, crawl


@pytest.fixture
def small_pages(monkeypatch):
    """Ten materials a page instead of a hundred: a cassette that a person can read."""
    monkeypatch.setitem(kodik.FORM, "limit", "10")


def upstream(recorded, addresses, cassette, **secrets):
    return Upstream(recorded(cassette), addresses["kodik"], {"token": addresses["kodik_token"], **secrets})


@pytest.mark.usefixtures("small_pages")
def test_two_pages_of_the_list_are_walked_by_cursor(recorded, addresses):
    """Twenty releases of a first full walk, each page followed by its checkpoint; nothing set aside, no drift."""
    run = FakeRun()
    found = list(crawl(KodikSpider(max_pages="2"), upstream(recorded, addresses, "kodik_list"), run))
    releases = [item for item in found if isinstance(item, Release)]
    assert len({release.source_id for release in releases}) == 20
    assert all(release.players for release in releases)
    assert {anime.source_id for anime in found if isinstance(anime, Anime)} == {r.anime_id for r in releases}
    assert [item for item in found if isinstance(item, Rejected)] == []
    first, second = (item for item in found if isinstance(item, Checkpoint))
    assert (first.previous, second.previous) == (None, first.state)
    assert not second.state["complete"]
    assert (run.failures, run.drifted, run.full_listing) == ([], {}, True)


@pytest.mark.usefixtures("small_pages")
def test_one_anime_is_found_by_its_shikimori_id(recorded, addresses):
    """Every release of it, and no other anime."""
    listed = json.loads((CASSETTES / "kodik_list.json").read_text(encoding="utf-8"))
    body = json.loads(listed["http_interactions"][0]["response"]["body"]["string"])
    wanted = next(material["shikimori_id"] for material in body["results"] if "shikimori_id" in material)
    found = list(crawl(KodikSpider(shikimori_ids=wanted), upstream(recorded, addresses, "kodik_search"), FakeRun()))
    assert {release.anime_id for release in found if isinstance(release, Release)} == {wanted}


@pytest.mark.usefixtures("small_pages")
def test_a_wrong_token_is_told_from_the_words_of_the_answer(recorded, addresses):
    """Status 500 with Kodik's text: the one setting to change, and no further request."""
    run = FakeRun()
    refused = upstream(recorded, addresses, "kodik_refused", token="no-token-of-anybody")
    assert list(crawl(KodikSpider(max_pages="2"), refused, run)) == []
    assert [(verdict.kind, verdict.setting) for verdict in run.failures] == [("token_refused", "KODIK_API_TOKEN")]
