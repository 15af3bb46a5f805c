"""One run at a time."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

import pytest

from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.lock import LockHeld, catalogue_lock

HOLD = """
import sys, time
from anime_crawler.catalogue.lock import catalogue_lock
with catalogue_lock(sys.argv[1], "deliver"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_lock_says_who_holds_it_and_dies_with_its_owner(url):
    """kill -9 leaves nothing that somebody must clean up."""
    with subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(LockHeld, match=f"'deliver'.*process {process.pid} on"), catalogue_lock(url, "deliver"):
            pass
        with catalogue_lock(url, "another"):
            pass
        process.kill()
    with catalogue_lock(url, "deliver"):
        pass


def test_a_lock_is_free_after_it_was_given_back_also_by_an_exception(url):
    """And several are held at once."""
    with pytest.raises(ZeroDivisionError), catalogue_lock(url, "deliver"):
        1 / 0  # noqa: B018
    with ExitStack() as locks:
        for name in ("crawl-a", "crawl-b", "deliver"):
            locks.enter_context(catalogue_lock(url, name))


def test_a_database_that_is_down_is_no_held_lock():
    """It is a matter of configuration."""
    with pytest.raises(CatalogueError), catalogue_lock("postgresql://u@127.0.0.1:1/d", "deliver"):
        pass


def test_a_folder_that_cannot_be_written_is_no_held_lock_either(tmp_path):
    """A file stands where it should be."""
    (tmp_path / "file").write_text("")
    url = f"sqlite:///{tmp_path}/file/a.db"
    with pytest.raises(CatalogueError, match="DATABASE_URL: cannot write"), catalogue_lock(url, "deliver"):
        pass


def test_workers_of_one_crawl_hold_a_lock_together_and_keep_all_others_out(url):
    """A run that shares it with nobody, and workers of another crawl."""
    with catalogue_lock(url, "crawl-a", "one"), catalogue_lock(url, "crawl-a", "one"):
        for stranger in (None, "two"):
            with pytest.raises(LockHeld, match="crawl-a"), catalogue_lock(url, "crawl-a", stranger):
                pass
    with catalogue_lock(url, "crawl-a"), pytest.raises(LockHeld), catalogue_lock(url, "crawl-a", "one"):
        pass
    with catalogue_lock(url, "crawl-a", "two"):
        pass


def test_a_lock_whose_holder_cannot_be_written_down_is_no_held_lock(tmp_path):
    """A folder stands where the name of the holder belongs; the lock is free again at once."""
    url, owner = f"sqlite:///{tmp_path}/a.db", tmp_path / "a.db.deliver.owner"
    owner.mkdir()
    with pytest.raises(CatalogueError, match=r"cannot write .*\.owner"), catalogue_lock(url, "deliver"):
        pass
    owner.rmdir()
    with catalogue_lock(url, "deliver"):
        pass
