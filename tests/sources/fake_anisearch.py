"""AniSearch as a list of ids: index, search, details, characters, episodes, and whatever a test makes it answer."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from scrapy import Request
from scrapy.http import HtmlResponse

FRAME = '<html lang="en"><head></head><body><div id="content-outer"{}>{}</div></body></html>'
CAST = '<section id="characters"></section>'
CHALLENGE = "<html><head><title>Just a moment...</title></head><body></body></html>"


def row(own: int) -> str:
    return f'<tr><th scope="row"><a href="anime/{own},x" lang="ja">Title {own}</a></th><td>OVA, 1 (2020)</td></tr>'


def about(own: int, body: str) -> str:
    return FRAME.format(f' data-type="anime" data-id="{own}"', body)


def detail(own: int, status: str = "Completed", characters: str = "") -> str:
    lines = f'<div class="type">OVA, 1</div><div class="status"><span class="header">Status:</span> {status}</div>'
    title = f'<div class="title" lang="ja"><strong>Title {own}</strong></div>'
    block = f'<ul class="infoblock"><li>{title}{lines}</li></ul>'
    cover = '<img id="details-cover" src="anime/cover/0.webp">'
    rest = '<section id="description"></section><table id="ratingstats"></table>'
    rest += '<script type="application/ld+json">{}</script>'
    return about(own, f'<section id="information">{cover}{block}</section>{rest}{characters}')


class FakeAniSearch:
    """Lists `ids` by title (their order) or newest first (the order they came in), `size` a page."""

    def __init__(self, count: int, size: int = 3) -> None:
        self.ids = list(range(1, count + 1))
        self.size = size
        self.status: dict[int, str] = {}
        self.answers: dict[str, tuple[int, str]] = {}
        self.locations: dict[str, str] = {}
        self.paths: list[str] = []

    def __call__(self, request: Request) -> HtmlResponse:
        path, query = urlsplit(request.url).path, parse_qs(urlsplit(request.url).query)
        self.paths.append(path)
        status, body = self.answers.get(path) or self.answer(path, query)
        headers = {"Location": self.locations[path]} if path in self.locations else {}
        status = 301 if headers else status
        return HtmlResponse(request.url, status=status, headers=headers, body=body.encode(), request=request)

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str]:
        if "text" in query:
            found = [own for own in self.ids if query["text"][0].casefold().replace(":", "") in f"title {own}"]
            return 200, FRAME.format("", self.table(found, ""))
        if match := re.fullmatch(r"/anime/index/page-(\d+)", path):
            return 200, self.index(int(match[1]), newest_first=query["sort"] == ["date"])
        if match := re.fullmatch(r"/anime/(\d+)[^/]*(/characters|/episodes)?", path):
            own = int(match[1])
            if own not in self.ids:
                return 404, FRAME.format("", "404")
            return 200, self.part(own, match[2]) if match[2] else detail(own, self.status.get(own, "Completed"), CAST)
        return 404, "nothing"

    def index(self, page: int, *, newest_first: bool) -> str:
        listed = sorted(self.ids, reverse=True) if newest_first else self.ids
        shown = listed[(page - 1) * self.size : page * self.size]
        pages = -(-len(listed) // self.size)
        last = f'<a class="pagenav-last" title="Page {pages}"></a>'
        return FRAME.format("", self.table(shown, f'<a class="pagenav-next"></a>{last}' if page < pages else ""))

    def table(self, ids: list[int], bar: str) -> str:
        return f'{bar}<table class="responsive-table"><tbody>{"".join(map(row, ids))}</tbody></table>'

    def part(self, own: int, part: str) -> str:
        if part == "/characters":
            link = f'<a href="character/{own},x"><span class="title">Hero {own}</span></a>'
            return about(own, f'<section id="chara1">{link}</section>')
        row = '<tr data-episode="true"><th itemprop="episodeNumber">1</th></tr>'
        return about(own, f'<section id="episodes"><table>{row}</table></section>')

    def details(self) -> Counter[int]:
        """How often each anime's page was asked for."""
        found = (re.fullmatch(r"/anime/(\d+)", path) for path in self.paths)
        return Counter(int(match[1]) for match in found if match)

    def pages(self) -> int:
        return sum("/index/page-" in path for path in self.paths)
