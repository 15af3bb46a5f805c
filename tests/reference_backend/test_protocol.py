"""Paths, methods, token, trace id and the error envelope, before any rule about a body."""

from __future__ import annotations

import gzip
import socket

import pytest
import requests

from tests.reference_backend.support import IMPORT, TOKEN, Client, anime, running

ROUTES = ["anime", "episodes", "video"]


@pytest.fixture(params=["", "/backend"], scope="module")
def anywhere(request):
    """A backend that runs alone, and one that is mounted under a prefix."""
    with running(prefix=request.param) as client:
        yield client


def envelope(answer: requests.Response) -> tuple[int, str, str]:
    """Status, code and message of an error."""
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message", "trace_id"}
    assert error["trace_id"] == answer.headers["x-trace-id"]
    return answer.status_code, error["code"], error["message"]


@pytest.mark.parametrize("path", ["/nowhere", "/", f"{IMPORT}/videos", "/docs", "/openapi.json", f"{IMPORT}/anime/1"])
def test_other_paths_are_404_in_the_envelope(anywhere: Client, path):
    """Exactly ``Not Found``, under a prefix too."""
    assert envelope(anywhere.send("GET", path)) == (404, "HTTP_ERROR", "Not Found")
    assert envelope(anywhere.send("POST", path, json={})) == (404, "HTTP_ERROR", "Not Found")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_other_methods_are_405(anywhere: Client, route, method):
    """Whatever the token."""
    assert anywhere.send(method, f"{IMPORT}/{route}").status_code == 405


@pytest.mark.parametrize("route", ROUTES)
def test_a_trailing_slash_is_redirected(anywhere: Client, route):
    """307 to the path without it, the mount's prefix kept."""
    answer = anywhere.send("POST", f"{IMPORT}/{route}/", json={})
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{anywhere.url}{IMPORT}/{route}"


def test_health_needs_no_token(anywhere: Client):
    """It proves the process and nothing more."""
    answer = requests.get(f"{anywhere.url}/health", timeout=10)
    assert answer.json() == {"status": "healthy", "version": "1.0.0"}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        (TOKEN, b"{}", 422),
        ("wrong", b"{}", 403),
        ("", b"{}", 403),
        (TOKEN + " x", b"{}", 403),
        (TOKEN.upper(), b"{}", 403),
        ("wrong", b"{", 422),
        ("wrong", b'{"title": 5}', 403),
        ("wrong", b"\xff\xfe\x00", 400),
        ("wrong", b"", 403),
        (None, b"{}", 422),
        (None, b'{"title": 5}', 422),
        (TOKEN, b"", 422),
        (TOKEN, b"null", 422),
        (TOKEN, b"[]", 422),
    ],
)
def test_the_token_is_checked_after_the_json_and_before_the_rules(backend: Client, route, token, body, status):
    """Broken JSON with a wrong token is 422, a wrong field with a wrong token is 403, no token is 422."""
    headers = {"X-Internal-Token": token, "Content-Type": "application/json"}
    assert backend.send("POST", f"{IMPORT}/{route}", data=body, headers=headers).status_code == status
    assert backend.stats()["rows"] == {}


def test_a_blank_after_the_token_makes_it_wrong(backend: Client):
    """Byte for byte; sent raw, because HTTP clients strip it."""
    host, port = backend.url.removeprefix("http://").split(":")
    request = f"POST {IMPORT}/anime HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n"
    request += f"content-type: application/json\r\nX-INTERNAL-token: {TOKEN} \r\n\r\n{{}}"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        assert b" 403 " in connection.recv(100)


def test_a_bearer_token_is_not_looked_at(backend: Client):
    """Only its own header counts."""
    headers = {"X-Internal-Token": None, "Authorization": f"Bearer {TOKEN}"}
    assert backend.post("anime", anime(), headers=headers).status_code == 422


def test_the_errors_have_the_texts_of_the_matrix(backend: Client):
    """Code, message and a 422 that is mute about the field."""
    assert envelope(backend.post("anime", {})) == (422, "VALIDATION_ERROR", "Invalid request data")
    wrong = backend.post("anime", {}, headers={"X-Internal-Token": "wrong"})
    assert envelope(wrong) == (403, "HTTP_ERROR", "Invalid internal token")
    broken = backend.send("POST", f"{IMPORT}/anime", data=b"\xff", headers={"Content-Type": "application/json"})
    assert envelope(broken) == (400, "HTTP_ERROR", "There was an error parsing the body")


def test_the_trace_id_is_echoed_in_header_and_error(backend: Client):
    """The client's own, on success as well; one is made up where none is sent."""
    headers = {"X-Trace-ID": "my-trace"}
    assert backend.post("anime", anime(), headers=headers).headers["x-trace-id"] == "my-trace"
    assert backend.post("anime", {}, headers=headers).json()["error"]["trace_id"] == "my-trace"
    first, second = backend.post("anime", {}), backend.post("anime", {})
    assert first.json()["error"]["trace_id"] != second.json()["error"]["trace_id"]


def test_only_uncompressed_utf8_json_is_taken(backend: Client):
    """A charset parameter is fine; form and text are 422, gzip and other encodings 400."""
    body = requests.Request("POST", "http://x", json=anime(title="Тест")).prepare().body
    assert isinstance(body, bytes)
    path = f"{IMPORT}/anime"

    def status(data: bytes, **headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return backend.send("POST", path, data=data, headers=given).status_code

    assert status(body, content_type="application/json; charset=utf-8") == 200
    assert status(body, content_type="text/plain") == 422
    assert status(b"title=x", content_type="application/x-www-form-urlencoded") == 422
    assert status(gzip.compress(body), content_type="application/json", content_encoding="gzip") == 400
    assert status('{"title": "é"}'.encode("latin-1"), content_type="application/json") == 400


def test_a_large_body_passes(backend: Client):
    """A description of a megabyte; 1,000 episodes in one POST."""
    backend.ok("anime", anime(description="x" * 1_000_000))
    entries = [{"source_episode_id": f"1:{number}", "number": number} for number in range(1000)]
    body = {"source_name": "kodik-shikimori", "anime_source_id": "1", "episodes": entries}
    assert backend.ok("episodes", body)["imported"] == 1000


def test_only_the_development_switch_makes_a_422_talk():
    """It adds `details` with the field."""
    with running(dev=True) as talkative:
        error = talkative.post("anime", anime(year=1899)).json()["error"]
    assert error["message"] == "Invalid request data"
    assert error["details"][0]["loc"] == ["year"]
