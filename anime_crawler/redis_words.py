"""Errors of Redis become a sentence that says what to do, or a wait. It holds no address, which may have a password."""

from __future__ import annotations

AWAY_WORDS = (
    *("MISCONF", "LOADING", "MASTERDOWN", "NOREPLICAS", "BUSY", "READONLY", "OOM"),
    *("Connection", "Timeout", "Error ", "max number of clients"),
)
"""How Redis, or its client, says that it cannot serve just now: its disk is full, it reads its file, its master is
gone, nobody listens, …"""
CLUSTER_WORDS = ("MOVED", "ASK ", "CLUSTERDOWN", "CROSSSLOT", "hash to the same slot", "cluster mode")
NEEDED = "`~anime_crawler:* +@read +@write +@scripting +@connection +time`"
"""The rules of ACL SETUSER for a user with the fewest rights that we need; a test holds them to that."""


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later, with nothing changed by us."""
    from redis import exceptions  # here: takes 0.05 s, and one machine needs no Redis

    if refusal(error, ""):
        return False
    kinds = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError, exceptions.OutOfMemoryError)
    return isinstance(error, (*kinds, OSError)) or str(error).startswith(AWAY_WORDS)


def refusal(error: Exception, setting: str) -> str:
    """A sentence about a Redis that will never serve us as it is set up, with what to do; else empty."""
    from redis import exceptions

    said = str(error)
    if any(words in said for words in CLUSTER_WORDS):
        return (
            f"the Redis of {setting} is a cluster, which is not supported: what belongs together must lie on one "
            f"server. Set {setting} to a single server, with or without replicas"
        )
    if isinstance(error, exceptions.NoPermissionError) or said.startswith("NOPERM"):
        return f"the user of {setting} may not do what is needed ({said}): grant it {NEEDED}"
    if isinstance(error, exceptions.AuthenticationError) or said.startswith(("NOAUTH", "WRONGPASS")):
        return (
            f"the Redis of {setting} refuses user or password: write both as redis://user:password@host:6379/1, "
            "in them %40 for @, %2F for / and %3A for :"
        )
    return ""
