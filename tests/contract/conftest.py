"""Recorded upstreams. ``ANIME_RECORD=all`` (``make record``) asks again: the real upstream where its token is set and
Shikimori where ``SHIKIMORI_BASE_URL`` is, else the sandbox."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from betamax import Betamax

from tests.sandboxes import running_sandbox

CASSETTES = Path(__file__).parent / "cassettes"
RECORD_MODE = os.environ.get("ANIME_RECORD", "none")
REAL = dict(os.environ)  # before the suite hides the settings of whoever runs it
PLAYBACK = {name: f"https://{name}.test" for name in ("kodik", "shikimori", "backend")}


def forget_lengths(interaction: Any, cassette: Any) -> None:
    """A placeholder is not as long as what it stands for."""
    for headers in (interaction.data["request"]["headers"], interaction.data["response"]["headers"]):
        for name in [name for name in headers if name.lower() == "content-length"]:
            del headers[name]


with Betamax.configure() as config:
    config.before_record(callback=forget_lengths)


@pytest.fixture(scope="session")
def addresses() -> Iterator[dict[str, str]]:
    """Base address of each service, and the tokens."""
    tokens = {"kodik_token": "a-token-of-the-playback", "internal_token": "another-token-of-the-playback"}
    if RECORD_MODE == "none":
        yield PLAYBACK | tokens
        return
    with running_sandbox(titles=8, limits="off") as sandbox:
        ours = {
            "kodik": sandbox.kodik_url,
            "kodik_token": sandbox.kodik_token,
            "shikimori": sandbox.shikimori_url,
            "backend": sandbox.backend_url,
            "internal_token": sandbox.internal_token,
        }
        if "KODIK_API_TOKEN" in REAL:
            ours["kodik_token"] = REAL["KODIK_API_TOKEN"]
            ours["kodik"] = REAL.get("KODIK_BASE_URL", "https://kodik-api.com")
        yield ours | ({"shikimori": REAL["SHIKIMORI_BASE_URL"]} if "SHIKIMORI_BASE_URL" in REAL else {})


@pytest.fixture
def recorded(addresses: dict[str, str]) -> Iterator[Callable[[str], requests.Session]]:
    """Gives a session that plays, or records, the cassette of that name; no token and no address is in it."""
    tapes = []

    def start(cassette: str) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # no proxy and no .netrc of whoever records
        CASSETTES.mkdir(exist_ok=True)
        tape = Betamax(session, cassette_library_dir=str(CASSETTES))
        placeholders = [{"placeholder": f"<{name.upper()}>", "replace": value} for name, value in addresses.items()]
        tape.use_cassette(
            cassette,
            record=RECORD_MODE,
            match_requests_on=["method", "path", "query", "body"],
            placeholders=placeholders,
        )
        tape.start()
        tapes.append(tape)
        return session

    yield start
    for tape in tapes:
        tape.stop()
        tape.session.close()
