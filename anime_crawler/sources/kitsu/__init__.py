"""Kitsu: a community catalogue with the ids of other catalogues, by JSON:API ("edge").

Reading needs no login; without one, titles rated R18 do not exist.

History:
    2023-10  Last change of its public API documentation.
    2024-10  Last public change of its server; cross-ids, includes and page sizes are as read there.
    2025-05  Answers name ``kitsu.app``, formerly ``kitsu.io``; pictures at ``media.kitsu.io`` are gone.

Quirks:
    A page has 10 rows unless asked for more, and at most 20; more is refused with 400 (sample ``error__page_limit``).
    ``included`` is missing when nothing is included (sample ``anime__no_included``); what is included is there once,
        however many rows refer to it (sample ``list_page__shared_includes``).
    ``links.last`` overlaps the page before it and is not used; ``links.next`` says that there is more and is not
        followed, so that nothing is asked of another host. Rows that vanish during a walk shift the rest: each
        page begins with the last row of the one before, and where it does not, the walk steps back (``spider``).
    ``updatedAt`` is of today for all rows, because ranks are written daily. It is no version and no watermark.
    An id it does not know is left out of a list with 200 (sample ``list_page__no_hit``): we yield `Absent`.
    ``status`` is computed from the dates and may lag behind them. The dates decide, unless they are placeholders or
        the answer is an old one (sample ``anime__status``).
    What nobody ended is ``current`` for ever. It stays ongoing; another source may know better.
    Dates are never partial: ``2026-12-31`` with ``tba`` "2026" means 2026 (sample ``anime__dates``, as all of
        dates). Years like 0202 are typing errors.
    Titles may hold null, ``abbreviatedTitles`` too (sample ``anime__little_known``).
    Companies are listed more than once (sample ``anime__included``); related works may be manga, which are left out
        (sample ``anime__included``). Ids of other catalogues are typed by users (sample ``anime__included``).
    Lengths and counts of 0 are unknown (sample ``anime__little_known``).
    A correct request is now and then refused with 400; it is asked once more (``judge``).
    20 rows with all includes may be too much for it: a page that fails is asked for with 10.
    Search is fuzzy and finds something for everything: only titles that are the same are taken (``parse_search``).
"""

from anime_crawler.base_spiders import Probe, SourceCard

CARD = SourceCard(
    name="kitsu",
    title="Kitsu",
    documentation="https://kitsu.docs.apiary.io, hummingbird-me/api-docs; server code of 2024-10, answers of 2025-06",
    base_url="https://kitsu.app/api/edge",
    base_url_setting="KITSU_BASE_URL",
    limits="1/s",
    limits_setting="KITSU_LIMITS",
    limits_origin="Kitsu states none for reading; its public clients keep to one request in 1 to 1.5 s, unrefused",
    block_rest_s=3_600.0,
    block_origin="no 403 of the proxy in front is on record; an hour is our guess",
    item_kinds=("Anime", "Episode", "Character", "Absent"),
    usual={
        "anime": ("titles.romaji", "titles.native", "kind", "status", "year", "poster", "description", "url"),
        "character": ("picture",),
        "appearance": ("role",),
    },
    # A title with all includes is 114 KB at most; 20 of them are 2.3 MB.
    max_body_bytes=8 * 2**20,
    cache_ttl_s=86_400,
    probe=Probe("/anime?fields%5Banime%5D=slug&page%5Blimit%5D=1&page%5Boffset%5D=0"),
)
