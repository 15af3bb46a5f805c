"""Anime-Planet's pages, from titles of the world."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import orjson

from anime_crawler.sandbox.world.elsewhere import Role, cast, id_at, oddities, slug_of
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Day, Title
from anime_crawler.sandbox.world.world import World

SOURCE = "anime_planet"
SITE = "https://www.anime-planet.com"
PICTURES = "https://cdn.anime-planet.com"
KINDS = {
    "tv": "TV",
    "movie": "Movie",
    "ova": "OVA",
    "ona": "Web",
    "special": "DVD Special",
    "tv_special": "TV Special",
    "music": "Music Video",
    None: "Other",
}
RELATIONS = {"sequel": "Sequel", "prequel": "Prequel", "adaptation": "Original Manga"}
DEFAULT_PICTURE = "/images/anime/default/default-anime-autumn.png"  # named after the season in which it is shown
NO_SYNOPSIS = "No synopsis yet - check back soon!"
SHOWN_CHARACTERS = 8
EMAIL = re.compile(r"\S+@\S+")


def frame(title: str, body: str, head: str = "") -> str:
    """What every page has around its content; Cloudflare's script is on each and means nothing."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head><title>{escape(title)} | Anime-Planet</title>{head}</head>\n'
        f'<body><div id="siteContainer">\n{body}\n</div>\n'
        "<script>a.src='/cdn-cgi/challenge-platform/scripts/invisible.js';</script>\n</body>\n</html>\n"
    )


def shielded(text: str, in_link: bool = False) -> str:
    """The text as HTML, after Cloudflare: a word with an ``@`` in it must be an e-mail address."""
    pieces = []
    end = 0
    for word in EMAIL.finditer(text):
        pieces += [escape(text[end : word.start()]), email(word[0], in_link)]
        end = word.end()
    return "".join([*pieces, escape(text[end:])])


def email(word: str, in_link: bool) -> str:
    """The hidden word: a key, and each byte with the key upon it. Links do not stand in links."""
    key = 0x4F
    code = bytes([key, *(byte ^ key for byte in word.encode())]).hex()
    tag, href = ("span", "") if in_link else ("a", ' href="/cdn-cgi/l/email-protection"')
    return f'<{tag}{href} class="__cf_email__" data-cfemail="{code}">[email&#160;protected]</{tag}>'


def slug(title: Title) -> str:
    """Of a title that the site knows."""
    found = id_at(SOURCE, title)
    assert found is not None
    return found


def name_of(title: Title) -> str:
    """The site's own English title; here one in forty is spelled with an ``@``."""
    name = title.english or title.romaji
    return name.replace("a", "@", 1) if oddities(f"{SOURCE} at", title).randrange(40) == 0 else name


def others_of(title: Title) -> list[str]:
    """Alternative titles; the site has at most two."""
    found = [title.romaji, title.japanese, *title.synonyms]
    return [name for name in dict.fromkeys(found) if name and name != name_of(title)][:2]


def aka(title: Title) -> str:
    """``Alt title: X``, ``Alt titles: X, Y``, or nothing."""
    others = others_of(title)
    return f"Alt title{'s' if len(others) > 1 else ''}: {', '.join(others)}" if others else ""


def type_text(title: Title) -> str:
    """``TV (12 eps)``, ``TV (5+ eps)`` while it runs, ``Movie (1 ep x 95 min)``, ``OVA`` where no more is known."""
    count, more = (title.aired, "+") if title.status == "ongoing" else (title.episodes, "")
    kind = KINDS[title.kind]
    if not count or title.status == "anons":
        return kind
    minutes = f" x {title.duration} min" if title.duration and title.kind != "tv" else ""
    return f"{kind} ({count}{more} ep{'' if count == 1 and not more else 's'}{minutes})"


def years(title: Title) -> str:
    """``2016``, ``2019 - 2020``, ``1996 - ?``, ``TBA``; nothing where nobody knows."""
    first, last = title.aired_on[0], title.released_on[0]
    if title.status == "anons":
        return "TBA"
    if first is None:
        return ""
    if title.status == "ongoing":
        return f"{first} - ?"
    return f"{first} - {last}" if last and last > first else str(first)


def rating(title: Title) -> tuple[float, int]:
    """(mean of 0.5 to 5, votes); 0: too few have voted."""
    if not title.score:
        return 0, 0
    delta = oddities(f"{SOURCE} rating", title).uniform(-0.25, 0.25)
    return round(min(5, max(0.5, title.score / 2 + delta)), 3), 10 + title.votes // 8


def tags(title: Title) -> list[str]:
    """Genres, and what it was made from."""
    origin = title.origin.replace("_", " ").title()
    return [GENRES[number][0] for number in title.genres if GENRES[number][0] != "Hentai"] + [
        "Original Work" if origin == "Original" else f"Based on a {origin}"
    ]


def warnings(title: Title) -> list[str]:
    """All but the last with a comma behind it."""
    return ["Mature Themes,", "Explicit Sex"] if title.censored else []


def synopsis(title: Title) -> str:
    """A paragraph, or what stands where there is none."""
    return "" if title.description is None else f"This is what {name_of(title)} tells. Its end is not given away."


def image(title: Title, size: str) -> str:
    """Address of the picture or of the placeholder."""
    return f"{PICTURES}/anime/primary/{slug(title)}-1-{size}.jpg?t=1625886288" if title.poster else DEFAULT_PICTURE


