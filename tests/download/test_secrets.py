"""No secret gets into a log record, whoever logs it."""

from __future__ import annotations

import io
import logging

import pytest
from scrapy.http import TextResponse

from anime_crawler.config import Config
from anime_crawler.download import secrets

TOKEN = "canary+0123/456="
PASSWORD = "p4ss-w0rd"
OTHER = "0ther-w0rd"


@pytest.fixture
def log():
    """A logger of its own with secrets masked, and what it wrote."""
    factory = logging.getLogRecordFactory()
    addresses = {
        "DATABASE_URL": f"postgresql://user:{PASSWORD}@localhost/anime",
        "REDIS_CACHE_URL": f"redis://:{OTHER}@localhost",
    }
    config = Config.load({"KODIK_API_TOKEN": TOKEN, **addresses})
    secrets.install(config)
    out = io.StringIO()
    logger, handler = logging.Logger("test"), logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    yield logger, out
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize(
    ("message", "args"),
    [
        (f"asked with {TOKEN}", ()),
        ("asked with %s", (TOKEN,)),
        ("asked with %(token)s", ({"token": TOKEN},)),
        ("asked %s", ("https://kodik.test/list?token=canary%2B0123%2F456%3D&limit=1",)),
        ("connecting to %s", (f"postgresql://user:{PASSWORD}@localhost",)),
        ("connecting to %s", (f"redis://:{OTHER}@localhost",)),
        ("asked %r", ({"headers": {"X": TOKEN}},)),
    ],
)
def test_a_message_shows_the_mask_instead(log, message, args):
    """Plain, in arguments of any form, and percent-encoded."""
    logger, out = log
    logger.warning(message, *args)
    assert "***" in out.getvalue()
    assert TOKEN not in out.getvalue()
    assert "canary" not in out.getvalue()
    assert PASSWORD not in out.getvalue()
    assert OTHER not in out.getvalue()


def test_any_token_in_an_address_is_masked(log):
    """Also one that is none of ours: Kodik's `next_page` states the one it was asked with."""
    logger, out = log
    logger.warning("next is %s", "https://kodik.test/list?limit=1&token=abcdef&next=b2Zmc2V0")
    assert out.getvalue() == "next is https://kodik.test/list?limit=1&token=***&next=b2Zmc2V0\n"


def test_a_traceback_is_masked(log):
    """Libraries quote addresses in their errors."""
    logger, out = log
    try:
        raise ValueError(f"cannot connect with {TOKEN}")
    except ValueError:
        logger.exception("failed")
    assert "cannot connect with ***" in out.getvalue()
    assert "Traceback" in out.getvalue()
    assert TOKEN not in out.getvalue()


def test_other_records_are_left_as_they_are(log):
    """Arguments stay arguments, exceptions stay exceptions."""
    logger, out = log
    records = []
    logger.addFilter(lambda record: records.append(record) or True)
    try:
        raise ValueError("harmless")
    except ValueError:
        logger.exception("failed %d times", 3)
    assert (records[0].msg, records[0].args) == ("failed %d times", (3,))
    assert records[0].exc_info[0] is ValueError
    assert "failed 3 times" in out.getvalue()


@pytest.mark.parametrize("written", [TOKEN, "canary%2B0123%2F456%3D", "canary%2b0123%2f456%3d", "canary%2B0123/456%3D"])
def test_an_answer_that_repeats_a_secret_loses_it(written):
    """In the body and in a header, in each way it can be written; the rest stays as it is."""
    redactor = secrets.Redactor(Config.load({"KODIK_API_TOKEN": TOKEN}))
    url = f"https://kodik.test/list?token={written}&next=b2Zm"
    answer = TextResponse("https://kodik.test/list", 200, {"Location": url, "X": "y"}, url.encode(), flags=["kept"])
    redacted = redactor.response(answer)
    clean = b"https://kodik.test/list?token=REDACTED&next=b2Zm"
    assert (redacted.body, redacted.headers["Location"], redacted.headers["X"]) == (clean, clean, b"y")
    assert (type(redacted), redacted.flags) == (TextResponse, ["kept"])


def test_an_answer_without_a_secret_is_the_same_object():
    """Also where the setting is too short to be told from ordinary data."""
    answer = TextResponse("https://kodik.test/list", body=b'{"results":[1,2,3]}')
    assert secrets.Redactor(Config.load({"KODIK_API_TOKEN": "results"})).response(answer) is answer
