"""What all sources build on."""

from __future__ import annotations

import gc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from scrapy import Request
from scrapy.http import TextResponse
from scrapy.settings import Settings
from twisted.python.failure import Failure

from anime_crawler.base_spiders import (
    RENDER,
    Action,
    ArgumentError,
    Drift,
    GivenUp,
    NotJsonError,
    RecordError,
    ResponseError,
    SourceCard,
    SourceSpider,
    Verdict,
    Words,
    body,
    checked,
    count_unknown,
    count_vanished,
    envelope,
    episodes_aired,
    explain,
    json_body,
    kind_of,
    mapped,
    moved,
    reading,
    shape_of,
    unreadable,
    verdict_by_status,
    word_of,
)
from anime_crawler.items import AiringStatus
from tests.sources.driving import RecordingRun


class ExampleSpider(SourceSpider):
    """A source of one page."""

    name = "example"
    card = SourceCard(
        "example", "Example", "none", "https://example.org", "1/s", "invented", ("Anime",), max_body_bytes=9
    )
    arguments = {"page": "which page"}


def given_up(kind: str, response: TextResponse | None = None) -> Failure:
    failure = Failure(GivenUp(Verdict(Action.GIVE_UP, kind, "because"), 4, response))
    failure.request = Request("https://example.org/a")  # type: ignore[attr-defined]
    return failure


def test_an_unknown_argument_is_refused_with_what_there_is():
    """Exit code 2 instead of a run that ignores it."""
    with pytest.raises(ArgumentError, match=r"no argument pages.*\n  -a page=…  which page"):
        ExampleSpider(pages="3")


def test_a_card_decides_the_settings_of_its_spider():
    """Body size and robots.txt."""
    settings = Settings()
    ExampleSpider.update_settings(settings)
    assert settings.getint("DOWNLOAD_MAXSIZE") == 9
    assert not settings.getbool("ROBOTSTXT_OBEY")


def test_a_spider_belongs_to_the_job_of_its_crawler():
    """It is attached when Scrapy makes it."""
    attached = []
    job = SimpleNamespace(attach=attached.append)
    crawler = SimpleNamespace(job=job, settings=Settings(), signals=SimpleNamespace(connect=lambda *a, **k: None))
    spider = ExampleSpider.from_crawler(crawler)  # type: ignore[arg-type]
    assert attached == [spider]
    assert spider.base_url == "https://example.org"


def test_a_request_that_was_given_up_stays_pending_and_fails_the_run():
    """Without an answer there is nothing to keep."""
    spider, failure = ExampleSpider(), given_up("server_error")
    spider.run = RecordingRun()
    assert list(spider.failed(failure)) == []
    assert failure.request.meta["unfinished"]
    assert [verdict.kind for verdict in spider.run.failures] == ["server_error"]


@pytest.mark.parametrize("kind", ["not_json", "wrong_shape", "challenge"])
def test_an_answer_that_could_not_be_read_is_kept(kind):
    """As a dead letter of the whole page, with the request that gave it."""
    spider = ExampleSpider()
    spider.run = RecordingRun()
    (letter,) = spider.failed(given_up(kind, TextResponse("https://example.org/a", body=b"<html>\xff")))
    assert (letter.kind, letter.reason, letter.raw) == ("page", f"{kind}: because", "base64:PGh0bWw+/w==")
    assert letter.request == {"url": "https://example.org/a", "body": ""}


def test_a_bug_is_not_taken_for_a_failing_upstream():
    """Any other exception goes on as it is."""
    spider, failure = ExampleSpider(), Failure(ZeroDivisionError())
    spider.run = RecordingRun()
    failure.request = Request("https://example.org/a")  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        list(spider.failed(failure))
    assert [verdict.kind for verdict in spider.run.failures] == ["bug"]


@pytest.mark.parametrize(
    ("status", "action", "kind", "is_trouble"),
    [
        (200, "accept", "ok", False),
        (204, "accept", "ok", False),
        (302, "give_up", "status_302", False),
        (404, "give_up", "status_404", False),
        (408, "retry", "server_error", True),
        (429, "retry", "rate_limited", True),
        (501, "give_up", "status_501", False),
        (503, "retry", "server_error", True),
        (520, "retry", "server_error", True),
    ],
)
def test_a_status_alone_says_what_to_do(status, action, kind, is_trouble):
    """Only 429, timeouts and "not now" answers are worth another try."""
    verdict = verdict_by_status(status)
    assert (verdict.action.value, verdict.kind, verdict.is_upstream_trouble) == (action, kind, is_trouble)


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://new.example.net/?token=canary", "new.example.net"),
        ("//new.example.net/canary", "new.example.net"),
        ("/canary", "another page"),
        ("", "another page"),
        ("https://[canary", "another page"),  # no address at all
    ],
)
def test_a_redirect_is_not_followed_and_named_by_its_host_only(location, named):
    """The rest of the address may hold what must not be shown."""
    response = TextResponse("https://example.org/a", status=301, headers={"Location": location})
    verdict = moved(response, replace(ExampleSpider.card, base_url_setting="EXAMPLE_BASE_URL"))
    assert (verdict.action, verdict.kind, verdict.setting) == (Action.GIVE_UP, "moved", "EXAMPLE_BASE_URL")
    assert named in verdict.message
    assert "canary" not in verdict.message


