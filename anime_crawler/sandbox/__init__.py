"""Kodik, Shikimori and a backend, simulated on loopback with their quirks, their limits and their bad days.

One process, one port, one deterministic catalogue: ``/kodik``, ``/shikimori``, ``/anisearch``, ``/anime_planet``,
``/backend``, the host's ``/robots.txt``, and ``/_sandbox`` to look behind it (log, statistics, oracle) and to make it
misbehave (mutations, faults). It enforces; it never forgives.

The path of one request: `gate` (log, limits, faults) → `kodik` or `shikimori` (answer) → `faults` (damage) → the wire.
Where data come from: `invented` or `dataset` give titles, `releases` what Kodik has of them, `world` holds both.
"""
