"""Anime-Planet: an English catalogue, strong on Chinese and Korean works, shorts and music videos that others lack.

HTML only: it has no API and never had one, and names no ids of other catalogues.

History:
    2021-09  Cards show pictures of ``/images/anime/covers``; by 2023 all are on ``cdn.anime-planet.com``.
    2023-04  Every page carries Cloudflare's challenge script; too many requests in a row get 403 for some minutes.
    2024-09  690 listing pages of 35.
    2026-04  About 26,600 titles; pages name a key of Cloudflare's Turnstile. Still rendered on the server.

Quirks:
    Cloudflare takes anything with an ``@`` for an e-mail address and hides it, titles too. We decode it; where only
        ``[email protected]`` is left, the linked data or ``og:title`` has the title (samples
        ``detail__email_protected``, ``detail__email_lost``).
    A removed slug answers with the page of a search for it that finds nothing: the title is absent (sample
        ``search__nothing_found``). A search that finds something is no item either.
    The slug is the id and may change: the old one redirects to the new one, and is absent once the page of the new one
        is read. A page that calls itself otherwise than it was asked for, without a redirect, is set aside: it may be
        served by mistake (sample ``detail__renamed``). The number beside it stays: ``anime_planet_number``.
    Status is on no page; years, dates and the time of fetching give it (``parse``; samples ``detail__tba``,
        ``detail__running``).
    ``12+ eps`` have aired so far; how many there will be nobody says (sample ``detail__running``).
    A third of the dates are 1 January: where only the year is known, the site fills in the rest. We take the year
        (sample ``detail__renamed``).
    Strings of the linked data are escaped twice; its picture's address is broken. It is missing or cannot be read on
        a few pages: what is visible stands in for it (samples ``detail__broken_linked_data``, ``detail__bare``).
    Commas between content warnings belong to the names (sample ``detail__full``).
    ``Alt title:`` is one title, commas and all; ``Alt titles:`` are several (sample ``detail__renamed``).
    Anything under ``default`` is a placeholder, named after the present season (sample ``detail__bare``).
    ``Other`` is what the site could not sort: no kind (sample ``detail__bare``).
    Cards of a listing say less than pages and round ratings to one decimal, so that the spider reads every page
        (sample ``list__cards``). Links to whole years stand among them.
    Missing pieces are the rule; on cards only class and form tell which is which (sample ``list__cards``).
"""

from anime_crawler.base_spiders import Probe, SourceCard

CARD = SourceCard(
    name="anime_planet",
    title="Anime-Planet",
    documentation="none; pages as observed until 2026-04",
    base_url="https://www.anime-planet.com",
    base_url_setting="ANIME_PLANET_BASE_URL",
    limits="1/5s",
    limits_setting="ANIME_PLANET_LIMITS",
    limits_origin="Anime-Planet states none; 403 after too many in a row; a crawler of 2026 waits 5 s, 12 a minute",
    block_rest_s=600.0,
    block_origin="a crawler of 2026: the 403 after too many in a row lifts after minutes; nobody states how many",
    item_kinds=("Anime", "Character", "Absent"),
    usual={
        "anime": ("alternative_titles", "kind", "year", "poster", "description", "tags"),
        "character": ("names.en", "picture"),
        "appearance": ("voice_actors",),
    },
    obeys_robots=True,
    # The longest page recorded, a listing, has 330 KB; one of a thousand characters would have ten times as much.
    max_body_bytes=8 * 2**20,
    cache_ttl_s=86_400,
    probe=Probe("/anime/all?page=1"),
)
