"""Titles out of a seed alone: kinds, years and oddities as in the real catalogue, and none of its names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

from anime_crawler.sandbox.world.words import GENRES, HENTAI, PATTERNS, SENTENCES, STUDIOS, WORDS, titles_of
from anime_crawler.sandbox.world.works import Day, Title

DAY_S = 86_400
KINDS = {"tv": 47, "movie": 20, "ova": 12, "ona": 9, "special": 7, "tv_special": 2, "music": 2}
"""Percent of titles. Music is left out of Shikimori's lists unless asked for by id."""
TV_LENGTHS = {11: 8, 12: 45, 13: 15, 24: 15, 25: 6, 26: 6, 50: 4, 148: 1}
"""Episodes of a series: percent. Gives 11 links per material over all kinds, as Kodik has."""
ORIGINS = ["manga", "light_novel", "original", "novel", "game", "web_manga"]
RATINGS = {"pg_13": 60, "r": 15, "pg": 8, "g": 7, "none": 5, "r_plus": 4, "rx": 1}


def pick(rng: Random, weights: dict[str, int]) -> str:
    """One key, as often as its weight says."""
    return rng.choices(list(weights), list(weights.values()))[0]


def chance(rng: Random, percent: float) -> bool:
    """True in `percent` of 100 cases."""
    return rng.random() * 100 < percent


def invent_titles(rng: Random, count: int, now: int) -> list[Title]:
    """`count` titles in order of their ids, franchise by franchise.

    Args:
        now: the world's present, seconds since 1970; nothing has aired after it.
    """
    bases = iter(rng.sample(range(len(WORDS) * (len(WORDS) - 1) * len(PATTERNS)), count))
    titles: list[Title] = []
    while len(titles) < count:
        titles += _franchise(rng, next(bases), _next_ids(rng, titles), now)
    del titles[count:]
    _share_slugs(rng, titles)
    return titles


def invent_one(rng: Random, taken: set[str], title_id: int, now: int) -> Title:
    """One more title with a name nobody has."""
    while True:
        base = rng.randrange(len(WORDS) * (len(WORDS) - 1) * len(PATTERNS))
        title = _title(rng, title_id, _names(base), 1, now)
        if title.romaji not in taken:
            return title


def _next_ids(rng: Random, titles: list[Title]) -> Iterator[int]:
    last = titles[-1].id if titles else 0
    while True:
        last += rng.randint(1, 4)
        yield last


def _names(base: int) -> tuple[str, str, str, str]:
    rest, pattern = divmod(base, len(PATTERNS))
    a, b = divmod(rest, len(WORDS) - 1)
    return titles_of(a, b + (b >= a), pattern)


def _franchise(rng: Random, base: int, ids: Iterator[int], now: int) -> list[Title]:
    """One to four titles that continue each other; seven of ten stand alone."""
    names = _names(base)
    size = rng.choices([1, 2, 3, 4], [70, 18, 8, 4])[0]
    titles = [_title(rng, next(ids), _numbered(names, n), n, now) for n in range(1, size + 1)]
    if size > 1:
        kinopoisk = str(rng.randint(200_000, 9_999_999))
        for title in titles:
            title.franchise = names[0].lower().replace(" ", "_").replace("'", "")
            title.kinopoisk_id = kinopoisk
        _relate(titles)
    return titles


def _numbered(names: tuple[str, str, str, str], n: int) -> tuple[str, str, str, str]:
    if n == 1:
        return names
    romaji, japanese, russian, english = names
    ending = {2: "2nd", 3: "3rd"}.get(n, f"{n}th")
    return f"{romaji} {ending} Season", f"{japanese} 第{n}期", f"{russian} {n}", f"{english} Season {n}"


def _relate(titles: list[Title]) -> None:
    for before, after in pairwise(titles):
        before.related.append(("sequel", "anime", after.id, after.romaji))
        after.related.append(("prequel", "anime", before.id, before.romaji))


def _title(rng: Random, title_id: int, names: tuple[str, str, str, str], number: int, now: int) -> Title:
    romaji, japanese, russian, english = names
    kind = "tv" if number > 1 and chance(rng, 80) else pick(rng, KINDS)
    episodes = _length(rng, kind)
    start = _start(rng, now)
    end = start + max(0, episodes - 1) * 7 * DAY_S
    title = Title(
        id=title_id,
        romaji=romaji,
        russian=None if chance(rng, 4) else russian,
        english=None if chance(rng, 30) else english,
        japanese=None if chance(rng, 2) else japanese,
        synonyms=_synonyms(rng, names),
        kind=kind,
        status="released",
        episodes=episodes,
        aired=episodes,
        duration={"movie": 95, "music": 4, "special": 12}.get(kind, 24),
        aired_on=day_of(start),
        released_on=day_of(end),
        season=season_of(start) if kind in ("tv", "ona") and not chance(rng, 8) else None,
        score=0 if chance(rng, 3) else round(rng.triangular(4.0, 9.4, 7.1), 2),
        votes=rng.randint(5, 90_000),
        rating=pick(rng, RATINGS),
        origin=rng.choice(ORIGINS),
        genres=rng.sample([g for g in GENRES if g != HENTAI], rng.randint(1, 5)),
        studios=rng.sample(STUDIOS, rng.choices([0, 1, 2], [5, 85, 10])[0]),
        description=None if chance(rng, 6) else describe(rng, russian, japanese),
        franchise=None,
        franchise_season=number,
        created_at=min(start, now - 90 * DAY_S) - rng.randint(0, 200) * DAY_S,
        updated_at=now - rng.randint(3600, 900 * DAY_S),
        license_ru=russian.upper() if chance(rng, 6) else None,
        poster=None if chance(rng, 2) else rng.randbytes(16).hex(),
        mal_id=None if chance(rng, 1) else title_id,
        kinopoisk_id=str(rng.randint(200_000, 9_999_999)) if chance(rng, 60) else None,
    )
    if chance(rng, 10):
        title.related.append(("adaptation", "manga", 100_000 + title_id, romaji))
    _odd_ways(rng, title, start, now)
    return title


