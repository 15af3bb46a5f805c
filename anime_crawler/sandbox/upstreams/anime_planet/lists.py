"""Anime-Planet's listing, what a search does not find, and characters."""

from __future__ import annotations

from html import escape

from anime_crawler.sandbox.upstreams.anime_planet.pages import (
    SITE,
    aka,
    character_slug,
    frame,
    image,
    name_of,
    rating,
    shielded,
    slug,
    synopsis,
    tags,
    type_text,
    years,
)
from anime_crawler.sandbox.world.elsewhere import Role, cast, slug_of
from anime_crawler.sandbox.world.works import Title


def characters(title: Title) -> str:
    """All of the cast; who plays what is said on the page of each."""
    rows = "".join(
        f'<tr><td><a class="name" href="/characters/{character_slug(role)}">{escape(role.name)}</a></td></tr>\n'
        for role in cast(title)
    )
    head = f'<link rel="canonical" href="{SITE}/anime/{slug(title)}/characters">'
    name = name_of(title)
    return frame(f"{name} Characters", f'<h1 itemprop="name">{shielded(name)}</h1><table>{rows}</table>', head)


def character(parts: list[tuple[Title, Role]]) -> str:
    """A character with its role and its voice in each of its anime."""
    _, role = parts[0]
    rows = "".join(map(_part, *zip(*parts, strict=True)))
    body = (
        f'<h1 itemprop="name">{escape(role.name)}</h1><section class="pure-g entryBar"></section>'
        f"<h3>Anime Roles</h3><table><tbody>{rows}</tbody></table>"
    )
    return frame(role.name, body, f'<link rel="canonical" href="{SITE}/characters/{character_slug(role)}">')


def _part(title: Title, role: Role) -> str:
    part = "Main" if role.main else "Secondary"
    voice = f'<div class="flag flagJP">jp.\n <a href="/people/{slug_of(role.voice)}">{escape(role.voice)}</a></div>'
    anime = f'<a href="/anime/{slug(title)}">{shielded(name_of(title), in_link=True)}</a>'
    return f"<tr><td>{anime}</td><td>{part}</td><td>{voice}</td></tr>"


def listing(titles: list[Title], number: int, last: int) -> str:
    """A page of cards, and links to others: a few of them, the last among them."""
    numbers = sorted({1, 2, 3, number, last} & set(range(1, last + 1)))
    links = "".join(f'<li><a href="/anime/all?page={n}">{n}</a></li>' for n in numbers)
    following = f'<li class="next"><a href="/anime/all?page={number + 1}"></a></li>' if number < last else ""
    cards = "".join(map(card, titles))
    body = (
        f'<h1 itemprop="name">Browse anime</h1><ul class="cardDeck cardGrid" data-type="anime">{cards}</ul>'
        f'<div class="pagination aligncenter"><ul class="nav">{links}<li class="pagDots">...</li>{following}</ul></div>'
    )
    return frame("Browse All Anime", body, f'<link rel="canonical" href="{SITE}/anime/all" />')


def card(title: Title) -> str:
    """One entry; most of it is escaped HTML for a tooltip."""
    name = name_of(title)
    return (
        f'<li data-type="anime" data-id="{title.id}" data-total-episodes="{title.episodes}" class="card">'
        f'<a title="{escape(tooltip(title))}" href="/anime/{slug(title)}" class="tooltip anime{title.id}">'
        f'<img alt="" data-src="{image(title, "285x399")}" />'
        f'<h3 class="cardName">{shielded(name, in_link=True)}</h3></a></li>\n'
    )


def tooltip(title: Title) -> str:
    """Missing pieces are left out, so that place says nothing."""
    mean, _ = rating(title)
    bar = [
        f"<li class='type'>{type_text(title)}</li>",
        f"<li>{escape(title.studios[0])}</li>" if title.studios else "",
        f"<li class='iconYear'>{years(title)}</li>" if years(title) else "",
        f"<li><div class='ttRating'>{mean:.1f}</div></li>" if mean else "",
    ]
    other = f"<h6>{escape(aka(title))}</h6>" if aka(title) else ""
    names = "".join(f"<li>{name}</li>" for name in tags(title))
    return (
        f"<h5>{escape(name_of(title))}</h5>{other}<ul class='entryBar'>{''.join(bar)}</ul>"
        f"<p>{escape(synopsis(title))}</p><div class='tags'><h4>Tags</h4><ul>{names}</ul></div>"
    )


def nothing_found(words: str) -> str:
    """Where a removed slug leads: a search that finds nothing."""
    body = f"<h1>You searched for {escape(words)}</h1>\n<h3>...but we couldn't find anything.</h3>"
    return frame(f"Search Results for {words}", body)
