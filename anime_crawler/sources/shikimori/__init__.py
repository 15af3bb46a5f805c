"""Shikimori: titles, descriptions, dates and ratings of anime in Russian; its ids are those of MyAnimeList.

History:
    2023-04  Moves from ``.org`` to ``.one`` (for some months ``.me``); the new poster store is in GraphQL only.
    2026-01  Moves from ``shikimori.one``, blocked in Russia, to ``shikimori.io``. The old host answers 301.
    2026-07  GraphQL lists can be ordered by ``updated_at``; the public code of 2025 could not.

Quirks:
    A redirected POST becomes a GET and ends in 404. Redirects are never followed; the setting is named (``judge``).
    ``limit`` is 2 unless asked for, and at most 50 whatever is asked for. We ask for 50.
    Without ``censored: false`` a list leaves out titles for adults and all music; with ``ids`` nothing is left out.
    Ids it does not know are left out without an error: we yield `Absent` for them.
    One value its schema does not know fails a whole page with 500 and ``exception``. We ask once without links and
        relations, then for halves, until the bad title is alone and set aside (sample ``error__unresolved_enum``).
    ``episodes: 0`` means unknown; ``episodesAired: 0`` of a released title means all (sample ``title__episodes``).
    Dates are partial; the filled-in ``date`` invents the missing parts (sample ``title__dates``).
    ``nextEpisodeAt`` stays after the last episode (sample ``title__episodes``).
    Descriptions are BBCode with spoilers, and Japanese names in brackets (sample ``title__texts``).
    Posters may be on any of its former hosts (sample ``title__links``).
    ``isCensored`` means more than adult and is not used; ``rating`` and genres say it.
    DDoS-Guard may answer a page of HTML with 200 or 403 instead (``judge``). It wants an honest user agent and bans
        those that pretend to be a browser.
    Letters stand before an id in addresses after takedown requests: ``z20``. The id is the digits.
"""

from anime_crawler.base_spiders import Probe, SourceCard

CARD = SourceCard(
    name="shikimori",
    title="Shikimori",
    documentation="https://shikimori.io/api/doc and https://shikimori.io/api/doc/graphql; schema of 2026-07",
    base_url="https://shikimori.io",
    base_url_setting="SHIKIMORI_BASE_URL",
    base_url_suffix="/api",
    limits="5/s,90/min",
    limits_setting="SHIKIMORI_LIMITS",
    limits_origin="its config/initializers/rack-attack.rb: per address, GraphQL and REST together",
    block_rest_s=3_600.0,
    block_origin="DDoS-Guard, in front of it, does not say how long it wants us to wait; an hour is our guess",
    item_kinds=("Anime", "Absent"),
    usual={
        "anime": (
            "titles.romaji",
            "titles.ru",
            "kind",
            "status",
            "year",
            "aired_from",
            "poster",
            "genres",
            "score",
            "url",
        )
    },
    # 50 titles with everything we select are 300 KB; descriptions end below 20 KB each.
    max_body_bytes=8 * 2**20,
    probe=Probe("/api/graphql", json={"query": '{ animes(ids: "1", limit: 1) { id } }'}),
)