def _length(rng: Random, kind: str) -> int:
    if kind == "tv":
        return int(rng.choices(list(TV_LENGTHS), list(TV_LENGTHS.values()))[0])
    return {"ova": rng.randint(1, 6), "ona": rng.choice([6, 10, 12, 20]), "special": rng.randint(1, 3)}.get(kind, 1)


def _start(rng: Random, now: int) -> int:
    """First airing, at least two years ago (ongoing titles are set later), mostly this century."""
    years = min(rng.expovariate(1 / 9), 58)
    return now - int((2 + years) * 365 * DAY_S)


def _synonyms(rng: Random, names: tuple[str, str, str, str]) -> list[str]:
    romaji, _, russian, english = names
    found = ["".join(word[0] for word in english.split())] if chance(rng, 40) else []
    if chance(rng, 20):
        found += [f"{russian} (сериал)", romaji, ""]  # repeats and blanks are in the real lists
    return found


def describe(rng: Random, russian: str, japanese: str) -> str:
    """Some sentences of BBCode with CRLF between paragraphs."""
    sentences = rng.sample(SENTENCES, rng.randint(2, 6))
    text = "\r\n\r\n".join(sentences).format(n=rng.randint(1, 99_999), m=rng.randint(1, 9_999), ru="Рин", jp="ミコ")
    return f"«{russian}» [{japanese}]. {text}"


def _odd_ways(rng: Random, title: Title, start: int, now: int) -> None:
    """What is unusual about some titles: still running, announced, no status, half known dates, adults only."""
    odd = rng.random() * 100
    if odd < 5 and title.kind in ("tv", "ona"):
        make_ongoing(rng, title, now)
    elif odd < 6.5:
        title.status, title.aired, title.score = "anons", 0, 0
        title.aired_on, title.released_on, title.season = (2027, None, None), (None, None, None), None
    elif odd < 7:
        title.status = None
    elif odd < 8:
        title.kind = None
    elif odd < 11:
        title.aired = 0  # normal on released titles: the counter was introduced later
    elif odd < 14:
        title.aired_on = rng.choice([(day_of(start)[0], None, None), (None, 10, 31), (day_of(start)[0], 4, None)])
    elif odd < 15:
        title.duration = 0
    if title.rating == "rx" or odd > 99.2:
        title.censored = True
    if title.rating == "rx":
        title.genres.append(HENTAI)
    if odd > 98:
        title.released_on = (None, None, None)
    title.at_shikimori = not chance(rng, 1)
    title.id_at_kodik = not chance(rng, 1)


def make_ongoing(rng: Random, title: Title, now: int) -> None:
    """Turn `title` into a series of which some weeks have aired; one in four has no planned length."""
    title.kind, title.status = "tv", "ongoing"
    planned = rng.choice([12, 13, 24])
    title.aired = rng.randint(1, planned - 1)
    title.episodes = 0 if chance(rng, 25) else planned
    start = now - title.aired * 7 * DAY_S
    title.aired_on, title.season = day_of(start), season_of(start)
    title.released_on = day_of(start + planned * 7 * DAY_S) if chance(rng, 50) else (None, None, None)
    title.next_episode_at = now + rng.randint(1, 7 * 24) * 3600
    title.updated_at = now - rng.randint(60, 7 * DAY_S)


def _share_slugs(rng: Random, titles: list[Title]) -> None:
    """Two in a hundred take an earlier title's name with other punctuation: another text, the same address."""
    for i in range(1, len(titles)):
        if chance(rng, 2):
            titles[i].romaji = titles[rng.randrange(i)].romaji.rstrip("!?") + rng.choice("!?")


def day_of(moment: int) -> Day:
    """Year, month and day of a moment, UTC."""
    day = datetime.fromtimestamp(moment, UTC)
    return day.year, day.month, day.day


def season_of(moment: int) -> str:
    """Shikimori's season of a moment: its borders lie nine days before the quarter's."""
    day = datetime.fromtimestamp(moment, UTC) + timedelta(days=9)
    return f"{('winter', 'spring', 'summer', 'fall')[(day.month - 1) // 3]}_{day.year}"
