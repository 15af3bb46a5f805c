"""Fixtures of the importer's tests."""

from __future__ import annotations

import pytest

from anime_crawler.backend import doubt


@pytest.fixture(autouse=True)
def short_graces(monkeypatch):
    """How long a player in doubt waits, in tenths of seconds instead of half minutes."""
    monkeypatch.setattr(doubt, "GRACE_S", 0.1)
    monkeypatch.setattr(doubt, "LEAST_AGE_S", 0.3)
    monkeypatch.setattr(doubt, "REPEAT_GRACE_S", 0.2)
    monkeypatch.setattr(doubt, "LONE_GRACE_S", 0.4)
