"""The frontier calls Redis through these: `explained` translates Redis' errors, `Scripts` runs Lua scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anime_crawler.frontier.store import FrontierAway, FrontierError, JobDirHeld, LeaseLost
from anime_crawler.redis_words import may_pass, refusal


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of Redis into those of the frontier. No message holds the address, which may contain a password.

    Raises:
        FrontierAway: if the same call may succeed later.
        LeaseLost: if the script replied that this worker has lost its leases.
        JobDirHeld: if the script replied that workers of another run are alive.
        FrontierError: if the call will not succeed later either.
    """
    from redis import exceptions  # imported here: it takes 0.05 s, and a crawl on one machine needs no Redis

    try:
        yield
    except exceptions.RedisError as error:
        raise _error(error) from error
    except OSError as error:
        raise FrontierAway(_away(error)) from error


def _error(error: Exception) -> FrontierError:
    said = str(error)
    if said.startswith("LOST"):
        return LeaseLost("another worker has taken over what this one had leased")
    if said.startswith("HELD"):
        return JobDirHeld("workers of another run are at work in this Redis (REDIS_URL); wait for them or stop them")
    if may_pass(error):
        return FrontierAway(_away(error))
    return FrontierError(refusal(error, "REDIS_URL") or f"the Redis of REDIS_URL cannot be used: {said}")


def _away(error: Exception) -> str:
    return f"Redis of REDIS_URL cannot be used just now: {error or type(error).__name__}"


class Scripts:
    """Calls of our scripts on the keys of one crawl's membership and of one frontier."""

    def __init__(self, client: Any, membership: str, store: str = "") -> None:
        self._client = client
        # An empty key is never passed: a Redis user that is limited to the project's keys may not name one.
        self._keys = [membership, store] if store else [membership]
        self._known: dict[str, Any] = {}

    def call(self, script: str, *arguments: Any) -> Any:
        """Run the script and return its result. The errors are those of `explained`."""
        if script not in self._known:
            self._known[script] = self._client.register_script(script)
        with explained():
            return self._known[script](keys=self._keys, args=arguments)
