"""Fault switches: what the real backend, its container and its proxies do by themselves, on demand."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from anime_crawler.reference_backend.errors import DATABASE_TROUBLES

Route = Literal["anime", "episodes", "video", "*"]
Stage = Literal["arrival", "store"]

PRESETS: dict[str, dict[str, Any]] = {
    "html": {"status": 200, "body": "<!doctype html><title>Welcome</title>", "content_type": "text/html"},
    "null": {"status": 200, "body": "null"},
    "empty_object": {"status": 200, "body": "{}"},
    "no_body": {"status": 200, "body": ""},
    "not_success": {"status": 200, "body": '{"success": false, "message": "partly", "errors": ["episode 3"]}'},
    "redirect_307": {"status": 307, "body": "", "headers": {"location": "http://127.0.0.1:9/elsewhere"}},
    "redirect_308": {"status": 308, "body": "", "headers": {"location": "http://127.0.0.1:9/elsewhere"}},
    "bad_body": {"status": 400, "message": "There was an error parsing the body"},
    "wrong_token": {"status": 403, "message": "Invalid internal token"},
    "wrong_service": {"status": 404, "message": "Not Found"},
    "no_anime": {"status": 404, "message": "Anime not found: kodik-shikimori/0", "at": "store"},
    "no_episode": {"status": 404, "message": "Episode not found: kodik-shikimori/0:0", "at": "store"},
    "wrong_method": {"status": 405, "message": "Method Not Allowed"},
    "conflict": {"status": 409, "message": "Conflict"},
    "precondition": {"status": 412, "message": "Precondition Failed"},
    "too_large": {"status": 413, "body": "<h1>413 Request Entity Too Large</h1>", "content_type": "text/html"},
    "uri_too_long": {"status": 414, "body": "<h1>414 URI Too Long</h1>", "content_type": "text/html"},
    "headers_too_large": {"status": 431, "body": "", "content_type": "text/plain"},
    "invalid": {"status": 422, "message": "Invalid request data"},
    "throttled": {"status": 429, "body": "slow down", "content_type": "text/plain", "headers": {"retry-after": "1"}},
    "bad_gateway": {"status": 502, "body": "<h1>502 Bad Gateway</h1>", "content_type": "text/html"},
    "unavailable": {"status": 503, "body": "<h1>503 Service Unavailable</h1>", "content_type": "text/html"},
    "gateway_timeout": {"status": 504, "body": "<h1>504 Gateway Time-out</h1>", "content_type": "text/html"},
    "drop": {"drop": True},
    "drop_after_store": {"drop": True, "stored": True, "at": "store"},
    "slow": {"delay_s": 5.0, "at": "store"},
    "lock": {"holds": "all", "at": "store"},
    "write_lock": {"holds": "writes", "at": "store"},
    "gateway_502": {"gateway_s": 1.0, "status": 502, "body": "<h1>502 Bad Gateway</h1>", "content_type": "text/html"},
    "gateway_504": {"gateway_s": 1.0, "status": 504, "body": "<h1>504 Time-out</h1>", "content_type": "text/html"},
    **{name: {"status": 500, "trouble": name, "at": "store"} for name in DATABASE_TROUBLES},
}
"""By name, each row of the contract's error matrix.

A rule may replace any part: ``{"name": "slow", "delay_s": 40}``.
"""


class Fault(BaseModel):
    """A fault happens to some POSTs instead of the normal answer, or before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "custom"
    """A key of `PRESETS`, whose values it takes, or any other word."""
    route: Route = "*"
    at: Stage = "arrival"
    """``arrival``: as a proxy would, before token and body are looked at. ``store``: as a good POST is to be stored."""
    times: int | None = Field(None, ge=1)
    """How many POSTs it strikes; None: no end."""
    rate: float = Field(1.0, ge=0, le=1)
    """Share of the POSTs that it strikes."""
    skip: int = Field(0, ge=0)
    """POSTs of its route that are let through first."""
    lasts_s: float | None = Field(None, ge=0)
    """Seconds after which it ends by itself; None: never."""
    worker: int | None = Field(None, ge=0)
    """Strike only POSTs that came to this one of `Faults.workers`; None: those of all workers."""
    holds: Literal["all", "writes"] | None = None
    """A lock on the tables: POSTs are held until the rule is over (`lasts_s`) or the faults are replaced, and then go
    on, whether or not their client is still there. ``writes``: as CREATE INDEX does, it lets pass what only reads."""
    gateway_s: float | None = Field(None, ge=0)
    """A gateway stands in front: a POST that is not answered within so many seconds gets `status` and `body` from it,
    while the backend goes on with the POST as if nothing had happened."""
    delay_s: float = Field(0.0, ge=0)
    """Seconds to wait first. Alone and at ``store``: a slow commit, which outlives a client that gives up."""
    stored: bool = False
    """Whether the POST is stored although the client is told something else. Only at ``store``."""
    drop: bool = False
    """End the connection without an answer."""
    status: int | None = Field(None, ge=200, le=599)
    message: str | None = None
    """Text of the error envelope."""
    trouble: str | None = None
    """Text of the error envelope as the database causes it, with the POST's own parameters."""
    body: str | None = None
    """Sent as it is instead of an envelope."""
    content_type: str = "application/json"
    headers: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        return {**PRESETS.get(values.get("name", ""), {}), **values} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _does_something(self) -> Fault:
        if self.status is None and not self.drop and not self.delay_s and not self.holds:
            raise ValueError(f"states no status, drop, holds or delay_s, and its name is none of {', '.join(PRESETS)}")
        if self.gateway_s is not None and self.status is None:
            raise ValueError("gateway_s needs a status")
        if self.holds and self.at == "arrival":
            raise ValueError("holds needs at=store")
        if self.stored and self.at == "arrival":
            raise ValueError("stored needs at=store")
        if self.trouble is not None and self.trouble not in DATABASE_TROUBLES:
            raise ValueError(f"trouble is none of {', '.join(DATABASE_TROUBLES)}")
        return self


