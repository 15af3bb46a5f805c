"""Ids as other services write them down."""

from __future__ import annotations

import re

PREFIXED = re.compile(r"[A-Za-z]*0*([1-9][0-9]{0,8})(?:-.*)?", re.DOTALL)


def normalize_shikimori_id(text: str) -> str:
    """The digits of a Shikimori id: ``20`` of ``20``, ``z20`` and ``z20-naruto``.

    Letters are put in front of an id in addresses after takedown requests, and other services copy them.

    Raises:
        ValueError: no id in any of these forms.
    """
    match = PREFIXED.fullmatch(text.strip())
    if not match:
        raise ValueError(f"not a Shikimori id: {text[:40]!r}")
    return match[1]
