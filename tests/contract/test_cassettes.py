"""What is on disk after recording."""

from __future__ import annotations

import json
import re

import pytest

from tests.contract.conftest import CASSETTES


@pytest.mark.parametrize("cassette", sorted(CASSETTES.glob("*.json")), ids=lambda path: path.stem)
def test_a_cassette_holds_placeholders_and_no_token(cassette):
    """Tokens and addresses are taken out of requests and answers; nothing is compressed, so nothing hides."""
    text = cassette.read_text(encoding="utf-8")
    assert "127.0.0.1" not in text
    assert set(re.findall(r"token=([^&\"\\\\]*)", text)) <= {"<KODIK_TOKEN>", "no-token-of-anybody"}
    for interaction in json.loads(text)["http_interactions"]:
        assert interaction["request"]["uri"].startswith("<")
        sent = interaction["request"]["headers"].get("X-Internal-Token", ["<INTERNAL_TOKEN>"])
        assert sent in (["<INTERNAL_TOKEN>"], ["not-the-token"])
        assert "base64_string" not in interaction["response"]["body"]
