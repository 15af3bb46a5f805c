"""Answers that changed their words, and records that are no longer there: behind a relay that changes what comes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

Change = Callable[[str, bytes], bytes | None]
"""Gives the body to answer with, of the path and the sandbox's own; ``None``: it is not found."""


class Relay:
    """Stands in front of the sandbox."""

    def __init__(self, upstream: str) -> None:
        self.change: Change = lambda path, body: body
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    with urlopen(Request(upstream + self.path)) as answer:
                        status, kind, body = answer.status, answer.headers["Content-Type"], answer.read()
                except HTTPError as error:
                    status, kind, body = error.code, error.headers["Content-Type"], error.read()
                changed = relay.change(self.path, body)
                if changed is None:
                    status, changed = 404, json.dumps({"status": 404, "type": "BadResponseException"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(changed)))
                self.end_headers()
                self.wfile.write(changed)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def relayed(quick_project) -> Iterator[tuple[Any, Relay]]:
    """A project whose sources are asked through a relay, and the relay."""
    given = quick_project.sandbox.environment
    upstream = re.match(r"http://[^/]+", given["JIKAN_BASE_URL"])[0]
    relay = Relay(upstream)
    names = [name for name in given if name.endswith("_BASE_URL") and name != "BACKEND_BASE_URL"]
    addresses = {name: given[name].replace(upstream, relay.url) for name in names}
    quick_project.environment |= {**addresses, "ENABLE_HTTP_CACHE": "0"}
    thread = threading.Thread(target=relay.server.serve_forever, daemon=True)
    thread.start()
    yield quick_project, relay
    relay.server.shutdown()
    relay.server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("source", "renamed", "vanished"),
    [
        ("anime_planet", {b"<h4>Tags</h4>": b"<h4>Labels</h4>", b"avgRating": b"average"}, ["tags"]),
        ("anisearch", {b'"cloud': b'"genres', b"details-text": b"text"}, ["genres", "description"]),
        ("jikan", {b'"synopsis"': b'"summary"', b'"images"': b'"pictures"'}, ["description", "poster"]),
    ],
)
def test_a_walk_whose_pages_were_renamed_wipes_nothing(relayed, source, renamed, vanished):
    """What was stored stays to the byte, exit code 1, and the report names what is missing."""
    project, relay = relayed
    done = project.run("crawl", source, "-a", "mode=full")
    assert done.returncode == 0, done.stderr
    before = project.records("anime")

    def rename(path: str, body: bytes) -> bytes:
        for old, new in renamed.items():
            body = body.replace(old, new)
        return body

    relay.change = rename
    done = project.run("crawl", source, "-a", "mode=full")
    assert done.returncode == 1, done.stderr
    assert project.records("anime") == before
    assert (source, "vanished") in project.problems()
    counted = project.report()["counters"][f"drift {source}"]
    assert {f"vanished anime.{name}" for name in vanished} <= counted.keys()


def test_a_walk_in_which_all_titles_have_one_text_and_one_picture_replaces_none(relayed):
    """No word of the answers has another name; exit code 1, and the report says what is no title's own any more."""
    project, relay = relayed
    assert project.run("crawl", "jikan", "-a", "mode=full").returncode == 0
    before = project.records("anime")

    def say_the_same(path: str, body: bytes) -> bytes:
        body = re.sub(rb'"synopsis":\s*"(?:[^"\\]|\\.)*"', b'"synopsis":"A text will be added soon."', body)
        return re.sub(rb'"(https?:)[^"]*/images/anime/[^"]*"', rb'"\1//cdn.myanimelist.net/images/soon.jpg"', body)

    relay.change = say_the_same
    done = project.run("crawl", "jikan", "-a", "mode=full")
    assert done.returncode == 1, done.stderr
    assert project.records("anime") == before
    assert "description (a value of its own) of" in " ".join(done.stderr.split())
    counted = project.report()["counters"]["drift jikan"]
    assert {"vanished anime.description.own", "vanished anime.poster.own"} <= counted.keys()


def test_ids_that_are_gone_are_said_and_marked_until_they_return(relayed):
    """By a 404 of MyAnimeList, and by an answer of Kitsu that lacks one of those that were asked for."""
    project, relay = relayed
    for source in ("jikan", "kitsu"):
        assert project.run("crawl", source, "-a", "mode=full").returncode == 0
    ids = {
        source: [row["source_id"] for row in project.records("anime") if row["source"] == source][:3]
        for source in ("jikan", "kitsu")
    }

    def remove(path: str, body: bytes) -> bytes | None:
        if f"/jikan/anime/{ids['jikan'][0]}/" in path:
            return None
        if not path.startswith("/kitsu/anime?"):
            return body
        answer = json.loads(body)
        answer["data"] = [row for row in answer["data"] if row["id"] != ids["kitsu"][0]]
        return json.dumps(answer).encode()

    for change, code in ((remove, 1), (relay.change, 0)):
        relay.change = change
        for source, named in ids.items():
            done = project.run("crawl", source, "-a", f"ids={','.join(named)}")
            assert done.returncode == code, done.stderr
            assert ((source, "id_not_found") in project.problems()) == bool(code)
            gone = [row["source_id"] for row in project.records("anime") if row["gone_at"] and row["source"] == source]
            assert gone == named[:code]
