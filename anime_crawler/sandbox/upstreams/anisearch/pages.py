"""AniSearch's pages in both of its layouts, from titles of the world."""

from __future__ import annotations

from html import escape
from typing import Any

import orjson

from anime_crawler.sandbox.world.elsewhere import Role, cast, id_at, oddities, slug_of
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Day, Title
from anime_crawler.sandbox.world.world import World

SOURCE = "anisearch"
SITE = "https://www.anisearch.com"
PICTURES = "https://cdn.anisearch.com/images"
KINDS = {
    "tv": "TV-Series",
    "movie": "Movie",
    "ova": "OVA",
    "ona": "Web",
    "special": "Bonus",
    "tv_special": "TV-Special",
    "music": "Music Video",
    None: "Unknown",
}
STATUSES = {"released": "Completed", "ongoing": "Ongoing", "anons": "Upcoming"}
RELATIONS = {"sequel": "Sequel", "prequel": "Prequel", "adaptation": "Original Work"}
ORIGINS = {"original": "Original Work", "game": "Video Game", "web_manga": "Manga"}
"""Others are the world's words with capitals."""
TARGETS = {25: "Female", 27: "Male", 42: "Male"}
"""Target group by the world's demographic."""
DASH = " &#8209; "  # the hyphen at which a browser breaks no line
PLEA = "A short plot summary about the anime would help many anime and manga fans decide whether they want to watch it."
SHOWN_CHARACTERS = 10


def frame(body: str, about: str = "", head: str = "") -> str:
    """What every page of the site has around its content. Links in it have no slash before them."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><base href="{SITE}"><meta charset="utf-8">'
        f'<meta name="robots" content="noarchive">{head}</head>\n<body>\n'
        f'<div id="content-outer"{about}><div id="content-inner">\n{body}\n</div></div>\n</body>\n</html>\n'
    )


def about(kind: str, number: str) -> str:
    """What the frame says of its page."""
    return f' data-type="{kind}" data-id="{number}"'


def missing() -> str:
    """The page for what there is not."""
    return frame("<h1>404</h1><p>Page not found.</p>")


def own_id(title: Title) -> str:
    """The site's number of a title that it knows."""
    number = id_at(SOURCE, title)
    assert number is not None
    return number


def link_of(title: Title) -> str:
    """Relative, with the slug."""
    return f"anime/{own_id(title)},{slug_of(title.romaji)}"


def line(name: str, label: str, value: str | None) -> str:
    """A line of the infoblock; nothing where there is nothing to say."""
    return f'<div class="{name}"><span class="header">{label}:</span> {value}</div>\n' if value else ""


def detail(title: Title, world: World) -> str:
    """The page of an anime: the layout of 2023 for every third, that of 2025 for the others."""
    is_old = title.id % 3 == 0
    english = english_of(title)
    head = (
        f'<meta property="og:title" content="{escape(english or title.romaji)}{" (Anime)" if is_old else ""}">'
        f'<meta property="og:url" content="{SITE}/{link_of(title)}">'
        '<script type="application/ld+json">{"@context":"https://schema.org","@type":"BreadcrumbList"}</script>'
        f'<script type="application/ld+json">{json_ld(title)}</script>'
    )
    cloud = genres(title)
    parts = [
        information(title, english, is_old),
        f'<section id="description"><h2>Description</h2>{description(title)}{cloud if is_old else ""}</section>',
        "" if is_old else f'<section id="genres-tags"><h2>Genres</h2>{cloud}</section>',
        shown_characters(title),
        relations(title, world, is_old),
        ratings(title),
    ]
    return frame("\n".join(parts), about("anime", own_id(title)), head)


def english_of(title: Title) -> str | None:
    """One English title in ten is missing here."""
    return None if oddities(SOURCE, title).randrange(10) == 0 else title.english


def rating(title: Title) -> tuple[float, int]:
    """(mean of 0.1 to 5, votes); fans here judge a little otherwise. 0: nobody has voted."""
    if not title.score:
        return 0, 0
    draw = oddities(f"{SOURCE} rating", title)
    return round(min(5, max(0.1, title.score / 2 + draw.uniform(-0.2, 0.2))), 2), 1 + title.votes // 40


