"""The simulated AniSearch: both layouts, and the pieces that lead a careless reader astray."""

from __future__ import annotations

import orjson
import pytest

from anime_crawler.sandbox.upstreams.anisearch.service import AniSearch
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.mutation import Mutator
from anime_crawler.sandbox.world.words import HENTAI
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World
from tests.sandbox.site import ask, page

WORLD = World(seed=4, titles=400)
SITE = AniSearch(WORLD)
TITLES = known_at("anisearch", WORLD)
FULL = "char=all&sort=title&order=asc&view=2&limit=100&title=&titlex="
NEWEST = "char=all&sort=date&order=desc&view=2&limit=100&title=&titlex="


def detail(title: Title) -> object:
    own = next(number for number, known in TITLES.items() if known is title)
    return page(SITE, f"/anime/{own}")


def some(fits) -> Title:
    return next(title for title in TITLES.values() if fits(title))


def listed(path: str, query: str) -> list[str]:
    rows = page(SITE, path, query).css("table.responsive-table tbody tr")
    return [row.css("span.addEpisode::attr(data-id)").get() for row in rows]


def linked_data(shown) -> dict:
    texts = shown.css('script[type="application/ld+json"]::text').getall()
    assert len(texts) == 2
    return orjson.loads(texts[1])


def test_the_index_lists_each_title_once_by_title_or_newest_first():
    """100 a page; the last page has no link to itself, and behind it is nothing."""
    pages = [listed(f"/anime/index/page-{n}", FULL) for n in range(1, 6)]
    assert [len(rows) for rows in pages] == [100, 100, 100, len(TITLES) - 300, 0]
    assert {own for rows in pages for own in rows} == set(TITLES)
    assert listed("/anime/index/page-1", NEWEST) == sorted(TITLES, key=int, reverse=True)[:100]
    assert page(SITE, "/anime/index", FULL).css("a.pagenav-last::attr(title)").getall() == ["Page 4"] * 2
    assert not page(SITE, "/anime/index/page-4", FULL).css("a.pagenav-next, a.pagenav-last")


def test_a_search_finds_titles_by_a_part_of_their_names():
    """None is a page without rows."""
    title = some(lambda t: t.english)
    own = next(number for number, known in TITLES.items() if known is title)
    assert own in listed("/anime/index/", f"char=all&page=1&text={title.english}&smode=2&view=2&limit=100")
    assert listed("/anime/index/", "char=all&page=1&text=nobody+knows+it") == []


@pytest.mark.parametrize("path", ["/anime/1", "/anime/999999", "/character/9", "/manga/10004", "/anime/1/characters"])
def test_what_there_is_not_is_404_in_the_sites_frame(path):
    """Ids are sparse."""
    reply = ask(SITE, path)
    assert reply.status == 404
    assert b'<div id="content-outer">' in reply.body


def test_links_have_no_slash_before_them_and_the_type_stands_before_the_id():
    """What the page is about is in its frame; the id works with any slug, and without."""
    own = next(iter(TITLES))
    shown = page(SITE, f"/anime/{own},any-slug")
    assert f'data-type="anime" data-id="{own}"' in shown.get()
    assert shown.css("base::attr(href)").get() == "https://www.anisearch.com"
    assert not [href for href in shown.css("a::attr(href)").getall() if href.startswith("/")]


def test_there_are_two_layouts():
    """Labels, the place of genres, relations and the width of pictures differ."""
    old, new = (detail(some(lambda t, old=old: (t.id % 3 == 0) is old and t.related)) for old in (True, False))
    assert [bool(shown.css("section#genres-tags")) for shown in (old, new)] == [False, True]
    assert [bool(shown.css("section#description ul.cloud")) for shown in (old, new)] == [True, False]
    assert [shown.css("div.released span::text").get() for shown in (old, new)] == ["Release Date:", "Published:"]
    assert old.css('meta[property="og:title"]::attr(content)').get().endswith(" (Anime)")
    assert "_600." in new.css("img#details-cover::attr(src)").get()


def test_nothing_known_has_its_placeholders():
    """No votes, no picture, no description: each has something that stands for it."""
    unrated = detail(some(lambda t: not t.score))
    assert linked_data(unrated)["aggregateRating"]["ratingValue"] == "2.5"
    assert "0.00 = 0%" in unrated.css("table#ratingstats b::text").get()
    assert detail(some(lambda t: not t.poster)).css("img#details-cover::attr(src)").get().endswith("/0_300.webp")
    assert detail(some(lambda t: t.description is None)).css("section#description div.helptext")
    unknown = detail(some(lambda t: not t.episodes))
    assert "?" in unknown.css("div.type").xpath("string()").get()
    assert linked_data(unknown)["numberOfEpisodes"] == "1"


def test_dates_stay_as_partial_as_they_are():
    """Padded with zeros in JSON-LD; a country that is not Japan where there is no Japanese title."""
    shown = detail(some(lambda t: t.aired_on[0] and not t.aired_on[1]))
    assert linked_data(shown)["startDate"].endswith("-00-00")
    assert "zh" in detail(some(lambda t: not t.japanese)).css("div.title::attr(lang)").getall()


def test_pictures_for_adults_are_hidden_in_the_index():
    """One for all."""
    assert any(HENTAI in title.genres for title in TITLES.values())
    pages = [page(SITE, f"/anime/index/page-{n}", FULL).get() for n in range(1, 5)]
    assert any("hentai.v1" in text for text in pages)


def test_characters_stand_by_role_and_have_pages_of_their_own():
    """A spoiler is in the name; a title without a cast has an empty section."""
    title = some(lambda t: len(cast(t)) > 2)
    own = next(number for number, known in TITLES.items() if known is title)
    shown = page(SITE, f"/anime/{own},x/characters")
    assert len(shown.css("section#chara1 a")) == 2
    assert len(shown.css("section#chara2 a")) == len(cast(title)) - 2
    character = page(SITE, f"/{shown.css('section#chara1 a::attr(href)').get()}")
    assert character.css("h1#htitle::text").get() == cast(title)[0].name
    assert character.css("div.title span.cspoiler1")
    assert detail(some(lambda t: not cast(t))).css("section#characters.empty")


def test_episodes_that_have_not_aired_are_question_marks():
    """As many rows as are planned."""
    title = some(lambda t: t.status == "ongoing" and t.episodes > t.aired)
    own = next(number for number, known in TITLES.items() if known is title)
    rows = page(SITE, f"/anime/{own},x/episodes").css('tr[data-episode="true"]')
    assert len(rows) == title.episodes
    assert [bool(row.css("div[lang]")) for row in rows] == [n < title.aired for n in range(title.episodes)]


def test_changes_of_the_world_show():
    """A new title, a new episode, another status."""
    world = World(seed=4, titles=40)
    site, mutator = AniSearch(world), Mutator(world)
    before = len(known_at("anisearch", world))
    while len(known_at("anisearch", world)) == before:
        mutator.apply("new_title", {})
    newest = list(known_at("anisearch", world))[-1]
    assert page(site, "/anime/index/page-1", NEWEST).css("span.addEpisode::attr(data-id)").get() == newest
    mutator.apply("status", {"shikimori_id": int(newest) - 10_000, "status": "anons"})
    assert "Upcoming" in page(site, f"/anime/{newest}").css("div.status").xpath("string()").get()
