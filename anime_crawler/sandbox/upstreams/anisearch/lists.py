"""AniSearch's index, and the characters and episodes of an anime."""

from __future__ import annotations

from datetime import date, timedelta
from html import escape

from anime_crawler.sandbox.upstreams.anisearch.pages import (
    PICTURES,
    about,
    cover,
    frame,
    line,
    link_of,
    main_genre,
    own_id,
    rating,
    role_link,
    type_text,
)
from anime_crawler.sandbox.world.elsewhere import Role, cast, slug_of
from anime_crawler.sandbox.world.words import GENRES, HENTAI
from anime_crawler.sandbox.world.works import Day, Title


def index(titles: list[Title], number: int, pages: int) -> str:
    """A page of the index. The last one has no link to itself; the bar stands above and below."""
    before = f'<li><a href="anime/index/page-{number - 1}" class="pagenav-prev"></a></li>' if number > 1 else ""
    after = ""
    if number < pages:
        after = (
            f'<li><a href="anime/index/page-{number + 1}" class="pagenav-next"></a></li>'
            f'<li><a href="anime/index/page-{pages}" class="pagenav-last" title="Page {pages}"></a></li>'
        )
    bar = f'<ul class="pagenav">{before}{after}</ul>' if before or after else ""
    rows = "\n".join(map(index_row, titles))
    head = "<thead><tr><th>Title</th></tr></thead>"
    return frame(f'{bar}<table class="responsive-table mtC">{head}<tbody>\n{rows}\n</tbody></table>{bar}')


def index_row(title: Title) -> str:
    """One anime; pictures for adults are hidden behind one of all."""
    hidden = f"{PICTURES}/anime/cover/hentai.v1.400.webp"
    picture = f'<img src="{hidden if HENTAI in title.genres else cover(title, 400)}" alt="">'
    mean, _ = rating(title)
    value = f'{mean:.2f} <span class="grey"> = {mean * 20:.0f}%</span>' if mean else ""
    main = ", ".join(GENRES[number][0] for number in main_genre(title))
    return (
        f'<tr><th scope="row" class="showpop" data-tooltip="{escape(picture)}">'
        f'<a href="{link_of(title)}" lang="ja">{escape(title.romaji)}</a></th>'
        f'<td data-title="Type / Episodes / Year">{type_text(title)}'
        f'<span class="addEpisode hidden showpop" data-id="{own_id(title)}"></span> ({title.aired_on[0] or "?"})</td>'
        f'<td data-title="Main genres">{main}</td><td data-title="Calculated Value">{value}</td></tr>'
    )


def characters(title: Title) -> str:
    """Everybody by role."""
    roles = cast(title)
    sections = [("chara1", [r for r in roles if r.main]), ("chara2", [r for r in roles if not r.main])]
    shown = [
        f'<section id="{name}"><ul>{"".join(map(role_link, some))}</ul></section>' for name, some in sections if some
    ]
    return frame("\n".join(shown), about("anime", own_id(title)))


def character(role: Role) -> str:
    """A character's own page, with a name that is a spoiler and must not be taken for one."""
    spoiler = '<div><em><span class="cspoiler1 red hidden"><i>Kage</i> <span class="grey">影</span></span></em></div>'
    voice = f'<a href="person/{role.number},{slug_of(role.voice)}">{escape(role.voice)}</a>'
    block = (
        f'<li><div class="title" lang="ja"><strong class="f16">{escape(role.name)}</strong>{spoiler}</div>\n'
        f"{line('seiyuu', 'Voice Actors', voice)}</li>"
    )
    picture = f'<img src="{PICTURES}/character/cover/{role.number // 1000}/{role.number}_400.webp" id="details-cover">'
    body = (
        f'<h1 id="htitle">{escape(role.name)}</h1><section id="information">{picture}<ul class="infoblock">{block}</ul>'
    )
    return frame(f"{body}</section>", about("character", str(role.number)))


def episodes(title: Title) -> str:
    """What has aired, and a row of question marks for each that will."""
    aired = title.aired or (title.episodes if title.status == "released" else 0)
    rows = [episode_row(title, number, number <= aired) for number in range(1, max(aired, title.episodes) + 1)]
    table = f'<table class="episodes"><tbody>\n{"".join(rows)}</tbody></table>'
    return frame(f'<section id="episodes">{table}</section>', about("anime", own_id(title)))


def episode_row(title: Title, number: int, is_aired: bool) -> str:
    """One episode; every twelfth looks back."""
    recap = "<span>Recap</span>" if number % 12 == 0 else ""
    day = episode_day(title.aired_on, number)
    runtime = f'<div lang="ja">{title.duration} min</div>' if is_aired and title.duration else "?"
    shown = f'<div lang="ja">{day:%d. %b %Y}</div>' if is_aired and day else "?"
    name = f'<div lang="ja"><span itemprop="name">Dai {number}-wa (第{number}話)</span></div>' if is_aired else ""
    return (
        f'<tr data-episode="true"><th itemprop="episodeNumber">{number}{recap}</th>'
        f'<td data-title="Runtime">{runtime}</td><td data-title="Date of Original Release">{shown}</td>'
        f'<td data-title="Title">{name}</td></tr>\n'
    )


def episode_day(first: Day, number: int) -> date | None:
    """One a week; ``None`` where the first day is not known in full."""
    year, month, day = first
    return date(year, month, day) + timedelta(weeks=number - 1) if year and month and day else None
