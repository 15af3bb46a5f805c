"""`Faults` make the reference backend fail on demand as the real backend, its container and its proxies do."""

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
"""Name -> values of a `Fault`, for each row of the contract's error matrix.

A rule may replace any value: ``{"name": "slow", "delay_s": 40}``.
"""


class Fault(BaseModel):
    """A fault happens to some POSTs instead of the normal answer, or before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "custom"
    """A key of `PRESETS`, whose values the fault takes, or any other word."""
    route: Route = "*"
    at: Stage = "arrival"
    """``arrival``: the fault strikes before token and body are checked, as a proxy's does. ``store``: the fault strikes
    when a good POST is to be stored."""
    times: int | None = Field(None, ge=1)
    """Number of POSTs that the fault strikes; None: no limit."""
    rate: float = Field(1.0, ge=0, le=1)
    """Share of the POSTs that the fault strikes."""
    skip: int = Field(0, ge=0)
    """Number of POSTs of its route that the fault lets through first."""
    lasts_s: float | None = Field(None, ge=0)
    """Seconds after which the fault ends by itself; None: never."""
    worker: int | None = Field(None, ge=0)
    """Number of the worker (of `Faults.workers`) whose POSTs alone the fault strikes; None: those of all workers."""
    holds: Literal["all", "writes"] | None = None
    """A lock on the tables holds POSTs until the fault ends (`lasts_s`) or the faults are replaced. Then they go on,
    whether or not their client is still there. ``writes``: as with CREATE INDEX, POSTs that only read are let pass."""
    gateway_s: float | None = Field(None, ge=0)
    """Seconds after which a gateway in front of the backend answers a POST with `status` and `body`, while the backend
    goes on with the POST; None: there is no gateway."""
    delay_s: float = Field(0.0, ge=0)
    """Seconds to wait first. Alone and at ``store`` it is a slow commit, which goes on after its client gave up."""
    stored: bool = False
    """Whether the POST is stored although the client gets another answer. Only at ``store``."""
    drop: bool = False
    """Whether the connection ends without an answer."""
    status: int | None = Field(None, ge=200, le=599)
    message: str | None = None
    """Text of the error envelope."""
    trouble: str | None = None
    """One of `DATABASE_TROUBLES`: the envelope has the text of that database error, with the POST's own parameters."""
    body: str | None = None
    """Body that is sent instead of an envelope."""
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
    """`Faults` are all faults of a backend; by default there are none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Fault] = []
    """The first fault that strikes a POST is the only one that does."""
    workers: int = Field(1, ge=1)
    """Number of workers to which connections are dealt in turn, so that a fault can strike one `worker` alone."""
    seed: int = 0
    """Seed of the random numbers behind `Fault.rate`: POSTs in the same order meet the same faults."""
    recycle_after: int | None = Field(None, ge=1)
    """POSTs that one connection carries before the next one is dropped, neither answered nor stored (as if the worker
    was recycled); None: no limit."""
    keep_alive_s: float | None = Field(None, ge=0)
    """Seconds for which an idle connection is kept; None: uvicorn's 5. The real backend's container keeps it for 2."""
    slug_query_s: float = Field(0.0, ge=0)
    """Seconds per query of a slug chain; on the real backend 0.00035 were measured."""
    store_duplicates: bool = False
    """Whether duplicate players are stored where the real backend would. After that their key gets a 500 for ever."""
    lose_races: bool = False
    """Whether a POST gets a 500 UniqueViolationError where the real backend loses a race, instead of waiting for the
    other POST."""


class Switches:
    """`Switches` hold the faults in force. Only the event loop's thread may call them; any thread may read `faults`."""

    def __init__(self, faults: Faults) -> None:
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """Replace all faults; counts and random numbers begin anew."""
        self.faults = faults
        self.concern_connections = faults.recycle_after is not None or faults.keep_alive_s is not None
        self.struck: Counter[str] = Counter()
        self._dice = Random(faults.seed)  # noqa: S311  # reproducible faults, no secret
        self._since = time.monotonic()
        self._rules = [_Rule(fault) for fault in faults.rules]

    def pick(self, route: str, stage: Stage, connection: int = 0) -> Fault | None:
        """The fault that strikes this POST; ``None``: none does. `gateway` looks for gateways.

        Args:
            connection: the number of the connection on which the POST came.
        """
        return self._pick(route, stage, connection, is_gateway=False)

    def gateway(self, route: str, connection: int) -> Fault | None:
        """The fault that is this POST's gateway; ``None``: there is no gateway."""
        return self._pick(route, "arrival", connection, is_gateway=True)

    def is_held(self, fault: Fault) -> bool:
        """Whether the lock `fault` still holds the POSTs that it has struck."""
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
    """A `_Rule` counts for one fault how often it was asked and how often it struck."""

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
