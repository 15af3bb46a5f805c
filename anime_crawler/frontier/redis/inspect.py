"""`overview` shows what Redis holds of crawls that several workers share. It changes nothing in Redis."""

from __future__ import annotations

from typing import Any

import orjson

from anime_crawler.frontier.redis.client import explained
from anime_crawler.frontier.redis.membership import PREFIX as CRAWL
from anime_crawler.frontier.redis.store import PREFIX as FRONTIER
from anime_crawler.frontier.redis.store import unpacked


def overview(client: Any) -> dict[str, Any]:
    """All crawls with their workers, and all frontiers with their requests, in order of their names; plain JSON.

    Raises:
        FrontierAway: if Redis does not answer at the moment.
        FrontierError: if this Redis cannot be used.
    """
    with explained():
        frontiers = {name: _frontier(client, FRONTIER + name) for name in _names(client, FRONTIER)}
        workers = [worker for name in _names(client, CRAWL) for worker in _workers(client, name)]
    for worker in workers:
        leases = [lease for frontier in frontiers.values() for lease in frontier["leases"]]
        worker["holds"] = [lease["request"] for lease in leases if lease["worker"] == worker["worker"]]
    return {"workers": workers, "frontiers": frontiers}


def _names(client: Any, prefix: str) -> list[str]:
    found = client.scan_iter(match=f"{prefix}*:run", count=1000)
    return sorted(name.decode().removeprefix(prefix).removesuffix(":run") for name in found)


def _workers(client: Any, crawl: str) -> list[dict[str, Any]]:
    told = client.hgetall(f"{CRAWL}{crawl}:workers")
    deadlines = dict(client.zrange(f"{CRAWL}{crawl}:alive", 0, -1, withscores=True))
    now_s, micros = client.time()
    return [
        {
            "worker": worker.decode(),
            "crawl": crawl,
            "lease_s": round(deadlines[worker] / 1000 - now_s - micros / 1e6, 1),
            **orjson.loads(told[worker]),
        }
        for worker in sorted(deadlines)
        if worker in told
    ]


def _frontier(client: Any, key: str) -> dict[str, Any]:
    slots = sorted(slot.decode() for slot in client.smembers(f"{key}:slots"))
    leases = [
        {"worker": lease.split()[0].decode(), "request": _shown(client.hget(f"{key}:requests", number))}
        for number, lease in sorted(client.hgetall(f"{key}:leases").items())
    ]
    return {
        "pending": {slot: count for slot in slots if (count := client.zcard(f"{key}:pending:{slot}"))},
        "leases": leases,
        "kept": client.hlen(f"{key}:kept"),
        "refused": client.hlen(f"{key}:refused"),
        "claimed": client.hlen(f"{key}:claims"),
        "seen": client.scard(f"{key}:seen"),
    }


def _shown(data: bytes | None) -> str:
    """The request's method and address. They may be shown, because requests in the frontier hold no credential."""
    try:
        request = orjson.loads(unpacked(data or b""))
        return f"{request['method']} {request['url']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "no request"