def json_ld(title: Title) -> str:
    """Structured data: a film with one episode where the page says ``?``, and 2.5 by one vote where nobody voted."""
    mean, votes = rating(title)
    shown = {"ratingValue": f"{mean:.1f}" if mean else "2.5", "ratingCount": str(votes or 1)}
    facts: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Movie" if title.episodes < 2 else "TVSeries",
        "@id": f"{SITE}/anime/{own_id(title)}",
        "name": title.romaji,
        "url": f"{SITE}/anime/{own_id(title)}",
        "image": cover(title, 600),
        "numberOfEpisodes": str(title.episodes or 1),
        "aggregateRating": {"@type": "AggregateRating", **shown, "worstRating": "0.1", "bestRating": "5"},
        "genre": [GENRES[number][0] for number in title.genres],
    }
    if title.aired_on[0]:
        facts["startDate"] = "-".join(f"{part or 0:02}" for part in title.aired_on)
    return orjson.dumps(facts).decode().replace("<", "\\u003c")


def cover(title: Title, width: int) -> str:
    """Address of the picture; number 0 is the placeholder."""
    number = int(own_id(title)) if title.poster else 0
    return f"{PICTURES}/anime/cover/{f'{number // 1000}/{number}' if number else 0}_{width}.webp"


def information(title: Title, english: str | None, is_old: bool) -> str:
    """The infoblock: country of origin first, then the English release, then synonyms."""
    blocks = [origin_block(title, is_old)]
    if english:
        blocks.append(english_block(title, english, is_old))
    if names := [name for name in title.synonyms if name]:
        first, rest = f'<i class="grey">{escape(names[0])}</i>', "".join(f", {escape(name)}" for name in names[1:])
        more = f'<input class="read_more" type="checkbox"><span id="text-synonyms" class="hidden">{rest}</span>'
        blocks.append(line("synonyms", "Synonyms", f"{first}{more if rest else ''}"))
    items = "".join(f"<li>{block}</li>\n" for block in blocks)
    picture = f'<figure><img src="{cover(title, 300 if is_old else 600)}" alt="" id="details-cover"></figure>'
    return (
        f'<section id="information"><h2>Information</h2><div>{picture}\n'
        f'<ul class="xlist row simple infoblock">\n{items}</ul></div></section>'
    )


def origin_block(title: Title, is_old: bool) -> str:
    """What is said of the release in its own country; without a Japanese name that is not Japan."""
    language, native = ("ja", f' <div class="grey">{escape(title.japanese)}</div>') if title.japanese else ("zh", "")
    name = f'<div class="title" lang="{language}"><strong class="f16">{escape(title.romaji)}</strong>{native}</div>\n'
    targets = sorted({TARGETS[number] for number in title.genres if number in TARGETS})
    return (
        name
        + line("type", "Type", type_text(title) + duration(title))
        + line("status", "Status", STATUSES.get(title.status or ""))
        + line("released", "Release Date" if is_old else "Published", released(title))
        + line("company", "Studio", ", ".join(map(studio, title.studios)))
        + line("adapted", "Adapted From", ORIGINS.get(title.origin, title.origin.replace("_", " ").title()))
        + line("targets", "Target Group", ", ".join(targets) if is_old else None)
    )


def english_block(title: Title, english: str, is_old: bool) -> str:
    """Released elsewhere a year later; a line of a publisher, which is no studio."""
    year = title.aired_on[0]
    return (
        f'<div class="title" lang="en"><strong class="f16">{escape(english)}</strong></div>\n'
        + line("status", "Status", "Completed" if title.status == "released" else "Upcoming")
        + line("released", "Release Date" if is_old else "Published", str(year + 1) if year else "?")
        + line("company", "Publisher", '<a href="company/1,harbour-media">Harbour Media</a>')
    )


def studio(name: str) -> str:
    """A link to its page."""
    return f'<a href="company/{len(name)},{slug_of(name)}">{escape(name)}</a>'


def type_text(title: Title) -> str:
    """``TV-Series, 12``; ``TV-Series, 5+/12`` while it runs; ``?`` for an unknown number."""
    planned = str(title.episodes or "?")
    return f"{KINDS[title.kind]}, {f'{title.aired}+/{planned}' if title.status == 'ongoing' else planned}"


