"""The real services that tests need: found, installed where that is possible, started privately, stopped.

``python -m tests.services`` installs what is missing (``make test`` does this before the tests).
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from anime_crawler.download.browser.chromium import PROGRAMS

# Where packagers put the server's programs: Debian, Homebrew on Apple and on Intel machines.
POSTGRES_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
HOW_TO_INSTALL = (
    "PostgreSQL is not installed and could not be installed from here: "
    "run `apt-get install postgresql` as root, or `brew install postgresql`"
)
HOW_TO_INSTALL_REDIS = (
    "Redis is not installed and could not be installed from here: "
    "run `apt-get install redis-server` as root, or `brew install redis`"
)
HOW_TO_INSTALL_CHROMIUM = (
    "Chromium is not installed and could not be installed from here: "
    "run `apt-get install chromium` as root, or `brew install chromium`"
)


@dataclass(frozen=True)
class Postgres:
    """A private PostgreSQL server; trusts every local user, forgets everything at the end."""

    port: int
    directory: str

    def url(self, database: str) -> str:
        """SQLAlchemy address of a database of this server."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"


def postgres_programs() -> Path | None:
    """Directory with ``initdb`` and ``pg_ctl``; ``None``: not installed."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    places = [place for pattern in POSTGRES_PLACES for place in Path("/").glob(pattern[1:])]
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


def start_postgres(state: Path) -> Postgres:
    """The server noted in the file `state`, started when there is none yet. Call it under a lock."""
    if state.exists():
        return Postgres(**json.loads(state.read_text()))
    # A short path of its own: the path of a Unix socket may have 107 characters at most.
    directory = tempfile.mkdtemp(prefix="anime-pg-")
    if _server_user():
        shutil.chown(directory, _server_user())
    server = Postgres(free_port(), directory)
    # Encoding as in production; nothing is synced, the data lives as long as the tests.
    _run(server, "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    options = f"-p {server.port} -h 127.0.0.1 -k {directory} -c fsync=off"
    _run(server, "pg_ctl", "-D", "data", "-l", "log", "-w", "-s", "-o", options, "start")
    state.write_text(json.dumps(asdict(server)))
    return server


def stop_postgres(state: Path) -> None:
    """Stop the server noted in `state`, if any, and remove its directory."""
    if state.exists():
        server = Postgres(**json.loads(state.read_text()))
        _run(server, "pg_ctl", "-D", "data", "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(server.directory, ignore_errors=True)
        state.unlink()


@dataclass(frozen=True)
class RedisServer:
    """A private Redis server that keeps nothing on disk."""

    port: int

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"


def start_redis(state: Path) -> RedisServer:
    """The server noted in the file `state`, started when there is none yet. Call it under a lock."""
    if state.exists():
        return RedisServer(**json.loads(state.read_text()))
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError(HOW_TO_INSTALL_REDIS)
    server = RedisServer(free_port())
    options = {"bind": "127.0.0.1", "port": server.port, "save": "", "appendonly": "no", "daemonize": "yes"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    subprocess.run([program, *words, "--dir", state.parent], check=True, capture_output=True, timeout=60)
    with redis.Redis.from_url(server.url()) as client:
        _until(client.ping)
    state.write_text(json.dumps(asdict(server)))
    return server


def stop_redis(state: Path) -> None:
    """Stop the server noted in `state`, if any."""
    if state.exists():
        with redis.Redis.from_url(RedisServer(**json.loads(state.read_text())).url()) as client:
            client.shutdown(nosave=True)
        state.unlink()


def chromium_program() -> str | None:
    """Path of the system's Chromium; ``None``: not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def _until(call: Callable[[], object]) -> None:
    """Wait for a server that has just been started."""
    for _ in range(200):
        try:
            call()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server does not answer")


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(server: Postgres, program: str, *arguments: str) -> None:
    programs = postgres_programs()
    if not programs:
        raise RuntimeError(HOW_TO_INSTALL)
    # Not into a pipe: the server that pg_ctl leaves behind would hold it open.
    with Path(server.directory, f"{program}.out").open("w+") as output:
        done = subprocess.run(
            [str(programs / program), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=server.directory,
            user=_server_user(),
            timeout=120,
        )
        if done.returncode:
            output.seek(0)
            raise RuntimeError(f"{program} failed:\n{output.read()}")


def _server_user() -> str | None:
    """Who runs the server: PostgreSQL refuses to run as root. ``None``: whoever we are."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "_postgres", "nobody") if name in names)


def install() -> list[str]:
    """Install what is missing with the system's package manager; how to get what is missing still."""
    if not postgres_programs():
        _install("postgresql", "postgresql")
    if not shutil.which("redis-server"):
        _install("redis-server", "redis")
    if not chromium_program():
        _install("chromium", "chromium")
    found = {
        HOW_TO_INSTALL: postgres_programs(),
        HOW_TO_INSTALL_REDIS: shutil.which("redis-server"),
        HOW_TO_INSTALL_CHROMIUM: chromium_program(),
    }
    return [how for how, program in found.items() if not program]


def _install(debian: str, homebrew: str) -> None:
    if shutil.which("apt-get"):
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        apt_get = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
        subprocess.run([*apt_get, "update"], check=False)
        subprocess.run([*apt_get, "install", debian], check=False)
    elif shutil.which("brew"):
        subprocess.run(["brew", "install", homebrew], check=False)


if __name__ == "__main__":
    sys.exit("\n".join(install()) or 0)
