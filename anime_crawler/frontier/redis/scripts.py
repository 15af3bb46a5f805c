"""Redis runs each of these Lua scripts as one step: no other client ever sees half of its changes.

A *session* of a crawl begins when the first worker joins, and ends when the last worker is gone.

Keys of a crawl, ``<crawl>`` = ``anime_crawler:crawl:<main spider>``:

    <crawl>:run       the run that its workers work at
    <crawl>:alive     sorted set: worker -> until when it is taken for alive, milliseconds of Redis' own clock
    <crawl>:workers   hash: worker -> JSON that it tells of itself
    <crawl>:session   number of the session; it grows when a worker joins and no other is alive
    <crawl>:troubled  set when a worker of the session did not get all that it asked its upstream for
    <crawl>:frontiers set of the keys of the frontiers that workers of the session have opened

Keys of a frontier, ``<store>`` = ``anime_crawler:frontier:<spider>``:

    <store>:run               run and address that the requests belong to
    <store>:session           the session of the crawl for which the store was put in order
    <store>:start             the worker that makes the first requests, or ``done``
    <store>:seen              set of fingerprints, 20 bytes each
    <store>:requests          hash: id -> request as JSON
    <store>:slots             set of slots that have pending requests
    <store>:pending:<slot>    sorted set: id by -priority, then by age
    <store>:leases            hash: id -> "worker -priority slot"
    <store>:kept              hash: id -> "- -priority slot"; given up in this session, pending in the next
    <store>:refused           hash: id -> data that stood in place of a request
    <store>:claims            hash: anime id -> worker that has leased it

When its memory is full, Redis refuses a script at its first writing command, unless that command frees memory. So
scripts begin with such a command where they can: a full Redis still leases, acks and renews, but adds no request.
"""

from __future__ import annotations

from importlib.resources import files


def _lua(*names: str) -> str:
    """The script that consists of ``lua/common.lua`` and these files of ``lua/``."""
    folder = files("anime_crawler.frontier.redis").joinpath("lua")
    return "".join(folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in ("common", *names))


# --- the membership -----------------------------------------------------------------------------------

JOIN = _lua("join")
RENEW = _lua("members_only", "renew")
LEAVE = _lua("leave")
OTHERS = _lua("others")

# --- a frontier ---------------------------------------------------------------------------------------

OPEN = _lua("members_only", "open")
ELECT = _lua("members_only", "elect")
STARTED = _lua("members_only", "started")
PUSH = _lua("members_only", "push")
ACK = _lua("members_only", "ack_function", "ack")
POP = _lua("members_only", "ack_function", "pop")
KEEP = _lua("members_only", "owners_only", "keep")
REFUSE = _lua("members_only", "owners_only", "refuse")
RECLAIM = _lua("members_only", "reclaim")
COUNT = _lua("count")
CLEAR = _lua("members_only", "clear")
CLEAR_IF_DONE = _lua("members_only", "clear_if_done")
LEASE_IDS = _lua("members_only", "lease_ids")
RELEASE_IDS = _lua("members_only", "release_ids")
LEASED_IDS = _lua("members_only", "leased_ids")
