"""The workers of one crawl: who is alive, and who of them may still do what it was given."""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from anime_crawler.frontier.redis import scripts as redis_scripts
from anime_crawler.frontier.redis.client import Scripts, explained
from anime_crawler.frontier.store import FrontierError

PREFIX = "anime_crawler:crawl:"


class Membership:
    """One worker's place among those of a crawl. All methods raise `FrontierError` and its kinds.

    The worker's name is new with each `join`, so that nobody can ack what was leased before.

    Args:
        spider: name of the crawl's main spider.
        lease_s: how long after its last sign of life a worker's leases are its own, by Redis' clock.
    """

    def __init__(self, client: Any, spider: str, lease_s: float) -> None:
        self.spider = spider
        self._client = client
        self.key = PREFIX + spider
        self.me = ""
        """The worker's name and epoch; what is leased is leased to it."""
        self.lease_s = lease_s
        self._scripts = Scripts(client, self.key)

    def others(self) -> int:
        """How many other workers are alive; may be asked before `join`."""
        return int(self._scripts.call(redis_scripts.OTHERS, self.me))

    def join(self, run: str, about: dict[str, Any]) -> None:
        """Become one of the workers of a run.

        Raises:
            JobDirHeld: workers of another run are alive.
            FrontierError: this Redis throws keys away when it is full.
        """
        policy = self._policy()
        if policy.startswith("allkeys"):
            raise FrontierError(
                f"Redis of REDIS_URL may throw requests away: its maxmemory-policy is {policy}; set it to noeviction"
            )
        me = secrets.token_hex(8)
        self._scripts.call(redis_scripts.JOIN, me, self._lease_ms, run, orjson.dumps(about))
        self.me = me

    def _policy(self) -> str:
        """The eviction policy of Redis, which acts when it is full; empty where the user may not call INFO."""
        from redis.exceptions import NoPermissionError

        with explained():
            try:
                policy: str = self._client.info("memory").get("maxmemory_policy", "")
            except NoPermissionError:
                return ""
        return policy

    def renew(self, about: dict[str, Any], is_incomplete: bool = False) -> None:
        """Give a sign of life.

        Args:
            is_incomplete: this worker's upstream did not give all that it was asked for. Redis keeps this fact, so that
                the other workers know it even if this one dies.

        Raises:
            LeaseLost: others have noticed that there was none.
        """
        self._scripts.call(redis_scripts.RENEW, self.me, self._lease_ms, orjson.dumps(about), int(is_incomplete))

    def leave(self, is_incomplete: bool) -> tuple[bool, bool]:
        """Be no worker any more.

        Args:
            is_incomplete: this worker's upstream did not give all that it was asked for.

        Returns:
            Whether this was the last worker, and whether something is missing: a worker since the first one came was
            troubled, or the last one leaves requests that are pending, leased or kept, by whomever.
        """
        others, incomplete, unfinished = self._scripts.call(redis_scripts.LEAVE, self.me, int(is_incomplete))
        return not others, bool(incomplete or (not others and unfinished))

    @property
    def _lease_ms(self) -> int:
        return int(self.lease_s * 1000)