class Faults(BaseModel):
    """All switches; the default is a backend without faults of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Fault] = []
    """The first one that strikes a POST counts."""
    workers: int = Field(1, ge=1)
    """Connections are dealt to so many workers in turn, so that a rule can strike one `worker` while others go on."""
    seed: int = 0
    """Of the dice behind `Fault.rate`: the same order of POSTs meets the same faults."""
    recycle_after: int | None = Field(None, ge=1)
    """POSTs that one connection carries before the next is dropped unanswered and unstored (worker recycling)."""
    keep_alive_s: float | None = Field(None, ge=0)
    """Seconds an idle connection is kept; None: uvicorn's 5. The shipped container of the real one: 2."""
    slug_query_s: float = Field(0.0, ge=0)
    """Seconds per query of a slug chain; measured on the real one: 0.00035."""
    store_duplicates: bool = False
    """Store the duplicate players that the real one would, after which their key answers 500 for ever."""
    lose_races: bool = False
    """Answer 500 UniqueViolationError where the real one loses a race, instead of waiting for the other POST."""


class Switches:
    """The faults in force. Only the event loop's thread calls it, except for reading `faults`."""

    def __init__(self, faults: Faults) -> None:
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """Replace all faults; counts and dice start anew."""
        self.faults = faults
        self.concern_connections = faults.recycle_after is not None or faults.keep_alive_s is not None
        self.struck: Counter[str] = Counter()
        self._dice = Random(faults.seed)  # noqa: S311  # reproducible faults, no secret
        self._since = time.monotonic()
        self._rules = [_Rule(fault) for fault in faults.rules]

    def pick(self, route: str, stage: Stage, connection: int = 0) -> Fault | None:
        """The fault that strikes this POST, if one does. Gateways are asked for with `gateway`.

        Args:
            connection: the number of the connection that the POST came on.
        """
        return self._pick(route, stage, connection, is_gateway=False)

    def gateway(self, route: str, connection: int) -> Fault | None:
        """The gateway that this POST passes, if there is one."""
        return self._pick(route, "arrival", connection, is_gateway=True)

    def is_held(self, fault: Fault) -> bool:
        """Whether the lock `fault` still holds what it has struck."""
        is_over = fault.lasts_s is not None and time.monotonic() - self._since >= fault.lasts_s
        return not is_over and any(rule.fault is fault for rule in self._rules)

    def _pick(self, route: str, stage: Stage, connection: int, *, is_gateway: bool) -> Fault | None:
        if not self._rules:
            return None
        age_s = time.monotonic() - self._since
        worker = connection % self.faults.workers
        for rule in self._rules:
            if (rule.fault.gateway_s is not None) is not is_gateway or rule.fault.worker not in (None, worker):
                continue
            if rule.concerns(route, stage, age_s) and rule.strikes(self._dice):
                self.struck[rule.fault.name] += 1
                return rule.fault
        return None


class _Rule:
    """One fault and how often it was asked and struck."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._asked = 0
        self._struck = 0

    def concerns(self, route: str, stage: Stage, age_s: float) -> bool:
        fault = self.fault
        used_up = fault.times is not None and self._struck >= fault.times
        over = fault.lasts_s is not None and age_s >= fault.lasts_s
        return fault.at == stage and fault.route in (route, "*") and not used_up and not over

    def strikes(self, dice: Random) -> bool:
        self._asked += 1
        if self._asked <= self.fault.skip or (self.fault.rate < 1 and dice.random() >= self.fault.rate):
            return False
        self._struck += 1
        return True
