"""Each field takes the values of the contract's tables, and FastAPI itself agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import requests
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anime_crawler.reference_backend.schemas import AnimeImport, EpisodesImport, VideoImport
from tests.reference_backend.support import IMPORT, TOKEN, Client, anime, episode_list, serving, video

STRINGS = {"yes": ["", " ", "x", "emoji 🎌\nline"], "no": [None, 5, True, ["x"], {}, "\ud800"]}
TEXT_OR_NULL = {"yes": [None, "", "x" * 100_000], "no": [5, True, ["x"], "\ud800"]}
LIST_OR_NULL = {"yes": [None, [], [""], ["a", "a"]], "no": ["a", [None], [5], {"a": 1}, 5]}
INT32_MAX = 2**31 - 1

ANIME = {
    "source_name": STRINGS,
    "source_id": STRINGS,
    "title": {"yes": [" ", "x"], "no": ["", None, 5, "\ud800"]},
    "alternative_titles": LIST_OR_NULL,
    "genres": LIST_OR_NULL,
    "description": TEXT_OR_NULL,
    "poster": {"yes": [None, "", "not a url", "javascript:alert(1)"], "no": [5, []]},
    "year": {"yes": [None, 1900, 2100, "2023", 2023.0], "no": [0, 1899, 2101, 2023.5, "", True, "x", []]},
    "status": {
        "yes": [None, "ongoing", "completed", "upcoming"],
        "no": ["released", "anons", "", "Ongoing", "paused", 1, True],
    },
    "slug": {"yes": [None, 5, "x"], "no": []},
    "is_active": {"yes": ["whatever"], "no": []},
}
EPISODE = {
    "source_episode_id": STRINGS,
    "number": {"yes": [0, INT32_MAX, 1.0, "3"], "no": [-1, 1.5, "x", None, ""]},
    "title": TEXT_OR_NULL,
    "is_available": {"yes": [True, False, "yes", 1, "off", 0], "no": [None, "x", 2, []]},
    "other": {"yes": [None], "no": []},
}
PLAYER = {
    "type": STRINGS,
    "url": {"yes": ["", "//host/x", "javascript:alert(1)", "x" * 9000], "no": [None, 5]},
    "source_name": STRINGS,
    "priority": {"yes": [0, -5, INT32_MAX, -(2**31), "7"], "no": [None, 1.5, "x"]},
}


def cases(table: dict[str, dict[str, list[Any]]]) -> list[Any]:
    """(field, value, whether it is accepted) of a table."""
    verdicts = [(name, value, word) for name, rules in table.items() for word in rules for value in rules[word]]
    return [pytest.param(n, v, word == "yes", id=f"{n}={str(v)[:20]!a}-{word}") for n, v, word in verdicts]


@pytest.mark.parametrize(("field", "value", "accepted"), cases(ANIME))
def test_the_fields_of_an_anime(backend: Client, field, value, accepted):
    """Accepted with 200 or refused with 422, nothing else."""
    assert backend.post("anime", anime(**{field: value})).status_code == (200 if accepted else 422)


@pytest.mark.parametrize(("field", "value", "accepted"), cases(EPISODE))
def test_the_fields_of_an_episode(backend: Client, field, value, accepted):
    """Accepted with 200 or refused with 422, nothing else."""
    backend.ok("anime", anime())
    answer = backend.post("episodes", episode_list("1", 1, **{field: value}))
    assert answer.status_code == (200 if accepted else 422)


@pytest.mark.parametrize(("field", "value", "accepted"), cases(PLAYER))
def test_the_fields_of_a_player(backend: Client, field, value, accepted):
    """Accepted with 200 or refused with 422, nothing else."""
    backend.title()
    assert backend.post("video", video(**{field: value})).status_code == (200 if accepted else 422)


def test_required_fields_are_required(backend: Client):
    """Each one missing is 422; the others have defaults."""
    for route, body in (("anime", anime()), ("episodes", episode_list("1", 1)), ("video", video())):
        for name in body:
            assert backend.post(route, {key: value for key, value in body.items() if key != name}).status_code == 422


def test_an_empty_episode_list_is_422(backend: Client):
    """Titles without episodes are not posted."""
    backend.ok("anime", anime())
    assert backend.post("episodes", episode_list("1")).status_code == 422


def test_ids_are_compared_as_texts(backend: Client):
    """``41``, ``041`` and `` 41`` are three anime."""
    for source_id in ("41", "041", " 41"):
        backend.ok("anime", anime(source_id))
    assert backend.stats()["rows"]["anime"] == {"created": 3}


INCOMPRESSIBLE = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(2000))


@pytest.mark.parametrize(
    ("route", "body", "text"),
    [
        ("anime", anime(title="a\0b"), "invalid byte sequence"),
        ("anime", anime(genres=["a\0"]), "invalid byte sequence"),
        ("anime", anime("a\0"), "invalid byte sequence"),
        ("anime", anime(title=INCOMPRESSIBLE), "index row size"),
        ("anime", anime(INCOMPRESSIBLE), "index row size"),
        ("episodes", episode_list("1", 2**31), "value out of int32 range"),
        ("episodes", episode_list("1", 2, title="\0"), "invalid byte sequence"),
        ("video", video(priority=2**31), "value out of int32 range"),
        ("video", video(priority=-(2**31) - 1), "value out of int32 range"),
        ("video", video(url="\0"), "invalid byte sequence"),
        ("video", video(type="\0"), "invalid byte sequence"),
    ],
)
def test_what_the_database_cannot_hold_is_500(backend: Client, route, body, text):
    """With the database's text in the envelope, and nothing stored."""
    backend.title()
    before = backend.dump()
    answer = backend.post(route, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "HTTP_ERROR")
    assert text in answer.json()["error"]["message"]
    assert backend.dump() == before


