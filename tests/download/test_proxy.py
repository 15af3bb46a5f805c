"""Which host is asked by which proxy, and what each of them is sent: the same by crawl, delivery and diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from anime_crawler.config import Config, ConfigError
from anime_crawler.download.proxy import is_loopback, proxy_of
from anime_crawler.rate_limit.sandbox_header import SANDBOX_HEADER
from tests.e2e.support import Project

NETRC = "machine 127.0.0.1 login admin password scrapyd-pass\ndefault login admin password scrapyd-pass\n"


class Recorder(ThreadingHTTPServer):
    """Keeps what it is sent. As a proxy it passes on to the sandbox what hosts in ``.test`` are asked; as the backend,
    for itself, it takes every record."""

    daemon_threads = True

    def __init__(self, sandbox_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sandbox_url = sandbox_url
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        """(host, path, headers, body) of each request."""

    def asked_of(self, host: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for name, _, headers, body in self.asked if name == host]


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((parts.hostname or "", parts.path, headers, body))
        status, kind, answer = 200, "application/json", b'{"success": true}'
        if parts.hostname and parts.hostname != "backend.test":
            with requests.Session() as session:
                session.trust_env = False
                url = self.server.sandbox_url + parts._replace(scheme="", netloc="").geturl()
                found = session.request(self.command, url, data=body, headers={"Content-Type": headers["content-type"]})
            status, kind, answer = found.status_code, found.headers["content-type"], found.content
        elif body == b"{}":  # the question whether the token is taken
            status = 403 if headers["x-internal-token"].startswith("not-") else 422
            answer = b'{"error": {"message": "Invalid internal token"}}' if status == 403 else b"{}"
        self.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(len(answer))}
        if not parts.hostname:  # the sandbox's own backend: invented titles go to no other
            told[SANDBOX_HEADER] = "1"
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815  the name that http.server calls

    def log_message(self, *args: Any) -> None:
        """Nothing is logged."""


@contextmanager
def recorder(sandbox: Any) -> Iterator[Recorder]:
    with Recorder(sandbox.url) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(sandbox: Any) -> Iterator[Recorder]:
    """A recording proxy."""
    with recorder(sandbox) as server:
        yield server


@pytest.fixture
def backend(sandbox: Any) -> Iterator[Recorder]:
    """A recording backend."""
    with recorder(sandbox) as server:
        yield server


@pytest.fixture
def project(sandbox: Any, tmp_path: Path) -> Project:
    """A project whose user keeps a password of another service in ``~/.netrc``."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.netrc").write_text(NETRC)
    (tmp_path / "home/.netrc").chmod(0o600)
    return Project(tmp_path / "project", sandbox, {"HOME": str(tmp_path / "home"), "no_proxy": ""})


