"""AniDB: the day's dump of titles, and one anime at a time; every error is status 200, every body gzip."""

from __future__ import annotations

import gzip
import re
import time
from email.utils import formatdate

from anime_crawler.sandbox.server.wire import Call, Reply, html_reply
from anime_crawler.sandbox.upstreams.anidb.xml import anime_xml, dump_xml, error_xml
from anime_crawler.sandbox.world.elsewhere import OFFSETS, id_at, known_at
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

DUMP = "/api/anime-titles.xml.gz"
DAY_S = 86_400
EVERY_FIFTH = 5
"""How often a body begins with a byte order mark."""


class Anidb:
    """The service over one world; dump and API are two hosts at the real one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._body = b""
        self._modified = world.now
        self._dump_asked_at = float("-inf")

    def answer(self, call: Call) -> Reply:
        """What the real service would say."""
        if call.path == "/robots.txt":
            return Reply(200, b"User-agent: *\nDisallow: /perl-bin/\n", "text/plain")
        if call.path == DUMP:
            return self.dump(call)
        if call.path == "/httpapi":
            return self.api(call)
        return html_reply(404, "AniDB")

    def dump(self, call: Call) -> Reply:
        """The titles of all anime: once a day for each address, and for none that hides its name."""
        asked_before, self._dump_asked_at = self._dump_asked_at, self._present()
        if not call.headers.get("user-agent", "").strip() or self._present() - asked_before < DAY_S:
            return html_reply(403, "Forbidden")
        body = gzip.compress(dump_xml(known_at("anidb", self.world)), mtime=0)
        if body != self._body:
            self._body, self._modified = body, self.world.now
        modified = formatdate(self._modified, usegmt=True)
        if call.headers.get("if-modified-since") == modified:
            return Reply(304, b"", headers={"last-modified": modified})
        return Reply(200, body, "application/x-gzip", {"last-modified": modified})

    def _present(self) -> float:
        """Seconds: the world's present moves only when somebody moves it, real time goes on as well."""
        return self.world.now + time.monotonic()

    def api(self, call: Call) -> Reply:
        """``/httpapi``: gzip whether asked for or not."""
        xml = self._xml(call)
        return Reply(200, gzip.compress(xml, mtime=0), "text/xml; charset=UTF-8", {"content-encoding": "gzip"})

    def _xml(self, call: Call) -> bytes:
        params = call.params
        call.summary["aid"] = aid = params.get("aid", "")
        if not _is_registered(params.get("client", ""), params.get("clientver", ""), params.get("protover", "")):
            return error_xml("client version missing or invalid", "302")
        if params.get("request") != "anime":
            return error_xml("illegal input or access denied", "310")
        if not re.fullmatch(r"[1-9]\d{0,8}", aid):
            return error_xml("aid missing or invalid", "998")
        title = self._title(aid)
        if title is None:
            return error_xml("Anime not found")
        mark = b"\xef\xbb\xbf" if int(aid) % EVERY_FIFTH == 0 else b""
        return mark + anime_xml(title, self._related(title))

    def _title(self, aid: str) -> Title | None:
        title = self.world.titles.get(int(aid) - OFFSETS["anidb"])
        return title if title and id_at("anidb", title) else None

    def _related(self, title: Title) -> list[tuple[str, str, str]]:
        """(kind, id, name) of the related anime that AniDB knows."""
        found = ((kind, self.world.titles.get(n)) for kind, target, n, _ in title.related if target == "anime")
        return [(kind, aid, other.romaji) for kind, other in found if other and (aid := id_at("anidb", other))]


def _is_registered(client: str, version: str, protocol: str) -> bool:
    """Every name of small letters is; a version is a whole number, ``1.0`` is none."""
    return bool(re.fullmatch("[a-z]+", client)) and version.isdigit() and protocol == "1"