def test_what_is_no_json_is_told_from_json_of_another_shape():
    """By the error's kind; both may have come about on the way, and are asked for again."""
    verdicts = [unreadable(error) for error in (NotJsonError("not JSON: x"), ResponseError("no results"))]
    assert [verdict.kind for verdict in verdicts] == ["not_json", "wrong_shape"]
    assert all(verdict.action is Action.RETRY and verdict.is_upstream_trouble for verdict in verdicts)


def test_a_run_is_stopped_at_a_page_that_stays_pending():
    """Whether it is named by its response or by its request."""
    spider, request = ExampleSpider(), Request("https://example.org/a")
    spider.run = RecordingRun()
    spider.stop(TextResponse("https://example.org/a", request=request), "repeated_page", "the same page again")
    assert request.meta["unfinished"]
    assert spider.run.failures == [Verdict(Action.GIVE_UP, "repeated_page", "the same page again")]


def test_a_bug_has_no_kind_of_verdict():
    """An errback that looks for one leaves it alone."""
    assert kind_of(given_up("not_found")) == "not_found"
    assert kind_of(Failure(ZeroDivisionError())) is None


def test_a_body_is_parsed_once_and_forgotten_with_its_response():
    """The judge and the callback read the same document."""
    gc.collect()  # other tests may have left responses behind
    before = len(body._documents)
    response = TextResponse("https://example.org/", body=b'{"a": 1}')
    assert json_body(response) is json_body(response)
    assert len(body._documents) == before + 1
    del response
    gc.collect()
    assert len(body._documents) <= before


@pytest.mark.parametrize("text", [b"", b"{", b"<html>", b"\xff", b"[" * 5000, b"nan", b'{"a": 1'])
def test_what_is_no_json_is_named_without_its_content(text):
    """The message says where it breaks; what stands there may be a secret."""
    with pytest.raises(NotJsonError, match=r"^not JSON: "):
        json_body(TextResponse("https://example.org/", body=text))


def test_a_wrong_field_is_explained_by_path_and_rule():
    """Not by its value."""

    class Inner(BaseModel):
        number: int

    class Outer(BaseModel):
        inner: list[Inner]

    with pytest.raises(ValidationError) as error:
        Outer.model_validate({"inner": [{"number": "canary"}]})
    assert explain(error.value).startswith("inner.0.number: ")
    assert "canary" not in explain(error.value)


def test_a_word_without_a_mapping_is_never_folded_into_a_default():
    """None stays None."""
    assert mapped({"a": 1}, "a", "x") == 1
    assert mapped({"a": 1}, None, "x") is None
    with reading() as problems:
        assert mapped({"a": 1}, "b", "kind") is None
    assert problems == ["kind: unknown value 'b'"]
    with pytest.raises(RecordError, match="kind: unknown value 'b'"):
        word_of({"a": 1}, "b", "kind")


def test_drift_counts_what_is_new_and_what_all_records_lack():
    """Only dictionaries count; 20 of them make a whole page."""
    counts: Drift = Drift()
    count_unknown(counts, [{"a": 1, "b": 2}, 5, None, {"b": 1}], "x.", frozenset("a"))
    count_vanished(counts, [{"a": 1}] * 20, "x.", ["a", "c"])
    count_vanished(counts, [{}] * 19, "y.", ["a"])
    assert counts == {("x.b", "unknown"): 2, ("x.c", "vanished"): 20}


def test_json_values_have_names():
    """For messages."""
    assert [shape_of(v) for v in ({}, [], "", None, True, 1.5)] == [
        *("an object", "a list", "a text", "null", "a boolean", "a number")
    ]


class CrawledSite(ExampleSpider):
    """A source whose pages a browser may show."""

    arguments = {**ExampleSpider.arguments, **RENDER}


def test_a_source_opts_in_to_the_browser_by_its_arguments():
    """Others do not know the argument, and it knows one browser."""
    assert CrawledSite(render="browser").is_rendered
    assert not CrawledSite().is_rendered
    with pytest.raises(ArgumentError, match="no argument render"):
        ExampleSpider(render="browser")
    with pytest.raises(ArgumentError, match="render=firefox: browser is wanted"):
        CrawledSite(render="firefox")


def test_a_value_that_is_none_is_noted():
    """Named by the caller; what is right comes as it was read."""
    assert checked(float, "8.5", "score: not a number") == 8.5
    with reading() as problems:
        assert checked(float, "canary", "score: not a number") is None
    assert problems == ["score: not a number"]


def test_a_status_may_say_how_many_episodes_have_aired():
    """All, none, or nothing."""
    known = [episodes_aired(12, status) for status in (AiringStatus.RELEASED, AiringStatus.ANNOUNCED)]
    assert known == [12, 0]
    assert [episodes_aired(12, AiringStatus.ONGOING), episodes_aired(12, None)] == [None, None]
    assert episodes_aired(0, AiringStatus.RELEASED) is None


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "a page was expected, there was a list"),
        (None, "a page was expected, there was null"),
        ({"results": "canary"}, "not a page: results: Input should be a valid list"),
    ],
)
def test_an_answer_of_another_shape_is_told_by_its_shape(document, says):
    """The records inside are not looked at; a number as id is text."""

    class Page(Words):
        results: list[Any]
        id: str = ""

    assert envelope(Page, {"results": [None, 5], "id": 7, "new": 1}, "a page").id == "7"
    with pytest.raises(ResponseError, match=f"^{says}$"):
        envelope(Page, document, "a page")
