"""AniDB: titles in all languages, episodes, characters, tags and dates; the strictest of the sources.

Two things are used: the dump of all titles, once a day, and ``request=anime`` of the HTTP API, for one anime at a time.
There is no list, no search and no "changed since"; the web pages must not be crawled. The data is CC BY-NC-SA.

History:
    2013-11  Answers hold ``categories``, and tags with ``approval`` and ``count`` in place of a weight.
    2015-02  Tags have weights, spoiler marks and ``infobox``; categories are gone.
    2018-11  The last full answers that are public; clients of 2026 read the same elements.

Quirks:
    Every error is status 200 with a root ``<error>``. The root decides before the status (``judge``; samples
        ``error__all.banned``, ``error__all.client``, ``error__all.not_found``). A ban lasts hours, and each
        request during it begins it anew: nothing is asked again in this run.
    Asking for the same anime twice within 24 hours is a reason for a ban, and so is a second dump. The checkpoint
        holds both times; the dump itself stays in it until all its titles are stored.
    Bodies are gzip whether asked for or not, and may begin with a byte order mark (``schema.unpacked``).
    ``<anime>`` without children is a failure, never an anime (sample ``anime__empty``).
    Synonyms are ``syn`` in the dump and ``synonym`` in the API (samples ``dump__titles``, ``anime__full``).
    Back-ticks stand for apostrophes, in titles too; descriptions hold addresses with names in brackets, and end with
        lines of sources and notes (sample ``anime__description``).
    ``episodecount`` 0 is unknown. Specials, credits and trailers stand among the episodes and do not count (sample
        ``anime__full``).
    Dates are partial (sample ``anime__dates.partial``). There is no status: it follows from the dates, in Japan
        (samples ``anime__dates.airing``, ``anime__dates.announced``).
    Seasons are quarters of the year here, but for late December, which is the next year's winter at all sources (sample
        ``anime__dates.december``).
    Studios and persons are mixed in ``creators``; a studio animates (``parse.STUDIO_WORK``).
    One entry may be several at MyAnimeList. Then none of the ids is the anime's (sample ``anime__two_mal_ids``).
    Tags of weight 0 are structure or unrated; spoilers cannot be marked in an item and are left out.
    The dump does not say what an entry is. Its items never replace one with details: they bear the oldest of dates.
"""

from anime_crawler.base_spiders import Probe, SourceCard, SourceSetting

CARD = SourceCard(
    name="anidb",
    title="AniDB",
    documentation="https://wiki.anidb.net/HTTP_API_Definition and https://wiki.anidb.net/API",
    # Of the dump. The API has a host of its own; an address that is set replaces both (see `spider`).
    base_url="https://anidb.net",
    base_url_setting="ANIDB_BASE_URL",
    other_urls=("http://api.anidb.net:9001",),
    limits="1/4s,200/day",
    limits_setting="ANIDB_LIMITS",
    limits_origin=(
        "Wiki: one page every two seconds at most, and a daily budget that is not published; ShokoServer (2026-08) and"
        " Kometa's AniDB service, unbanned: one in four seconds sustained, 200 a day for each address"
    ),
    block_rest_s=86_400.0,
    block_origin="users and ShokoServer: 6 to 24 hours, seldom 48, begun anew by each request meanwhile",
    # Also for whoever has another catalogue here: the same anime, or the dump, twice in a day is a reason for a ban.
    cache_ttl_s=86_400,
    # At 200 a day: 600 airing anime a week leave half of the quota for others; what has ended seldom changes.
    ongoing_age_days=7,
    other_age_days=60,
    item_kinds=("Anime", "Episode", "Character", "Absent"),
    usual={
        "anime": ("titles.romaji", "titles.native", "kind", "status", "year", "poster", "description", "tags"),
        "episode": ("titles.en", "duration_min"),
        "character": ("names.romaji", "picture"),
        "appearance": ("role",),
    },
    settings=(
        SourceSetting(
            name="ANIDB_CLIENT",
            default=None,
            description="Name of the client you have registered at AniDB (https://anidb.net/software/add), lower-case"
            " letters. Without it only the dump of titles can be had, no details.",
            example="myanimecrawler",
        ),
        SourceSetting(
            name="ANIDB_CLIENTVER",
            default=1,
            description="Version of that client as registered at AniDB, a whole number.",
            example="1",
        ),
    ),
    # The dump of 54,000 titles (2017) is 4.5 MB unpacked, and grows by 4,000 titles a year; an anime is below 3 MB.
    max_body_bytes=64 * 2**20,
    # The dump may be had once a day and an anime needs a client; this shows whether AniDB answers this address at all.
    probe=Probe("/robots.txt"),
)
