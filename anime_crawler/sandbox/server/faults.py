"""What can go wrong, on demand: which requests a fault hits, and what each kind does to the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from anime_crawler.sandbox.server.damage import DAMAGES
from anime_crawler.sandbox.server.limits import LIMITERS
from anime_crawler.sandbox.server.wire import Call, Reply
from anime_crawler.sandbox.upstreams.robots import ROBOTS


class Fault(BaseModel):
    """One fault. Without `count` and `rate` it hits every matching request until it is removed.

    Keys that are not named here are options of the kind: see `damage`.
    """

    model_config = ConfigDict(extra="allow")

    service: str
    """An upstream, or ``robots``. The backend has switches of its own: POST /backend/_reference/faults."""
    kind: str
    """A name in `damage.DAMAGES`."""
    count: int | None = Field(None, ge=0)
    """How many requests it hits."""
    rate: float | None = Field(None, ge=0, le=1)
    """Share of the matching requests that it hits, drawn from `seed`."""
    skip: int = Field(0, ge=0)
    """How many matching requests pass before the first hit."""
    match: dict[str, str] = {}
    """``path``: how the path begins. Other names: a parameter's value; ``*`` means any value."""
    seed: int = 1
    hits: int = 0

    @field_validator("service")
    @classmethod
    def _simulated(cls, service: str) -> str:
        if service not in (*LIMITERS, ROBOTS):
            raise ValueError(f"there is no upstream {service!r}; there are: {', '.join((*LIMITERS, ROBOTS))}")
        return service

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in DAMAGES:
            raise ValueError(f"there is no fault {kind!r}; there are: {', '.join(sorted(DAMAGES))}")
        return kind

    def model_post_init(self, _: Any) -> None:
        self._random = Random(self.seed)  # noqa: S311 - repeatable bad luck

    _random: Random

    @property
    def options(self) -> dict[str, Any]:
        """The kind's own options."""
        return self.model_extra or {}

    def takes(self, call: Call) -> bool:
        """Whether this request is hit; counts it."""
        if call.service != self.service or not self._matches(call) or self.count == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.rate is not None and self._random.random() >= self.rate:
            return False
        if self.count is not None:
            self.count -= 1
        self.hits += 1
        return True

    def _matches(self, call: Call) -> bool:
        for name, value in self.match.items():
            if name == "path":
                if not call.path.startswith(value):
                    return False
            elif name not in call.params or value not in ("*", call.params[name]):
                return False
        return True

    def apply(self, call: Call, answer: Callable[[], Reply]) -> Reply:
        """The damaged reply."""
        return DAMAGES[self.kind](call, answer, self.options)


class Faults:
    """The faults in force, oldest first; the first that takes a request has it."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.taken_away = asyncio.Event()
        """Set when these are taken away; those that come then have another."""

    def pick(self, call: Call) -> Fault | None:
        """The fault that hits this request."""
        return next((fault for fault in self.active if fault.takes(call)), None)

    def take_away(self) -> None:
        """No more faults: answers that wait for that are sent, whatever fault comes next."""
        self.active.clear()
        self.taken_away.set()
        self.taken_away = asyncio.Event()

    def shown(self) -> list[dict[str, Any]]:
        """The faults with how often each has hit."""
        return [fault.model_dump() for fault in self.active]


def fault_from_text(text: str) -> Fault:
    """A fault from the command line.

    Args:
        text: ``SERVICE.KIND[:key=value,…]``, for example ``kodik.status:status=503,count=3`` or
            ``shikimori.too_many:rate=0.2``. Values are JSON where they can be, else text.

    Raises:
        ValueError: naming what is wrong.
    """
    name, _, rest = text.partition(":")
    service, _, kind = name.partition(".")
    options = dict(part.partition("=")[::2] for part in rest.split(",") if part)
    return Fault(service=service, kind=kind, **{key: _value(value) for key, value in options.items()})


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
