"""Requests as JSON and back."""

from __future__ import annotations

from datetime import datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import FormRequest, Request, Spider
from scrapy.http import JsonRequest

from anime_crawler.frontier.codec import request_from_json, request_to_json
from anime_crawler.frontier.store import FrontierError


class AnySpider(Spider):
    name = "any"

    def parse_page(self, response):
        pass

    def failed(self, failure):
        pass


SPIDER = AnySpider()
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def again(request: Request) -> Request:
    return request_from_json(request_to_json(request, SPIDER), SPIDER)


@given(st.binary(), st.binary(), st.integers(-99, 99), st.booleans(), json_values)
def test_everything_comes_back(body, header, priority, dont_filter, value):
    """Any bytes, any JSON value."""
    request = Request(
        "http://a.test/ö?x=1#f",
        method="POST",
        body=body,
        headers={"X-Any": [header, b"2"], "Content-Type": "text/plain"},
        priority=priority,
        dont_filter=dont_filter,
        meta={"value": value},
        cb_kwargs={"value": value},
        flags=["f"],
        cookies={"c": "1"},
        callback=SPIDER.parse_page,
        errback=SPIDER.failed,
    )
    assert again(request).to_dict(spider=SPIDER) == request.to_dict(spider=SPIDER)


@pytest.mark.parametrize(
    "request_",
    [
        FormRequest("http://a.test", formdata={"ключ": "значение & more"}),
        JsonRequest("http://a.test", data={"a": ["ö"]}),
    ],
)
def test_other_kinds_of_request_send_the_same(request_):
    """They come back as plain requests: what a job directory names is not imported."""
    back = again(request_)
    assert type(back) is Request
    assert (back.method, back.body, back.headers, back.url) == (
        request_.method, request_.body, request_.headers, request_.url,
    )  # fmt: skip


@pytest.mark.parametrize(
    "parts",
    [
        {"meta": {"when": datetime(2026, 1, 1)}},
        {"meta": {"pair": (1, 2)}},
        {"meta": {"set": {1}}},
        {"meta": {"x": float("nan")}},
        {"meta": {"x": b"bytes"}},
        {"cb_kwargs": {"x": object()}},
        {"meta": {1: "one"}},
        {"callback": lambda response: None},
    ],
    ids=["date", "tuple", "set", "not a number", "bytes", "object", "number as key", "lambda"],
)
def test_what_would_not_come_back_is_an_error_that_names_the_request(parts):
    """Never kept in memory silently, never changed silently."""
    with pytest.raises(FrontierError, match=r"POST http://a\.test/page.* cannot be kept"):
        request_to_json(Request("http://a.test/page", method="POST", **parts), SPIDER)


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"{}", b'{"body": 1, "headers": []}'])
def test_damaged_data_is_an_error_with_what_to_do(data):
    """Whatever stands in the file."""
    with pytest.raises(FrontierError, match="Delete the directory"):
        request_from_json(data, SPIDER)


def test_a_callback_that_the_spider_no_longer_has_is_an_error():
    """After a change of the code between two runs."""
    data = request_to_json(Request("http://a.test", callback=SPIDER.parse_page), SPIDER)
    with pytest.raises(FrontierError, match="parse_gone"):
        request_from_json(data.replace(b"parse_page", b"parse_gone"), SPIDER)


def test_a_class_that_the_data_names_is_not_imported():
    """Scrapy's own form would; a job directory is not trusted."""
    fields = orjson.loads(request_to_json(Request("http://a.test"), SPIDER))
    back = request_from_json(orjson.dumps({**fields, "_class": "antigravity.Popen"}), SPIDER)
    assert type(back) is Request
