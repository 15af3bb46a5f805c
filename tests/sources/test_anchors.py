"""Crawled pages have anchors that must be there: a page without one is refused, and nothing of it is stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from scrapy.http import HtmlResponse

from anime_crawler.sandbox.upstreams.anime_planet import lists as planet_lists
from anime_crawler.sandbox.upstreams.anime_planet import pages as planet
from anime_crawler.sandbox.upstreams.anisearch import lists
from anime_crawler.sandbox.upstreams.anisearch import pages as search
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources.anime_planet.spider import AnimePlanetSpider
from anime_crawler.sources.anisearch.spider import AniSearchSpider
from tests.conftest import SHARED

SAMPLES = SHARED / "samples"
PLANET, SEARCH = "https://www.anime-planet.com", "https://www.anisearch.com"

CAPTURES = [
    *(("anime_planet", path) for path in sorted((SAMPLES / "anime_planet").glob("*__*.html"))),
    *(("anisearch", path) for path in sorted((SAMPLES / "anisearch").glob("*__*.html"))),
]


RELATIONS = "4942__related_anime_multiple_related_anime.html"
"""A page that no spider asks for."""


def address(source: str, path: Path) -> str:
    """Where the page was captured."""
    return f"{PLANET if source == 'anime_planet' else SEARCH}/anime/{path.name.partition('__')[0]}"


def verdict(url: str, body: bytes) -> tuple[str, str]:
    """Kind and message of what the source's spider makes of the page."""
    spider = (AnimePlanetSpider if url.startswith(PLANET) else AniSearchSpider)()
    found = spider.judge(HtmlResponse(url, body=body, encoding="utf-8"))
    return found.kind, found.message


@pytest.mark.skipif(not CAPTURES, reason=f"no captures in {SAMPLES}: they prove that real pages have the anchors")
def test_real_pages_have_every_anchor():
    """Those of both sites, of all years."""
    judged = {
        path.name: verdict(address(source, path), path.read_bytes())
        for source, path in CAPTURES
        if path.name != RELATIONS
    }
    assert {name: found for name, found in judged.items() if found[0] != "ok"} == {}
    assert len(judged) > 30


WORLD = World(titles=200)
SEARCHES = known_at("anisearch", WORLD)
TITLES = list(SEARCHES.values())
NUMBER, TITLE = next((own, t) for own, t in SEARCHES.items() if cast(t) and all(role.main for role in cast(t)))
"""One whose characters are all in the first of two lists."""
PLANETS = known_at("anime_planet", WORLD)
SLUG, PLANET_TITLE = next((slug, title) for slug, title in PLANETS.items() if cast(title))
WHO = cast(PLANET_TITLE)[0]
ANIME, CHARACTER = f"{PLANET}/anime/{SLUG}", f"{PLANET}/characters/{planet.character_slug(WHO)}"
DETAILS = {PLANET: planet.detail(PLANET_TITLE, WORLD), SEARCH: search.detail(TITLE, WORLD)}
WHOLE_LISTING = planet_lists.listing([*PLANETS.values()][:35], 1, 9)
WHOLE_INDEX = lists.index(TITLES[:100], 2, 3)
AIRED, HAS_AIRED = next((own, title) for own, title in SEARCHES.items() if title.aired)
EPISODES = lists.episodes(HAS_AIRED)
SEARCHED = f"{SEARCH}/anime/{NUMBER}"


@pytest.mark.parametrize(
    ("path", "body", "old", "new"),
    [
        (ANIME, DETAILS[PLANET], "entrySynopsis", "entry-synopsis"),
        (ANIME, DETAILS[PLANET], '"type"', '"kind"'),
        (ANIME, DETAILS[PLANET], "iconYear", "year"),
        (ANIME, DETAILS[PLANET], "md-3-5", "md-6-10"),
        (ANIME, DETAILS[PLANET], 'itemprop="image"', 'itemprop="picture"'),
        (ANIME, DETAILS[PLANET], "myListBar", "list-bar"),
        (CHARACTER, planet_lists.character([(PLANET_TITLE, WHO)]), "Anime Roles", "Roles"),
        (f"{ANIME}/characters", planet_lists.characters(PLANET_TITLE), 'class="name"', 'class="named"'),
        (f"{PLANET}/anime/all?sort=title&page=1", WHOLE_LISTING, '"pagination', '"pages'),
        (f"{PLANET}/anime/all?sort=title&page=1", WHOLE_LISTING, 'data-type="anime"', 'data-kind="anime"'),
        (SEARCHED, DETAILS[SEARCH], "infoblock", "info-block"),
        (SEARCHED, DETAILS[SEARCH], 'class="type"', 'class="kind"'),
        (SEARCHED, DETAILS[SEARCH], 'class="title"', 'class="name"'),
        (SEARCHED, DETAILS[SEARCH], 'class="header"', 'class="label"'),
        (SEARCHED, DETAILS[SEARCH], "details-cover", "cover"),
        (SEARCHED, DETAILS[SEARCH], "ratingstats", "ratings"),
        (SEARCHED, DETAILS[SEARCH], 'id="description"', 'id="synopsis"'),
        (SEARCHED, DETAILS[SEARCH], "application/ld+json", "text/json"),
        (f"{SEARCHED},x/characters", lists.characters(TITLE), "chara1", "role1"),
        (f"{SEARCHED},x/characters", lists.characters(TITLE), '"title"', '"name"'),
        (f"{SEARCH}/anime/{AIRED},x/episodes", EPISODES, "data-episode", "data-number"),
        (f"{SEARCH}/anime/{AIRED},x/episodes", EPISODES, 'id="episodes"', 'id="list"'),
        (f"{SEARCH}/anime/index/page-2", WHOLE_INDEX, "pagenav", "pages"),
        (f"{SEARCH}/anime/index/page-2", WHOLE_INDEX, "<tbody", "<tfoot"),
    ],
)
def test_a_page_that_lacks_an_anchor_is_refused(path, body, old, new):
    """The same page with it is taken; without it no request is acked, nothing is stored, and the run is incomplete."""
    assert verdict(path, body.encode())[0] == "ok"
    assert old in body
    assert verdict(path, body.replace(old, new).encode())[0] == "wrong_shape"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("site", [PLANET, SEARCH])
def test_a_page_is_read_in_the_encoding_that_its_mark_says(site, encoding):
    """As strange as that would be."""
    assert verdict(f"{site}/anime/{SLUG if site == PLANET else NUMBER}", DETAILS[site].encode(encoding))[0] == "ok"
