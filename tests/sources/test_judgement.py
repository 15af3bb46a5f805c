"""What each source makes of answers that are not what was asked for."""

from __future__ import annotations

import json

import pytest
from scrapy.http import TextResponse

from anime_crawler.base_spiders import Action
from anime_crawler.sources.kodik.spider import KodikSpider
from anime_crawler.sources.shikimori.spider import ShikimoriSpider

PAGE = json.dumps({"total": 0, "results": []}).encode()
TITLES = json.dumps({"data": {"animes": []}}).encode()
GUARD = b"<!doctype html><html><head><title>DDOS-GUARD</title></head></html>"
DEEP = b"[" * 100_000 + b"]" * 100_000


def judge(spider, status, body, **headers):
    verdict = spider.judge(TextResponse("https://x.test/", status=status, body=body, headers=headers))
    return verdict.action.value, verdict.kind, verdict.setting


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, PAGE, ("accept", "ok", None)),
        (200, PAGE[:-3], ("retry", "not_json", None)),
        (200, b"", ("retry", "not_json", None)),
        (200, b"<html>", ("retry", "not_json", None)),
        (200, DEEP, ("retry", "not_json", None)),
        (200, b"null", ("retry", "wrong_shape", None)),
        (200, b"[]", ("retry", "wrong_shape", None)),
        (200, b"{}", ("retry", "wrong_shape", None)),
        (200, b'{"results":{}}', ("retry", "wrong_shape", None)),
        (200, b'{"results":[],"next_page":5}', ("accept", "ok", None)),  # opaque, and refused where it is read
        (500, '{"error":"Отсутствует или неверный токен"}'.encode(), ("give_up", "token_refused", "KODIK_API_TOKEN")),
        (200, '{"error":"Неверный токен"}'.encode(), ("give_up", "token_refused", "KODIK_API_TOKEN")),
        (500, '{"error":"Неправильный тип"}'.encode(), ("give_up", "wrong_types", None)),
        (500, b'{"error":"something new"}', ("give_up", "refused", None)),
        (500, b'{"error":null}', ("give_up", "refused", None)),
        (500, b"<html>", ("retry", "server_error", None)),
        (503, b"{}", ("retry", "server_error", None)),
        (530, b"", ("retry", "server_error", None)),
        (429, b'{"error":"slow down"}', ("retry", "rate_limited", None)),
        (404, b"<html>", ("give_up", "status_404", "KODIK_BASE_URL")),
        (301, b"", ("give_up", "moved", "KODIK_BASE_URL")),
        (400, b"", ("give_up", "status_400", None)),
    ],
)
def test_kodik_answers_are_judged_by_body_before_status(status, body, expected):
    """An error in the body decides; what cannot be read is asked for again."""
    assert judge(KodikSpider(), status, body) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, TITLES, ("accept", "ok", None)),
        (200, b'{"data":{"animes":[]},"errors":[{"message":"x"}]}', ("accept", "ok", None)),
        (200, b'{"errors":[{"message":"Query has depth of 7"}]}', ("give_up", "query_refused", None)),
        (500, b'{"errors":[{"exception":"X","message":"y"}]}', ("give_up", "unresolvable", None)),
        (503, b'{"code":503,"exception":"X","message":"y"}', ("retry", "server_error", None)),
        (200, b'{"data":null}', ("retry", "wrong_shape", None)),
        (200, b'{"data":{"animes":null}}', ("retry", "wrong_shape", None)),
        (200, b"null", ("retry", "wrong_shape", None)),
        (200, GUARD, ("retry", "challenge", None)),
        (403, GUARD, ("retry", "challenge", None)),
        (403, b"<html>", ("give_up", "status_403", None)),
        (200, b"<html>", ("retry", "not_json", None)),
        (500, b"<html>Nooooo</html>", ("retry", "server_error", None)),
        (520, b"", ("retry", "server_error", None)),
        (429, b"Retry later\n", ("retry", "rate_limited", None)),
        (404, b'{"code":404}', ("give_up", "status_404", "SHIKIMORI_BASE_URL")),
        (404, b"<html>", ("give_up", "status_404", "SHIKIMORI_BASE_URL")),
        (301, b"", ("give_up", "moved", "SHIKIMORI_BASE_URL")),
    ],
)
def test_shikimori_answers_are_judged_by_body_and_status(status, body, expected):
    """One bad title is told from a bad query, the guard's page from an answer."""
    assert judge(ShikimoriSpider(), status, body) == expected


@pytest.mark.parametrize("spider", [KodikSpider(), ShikimoriSpider()], ids=lambda spider: spider.name)
def test_a_redirect_is_named_by_its_host_only(spider):
    """The address may hold what must not be shown; the host is what the setting needs."""
    response = TextResponse(
        "https://x.test/", status=301, headers={"Location": "https://new.example.org/?token=canary"}
    )
    verdict = spider.judge(response)
    assert "new.example.org" in verdict.message
    assert "canary" not in verdict.message


@pytest.mark.parametrize("spider", [KodikSpider(), ShikimoriSpider()], ids=lambda spider: spider.name)
def test_what_is_worth_another_try_counts_as_trouble_of_the_upstream(spider):
    """So that the breaker rests it; one bad title and a refused token do not."""
    for status, body in ((503, b""), (200, b"<html>"), (429, b""), (200, b"{}")):
        verdict = spider.judge(TextResponse("https://x.test/", status=status, body=body))
        assert (verdict.action, verdict.is_upstream_trouble) == (Action.RETRY, True)
    for body in (b'{"error":"x"}', b'{"errors":[{"exception":"x"}]}'):
        verdict = spider.judge(TextResponse("https://x.test/", status=500, body=body))
        assert verdict.is_upstream_trouble is (verdict.action is Action.RETRY)
