"""Pages shown in the real Chromium: only what may be asked for is asked for, and as every request is."""

from __future__ import annotations

import pytest
from aiohttp import web
from scrapy.settings import Settings

from anime_crawler.config import Config, ConfigError
from anime_crawler.download.browser.chromium import browser_settings, find_chromium
from anime_crawler.settings import USER_AGENT
from anime_crawler.sources import cards
from tests.download.crawl import FAST, crawl
from tests.rate_limit.test_crawl import most_in_a_second

pytestmark = pytest.mark.usefixtures("chromium")

NOSY = """<!doctype html><html><head><link rel="stylesheet" href="/own.css"><link rel="icon" href="/own.ico">
<link rel="prefetch" href="/prefetched"><link rel="preconnect" href="{other}"></head><body>
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
  document.body.innerHTML = `<p>${found.text} ${navigator.userAgent} ${document.cookie}</p>`;
})"""
SIMPLE = "<html><body><script>document.body.textContent = 'by ' + 'script'</script></body></html>"
SHOWN = "<html><head></head><body>by script</body></html>"
JS, JSON = {"content_type": "text/javascript"}, {"content_type": "application/json"}


def serve(server, path, text, **options):
    server.answers[path] = [web.Response(text=text, **{"content_type": "text/html", "charset": "utf-8", **options})]


def page(script):
    return f"<html><body>raw<script>{script}</script></body></html>"


@pytest.fixture
def render(plan):
    """A crawl, one path after the other, whose pages Chromium shows."""
    return lambda *paths, **options: plan(*paths, render=True, method="GET", one_by_one=True, **options)


def test_a_page_gets_its_own_scripts_and_nothing_else(server, render):
    """No frame, picture, beacon, socket, pop-up, other host or Cloudflare's check; what is asked for, within limits."""
    other, socket = server.url.replace("127.0.0.1", "localhost"), server.url.replace("http", "ws")
    serve(server, "/robots.txt", "User-agent: *\nDisallow: /forbidden/", content_type="text/plain")
    serve(server, "/page", NOSY.format(other=other, socket=socket), headers={"Set-Cookie": "own=1"})
    serve(server, "/own.js", OWN_SCRIPT, **JS)
    serve(server, "/text.json", '{"text": "put in place"}', **JSON)
    serve(server, "/missing.js", "", status=404)
    result = crawl(render("/page", "/page?again", obeys_robots=True, limits="4/s"))
    assert result.outcomes == {"/page": ("ok", 1), "/page?again": ("ok", 1)}
    assert f"<p>put in place {USER_AGENT} </p>" in result.pages["/page"]
    asked = ["/page", "/missing.js", "/own.js", "/text.json"]
    paths = [arrival.path for arrival in server.arrivals]
    assert (paths[0], sorted(paths[1:])) == ("/robots.txt", sorted([*asked, *asked]))  # parts come at the same time
    assert {arrival.headers["User-Agent"] for arrival in server.arrivals} == {USER_AGENT}
    assert not any("Cookie" in arrival.headers for arrival in server.arrivals)
    assert result.counters["requests"] == len(server.arrivals)
    assert most_in_a_second([arrival.at for arrival in server.arrivals]) <= 4


