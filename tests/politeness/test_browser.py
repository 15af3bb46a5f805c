"""Pages shown in the real Chromium: only what may be asked for is asked for, as every request is."""

from __future__ import annotations

import pytest
from aiohttp import web

from anime_crawler.settings import USER_AGENT

pytestmark = pytest.mark.usefixtures("chromium")

HOSTILE = """<!doctype html><html><head><link rel="stylesheet" href="/own.css"><link rel="icon" href="/own.ico">
<link rel="prefetch" href="/prefetched"></head><body>
<img src="/own.png"><video src="/own.mp4"></video><iframe src="/framed"></iframe>
<img src="{other}/tracker.gif"><script src="{other}/tracker.js"></script><script src="/cdn-cgi/check.js"></script>
<script src="/missing.js"></script><script src="/forbidden/ads.js"></script>
<script>
  navigator.sendBeacon("/beacon", "x"); new WebSocket("{socket}/socket"); window.open("/popup");
  fetch("/posted", {{method: "POST", body: "x"}}).catch(() => 0); new EventSource("/events");
  fetch("{other}/leak").catch(() => 0); navigator.serviceWorker?.register("/worker.js").catch(() => 0);
  alert("stop");
</script><script src="/own.js"></script></body></html>"""
OWN_SCRIPT = """fetch("/text.json").then((answer) => answer.json()).then((found) => {
  document.body.innerHTML = `<p id="text">${found.text} ${navigator.userAgent} ${document.cookie}</p>`;
})"""
HTML = {"content_type": "text/html", "charset": "utf-8"}


def serve(server, path, text, **options):
    server.answers[path] = [web.Response(text=text, **{**HTML, **options})]


def render(plan, *paths, **options):
    return plan(*paths, render=True, method="GET", one_by_one=True, **options)


def test_a_page_gets_its_own_scripts_and_nothing_else(server, plan):
    """Frames, pictures, beacons, sockets, pop-ups, other hosts and Cloudflare's checks: none is asked for."""
    from tests.politeness.crawl import crawl

    other = server.url.replace("127.0.0.1", "localhost")
    socket = server.url.replace("http", "ws")
    serve(server, "/robots.txt", "User-agent: *\nDisallow: /forbidden/", content_type="text/plain")
    serve(server, "/page", HOSTILE.format(other=other, socket=socket), headers={"Set-Cookie": "own=1"})
    serve(server, "/own.js", OWN_SCRIPT, content_type="text/javascript")
    serve(server, "/text.json", '{"text": "put in place"}', content_type="application/json")
    serve(server, "/missing.js", "", status=404)
    result = crawl(render(plan, "/page", "/page?again", obeys_robots=True))
    assert result.outcomes == {"/page": ("ok", 1), "/page?again": ("ok", 1)}
    assert f'<p id="text">put in place {USER_AGENT} </p>' in result.pages["/page"]
    page = ["/page", "/missing.js", "/own.js", "/text.json"]
    assert [arrival.path for arrival in server.arrivals] == ["/robots.txt", *page, *page]
    assert {arrival.headers["User-Agent"] for arrival in server.arrivals} == {USER_AGENT}
    assert not any("Cookie" in arrival.headers for arrival in server.arrivals)
    assert result.counters["requests"] == len(server.arrivals)
