"""Runs `scrapy` in this process with short graces for players in doubt: ``python -m tests.backend.hasty deliver``."""

from __future__ import annotations

import sys

from anime_crawler.backend import doubt


def main() -> None:
    from scrapy.cmdline import execute

    doubt.GRACE_S, doubt.LEAST_AGE_S, doubt.REPEAT_GRACE_S, doubt.LONE_GRACE_S = 0.5, 1.0, 1.0, 2.0
    execute(["scrapy", *sys.argv[1:]])


if __name__ == "__main__":
    main()