@pytest.mark.parametrize("words", [("crawl", "kodik"), ("diagnose", "kodik")])
def test_loopback_is_never_asked_by_a_proxy_and_gets_no_password_of_netrc(project, proxy, backend, words):
    """A corporate proxy knows nothing of what runs here; the backend is sent its own token and nothing else."""
    done = project.run(*words, http_proxy=proxy.url, HTTP_PROXY=proxy.url, BACKEND_BASE_URL=backend.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert proxy.asked == []
    tokens = {headers["x-internal-token"] for headers, body in backend.asked_of("") if body and body != b"{}"}
    assert tokens == ({project.sandbox.internal_token} if words[0] == "crawl" else set())
    assert backend.asked
    assert not any("authorization" in headers for headers, _ in backend.asked_of(""))


def test_what_the_proxy_alone_can_reach_is_reached_by_all_and_each_host_is_sent_its_own(project, proxy):
    """The proxy's password is for the proxy and stays in no file; each token goes to its own host."""
    address = proxy.url.replace("http://", "http://me:proxy-p%3Ass@")
    remote = {f"{name.upper()}_BASE_URL": f"http://{name}.test/{name}" for name in ("kodik", "shikimori")}
    remote |= {"BACKEND_BASE_URL": "http://backend.test", "http_proxy": address}
    for words in (("crawl", "kodik", "-s", "JOBDIR=job"), ("diagnose", "kodik", "shikimori"), ("deliver", "--recheck")):
        done = project.run(*words, **remote)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {host for host, *_ in proxy.asked} == {"kodik.test", "shikimori.test", "backend.test"}
    kodik, internal = project.sandbox.kodik_token.encode(), project.sandbox.internal_token
    for host, path, headers, body in proxy.asked:
        assert headers["proxy-authorization"] == "Basic bWU6cHJveHktcDpzcw=="
        assert "authorization" not in headers
        assert (kodik in body) == (host == "kodik.test")
        is_import = "/internal/import/" in path
        assert ("x-internal-token" in headers) == is_import
        assert not is_import or headers["x-internal-token"] in (internal, "not-the-token")
    files = [path for path in project.directory.rglob("*") if path.is_file()]
    assert not any(secret in path.read_bytes() for path in files for secret in (b"proxy-p", b"bWU6cHJveHk"))


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_proxied"),
    [
        ("http://kodik.test/x", "", True),
        ("http://kodik.test/x", "kodik.test", False),
        ("http://a.kodik.test/x", ".kodik.test", False),
        ("http://a.kodik.test/x", "*.kodik.test, other.test", False),
        ("http://notkodik.test/x", "kodik.test", True),
        ("http://KODIK.test./x", "kodik.test", False),
        ("http://kodik.test:8080/x", "kodik.test:8080", False),
        ("http://kodik.test:8080/x", "kodik.test:80", True),
        ("http://kodik.test/x", "kodik.test:80", False),
        ("http://kodik.test/x", "*", False),
        ("http://10.1.2.3/x", "10.0.0.0/8", False),
        ("http://11.1.2.3/x", "10.0.0.0/8", True),
        ("http://[fd00::1]/x", "fd00::/8", False),
        ("http://[fd00::1]:81/x", "[fd00::1]:81", False),
        ("http://[fd00::1]:82/x", "[fd00::1]:81", True),
        ("http://localhost/x", "", False),
        ("http://api.localhost:8000/x", "", False),
        ("http://127.8.9.1/x", "", False),
        ("http://[::1]:8000/x", "", False),
        ("http://[::ffff:127.0.0.1]/x", "", False),
        ("http://127.1/x", "", False),
        ("http://0.0.0.0:8000/x", "", False),
        ("http://[::]:8000/x", "", False),
        ("http://kodik.test/x", "kodik.test.", False),
        ("http://kodik.test/x", "other.test kodik.test", False),
        ("http://128.0.0.1/x", "", True),
        ("http://cafe/x", "", True),
        ("http://localhost.test/x", "", True),
        ("https://kodik.test/x", "", False),
    ],
)
def test_who_is_asked_by_the_proxy(monkeypatch, url, no_proxy, is_proxied):
    """Names, addresses and networks in `no_proxy` are not, nor is this machine; https has a proxy of its own."""
    monkeypatch.setenv("http_proxy", "proxy.test:3128")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("no_proxy", no_proxy)
    proxy = proxy_of(url)
    assert (proxy is not None) == is_proxied
    assert proxy is None or (proxy.url, proxy.authorization) == ("http://proxy.test:3128", None)


def test_small_letters_win_and_an_empty_value_means_none(monkeypatch):
    """As in other programs."""
    monkeypatch.setenv("HTTP_PROXY", "http://large.test:1")
    assert proxy_of("http://kodik.test").url == "http://large.test:1"
    monkeypatch.setenv("http_proxy", "")
    assert proxy_of("http://kodik.test") is None


@pytest.mark.parametrize(
    "value",
    ["socks5://user:hunter2@p.test:1", "https://user:hunter2@p.test", "http://u:hunter2@x@p.test", "http://:80"],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch, value):
    """Before anything is asked."""
    monkeypatch.setenv("https_proxy", value)
    with pytest.raises(ConfigError, match=r"https_proxy .*http://host:port is wanted") as error:
        Config.load()
    assert "hunter2" not in str(error.value)


def test_loopback_is_told_by_address_or_name():
    """Not by what a name happens to resolve to."""
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "LOCALHOST", "0.0.0.0", "example.com")] == [
        *(True, True, True, True),
        False,
    ]
