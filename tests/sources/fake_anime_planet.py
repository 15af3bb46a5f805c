"""Anime-Planet's listings, pages and searches, as little of each as a spider needs."""

from __future__ import annotations

import html
from urllib.parse import parse_qs, urlsplit

from scrapy import Request
from scrapy.http import HtmlResponse, TextResponse

BASE = "https://www.anime-planet.com"


class FakeAnimePlanet:
    """Titles by number; listings of five, by name or newest first, that may change between any two requests."""

    def __init__(self, count: int, page_size: int = 5) -> None:
        self.page_size = page_size
        self.slugs = {number: f"title-{number:03}" for number in range(1, count + 1)}
        self.renamed: dict[str, str] = {}
        self.years: dict[int, str] = {}
        self.has_bars = True
        self.moved_up: list[int] = []
        self.cast: dict[str, list[str]] = {}
        self.blocks_at: int | None = None
        self.repeats_last_page = False
        self.ends_at: int | None = None
        self.asked: list[str] = []

    def add(self, count: int = 1) -> None:
        for _ in range(count):
            number = max(self.slugs) + 1
            self.slugs[number] = f"title-{number:03}"

    def __call__(self, request: Request) -> TextResponse:
        assert request.url.startswith(BASE)
        parts = urlsplit(request.url)
        self.asked.append(request.url.removeprefix(BASE))
        if self.blocks_at is not None and len(self.asked) >= self.blocks_at:
            return page(request, "<title>Just a moment...</title>", 403)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/anime/all":
            return page(request, self.search(query["name"]) if "name" in query else self.listing(query))
        section, slug, *part = parts.path.strip("/").split("/")
        if slug in self.renamed:
            return moved(request, f"{BASE}/anime/{self.renamed[slug]}")
        if section == "characters":
            return page(request, character(slug))
        if slug not in self.slugs.values():
            return page(request, search_result(slug))
        return page(request, characters(slug, self.cast.get(slug, [])) if part else detail(slug, self.years_of(slug)))

    def years_of(self, slug: str) -> str:
        return next((self.years[n] for n, other in self.slugs.items() if other == slug and n in self.years), "2014")

    def listing(self, query: dict[str, str]) -> str:
        numbers = sorted(self.slugs, reverse=query["sort"] == "recent")
        if query["sort"] == "recent":
            numbers = [*self.moved_up, *(number for number in numbers if number not in self.moved_up)]
        at, last = int(query["page"]), -(-len(numbers) // self.page_size)
        bars = self.years if self.has_bars else {}
        if self.repeats_last_page:
            return listing(
                [(n, self.slugs[n]) for n in numbers[-self.page_size :]],
                at,
                at + 1,
                bars,
            )
        shown = numbers[(at - 1) * self.page_size : at * self.page_size]
        return listing([(n, self.slugs[n]) for n in shown], at, last, bars, ends=at == self.ends_at)

    def search(self, name: str) -> str:
        words = name.casefold().replace(":", "")
        found = [(n, slug) for n, slug in self.slugs.items() if words in title_of(slug).casefold()]
        return listing(found[: self.page_size], 1, 1)


def title_of(slug: str) -> str:
    return slug.replace("-", " ").title()


def page(request: Request, body: str, status: int = 200) -> HtmlResponse:
    return HtmlResponse(request.url, status=status, body=f"<html><head></head><body>{body}</body></html>".encode())


def moved(request: Request, to: str) -> TextResponse:
    return TextResponse(request.url, status=301, headers={"Location": to})


def detail(slug: str, years: str = "2014") -> str:
    return (
        f'<h1 itemprop="name">{title_of(slug)}</h1><section class="pure-g entryBar"><span class="type">TV</span>'
        f'<span class="iconYear">{years}</span></section><div class="entrySynopsis"><img itemprop="image" src="/x.jpg">'
        f'<div class="md-3-5"></div><form class="myListBar" data-id="1"></form></div>'
    )


def characters(slug: str, cast: list[str]) -> str:
    links = "".join(f'<a class="name" href="/characters/{one}">{one}</a>' for one in cast)
    return f'<h1 itemprop="name">{title_of(slug)}</h1>{links}'


def character(slug: str) -> str:
    row = '<tr><td><a href="/anime/title-002">x</a></td><td>Main</td><td><div class="flag flagJP">jp. '
    return (
        f'<h1 itemprop="name">{slug.title()}</h1><section class="pure-g entryBar"></section><h3>Anime Roles</h3>'
        f'<table>{row}<a href="/people/ana">Ana X</a></div></td></tr></table>'
    )


def search_result(slug: str) -> str:
    card = '<li data-type="anime" data-id="1"><a href="/anime/title-001">Popular</a></li>'
    return f"<h1>You searched for {slug}</h1><h3>...but we couldn't find anything.</h3>{card}"


def listing(
    found: list[tuple[int, str]], at: int, last: int, years: dict[int, str] | None = None, *, ends: bool = False
) -> str:
    bars = {n: f'<ul class="entryBar"><li class="iconYear">{text}</li></ul>' for n, text in (years or {}).items()}
    tooltips = {number: html.escape(bars.get(number, "<ul></ul>")) for number, _ in found}
    cards = "".join(
        f'<li data-type="anime" data-id="{number}"><a title="{tooltips[number]}" href="/anime/{slug}">'
        f'<h3 class="cardName">{title_of(slug)}</h3></a></li>'
        for number, slug in found
    )
    pages_ = "".join(f'<li><a href="/anime/all?page={n}">{n}</a></li>' for n in range(1, last + 1))
    next_ = '<li class="next"><a href="/anime/all?page=0"></a></li>' if at < last and not ends else ""
    return (
        f'<h1 itemprop="name">Browse anime</h1><ul class="cardDeck">{cards}</ul>'
        f'<div class="pagination"><ul>{pages_}{next_}</ul></div>'
    )
