"""Jikan v4: MyAnimeList as JSON, from whichever server still speaks that shape; its ids are MyAnimeList's.

The public host was announced to end. A self-hosted Jikan (``http://host:8080/v4``) or a compatible server
(``https://api.tenrai.org/v1``) is set with ``JIKAN_BASE_URL``.

History:
    2022-07  Objects gain ``titles``; the single title fields are called deprecated and still sent.
    2023-01  ``background`` is an empty string where it was null (about that month); kinds ``TV Special``, ``CM`` and
             ``PV`` appear, which the published schema does not have.
    2026-06  Its maintainers announce the end: brownout from 2026-09-01, no public service from 2026-10-01.
    2026-07  The public host answers 504 for days at a time; what it has cached still comes.

Quirks:
    504 and 500 are what a server says that cannot reach MyAnimeList: tried again later, then the run ends incomplete
        and names ``JIKAN_BASE_URL`` (samples ``error__all.504``, ``error__all.upstream``).
    500 of its own parser means one page that it cannot read: asked for once more, then that title is set aside
        (sample ``error__all.parser``).
    404 has two forms: a title that MyAnimeList does not know, and a route that the server does not have (samples
        ``error__all.unknown_title``, ``error__all.no_route``). ``status`` in a body may be a string (sample
        ``error__all.429``).
    ``has_next_page`` of ``/episodes`` is true on the last page. It is not read: a list of episodes ends with a page
        that brings fewer than 100 rows or none that is new (sample ``episodes__lying_has_next_page``).
    Lists sorted by anything but ``mal_id`` repeat titles from page to page and skip others, so a full walk is sorted by
        ``mal_id``. When ``total`` shrinks under way, everything has moved up, and the page before is read again.
    ``aired.from`` and its ``prop`` are filled in; only ``string`` tells how much of a date is known (samples
        ``title__dates.month_only``, ``title__dates.year_only``).
    A day is written as a moment, at midnight of one zone or another; only its first ten characters are read (sample
        ``episode__detail``).
    A single day in ``string`` of a released title is its end, too (sample ``title__dates.film``). A released title may
        still run ``to ?``: then its end is unknown (sample ``title__dates.released_without_end``).
    ``broadcast`` knows a weekday and a time in Japan, no calendar and no breaks: ``next_episode_at`` is an estimate
        (sample ``title__broadcast.sundays``). An `Airing` is yielded only where a day is stated, too: the first episode
        of a title that is announced or under way (sample ``title__broadcast.premiere``).
    The string ``"None"`` as rating, 0 as score, icons as pictures mean nothing (sample ``title__nothing_known``).
    Hentai sits in ``genres``, not in ``explicit_genres`` (sample ``title__rating.adult_genre``).
    Relations and addresses elsewhere come with a single title only, ``/full`` (sample ``full__relations``); lists leave
        what is known of them as it is.
    Older answers have no ``titles`` and less in ``pagination`` (sample ``list_page__old_shape``).
"""

from anime_crawler.base_spiders import Probe, SourceCard

CARD = SourceCard(
    name="jikan",
    title="Jikan",
    known_as="mal",
    documentation="https://docs.api.jikan.moe; OpenAPI document of jikan-rest, read 2025-04",
    base_url="https://api.jikan.moe/v4",
    base_url_setting="JIKAN_BASE_URL",
    limits="3/s,60/min",
    limits_setting="JIKAN_LIMITS",
    limits_origin="its documentation: 3 per second and 60 per minute, for each address; Tenrai states the same",
    block_rest_s=3_600.0,
    block_origin="its documentation names none; an hour is our guess",
    limit_rest_s=60.0,  # its 429 names no time; clients wait 30 to 60 s
    item_kinds=("Anime", "Episode", "Character", "Airing", "Snapshot", "Absent"),
    usual={
        "anime": (
            "titles.romaji",
            "titles.native",
            "kind",
            "status",
            "poster",
            "description",
            "genres",
            "origin",
            "url",
        ),
        "episode": ("titles.en",),
        "character": ("names.romaji", "picture"),
        "appearance": ("role",),
        "snapshot": ("popularity",),
    },
    # 25 titles are 150 KB; the longest list of characters, some 1,500 with all their voices, is below 10 MB.
    max_body_bytes=16 * 2**20,
    cache_ttl_s=86_400,
    probe=Probe("/anime?limit=1"),
)
