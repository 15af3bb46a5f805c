"""The host's robots.txt, the challenge of those who come too early, and faults of both."""

from __future__ import annotations

import requests

from anime_crawler.sandbox.server.limits import LIMITERS


def test_the_hosts_robots_txt_has_every_site_below_its_mount_point(fresh):
    """It is a service of its own in log and statistics."""
    answer = requests.get(f"{fresh.url}/robots.txt", timeout=10)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.text.startswith("User-agent: *\n")
    assert "Disallow: /anisearch/login\n" in answer.text
    assert "Disallow: /anime_planet/login\n" in answer.text
    assert fresh.get("/_sandbox/stats")["requests"]["robots"] == 1


def test_a_fault_changes_robots_txt_and_nothing_else(fresh):
    """Another text, or an error."""
    fresh.post("/_sandbox/faults", {"service": "robots", "kind": "body", "body": "User-agent: *\nDisallow: /\n"})
    assert requests.get(f"{fresh.url}/robots.txt", timeout=10).text == "User-agent: *\nDisallow: /\n"
    assert requests.get(f"{fresh.url}/anisearch/anime/index", timeout=10).status_code == 200
    fresh.delete("/_sandbox/faults")
    fresh.post("/_sandbox/faults", {"service": "robots", "kind": "status", "status": 500})
    assert requests.get(f"{fresh.url}/robots.txt", timeout=10).status_code == 500


def test_a_challenge_has_its_title_and_its_header(fresh):
    """With any status."""
    fresh.post("/_sandbox/faults", {"service": "anisearch", "kind": "cloudflare", "status": 503})
    answer = requests.get(f"{fresh.url}/anisearch/anime/index", timeout=10)
    assert (answer.status_code, answer.headers["cf-mitigated"]) == (503, "challenge")
    assert "<title>Just a moment...</title>" in answer.text


def test_who_asks_a_crawled_site_too_early_sees_a_challenge():
    """One in three seconds at AniSearch, one in five at Anime-Planet."""
    for source in ("anisearch", "anime_planet"):
        limiter = LIMITERS[source](True)
        assert limiter.check() is None
        refusal = limiter.check()
        assert refusal is not None
        assert (refusal.status, refusal.headers["cf-mitigated"]) == (403, "challenge")
        assert limiter.violations == 1
