"""AniSearch: a German fan database of some 20,700 anime since 2006, with titles and dates by language and fine genres.

HTML only. Its domains (.com, .de, .fr, .it, .es, .jp) show the same ids in other languages; we read .com.

History:
    2023-04  The line of dates is called "Release Date", genres stand below the description, pictures are 300 wide.
    2025-07  A second layout: "Published", genres in a section of their own, pictures 600 wide, no target group.
    2026-06  About 20,700 anime, ids up to 21,300; those between are gone and answer 404.

Quirks:
    Two layouts are in use. Lines are known by their class and cut after their label, never by the label's text; only
        studio and publisher are told apart by it (samples ``detail__layout_2023``, ``detail__layout_2025``).
    On the German domain words and labels are German; those that are known are mapped too, and the displayed title is
        then not taken for an English one (sample ``detail__german_labels``).
    Lines come again for each language. Status, dates and studio are those of the first block, the country of origin,
        which need not be Japan (samples ``detail__titles.taiwanese``, ``detail__upcoming_elsewhere``).
    JSON-LD may lack the name (sample ``detail__titles.no_name_in_json_ld``), says 1 where the page says ``?`` episodes
        (sample ``detail__nothing_known``) and pads dates with zeros (sample ``detail__dates.month_only``): only name
        and votes are taken from it.
    A rating of 2.5 by one vote stands for none; the table shows 0.00 (sample ``detail__nothing_known``).
    Placeholder covers are numbered 0; covers for adults are hidden behind one picture (samples
        ``detail__nothing_known``, ``index_page__hidden_cover``).
    A plea for a description stands where there is none (sample ``detail__nothing_known``).
    Synonyms go on in a hidden part, and titles have commas of their own: what is in italics is one title, the rest is
        split unless it spells a title of the page (samples ``detail__titles.hidden_synonyms``,
        ``detail__titles.comma_in_synonym``).
    The list moves while it is read; ids that were listed before are passed over.
    Who asks too fast is shut out for about a week, by 403, by a page that wants a browser, or by no connection at all
        (samples ``error__all.challenge``, ``error__all.forbidden``): the run ends and keeps its place; nothing is tried
        again, no other address or browser is pretended.
"""

from anime_crawler.base_spiders import Probe, SourceCard

CARD = SourceCard(
    name="anisearch",
    title="AniSearch",
    documentation="unofficial, pages observed 2023-04 to 2026-06; API keys on request: https://www.anisearch.com/faq/support",
    base_url="https://www.anisearch.com",
    base_url_setting="ANISEARCH_BASE_URL",
    limits="1/3s",
    limits_setting="ANISEARCH_LIMITS",
    limits_origin="AniSearch states none; modb-app reads it all weekly at 2 to 3 s a page; one a second was shut out",
    block_rest_s=604_800.0,
    block_origin="users of 2023: an address that asked too much was shut out for about a week",
    item_kinds=("Anime", "Character", "Episode", "Absent"),
    usual={
        "anime": ("titles.romaji", "kind", "status", "year", "poster", "description", "genres", "score"),
        "character": ("names.romaji", "picture"),
        "appearance": ("role",),
    },
    obeys_robots=True,
    # The largest recorded page is 475 KB; 1,200 episodes in five languages on one page would be 3 MB.
    max_body_bytes=8 * 2**20,
    cache_ttl_s=86_400,
    probe=Probe("/anime/index/page-1?char=all&sort=date&order=desc&view=2&limit=100&title=&titlex="),
)