def test_answers_are_judged_as_without_a_browser(server, render):
    """Errors, redirects, blocks, sizes and cut pages are the upstream's; a page in want of a part is no page."""
    leads = page("location.href = '/elsewhere'")
    serve(server, "/moved", leads, status=301, headers={"Location": "/elsewhere"})
    serve(server, "/down", leads, status=503)
    serve(server, "/cut", page("document.body.innerHTML = 'mended'").removesuffix("</html>"))
    serve(server, "/leads", leads)
    serve(server, "/grows", page("document.body.innerHTML = 'x'.repeat(3e6)"))
    serve(server, "/needs", '<html><body><script src="/status/503"></script></body></html>')
    serve(server, "/data", '{"a": "<script>"}', **JSON)
    serve(server, "/good", SIMPLE)
    names = ("moved", "down", "cut", "leads", "grows", "needs", "data", "banned", "good")
    server.answers["/banned"] = [web.Response(text="banned", content_type="text/html")]
    result = crawl(render(*(f"/{name}" for name in names if name != "banned"), "/banned", "/good?after"))
    assert result.outcomes == {
        "/moved": ("status_301", 1),
        "/down": ("server_error", 2),
        "/cut": ("ok", 1),
        "/leads": ("not_shown", 2),
        "/grows": ("too_large", 1),
        "/needs": ("server_error", 2),
        "/data": ("ok", 1),
        "/good": ("ok", 1),
        "/banned": ("banned", 1),
        "/good?after": ("resting", 0),
    }
    assert result.pages == {"/cut": page("document.body.innerHTML = 'mended'").removesuffix("</html>"), "/good": SHOWN}
    assert not server.at("/elsewhere")


@pytest.mark.slow
def test_a_shown_page_is_kept_apart_from_the_plain_one(server, render, plan):
    """Used again for the browser, scripts for all pages; the plain request gets the answer as it came."""
    config = {**FAST, "enable_http_cache": True}
    serve(server, "/page", '<html><body><script src="/own.js"></script></body></html>')
    serve(server, "/own.js", "document.body.textContent = 'by script'", headers={"Cache-Control": "max-age=60"}, **JS)
    first = crawl(render("/page", "/page?again", config=config))
    assert [arrival.path for arrival in server.arrivals] == ["/page", "/own.js", "/page"]
    assert first.pages == {"/page": SHOWN, "/page?again": SHOWN}
    plain = crawl(plan("/page", method="GET", config=config))
    assert "own.js" in plain.pages["/page"]
    again = crawl(render("/page", "/page?again", config=config))
    assert again.pages == first.pages
    assert len(server.arrivals) == 4


def test_a_chromium_that_does_not_start_ends_the_run(server, render):
    """Exit 2 names the setting, and the page stays pending."""
    serve(server, "/page", SIMPLE)
    result = crawl(render("/page", config={**FAST, "chromium_path": "/bin/false"}))
    assert (result.exit_code, result.outcomes) == (2, {"/page": ("stopped", 0)})
    assert "CHROMIUM_PATH" in result.report["problems"][0]["message"]


def test_a_given_chromium_must_be_there(chromium):
    """CHROMIUM_PATH is taken as it is, or refused by name."""
    assert find_chromium(Config.load({"CHROMIUM_PATH": chromium})) == chromium
    with pytest.raises(ConfigError, match="CHROMIUM_PATH: '/nowhere/chromium'"):
        find_chromium(Config.load({"CHROMIUM_PATH": "/nowhere/chromium"}))


def test_chromium_sees_no_setting_of_ours(monkeypatch):
    """It runs strangers' scripts; a token is not in its environment."""
    monkeypatch.setenv("KODIK_API_TOKEN", "0f" * 16)
    config, settings = Config.load(), Settings({"USER_AGENT": USER_AGENT})
    options = browser_settings(config, cards()["anisearch"], settings)["PLAYWRIGHT_LAUNCH_OPTIONS"]
    assert options["env"].keys() <= {"HOME", "PATH", "TMPDIR", "LANG"}


@pytest.mark.slow
def test_a_script_that_never_ends_costs_its_page_only(server, render):
    """The page is closed when nothing has happened for HTTP_TIMEOUT_SECONDS, and the next one is shown."""
    serve(server, "/endless", page("while (true);"))
    serve(server, "/asking", page("setInterval(() => fetch('/ok/' + Math.random()), 50)"))
    serve(server, "/good", SIMPLE)
    config = {**FAST, "max_retries": 0, "http_timeout_seconds": 10}
    result = crawl(render("/endless", "/asking", "/good", config=config))
    assert result.outcomes == {"/endless": ("not_shown", 1), "/asking": ("ok", 1), "/good": ("ok", 1)}
    assert len(server.arrivals) == 3 + 30  # the most parts of a page
