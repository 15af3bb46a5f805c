"""The simulated Anime-Planet: a site in English behind Cloudflare."""

from __future__ import annotations

import orjson
from parsel import Selector

from anime_crawler.sandbox.upstreams.anime_planet.pages import name_of
from anime_crawler.sandbox.upstreams.anime_planet.service import AnimePlanet
from anime_crawler.sandbox.world.elsewhere import cast, id_at, known_at
from anime_crawler.sandbox.world.mutation import Mutator
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World
from tests.sandbox.site import HOST, ask, page

WORLD = World(seed=4, titles=400)
SITE = AnimePlanet(WORLD)
TITLES = known_at("anime_planet", WORLD)


def detail(title: Title) -> Selector:
    return page(SITE, f"/anime/{id_at('anime_planet', title)}")


def some(fits) -> Title:
    return next(title for title in TITLES.values() if fits(title))


def listed(query: str) -> list[str]:
    cards = page(SITE, "/anime/all", query).css("li[data-type=anime] a::attr(href)").getall()
    return [href.removeprefix("/anime/") for href in cards]


def linked_data(shown: Selector) -> dict:
    return orjson.loads(shown.css('script[type="application/ld+json"]::text').get())


def test_the_listing_has_each_title_once_in_three_orders():
    """35 a page, by title, newest first, or by popularity; behind the end there are none, and no next page."""
    last = -(-len(TITLES) // 35)
    pages = [listed(f"sort=title&order=asc&page={n}") for n in range(1, last + 2)]
    assert [len(slugs) for slugs in pages] == [35] * (last - 1) + [len(TITLES) - 35 * (last - 1), 0]
    assert {slug for slugs in pages for slug in slugs} == set(TITLES)
    newest = sorted(TITLES, key=lambda slug: -TITLES[slug].id)
    assert listed("sort=recent&order=desc&page=1") == newest[:35]
    assert listed("page=1")[0] == max(TITLES, key=lambda slug: TITLES[slug].votes)
    assert page(SITE, "/anime/all", "page=1").css("div.pagination li a::text").getall()[-1] == str(last)
    assert not page(SITE, "/anime/all", f"page={last}").css("li.next")


def test_a_search_shows_several_leads_to_the_only_one_or_finds_nothing():
    """None is a page of its own."""
    slug, title = next((s, t) for s, t in TITLES.items() if sum(t.romaji in x.romaji for x in TITLES.values()) == 1)
    reply = ask(SITE, "/anime/all", f"name={title.romaji}")
    assert (reply.status, reply.headers["location"]) == (301, f"{HOST}/site/anime/{slug}")
    assert len(listed("name=no")) > 1
    assert "couldn't find anything" in page(SITE, "/anime/all", "name=nobody+knows+it").css("h3::text").get()


def test_a_removed_slug_is_a_search_that_finds_nothing_and_an_earlier_one_redirects():
    """Nothing is ever 404."""
    world = World(seed=4, titles=40)
    site = AnimePlanet(world)
    old, title = next(iter(known_at("anime_planet", world).items()))
    assert page(site, "/anime/never-was-999").css("h1::text").get() == "You searched for never-was-999"
    Mutator(world).apply("rename", {"shikimori_id": title.id, "name": "Nanashi"})
    assert ask(site, f"/anime/{old}").headers["location"] == f"{HOST}/site/anime/nanashi-{title.id}"
    number = page(site, f"/anime/nanashi-{title.id}").css("form.myListBar::attr(data-id)").get()
    assert number == str(title.id)


def test_titles_with_an_at_sign_are_taken_for_email_addresses():
    """The word is hidden in headings and cards; linked data and the head of the page have it."""
    title = some(lambda t: "@" in name_of(t))
    shown = detail(title)
    hidden = shown.css("h1 a.__cf_email__")
    key, *code = bytes.fromhex(hidden.attrib["data-cfemail"])
    assert "@" in bytes(byte ^ key for byte in code).decode()
    assert hidden.css("::text").get() == "[email\xa0protected]"
    assert "@" not in shown.css("h1").xpath("string()").get()
    assert shown.css('meta[property="og:title"]::attr(content)').get() == name_of(title)


def test_linked_data_is_escaped_twice_and_its_picture_is_broken():
    """On some pages there is none."""
    data = linked_data(detail(some(lambda t: "'" in name_of(t) and t.id % 25 and t.poster)))
    assert "&#x27;" in data["name"]
    assert data["image"].startswith("https://www.anime-planet.comhttps://cdn")
    assert not detail(some(lambda t: t.id % 25 == 0)).css('script[type="application/ld+json"]')


def test_missing_pieces_are_missing():
    """Rating, years, picture, synopsis; what runs has no end."""
    assert "more votes needed" in detail(some(lambda t: not t.score)).css("div.avgRating::attr(title)").get()
    assert detail(some(lambda t: t.status == "anons")).css("span.iconYear::text").get().strip() == "TBA"
    assert "/default/" in detail(some(lambda t: not t.poster)).css("img[itemprop=image]::attr(src)").get()
    assert "No synopsis yet" in detail(some(lambda t: t.description is None)).css(".entrySynopsis p::text").get()
    running = detail(some(lambda t: t.status == "ongoing"))
    assert running.css("span.iconYear::text").get().strip().endswith("- ?")
    assert "+ eps)" in running.css("span.type::text").get()
    warned = detail(some(lambda t: t.censored)).css("div.tags--plain a::text").getall()
    assert [text.strip() for text in warned] == ["Mature Themes,", "Explicit Sex"]


def test_cards_carry_most_of_it_in_the_escaped_html_of_their_tooltips():
    """Years, rating, studio, tags; the number that stays."""
    card = page(SITE, "/anime/all", "page=1").css("li[data-type=anime]")[0]
    slug = max(TITLES, key=lambda own: TITLES[own].votes)
    assert card.attrib["data-id"] == str(TITLES[slug].id)
    tooltip = Selector(text=card.css("a::attr(title)").get())
    assert tooltip.css("ul.entryBar li.type::text").get()
    assert tooltip.css("div.tags li::text").getall()


def test_characters_have_their_roles_on_pages_of_their_own():
    """All on one page of the anime; one that nobody knows is not found."""
    title = some(lambda t: len(cast(t)) > 2)
    slug = id_at("anime_planet", title)
    hrefs = page(SITE, f"/anime/{slug}/characters").css("a.name::attr(href)").getall()
    assert len(hrefs) == len(cast(title))
    shown = page(SITE, hrefs[0])
    assert shown.css("h1::text").get() == cast(title)[0].name
    assert shown.css("tr td::text").getall()[0] == "Main"
    assert shown.css("div.flagJP a::text").get() == cast(title)[0].voice
    assert page(SITE, "/characters/nobody-1").css("h1::text").get() == "You searched for nobody-1"
