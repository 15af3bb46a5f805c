"""The simulated AniDB: errors with status 200, gzip unasked, a dump once a day, and bans that each request prolongs."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
import requests

from anime_crawler.items import Absent, Anime, Character, Episode, Rejected
from anime_crawler.sandbox.server.control import Control, RefusedError
from anime_crawler.sandbox.server.limits import anidb_limits
from anime_crawler.sandbox.server.services import Options, Services
from anime_crawler.sandbox.server.wire import Call, Reply
from anime_crawler.sandbox.upstreams.anidb.service import Anidb
from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sandbox.world.mutation import Mutator
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources.anidb.parse import parse_file
from anime_crawler.sources.anidb.schema import drift, root_from_body

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CLIENT = {"request": "anime", "client": "tests", "clientver": "1", "protover": "1"}
KNOWN = known_at("anidb", World(seed=2, titles=60))
Ask = Callable[..., Reply]


@pytest.fixture
def anidb() -> Anidb:
    return Anidb(World(seed=2, titles=60))


def ask(anidb: Anidb, path: str = "/httpapi", headers: dict[str, str] | None = None, **params: str) -> Reply:
    query = requests.models.RequestEncodingMixin._encode_params(params)
    given = {"user-agent": "tests", **(headers or {})}
    return anidb.answer(Call("anidb", "GET", path, query, given, b"", "http://x/anidb"))


def dump(anidb: Anidb, **headers: str) -> Reply:
    return ask(anidb, "/api/anime-titles.xml.gz", {name.replace("_", "-"): value for name, value in headers.items()})


def items(reply: Reply) -> list[Any]:
    return list(parse_file(reply.body, "answer", NOW))


def test_every_anime_that_it_knows_is_understood_without_drift(anidb):
    """Types, partial dates, specials and credits, casts; nothing is set aside."""
    found: list[Any] = []
    for aid in KNOWN:
        reply = ask(anidb, aid=aid, **CLIENT)
        assert drift(root_from_body(reply.body)) == {}
        found += items(reply)
    assert [item.source_id for item in found if type(item) is Anime] == list(KNOWN)
    assert {type(item) for item in found} == {Anime, Episode, Character}
    assert not any(isinstance(item, Rejected | Absent) for item in found)
    assert sum(item.external_ids.get("mal") is not None for item in found if type(item) is Anime) > len(KNOWN) / 2


def test_the_dump_names_what_it_knows_with_the_words_of_the_dump(anidb):
    """Each once, gzip, `syn` for synonyms, back-ticks for apostrophes, and the same titles as the API."""
    reply = dump(anidb)
    assert drift(root_from_body(reply.body)) == {}
    assert [item.source_id for item in items(reply)] == list(KNOWN)
    text = gzip.decompress(reply.body).decode()
    assert 'type="syn"' in text
    assert "'" not in text.partition("?>")[2]
    api = next(item for item in items(ask(anidb, aid=next(iter(KNOWN)), **CLIENT)))
    assert api.titles == items(reply)[0].titles


def test_the_dump_is_given_once_a_day_and_to_nobody_without_a_name(anidb):
    """A second time is refused, and counts; after a day it tells whether anything has changed."""
    assert ask(anidb, "/api/anime-titles.xml.gz", {"user-agent": ""}).status == 403
    anidb.world.now += 86_400
    modified = dump(anidb).headers["last-modified"]
    assert dump(anidb).status == 403
    anidb.world.now += 86_400
    assert dump(anidb, if_modified_since=modified).status == 304
    anidb.world.now += 86_400
    Mutator(anidb.world).apply("rename", {"shikimori_id": next(iter(KNOWN.values())).id})
    changed = dump(anidb, if_modified_since=modified)
    assert (changed.status, changed.headers["last-modified"]) == (200, formatdate(anidb.world.now, usegmt=True))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"clientver": "1.0"}, '<error code="302">client version missing or invalid</error>'),
        ({"client": "Tests"}, '<error code="302">client version missing or invalid</error>'),
        ({"protover": ""}, '<error code="302">client version missing or invalid</error>'),
        ({"request": "main"}, '<error code="310">illegal input or access denied</error>'),
        ({"aid": "x"}, '<error code="998">aid missing or invalid</error>'),
        ({"aid": "4999"}, "<error>Anime not found</error>"),
    ],
)
def test_every_error_is_a_200_and_gzip(anidb, wrong, error):
    """Client, version and protocol must be there; an unknown anime has no code."""
    reply = ask(anidb, **{**CLIENT, "aid": next(iter(KNOWN)), **wrong})
    assert (reply.status, gzip.decompress(reply.body).decode()) == (200, error)


def test_some_bodies_begin_with_a_byte_order_mark(anidb):
    """Every fifth."""
    bodies = {aid: gzip.decompress(ask(anidb, aid=aid, **CLIENT).body) for aid in KNOWN}
    assert {aid for aid, body in bodies.items() if body.startswith(b"\xef\xbb\xbf")} == {
        aid for aid in KNOWN if int(aid) % 5 == 0
    }


def test_who_breaks_a_limit_is_banned_with_status_200_and_each_request_is_another_breach():
    """Two at once: the second is banned, and so is everything after it, however slow."""
    limiter = anidb_limits(enforced=True)
    assert limiter.check() is None
    replies = [limiter.check(), limiter.check()]
    assert [(r.status, r.body) for r in replies if r] == [(200, b'<error code="500">banned</error>')] * 2
    limiter.windows.clear()
    assert limiter.check() is not None
    assert (limiter.violations, limiter.refused) == (3, 3)
    assert anidb_limits(enforced=False).check() is None


def test_a_service_can_be_given_limits_of_the_tests_own():
    """Enforced although the sandbox has none; a wrong wish is refused with what is right."""
    services = Services(Options(titles=2, enforced=False))
    control, limiter = Control(services), services.limiters["anidb"]
    assert [limiter.check() for _ in range(3)] == [None] * 3
    control.limits({"service": "anidb", "limits": "1/day"})
    assert [limiter.check() is None for _ in range(2)] == [True, False]
    for wrong in ({"service": "anidb", "limits": "many"}, {"service": "nobody", "limits": "1/day"}):
        with pytest.raises(RefusedError):
            control.limits(wrong)
