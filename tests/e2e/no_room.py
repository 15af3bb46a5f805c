"""Runs `scrapy` in this process where no file can grow beyond so many KiB: ``python -m tests.e2e.no_room KIB …``."""

from __future__ import annotations

import resource
import sys

from scrapy.cmdline import execute

if __name__ == "__main__":
    size = 1024 * int(sys.argv[1])  # any user may set this limit for himself
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    execute(["scrapy", *sys.argv[2:]])