def detail(title: Title, world: World) -> str:
    """The page of an anime. One in twenty-five has no linked data."""
    name = name_of(title)
    data = "" if title.id % 25 == 0 else f'<script type="application/ld+json">{linked_data(title)}</script>'
    head = (
        f'{data}<meta property="og:title" content="{escape(name)}" />'
        f'<link rel="canonical" href="{SITE}/anime/{slug(title)}" />'
    )
    second = f'<h2 class="aka">\n{shielded(aka(title))}\n</h2>' if aka(title) else ""
    parts = [
        f'<h1 itemprop="name">{shielded(name)}</h1>{second}',
        entry_bar(title),
        '<section id="entry" class="pure-g EntryPage__content" data-type="anime">',
        story(title),
        relations(title, world),
        shown_characters(title),
        "</section>",
    ]
    return frame(name, "\n".join(parts), head)


def entry_bar(title: Title) -> str:
    """Kind, studios, years and season, rating, rank."""
    studios = ", ".join(f'<a href="/anime/studios/{slug_of(name)}">{escape(name)}</a>' for name in title.studios)
    season = ""
    if title.season and title.kind == "tv":
        address = title.season.replace("_", "-")
        season = f'<br /><a href="/anime/seasons/{address}">{address}</a>'
    mean, votes = rating(title)
    average = f"{mean} out of 5 from {votes:,} votes" if mean else "10 more votes needed to calculate an average"
    cells = [
        f'<span class="type">{type_text(title)}\n</span>',
        studios,
        f"<span class='iconYear'> {years(title)} </span>{season}",
        f'<div class="avgRating" title="{average}"><span>{average}</span></div>',
        f"Rank #{100_000 - votes:,}" if mean else "",
    ]
    divs = "\n".join(f'<div class="pure-1 md-1-5">{cell}</div>' for cell in cells)
    return f'<section class="pure-g entryBar">\n{divs}\n</section>'


def linked_data(title: Title) -> str:
    """JSON-LD: escaped twice, with a broken address of the picture; dates only where the day is known."""
    mean, votes = rating(title)
    facts: dict[str, Any] = {
        "@context": "http://schema.org",
        "@type": "Movie" if title.kind == "movie" else "TVSeries",
        "name": escape(name_of(title)),
        "url": f"{SITE}/anime/{slug(title)}",
        "image": f"{SITE}{image(title, '285x400')}",
        "description": escape(synopsis(title)),
        "genre": sorted(tags(title)),
    }
    if mean:
        shown = {"ratingCount": votes, "bestRating": 5, "worstRating": 0.5, "ratingValue": mean}
        facts["aggregateRating"] = {"@type": "AggregateRating", **shown}
    first, last = iso_day(title.aired_on), iso_day(title.released_on)
    if title.kind == "movie":
        facts |= {"datePublished": first} if first else {}
    elif title.id % 5 > 1:  # two in five have no dates
        dates = {"startDate": first, "endDate": last if title.status == "released" else None}
        facts |= {key: day for key, day in dates.items() if day}
    return orjson.dumps(facts).decode().replace("/", "\\/")


def iso_day(day: Day) -> str | None:
    """A whole date; of one that is known in part, nothing."""
    year, month, number = day
    return f"{year:04}-{month:02}-{number:02}" if year and month and number else None


def story(title: Title) -> str:
    """Picture, synopsis, tags, content warnings, and the number of the title."""
    text = synopsis(title)
    told = f"<div><p>{shielded(text)}</p></div>" if text else f"<p>{NO_SYNOPSIS}</p>"
    return (
        '<div class="pure-g entrySynopsis"><div class="mainEntry">'
        f'<img itemprop="image" alt="" src="{image(title, "285x400")}" /></div>\n'
        f'<div class="pure-1 md-3-5">{told}\n{tag_list("Tags", "", tags(title))}'
        f"{tag_list('Content Warning', 'tags--plain', warnings(title))}"
        f'<form class="myListBar anime{title.id}" data-id="{title.id}" data-mode="anime"></form></div></div>'
    )


def tag_list(heading: str, style: str, names: list[str]) -> str:
    """One list of tags; nothing when it is empty."""
    links = "".join(f'<li><a href="/anime/tags/{slug_of(name)}">\n{name}\n</a></li>' for name in names)
    return f'<div class="tags {style}"><h4>{heading}</h4><ul>{links}</ul></div>\n' if names else ""


def relations(title: Title, world: World) -> str:
    """A tab for anime and one for manga, each only where there is something."""
    entries: dict[str, list[str]] = {"anime": [], "manga": []}
    for kind, target, number, name in title.related:
        other = world.titles.get(number) if target == "anime" else None
        address = id_at(SOURCE, other) if other else slug_of(name)
        if address:
            label = RELATIONS.get(kind, "Same Franchise")
            entries[target].append(related(f"/{target}/{address}", name_of(other) if other else name, label))
    return "\n".join(
        f'<div class="Tabs" id="tabs--relations--{target}">'
        f'<div id="tabs--relations--{target}--same_franchise">{"".join(found)}</div></div>'
        for target, found in entries.items()
        if found
    )


def related(href: str, name: str, label: str) -> str:
    """One work."""
    return (
        f'<a href="{href}" class="RelatedEntry"><p class="RelatedEntry__name">{shielded(name, in_link=True)}</p>'
        f'<span class="RelatedEntry__subtitle">{label}</span></a>\n'
    )


def character_slug(role: Role) -> str:
    """Two characters may have one name."""
    return f"{slug_of(role.name)}-{role.number}"


def shown_characters(title: Title) -> str:
    """Up to eight of the cast."""
    cards = "".join(
        f'<a class="CharacterCard" data-character-id="{role.number}" href="/characters/{character_slug(role)}">'
        f'<strong class="CharacterCard__title">{escape(role.name)}</strong>'
        f'<div class="CharacterCard__body"><div class="flag flagJP">\n{escape(role.voice)}\n</div></div></a>\n'
        for role in cast(title)[:SHOWN_CHARACTERS]
    )
    return f'<section class="EntryPage__content__section EntryPage__content__section__characters">{cards}</section>'
