"""A corpus of hostile values for every record: nothing of it may reach a viewer, a terminal or a request."""

from __future__ import annotations

from typing import Any

SCRIPTS = [
    "<script>fetch('//169.254.169.254/latest/meta-data')</script>",
    "<img src=x onerror=alert(1)>",
    "[url=javascript:alert(1)]открыть[/url]",
    "<svg/onload=alert(1)>",
    "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
]
LINKS = [
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//169.254.169.254/latest/meta-data",
    "http://[::1]:6379/",
    "http://127.0.0.1:22/",
    "file:///etc/passwd",
    "https://user:secret@kodikplayer.com/seria/1/0/720p",
    '//kodikplayer.com/seria/1/"><script>alert(1)</script>/720p',
]
NAMES = [
    "\x1b[31mКрасный\x1b[0m",
    "\x1b]0;owned\x07Заголовок",
    "Имя\u202eлевонаоборот",
    "Ноль\x00внутри",
    '=HYPERLINK("http://example.org")',
    "<b>Жирный</b>",
]


def malicious(record: dict[str, Any], index: int) -> None:
    """Put hostile values into a Kodik material or a GraphQL anime, another selection for each `index`."""
    name, script, link = (pool[index % len(pool)] for pool in (NAMES, SCRIPTS, LINKS))
    for field in ("title", "title_orig", "name", "russian"):
        if field in record:
            record[field] = f"{name} {record[field]}"
    if "description" in record:
        record["description"] = f"{record['description']} {script}"
    if record.get("poster"):
        record["poster"]["originalUrl"] = link
    if "material_data" in record:
        record["material_data"] |= {
            "description": script,
            "anime_description": script,
            "anime_title": name,
            "anime_poster_url": link,
            "poster_url": link,
        }
    _bad_links(record, link, index)


def _bad_links(record: dict[str, Any], link: str, index: int) -> None:
    """The first episode of the first season, and every third record's own link."""
    for season in list(record.get("seasons", {}).values())[:1]:
        for number in list(season.get("episodes", {}))[:1]:
            season["episodes"][number] = link
    if index % 3 == 0 and "link" in record:
        record["link"] = link
