"""A title as Jikan shows it: the object of lists, what ``/full`` adds, its episodes and characters."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from anime_crawler.sandbox.world.elsewhere import Role, cast, id_at, oddities
from anime_crawler.sandbox.world.synopsis import synopsis
from anime_crawler.sandbox.world.words import GENRES, STUDIOS
from anime_crawler.sandbox.world.works import Day, Title
from anime_crawler.sandbox.world.world import World

SITE = "https://myanimelist.net"
PICTURES = "https://cdn.myanimelist.net/images"
NO_PICTURE = "https://cdn.myanimelist.net/img/sp/icon/apple-touch-icon-256.png"
TYPES = {
    "tv": "TV",
    "movie": "Movie",
    "ova": "OVA",
    "ona": "ONA",
    "special": "Special",
    "tv_special": "TV Special",
    "music": "Music",
}
STATUSES = {"anons": "Not yet aired", "ongoing": "Currently Airing"}
"""It has no word for a status that nobody knows: what began some time ago has finished."""
RATINGS = {
    "g": "G - All Ages",
    "pg": "PG - Children",
    "pg_13": "PG-13 - Teens 13 or older",
    "r": "R - 17+ (violence & profanity)",
    "r_plus": "R+ - Mild Nudity",
    "rx": "Rx - Hentai",
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
RELATIONS = {"sequel": "Sequel", "prequel": "Prequel", "adaptation": "Adaptation"}
NO_DAY = {"day": None, "month": None, "year": None}
WEEK = timedelta(weeks=1)


def status_of(title: Title) -> str:
    """One of Jikan's three words."""
    return STATUSES.get(title.status or "", "Finished Airing")


def members_of(title: Title) -> int:
    """How many have it on their list: some more than those who vote."""
    return title.votes * 3 + title.id % 7


def title_object(title: Title, rank: int | None, popularity: int) -> dict[str, Any]:
    """Every field of a title in a list."""
    season = (title.season or "").partition("_") if title.kind == "tv" else ("", "", "")
    return {
        "mal_id": title.mal_id,
        "url": page_of(title),
        "images": images(f"anime/{title.id % 2000}/{title.id}") if title.poster else no_images(),
        "trailer": {"youtube_id": None, "url": None, "embed_url": None, "images": {"image_url": None}},
        "approved": True,
        **names(title),
        "type": TYPES.get(title.kind or ""),
        "source": title.origin.replace("_", " ").capitalize(),
        "episodes": title.episodes or None,
        "status": status_of(title),
        "airing": title.status == "ongoing",
        "aired": aired(title),
        "duration": duration(title),
        "rating": RATINGS.get(title.rating),
        "score": title.score or None,
        "scored_by": title.votes if title.score else None,
        "rank": rank,
        "popularity": popularity,
        "members": members_of(title),
        "favorites": title.votes // 40,
        "synopsis": text_of(title),
        "background": "",
        "season": season[0] or None,
        "year": int(season[2]) if season[2] else None,
        "broadcast": broadcast(title),
        "producers": [],
        "licensors": [],
        "studios": [entity("producer", 100 + STUDIOS.index(name), name) for name in title.studios],
        "explicit_genres": [],  # hentai stands among the genres
        **{f"{kind}s": [genre(n) for n in title.genres if GENRES[n][2] == kind] for kind in ("genre", "theme")},
        "demographics": [genre(n) for n in title.genres if GENRES[n][2] == "demographic"],
    }


def full_parts(title: Title, world: World) -> dict[str, Any]:
    """What ``/full`` has beside the object of lists."""
    anidb = id_at("anidb", title)
    links = [{"name": "Official Site", "url": f"http://anime-{title.id}.example.org/"}]
    links += (
        [{"name": "AniDB", "url": f"https://anidb.net/perl-bin/animedb.pl?show=anime&aid={anidb}"}] if anidb else []
    )
    return {
        "relations": relations(title, world),
        "theme": {"openings": [f'1: "{title.romaji}" by Yoru (eps 1-)'], "endings": []},
        "external": links,
        "streaming": [],
    }


