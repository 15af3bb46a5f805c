"""AniList: titles, schedules and characters of anime, edited by its users; one GraphQL endpoint, no key.

Its terms (read 2026-03) allow what is not commercial, and forbid "hoarding or mass collection of data", use as a
backup, and rival trackers. So the whole catalogue is walked only where ``ANILIST_MASS_COLLECTION`` is set, and only
what we use is asked for; by default we ask for ids, titles, or what changed.

History:
    2024-09  The documentation says "degraded": 30 requests a minute instead of 90. It still did in 2026-03.
    2025-08  ``X-RateLimit-Limit`` says the limit in force; before, it said 90 while the block came at 30.
    2026-08  For some callers 403 "temporarily disabled"; some found that any ``Referer`` is let through. Ours names
             this project's page, as its user agent does. A 403 ends the run, and nobody asks for ten minutes; nothing
             is tried against it.

Quirks:
    One unknown id makes a request of several ``Media`` fields 404 as a whole. We ask ``Page { media(id_in) }``, where
        unknown ids are just left out, and yield `Absent` for them. ``Media`` alone, asked for characters, answers 404
        for an id that is gone (sample ``error__not_found``).
    Errors may come with status 200; the status inside ``errors`` decides (sample ``error__with_200``).
    ``pageInfo.total`` and ``lastPage`` are not true. ``hasNextPage`` is all we read, and an empty page is the last.
    No list is deeper than 5,000 entries (sample ``error__page_depth``). A slice whose last page has a next one is
        split: by date of beginning, status, format (`Slice.split`).
    No filter knows ``updatedAt``. What changed is read newest first down to the watermark.
    Titles without a date match no date filter, and come first when sorted by date; we walk them, and all that are
        announced, on their own.
    Anything but the id may be null (sample ``media__little_known``); a record without any title is set aside (sample
        ``media__set_aside``).
    Dates are partial (sample ``media__dates``). A missing season is derived from the month, but for early
        December, of which AniList says fall here and winter there (sample ``media__dates``).
    A missing cover is a picture named ``default.jpg`` (sample ``media__little_known``).
    Without ``version: 2`` no status is HIATUS and relations lack three words; we ask for it.
    Descriptions hold HTML, spoilers between ``~!`` and ``!~``, and ``(Source: …)`` (sample ``media__texts``).
    ``averageScore`` wants many votes, ``meanScore`` does not (sample ``media__little_known``).
    Relations name manga, too, and one work may stand there twice (sample ``media__relations``).
    Studios that are not main are producers and licensors (sample ``media__studios``).
"""

from anime_crawler.base_spiders import Probe, SourceCard, SourceSetting

CARD = SourceCard(
    name="anilist",
    title="AniList",
    documentation="https://docs.anilist.co, as of 2026-03",
    base_url="https://graphql.anilist.co",
    base_url_setting="ANILIST_BASE_URL",
    limits="1/s,27/min",
    limits_setting="ANILIST_LIMITS",
    limits_origin="its documentation: 90 a minute, 30 while degraded (since 2024-09), few at once; three are margin",
    block_rest_s=600.0,
    block_origin="outages of 2022 and 2026-08 answered 403 to all, and came and went unannounced, by the hour",
    # What we send alone leaves three; with two left somebody else is at our address. A lock-out lasts a minute.
    limit_reserve=2,
    limit_rest_s=60.0,
    item_kinds=("Anime", "Character", "Airing", "Absent"),
    usual={
        "anime": ("titles.romaji", "titles.native", "kind", "status", "year", "poster", "description", "genres", "url"),
        "character": ("names.romaji", "picture"),
        "appearance": ("role",),
    },
    settings=(
        SourceSetting(
            "ANILIST_MASS_COLLECTION",
            default=False,
            description="Allows `mode=full` of AniList, which its terms forbid to most: set it only where you may.",
            example="true",
        ),
    ),
    # 50 titles with everything we select are 400 KB; a title with 65 relations and all its links is 30 KB.
    max_body_bytes=8 * 2**20,
    cache_ttl_s=86_400,
    probe=Probe("/", json={"query": "{ Page(perPage: 1) { pageInfo { hasNextPage } media(type: ANIME) { id } } }"}),
)
