"""Runs `scrapy` with an engine that does not look every 5 s whether all is done: what relies on that look hangs."""

from __future__ import annotations

import sys

from scrapy.cmdline import execute
from scrapy.core.engine import ExecutionEngine

if __name__ == "__main__":
    assert ExecutionEngine._SLOT_HEARTBEAT_INTERVAL == 5
    ExecutionEngine._SLOT_HEARTBEAT_INTERVAL = 3600
    execute(["scrapy", *sys.argv[1:]])
