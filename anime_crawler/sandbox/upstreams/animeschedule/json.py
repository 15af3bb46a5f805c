"""A title as AnimeSchedule has it: what is unknown is missing or zero, addresses have no scheme, numbers are text."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from anime_crawler.sandbox.world.elsewhere import id_at, ids_elsewhere, oddities, slug_of
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

SOURCE = "animeschedule"
ZERO = "0001-01-01T00:00:00Z"
"""An unknown date."""
STATUSES = {"released": "Finished", "ongoing": "Ongoing", "anons": "Upcoming", None: "Finished"}
MEDIA_TYPES = {
    "tv": ("TV", "tv"),
    "movie": ("Movie", "movie"),
    "ova": ("OVA", "ova"),
    "ona": ("ONA", "ona"),
    "special": ("Special", "special"),
    "tv_special": ("Special", "special"),
    "music": ("Music", "music"),
}
RELATIONS = {"sequel": "sequels", "prequel": "prequels"}


def route(title: Title) -> str:
    """Its slug, which is what others know it by."""
    return str(id_at(SOURCE, title))


def show(title: Title, world: World) -> dict[str, Any]:
    """The whole object, as ``/anime`` and ``/anime/{slug}`` have it."""
    return {
        "id": f"{title.id:024x}",
        "title": title.romaji,
        "route": route(title),
        **_begin(title),
        "status": "Delayed" if is_delayed(title) else STATUSES[title.status],
        **_delay(title),
        **_description(title),
        "genres": [named(GENRES[number][0]) for number in title.genres],
        "studios": [named(name) for name in title.studios],
        "sources": [named(title.origin.replace("_", " ").title())],
        **media_types(title),
        "episodes": title.episodes,
        "lengthMin": title.duration,
        **picture(title),
        "stats": _stats(title),
        "names": {name: text for name, text in _names(title) if text},
        "relations": _relations(title, world),
        "websites": dict(_websites(title)),
    }


def named(name: str) -> dict[str, str]:
    """A genre, studio, source or media type."""
    return {"name": name, "route": slug_of(name)}


def media_types(title: Title) -> dict[str, Any]:
    """The kind; one ONA in ten is Chinese, and what has no kind has no key."""
    if title.kind is None:
        return {}
    name, slug = MEDIA_TYPES[title.kind]
    if is_chinese(title):
        name, slug = f"{name} (Chinese)", f"{slug}-chinese"
    return {"mediaTypes": [{"name": name, "route": slug}]}


def is_chinese(title: Title) -> bool:
    """A donghua."""
    return title.kind == "ona" and title.id % 10 == 0


def picture(title: Title) -> dict[str, str]:
    """``default`` is a folder like any other, no placeholder."""
    return {"imageVersionRoute": f"anime/jpg/default/{route(title)}-{title.poster[:10]}.jpg"} if title.poster else {}


def moment(at: datetime) -> str:
    """Whole seconds, Z."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def first_airing(title: Title) -> datetime | None:
    """When its first episode airs in Japan; ``None``: the day is not known."""
    year, month, day = title.aired_on
    if not (year and month and day):
        return None
    minutes = oddities("animeschedule hour", title).randrange(0, 24 * 60, 5)
    return datetime(year, month, day, tzinfo=UTC) + timedelta(minutes=minutes)


def is_delayed(title: Title) -> bool:
    """One running series in six waits for its next episode."""
    return title.status == "ongoing" and oddities("animeschedule delay", title).random() < 0.17


def delay_of(title: Title) -> tuple[datetime, datetime | None] | None:
    """From when until when the next episode is late; the end may be unknown. ``None``: nothing is."""
    first = first_airing(title)
    if first is None or not is_delayed(title):
        return None
    begin = first + timedelta(weeks=title.aired)
    return begin, begin + timedelta(weeks=2) if title.id % 2 else None


def _begin(title: Title) -> dict[str, Any]:
    """Premier, month, year and season: each may be missing, zero or empty."""
    year, month, _ = title.aired_on
    first = first_airing(title)
    found: dict[str, Any] = {"premier": moment(first) if first else ZERO}
    if month:
        found["month"] = calendar.month_name[month]
    if not year:
        return found
    season = title.season.split("_")[0].capitalize() if title.season and month else ""
    words = f"{season} {year}".strip()
    return found | {
        "year": year,
        "season": {"title": words, "year": str(year), "season": season, "route": slug_of(words)},
    }


def _delay(title: Title) -> dict[str, Any]:
    delay = delay_of(title)
    if delay is None:
        return {}
    begin, end = delay
    return {
        "delayedTimetable": "Delayed" if end else "On Break",
        "delayedFrom": moment(begin),
        "delayedUntil": moment(end) if end else ZERO,
        "delayedDesc": "Postponed due to production issues.",
    }


def _description(title: Title) -> dict[str, str]:
    if title.description is None:
        return {}
    name = (title.english or title.romaji).replace("'", "&#39;")
    return {"description": f'The story of <span class="italics">{name}</span>.<br><br>(Source: Lantern Press)'}


def _stats(title: Title) -> dict[str, Any]:
    """One in twenty has no vote; its score is then that of all anime."""
    draw = oddities("animeschedule stats", title)
    count = 0 if draw.random() < 0.05 else title.votes // 40
    return {
        "averageScore": round(title.score * 10 + draw.uniform(-3, 3), 4) if title.score and count else 70.1,
        "ratingCount": count if title.score else 0,
        "trackedCount": title.votes // 10,
        "trackedRating": title.id,
        "colorLightMode": "567039",
        "colorDarkMode": "A7D96F",
    }


def _names(title: Title) -> Iterator[tuple[str, Any]]:
    yield "romaji", title.romaji
    yield "english", title.english
    slip = "Native " if oddities("animeschedule names", title).random() < 0.02 else ""
    yield "native", title.japanese and slip + title.japanese
    yield "synonyms", [name for name in title.synonyms if name.isascii() and name]


def _relations(title: Title, world: World) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, target, number, _ in title.related:
        other = world.titles.get(number) if target == "anime" else None
        slug = id_at(SOURCE, other) if other else None
        if slug:
            found.setdefault(RELATIONS.get(kind, "other"), []).append(slug)
    return found


def _websites(title: Title) -> Iterator[tuple[str, str]]:
    """As people typed them: Kitsu's may be a slug, AniDB's an old form."""
    draw, elsewhere = oddities("animeschedule websites", title), ids_elsewhere(title)
    yield "official", f"anime-{title.id}.example.org/"
    if title.mal_id:
        yield "mal", f"myanimelist.net/anime/{title.mal_id}"
    if "anilist" in elsewhere:
        yield (
            "aniList",
            f"anilist.co/anime/{elsewhere['anilist']}" + draw.choice(("", "/", f"/{slug_of(title.romaji)}")),
        )
    if "kitsu" in elsewhere:
        yield "kitsu", f"kitsu.io/anime/{draw.choice((elsewhere['kitsu'], slug_of(title.romaji)))}"
    if "anidb" in elsewhere:
        yield "anidb", f"anidb.net/{draw.choice(('anime/', 'perl-bin/animedb.pl?show=anime&aid='))}{elsewhere['anidb']}"
    if "anime_planet" in elsewhere:
        yield "animePlanet", f"www.anime-planet.com/anime/{elsewhere['anime_planet']}"
