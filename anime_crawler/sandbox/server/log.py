"""Every request that arrived, in order: the witness of tests. Parameters are kept, tokens never."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson


@dataclass(slots=True)
class Entry:
    """One request."""

    service: str
    method: str
    path: str
    in_flight: int
    """Requests to this service under way, this one among them."""
    wall: float
    monotonic: float
    summary: dict[str, Any] | None = None
    """Parameters without token; ids and page of a GraphQL query."""
    status: int = 0
    """0: not answered, or the connection was dropped."""
    bytes: int = 0
    """Body bytes sent."""
    duration_s: float = 0.0
    fault: str | None = None
    """The kind of the fault that hit it."""

    def as_dict(self) -> dict[str, Any]:
        """As a line of JSON shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass
class Figures:
    """Counts over the requests to one service since the last reset."""

    requests: int = 0
    bytes: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class Log:
    """Entries and figures since the last reset.

    Args:
        services: names of all there are.
        file: also written here as JSON lines, each when its request has ended.
    """

    def __init__(self, services: tuple[str, ...], file: Path | None = None) -> None:
        self.figures = {name: Figures() for name in services}
        self.entries: list[Entry] = []
        self._stream: TextIO | None = file.open("a", buffering=1, encoding="utf-8") if file else None

    def begin(self, service: str, method: str, path: str) -> Entry:
        """A request has arrived."""
        figures = self.figures[service]
        figures.requests += 1
        figures.in_flight += 1
        figures.max_in_flight = max(figures.max_in_flight, figures.in_flight)
        entry = Entry(service, method, path, figures.in_flight, time.time(), time.monotonic())
        self.entries.append(entry)
        return entry

    def end(self, entry: Entry) -> None:
        """Its answer is out, or its connection gone."""
        entry.duration_s = time.monotonic() - entry.monotonic
        figures = self.figures[entry.service]
        figures.in_flight -= 1
        figures.bytes += entry.bytes
        figures.statuses[str(entry.status)] += 1
        figures.paths[entry.path] += 1
        if entry.fault:
            figures.faults[entry.fault] += 1
        if self._stream:
            self._stream.write(orjson.dumps(entry.as_dict(), default=str).decode() + "\n")

    def clear(self) -> None:
        """Forget everything; requests under way stay counted as such."""
        self.entries.clear()
        for name, old in self.figures.items():
            self.figures[name] = Figures(in_flight=old.in_flight, max_in_flight=old.in_flight)

    def of(self, service: str | None) -> list[Entry]:
        """Entries of one service, or all."""
        return [e for e in self.entries if service is None or e.service == service]
