"""Runs `scrapy` in this process where no file can grow beyond so many KiB: ``python -m tests.e2e.no_room KIB …``."""

from __future__ import annotations

import atexit
import resource
import sys

from scrapy.cmdline import execute

if __name__ == "__main__":
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, before)  # what measures coverage writes after that
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * int(sys.argv[1]), before[1]))  # any user may lower his own
    execute(["scrapy", *sys.argv[2:]])
