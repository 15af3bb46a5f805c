"""Fixtures of real crawls, as in ``tests/download``."""

from tests.download.conftest import plan, server  # noqa: F401  pytest finds fixtures by their names here
