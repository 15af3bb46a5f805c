"""Sandboxes for tests: forked like commands, and handed from test to test as if each had just been started."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from anime_crawler.sandbox.server.process import RunningSandbox, serving, words_of
from tests import processes
from tests.guard import ROOT, clean_environment

MOST_IDLE = 4  # some 60 MB each; most tests want one of two kinds
ONE_TEST_ONLY = {"faults", "log", "catalogue", "backend_database"}
"""Options whose effect outlives a reset."""


@dataclass
class Started:
    """A sandbox that a test has, or the next may have."""

    options: dict[str, Any]
    sandbox: RunningSandbox
    end: ExitStack = field(default_factory=ExitStack)


idle: list[Started] = []
"""The one that was used last comes last."""


@contextmanager
def running_sandbox(**options: Any) -> Iterator[RunningSandbox]:
    """A sandbox in its first state, with the options of ``scrapy sandbox``; nobody else has it until the block ends."""
    one = _idle_again(options)
    if one is None:
        end = ExitStack()
        one = Started(options, end.enter_context(_forked_sandbox(options)), end)
    is_well = False
    try:
        yield one.sandbox
        is_well = not ONE_TEST_ONLY & options.keys()
    finally:
        if is_well:
            idle.append(one)
        else:
            one.end.close()
        if len(idle) > MOST_IDLE:
            idle.pop(0).end.close()


@contextmanager
def _forked_sandbox(options: dict[str, Any]) -> Iterator[RunningSandbox]:
    words = ["--json", "--attached", *words_of(options)]
    place = {"cwd": ROOT, "env": clean_environment()}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        processes.start("anime_crawler.sandbox.server.serve", *words, **place, **pipes) as process,
        serving(process) as sandbox,
    ):
        yield sandbox


def _idle_again(options: dict[str, Any]) -> Started | None:
    """One with these options that an earlier test had, put in order; ``None``: there is none.

    One that has still to answer somebody will come to no state that is known: it ends.
    """
    for one in [one for one in reversed(idle) if one.options == options]:
        idle.remove(one)
        if not _in_flight(one.sandbox):
            start_over(one.sandbox)
            return one
        one.end.close()
    return None


def start_over(sandbox: RunningSandbox) -> None:
    """Bring it into the state that it has when it starts."""
    sandbox.delete("/backend/_reference/faults")
    sandbox.delete("/backend/_reference/rows")
    sandbox.post("/backend/_reference/reset")
    sandbox.post("/_sandbox/reset", {"world": True})  # last, because it counts what the backend is asked


def _in_flight(sandbox: RunningSandbox) -> int:
    stats = sandbox.get("/_sandbox/stats")
    return sum(stats[service]["in_flight"] for service in stats["requests"])


def stop_all() -> None:
    """Those that nobody has; the others end with who started them."""
    while idle:
        idle.pop().end.close()
