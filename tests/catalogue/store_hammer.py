"""Stores pages of invented items, from a process of its own, beside others that store the same.

python -m tests.catalogue.store_hammer DATABASE_URL SEED PAGES
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from anime_crawler.catalogue.store.items import store_items
from anime_crawler.catalogue.writer import Catalogue
from tests.catalogue.support import SOURCES, airing, anime, character, episode, rejected, release

TITLES_PER_PAGE = 12


def page(number: int) -> list[Any]:
    """Items of some titles; half of them are of the next page too."""
    first = number * TITLES_PER_PAGE // 2
    return [item for n in range(first, first + TITLES_PER_PAGE) for item in of_title(str(n + 1))]


def of_title(title_id: str) -> Iterator[Any]:
    """What several sources say of one title."""
    yield from (anime(title_id), anime(f"s{title_id}", source="kodik", external_ids={"shikimori": title_id}))
    yield from (release(f"serial-{title_id}-{team}", title_id, range(1, 6), translation_id=team) for team in "12")
    yield from (episode(1, title_id), character("17", title_id), airing(1, title_id), rejected(f"broken-{title_id}"))


async def store(url: str, pages: Sequence[int], run_id: int = 1) -> None:
    """Each page in a transaction of its own, two waiting at a time, as in a crawl."""
    catalogue = await Catalogue.open(url)
    for some in zip(pages[::2], pages[1::2], strict=False):
        await asyncio.gather(
            *(catalogue.write(partial(store_items, run_id=run_id, items=page(number), **SOURCES)) for number in some)
        )
    await catalogue.close()


if __name__ == "__main__":
    url, seed, pages = sys.argv[1:]
    numbers = list(range(int(pages)))
    random.Random(seed).shuffle(numbers)
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(store(url, numbers))