def fastapi_opinion() -> FastAPI:
    """The same three bodies behind FastAPI's own parsing and dependencies, as the real backend has them."""

    def check(x_internal_token: Annotated[str, Header()]) -> None:
        if x_internal_token != TOKEN:
            raise HTTPException(403)

    async def refuse(_request: Request, _error: Exception) -> Response:
        return Response(status_code=422)

    app = FastAPI()
    app.add_exception_handler(RequestValidationError, refuse)
    for route, model in {"anime": AnimeImport, "episodes": EpisodesImport, "video": VideoImport}.items():

        async def accept(payload: Any) -> None: ...

        accept.__annotations__ = {"payload": model}
        app.post(f"{IMPORT}/{route}", dependencies=[Depends(check)])(accept)
    return app


@pytest.fixture(scope="module")
def opinion() -> Iterator[str]:
    """Address of FastAPI's opinion."""
    with serving(fastapi_opinion()) as url:
        yield url


SCALARS = st.sampled_from([None, True, 0, 1, -1, 2023, 2023.5, 1.0, 10**25, "", "x", "3", "ongoing", "\ud800", "é"])
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.just({}))
FIELDS = sorted({*ANIME, *EPISODE, *PLAYER, "anime_source_id", "episodes", "player", "extra"})


def bodies() -> st.SearchStrategy[bytes]:
    """Good bodies with some fields spoiled, and no JSON at all."""
    good = st.sampled_from([anime(), episode_list("1", 1), video()])
    spoiled = st.builds(
        lambda body, more: body | more, good, st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2)
    )
    documents = st.one_of(spoiled, VALUES).map(lambda value: json.dumps(value).encode())
    odd = [b"", b"{", b"NaN", b'{"a": NaN}', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\x80", b"[" * 100_000]
    return st.one_of(documents, st.sampled_from(odd))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(["anime", "episodes", "video"]),
    body=bodies(),
    token=st.sampled_from([TOKEN, TOKEN, TOKEN, "wrong", "", None]),
    content_type=st.sampled_from(
        [
            "application/json",
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/x+json",
            "text/plain",
            "",
        ]
    ),
)
def test_the_answers_are_those_of_fastapi(shared_backend: Client, opinion: str, route, body, token, content_type):
    """Every mixture of body, token and content type is refused with the status that FastAPI gives, or accepted."""
    headers = {"Content-Type": content_type} | ({} if token is None else {"X-Internal-Token": token})
    shared_backend.send("DELETE", "/_reference/rows")
    expected = requests.post(f"{opinion}{IMPORT}/{route}", data=body, headers=headers, timeout=30).status_code
    sent = {"X-Internal-Token": None} | headers
    given = shared_backend.send("POST", f"{IMPORT}/{route}", data=body, headers=sent).status_code
    assert given == expected or (expected == 200 and given in (404, 500))
