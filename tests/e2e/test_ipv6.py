"""Hosts that have an IPv6 address only: crawl, delivery and diagnosis reach them as any other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.support import Project


@pytest.fixture
def address(sandbox: Any) -> Iterator[str]:
    """The sandbox's address on ``[::1]``, where it does not listen itself."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this system has no IPv6")
    there = urlsplit(sandbox.url)

    def accept() -> None:
        while True:
            try:
                ours, _ = listener.accept()
            except OSError:
                return
            theirs = socket.create_connection((there.hostname, there.port))
            for one, other in ((ours, theirs), (theirs, ours)):
                Thread(target=pass_on, args=(one, other), daemon=True).start()

    Thread(target=accept, daemon=True).start()
    yield f"http://[::1]:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """Everything, until one of them ends."""
    with one:
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            other.close()


def test_a_host_with_an_ipv6_address_only_is_crawled_delivered_to_and_diagnosed(sandbox, address, tmp_path):
    """Its limits are kept under its own address, its token reaches it, and robots.txt is read."""
    names = ("kodik", "shikimori", "anisearch", "backend")
    there = {f"{name.upper()}_BASE_URL": f"{address}/{name}" for name in names}
    project = Project(tmp_path / "project", sandbox, there)
    for words in (("diagnose", "kodik", "anisearch"), ("crawl", "kodik"), ("crawl", "anisearch", "-a", "mode=full")):
        done = project.run(*words, KODIK_LIMITS="1000/s")
        assert done.returncode == 0, done.stdout + done.stderr
    assert project.records("players")
    assert "1000/s" in project.run("status", KODIK_LIMITS="1000/s").stdout