def relations(title: Title, world: World) -> list[dict[str, Any]]:
    """Related works that it knows, by kind."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for kind, target, number, name in title.related:
        if target == "manga" or ((other := world.titles.get(number)) and id_at("jikan", other)):
            entry = {"mal_id": number, "type": target, "name": name, "url": f"{SITE}/{target}/{number}/{slug(name)}"}
            groups.setdefault(RELATIONS[kind], []).append(entry)
    return [{"relation": kind, "entry": entries} for kind, entries in groups.items()]


def names(title: Title) -> dict[str, Any]:
    """The list of names, and the fields that it has replaced and that are still sent."""
    english = None if oddities("jikan english", title).randrange(20) == 0 else title.english
    latin = [name for name in title.synonyms if name.isascii()]
    found = [
        ("Default", title.romaji),
        *(("Synonym", name) for name in latin),
        ("Japanese", title.japanese),
        ("English", english),
    ]
    return {
        "titles": [{"type": kind, "title": name} for kind, name in found if name],
        "title": title.romaji,
        "title_english": english,
        "title_japanese": title.japanese,
        "title_synonyms": latin,
    }


def text_of(title: Title) -> str | None:
    """The synopsis with the credit at its end."""
    paragraphs = synopsis(title)
    return "\n\n".join([*paragraphs, "[Written by MAL Rewrite]"]) if paragraphs else None


def aired(title: Title) -> dict[str, Any]:
    """Both ends, filled in; only ``string`` tells how much of them is known."""
    begin, end = known(title.aired_on), known(title.released_on)
    if begin is None or (begin == end and title.status == "released"):
        end = None
        text = spelled(begin) if begin else "Not available"
    else:
        text = f"{spelled(begin)} to {spelled(end) if end else '?'}"
    return {
        "from": filled(begin),
        "to": filled(end),
        "prop": {"from": parts(begin), "to": parts(end)},
        "string": text,
    }


def known(day: Day) -> Day | None:
    """The date as far as it is known from its year on; ``None``: not even that."""
    year, month, number = day
    return (year, month, number if month else None) if year else None


def spelled(day: Day) -> str:
    """``Oct 3, 2022``, ``Oct 2022`` or ``2022``."""
    year, month, number = day
    if month is None:
        return str(year)
    return f"{MONTHS[month - 1]} {number}, {year}" if number else f"{MONTHS[month - 1]} {year}"


def date_of(day: Day) -> date:
    """The date with what is unknown filled in."""
    return date(day[0] or 1, day[1] or 1, day[2] or 1)


def filled(day: Day | None) -> str | None:
    """A day as a moment."""
    return f"{date_of(day).isoformat()}T00:00:00+00:00" if day else None


def parts(day: Day | None) -> dict[str, Any]:
    """Its parts, the filled-in ones among them."""
    return {"day": date_of(day).day, "month": date_of(day).month, "year": day[0]} if day else NO_DAY


def duration(title: Title) -> str:
    """In words; a minute off here and there."""
    minutes = title.duration - (1 if oddities("jikan duration", title).randrange(4) == 0 and title.duration > 5 else 0)
    if minutes <= 0:
        return "Unknown"
    hours, rest = divmod(minutes, 60)
    text = " ".join([f"{hours} hr"] * bool(hours) + [f"{rest} min"] * bool(rest))
    return text if title.kind in ("movie", "music") else f"{text} per ep"


def broadcast(title: Title) -> dict[str, str | None]:
    """Weekday and time in Japan of a series; one in ten comes when it likes."""
    draw, begin = oddities("jikan broadcast", title), known(title.aired_on)
    if title.kind != "tv" or begin is None or begin[2] is None or title.status == "anons":
        return {"day": None, "time": None, "timezone": None, "string": None}
    if draw.randrange(10) == 0:
        return {"day": None, "time": None, "timezone": "Asia/Tokyo", "string": "Not scheduled once per week"}
    day, time = WEEKDAYS[date_of(begin).weekday()], f"{draw.randrange(24):02}:{draw.choice(('00', '30'))}"
    return {"day": day, "time": time, "timezone": "Asia/Tokyo", "string": f"{day} at {time} (JST)"}


def genre(number: int) -> dict[str, Any]:
    """A genre, theme or demographic."""
    return entity("genre", number, GENRES[number][0])


def entity(path: str, number: int, name: str) -> dict[str, Any]:
    """What titles belong to."""
    return {"mal_id": number, "type": "anime", "name": name, "url": f"{SITE}/anime/{path}/{number}/{slug(name)}"}


def images(path: str) -> dict[str, Any]:
    """Every size in both forms."""
    sizes = {"image_url": "", "small_image_url": "t", "large_image_url": "l"}
    return {
        form: {size: f"{PICTURES}/{path}{letter}.{form}" for size, letter in sizes.items()} for form in ("jpg", "webp")
    }


def no_images() -> dict[str, Any]:
    """An icon stands where there is no picture."""
    sizes = ("image_url", "small_image_url", "large_image_url")
    return {form: dict.fromkeys(sizes, NO_PICTURE) for form in ("jpg", "webp")}


def page_of(title: Title) -> str:
    """Its page at MyAnimeList."""
    return f"{SITE}/anime/{title.mal_id}/{slug(title.romaji)}"


def slug(name: str) -> str:
    """A name in an address."""
    return quote(name.replace(" ", "_"), safe="_!?'")


def episode_rows(title: Title) -> list[dict[str, Any]]:
    """Rows of ``/episodes``: none of films; one title in twenty lacks its first."""
    if title.kind in ("movie", "music", None):
        return []
    last = max(title.aired, title.episodes if status_of(title) == "Finished Airing" else 0)
    first = 2 if oddities("jikan episodes", title).randrange(20) == 0 else 1
    return [episode_row(title, number) for number in range(first, last + 1)]


def episode_row(title: Title, number: int) -> dict[str, Any]:
    """One episode; the blank at the end of the romaji title is theirs."""
    begin = known(title.aired_on)
    day = date_of(begin) + (number - 1) * WEEK if begin and begin[2] else None
    return {
        "mal_id": number,
        "url": f"{page_of(title)}/episode/{number}",
        "title": f"Part {number}",
        "title_japanese": f"第{number}話",
        "title_romanji": f"Dai {number} Wa\u00a0",
        "aired": f"{day.isoformat()}T00:00:00+00:00" if day else None,
        "score": 4.5,
        "filler": False,
        "recap": number % 13 == 0,
        "forum_url": f"{SITE}/forum/?topicid={title.id * 1000 + number}",
    }


def character_rows(title: Title) -> list[dict[str, Any]]:
    """Who plays in it, family name first."""
    return [character_row(role) for role in cast(title)]


def character_row(role: Role) -> dict[str, Any]:
    """One character and its Japanese voice."""
    voice = role.number + 1
    return {
        "character": {
            "mal_id": role.number,
            "url": f"{SITE}/character/{role.number}/{slug(role.name)}",
            "images": images(f"characters/{role.number % 17}/{role.number}"),
            "name": turned(role.name),
        },
        "role": "Main" if role.main else "Supporting",
        "favorites": role.number % 900,
        "voice_actors": [
            {
                "person": {
                    "mal_id": voice,
                    "url": f"{SITE}/people/{voice}/{slug(role.voice)}",
                    "images": {"jpg": {"image_url": f"{PICTURES}/voiceactors/1/{voice}.jpg"}},
                    "name": turned(role.voice),
                },
                "language": "Japanese",
            }
        ],
    }


def turned(name: str) -> str:
    """``Kuroda, Aoi`` of ``Aoi Kuroda``."""
    given, _, family = name.partition(" ")
    return f"{family}, {given}"


def day_text(moment: int) -> str:
    """Unix time as HTTP writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
