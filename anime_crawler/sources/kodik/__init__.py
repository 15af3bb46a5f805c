"""Kodik: players for nearly every dub and subtitle of anime in Russian, with the metadata it gathers elsewhere.

A result is one *material*: one title in one translation. The same anime comes once per dubbing team.

History:
    2023-06  Materials gain the field ``lgbt``; player links move from ``aniqit.com`` to ``kodik.info``.
    2026-03  The API moves from ``kodikapi.com`` to ``kodik-api.com``; the old name is not Kodik any more. Player links
             move to ``kodikplayer.com``, screenshots to ``i.kodikres.com``.
    2026-05  The cursor is base64 of ``[updated_at in ms, id]``; the documentation still shows another pair.

Quirks:
    Everything that is wrong answers 500 with ``{"error": …}``, a wrong token too. The text decides: the token's means
        stop, none of them is tried again (``judge``; sample ``error__all.token``).
    ``next_page`` holds the token. Only the cursor is taken from it; a page that leads to another host stops the run.
    The list's order moves while it is read. We walk ``updated_at`` ascending: what changes meanwhile is still ahead of
        us, and the stored cursor is progress, resume point and watermark in one.
    A cursor may be refused one day (its form has changed once). Then we look from the newest down to the watermark,
        again and again until nothing new came meanwhile.
    Times have whole seconds, and a page may end within the second in which others still change. A run that ended in
        the last minute leaves the cursor of the page before it, so that the next run reads that second again.
    Season numbers are the franchise's; season 0 holds specials, episode 0 exists, films have neither (see
        ``catalogue/numbering.py``; sample ``material__seasons_0_1_2``).
    Kinopoisk's data (``title``, ``year``, ``description``, ``premiere_world``) is the franchise's, Shikimori's
        (``anime_*``, ``aired_at``) the season's. We take Shikimori's first (sample ``material__third_season``).
    ``screenshots`` are episode frames and never posters.
    Callers from some countries can be given dummies with status 200. A link that is no player of Kodik's form
        is set aside, and a good one that was stored before stays (samples ``material__dummy_links``,
        ``material__links.empty``).
    ``material_data`` with a kind or status we do not know costs the description of the anime, never its players
        (samples ``kind__all``, ``status__all``).
"""

from anime_crawler.base_spiders import Probe, Secret, SourceCard

CARD = SourceCard(
    name="kodik",
    title="Kodik",
    documentation="https://bd.kodikres.com/api/info (needs a login); behaviour observed until 2026-05",
    base_url="https://kodik-api.com",
    base_url_setting="KODIK_BASE_URL",
    limits="2/s,30/min",
    limits_setting="KODIK_LIMITS",
    limits_origin="Kodik states none; orinuno runs at 30 a minute, 500 ms between calls, unrefused (2026-05)",
    block_rest_s=3_600.0,
    block_origin="none is on record, Kodik refuses by the token; an hour is our guess",
    item_kinds=("Anime", "Release"),
    usual={
        "anime": ("titles.ru", "titles.romaji", "year", "kind", "status", "poster", "genres", "external_ids.shikimori"),
        "release": ("title_original", "year", "quality", "created_at", "external_ids.shikimori", "players"),
    },
    secrets=(
        Secret(
            setting="KODIK_API_TOKEN",
            placement="form",
            name="token",
            how_to_get="Write to Kodik's support naming your site to get one.",
        ),
    ),
    # 100 materials with episodes and material data are about 1 MB; 100 serials of 1,100 episodes each would be 12 MB.
    max_body_bytes=16 * 2**20,
    probe=Probe("/list", form={"types": "anime,anime-serial", "limit": "1"}),
)
