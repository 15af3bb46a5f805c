"""Scrapy's own commands that would ask without limits, or outside a run."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("fetch", "--nolog", "http://127.0.0.1:1/"), "scrapy record"),
        (("view", "http://127.0.0.1:1/"), "scrapy record"),
        (("shell", "http://127.0.0.1:1/"), "scrapy parsefile"),
        (("parse", "--spider", "kodik", "http://127.0.0.1:1/"), "scrapy parsefile"),
        (("bench",), "make bench"),
        (("runspider", "spider.py"), "scrapy crawl"),
        (("genspider", "my_source", "example.org"), "scrapy newsource"),
    ],
)
def test_a_command_of_scrapy_that_does_not_work_here_names_the_one_that_does(scrapy, words, instead):
    """One sentence, exit code 2; no traceback, and nothing is asked or written."""
    done = scrapy(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert f"`{instead}" in done.stderr
