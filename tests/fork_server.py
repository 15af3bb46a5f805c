"""``python -m tests.fork_server FD``: has the package loaded, and forks a command from that for each wish on a socket.

A command of `scrapy` spends 1 s of CPU on imports before it does anything; a fork of this process has them. `processes`
is the other end. Every wish is a line of JSON and gets one as its answer, in order:

* ``{"module": …, "arguments": […], "cwd": …, "environment": {…}, "new_session": …,
  "warnings": …}`` with stdin, stdout and stderr as
  file descriptors: the number of the new process, which runs the module as ``python -m`` does,
* ``{"waited": pid}``: what ``os.waitpid(pid, WNOHANG)`` says. A dead command stays a zombie until somebody asks, so
  that its number means no other process meanwhile.

The server ends when the socket's other end is closed. A command ends with the server, however that dies.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import pkgutil
import runpy
import signal
import socket
import sys
import tempfile
import threading
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

import anime_crawler

CHUNK = 2**16  # bytes
PR_SET_PDEATHSIG = 1
"""Of Linux' prctl: the signal that this process gets when its parent dies."""

# What `python -m` executes must not be loaded already.
PROGRAMS = ("anime_crawler.sandbox.server.serve", "anime_crawler.commands.first_crawl")
# What a command imports in its course.
LATE = (
    *("scrapy.cmdline", "scrapy.crawler", "scrapy.core.scheduler", "scrapy.extensions.closespider", "scrapy.shell"),
    *("scrapy.extensions.logcount", "scrapy.extensions.memdebug", "scrapy.spidermiddlewares.httperror"),
    *("scrapy.spidermiddlewares.start", "scrapy.statscollectors", "scrapy.utils.template", "scrapy.contracts"),
    *("scrapy.downloadermiddlewares.cookies", "scrapy.downloadermiddlewares.httpproxy", "twisted.web.client"),
    *("scrapy.downloadermiddlewares.offsite", "scrapy.downloadermiddlewares.useragent", "tldextract", "uvloop"),
    *("alembic.command", "alembic.config", "alembic.autogenerate", "mako.template", "rich._emoji_codes"),
    *("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql.psycopg", "uvicorn", "redis", "scrapy_redis"),
)


def preload() -> None:
    """Import the whole package, and what it uses; a reactor would be one for all commands, so there must be none."""
    packages = pkgutil.walk_packages(anime_crawler.__path__, f"{anime_crawler.__name__}.")
    ours = [name for _, name, _ in packages if ".migrations" not in name]
    scrapy = import_module("scrapy.commands")
    commands = [name for _, name, _ in pkgutil.iter_modules(scrapy.__path__, f"{scrapy.__name__}.")]
    for name in (*LATE, *commands, *ours):
        import_module(name)
    for name in PROGRAMS:
        del sys.modules[name]
    assert "twisted.internet.reactor" not in sys.modules, "a module installs a reactor when it is imported"
    assert threading.active_count() == 1, "a module starts a thread when it is imported"


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Answer wishes until nobody can have any more: ``None``. In a forked process: the wish that it is to fulfil."""
    server = os.getpid()
    while True:
        text, descriptors, _, _ = socket.recv_fds(control, CHUNK, 3)
        while text and not text.endswith(b"\n"):
            text += control.recv(CHUNK)
        if not text:
            return None
        wish: dict[str, Any] = orjson.loads(text)
        if "waited" in wish:
            control.sendall(orjson.dumps(os.waitpid(wish["waited"], os.WNOHANG)) + b"\n")
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            become(wish, descriptors, server)
            return wish
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(orjson.dumps(pid) + b"\n")


def become(wish: dict[str, Any], descriptors: list[int], server: int) -> None:
    """Make this fork the process that was wished for: its directory, environment, arguments and standard streams."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it died before it could be heard of
            os._exit(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if wish["new_session"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(wish["cwd"])
    os.environ.clear()
    os.environ.update(wish["environment"])
    sys.path[0] = str(Path.cwd())  # where `python -m` puts it
    sys.argv[1:] = wish["arguments"]
    warnings._processoptions(wish["warnings"])  # type: ignore[attr-defined]  # what `python -W` does
    tempfile.tempdir = None  # made from the environment when it is asked for


def run(module: str) -> None:
    """Run the module as a program, and end as Python does, but do not take the interpreter to pieces: that costs more
    than a short command.
    """
    code: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code or 0)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; what they leave behind ends with them
    preload()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    wish = serve(control)
    if wish is not None:
        run(wish["module"])


if __name__ == "__main__":
    main()
