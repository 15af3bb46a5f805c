"""AnimeSchedule: when each episode airs in Japan, and in English as subtitles and as dub; with the anime's record.

Its strength is the timetable with delays; as a catalogue it is English-centred. Its terms ask for visible credit with a
link, for permission for commercial use, and that answers are kept only as long as needed.

History:
    2022-07  The public API is at version 3.
    2024-11  Timetables still give ``streams`` as an object; since API 1.1 they are a list of objects.
    2026-09  Descriptions, removed in API 1.17 and back in 1.20, are optional.

Quirks:
    Without a good token timetables answer 401 (sample ``error__token``).
    A search without hits and a page past the end answer 500 with the text ``Something went wrong``. It is asked once
        more, since an outage looks the same, and is then the end of the list (sample ``error__no_hits``).
    ``totalAmount`` and 18 rows a page say where the list ends. A list that breaks off before is not taken for whole:
        the next run walks it again.
    Timetable rows know only the route of an anime, and so do relations and addresses. The route is our id; the ``id``
        that AnimeSchedule has beside it is kept as the external id ``animeschedule_id``.
    Without ``tz`` times are London's and change with the season. We always ask for UTC.
    Weeks are ISO weeks with the year that the week belongs to: 30 December 2024 is in week 1 of 2025.
    The subtitle timetable has raw rows where there are no subtitles, and the dub timetable has been seen with raw rows.
        A row's own ``airType`` counts, and only those asked for are taken (sample ``timetable__dub``).
    ``status`` in a timetable is that of the Japanese broadcast: finished anime have dub episodes to come.
    An episode that is delayed keeps its old date; ``delayedUntil`` is the new one. Without it there is none, and no
        airing is told (sample ``timetable__raw``). Windows of former delays stay in the rows.
    Several episodes at once are one row, from ``subtractedEpisodeNumber`` to ``episodeNumber`` (sample
        ``timetable__raw``).
    An episode may vanish from a timetable by an editing mistake and come back; nothing is deleted for it.
    AnimeSchedule leaves an unknown value out, or gives 0, an empty text or a date of the year 1 (``anime__dates``).
    The zero date's hour has been seen shifted; every year below 1900 is taken for it.
    ``season.year`` is text, and ``season.season`` is empty where only the year is known (sample ``anime__dates``).
    ``Delayed`` is a pause when it is ``On Break`` or has no end (sample ``anime__dates``).
    ``websites`` are typed in by people, without scheme and in old forms; Kitsu's may be a slug, which is no id
        (sample ``anime__texts``).
    A native title may begin with the word ``Native`` by mistake (sample ``anime__texts``).
    Several anime may have one title. They are told apart by route; a search takes those with exactly the wanted name.
    Nothing says what changed. Timetables do so in part: the record of an anime is asked for when a raw row shows its
        first episode, a delay or its end. Other changes come with the next full walk.
"""

from anime_crawler.base_spiders import Probe, Secret, SourceCard

CARD = SourceCard(
    name="animeschedule",
    title="AnimeSchedule",
    documentation="https://animeschedule.net/api/v3/documentation",
    base_url="https://animeschedule.net/api/v3",
    base_url_setting="ANIMESCHEDULE_BASE_URL",
    limits="1/s,120/min",
    limits_setting="ANIMESCHEDULE_LIMITS",
    limits_origin="its documentation: 120 a minute per application token; one a second leaves room for other clients",
    block_rest_s=3_600.0,
    block_origin="nobody knows of one; an hour is our guess",
    limit_reserve=2,  # its header counts all clients of the token
    item_kinds=("Anime", "Airing", "Absent"),
    usual={"anime": ("titles.romaji", "kind", "status", "year", "poster", "description", "genres", "url")},
    secrets=(
        Secret(
            setting="ANIMESCHEDULE_TOKEN",
            placement="header",
            name="Authorization",
            prefix="Bearer ",
            how_to_get="Create an application in the settings of your AnimeSchedule account; its token is shown there.",
        ),
    ),
    # A page of 18 anime is about 70 KB, a week of all raw episodes about 250 KB.
    max_body_bytes=4 * 2**20,
    cache_ttl_s=86_400,
    # The dub timetable is the smallest answer that is refused without a token.
    probe=Probe("/timetables/dub?tz=UTC"),
)
