"""`Membership` makes a process one of a crawl's workers, and tells which other workers are alive."""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from anime_crawler.frontier.redis import scripts as redis_scripts
from anime_crawler.frontier.redis.client import Scripts, explained
from anime_crawler.frontier.store import FrontierError

PREFIX = "anime_crawler:crawl:"


class Membership:
    """One worker's membership in a crawl. Every method may raise `FrontierError` or one of its subclasses.

    The worker gets a new name with each `join`, so that it cannot ack requests that it leased under an earlier name.

    Args:
        spider: name of the crawl's main spider.
        lease_s: for so many seconds after its last sign of life a worker keeps its leases, by Redis' clock.
    """

    def __init__(self, client: Any, spider: str, lease_s: float) -> None:
        self.spider = spider
        self._client = client
        self.key = PREFIX + spider
        self.me = ""
        """The worker's name; each of its leases carries it. Empty before `join`."""
        self.lease_s = lease_s
        self._scripts = Scripts(client, self.key)

    def others(self) -> int:
        """The number of other workers that are alive; it may be asked before `join`."""
        return int(self._scripts.call(redis_scripts.OTHERS, self.me))

    def join(self, run: str, about: dict[str, Any]) -> None:
        """Become one of the workers of a run.

        Args:
            about: what `scrapy workers` shows of this worker.

        Raises:
            JobDirHeld: if workers of another run are alive.
            FrontierError: if this Redis is configured to throw keys away when it is full.
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
        """The policy by which Redis evicts keys when it is full; empty if the Redis user may not call INFO."""
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
            LeaseLost: if other workers have removed this one because its sign of life was overdue.
        """
        self._scripts.call(redis_scripts.RENEW, self.me, self._lease_ms, orjson.dumps(about), int(is_incomplete))

    def leave(self, is_incomplete: bool) -> tuple[bool, bool]:
        """Leave the crawl.

        Args:
            is_incomplete: this worker's upstream did not give all that it was asked for.

        Returns:
            Whether this was the last worker, and whether something is missing. Something is missing if a worker was
            incomplete since the first one joined, or if the last one leaves requests that are pending, leased or kept.
        """
        others, incomplete, unfinished = self._scripts.call(redis_scripts.LEAVE, self.me, int(is_incomplete))
        return not others, bool(incomplete or (not others and unfinished))

    @property
    def _lease_ms(self) -> int:
        return int(self.lease_s * 1000)