def duration(title: Title) -> str:
    """Minutes of an episode, here and there one off."""
    minutes = title.duration + (oddities(f"{SOURCE} minutes", title).randrange(8) == 0)
    if not title.duration:
        return ""
    iso = f"PT{minutes // 60}H{minutes % 60}M"
    return f' <i>(&#126;<time datetime="{iso}">{minutes} min</time>)</i>'


def released(title: Title) -> str:
    """``04.10.2006 - 27.06.2007``, as much as is known of each; one day stands alone."""
    first, last = day_text(title.aired_on), day_text(title.released_on)
    if first == "?" or (title.episodes == 1 and title.status == "released"):
        return first
    return first + DASH + last


def day_text(day: Day) -> str:
    """``04.10.2006``, ``10.2006``, ``2006`` or ``?``."""
    year, month, number = day
    known = [number if month else None, month, year]
    return ".".join(f"{part:02}" for part in known if part) if year else "?"


def genres(title: Title) -> str:
    """The cloud: the first genre is the main one, and it stands among the subsidiary ones again."""
    links = [genre("main", "gg", number) for number in main_genre(title)]
    for number in title.genres:
        is_tag = GENRES[number][2] != "genre"
        links.append(genre("tag", "gt", number) if is_tag else genre("subsidiary", "gc", number))
    return f'<ul class="cloud">{"".join(f"<li>{link}</li>" for link in links)}</ul>'


def main_genre(title: Title) -> list[int]:
    """The first of them that is no tag; empty where there is none."""
    return [number for number in title.genres if GENRES[number][2] == "genre"][:1]


def genre(group: str, style: str, number: int) -> str:
    """One link of the cloud."""
    name = GENRES[number][0]
    return f'<a rel="nofollow" href="anime/genre/{group}/{slug_of(name)}" class="{style}">{name}</a>'


def description(title: Title) -> str:
    """An English text, or the plea for one."""
    if title.description is None:
        return f'<div class="textblock details-text"><div class="helptext">{PLEA}</div></div>'
    text = f"This is what {escape(title.romaji)} tells.<br><br>Its end is <em>not</em> given away here. "
    source = '<i class="hidden"><br><br>Source: www.anisearch.com</i>'
    return f'<button lang="en">English</button><div lang="en" class="textblock details-text">{text}{source}</div>'


def shown_characters(title: Title) -> str:
    """Some of the cast; an empty section where nobody is known."""
    roles = cast(title)[:SHOWN_CHARACTERS]
    if not roles:
        return '<section id="characters" class="empty"><h2>Characters</h2></section>'
    return f'<section id="characters"><h2>Characters</h2><ul>{"".join(map(role_link, roles))}</ul></section>'


def role_link(role: Role) -> str:
    """One character in a list."""
    place = f"{role.number // 1000}/{role.number}"
    return (
        f'<li><a href="character/{role.number},{slug_of(role.name)}" data-bg="character/cover/full/{place}.webp">'
        f'<span class="title">{escape(role.name)}</span></a><span class="favorites">21 ❤</span></li>'
    )


def relations(title: Title, world: World, is_old: bool) -> str:
    """The preview; no section at all where there is nothing."""
    items = []
    for kind, target, number, name in title.related:
        own = id_at(SOURCE, world.titles[number]) if target == "anime" and number in world.titles else str(number)
        if own is not None:
            items.append(
                relation(f"{target}/{own},{slug_of(name)}", name, target, RELATIONS.get(kind, "Other"), is_old)
            )
    if not items:
        return ""
    return (
        f'<section id="{"relations2" if is_old else "relations"}"><h2>Relations</h2><ul>{"".join(items)}</ul></section>'
    )


def relation(href: str, name: str, target: str, label: str, is_old: bool) -> str:
    """One related work; the old layout says what it is behind the link."""
    if is_old:
        return f'<li><a href="{href}">{escape(name)}</a><span>{target.title()}: {label}</span></li>'
    return f'<li><a href="{href}"><span class="title">{escape(name)}</span><span class="header">{label}</span></a></li>'


def ratings(title: Title) -> str:
    """The table with the second digit, which JSON-LD lacks."""
    mean, _ = rating(title)
    value = f"Calculated Value<b>{mean:.2f} = {mean * 20:.0f}%</b>"
    return f'<section id="ratings"><table id="ratingstats"><tbody><tr><td>{value}</td></tr></tbody></table></section>'
